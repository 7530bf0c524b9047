"""What is known of what really happened to the targets of a judgement, and from whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from flows.identity import Identity
from flows.incident import Incident, fold
from flows.journal.journal import Journal
from flows.shadow.records import JUDGED, MARKED, Judgement, finding_chain, is_shadow
from runbooks.aws import Reader
from runbooks.calls import Call
from runbooks.errors import ClampdownError, InvalidInput
from runbooks.registry import STEPS

Truth = Literal["contained", "false alarm", "missed", "unknown"]
"""People contained it; there was nothing; it was real and nobody contained it; nobody has said."""

# Calls by which somebody takes a machine off the network, or down.
_CONTAINING = (
    "ModifyNetworkInterfaceAttribute",
    "ModifyInstanceAttribute",
    "StopInstances",
    "TerminateInstances",
)
_DOWN = {"stopping", "stopped", "shutting-down", "terminated"}
_ISOLATE = "ec2.isolate"


@dataclass(frozen=True)
class Said:
    """What one source says. ``truth`` is unknown where it is only a hint; ``at`` is when people had
    contained it, where that is known."""

    source: Literal["people", "incident", "AWS", "finding"]
    truth: Truth
    at: datetime | None
    text: str


def mark(
    journal: Journal,
    chain: str,
    identity: Identity,
    *,
    truth: Truth,
    contained_at: datetime | None = None,
    why: str = "",
) -> None:
    """Write down, as this person, what a judged finding really was. The newest mark counts.

    Raises InvalidInput for a chain that isn't shadow's, a time in the future, or without its zone.
    """
    records = journal.records(chain) if is_shadow(chain) else []
    judged = next((record.body for record in records if record.kind == JUDGED), None)
    if judged is None:
        raise InvalidInput(
            f"There is no judgement {chain!r}.", advice="`clampdown gameday shadow list` has them."
        )
    if judged["verdict"] == "join":
        raise InvalidInput(
            f"{chain} is no case of its own: it would have joined {judged['joins']}.",
            advice="Mark that one.",
        )
    if (truth == "contained") is (contained_at is None):
        raise InvalidInput("What was contained was contained at a time, and nothing else was.")
    if contained_at is not None and contained_at.tzinfo is None:
        raise InvalidInput(
            f"{contained_at.isoformat()} has no time zone.",
            advice="Write 2026-11-23T14:05:00Z, or +01:00 at its end.",
        )
    if contained_at is not None and contained_at > datetime.now(UTC):
        raise InvalidInput(f"{contained_at.isoformat()} is in the future.")
    at = contained_at.astimezone(UTC).isoformat() if contained_at else ""
    body = {"truth": truth, "contained_at": at, "why": why}
    journal.append(chain, MARKED, body, identity.actor)


def marked(journal: Journal, judgement: Judgement) -> Said | None:
    """What somebody says that it was: the newest that was said."""
    for record in reversed(journal.records(judgement.chain)):
        if record.kind == MARKED:
            body = record.body
            at = datetime.fromisoformat(body["contained_at"]) if body["contained_at"] else None
            why = f": {body['why']}" if body["why"] else ""
            return Said("people", body["truth"], at, f"{record.actor.id} says {body['truth']}{why}")
    return None


def contained_by_incident(incidents: Sequence[Incident], judgement: Judgement) -> Said | None:
    """The first incident on one of the targets that was opened later, and has contained it."""
    wanted = set(judgement.targets)
    for incident in sorted(incidents, key=lambda item: item.opened_at):
        about = wanted & {ref.id for ref in incident.targets}
        if not about or incident.opened_at < judgement.begins or incident.opened.get("drill"):
            continue
        if (at := _contained_at(incident)) is not None:
            taken_back = ", taken back since" if incident.undoing else ""
            text = f"{incident.id}, opened by {incident.requester.id}{taken_back}"
            return Said("incident", "contained", at, text)
    return None


def resolved(journal: Journal, judgement: Judgement) -> Said | None:
    """That the finding was archived or resolved: a hint, because it says nothing of why."""
    for record in journal.records(finding_chain(judgement.chain)):
        if record.body.get("outcome") == "resolved" and record.at >= judgement.begins:
            sure = "" if record.body["sure"] else ", which nobody has confirmed"
            text = f"the finding was archived or resolved by {record.at:%Y-%m-%d %H:%M} UTC{sure}"
            return Said("finding", "unknown", None, text)
    return None


def incidents_on(journal: Journal, simulate: str) -> list[Incident]:
    """All incidents on one side of live and simulated."""
    found = (fold(journal.records(chain)) for chain in journal.chains_with("incident.opened"))
    return [incident for incident in found if incident.simulate == simulate]


class AwsLook:
    """Looks at the targets as they are in AWS, and at who did that. Only reads are sent.

    ``readers`` gives a reader of an account and Region.
    """

    def __init__(self, readers: Mapping[tuple[str, str], Reader]) -> None:
        self._readers = readers

    def contained(self, judgement: Judgement) -> Said | None:
        """Whether every target is off the network now, or down, and since when, where CloudTrail can
        be asked: the first such call after the finding counts, which is never in our favour.
        """
        found = []
        for target in judgement.record.body["targets"]:
            reader = self._readers[target["account"], target["region"]]
            try:
                state = self._state(reader, target["id"])
            except ClampdownError as error:
                return Said("AWS", "unknown", None, f"{target['id']} can't be looked at: {error}")
            if not state:
                return None
            found.append((state, *self._since(reader, target["id"], judgement)))
        times = [at for _, at, _ in found if at is not None]
        # All of it is contained when the last of them is.
        at = max(times) if len(times) == len(found) else None
        return Said("AWS", "contained", at, "; ".join(f"{s}{by}" for s, _, by in found))

    def _state(self, reader: Reader, instance: str) -> str:
        """How it is that the instance is contained; empty where it is not."""
        answer = reader.read(
            Call("ec2", "describe_instances", InstanceIds=[instance]),
            absent=("InvalidInstanceID.NotFound",),
        )
        instances = [item for r in answer.get("Reservations", []) for item in r["Instances"]]
        if not instances:
            return f"{instance} is gone"
        if (state := instances[0]["State"]["Name"]) in _DOWN:
            return f"{instance} is {state}"
        groups = {
            group["GroupId"]
            for interface in instances[0].get("NetworkInterfaces", [])
            for group in interface.get("Groups", [])
        }
        filters = [{"Name": "group-id", "Values": sorted(groups)}]
        rules = reader.read(Call("ec2", "describe_security_group_rules", Filters=filters))
        isolated = bool(groups) and not rules.get("SecurityGroupRules")
        return f"{instance} has only security groups without a rule" if isolated else ""

    def _since(
        self, reader: Reader, instance: str, judgement: Judgement
    ) -> tuple[datetime | None, str]:
        """When that was done, and by whom; nothing where CloudTrail doesn't say."""
        names = [instance, *judgement.record.body["security_groups"]]
        try:
            events = [event for name in names for event in _events(reader, name, judgement.begins)]
        except ClampdownError as error:
            return None, f" (CloudTrail can't be asked: {error.what})"
        if not events:
            return None, ""
        first = min(events, key=lambda event: event["EventTime"])
        at: datetime = first["EventTime"].astimezone(UTC)
        by = first.get("Username", "somebody")
        return at, f" ({first['EventName']} by {by} at {at:%Y-%m-%d %H:%M:%S} UTC)"


def _events(reader: Reader, name: str, since: datetime) -> Iterator[dict[str, Any]]:
    answer = reader.read(
        Call(
            "cloudtrail",
            "lookup_events",
            LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": name}],
            StartTime=since.replace(microsecond=0),
        )
    )
    for event in answer.get("Events", []):
        if event["EventName"] in _CONTAINING and _contains(json.loads(event["CloudTrailEvent"])):
            yield event


def _contains(event: Mapping[str, Any]) -> bool:
    """Whether a call that may contain something has done so: it succeeded, and, where it changes one
    of many attributes, that was the security groups."""
    if event.get("errorCode"):
        return False
    names = [str(name).lower() for name in event.get("requestParameters") or ()]
    return not event["eventName"].startswith("Modify") or any("group" in name for name in names)


def _contained_at(incident: Incident) -> datetime | None:
    """When its steps had contained it: the isolation where there is one, else all that doesn't wait."""
    done = [
        step
        for step in incident.steps
        if step.status in {"done", "unchanged"} and step.finished and step.step in STEPS
    ]
    isolated = [step.finished for step in done if step.step == _ISOLATE and step.finished]
    if isolated:
        return max(isolated)
    if any(step.step == _ISOLATE for step in incident.steps):
        return None
    others = [step.finished for step in done if step.finished and not STEPS[step.step].waits]
    ended = incident.status in {"contained", "incomplete", "undone"}
    return max(others) if others and ended else None
