"""Rules about people: where time went, who did not answer, and how decisions were made."""

from __future__ import annotations

from collections.abc import Iterator

from flows.gameday.assessment import Lesson, Source
from flows.gameday.score.gates import asked
from flows.gameday.score.lessons.seen import Seen, Severity, once
from flows.gameday.score.milestones import contained_by
from flows.gameday.score.reading import sources, words

_MUCH = 0.5


def slowest_phase(seen: Seen) -> Iterator[Lesson]:
    """Which kind of phase cost most of the time until containment."""
    costs: dict[tuple[str, str], float] = {}
    made_from: dict[tuple[str, str], list[Source]] = {}
    total = 0.0
    for told in seen.played.incidents:
        by = contained_by(told)
        if by is None:
            continue
        until = seen.played.since(by.at)
        total += until - seen.played.since(seen.played.arrival_of(told).at)
        for phase in seen.phases:
            if phase.row == told.id and phase.begins < until:
                key = (phase.name, phase.waits)
                costs[key] = costs.get(key, 0.0) + min(phase.ends, until) - phase.begins
                made_from.setdefault(key, []).extend(phase.sources)
    if not costs or total <= 0:
        return
    (name, waits), cost = max(costs.items(), key=lambda item: item[1])
    share = min(cost / total, 1.0)
    text = (
        f"“{name}” cost most of the time until containment: {words(cost)} of {words(total)} "
        f"({share:.0%}), waiting for {waits}."
    )
    severity: Severity = "medium" if share >= _MUCH and _late(seen) else "low"
    yield Lesson("slowest-phase", text, severity, once(made_from[name, waits]))


def people(seen: Seen) -> Iterator[Lesson]:
    share = seen.people_share
    if share is not None and share > _MUCH:
        of_people = [phase for phase in seen.phases if phase.waits == "people"]
        text = (
            f"{share:.0%} of the time until containment was spent waiting for people: remind "
            "sooner, ask more of them, or let safe steps go before the gate."
        )
        made_from = [item for phase in of_people for item in phase.sources]
        severity: Severity = "medium" if _late(seen) else "low"
        yield Lesson("waiting-for-people", text, severity, once(made_from))


def _late(seen: Seen) -> bool:
    """Whether time was short: where every limit was kept, there is less to mend."""
    return any(
        verdict.limit is not None and verdict.level in {"partly", "missed"}
        for verdict in seen.verdicts
    )


def no_answer(seen: Seen) -> Iterator[Lesson]:
    silent: dict[str, list[Source]] = {}
    for item in seen.quality["no_answer"]:
        silent.setdefault(item["person"], []).extend(item["sources"])
    for person, made_from in silent.items():
        times = "once" if len(made_from) == 1 else f"{len(made_from)} times"
        text = f"{person} was asked {times} and did not answer: is the way to reach them right?"
        yield Lesson("nobody-answered", text, "medium", tuple(made_from))
    for told in seen.played.incidents:
        for wait in asked(seen.played, told):
            if wait.ending == "expired":
                text = f"The gate {wait.gate} of {told.id} expired: nobody decided in time."
                yield Lesson("gate-expired", text, "high", sources(wait.requested, wait.ended))
            elif wait.escalated is not None:
                to = wait.escalated.body["to"]
                text = f"The gate {wait.gate} of {told.id} had to be escalated to {to}."
                made = sources(wait.requested, wait.escalated)
                yield Lesson("gate-escalated", text, "medium", made)


def asked_again(seen: Seen) -> Iterator[Lesson]:
    for told in seen.played.incidents:
        for wait in asked(seen.played, told):
            if wait.requested.body["gone"] or wait.requested.body["added"]:
                text = (
                    f"The plan of {told.id} changed after it was approved, so the gate {wait.gate} "
                    "was asked for again: what else changes these resources?"
                )
                yield Lesson("plan-changed", text, "medium", sources(wait.requested))


def approvals(seen: Seen) -> Iterator[Lesson]:
    for key, rule, severity, text in _APPROVALS:
        if items := seen.quality[key]:
            people = ", ".join(dict.fromkeys(item["person"] for item in items))
            made_from = once([one for item in items for one in item["sources"]])
            yield Lesson(rule, text.format(people=people), severity, made_from)


_APPROVALS: tuple[tuple[str, str, Severity, str], ...] = (
    (
        "approvals_without_details",
        "approved-unseen",
        "medium",
        "{people} approved without opening the details of the plan.",
    ),
    (
        "approvals_under_3_s",
        "approved-at-once",
        "medium",
        "{people} approved within 3 seconds: nobody reads a plan that fast.",
    ),
    (
        "self_approvals_refused",
        "self-approval-refused",
        "low",
        "{people} tried to decide on what they had asked for; it was refused. Say who decides.",
    ),
)


def bypassed(seen: Seen) -> Iterator[Lesson]:
    for told in seen.played.incidents:
        for record in told.of("gate.bypass_attempt"):
            body = record.body
            text = f"{body['step']} tried to pass the gate {body['gate']}, {body['why']}: see how."
            yield Lesson("gate-bypass", text, "high", sources(record))
