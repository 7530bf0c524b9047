"""What shadow would have done, held against what people did."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.gameday.shadow.said import (
    AwsLook,
    Said,
    Truth,
    contained_by_incident,
    incidents_on,
    marked,
    resolved,
)
from flows.journal.journal import Journal
from flows.shadow.records import BEGUN, Judgement, judgements


@dataclass(frozen=True)
class Compared:
    """A judgement, and what is known of what really happened.

    ``would_have`` is when it would have been contained: None where it would not, or where nobody
    knows how long people take to decide. ``sooner`` is how much earlier than people that would have
    been; negative where they were faster. ``said`` are the sources, the one that counts first.
    """

    judgement: Judgement
    truth: Truth
    contained_at: datetime | None
    would_have: datetime | None
    said: tuple[Said, ...]

    @property
    def contains(self) -> bool:
        """Whether it would have started by itself."""
        return self.judgement.verdict in BEGUN

    @property
    def sooner(self) -> timedelta | None:
        if self.contained_at is None or self.would_have is None:
            return None
        return self.contained_at - self.would_have


@dataclass(frozen=True)
class Comparison:
    """All that was judged, each case once. ``joined`` is how many findings belonged to one of them,
    or to an incident that was there already. ``deciding`` is how long people are taken to need for a
    gate's decision: the median of this journal's decisions, None where there are none."""

    cases: tuple[Compared, ...]
    joined: int
    deciding: timedelta | None

    @property
    def real(self) -> list[Compared]:
        """What was real: people contained it, or say that they should have."""
        return [case for case in self.cases if case.truth in ("contained", "missed")]

    @property
    def contained(self) -> list[Compared]:
        """What was real and would have been contained."""
        return [case for case in self.real if case.contains]

    @property
    def missed(self) -> list[Compared]:
        """What was real and would not have been contained by itself."""
        return [case for case in self.real if not case.contains]

    @property
    def wrongly(self) -> list[Compared]:
        """What was a false alarm and would have been contained."""
        return [case for case in self.cases if case.truth == "false alarm" and case.contains]

    @property
    def unknown(self) -> list[Compared]:
        """What nobody has said anything about."""
        return [case for case in self.cases if case.truth == "unknown"]

    @property
    def sooner(self) -> timedelta | None:
        """The median of how much sooner it would have been; None where there is none to compare."""
        known = [case.sooner for case in self.contained if case.sooner is not None]
        seconds = [item.total_seconds() for item in known]
        return timedelta(seconds=statistics.median(seconds)) if seconds else None

    @property
    def sentence(self) -> str:
        """``Would have contained 14 of 15, 1 wrongly, 6 minutes sooner (median)``."""
        text = f"Would have contained {len(self.contained)} of {len(self.real)}"
        text += f", {len(self.wrongly)} wrongly"
        if self.sooner is not None:
            later = "sooner" if self.sooner >= timedelta() else "later"
            text += f", {in_words(abs(self.sooner))} {later} (median)"
        text += "."
        if self.unknown:
            text += f" Of {len(self.unknown)} more nobody has said what they were."
        return text

    def to_json(self) -> dict[str, Any]:
        return {
            "sentence": self.sentence,
            "contained": len(self.contained),
            "real": len(self.real),
            "wrongly": len(self.wrongly),
            "missed": len(self.missed),
            "unknown": len(self.unknown),
            "joined": self.joined,
            "median_seconds_sooner": (
                self.sooner.total_seconds() if self.sooner is not None else None
            ),
            "assumed_seconds_to_decide": (
                self.deciding.total_seconds() if self.deciding is not None else None
            ),
            "cases": [_document(case) for case in self.cases],
        }


def compare(
    journal: Journal,
    simulate: str,
    *,
    since: datetime | None = None,
    aws: AwsLook | None = None,
) -> Comparison:
    """Hold what was judged on one side of live and simulated against what people did.

    People's own word counts first, then an incident of this journal, then what AWS shows (which is
    looked at where ``aws`` is given and nobody has said anything).
    """
    firsts, joined = _cases(judgements(journal, simulate, since))
    incidents = incidents_on(journal, simulate)
    deciding = _deciding(journal)
    cases = []
    for judgement in firsts:
        said = _said(journal, judgement, incidents, aws)
        truth = next((item for item in said if item.truth != "unknown"), None)
        cases.append(
            Compared(
                judgement,
                truth.truth if truth else "unknown",
                truth.at if truth else None,
                _would_have(judgement, deciding),
                tuple(said),
            )
        )
    return Comparison(tuple(cases), joined, deciding)


def in_words(duration: timedelta) -> str:
    """``45 seconds``, ``6 minutes``, ``1.5 hours``."""
    seconds = duration.total_seconds()
    for size, name in ((3600.0, "hour"), (60.0, "minute"), (1.0, "second")):
        if seconds >= size or name == "second":
            number = round(seconds / size, 0 if seconds >= 10 * size else 1)
            return f"{number:g} {name}" + ("" if number == 1 else "s")
    raise AssertionError("unreachable: seconds always fit")


def _cases(judged: Sequence[Judgement]) -> tuple[list[Judgement], int]:
    """Of each chain what was judged first; and how many findings belong to what was there."""
    firsts: dict[str, Judgement] = {}
    for judgement in judged:
        firsts.setdefault(judgement.chain, judgement)
    own = [judgement for judgement in firsts.values() if judgement.verdict != "join"]
    return own, len(firsts) - len(own)


def _said(
    journal: Journal,
    judgement: Judgement,
    incidents: Sequence[Any],
    aws: AwsLook | None,
) -> list[Said]:
    found = [marked(journal, judgement), contained_by_incident(incidents, judgement)]
    if aws is not None and not any(found):
        found.append(aws.contained(judgement))
    found.append(resolved(journal, judgement))
    return [said for said in found if said is not None]


def _would_have(judgement: Judgement, deciding: timedelta | None) -> datetime | None:
    if judgement.verdict == "contain":
        return judgement.begins + judgement.contained_after
    if judgement.verdict == "ask" and deciding is not None:
        return judgement.begins + judgement.contained_after + deciding
    return None


def _deciding(journal: Journal) -> timedelta | None:
    took = [
        float(record.body["latency_seconds"])
        for record in journal.find(kind="gate.decided")
        if record.body["answer"] == "approve"
    ]
    return timedelta(seconds=statistics.median(took)) if took else None


def _document(case: Compared) -> dict[str, Any]:
    judgement = case.judgement
    finding = judgement.body["finding"]
    return {
        "chain": judgement.chain,
        "finding": finding["id"],
        "type": finding["type"],
        "targets": list(judgement.targets),
        "verdict": judgement.verdict,
        "sentence": judgement.sentence,
        "begins": judgement.begins.isoformat(),
        "would_have_contained_at": case.would_have.isoformat() if case.would_have else None,
        "truth": case.truth,
        "contained_at": case.contained_at.isoformat() if case.contained_at else None,
        "seconds_sooner": case.sooner.total_seconds() if case.sooner is not None else None,
        "sources": [_source(said) for said in case.said],
    }


def _source(said: Said) -> dict[str, Any]:
    at = said.at.isoformat() if said.at else None
    return {"source": said.source, "truth": said.truth, "at": at, "text": said.text}


def lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as text: the sentence, then each case with what is known of it."""
    yield comparison.sentence
    if comparison.joined:
        yield f"{comparison.joined} more findings belonged to one of these, or to an incident."
    gated = [case for case in comparison.contained if case.judgement.verdict == "ask"]
    if gated and comparison.deciding is None:
        yield f"{len(gated)} would have waited for a decision, of which this journal knows none yet."
    elif gated and comparison.deciding is not None:
        taken = in_words(comparison.deciding)
        yield f"{len(gated)} would have waited for a decision, taken to need {taken} (median)."
    for case in comparison.cases:
        yield ""
        yield f"{case.judgement.chain}  {case.judgement.sentence}"
        yield f"  {_outcome(case)}"
        for said in case.said:
            yield f"  {said.source}: {said.text}"


def _outcome(case: Compared) -> str:
    sooner = ""
    if case.sooner is not None:
        word = "sooner" if case.sooner >= timedelta() else "later"
        sooner = f", {in_words(abs(case.sooner))} {word} than people"
    match case.truth:
        case "contained":
            at = f" at {case.contained_at:%Y-%m-%d %H:%M:%S} UTC" if case.contained_at else ""
            return f"People contained it{at}{sooner}."
        case "missed":
            return "It was real, and nobody contained it."
        case "false alarm":
            return "It was a false alarm" + (": WRONGLY contained." if case.contains else ".")
        case _:
            return f"Nobody has said: clampdown gameday shadow mark {case.judgement.chain} …"
