from __future__ import annotations

import pytest

from flows.intake.events import PATTERNS, UNDERSTOOD, EventPattern
from flows.intake.parse import parse
from tests.flows.intake.documents import SAMPLES, rejection, sample

SHIPPED = [
    path.name
    for path in sorted(SAMPLES.glob("*.json"))
    if {"detail-type", "source"} <= set(sample(path.name))
]


def matches(event: EventPattern, document: object, pattern: object = None) -> bool:
    """EventBridge's matching, as far as these patterns need it."""
    pattern = event.pattern() if pattern is None else pattern
    if isinstance(pattern, dict):
        return isinstance(document, dict) and all(
            matches(event, document.get(name), inner) for name, inner in pattern.items()
        )
    assert isinstance(pattern, list)
    return document in pattern


@pytest.mark.parametrize("name", SHIPPED)
def test_every_event_that_we_ship_is_matched_by_one_pattern(name: str) -> None:
    assert sum(matches(event, sample(name)) for event in PATTERNS) == 1
    assert parse((SAMPLES / name).read_bytes())


def test_every_source_has_a_sample() -> None:
    assert {sample(name)["source"] for name in SHIPPED} == {event.source for event in PATTERNS}


def test_each_kind_of_event_is_there_once() -> None:
    assert len(UNDERSTOOD) == len(PATTERNS)


def test_what_no_pattern_matches_is_rejected() -> None:
    [health] = [event for event in PATTERNS if event.source == "aws.health"]
    document = sample("health-credentials-exposed.json")
    assert matches(health, document)
    document["detail"]["eventTypeCode"] = "AWS_EC2_OPERATIONAL_ISSUE"
    assert not matches(health, document)
    assert rejection(document).path == "detail.eventTypeCode"
    assert health.pattern()["source"] == ["aws.health"]
    assert EventPattern("a", "b").pattern() == {"source": ["a"], "detail-type": ["b"]}
