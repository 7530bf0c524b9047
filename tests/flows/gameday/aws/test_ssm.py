from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.aws.ssm_commands import CommandOutput
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until

Client = Callable[[str], Any]


@pytest.fixture
def ssm(aws: Client) -> Any:
    return aws("ssm")


@pytest.fixture
def victim(world: WorldIds) -> str:
    return world.ids["victim"]


def _ping(ssm: Any, instance_id: str) -> str | None:
    answer = ssm.describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
    )
    found = answer["InstanceInformationList"]
    return found[0]["PingStatus"] if found else None


def _send(ssm: Any, *instance_ids: str, **more: Any) -> str:
    command = ssm.send_command(
        InstanceIds=list(instance_ids),
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": ["ps aux"]},
        **more,
    )["Command"]
    assert command["Status"] == "Pending"
    return str(command["CommandId"])


def _without_profile(ec2: Any, world: WorldIds) -> str:
    """An instance that never had an instance profile."""
    found = instance(ec2, world.ids["victim"])
    launched = ec2.run_instances(
        ImageId=found["ImageId"], MinCount=1, MaxCount=1, SubnetId=found["SubnetId"]
    )
    return str(launched["Instances"][0]["InstanceId"])


def test_a_running_instance_with_a_profile_is_managed(ssm: Any, ec2: Any, victim: str) -> None:
    [known] = ssm.describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [victim]}]
    )["InstanceInformationList"]

    assert known["PingStatus"] == "Online"
    assert known["PlatformType"] == "Linux"
    assert known["IPAddress"] == instance(ec2, victim)["PrivateIpAddress"]


def test_an_instance_without_a_profile_is_not_managed(ssm: Any, ec2: Any, world: WorldIds) -> None:
    unmanaged = _without_profile(ec2, world)

    assert _ping(ssm, unmanaged) is None
    with refused("InvalidInstanceId"):
        _send(ssm, unmanaged)


def test_an_isolated_instance_loses_its_connection(
    ssm: Any, ec2: Any, world: WorldIds, victim: str
) -> None:
    found = instance(ec2, victim)
    isolation = ec2.create_security_group(
        GroupName="isolation", Description="nothing in or out", VpcId=found["VpcId"]
    )["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=isolation, IpPermissions=everything)

    for eni in found["NetworkInterfaces"]:
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=[isolation]
        )

    assert _ping(ssm, victim) == "ConnectionLost"
    command = _send(ssm, victim)
    waiting = ssm.get_command_invocation(CommandId=command, InstanceId=victim)
    assert (waiting["Status"], waiting["ResponseCode"]) == ("Pending", -1)


def test_a_network_acl_that_lets_nothing_through_cuts_the_connection(
    ssm: Any, ec2: Any, victim: str
) -> None:
    subnet = instance(ec2, victim)["SubnetId"]
    acls = ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [subnet]}]
    )["NetworkAcls"]
    [association] = [item for item in acls[0]["Associations"] if item["SubnetId"] == subnet]
    closed = ec2.create_network_acl(VpcId=acls[0]["VpcId"])["NetworkAcl"]["NetworkAclId"]
    assert _ping(ssm, victim) == "Online"

    ec2.replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=closed
    )

    assert _ping(ssm, victim) == "ConnectionLost"


def test_a_stopped_instance_is_still_known_and_a_terminated_one_is_not(
    ssm: Any, ec2: Any, world: WorldIds
) -> None:
    bystander = world.ids["bystander"]

    ec2.stop_instances(InstanceIds=[bystander])
    assert _ping(ssm, bystander) == "ConnectionLost"

    ec2.terminate_instances(InstanceIds=[bystander])
    assert _ping(ssm, bystander) is None


def test_managed_instances_are_filtered_by_status_and_tag(ssm: Any, ec2: Any, victim: str) -> None:
    ec2.create_tags(Resources=[victim], Tags=[{"Key": "case", "Value": "7"}])

    def found(key: str, *values: str) -> set[str]:
        answer = ssm.describe_instance_information(Filters=[{"Key": key, "Values": list(values)}])
        return {item["InstanceId"] for item in answer["InstanceInformationList"]}

    assert found("tag:case", "7") == {victim}
    assert found("tag-key", "case") == {victim}
    assert victim in found("PingStatus", "Online")
    assert found("PlatformTypes", "Windows") == set()
    with refused("InvalidFilterKey"):
        found("nonsense", "x")


def test_a_ping_status_can_be_set(
    ssm: Any, simulated_aws: SimulatedAws, world: WorldIds, victim: str
) -> None:
    simulated_aws.set_ping_status(victim, "ConnectionLost")
    assert _ping(ssm, victim) == "ConnectionLost"

    simulated_aws.set_ping_status(victim, None)
    assert _ping(ssm, victim) == "Online"

    with pytest.raises(ValueError, match="no instance"):
        simulated_aws.set_ping_status("i-0", "Online")
    with pytest.raises(ValueError, match="ping status"):
        simulated_aws.set_ping_status(victim, "Asleep")


def test_a_command_says_what_was_scripted(
    ssm: Any, simulated_aws: SimulatedAws, victim: str
) -> None:
    simulated_aws.script_output(CommandOutput(stdout="another"))
    simulated_aws.script_output(
        CommandOutput(containing="ps aux", instance=victim, stdout="PID 1\n", stderr="careful\n")
    )

    run = ssm.get_command_invocation(CommandId=_send(ssm, victim), InstanceId=victim)

    assert (run["Status"], run["ResponseCode"]) == ("Success", 0)
    assert run["StandardOutputContent"] == "PID 1\n"
    assert run["StandardErrorContent"] == "careful\n"
    assert run["PluginName"] == "aws:runShellScript"


def test_a_command_takes_its_time(ssm: Any, simulated_aws: SimulatedAws, victim: str) -> None:
    simulated_aws.script_output(CommandOutput(stdout="done", seconds=0.3))

    command = _send(ssm, victim)

    first = ssm.get_command_invocation(CommandId=command, InstanceId=victim)
    assert (first["Status"], first["StandardOutputContent"]) == ("InProgress", "")
    assert ssm.list_commands(CommandId=command)["Commands"][0]["Status"] == "InProgress"

    def ended() -> Any:
        run = ssm.get_command_invocation(CommandId=command, InstanceId=victim)
        return run if run["Status"] == "Success" else None

    assert until(ended)["StandardOutputContent"] == "done"


def test_a_command_may_not_be_known_right_after_it_was_sent(
    ssm: Any, simulated_aws: SimulatedAws, victim: str
) -> None:
    simulated_aws.script_output(CommandOutput(stdout="done", unknown_at_first=1))
    command = _send(ssm, victim)

    with refused("InvocationDoesNotExist"):
        ssm.get_command_invocation(CommandId=command, InstanceId=victim)

    run = ssm.get_command_invocation(CommandId=command, InstanceId=victim)
    assert run["StandardOutputContent"] == "done"


def test_the_worst_invocation_is_how_a_command_ends(
    ssm: Any, simulated_aws: SimulatedAws, world: WorldIds, victim: str
) -> None:
    bystander = world.ids["bystander"]
    simulated_aws.script_output(
        CommandOutput(instance=bystander, status="Failed", stderr="no such file")
    )

    command = _send(ssm, victim, bystander)

    [known] = ssm.list_commands(CommandId=command)["Commands"]
    assert (known["Status"], known["CompletedCount"], known["ErrorCount"]) == ("Failed", 2, 1)
    invocations = ssm.list_command_invocations(CommandId=command, Details=True)
    by_instance = {item["InstanceId"]: item for item in invocations["CommandInvocations"]}
    assert by_instance[victim]["Status"] == "Success"
    [plugin] = by_instance[bystander]["CommandPlugins"]
    assert (plugin["Status"], plugin["Output"]) == ("Failed", "no such file")


def test_long_output_is_cut_off(ssm: Any, simulated_aws: SimulatedAws, victim: str) -> None:
    simulated_aws.script_output(CommandOutput(stdout="x" * 30_000))
    command = _send(ssm, victim)

    run = ssm.get_command_invocation(CommandId=command, InstanceId=victim)
    listed = ssm.list_command_invocations(CommandId=command, Details=True)

    assert len(run["StandardOutputContent"]) == 24_000
    [invocation] = listed["CommandInvocations"]
    assert len(invocation["CommandPlugins"][0]["Output"]) == 2_500


def test_a_command_that_runs_can_be_cancelled_and_one_that_ended_stays(
    ssm: Any, simulated_aws: SimulatedAws, world: WorldIds, victim: str
) -> None:
    simulated_aws.script_output(CommandOutput(instance=victim, seconds=60))
    command = _send(ssm, victim, world.ids["bystander"])

    ssm.cancel_command(CommandId=command)

    listed = ssm.list_command_invocations(CommandId=command)["CommandInvocations"]
    assert {item["InstanceId"]: item["Status"] for item in listed} == {
        victim: "Cancelled",
        world.ids["bystander"]: "Success",
    }
    with refused("InvalidCommandId"):
        ssm.cancel_command(CommandId="00000000-0000-0000-0000-000000000000")


def test_an_undelivered_command_times_out(
    ssm: Any, simulated_aws: SimulatedAws, victim: str
) -> None:
    simulated_aws.set_ping_status(victim, "ConnectionLost")
    command = _send(ssm, victim, TimeoutSeconds=30)

    simulated_aws.set_ahead(31)
    run = ssm.get_command_invocation(CommandId=command, InstanceId=victim)

    assert (run["Status"], run["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")


def test_targets_are_found_by_tag(ssm: Any, ec2: Any, victim: str) -> None:
    ec2.create_tags(Resources=[victim], Tags=[{"Key": "case", "Value": "7"}])

    command = ssm.send_command(
        Targets=[{"Key": "tag:case", "Values": ["7"]}], DocumentName="AWS-RunShellScript"
    )["Command"]["CommandId"]

    listed = ssm.list_command_invocations(CommandId=command)["CommandInvocations"]
    assert [item["InstanceId"] for item in listed] == [victim]


def test_an_unknown_document_or_one_of_another_platform_is_refused(ssm: Any, victim: str) -> None:
    with refused("InvalidDocument"):
        ssm.send_command(InstanceIds=[victim], DocumentName="No-Such-Document")
    with refused("UnsupportedPlatformType"):
        ssm.send_command(InstanceIds=[victim], DocumentName="AWS-RunPowerShellScript")


def test_sessions_are_started_listed_and_terminated(ssm: Any, victim: str) -> None:
    session = ssm.start_session(Target=victim)["SessionId"]

    [active] = ssm.describe_sessions(State="Active")["Sessions"]
    assert (active["SessionId"], active["Target"]) == (session, victim)

    ssm.terminate_session(SessionId=session)

    assert ssm.describe_sessions(State="Active")["Sessions"] == []
    [over] = ssm.describe_sessions(State="History", Filters=[{"key": "Target", "value": victim}])[
        "Sessions"
    ]
    assert over["Status"] == "Terminated"


def test_no_session_starts_where_the_agent_is_not_connected(
    ssm: Any, simulated_aws: SimulatedAws, victim: str
) -> None:
    simulated_aws.set_ping_status(victim, "ConnectionLost")

    with refused("TargetNotConnected"):
        ssm.start_session(Target=victim)


def test_output_is_scripted_from_another_process_and_forgotten_by_a_reset(
    ssm: Any, world: WorldIds, victim: str, simulated_aws: SimulatedAws
) -> None:
    before = simulated_aws.remember()
    request = urllib.request.Request(
        f"{world.url}/_clampdown/ssm-output", json.dumps({"stdout": "from afar"}).encode()
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {"added": 1}

    def output() -> str:
        run = ssm.get_command_invocation(CommandId=_send(ssm, victim), InstanceId=victim)
        return str(run["StandardOutputContent"])

    assert output() == "from afar"
    simulated_aws.recall(before)
    assert output() == ""
    assert len(ssm.list_commands()["Commands"]) == 1
