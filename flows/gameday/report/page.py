"""The report as one HTML file, which needs nothing else: no request, no script, no font."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from flows.console.terminal import counted
from flows.gameday.assessment import Assessment, Level, Moment, Source
from flows.gameday.report import words
from flows.gameday.report.document import to_json
from flows.gameday.report.gantt import WAITS, gantt
from flows.gameday.report.tables import facts, rows, sources_of
from flows.gameday.report.trend import trends
from flows.intake.finding import for_display

_LEVELS: tuple[Level, ...] = ("missed", "partly", "met", "not tested")
_SEVERITIES = ("high", "medium", "low")


@dataclass(frozen=True)
class _Line:
    """A line of the timeline. ``anchor`` is what references to its record lead to."""

    moment: Moment
    anchor: str


@dataclass(frozen=True)
class _Reference:
    """A record as a reference says it; ``anchor`` is empty where the timeline has no line for it."""

    text: str
    anchor: str


@dataclass(frozen=True)
class _Difference:
    """What differed at a time, and the records that tell of it."""

    changes: list[dict[str, Any]]
    sources: list[Source]


def html(assessment: Assessment) -> str:
    """The whole report: opened from a disk, printed or sent, it is the same."""
    style = _style()
    anchors = {moment.source: _anchor(moment.source) for moment in assessment.moments}

    def references(sources: Sequence[Source]) -> list[_Reference]:
        """Each record once; the chain is said again only where it is another one."""
        said = []
        chain = None
        for source in dict.fromkeys(sources):
            text = f"#{source.seq}" if source.chain == chain else f"{source.chain}#{source.seq}"
            said.append(_Reference(text, anchors.get(source, "")))
            chain = source.chain
        return said

    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            drill=assessment,
            mode=words.mode_of(assessment),
            style=Markup(style),
            style_hash=_style_hash(style),
            sha256=to_json(assessment)["sha256"],
            references=references,
            lines=_lines(assessment.moments, anchors),
            charts=(gantt(assessment, 940, 150), gantt(assessment, 350, 0)),
            waits=WAITS,
            trends=trends(assessment),
            counts={
                level: sum(verdict.level == level for verdict in assessment.verdicts)
                for level in _LEVELS
            },
            contained=[t for t in assessment.timings if t.milestone.startswith("contained")],
            lessons=sorted(assessment.lessons, key=lambda one: _SEVERITIES.index(one.severity)),
            refused=[moment for moment in assessment.moments if moment.kind == "refused"],
            faults=[moment for moment in assessment.moments if moment.kind == "fault"],
            injected=[_injected(fault) for fault in assessment.faults],
            differences=_differences(assessment),
            controls=_controls(assessment),
            calls_told=_calls_told(assessment.calls),
            about=_about(assessment),
            # The drill's own clock is the scenario's, which may stand on any day.
            played=assessment.header.get("Played", words.minute(assessment.began)),
        )
    )


@cache
def _environment() -> Environment:
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader("flows.gameday.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever is shown is on one line, and doesn't turn the direction of what stands beside it.
        finalize=_shown,
    )
    environment.filters |= {
        "duration": words.duration,
        "clock": words.clock,
        "margin": words.margin,
        "number": words.number,
        "percent": words.percent,
        "day": words.day,
        "minute": words.minute,
        "name": words.name,
        "said": words.said,
        "facts": facts,
        "rows": rows,
    }
    return environment


def _shown(value: Any) -> Any:
    return for_display(value) if type(value) is str else value


def _style() -> str:
    return files(__package__).joinpath("report.css").read_text(encoding="utf-8")


def _style_hash(style: str) -> str:
    """As the page's Content-Security-Policy names its only style sheet."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _anchor(source: Source) -> str:
    return f"r-{re.sub(r'[^A-Za-z0-9-]', '_', source.chain)}-{source.seq}"


def _lines(moments: Iterable[Moment], anchors: dict[Source, str]) -> list[_Line]:
    """Moments in order; of several from the same record, the first has its anchor."""
    left = dict(anchors)
    ordered = sorted(moments, key=lambda moment: moment.at)
    return [_Line(moment, left.pop(moment.source, "")) for moment in ordered]


def _differences(assessment: Assessment) -> dict[str, _Difference]:
    """What differs by when it was looked at, whether changes come singly or together."""
    found: dict[str, _Difference] = {}
    for item in assessment.differences:
        here = found.setdefault(str(item.get("when", "at the end")), _Difference([], []))
        here.changes.extend(item.get("changes", [item]))
        here.sources.extend(sources_of(item))
    # Where nothing differs after an undo, there is no change to name it.
    if assessment.safety.get("taken_back"):
        found.setdefault("undone", _Difference([], []))
    return found


def _calls_told(calls: Sequence[dict[str, Any]]) -> str:
    every = sum(call["count"] for call in calls)
    changes = sum(call["count"] for call in calls if call["changes"])
    errors = sum(sum((call.get("errors") or {}).values()) for call in calls)
    told = f"{counted(every, 'call')} to {counted(len(calls), 'operation')}"
    return f"{told}: {counted(changes, 'change')}, {counted(errors, 'answer')} with an error"


def _injected(fault: dict[str, Any]) -> dict[str, Any]:
    """A fault as a line: who noticed it, and nothing that its words say already."""
    told = {key: value for key, value in fault.items() if key not in ("thing", "noticed", "by")}
    return {**told, "noticed_by": fault["by"]} if "by" in fault else told


def _about(assessment: Assessment) -> dict[str, str]:
    own = {
        "Drill": assessment.drill,
        "Scenario": assessment.scenario,
        "Mode": assessment.mode,
        "Seed": str(assessment.seed),
        "People": assessment.people,
        "Scenario's clock": f"{words.minute(assessment.began)}, {words.duration(assessment.lasted)}",
    }
    return {**own, **assessment.header}


def _controls(assessment: Assessment) -> dict[str, list[Any]]:
    """What auditors call it, with the objectives that show it."""
    named: dict[str, list[Any]] = {}
    for verdict in assessment.verdicts:
        for control in verdict.controls:
            named.setdefault(control, []).append(verdict)
    return dict(sorted(named.items()))
