"""What the doctor has found: a table on a terminal, a line for each check in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.console.terminal import counted, shown, table

_NOT_LOOKED = "not looked at"
STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", _NOT_LOOKED: "dim"}


def show_examination(out: Console, document: Mapping[str, Any]) -> None:
    """Print what :meth:`flows.doctor.examination.Examination.to_json` gives."""
    if out.is_terminal:
        _show_table(out, document["checks"])
    else:
        for check in document["checks"]:
            said = (check["what"], check["meaning"], check["advice"])
            name = f"{check['group']}, {check['check']}"
            out.print(shown(f"{check['status']}: {name}: {' '.join(filter(None, said))}"))
    out.print(_verdict(document))


def _show_table(out: Console, checks: Sequence[Mapping[str, Any]]) -> None:
    rows = table("", "CHECK", "FOUND")
    group = ""
    for same in _together(checks):
        check = same[0]
        if check["group"] != group:
            group = check["group"]
            rows.add_row("", shown(group, "bold"), "")
        status = check["status"]
        names = ", ".join(each["check"] for each in same)
        found = shown(check["what"], "dim" if status == _NOT_LOOKED else "")
        if check["meaning"]:
            found += Text("\n") + shown(check["meaning"], "dim")
        if check["advice"]:
            found += Text("\n") + shown(f"→ {check['advice']}", STYLES[status])
        rows.add_row(shown(status, STYLES[status]), shown(names), found)
    out.print(rows)
    out.print()


def _together(checks: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The checks one by one, but together those next to each other that all tell of one reason why
    nothing was looked at."""

    def alike(numbered: tuple[int, Mapping[str, Any]]) -> tuple[object, ...]:
        number, check = numbered
        own = () if check["status"] == _NOT_LOOKED else (number,)
        return (check["group"], check["what"], *own)

    for _, same in groupby(enumerate(checks), key=alike):
        yield [check for _, check in same]


def _verdict(document: Mapping[str, Any]) -> Text:
    counts = (
        counted(document["problems"], "problem"),
        counted(document["warnings"], "warning"),
        f"{document['ok']} ok",
        f"{document['not_looked_at']} not looked at",
    )
    style = "green" if document["healthy"] else "bold red"
    return shown(f"{', '.join(counts)}, in {document['seconds']:.1f} s.", style)
