"""A drill written by hand: records of the shapes that a player and an executor write, each with its
time, into a real journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.gameday.assessment import Assessment, Past
from flows.gameday.drills import (
    BACK,
    BEGAN,
    CALLS,
    CHECKED,
    DIED,
    DIFFERENCE,
    ENDED,
    INJECTED,
    PERSON,
    Drill,
    read_drill,
)
from flows.gameday.scenario import Scenario
from flows.gameday.score import assess
from flows.gameday.score.reading import Played, read
from flows.identity import Identity
from flows.incident import ref_to_json
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record, time_text
from runbooks.calls import Call, Change, Keep, Plan, PlannedStep, Resource, sha256
from runbooks.playbook import Playbooks
from runbooks.targets.reference import TargetRef

ACCOUNT, REGION = "123456789012", "eu-west-1"
VICTIM, OTHER, DECOY = "i-0123456789abcdef0", "i-00000000000000002", "i-00000000000000003"
NAMES = {"victim": VICTIM, "other": OTHER, "decoy": DECOY}
GUARDDUTY_ID = "e99f40edbdb686ef8d98e23ae97a7458"
BEGAN_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INCIDENT = "inc-20260302-abcdef"
EXECUTOR = Actor("system", "clampdown", "executor")
SERVICE = Actor("service", "service:clampdown", "serve")
DRILL = Actor("system", "drill", "drill")

STEPS: Sequence[Mapping[str, Any]] = (
    {"parallel": [{"step": "ec2.protect"}, {"step": "ec2.snapshot"}]},
    {
        "approve": {
            "id": "contain",
            "by": "oncall",
            "within": "15m",
            "otherwise": "escalate",
            "escalate_to": "leads",
        }
    },
    {"step": "ec2.isolate"},
    {"step": "ec2.tag"},
    {"step": "evidence.wait"},
    {"manual": {"text": "Open a case", "by": "oncall"}},
)


def playbooks(steps: Sequence[Mapping[str, Any]] = STEPS) -> Playbooks:
    return Playbooks.model_validate(
        {
            "version": 1,
            "accounts": {ACCOUNT: {"name": "a", "environment": "production"}},
            "approvers": {
                "oncall": {"local_users": ["alice"]},
                "leads": {"local_users": ["carol"]},
            },
            "playbooks": {
                "contain-it": {"title": "Contain it", "target": "ec2.instance", "steps": steps}
            },
        }
    )


def arn(instance: str) -> str:
    return _ref(instance).arn


def within(milestone: str, limit: str, **more: Any) -> dict[str, Any]:
    """An objective in time."""
    title = f"{milestone} in time"
    return {"id": milestone, "title": title, "until": milestone, "within": limit, **more}


def holds(condition: str, *of: str, **more: Any) -> dict[str, Any]:
    """An objective that is a condition."""
    title = f"{condition} at the end"
    return {"id": condition, "title": title, "holds": condition, "of": of, **more}


class Rehearsal:
    """Writes a drill down, second by second of the scenario's clock."""

    def __init__(
        self,
        home: Path,
        *objectives: Mapping[str, Any],
        timeline: Sequence[Mapping[str, Any]] = (),
        drill: str = "drill-20261101-120000-abcdef",
        steps: Sequence[Mapping[str, Any]] = STEPS,
        scenario: str = "mining",
        mode: str = "sandbox",
        lasts: str = "2h",
    ) -> None:
        self.clampdown_home = home
        self.home = home / "drills" / drill
        self.home.mkdir(parents=True)
        self.journal = Journal.open(f"sqlite:///{self.home / 'journal.db'}")
        self.id = drill
        self.playbooks = playbooks(steps)
        self.now = 0.0
        finding = {"at": "30s", "finding": {"type": "CryptoCurrency:EC2/X", "on": "victim"}}
        self.scenario = Scenario.model_validate(
            {
                "version": 1,
                "title": "Mining",
                "purpose": "to try it",
                "playbook": "contain-it",
                "techniques": ["T1496"],
                "lasts": lasts,
                "people": {"alice": {"groups": ["oncall"]}},
                "timeline": timeline or [finding],
                "objectives": objectives or [within("contained", "10m")],
            }
        )
        definition = self.scenario.model_dump(mode="json", by_alias=True)
        self.write(
            self.id,
            BEGAN,
            {
                "scenario": scenario,
                "title": self.scenario.title,
                "definition": definition,
                "digest": sha256(definition),
                "playbooks_digest": "d" * 64,
                "mode": mode,
                "seed": 7,
                "tool": "1.0",
                "people": "stand-ins",
                "region": REGION,
                "account": ACCOUNT,
                "names": NAMES,
            },
            DRILL,
        )

    # Writing

    def at(self, seconds: float) -> Rehearsal:
        """What is written from now on is written at that second."""
        self.now = seconds
        return self

    def write(self, chain: str, kind: str, body: Mapping[str, Any], actor: Actor) -> Record:
        at = BEGAN_AT + timedelta(seconds=self.now)
        return self.journal.append(chain, kind, body, actor, at=at)

    def tell(
        self, kind: str, incident: str = INCIDENT, actor: Actor = EXECUTOR, **body: Any
    ) -> Record:
        return self.write(incident, kind, body, actor)

    # The scenario

    def inject(self, event: int, **detail: Any) -> Record:
        happens = self.scenario.timeline[event]
        thing = happens.things[0]
        body = {
            "event": event,
            "at": happens.at.total_seconds(),
            "thing": thing,
            "text": f"the {thing} of event {event}",
            "detail": detail,
        }
        return self.write(self.id, INJECTED, body, DRILL)

    def finding(self, event: int = 0, identity: str = GUARDDUTY_ID) -> Record:
        return self.inject(event, id="finding", finding_id=identity)

    def routed(self, outcome: str, why: str = "", identity: str = GUARDDUTY_ID) -> Record:
        body = {
            "source": "guardduty",
            "id": identity,
            "account": ACCOUNT,
            "region": REGION,
            "type": "CryptoCurrency:EC2/X",
            "severity": 8,
            "updated_at": time_text(BEGAN_AT),
            "raw_sha256": "0" * 64,
            "via": "sqs",
            "outcome": outcome,
            "incident": "",
            "why": [why] if why else [],
            "sure": True,
            "custom_action": None,
            "simulate": "http://127.0.0.1:9",
        }
        return self.write(f"fnd-{identity[:24]}", "finding.decided", body, SERVICE)

    def person(self, who: str, does: str, **more: Any) -> Record:
        body = {
            "person": who,
            "does": does,
            "incident": INCIDENT,
            "gate": "contain",
            "after": None,
            "refused": "",
            "details_opened": None,
            **more,
        }
        return self.write(self.id, PERSON, body, Identity("local", who).actor)

    def died(self, back_after: float = 30) -> None:
        self.write(self.id, DIED, {"event": 0, "change": "ec2:x", "back_after": back_after}, DRILL)

    def back(self, away: float = 30) -> None:
        self.write(self.id, BACK, {"away": away}, DRILL)

    def checked(
        self, objective: str, holds: bool | None, found: str = "it was looked at"
    ) -> Record:
        body = {"objective": objective, "holds": holds, "found": found, "of": []}
        return self.write(self.id, CHECKED, body, DRILL)

    def calls(self, *calls: Mapping[str, Any], faults: Sequence[Mapping[str, Any]] = ()) -> Record:
        body = {"calls": list(calls), "faults": list(faults)}
        return self.write(self.id, CALLS, body, DRILL)

    def difference(self, when: str, *paths: str) -> Record:
        changes = [{"path": path, "before": 1, "after": 2} for path in paths]
        return self.write(self.id, DIFFERENCE, {"when": when, "changes": changes}, DRILL)

    def ended(self, why: str = "over") -> Record:
        return self.write(self.id, ENDED, {"why": why}, DRILL)

    # An incident

    def opened(
        self,
        incident: str = INCIDENT,
        *,
        targets: Sequence[str] = (VICTIM,),
        identity: str | None = GUARDDUTY_ID,
        proposed: bool = False,
        actor: Actor = SERVICE,
    ) -> Record:
        playbook = self.playbooks.playbooks["contain-it"]
        finding = {"id": identity, "source": "guardduty", "type": "CryptoCurrency:EC2/X"}
        body = {
            "playbook": "contain-it",
            "version": playbook.version,
            "definition": playbook.to_json(),
            "targets": [ref_to_json(_ref(target)) for target in targets],
            "finding": finding if identity else None,
            "simulate": "http://127.0.0.1:9",
            "reason": "a drill",
            "authors": [],
            "proposed": proposed,
            "automatic": not proposed,
            "channel": "",
        }
        return self.write(incident, "incident.opened", body, actor)

    def planned(
        self, incident: str = INCIDENT, *, why: str = "the facts were read", **counts: int
    ) -> Record:
        """A plan with so many changes for each step (``ec2_isolate=2``)."""
        steps = tuple(
            PlannedStep(_step(name), _step(name), arn(VICTIM), "", (_change(),) * count)
            for name, count in counts.items()
        )
        plan = Plan("contain-it", "v1", (arn(VICTIM),), steps)
        body = {"plan": plan.to_json(), "why": why, "tags": {}}
        return self.write(incident, "plan.made", body, EXECUTOR)

    def asks(
        self, incident: str = INCIDENT, *, count: int = 1, round_: int = 1, **more: Any
    ) -> Record:
        body = {
            "gate": "contain",
            "round": round_,
            "nonce": f"nonce{round_}",
            "digest": "d" * 64,
            "plan": {},
            "any_of": [{"group": "oncall", "count": count}],
            "deny_at": 1,
            "distinct_from": ["requester"],
            "expires_at": time_text(BEGAN_AT + timedelta(seconds=self.now + 900)),
            "within_seconds": 900,
            "otherwise": "escalate",
            "escalate_to": "leads",
            "remind_seconds": None,
            "notify": ["oncall"],
            "break_glass": None,
            "review_seconds": 86400,
            "step_up": None,
            "gone": [],
            "added": [],
            **more,
        }
        return self.write(incident, "gate.requested", body, EXECUTOR)

    def decides(
        self,
        who: str = "alice",
        answer: str = "approve",
        incident: str = INCIDENT,
        *,
        groups: Sequence[str] = ("oncall",),
        **said: Any,
    ) -> Record:
        """Somebody decides, and the drill's chain tells of it."""
        actor = Identity("local", who).actor
        body = {
            "gate": "contain",
            "nonce": "nonce1",
            "answer": answer,
            "digest": "d" * 64,
            "principal": actor.id,
            "groups": list(groups),
            "why": "",
            "break_glass": False,
            "seen": "",
            "step_up": None,
            "usergroups": [],
            "latency_seconds": 0.0,
        }
        record = self.write(incident, "gate.decided", body, actor)
        does = "approved" if answer == "approve" else "denied"
        self.person(who, does, incident=incident, **{"details_opened": True, **said})
        return record

    def refuses(self, who: str, why: str, answer: str = "approve") -> Record:
        """Somebody's decision is not counted."""
        body = {"gate": "contain", "answer": answer, "why": why, "wrong_code": False}
        record = self.write(INCIDENT, "gate.refused", body, Identity("local", who).actor)
        self.person(who, "approved" if answer == "approve" else "denied", refused=why)
        return record

    def begins(self, step: str, target: str = VICTIM, incident: str = INCIDENT) -> Record:
        return self.tell("step.started", incident, step=step, name=step, target=arn(target))

    def changes(
        self,
        step: str,
        target: str = VICTIM,
        incident: str = INCIDENT,
        *,
        status: str = "done",
        code: str = "",
        operation: str = "modify_network_interface_attribute",
        on: str = "",
        undoes: int | None = None,
        answer: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Record:
        """A change and its outcome; the outcome is returned."""
        change = Change(
            Call("ec2", operation, **params), Resource(on or arn(target)), Keep("k"), "w"
        )
        intent = self.tell(
            "change.intent",
            incident,
            step=step,
            target=ref_to_json(_ref(target)),
            mode="simulated",
            change=change.to_json(),
            undoes=undoes,
        )
        return self.tell(
            "change.outcome",
            incident,
            intent=intent.seq,
            status=status,
            error=f"ec2:{operation}: AWS answered {code}" if code else "",
            code=code,
            request_id="",
            identifiers=dict(answer or {}),
        )

    def finishes(
        self,
        step: str,
        target: str = VICTIM,
        incident: str = INCIDENT,
        *,
        status: str = "done",
        error: str = "",
        **outputs: Any,
    ) -> Record:
        return self.tell(
            "step.finished",
            incident,
            step=step,
            name=step,
            target=arn(target),
            status=status,
            outputs=outputs,
            error=error,
        )

    def does(self, step: str, target: str = VICTIM, incident: str = INCIDENT) -> None:
        """A step that goes as written, within the second."""
        self.begins(step, target, incident)
        self.changes(step, target, incident)
        self.finishes(step, target, incident)

    def verifies(
        self, step: str, target: str = VICTIM, incident: str = INCIDENT, *, error: str = ""
    ) -> Record:
        kind = "verify.failed" if error else "verify.passed"
        return self.tell(kind, incident, step=step, target=arn(target), error=error)

    def closes(
        self, status: str = "contained", incident: str = INCIDENT, *, error: str = "", **more: Any
    ) -> Record:
        return self.tell("incident.closed", incident, status=status, error=error, **more)

    # Reading

    def drill(self) -> Drill:
        return read_drill(self.home, self.journal, self.id)

    def played(self) -> Played:
        return read(self.drill())

    def assessed(self, *past: Past) -> Assessment:
        return assess(self.drill(), self.playbooks, past)


def whole(to: Rehearsal) -> Rehearsal:
    """A containment as it goes on a good day, taken back at the end.

    The finding comes at 30 s, the plan at 34, the gate is asked for at 35, looked at at 155 and
    approved at 215; isolated at 225, verified at 230, evidence at 1,130, taken back at 1,210.
    """
    to.at(30).finding()
    to.at(31).opened()
    to.tell("incident.started", actor=SERVICE, reason="opened")
    to.at(34).planned(ec2_protect=1, ec2_snapshot=1, ec2_isolate=2, ec2_tag=1)
    to.at(35).asks()
    to.begins("ec2.protect")
    to.begins("ec2.snapshot")
    to.at(37).changes("ec2.protect")
    to.changes(
        "ec2.snapshot",
        operation="create_snapshots",
        answer={"Snapshots": [{"SnapshotId": "snap-1", "VolumeId": "vol-1"}]},
    )
    to.finishes("ec2.protect")
    to.finishes("ec2.snapshot", snapshots={"vol-1": "snap-1"})
    to.at(155).person("alice", "noticed", after=120.0)
    to.person("alice", "acknowledged", after=120.0, gate="")
    to.at(215).decides(after=180.0)
    to.at(216).begins("ec2.isolate")
    to.at(220).changes("ec2.isolate")
    to.at(225).changes("ec2.isolate")
    to.at(226).finishes("ec2.isolate")
    to.does("ec2.tag")
    to.at(230)
    for step in ("ec2.protect", "ec2.snapshot", "ec2.isolate", "ec2.tag"):
        to.verifies(step)
    to.begins("evidence.wait")
    to.changes("evidence.wait", operation="lock_snapshot", SnapshotId="snap-1")
    to.at(1129).finishes("evidence.wait")
    to.at(1130).verifies("evidence.wait")
    to.tell("manual.requested", id="manual", text="Open a case", by="oncall")
    to.closes()
    to.at(1200).person("alice", "undid", gate="")
    to.tell("undo.started", actor=Identity("local", "alice").actor, step=None)
    for intent in to.journal.records(INCIDENT):
        if intent.kind == "change.intent":
            to.tell("change.undone", intent=intent.seq)
    to.at(1210).closes("undone", undo=True)
    to.at(1800).difference("undone", "snapshots")
    to.calls(
        {
            "service": "ec2",
            "operation": "DescribeInstances",
            "changes": False,
            "count": 9,
            "errors": {},
        }
    )
    to.ended()
    return to


def _ref(instance: str) -> TargetRef:
    return TargetRef("ec2.instance", ACCOUNT, REGION, instance)


def _step(name: str) -> str:
    return name.replace("_", ".", 1)


def _change() -> Change:
    return Change(Call("ec2", "x"), Resource(arn(VICTIM)), Keep("k"), "w")
