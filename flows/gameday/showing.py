"""What ``clampdown gameday`` prints and writes of drills, and what it is told about that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.gameday.assessment import Assessment
from flows.options import print_json, say
from runbooks.errors import InvalidInput

Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one HTML file.")
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="What chance follows from: the same seed, the same drill."),
]


def require_one(drills: int, html: Path | None) -> None:
    """Raise InvalidInput where one HTML file is asked for of several drills."""
    if html is not None and drills != 1:
        raise InvalidInput("--html is for one scenario at a time.")


def write_html(went: Assessment, html: Path | None) -> None:
    """Write the report, where it is asked for."""
    if html is not None:
        from flows.gameday.report import html as page

        html.write_text(page(went), encoding="utf-8")
        say(f"The report is {html}.")


def show(went: Sequence[Assessment], as_json: bool, **more: Any) -> None:
    """Print how drills went. ``more`` is put into the JSON document of a single one."""
    from flows.gameday.report import summary, to_json

    if as_json:
        documents = [to_json(assessment) for assessment in went]
        single = len(documents) == 1
        print_json({**documents[0], **more} if single else {"drills": documents})
        return
    from flows.console.terminal import console

    view = console()
    for assessment in went:
        summary(assessment, view)


def show_words(head: str, words: Sequence[str]) -> None:
    """Print sentences below a head line."""
    from flows.console.terminal import console, shown

    view = console()
    view.print(shown(f"\n{head}", "bold"))
    for text in words:
        view.print(shown(f"  {text}"))
