"""CloudFormation: stacks that are created."""

from __future__ import annotations

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.cloudformation_template import (
    NAME,
    TEMPLATE,
    WAITING,
    create,
    created,
    exporting_nothing,
    outputs,
    parameters,
    snapshot_of_the_data_volume,
    stack,
)
from benchmarks.fidelity.verdicts import Verdicts, check


@check("cfn", "a stack is created")
def _created(account: Account, seen: Verdicts) -> None:
    cloudformation, snapshot = account("cloudformation"), snapshot_of_the_data_volume(account)
    account.configure(stack_seconds=0.3)
    create(
        account,
        snapshot,
        Tags=[{"Key": "case", "Value": "1"}],
        ClientRequestToken="tok",
        EnableTerminationProtection=True,
    )
    status = stack(account)["StackStatus"]
    seen.holds("it is in progress first", status == "CREATE_IN_PROGRESS", status)
    seen.done(
        "a waiter sees when it is there",
        lambda: cloudformation.get_waiter("stack_create_complete").wait(
            StackName=NAME, WaiterConfig=WAITING
        ),
    )
    given = outputs(account)
    seen.holds("it has its outputs", given.keys() == TEMPLATE["Outputs"].keys(), given)
    resources = cloudformation.describe_stack_resources(StackName=NAME)["StackResources"]
    seen.holds("all of its resources are listed", len(resources) == 8, len(resources))
    events = cloudformation.describe_stack_events(StackName=NAME)["StackEvents"]
    seen.holds(
        "each resource has an event when it is begun and one when it is there",
        len(events) >= 16,
        f"{len(events)} events",
    )
    exports = cloudformation.list_exports()["Exports"]
    seen.holds("its exports are listed", len(exports) == 1, exports)


@check("cfn", "resources are made as the template says")
def _resources(account: Account, seen: Verdicts) -> None:
    ec2, snapshot = account("ec2"), snapshot_of_the_data_volume(account)
    given = created(account, snapshot)
    [volume] = ec2.describe_volumes(VolumeIds=[given["VolumeId"]])["Volumes"]
    seen.holds(
        "a volume is of the snapshot",
        volume.get("SnapshotId") == snapshot,
        volume.get("SnapshotId"),
    )
    seen.holds("a volume has the snapshot's size", volume["Size"] == 20, volume["Size"])
    seen.holds("a volume has its type", volume["VolumeType"] == "gp3", volume["VolumeType"])
    seen.holds("a volume is encrypted as the snapshot is", volume["Encrypted"])
    seen.holds(
        "a volume has its tags",
        any(tag["Key"] == "case" for tag in volume.get("Tags", [])),
        volume.get("Tags"),
    )
    seen.holds(
        "an attachment attaches the volume to the instance",
        [item["InstanceId"] for item in volume["Attachments"]] == [given["InstanceId"]],
        volume["Attachments"],
    )
    instance = account.instance(given["InstanceId"])
    seen.holds("an instance has its instance profile", "IamInstanceProfile" in instance)
    tags = {tag["Key"] for tag in instance.get("Tags", [])}
    seen.holds(
        "an instance has its tags, and one with the name of the stack",
        tags >= {"case", "aws:cloudformation:stack-name"},
        tags,
    )
    resources = account("cloudformation").describe_stack_resources(StackName=NAME)
    [group] = [
        item["PhysicalResourceId"]
        for item in resources["StackResources"]
        if item["LogicalResourceId"] == "Sg"
    ]
    groups = [item["GroupId"] for item in instance["SecurityGroups"]]
    seen.holds("an instance has its security groups", groups == [group], groups)
    [found] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    ranges = [item["CidrIp"] for rule in found["IpPermissionsEgress"] for item in rule["IpRanges"]]
    seen.holds(
        "rules for what goes out of a group take the place of the one that lets everything out",
        ranges == ["127.0.0.1/32"],
        ranges,
    )
    data = ec2.describe_instance_attribute(InstanceId=given["InstanceId"], Attribute="userData")
    seen.holds("an instance has its user data", data["UserData"].get("Value") is not None)


@check("cfn", "what CreateStack takes and refuses")
def _refused(account: Account, seen: Verdicts) -> None:
    snapshot = snapshot_of_the_data_volume(account)
    small = exporting_nothing()
    del small["Resources"]["Vol"]["Properties"]["Size"]
    seen.done(
        "a volume of a snapshot needs no size", lambda: create(account, snapshot, "nosize", small)
    )
    seen.refused(
        "a role without CAPABILITY_IAM",
        "InsufficientCapabilitiesException",
        lambda: create(account, snapshot, "nocap", exporting_nothing(), Capabilities=[]),
    )
    seen.refused(
        "a parameter that is none of its AllowedValues",
        "ValidationError",
        lambda: create(
            account,
            snapshot,
            "badparam",
            exporting_nothing(),
            Parameters=[
                *parameters(account, snapshot),
                {"ParameterKey": "Size", "ParameterValue": "x99"},
            ],
        ),
    )
    seen.refused(
        "a parameter that has no value",
        "ValidationError",
        lambda: create(account, snapshot, "noparam", exporting_nothing(), Parameters=[]),
    )
    create(account, snapshot)
    seen.refused(
        "the name of another stack",
        "AlreadyExistsException",
        lambda: create(account, snapshot, template=exporting_nothing()),
    )


@check("cfn", "termination protection")
def _protected(account: Account, seen: Verdicts) -> None:
    cloudformation, snapshot = account("cloudformation"), snapshot_of_the_data_volume(account)
    create(account, snapshot, EnableTerminationProtection=True)
    seen.refused(
        "a protected stack is not deleted",
        "ValidationError",
        lambda: cloudformation.delete_stack(StackName=NAME),
    )
    status = seen.done("a protected stack is still there", lambda: stack(account)["StackStatus"])
    seen.holds("a protected stack stays as it is", status == "CREATE_COMPLETE", status)
    seen.done(
        "the protection can be taken away",
        lambda: cloudformation.update_termination_protection(
            StackName=NAME, EnableTerminationProtection=False
        ),
    )
