"""Taking records out: as JSON lines that anybody can verify, or as CSV for spreadsheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, Literal, TextIO

from flows.journal.journal import Journal
from flows.journal.schema import records_table

_FIELDS = tuple(column.name for column in records_table.columns)
# OWASP's list, with the full-width forms, which some spreadsheets take for the ASCII ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export(
    journal: Journal, incident: str | None = None, *, form: Literal["jsonl", "csv"], out: TextIO
) -> None:
    """Write the records of one incident, or of all, to ``out``.

    A JSON line holds every field of the record, in canonical form together with its hash: the
    SHA-256 of the line without ``hash`` is the hash.
    """
    if form == "csv":
        writer = csv.writer(out)
        writer.writerow(_FIELDS)
        for row in journal.rows(incident):
            writer.writerow([_harmless(value) for value in row])
        return
    for line in _lines(journal, incident):
        out.write(_writable(line) + "\n")


def _lines(journal: Journal, incident: str | None) -> Iterator[str]:
    for row in journal.rows(incident):
        stored = dict(zip(_FIELDS, row, strict=True))
        actor = {part: stored[f"actor_{part}"] for part in ("id", "kind", "via")}
        rest = {key: stored[key] for key in ("hash", "incident", "kind", "prev_hash", "seq")}
        # The body goes out as it is stored: written again, a number might look different.
        yield (
            f'{{"actor":{_json(actor)},"at":{_json(stored["at"])},'
            f'"body":{_body(stored["body"])},{_json(rest)[1:]}'
        )


def _body(stored: Any) -> str:
    """The stored JSON; what somebody has made of it that isn't a line of JSON, as a string."""
    try:
        json.loads(stored)
    except (TypeError, ValueError, RecursionError):
        return _json(stored)
    one_line = isinstance(stored, str) and not {"\n", "\r"} & set(stored)
    return stored if one_line else _json(stored)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)


def _harmless(value: Any) -> Any:
    """A cell that a spreadsheet does not take for a formula (OWASP, "CSV injection")."""
    if not isinstance(value, str):
        return value
    text = _writable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _writable(text: str) -> str:
    """Bytes that were no UTF-8 as escapes, which are JSON's own."""
    return text.encode("utf-8", "backslashreplace").decode()
