"""What is taken out can be proven by anybody, with nothing of ours, and opened without danger."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from flows.journal.errors import SecretInRecord
from flows.journal.export import export
from flows.journal.journal import Journal
from flows.journal.record import Actor
from tests.flows.journal.test_record import BODIES, TEXT
from tests.flows.journal.writers import WRITER, raw, write


def lines(journal: Journal, incident: str | None = None) -> list[str]:
    out = io.StringIO(newline="")
    export(journal, incident, form="jsonl", out=out)
    return out.getvalue().split("\n")[:-1]


def cells(journal: Journal) -> list[list[str]]:
    out = io.StringIO(newline="")
    export(journal, form="csv", out=out)
    return list(csv.reader(io.StringIO(out.getvalue(), newline="")))


# RFC 8785 once more, apart from our own code and from the library that it uses.

ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def jcs(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        small = (ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value)
        return f'"{"".join(small)}"'
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{jcs(key)}:{jcs(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    return number(float(value))


def number(value: float) -> str:
    """As ECMAScript's Number::toString writes it."""
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{abs(value)!r}".lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction.rstrip("0")).lstrip("0")
    point = int(exponent or 0) + len(whole)
    if whole == "0":
        point -= len(whole + fraction) - len((whole + fraction).lstrip("0"))
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = f"{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{sign}{digits[0]}{'.' if count > 1 else ''}{digits[1:]}e{power}"


def proven(exported: list[str]) -> int:
    """Check a chain by the exported lines alone; the number of its records."""
    before = "0" * 64
    for seq, line in enumerate(exported, start=1):
        record = json.loads(line)
        assert line == jcs(record)
        claimed = record.pop("hash")
        assert hashlib.sha256(jcs(record).encode()).hexdigest() == claimed
        assert (record["seq"], record["prev_hash"]) == (seq, before)
        before = claimed
    return len(exported)


def test_every_exported_line_proves_itself_and_the_one_before(journal: Journal) -> None:
    write(journal, "inc-1", 5)
    journal.append("inc-1", "test.note", {"tiny": 1e-7, "big": 1e21, "list": [0.1, -0.0]}, WRITER)
    write(journal, "inc-2", 2)
    assert proven(lines(journal, "inc-1")) == 6
    assert proven(lines(journal, "inc-2")) == 2
    assert lines(journal) == [*lines(journal, "inc-1"), *lines(journal, "inc-2")]
    assert lines(journal, "inc-3") == []


def test_the_hash_is_that_of_the_line_without_it(journal: Journal) -> None:
    write(journal, "inc-1", 1)
    (line,) = lines(journal)
    digest = json.loads(line)["hash"]
    without = line.replace(f'"hash":"{digest}",', "")
    assert hashlib.sha256(without.encode()).hexdigest() == digest


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal.open(f"sqlite:///{tmp_path_factory.mktemp('export') / 'journal.db'}")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, TEXT, BODIES)
def test_any_record_proves_itself(
    shared: Journal, kind: str, who: str, body: dict[str, Any]
) -> None:
    incident = f"inc-{uuid.uuid4()}"
    actor = Actor("person", who.replace("\x00", ""), "cli")
    try:
        shared.append(incident, kind.replace("\x00", ""), body, actor)
    except SecretInRecord:
        reject()
    exported = lines(shared, incident)
    assert proven(exported) == 1
    assert json.loads(exported[0], parse_int=float)["body"] == body


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_so_that_they_are_read_back(value: float) -> None:
    assert float(number(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    # RFC 8785, appendix B.
    [
        (5e-324, "5e-324"),
        (-5e-324, "-5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (999999999999999700000.0, "999999999999999700000"),
        (1e21, "1e+21"),
        (0.000001, "0.000001"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (333333333.3333333, "333333333.3333333"),
        (1424953923781206.2, "1424953923781206.2"),
    ],
)
def test_the_independent_check_writes_numbers_as_the_standard_says(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("body = '{'", "{"),
        ("body = '{\n}'", "{\n}"),
        ("body = '{\"number\":\r1}'", '{"number":\r1}'),
        ("at = 'yesterday'", {"number": 2}),
    ],
)
def test_what_was_tampered_with_is_taken_out_all_the_same(
    journal: Journal, journal_url: str, change: str, expected: Any
) -> None:
    write(journal, "inc-1", 3)
    with raw(journal_url) as connection:
        connection.execute(sa.text(f"UPDATE records SET {change} WHERE seq = 2"))
    assert [json.loads(line)["seq"] for line in lines(journal)] == [1, 2, 3]
    assert json.loads(lines(journal)[1])["body"] == expected
    assert len(cells(journal)) == 4


def test_bytes_that_are_no_text_are_taken_out_as_escapes(sqlite_url: str) -> None:
    journal = Journal.open(sqlite_url)
    write(journal, "inc-1", 2)
    with raw(sqlite_url) as connection:
        connection.exec_driver_sql(
            "UPDATE records SET kind = CAST(x'61ff' AS TEXT), body = x'ff' WHERE seq = 2"
        )
    line = lines(journal)[1]
    assert line.encode("utf-8")
    assert json.loads(line)["kind"] == "a\udcff"
    assert cells(journal)[2][3] == "a\\udcff"
    journal.close()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_is_a_formula(journal: Journal, start: str) -> None:
    formula = f"{start}cmd|' /C calc'!A0"
    journal.append("inc-1", formula, {"text": formula}, Actor("person", formula, formula))
    heading, row = cells(journal)
    record = dict(zip(heading, row, strict=True))
    for column in ("kind", "actor_id", "actor_via"):
        assert record[column] == f"'{formula}"
    assert record["body"].startswith("{")
    assert json.loads(record["body"]) == {"text": formula}


def test_cells_with_commas_quotes_and_line_ends_stay_whole(journal: Journal) -> None:
    actor = Actor("person", 'a,"b"\r\nc', "cli")
    record = journal.append("inc-1", "test.note", {"text": 'x,"y"\nz'}, actor)
    heading, row = cells(journal)
    assert heading[:3] == ["incident", "seq", "at"]
    assert row[heading.index("actor_id")] == actor.id
    assert row[heading.index("hash")] == record.hash
    assert json.loads(row[heading.index("body")]) == record.body
