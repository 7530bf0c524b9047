"""The end of a drill: what was asked of AWS, what differs, and whether all that has to hold holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from flows.gameday.drills import CALLS, CHECKED, DIFFERENCE
from flows.gameday.play.before import Before, differences, state_of
from flows.gameday.play.checks import Checks
from flows.gameday.play.diary import Diary
from flows.gameday.play.outside import CALLER, Outside
from flows.gameday.scenario import Scenario


def write_checks(scenario: Scenario, checks: Checks, diary: Diary) -> None:
    """Write down of each condition whether it holds."""
    for objective in scenario.objectives:
        if objective.holds is None:
            continue
        found = checks.look(objective)
        body = {
            "objective": objective.id,
            "holds": found.holds,
            "found": found.text,
            "of": list(objective.of),
        }
        verdict = "met" if found.holds else "NOT MET"
        diary.write(CHECKED, body, f"{objective.title}: {verdict}. {found.text}")


def write_calls(outside: Outside, diary: Diary) -> None:
    """Write down what Clampdown has asked AWS, and which calls met a fault."""
    faults = outside.get("faults")["faults"]
    calls = [call for call in outside.get("calls")["calls"] if CALLER in call["user_agent"]]
    diary.write(CALLS, {"calls": list(_counted(calls)), "faults": faults})


def write_difference(
    when: Literal["contained", "undone"], before: Before, outside: Outside, diary: Diary
) -> None:
    """Write down what differs in the world from before the scenario."""
    changes = differences(before.state, state_of(outside))
    diary.write(DIFFERENCE, {"when": when, "changes": changes})


def _counted(calls: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    counts: Counter[tuple[str, str, bool]] = Counter()
    errors: dict[tuple[str, str, bool], Counter[str]] = {}
    for call in calls:
        key = (call["service"], call["operation"], call["changes"])
        counts[key] += 1
        if code := call["error"] or ("" if call["status"] else "no answer"):
            errors.setdefault(key, Counter())[code] += 1
    for key, count in sorted(counts.items()):
        service, operation, changes = key
        yield {
            "service": service,
            "operation": operation,
            "changes": changes,
            "count": count,
            "errors": dict(errors.get(key, {})),
        }
