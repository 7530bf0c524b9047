"""How many of AWS's rules hold in the simulated AWS, and how many in plain moto_server.

``python -m benchmarks.fidelity.measure --list`` names those that are known not to hold in ours.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import benchmarks.fidelity.checks  # noqa: F401
from benchmarks.fidelity.called import called
from benchmarks.fidelity.plain import plain_moto
from benchmarks.fidelity.sites import Ours
from benchmarks.fidelity.verdicts import CHECKS, Check, Verdict
from flows.gameday.aws.server import SimulatedAws

_OUTCOMES = ("holds", "differs", "missing")
_ENDED = "the check can go on to its end"


@dataclass(frozen=True)
class _Seen:
    """What was seen of a check's rules in each server."""

    check: Check
    ours: list[Verdict]
    plain: list[Verdict]

    @property
    def unlisted(self) -> int:
        """Rules that don't hold in ours, and that nobody knows of."""
        failed = {verdict.rule for verdict in self.ours if verdict.outcome != "holds"}
        return len(failed - self.check.known.keys())

    def counted(self, verdicts: list[Verdict]) -> Counter[str]:
        """Where a check ended early, what the other server went on to is missing."""
        rules = {verdict.rule for verdict in (*self.ours, *self.plain)} - {_ENDED}
        outcomes = {verdict.rule: verdict.outcome for verdict in verdicts}
        return Counter(outcomes.get(rule, "missing") for rule in rules)


def measure() -> dict[str, str]:
    """Held, differing and missing rules in both, of everything and by area."""
    seen = list(_seen())
    figures = {"all: ours / moto_server": _side_by_side(seen)}
    for area in dict.fromkeys(item.check.area for item in seen):
        of_area = [item for item in seen if item.check.area == area]
        figures[f"{area}: ours / moto_server"] = _side_by_side(of_area)
    known = [known for item in seen for known in item.check.known.values()]
    figures["not held in ours, of operations that Clampdown calls"] = (
        f"{sum(item.operation in called() for item in known)} (at most 0)"
    )
    figures["not held in ours: known / not listed"] = (
        f"{len(known)} / {sum(item.unlisted for item in seen)} (at most 0 not listed)"
    )
    return figures


def _seen() -> Iterator[_Seen]:
    # What ours refuses to simulate is counted here, and not said as well.
    logging.disable()
    try:
        with SimulatedAws() as aws, plain_moto() as plain:
            ours = Ours(aws)
            for check in CHECKS:
                yield _Seen(check, check.verdicts(ours.fresh()), check.verdicts(plain.fresh()))
    finally:
        logging.disable(logging.NOTSET)


def _side_by_side(seen: Iterable[_Seen]) -> str:
    ours: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for item in seen:
        ours += item.counted(item.ours)
        plain += item.counted(item.plain)
    return f"{_said(ours)} / {_said(plain)}"


def _said(found: Counter[str]) -> str:
    return ", ".join(f"{found[outcome]} {outcome}" for outcome in _OUTCOMES)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity.measure")
    parser.add_argument("--list", action="store_true", help="the rules known not to hold in ours")
    if parser.parse_args().list:
        for check in CHECKS:
            for rule, known in check.known.items():
                print(f"{check.title}: {rule} ({known.operation}): {known.why}")
        return
    for title, value in measure().items():
        print(f"{title:58} {value}")


if __name__ == "__main__":
    _main()
