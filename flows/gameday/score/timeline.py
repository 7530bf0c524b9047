"""What happened, moment by moment, in words: the scenario, people, and Clampdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from flows.console.sentences import sentence
from flows.gameday.assessment import Moment
from flows.gameday.drills import BACK, CALLS, DIED, DIFFERENCE, INJECTED, PERSON
from flows.gameday.score.reading import Played, source, words
from flows.incident import is_incident
from flows.journal.record import Record

Kind = Literal["inject", "person", "machine", "refused", "fault"]
_FAULTS = {"fault", "attacker", "dies"}
_REFUSED = {"gate.refused", "gate.bypass_attempt", "finding.rejected"}
_REFUSED_OUTCOMES = {"refused", "unconfirmed"}
# What people's decisions are told by, in the incident's own chain.
_TOLD_THERE = {"approved", "denied"}
# Whoever reads a timeline wants to see what was done, and not every answer of AWS to it.
_LEFT_OUT = {"change.undone", "slack.posted", "slack.told", "slack.channel", CALLS, DIFFERENCE}
_DOES = {
    "noticed": "looks at it",
    "acknowledged": "is on it",
    "approved": "approves",
    "denied": "denies",
    "started": "starts a playbook",
    "aborted": "aborts it",
    "undid": "takes it back",
    "silent": "has not answered",
}


def moments(played: Played) -> tuple[Moment, ...]:
    """The timeline, in the order of time."""
    records = sorted(played.records(), key=lambda record: (record.at, record.incident, record.seq))
    return tuple(moment for record in records for moment in _moment(played, record))


def _moment(played: Played, record: Record) -> Iterator[Moment]:
    if record.kind in _LEFT_OUT or _is_good_outcome(record) or _is_told_there(played, record):
        return
    person = record.actor.kind == "person"
    who = _who(record)
    yield Moment(played.since(record.at), who, _kind(record, person), _text(record), source(record))


def _is_good_outcome(record: Record) -> bool:
    return record.kind == "change.outcome" and record.body["status"] in {"done", "accepted"}


def _is_told_there(played: Played, record: Record) -> bool:
    """Whether the incident's own chain tells of a decision."""
    if record.kind != PERSON or record.body["does"] not in _TOLD_THERE:
        return False
    incident = record.body.get("incident") or ""
    return any(
        other.kind in {"gate.decided", "gate.refused"}
        and other.body["gate"] == record.body.get("gate")
        for other in played.drill.incidents.get(incident, ())
    )


def _who(record: Record) -> str:
    if record.kind == INJECTED:
        return "scenario"
    if record.kind == PERSON:
        return str(record.body["person"])
    if record.actor.kind == "person":
        return record.actor.id.removeprefix("local:")
    own = is_incident(record.incident) or record.kind.startswith("finding.")
    return "Clampdown" if own or record.kind in {DIED, BACK} else "scenario"


def _kind(record: Record, person: bool) -> Kind:
    if record.kind == INJECTED:
        return "fault" if record.body["thing"] in _FAULTS else "inject"
    if record.kind == DIED:
        return "fault"
    if record.kind in _REFUSED or (
        record.kind == "finding.decided" and record.body["outcome"] in _REFUSED_OUTCOMES
    ):
        return "refused"
    if record.kind == PERSON:
        return "refused" if record.body.get("refused") else "person"
    return "person" if person else "machine"


def _text(record: Record) -> str:
    body = record.body
    match record.kind:
        case "drill.injected":
            return str(body["text"])
        case "drill.person":
            said = _DOES.get(body["does"], str(body["does"]))
            about = f" ({body['gate']})" if body.get("gate") else ""
            refused = f"; refused: {body['refused']}" if body.get("refused") else ""
            return f"{said}{about}{refused}"
        case "drill.began":
            return f"{body['title']} begins ({body['mode']})"
        case "drill.died":
            return f"is killed right before {body['change']}"
        case "drill.back":
            return f"is back after {words(float(body['away']))}"
        case "drill.checked":
            verb = {True: "holds", False: "does not hold"}.get(body["holds"], "is not known")
            return f"looked at {body['objective']}: it {verb}: {body['found']}"
        case "drill.sample_asked":
            return f"has GuardDuty asked for a sample of {body['type']}"
        case "drill.ended":
            return f"ends: {body['why']}"
    return sentence(record).strip()
