"""Taking records out: as JSON lines that anybody can verify, or as CSV for spreadsheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, Literal, TextIO

from flows.journal.journal import Journal, records_table

_FIELDS = tuple(column.name for column in records_table.columns)


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
        out.write(line + "\n")


def _lines(journal: Journal, incident: str | None) -> Iterator[str]:
    for row in journal.rows(incident):
        stored = dict(zip(_FIELDS, row, strict=True))
        record = {
            "actor": {
                "id": stored["actor_id"],
                "kind": stored["actor_kind"],
                "via": stored["actor_via"],
            },
            "at": stored["at"],
            "body": json.loads(stored["body"]),
            "hash": stored["hash"],
            "incident": stored["incident"],
            "kind": stored["kind"],
            "prev_hash": stored["prev_hash"],
            "seq": stored["seq"],
        }
        yield json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _harmless(value: Any) -> Any:
    """A cell that a spreadsheet does not take for a formula (OWASP, "CSV injection")."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
