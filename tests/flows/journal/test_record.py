"""A record's canonical form, its hash, and what it refuses to hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from flows.journal.errors import SecretInRecord
from flows.journal.record import (
    Actor,
    canonical,
    record_hash,
    refuse_secrets,
    refuse_unstorable,
    time_from,
    time_text,
)

# Everything but halves of surrogates, with what JSON escapes and JavaScript trips over more often.
ODD = '\x00\x01\x08\t\n\x0b\x0c\r\x1f"\\/\x7f\x80\x85\u2028\u2029\ufeff\uffff\U0001f512\U0010ffff'
TEXT = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)


def _holds_no_secret(body: Any) -> bool:
    """Hypothesis finds such names: what the journal refuses is another test's."""
    try:
        refuse_secrets(body)
    except SecretInRecord:
        return False
    return True


BODIES = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
).filter(_holds_no_secret)


@given(TEXT, st.integers(1, 2**31), TEXT, TEXT, TEXT, TEXT, BODIES)
def test_the_hash_is_that_of_the_whole_records_canonical_json(
    incident: str, seq: int, kind: str, who: str, via: str, prev: str, body: dict[str, Any]
) -> None:
    at = time_text(datetime(2026, 2, 3, 4, 5, 6, 789, UTC))
    actor = Actor("person", who, via)
    whole = {
        "incident": incident,
        "seq": seq,
        "at": at,
        "kind": kind,
        "actor": {"kind": "person", "id": who, "via": via},
        "body": body,
        "prev_hash": prev,
    }
    expected = hashlib.sha256(rfc8785.dumps(whole)).hexdigest()
    assert record_hash(incident, seq, at, kind, actor, canonical(body), prev) == expected


@given(BODIES)
def test_canonical_json_means_the_same_and_is_the_same_whatever_the_order(
    body: dict[str, Any],
) -> None:
    text = canonical(body)
    # JSON of RFC 8785 has doubles only.
    assert json.loads(text, parse_int=float) == body
    assert canonical(dict(reversed(body.items()))) == text


@pytest.mark.parametrize(
    "body",
    [
        {"n": float("nan")},
        {"n": float("inf")},
        {"n": 2**53},
        {1: "a number as a key"},
        {"at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"bytes": b"x"},
        {"half": "\ud800"},
        {"set": {1}},
    ],
    ids=str,
)
def test_what_is_not_plain_json_is_refused(body: Any) -> None:
    with pytest.raises(TypeError, match="plain JSON only"):
        canonical(body)


def test_nesting_without_end_is_refused_in_words() -> None:
    body: dict[str, Any] = {}
    for _ in range(5_000):
        body = {"in": body}
    with pytest.raises(TypeError, match="plain JSON only"):
        canonical(body)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "é\udc80"])
def test_text_that_not_every_database_holds_is_refused(text: str) -> None:
    refuse_unstorable("inc-1", "gate.decided", "Müller 🔒\u2028")
    with pytest.raises(TypeError, match="can't hold"):
        refuse_unstorable("inc-1", text)


def _nearly(text: str) -> st.SearchStrategy[str]:
    """The text, with one of its characters another one."""
    return st.builds(
        lambda place, other: text[:place] + other + text[place + 1 :],
        st.integers(0, len(text) - 1),
        st.sampled_from("059-:.,TtZz+ ٣") | st.just(""),
    )


@given(st.datetimes(datetime(1900, 1, 1), timezones=st.just(UTC)))
def test_a_time_survives_to_the_microsecond(at: datetime) -> None:
    assert time_from(time_text(at)) == at
    assert len(time_text(at)) == len("2026-01-02T03:04:05.000006Z")


@given(
    st.one_of(
        st.datetimes(timezones=st.just(UTC)).map(time_text).flatmap(_nearly),
        st.text("0123456789-:.,TtZz+W ٣", max_size=28),
    )
)
@example("2026-1-2T3:4:5.1Z")
@example("2026-01-02t03:04:05.000006z")
@example("2026-01-02T03:04:60.000006Z")
@example("2026-02-30T03:04:05.000006Z")
@example("0000-01-02T03:04:05.000006Z")
@example("2026-01-02T03:04:05,000006Z")
@example("2026-01-02T03:04:05.00000٣Z")
@example("2026-01-02T03:04:05.000006Z\n")
def test_a_time_is_read_as_strictly_as_it_ever_was(text: str) -> None:
    def read(parse: Callable[[], datetime]) -> datetime | None:
        try:
            return parse()
        except ValueError:
            return None

    written = "%Y-%m-%dT%H:%M:%S.%fZ"
    expected = read(lambda: datetime.strptime(text, written).replace(tzinfo=UTC))
    assert read(lambda: time_from(text)) == expected


def test_a_time_is_written_in_utc() -> None:
    at = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(at) == "2025-12-31T23:00:00.000000Z"


@pytest.mark.parametrize(
    "key",
    ["SecretAccessKey", "secret_access_key", "session-token", "MasterUserPassword", "PrivateKey"],
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"a": [{"b": x}]}, lambda x: {"t": (x,)}])
def test_a_secret_is_refused_wherever_it_stands_and_not_repeated(key: str, wrap: Any) -> None:
    with pytest.raises(SecretInRecord) as refusal:
        refuse_secrets({"response": wrap({key: "s3cr3t"})})
    assert key in str(refusal.value)
    assert "s3cr3t" not in str(refusal.value)


def test_the_mere_name_of_a_secret_is_none() -> None:
    refuse_secrets({"Password": None, "params": {"SecretString": ""}, "text": "password"})


def test_secrets_are_looked_for_at_any_depth() -> None:
    body: dict[str, Any] = {"password": "s3cr3t"}
    for _ in range(5_000):
        body = {"in": body}
    with pytest.raises(SecretInRecord):
        refuse_secrets(body)
