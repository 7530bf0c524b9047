"""A twin is read with reads alone, kept without secrets, and rebuilt so that the same gates stand."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.difference_text import in_words
from flows.gameday.twin import (
    READS,
    Twin,
    playbooks_of_twin,
    read_twin,
    take_twin,
    twin_permissions,
)
from flows.gameday.twin_scenario import STARTER, twin_scenario
from flows.gameday.worlds import WorldIds, build, export, parse_account
from runbooks.ec2.isolate import IsolateInstance
from runbooks.elb.deregister import DeregisterInstance
from runbooks.errors import AccessDenied, InvalidInput, WrongAccount
from runbooks.loader import loads
from runbooks.playbook import Account, Playbooks
from runbooks.targets.reference import TargetRef
from tests.flows.gameday.aws.authorization.conftest import Iam
from tests.flows.gameday.aws.authorization.documents import trust
from tests.runbooks.driver import ACCOUNT, REGION, Incident

ROOT = Path(__file__).parents[3]
BANK = parse_account((Path(__file__).parent / "worlds" / "bank.yaml").read_bytes())
REAL = "111122223333"
NOW = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
SECRET = "hunter2-very-secret"


@pytest.fixture(scope="module")
def shipped() -> Playbooks:
    return loads((ROOT / "playbooks.yaml").read_bytes(), "playbooks.yaml")


@pytest.fixture
def bank(simulated_aws: SimulatedAws) -> WorldIds:
    """A bank's account; the calls that built it are forgotten."""
    ids = build(BANK, simulated_aws.url)
    simulated_aws.calls.clear()
    return ids


def with_account(playbooks: Playbooks, key: str = ACCOUNT, **account: Any) -> Playbooks:
    made = Account(**{"name": "bank", "environment": "staging", **account})
    return playbooks.model_copy(update={"accounts": {key: made}})


def ref(instance: str, account: str = ACCOUNT) -> TargetRef:
    return TargetRef("ec2.instance", account, REGION, instance)


@pytest.fixture
def twin(simulated_aws: SimulatedAws, bank: WorldIds, shipped: Playbooks) -> Twin:
    return take_twin(
        with_account(shipped),
        ref(bank.ids["instances/ledger"]),
        simulate=simulated_aws.url,
        now=NOW,
    )


# Taking it


@pytest.mark.usefixtures("bank")
def test_a_twin_is_the_vpc_around_the_target(twin: Twin, bank: WorldIds) -> None:
    assert (twin.target, twin.instance) == ("ledger", bank.ids["instances/ledger"])
    assert (twin.account, twin.name, twin.environment) == (ACCOUNT, "bank", "staging")
    assert (twin.region, twin.taken_at) == (REGION, NOW)
    assert set(twin.world.vpcs) == {"bank"}
    assert twin.world.instances["ledger"] == BANK.instances["ledger"]
    assert twin.world.roles == BANK.roles
    assert twin.world.target_groups == BANK.target_groups


def test_taking_a_twin_sends_reads_alone(
    simulated_aws: SimulatedAws, bank: WorldIds, shipped: Playbooks
) -> None:
    take_twin(with_account(shipped), ref(bank.ids["instances/ledger"]), simulate=simulated_aws.url)

    assert simulated_aws.calls.changes == []
    sent = {call.name.partition(":")[2] for call in simulated_aws.calls}
    assert all(name.startswith(("Describe", "Get", "List")) for name in sent)


def test_the_calls_for_each_instance_do_not_grow_with_the_account(
    simulated_aws: SimulatedAws, bank: WorldIds, shipped: Playbooks
) -> None:
    take_twin(with_account(shipped), ref(bank.ids["instances/ledger"]), simulate=simulated_aws.url)

    asked = [call for call in simulated_aws.calls if "InstanceId" in call.parameters]
    assert {call.parameters["InstanceId"] for call in asked} == {bank.ids["instances/ledger"]}


def test_what_is_not_read_is_said(twin: Twin) -> None:
    assert any(twin.instance in text and "terminated or stopped" in text for text in twin.left_out)


def test_another_account_than_the_targets_is_not_read(
    simulated_aws: SimulatedAws, bank: WorldIds, shipped: Playbooks
) -> None:
    playbooks = with_account(shipped, REAL)

    with pytest.raises(WrongAccount, match=f"account {ACCOUNT}, the target is in {REAL}"):
        take_twin(playbooks, ref(bank.ids["instances/ledger"], REAL), simulate=simulated_aws.url)

    assert [call.operation for call in simulated_aws.calls] == ["GetCallerIdentity"]


@pytest.mark.usefixtures("bank")
def test_an_instance_that_is_not_there_has_no_twin(
    simulated_aws: SimulatedAws, shipped: Playbooks
) -> None:
    with pytest.raises(InvalidInput, match="There is no instance i-00000000"):
        take_twin(with_account(shipped), ref("i-00000000"), simulate=simulated_aws.url)


def test_a_terminated_instance_has_no_twin(
    simulated_aws: SimulatedAws, bank: WorldIds, shipped: Playbooks
) -> None:
    from flows.gameday.worlds import client

    ec2 = client(simulated_aws.url, REGION, "ec2")
    ec2.terminate_instances(InstanceIds=[bank.ids["instances/router"]])

    with pytest.raises(InvalidInput, match="is terminated: there is nothing around it"):
        take_twin(
            with_account(shipped), ref(bank.ids["instances/router"]), simulate=simulated_aws.url
        )


# Permissions


class Allowed:
    """The bank's account, read through a role that may do so much and no more."""

    def __init__(self, aws: SimulatedAws, playbooks: Playbooks) -> None:
        self.aws = aws
        self.target = build(BANK, aws.url).ids["instances/ledger"]
        self.iam = Iam(aws, REGION)
        anybody = trust(f"arn:aws:iam::{ACCOUNT}:root", ["sts:AssumeRole", "sts:SetSourceIdentity"])
        self.role = self.iam.role("clampdown", anybody)
        self.playbooks = with_account(playbooks, role=self.role)

    def take(self, actions: list[str]) -> Twin:
        self.aws.configure(enforce_iam=False)
        (statement,) = twin_permissions()["Statement"]
        self.iam.allow_role("clampdown", {**statement, "Action": actions})
        self.aws.configure(enforce_iam=True)
        return take_twin(self.playbooks, ref(self.target), simulate=self.aws.url)


def test_the_declared_permissions_are_enough(
    simulated_aws: SimulatedAws, shipped: Playbooks
) -> None:
    allowed = Allowed(simulated_aws, shipped)
    (statement,) = twin_permissions()["Statement"]

    assert allowed.take(statement["Action"]).target == "ledger"
    assert not [call for call in simulated_aws.calls if call.error]


def test_without_any_one_of_them_the_twin_says_which(
    simulated_aws: SimulatedAws, shipped: Playbooks
) -> None:
    allowed = Allowed(simulated_aws, shipped)
    (statement,) = twin_permissions()["Statement"]

    for action in READS:
        left = [item for item in statement["Action"] if item != action]
        with pytest.raises(AccessDenied) as caught:
            allowed.take(left)
        assert f"Allow {action}," in caught.value.advice


def test_the_permissions_allow_nothing_but_reads() -> None:
    policy = twin_permissions()

    assert [item["Effect"] for item in policy["Statement"]] == ["Allow"]
    for action in policy["Statement"][0]["Action"]:
        assert action.split(":")[1].startswith(("Describe", "Get", "List"))
        assert "*" not in action
    assert not any("Secret" in action or "UserData" in action for action in READS)


# Its file


def test_a_twin_comes_back_from_its_file(twin: Twin, tmp_path: Path) -> None:
    file = tmp_path / "twin.yaml"

    twin.save(file)

    assert read_twin(file) == twin
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_header_says_of_what_and_when_it_was_taken(twin: Twin) -> None:
    header = [line for line in twin.to_yaml().splitlines() if line.startswith("#")]

    assert f'# account: "{ACCOUNT}"' in header
    assert '# target: "ledger"' in header
    assert '# taken_at: "2026-05-04T10:30:00+00:00"' in header
    assert sum(line.startswith("# left_out:") for line in header) == len(twin.left_out) > 0


def test_a_twins_file_is_a_world_file(
    twin: Twin, tmp_path: Path, simulated_aws: SimulatedAws
) -> None:
    from flows.gameday.worlds import read_world

    file = tmp_path / "twin.yaml"
    twin.save(file)
    simulated_aws.reset()

    ids = build(read_world(file), simulated_aws.url)

    assert ids.ids["instances/ledger"].startswith("i-")


def test_neither_user_data_nor_secrets_are_in_the_file(
    simulated_aws: SimulatedAws, bank: WorldIds, shipped: Playbooks
) -> None:
    from flows.gameday.worlds import client

    ec2 = client(simulated_aws.url, REGION, "ec2")
    asg = client(simulated_aws.url, REGION, "autoscaling")
    ledger = bank.ids["instances/ledger"]
    ec2.run_instances(
        ImageId=bank.ids["images/base"],
        SubnetId=bank.ids["subnets/private"],
        UserData=SECRET,
        MinCount=1,
        MaxCount=1,
    )
    ec2.create_tags(
        Resources=[ledger],
        Tags=[
            {"Key": "db-password", "Value": SECRET},
            {"Key": "note", "Value": "AKIAABCDEFGHIJKLMNOP"},
        ],
    )
    ec2.create_launch_template_version(
        LaunchTemplateName="web", LaunchTemplateData={"UserData": SECRET, "ImageId": "ami-1"}
    )
    tag = {"ResourceId": "web", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
    asg.create_or_update_tags(Tags=[{**tag, "Key": "api_token", "Value": SECRET}])

    twin = take_twin(with_account(shipped), ref(ledger), simulate=simulated_aws.url)

    text = twin.to_yaml()
    assert SECRET not in text
    assert "AKIAABCDEFGHIJKLMNOP" not in text
    assert twin.world.instances["ledger"].tags == BANK.instances["ledger"].tags
    assert "instances/ledger: the tag 'db-password', which may be a secret" in twin.left_out
    assert "instances/ledger: the tag 'note', which may be a secret" in twin.left_out
    assert "scaling_groups/web: the tag 'api_token', which may be a secret" in twin.left_out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('# target: "ledger"', '# target: "other"'), "no instance of it"),
        (lambda text: text.replace('# account: "', '# acount: "'), "does not say account"),
        (lambda text: text.replace('"2026-05-04T10:30:00+00:00"', '"soon"'), "is not a time"),
        (lambda text: text.replace('# region: "', '# region: "\\x'), r"twin.yaml:5: region: this"),
        (lambda text: text.replace("vpc: bank", "vpc: elsewhere", 1), "names 'elsewhere'"),
        (lambda text: text + "vpcs: {}\n", "stands here twice"),
    ],
)
def test_a_file_that_is_no_twin_says_why(
    twin: Twin, tmp_path: Path, change: Any, says: str
) -> None:
    file = tmp_path / "twin.yaml"
    file.write_text(change(twin.to_yaml()))

    with pytest.raises(InvalidInput, match=says):
        read_twin(file)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="can't be read: No such file"):
        read_twin(tmp_path / "none.yaml")


# The same gates stand


def test_the_simulated_account_is_the_real_one_to_the_playbooks(
    twin: Twin, shipped: Playbooks
) -> None:
    document = (
        (ROOT / "playbooks.yaml")
        .read_text()
        .replace('"123456789012": {name: sandbox', f'"{REAL}": {{name: payments')
        .replace('"arn:aws*:iam::*:role/break-glass*"', f'"arn:aws:iam::{REAL}:role/break-glass*"')
        .replace('      severity: ">= 7"', f'      severity: ">= 7"\n      account: ["{REAL}"]')
    )
    playbooks = loads(document.encode(), "playbooks.yaml")
    of_real = Twin(**{**vars(twin), "account": REAL})

    rehearsed = playbooks_of_twin(playbooks, of_real)

    assert set(rehearsed.accounts) == {ACCOUNT}
    assert rehearsed.accounts[ACCOUNT].name == "payments"
    assert rehearsed.accounts[ACCOUNT].environment == "production"
    assert rehearsed.accounts[ACCOUNT].role is None
    assert rehearsed.routes[0].match.account == (ACCOUNT,)
    assert f"arn:aws:iam::{ACCOUNT}:role/break-glass*" in [
        getattr(item, "arn", "") for item in rehearsed.guardrails.protected
    ]


def test_a_twin_of_an_account_that_is_not_listed_has_its_own_environment(
    twin: Twin, shipped: Playbooks
) -> None:
    foreign = Twin(**{**vars(twin), "account": REAL, "name": "theirs", "environment": "test"})

    account = playbooks_of_twin(shipped, foreign).accounts[ACCOUNT]

    assert (account.name, account.environment) == ("theirs", "test")


# Its scenario


def test_the_scenario_finds_out_the_target_and_asks_all_groups(
    twin: Twin, shipped: Playbooks
) -> None:
    playbooks = playbooks_of_twin(shipped, twin)

    scenario = twin_scenario(twin.world, twin.target, "ec2-compromise", playbooks)

    (event,) = scenario.timeline
    assert event.finding is not None
    assert event.finding.on == "instances/ledger"
    groups = {group for person in scenario.people.values() for group in person.groups}
    assert groups == {"security-oncall", "security-leads"}
    held = {item.holds: item.of for item in scenario.objectives if item.holds}
    assert held["isolated"] == held["evidence"] == ("instances/ledger",)
    assert set(held["untouched"]) == {
        f"instances/{name}" for name in ("gateway", "router", "web-1", "web-2")
    }
    assert held["in_service"] == ("scaling_groups/web",)
    assert {item.until for item in scenario.objectives} >= {"isolated", "contained", "evidence"}


def test_what_is_only_proposed_is_started_by_somebody_who_does_not_decide(
    twin: Twin, shipped: Playbooks
) -> None:
    playbooks = playbooks_of_twin(shipped, twin)
    finding = {"type": "Recon:EC2/Portscan", "severity": 5.0, "resource_role": "ACTOR"}

    scenario = twin_scenario(twin.world, twin.target, "ec2-compromise", playbooks, finding)

    assert [event.things for event in scenario.timeline] == [("finding",), ("person",)]
    started = scenario.timeline[1].person
    assert started is not None
    assert started.who == STARTER
    assert scenario.people[STARTER].groups == ()


def test_a_real_finding_is_found_again(twin: Twin, shipped: Playbooks) -> None:
    finding = {
        "type": "Trojan:EC2/DropPoint",
        "severity": 7.5,
        "resource_role": "ACTOR",
        "remote_addresses": ["2001:db8::1", "198.51.100.9"],
    }

    scenario = twin_scenario(
        twin.world, twin.target, "ec2-compromise", playbooks_of_twin(shipped, twin), finding
    )

    inject = scenario.timeline[0].finding
    assert inject is not None
    assert (inject.type, inject.severity, inject.remote) == (
        "Trojan:EC2/DropPoint",
        7.5,
        "198.51.100.9",
    )


def test_there_are_as_many_people_as_a_gate_asks_for(twin: Twin, shipped: Playbooks) -> None:
    document = (ROOT / "playbooks.yaml").read_text().replace("quorum: 1", "quorum: 2")
    playbooks = playbooks_of_twin(loads(document.encode(), "playbooks.yaml"), twin)

    people = twin_scenario(twin.world, twin.target, "ec2-compromise", playbooks).people

    assert sum("security-oncall" in person.groups for person in people.values()) == 2
    assert sum("security-leads" in person.groups for person in people.values()) == 1


def test_an_unknown_target_or_playbook_is_said_so(twin: Twin, shipped: Playbooks) -> None:
    with pytest.raises(InvalidInput, match="no instance 'other'"):
        twin_scenario(twin.world, "other", "ec2-compromise", shipped)
    with pytest.raises(InvalidInput, match="no playbook 'other'"):
        twin_scenario(twin.world, twin.target, "other", shipped)


# What differs, in words


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    from flows.gameday.play.before import differences

    told = [json.loads(json.dumps(each, default=str)) for each in (before, after)]
    return differences(*told)


def test_a_containment_is_told_by_what_it_means(simulated_aws: SimulatedAws) -> None:
    from flows.gameday.worlds import state

    ids = build(BANK, simulated_aws.url).ids
    target = ids["instances/web-1"]
    before = state(simulated_aws.url, REGION)
    incident = Incident(simulated_aws.url)
    incident.run(DeregisterInstance, target)
    incident.run(IsolateInstance, target)
    after = state(simulated_aws.url, REGION)

    told = in_words(_changes(before, after), ids)

    eni = ids["interfaces/web-1/0"]
    assert any(
        text.startswith(f"web-1 (its first interface, {eni}) moved from app to the new group sg-")
        for text in told
    )
    assert f"web-1 ({target}) left the target group web (port 8080)" in told
    assert any(text.endswith("is new, with 0 rules") for text in told)
    assert not any("became" in text for text in told)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("scaling.web.v2.members.i-0a", ["InService", False], None),
            "web-1 (i-0a) left the Auto Scaling group web.v2",
        ),
        (
            ("scaling.web.v2.sizes", [2, 4, 2], [2, 4, 3]),
            "the Auto Scaling group web.v2: wanted was 2, and is 3",
        ),
        (
            ("scaling.web.suspended", [], ["Terminate"]),
            "the Auto Scaling group web has suspended Terminate",
        ),
        (("classic.legacy", ["i-0a"], []), "web-1 (i-0a) left the Classic Load Balancer legacy"),
        (
            ("instances.i-0a.disableApiTermination", False, True),
            "web-1 (i-0a) is now protected against being terminated",
        ),
        (
            ("instances.i-0a.volumes./dev/sdf", True, False),
            "web-1 (i-0a): its volume /dev/sdf stays when the instance is terminated",
        ),
        (("instances.i-0b", None, {"state": "running"}), "i-0b is new"),
        (
            ("profiles.i-0a", "arn:aws:iam::1:instance-profile/app", None),
            "web-1 (i-0a): its instance profile was app, and is none",
        ),
        (
            ("iam.roles.my.role", [], ["deny"]),
            "the role my.role gained the inline policy deny",
        ),
        (
            ("acls.acl-1", [], ["1 True deny 203.0.113.8/32 None"]),
            "the network ACL acl-1 gained 1 entry: deny 203.0.113.8/32 out (rule 1)",
        ),
        (
            ("groups.sg-1", ["True -1 -1 0.0.0.0/0"], ["False tcp 22 10.0.0.0/8"]),
            "the security group sg-1 gained 1 rule: tcp 22 from 10.0.0.0/8",
        ),
        (("snapshots", [], ["snap-1", "snap-2"]), "2 snapshots new: snap-1, snap-2"),
        (("tags.i-0a.a.key", None, "value"), "web-1 (i-0a): 1 tag changed"),
        (("something.else", 1, None), "something.else: 1 became nothing"),
    ],
)
def test_each_kind_of_difference_has_its_words(change: tuple[str, Any, Any], says: str) -> None:
    path, before, after = change
    changes = [{"path": path, "before": before, "after": after}]

    assert in_words(changes, {"instances/web-1": "i-0a"})[0] == says


def test_a_twin_is_as_large_as_a_world_file_may_be_and_no_larger(tmp_path: Path) -> None:
    file = tmp_path / "twin.yaml"
    file.write_bytes(b"#" * (4 * 1024 * 1024 + 1))

    with pytest.raises(InvalidInput, match="larger than 4096 KiB"):
        read_twin(file)


def test_what_is_read_once_is_the_same_read_from_its_twin(
    twin: Twin, simulated_aws: SimulatedAws
) -> None:
    from functools import partial

    from flows.gameday.worlds import client

    simulated_aws.reset()
    ids = build(twin.world, simulated_aws.url).ids

    again = export(
        partial(client, simulated_aws.url, REGION), REGION, around=ids["instances/ledger"]
    )

    assert again.world == twin.world
