"""An incident that is made up, all of whose text is a test's: no journal, no AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.journal.record import Actor, Record, time_text
from runbooks.calls import Call, Change, Keep, Plan, PlannedStep, Resource, Undo
from runbooks.playbook import Playbooks
from tests.flows.people import ACCOUNT, INSTANCE, REGION, TARGET, TEAM

ID = "inc-20261123-7f3a9c"
NONCE = "0123456789abcdef"
BEGAN = datetime(2026, 11, 23, 3, 12, tzinfo=UTC)
ANA, BEN, RIA = (f"slack:{TEAM}/{user}" for user in ("U0ANA", "U0BEN", "U0RIA"))
SYSTEM = Actor("system", "clampdown", "executor")

Text = Callable[[], str]


def some_playbooks(text: Text) -> Playbooks:
    """Playbooks whose titles and names of accounts are the test's."""
    steps = [{"approve": {"id": "contain", "by": "oncall"}}, {"step": "ec2.isolate"}]
    title = text()[:1000] or "t"
    return Playbooks.model_validate(
        {
            "version": 1,
            "accounts": {
                ACCOUNT: {"name": text()[:1000] or "a", "environment": text()[:1000] or "e"}
            },
            "approvers": {
                "oncall": {
                    "slack_team": TEAM,
                    "slack_users": ["U0ANA", "U0BEN", "U0RIA", text()[:100] or "U0ANA"],
                    "deputies": {"U0ANA": "U0BEN"},
                },
                "leads": {"slack_team": TEAM, "slack_usergroup": "S0LEADS"},
            },
            "slack": {"channel": "C0INCIDENT", "owner_tags": ["team"]},
            "playbooks": {"contain-it": {"title": title, "target": "ec2.instance", "steps": steps}},
        }
    )


def some_plan(text: Text, *, many: int = 1) -> Plan:
    """A plan with a call of every kind that changes something for somebody else."""
    calls = [
        Call("ec2", "create_snapshots", InstanceSpecification={"InstanceId": text()}),
        Call("autoscaling", "detach_instances", AutoScalingGroupName=text()),
        Call("autoscaling", "enter_standby", AutoScalingGroupName=text()),
        Call("autoscaling", "update_auto_scaling_group", AutoScalingGroupName=text()),
        Call("elbv2", "deregister_targets", TargetGroupArn=text()),
        Call("elb", "deregister_instances_from_load_balancer", LoadBalancerName=text()),
        Call("ec2", "modify_network_interface_attribute", NetworkInterfaceId=text(), Groups=[]),
        Call("ec2", "authorize_security_group_ingress", GroupId=text(), Cidr="0.0.0.0/0"),
        Call("ec2", "create_network_acl_entry", NetworkAclId=text()),
        Call("ec2", "disassociate_address", AssociationId=text()),
        Call("ec2", "modify_instance_metadata_options", InstanceId=text()),
        Call("ec2", "disassociate_iam_instance_profile", AssociationId=text()),
        Call("iam", "put_role_policy", RoleName=text(), PolicyDocument="aws:TokenIssueTime"),
        Call("iam", "put_role_policy", RoleName=text(), PolicyDocument="ec2:SourceInstanceARN"),
        Call("iam", "put_role_policy", RoleName=text(), PolicyDocument=text()),
        Call("ec2", "lock_snapshot", SnapshotId=text(), LockMode=text(), LockDuration=30),
        Call("cloudformation", "create_stack", StackName=text(), TemplateBody=text()),
        Call("ec2", text() or "x"),
    ]
    changes = tuple(
        Change(
            call,
            Resource(f"arn:aws:ec2:{REGION}:{ACCOUNT}:x/{text()}"),
            Keep(text() or "kept") if number % 4 == 0 else Undo(call),
            text(),
        )
        for number, call in enumerate(calls * many)
    )
    steps = (
        PlannedStep("ec2.protect", "ec2.protect", TARGET.arn, "", changes[:1], warnings=(text(),)),
        PlannedStep(
            "ec2.isolate",
            "ec2.isolate",
            TARGET.arn,
            "contain",
            changes,
            contingent=changes,
            warnings=tuple(text() for _ in range(6)),
        ),
        PlannedStep("ec2.tag", "ec2.tag", TARGET.arn, "contain", (), skipped=text() or "not so"),
    )
    return Plan("contain-it", "v1", (TARGET.arn,), steps)


def some_records(text: Text, playbooks: Playbooks, *, many: int = 1) -> list[Record]:
    """Everything that can happen to an incident, one after the other."""
    plan = some_plan(text, many=many)
    target = {"kind": "ec2.instance", "account": ACCOUNT, "region": REGION, "id": INSTANCE}
    step = {"step": "ec2.isolate", "name": "ec2.isolate", "target": TARGET.arn}
    change = {"step": "ec2.isolate", "target": target, "mode": "live", "undoes": None}
    isolating = plan.steps[1].changes[0].to_json()
    person, other = Actor("person", ANA, "slack"), Actor("person", BEN, "slack")
    story: list[tuple[str, Mapping[str, Any], Actor]] = [
        ("incident.opened", _opened(text, playbooks), Actor("person", RIA, "slack")),
        ("incident.started", {"reason": text()}, SYSTEM),
        (
            "plan.made",
            {
                "plan": plan.to_json(),
                "why": text(),
                "tags": {TARGET.arn: {"Name": text(), "team": text(), text(): text()}},
            },
            SYSTEM,
        ),
        ("gate.requested", _asked(plan, text, 1), SYSTEM),
        ("gate.reminded", {"gate": "contain", "needed": text()}, SYSTEM),
        ("gate.refused", {"gate": "contain", "answer": "approve", "why": text()}, other),
        ("gate.requested", _asked(plan, text, 2), SYSTEM),
        (
            "gate.escalated",
            {"gate": "contain", "to": "leads", "expires_at": time_text(BEGAN + _HOUR)},
            SYSTEM,
        ),
        ("gate.decided", _decided(plan, text, ANA), person),
        ("page.requested", {"gate": "contain", "groups": ["oncall"], "why": text()}, SYSTEM),
        ("gate.bypass_attempt", {"gate": "contain", "step": "ec2.tag", "why": text()}, SYSTEM),
        ("step.started", step, SYSTEM),
        ("change.intent", {**change, "change": isolating}, SYSTEM),
        (
            "step.finished",
            {
                **step,
                "status": "done",
                "error": "",
                "outputs": {"isolation_group": text()},
            },
            SYSTEM,
        ),
        ("verify.failed", {**step, "error": text()}, SYSTEM),
        (
            "step.finished",
            {
                "step": "snap",
                "name": "ec2.snapshot",
                "target": TARGET.arn,
                "status": "done",
                "error": "",
                "outputs": {"snapshots": {text(): text()}},
            },
            SYSTEM,
        ),
        (
            "step.finished",
            {
                "step": "room",
                "name": "clean_room.create",
                "target": TARGET.arn,
                "status": "done",
                "error": "",
                "outputs": {"connect": text(), "expires": text()},
            },
            SYSTEM,
        ),
        ("warning", {"step": "ec2.isolate", "text": text()}, SYSTEM),
        ("finding.joined", {"finding": _finding(text, "1")}, SYSTEM),
        ("finding.joined", {"finding": _finding(text, "2")}, SYSTEM),
        ("finding.resolved", {"finding": _finding(text, "1")}, SYSTEM),
        ("finding.joined", {"finding": _finding(text, "1")}, SYSTEM),
        ("incident.asked", {"automatic": True, "simulate": "", "reason": text()}, SYSTEM),
        ("incident.paused", {"why": text()}, SYSTEM),
        ("manual.requested", {"id": "call", "text": text(), "by": "oncall"}, SYSTEM),
        ("manual.requested", {"id": "write", "text": text(), "by": "leads"}, SYSTEM),
        ("manual.decided", {"id": "call", "done": False, "note": text()}, other),
        ("change.intent", {**change, "change": {**isolating, "why": text()}}, SYSTEM),
        ("incident.closed", {"status": "incomplete", "error": text()}, SYSTEM),
        ("undo.started", {"step": None}, person),
        ("incident.closed", {"status": "failed", "error": text(), "undo": True}, SYSTEM),
        ("incident.aborted", {"why": text()}, other),
    ]
    return [
        Record(ID, number, BEGAN + timedelta(seconds=number), kind, actor, body, "", "")
        for number, (kind, body, actor) in enumerate(story, start=1)
    ]


_HOUR = timedelta(hours=1)


def _opened(text: Text, playbooks: Playbooks) -> dict[str, Any]:
    return {
        "playbook": "contain-it",
        "version": "v1",
        "definition": playbooks.playbooks["contain-it"].to_json(),
        "targets": [{"kind": "ec2.instance", "account": ACCOUNT, "region": REGION, "id": INSTANCE}],
        "finding": {
            "id": text(),
            "type": text(),
            "severity": 8.0,
            "title": text(),
            "description": text(),
            "sample": True,
            "remote_addresses": [text(), text()],
            "resources": [{"id": INSTANCE, "tags": {"Name": text()}}],
        },
        "simulate": "",
        "reason": text(),
        "authors": [],
        "proposed": False,
        "automatic": False,
        "channel": "C0INCIDENT",
    }


def _finding(text: Text, account: str) -> dict[str, Any]:
    """One that joins; by its account, it is another one than those of other accounts."""
    return {
        "source": text(),
        "account": account,
        "region": text(),
        "id": "f",
        "type": text(),
        "severity": 9.5,
        "title": text(),
    }


def _asked(plan: Plan, text: Text, round_: int) -> dict[str, Any]:
    behind = plan.behind("contain")
    return {
        "gate": "contain",
        "round": round_,
        "nonce": NONCE,
        "digest": behind.digest,
        "plan": behind.to_json(),
        "any_of": [{"group": "oncall", "count": 2}],
        "deny_at": 1,
        "distinct_from": ["requester"],
        "expires_at": time_text(BEGAN + _HOUR),
        "within_seconds": 3600,
        "otherwise": "escalate",
        "escalate_to": "leads",
        "remind_seconds": None,
        "notify": ["oncall", "leads"],
        "break_glass": "oncall",
        "review_seconds": 3600,
        "step_up": "totp",
        "gone": [text()] * 20,
        "added": [text()] * 20,
    }


def _decided(plan: Plan, text: Text, principal: str) -> dict[str, Any]:
    return {
        "gate": "contain",
        "nonce": NONCE,
        "answer": "approve",
        "digest": plan.behind("contain").digest,
        "principal": principal,
        "groups": ["oncall"],
        "why": text(),
        "break_glass": True,
        "seen": "",
        "step_up": {"provider": "totp", "number": 1},
        "usergroups": [],
        "latency_seconds": 1.0,
    }
