"""Rules about the machine: permissions, throttling, verification, and what went unnoticed."""

from __future__ import annotations

from collections.abc import Iterator

from flows.console.terminal import counted
from flows.gameday.assessment import Lesson, Source
from flows.gameday.drills import CALLS
from flows.gameday.score.faults import is_denied, is_throttled
from flows.gameday.score.lessons.seen import Seen, once
from flows.gameday.score.reading import Told, sources, words
from runbooks.calls import Call


def permissions(seen: Seen) -> Iterator[Lesson]:
    missing: dict[str, list[Source]] = {}
    for told in seen.played.incidents:
        for action, made_from in _denied(told):
            missing.setdefault(action, []).extend(made_from)
    for record in seen.played.drill.of(CALLS):
        for call in record.body["calls"]:
            if any(is_denied(code) for code in call["errors"]):
                action = _action(call["service"], call["operation"])
                missing.setdefault(action, []).extend(sources(record))
    for action, records in missing.items():
        text = (
            f"AWS denied {action}: allow it to Clampdown's role, or take the step out "
            "(`clampdown permissions` prints the policy)."
        )
        yield Lesson("permission-missing", text, "high", once(records))


def throttling(seen: Seen) -> Iterator[Lesson]:
    for record in seen.played.drill.of(CALLS)[-1:]:
        hit = {
            _action(call["service"], call["operation"]): sum(
                count for code, count in call["errors"].items() if is_throttled(code)
            )
            for call in record.body["calls"]
        }
        if times := sum(hit.values()):
            worst = max(hit, key=lambda action: hit[action])
            text = (
                f"AWS throttled {counted(times, 'call')}, most often {worst}: ask for a higher "
                "quota, or spread what else calls it."
            )
            yield Lesson("throttled", text, "medium", sources(record))


def verification(seen: Seen) -> Iterator[Lesson]:
    for told in seen.played.incidents:
        for failed in told.of("verify.failed"):
            step, target = failed.body["step"], failed.body["target"]
            later = [
                record
                for record in told.of_step(step, target, "verify.passed")
                if record.seq > failed.seq
            ]
            if later:
                text = f"{step} of {told.id} was verified only when it was looked at again: flaky."
                yield Lesson("verification-flaky", text, "medium", sources(failed, later[0]))
            else:
                text = f"{step} of {told.id} was never verified: {failed.body['error']}"
                yield Lesson("verification-failed", text, "high", sources(failed))


def steps(seen: Seen) -> Iterator[Lesson]:
    for item in seen.fidelity["failed"]:
        text = f"{item['step']} failed on {item['target']}: {item['text']}"
        yield Lesson("step-failed", text, "medium", item["sources"])


def away(seen: Seen) -> Iterator[Lesson]:
    away = [phase for phase in seen.phases if phase.name == "away"]
    if away:
        longest = max(away, key=lambda phase: phase.ends - phase.begins)
        text = (
            f"The orchestrator was away for {words(longest.ends - longest.begins)} during "
            f"{longest.row}: how soon is it started again where it runs?"
        )
        yield Lesson("orchestrator-away", text, "medium", longest.sources)


def unnoticed(seen: Seen) -> Iterator[Lesson]:
    for item in seen.faults:
        if item["noticed"] or item["hits"] == 0:
            continue
        text = f"Nobody would know of it, for nothing in the journal tells of it: {item['what']}."
        if item["thing"] == "attacker":
            text = f"{text} Look at it again after containing it (`clampdown resume`)."
            yield Lesson("intruder-unnoticed", text, "high", item["sources"])
        else:
            yield Lesson("fault-unnoticed", text, "low", item["sources"])


def _denied(told: Told) -> Iterator[tuple[str, tuple[Source, ...]]]:
    """The actions that AWS denied to an incident's changes."""
    intents = {record.seq: record for record in told.of("change.intent")}
    for record in told.of("change.outcome"):
        if record.body["status"] == "failed" and is_denied(record.body["code"]):
            intent = intents[record.body["intent"]]
            call = Call.from_json(intent.body["change"]["call"])
            yield call.action, sources(intent, record)


def _action(service: str, operation: str) -> str:
    """The IAM action of a call as AWS recorded it."""
    return f"{Call(service, '').action}{operation}"
