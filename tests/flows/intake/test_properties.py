from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.intake.finding import Finding, FindingRejected, for_display
from flows.intake.parse import parse, parse_each
from tests.flows.intake.documents import BITCOIN, SAMPLES, as_sdk, changed, read, sample

OLDER = [
    sample(),
    sample("attack-sequence.json"),
    sample("asff-imported-event.json"),
    as_sdk(sample("iam-anomalous.json")),
]
NEWER = [
    sample("config-compliance-change.json"),
    sample("inspector-network-reachability.json"),
    sample("inspector-package-vulnerability.json"),
    sample("health-credentials-exposed.json"),
    sample("cloudwatch-alarm-event.json"),
    sample("cloudwatch-alarm-notification.json"),
    json.loads(sample("cloudwatch-alarm-notification.json")["Message"]),
    sample("config-compliance-change.json")["detail"],
    sample("securityhub-custom-action.json"),
]
SHAPES = [*OLDER, *NEWER]
NAMES = ["detail", "findings", "Records", "body", "Type", "Message", "source", "detail-type"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["i-1", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a document."""
    found = [path] if path else []
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, member in members:
        found += places(member, (*path, key))
    return found


def sampled_places(shapes: list[Any]) -> st.SearchStrategy[tuple[int, tuple[Any, ...]]]:
    """Any place in any of the documents, of each as often as of the others."""
    return st.integers(0, len(shapes) - 1).flatmap(
        lambda shape: st.tuples(st.just(shape), st.sampled_from(places(shapes[shape])))
    )


def put(shapes: list[Any], place: tuple[int, tuple[Any, ...]], value: Any) -> Any:
    """A copy of the document with another value in that place."""
    shape, path = place
    document = json.loads(json.dumps(shapes[shape]))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return document


def understood_or_rejected(raw: bytes) -> None:
    results = parse_each(raw)
    assert results
    for result in results:
        assert isinstance(result, Finding | FindingRejected)
        if isinstance(result, Finding):
            assert json.loads(json.dumps(result.lookup())) == result.lookup()
        else:
            assert "\n" not in str(result)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_finding_or_rejected(raw: bytes) -> None:
    understood_or_rejected(raw)


@settings(max_examples=200)
@given(VALUES)
def test_any_json_is_a_finding_or_rejected(value: Any) -> None:
    understood_or_rejected(json.dumps(value).encode())


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(sampled_places(OLDER), VALUES)
def test_any_value_in_any_place_is_a_finding_or_rejected(
    place: tuple[int, tuple[Any, ...]], value: Any
) -> None:
    understood_or_rejected(json.dumps(put(OLDER, place, value)).encode())


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(sampled_places(NEWER), VALUES)
def test_any_value_in_any_place_of_the_newer_shapes_is_a_finding_or_rejected(
    place: tuple[int, tuple[Any, ...]], value: Any
) -> None:
    understood_or_rejected(json.dumps(put(NEWER, place, value)).encode())


@settings(max_examples=200)
@given(sampled_places(NEWER))
def test_what_is_missing_anywhere_leaves_a_finding_or_is_rejected(
    place: tuple[int, tuple[Any, ...]],
) -> None:
    shape, path = place
    document = json.loads(json.dumps(NEWER[shape]))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    understood_or_rejected(json.dumps(document).encode())


@settings(max_examples=150)
@given(st.data())
def test_a_finding_cut_or_flipped_anywhere_is_never_misread(data: st.DataObject) -> None:
    raw = bytearray((SAMPLES / BITCOIN).read_bytes().rstrip())
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] = data.draw(st.integers(0, 255))
    for result in parse_each(bytes(raw)):
        if isinstance(result, Finding):
            assert result.account == "123456789012"
            assert result.partition == "aws"
    for result in parse_each(bytes(raw[:position])):
        assert isinstance(result, FindingRejected)


@given(TEXT, TEXT, TEXT)
def test_any_text_is_kept_exactly(title: str, key: str, value: str) -> None:
    document = changed(sample(), "detail.title", title)
    document["detail"]["description"] = value
    document["detail"]["resource"]["instanceDetails"]["tags"] = [{"key": key, "value": value}]
    finding = read(document)
    assert finding.title == title
    assert finding.description == value
    assert finding.resources[0].tags == {key: value}
    lookup: Any = finding.lookup()
    assert lookup["resource"]["tags"] == {key: value}


@given(st.text(max_size=100))
def test_what_is_displayed_is_one_line(text: str) -> None:
    shown = for_display(text)
    assert len(shown.splitlines()) <= 1
    assert for_display(shown) == shown


@given(st.sampled_from(SHAPES), st.randoms())
def test_the_order_of_keys_does_not_matter(document: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert parse(json.dumps(shuffled(document)).encode()) == parse(json.dumps(document).encode())
