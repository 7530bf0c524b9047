"""What the doctor has found, on a terminal and in a pipe."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from flows.console.doctor_view import show_examination
from flows.console.terminal import console

EVIL = "\x1b[2J[red]x[/red]\nok: forged"


def check(name: str, status: str, what: str, **more: str) -> dict[str, Any]:
    known = {"group": "AWS", "meaning": None, "advice": None}
    return {**known, "check": name, "status": status, "what": what, **more}


DOCUMENT: dict[str, Any] = {
    "healthy": False,
    "problems": 1,
    "warnings": 1,
    "ok": 1,
    "not_looked_at": 2,
    "seconds": 1.234,
    "checks": [
        check("credentials", "ok", "Fine."),
        check("role", "problem", "It is gone.", meaning="It matters.", advice="Make it again."),
        check("one", "not looked at", "The account can't be entered."),
        check("two", "not looked at", "The account can't be entered."),
        check("queue", "warning", EVIL, group="queues", advice="Look."),
    ],
}


def plain() -> list[str]:
    out = io.StringIO()
    show_examination(console(out), DOCUMENT)
    return out.getvalue().splitlines()


def terminal(width: int = 100) -> str:
    out = io.StringIO()
    colours = Console(file=out, force_terminal=True, width=width, highlight=False, no_color=False)
    show_examination(colours, DOCUMENT)
    return out.getvalue()


def test_a_pipe_gets_a_line_for_each_check() -> None:
    lines = plain()

    assert lines[0] == "ok: AWS, credentials: Fine."
    assert lines[1] == "problem: AWS, role: It is gone. It matters. Make it again."
    assert lines[3] == "not looked at: AWS, two: The account can't be entered."
    assert lines[-1] == "1 problem, 1 warning, 1 ok, 2 not looked at, in 1.2 s."
    assert len(lines) == 6


def test_nothing_that_was_found_looks_like_something_else() -> None:
    line = plain()[4]

    assert line.startswith("warning: queues, queue: ")
    assert "\x1b" not in line
    assert "[red]x[/red] ok: forged Look." in line
    assert "\x1b[2J" not in terminal()


def test_a_terminal_gets_a_table_with_what_it_means_and_what_to_do() -> None:
    said = terminal()

    assert "\x1b[1;31mproblem" in said
    assert "It matters." in said
    assert "→ Make it again." in said
    assert "one, two" in said
    assert said.count("can't be entered") == 1


def test_a_narrow_terminal_is_enough() -> None:
    assert all(len(line) <= 40 for line in _without_colours(terminal(40)).splitlines())


def _without_colours(text: str) -> str:
    from rich.text import Text

    return Text.from_ansi(text).plain
