"""The contract of the simulated AWS: what AWS does, by rules; and every rule not kept is listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import benchmarks.fidelity.checks  # noqa: F401
from benchmarks.fidelity.called import called
from benchmarks.fidelity.sites import Ours
from benchmarks.fidelity.verdicts import CHECKS, Check
from flows.gameday.aws.server import SimulatedAws


@pytest.fixture(scope="module")
def site(_server: SimulatedAws) -> Iterator[Ours]:
    yield Ours(_server)
    _server.reset()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.title)
def test_what_does_not_hold_is_exactly_what_is_listed(check: Check, site: Ours) -> None:
    verdicts = check.verdicts(site.fresh())
    assert verdicts
    failed = {verdict.rule: verdict.said for verdict in verdicts if verdict.outcome != "holds"}
    assert failed.keys() == check.known.keys(), failed


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.known], ids=lambda check: check.title
)
def test_nothing_is_listed_of_what_clampdown_calls(check: Check) -> None:
    assert not {known.operation for known in check.known.values()} & called()
