"""What came of each objective, and the score that the objectives make together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flows.gameday.assessment import Level, Verdict
from flows.gameday.drills import CHECKED
from flows.gameday.scenario import Milestone, Objective
from flows.gameday.score.milestones import Reached, reached
from flows.gameday.score.reading import Played, sources, words

LATE = 1.5
"""Up to so many times its limit, what is late is met in part."""
POINTS: dict[Level, float] = {"met": 1.0, "partly": 0.5, "missed": 0.0}
_VERBS: dict[Milestone, str] = {
    "noticed": "Noticed",
    "acknowledged": "Acknowledged",
    "decided": "Decided",
    "isolated": "Isolated",
    "contained": "Contained",
    "evidence": "Evidence complete",
    "undone": "Taken back",
}
_NEVER: dict[Milestone, str] = {
    "evidence": "The evidence was never complete",
    "undone": "Never taken back",
}


def verdicts(played: Played) -> tuple[Verdict, ...]:
    """The verdict on each objective of the scenario, in its order."""
    return tuple(
        _in_time(played, objective, objective.until, objective.within)
        if objective.until and objective.within is not None
        else _condition(played, objective)
        for objective in played.scenario.objectives
    )


def score(verdicts: Sequence[Verdict]) -> tuple[float, str]:
    """The score between 0 and 100, and the formula with its numbers.

    It is the weighted share of what was met; what was met in part counts half, and what was not
    tested does not count at all. Where nothing was tested it is 0.
    """
    tested = [verdict for verdict in verdicts if verdict.level != "not tested"]
    left_out = len(verdicts) - len(tested)
    unsaid = f"; {left_out} not tested, which does not count" if left_out else ""
    total = sum(verdict.weight for verdict in tested)
    if not total:
        return 0.0, f"0: nothing was tested{unsaid}"
    points = sum(verdict.weight * POINTS[verdict.level] for verdict in tested)
    number = round(100 * points / total, 1)
    terms = " + ".join(f"{verdict.weight}×{POINTS[verdict.level]:g}" for verdict in tested)
    weights = " + ".join(str(verdict.weight) for verdict in tested)
    return number, f"100 × ({terms}) / ({weights}) = {number:g}{unsaid}"


def _in_time(played: Played, objective: Objective, until: Milestone, within: timedelta) -> Verdict:
    found = reached(played, until, objective.finding)
    level, reason = _timed(played, found, within)
    return Verdict(
        objective.id,
        objective.title,
        level,
        reason,
        objective.weight,
        within,
        None if found.after is None else timedelta(seconds=found.after),
        objective.controls,
        found.sources,
    )


def _timed(played: Played, found: Reached, within: timedelta) -> tuple[Level, str]:
    verb, limit = _VERBS[found.milestone], within.total_seconds()
    if found.untested:
        return "not tested", f"Not tested: {found.untested}."
    if found.after is None:
        return _never(played, found)
    took = words(found.after)
    if found.after <= limit:
        left = words(limit - found.after)
        return "met", f"{verb} after {took}, {left} before the limit of {words(limit)}."
    late = words(found.after - limit)
    level: Level = "partly" if found.after <= LATE * limit else "missed"
    return level, f"{verb} after {took}, {late} later than the limit of {words(limit)}."


def _never(played: Played, found: Reached) -> tuple[Level, str]:
    verb = _VERBS[found.milestone]
    if found.reached:
        missing = ", ".join(part.what for part in found.parts if part.by is None)
        share = f"{found.reached} of {len(found.parts)}"
        return "partly", f"{verb} for {share} only; missing: {missing}."
    incidents = played.incidents_of(found.finding)
    if not incidents:
        return "missed", f"Never: no incident was opened for the finding {found.finding}."
    ends = "; ".join(
        f"{told.id} is {told.incident.status}"
        + (f" ({told.incident.error})" if told.incident.error else "")
        for told in incidents
    )
    never = _NEVER.get(found.milestone, f"Never {found.milestone}")
    return "missed", f"{never}: {ends}."


def _condition(played: Played, objective: Objective) -> Verdict:
    """What was found at the end. Of several looks at one objective, all have to hold."""
    checks = [
        record for record in played.drill.of(CHECKED) if record.body["objective"] == objective.id
    ]
    known = [record for record in checks if record.body["holds"] is not None]
    holding = [record for record in known if record.body["holds"]]
    found = "; ".join(dict.fromkeys(str(record.body["found"]) for record in checks))
    level: Level
    if not known:
        level = "not tested"
        found = f"Not tested: {found or 'the drill ended before it was looked at'}"
    elif len(holding) == len(known):
        level = "met"
    else:
        level = "partly" if holding else "missed"
    # It may begin with a name, which is written as it is.
    reason = f"{found.rstrip('.')}."
    return Verdict(
        objective.id,
        objective.title,
        level,
        reason,
        objective.weight,
        controls=objective.controls,
        sources=sources(*checks),
    )
