"""Drills as JUnit XML, so that CI shows a missed objective as it shows a failed test.

The schemas that readers of JUnit XML go by (Ant's and Jenkins's) differ: what is written here is
valid in both. So all counts are there, times are in seconds, and a timestamp has no time zone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from xml.etree import ElementTree as ET

from flows.gameday.assessment import Assessment, Verdict
from flows.gameday.report.words import margin, mode_of
from flows.intake.finding import for_display

# What XML 1.0 can hold at all (section 2.2); anything else makes the whole file unreadable.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FAILED = ("missed", "partly")


def junit(assessments: Sequence[Assessment]) -> str:
    """One test suite for each drill, one test case for each of its objectives.

    An objective that was missed, or met only partly, is a failure, and one that was not tested is
    skipped. A drill that did not pass although none of its objectives failed (one that broke off)
    has a test case of its own, with an error.
    """
    suites = ET.Element("testsuites")
    for number, assessment in enumerate(assessments):
        suites.append(_suite(number, assessment))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _suite(number: int, assessment: Assessment) -> ET.Element:
    verdicts = assessment.verdicts
    failures = sum(verdict.level in _FAILED for verdict in verdicts)
    broke_off = not assessment.passed and not failures
    suite = _element(
        "testsuite",
        name=assessment.scenario,
        tests=len(verdicts) + broke_off,
        failures=failures,
        errors=int(broke_off),
        skipped=sum(verdict.level == "not tested" for verdict in verdicts),
        time=_seconds(assessment.lasted.total_seconds()),
        timestamp=f"{assessment.began.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        hostname="localhost",
        id=number,
        package="clampdown.gameday",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in {
        "drill": assessment.drill,
        "seed": assessment.seed,
        "mode": assessment.mode,
        "people": assessment.people,
        "score": f"{assessment.score:.1f}",
        "formula": assessment.formula,
    }.items():
        properties.append(_element("property", name=name, value=value))
    suite.extend(_case(assessment, verdict) for verdict in verdicts)
    if broke_off:
        case = _element("testcase", name="drill", classname=_class(assessment), time=_seconds(0))
        reason = f"{assessment.title}: the drill did not pass. {assessment.formula}"
        case.append(_element("error", message=reason, type="drill"))
        suite.append(case)
    told = ET.SubElement(suite, "system-out")
    told.text = _text(f"{assessment.mode.upper()}: {mode_of(assessment).means}")
    ET.SubElement(suite, "system-err")
    return suite


def _case(assessment: Assessment, verdict: Verdict) -> ET.Element:
    took = verdict.took.total_seconds() if verdict.took else 0
    case = _element(
        "testcase", name=verdict.objective, classname=_class(assessment), time=_seconds(took)
    )
    if verdict.level == "not tested":
        case.append(_element("skipped", message=verdict.reason))
    elif verdict.level in _FAILED:
        by = margin(verdict)
        message = f"{verdict.title}: {by}" if by else verdict.title
        failure = _element("failure", message=message, type=verdict.level)
        sources = " ".join(f"{source.chain}#{source.seq}" for source in verdict.sources)
        lines = [verdict.reason, f"journal: {sources}" if sources else ""]
        lines.append(f"drill {assessment.drill}, seed {assessment.seed}")
        failure.text = "\n".join(_text(line) for line in lines if line)
        case.append(failure)
    return case


def _class(assessment: Assessment) -> str:
    return f"clampdown.gameday.{assessment.scenario}"


def _element(tag: str, **attributes: object) -> ET.Element:
    return ET.Element(tag, {name: _text(value) for name, value in attributes.items()})


def _text(value: object) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", for_display(str(value)))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
