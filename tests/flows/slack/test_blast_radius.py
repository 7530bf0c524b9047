"""The blast radius is told from a plan's calls alone."""

from __future__ import annotations

from typing import Any

import pytest

from flows.slack.blast_radius import blast_radius, irreversible, risk
from flows.slack.effects import readable
from runbooks.calls import Call, Change, Keep, Plan, PlannedStep, Resource
from tests.flows.people import TARGET


def change(operation: str, why: str = "why", *, keep: str = "", **params: Any) -> Change:
    call = Call("svc", operation, **params)
    undo: Any = Keep(keep) if keep else call
    return Change(call, Resource("arn:aws:ec2:eu-west-1:1:instance/i-1"), undo, why)


def plan(*changes: Change, contingent: tuple[Change, ...] = ()) -> Plan:
    step = PlannedStep("s", "s", TARGET.arn, "contain", changes, contingent)
    return Plan("p", "v", (TARGET.arn,), (step,))


@pytest.mark.parametrize(
    ("changes", "line", "short"),
    [
        (
            [change("detach_instances", AutoScalingGroupName="web")],
            "Leaves the Auto Scaling group `web`, which launches a replacement",
            "leaves `web`",
        ),
        (
            [
                change(
                    "detach_instances",
                    AutoScalingGroupName="web",
                    ShouldDecrementDesiredCapacity=True,
                )
            ],
            "Leaves the Auto Scaling group `web`, without a replacement",
            "leaves `web`, no replacement",
        ),
        (
            [change("enter_standby", AutoScalingGroupName="web")],
            "Goes into standby in `web`, without a replacement",
            "standby in `web`",
        ),
        (
            [change("deregister_targets", TargetGroupArn=f"arn:x:targetgroup/{n}/1") for n in "ab"],
            "Gets no more traffic from 2 target groups: `a`, `b`",
            "out of 2 target groups",
        ),
        (
            [change("modify_network_interface_attribute", NetworkInterfaceId="eni-1", Groups=[])],
            "Cut off: the security groups of 1 network interface are replaced: `eni-1`",
            "1 interface cut off",
        ),
        (
            [
                change("create_network_acl_entry", NetworkAclId="acl-1"),
                change("create_network_acl_entry", NetworkAclId="acl-1"),
            ],
            "Traffic with the finding's addresses is denied for whole subnets, *every host* in "
            "them: `acl-1`",
            "addresses denied for whole subnets",
        ),
        (
            [change("disassociate_address", "take the public address 198.51.100.7 away")],
            "Loses the public address `198.51.100.7`",
            "1 public address lost",
        ),
        (
            [
                change(
                    "put_role_policy",
                    RoleName="app",
                    PolicyDocument='{"ec2:SourceInstanceARN": "i-1"}',
                )
            ],
            "Credentials of the role `app` are denied, for this instance only",
            "credentials of `app` denied",
        ),
        (
            [
                change(
                    "put_role_policy", RoleName="app", PolicyDocument='{"aws:TokenIssueTime": "x"}'
                )
            ],
            "*Every* session of the role `app` is denied, whoever holds it: other instances, "
            "functions and people too",
            "EVERY session of `app` denied",
        ),
        (
            [change("create_stack", StackName="room")],
            "A clean room is made, which costs money by the hour: `room`",
            "a clean room made",
        ),
        ([change("stop_instances")], "1 other call: `svc.stop_instances`", "`svc.stop_instances`"),
    ],
)
def test_what_a_plan_touches(changes: list[Change], line: str, short: str) -> None:
    assert blast_radius(plan(*changes)) == [line]
    assert risk(plan(*changes)) == short


@pytest.mark.parametrize(
    "quiet",
    [
        change("modify_instance_attribute"),
        change("create_tags"),
        change("modify_network_interface_attribute", Attachment={}),
        change("put_role_policy", RoleName="ours", PolicyDocument="ClampdownDenyAll"),
    ],
)
def test_what_nobody_else_notices_is_no_blast_radius(quiet: Change) -> None:
    assert blast_radius(plan(quiet)) == []
    assert risk(plan(quiet)) == "nothing goes down: protection, evidence and tags only"


def test_everything_that_is_let_in_for_a_minute_is_said() -> None:
    everything = [{"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    (line,) = blast_radius(plan(change("authorize_security_group_ingress", X=everything)))
    assert "*everything is let in*" in line
    forensics = [{"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    assert blast_radius(plan(change("authorize_security_group_ingress", X=forensics))) == []


def test_the_widest_comes_first() -> None:
    lines = blast_radius(
        plan(
            change("detach_instances", AutoScalingGroupName="web"),
            change("put_role_policy", RoleName="app", PolicyDocument="aws:TokenIssueTime"),
        )
    )
    assert [line[:9] for line in lines] == ["*Every* s", "Leaves th"]


def test_what_a_load_balancer_does_by_itself_counts_and_other_contingencies_do_not() -> None:
    maybe = (
        change("deregister_targets", TargetGroupArn="arn:x:targetgroup/asg/1"),
        change("detach_instances", AutoScalingGroupName="web"),
    )
    assert blast_radius(plan(contingent=maybe)) == [
        "Gets no more traffic from 1 target group: `asg`"
    ]


def test_what_an_undo_does_not_take_back() -> None:
    lines = irreversible(
        plan(
            change("create_snapshots", "take snapshots", keep="evidence"),
            change("create_snapshot", "take another", keep="evidence"),
            change("put_role_policy", "deny the role", keep="it goes with the role"),
            change("modify_network_interface_attribute", Groups=[]),
            contingent=(
                change("lock_snapshot", "lock <pending:each snapshot of i-1>", keep="it stays"),
                change("delete_stack", "delete", keep="it holds nothing"),
            ),
        )
    )
    assert lines == [
        "take snapshots and 1 more (evidence)",
        "lock each snapshot of i-1 (it stays)",
        "connections that are cut stay cut",
    ]


def test_what_aws_will_choose_is_put_in_words() -> None:
    assert readable("put eni-1 into <pending:ec2.isolate/1/GroupId>") == "put eni-1 into a new one"
    assert readable("<pending:any other interface of i-1>") == "any other interface of i-1"
