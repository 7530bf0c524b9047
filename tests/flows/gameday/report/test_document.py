"""The JSON document: keys that stay, plain values, and a hash that anybody can make again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import rfc8785

from flows.gameday.report import html, to_json
from tests.flows.gameday.report.assessments import DRILL, FIRST, assessment, hostile

KEYS = (
    "document version real_changes drill scenario title purpose mode seed people began lasted header "
    "techniques score formula passed verdicts phases moments timings people_share fidelity decisions "
    "quality safety evidence journal faults calls differences not_tested lessons past coverage sha256"
)


def test_the_keys_of_version_1() -> None:
    document = to_json(assessment())
    # A key may be added; taking one away breaks readers, and needs another version.
    assert set(KEYS.split()) <= set(document)
    assert (document["document"], document["version"]) == ("clampdown-drill-report", 1)
    assert set(document["verdicts"][0]) == {
        "objective",
        "title",
        "level",
        "reason",
        "weight",
        "limit",
        "took",
        "by",
        "controls",
        "sources",
    }


def test_durations_are_seconds_and_sources_name_records() -> None:
    document = to_json(assessment())
    missed = document["verdicts"][2]
    assert (missed["limit"], missed["took"], missed["by"]) == (900.0, 1061.4, -161.4)
    assert missed["sources"] == [f"{DRILL}#4", f"{FIRST}#31"]
    assert document["lasted"] == 2700.0
    assert document["began"] == "2026-11-25T09:00:00Z"
    assert document["past"][0]["at"] == "2026-04-15T00:00:00Z"


def test_it_is_json_as_it_is() -> None:
    for drill in (assessment(), hostile()):
        document = to_json(drill)
        assert json.loads(json.dumps(document)) == document


def test_only_a_live_drill_says_that_it_changed_something_real() -> None:
    assert to_json(assessment())["real_changes"] is False
    assert to_json(assessment(mode="live drill"))["real_changes"] is True


def test_the_hash_is_of_all_the_rest_and_stands_in_the_page() -> None:
    document = to_json(assessment())
    said = document.pop("sha256")
    assert hashlib.sha256(rfc8785.dumps(document)).hexdigest() == said
    assert said in html(assessment())
    assert to_json(assessment(seed=1))["sha256"] != said


def test_the_documentation_names_every_key() -> None:
    said = (Path(__file__).parents[4] / "docs/drill_reports.md").read_text(encoding="utf-8")
    document = to_json(assessment())
    rows = [
        document[key][0]
        for key in ("verdicts", "phases", "moments", "timings", "decisions", "lessons")
    ]
    for key in {*document, *(key for row in rows for key in row)}:
        assert f"`{key}`" in said, key
