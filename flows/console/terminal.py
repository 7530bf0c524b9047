"""The terminal itself: where output goes, in which width, with or without colours."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 200


def console(out: TextIO | None = None) -> Console:
    """A console on standard output, or on ``out``; wide and plain where that is no terminal."""
    file = out or sys.stdout
    width = None if file.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, soft_wrap=not file.isatty())


def show_warnings() -> None:
    """Have what a long-lived process warns of shown on standard error."""
    from rich.logging import RichHandler

    handler = RichHandler(level=logging.WARNING, console=console(sys.stderr), show_path=False)
    # What Prefect warns of is about a view; what matters of that, the service says itself. Its own
    # threads log under other names.
    prefect = find_spec("prefect")
    package = os.path.dirname(prefect.origin) if prefect and prefect.origin else ""
    handler.addFilter(
        lambda record: (
            not record.name.startswith("prefect")
            and not (package and record.pathname.startswith(package + os.sep))
        )
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])


def table(*columns: str) -> Table:
    """A table without boxes: it reads well in a terminal, in a pipe, and in a chat message."""
    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    return grid


def shown(text: object, style: str = "") -> Text:
    """Text as it is: nothing in it is markup, moves the cursor, or looks like another line.

    Line ends before and after it are kept; within it they become spaces.
    """
    said = str(text)
    inner = said.strip("\n")
    before, after = said.split(inner, 1) if inner else (said, "")
    plain = "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"
        for letter in inner
    )
    return Text(f"{before}{plain}{after}", style=style)


def counted(number: int, what: str) -> str:
    """``1 change``, ``2 changes``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
