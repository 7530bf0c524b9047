"""JUnit XML as CI reads it: valid for Ant's and for Jenkins's schema, and true to the verdicts."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from flows.gameday.report import junit
from tests.flows.gameday.report.assessments import BEGAN, DRILL, FIRST, assessment, hostile

DECIMAL = re.compile(r"\d+(\.\d+)?")
COUNT = re.compile(r"\d+")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
ANY = re.compile(r"(?s).*")
NAME = re.compile(r"\S(?s:.*)")

# What Ant's JUnit.xsd and Jenkins's junit-10.xsd have in common: for each element its attributes
# (all required, but for those of a failure), and its children in order as a pattern.
SCHEMA = {
    "testsuites": ({}, r"(testsuite )*"),
    "testsuite": (
        {
            "name": NAME,
            "timestamp": TIMESTAMP,
            "hostname": NAME,
            "tests": COUNT,
            "failures": COUNT,
            "errors": COUNT,
            "skipped": COUNT,
            "time": DECIMAL,
            "package": NAME,
            "id": COUNT,
        },
        r"properties (testcase )*system-out system-err ",
    ),
    "properties": ({}, r"(property )*"),
    "property": ({"name": NAME, "value": ANY}, ""),
    "testcase": (
        {"name": NAME, "classname": NAME, "time": DECIMAL},
        r"(skipped |error |failure )?",
    ),
    "skipped": ({"message": ANY}, ""),
    "error": ({"message": ANY, "type": NAME}, ""),
    "failure": ({"message": ANY, "type": NAME}, ""),
    "system-out": ({}, ""),
    "system-err": ({}, ""),
}


def check(element: ET.Element) -> None:
    attributes, children = SCHEMA[element.tag]
    assert set(element.attrib) == set(attributes), element.tag
    for name, pattern in attributes.items():
        assert pattern.fullmatch(element.attrib[name]), f"{element.tag} {name}"
    order = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(children, order), f"{element.tag} has {order}"
    for child in element:
        check(child)


def suites(*drills) -> list[ET.Element]:
    root = ET.fromstring(junit(drills))
    check(root)
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[count]) == sum(case.find(tag) is not None for case in cases)
    return list(root)


def test_one_suite_for_each_drill_and_one_case_for_each_objective() -> None:
    first, second = suites(assessment(), assessment(scenario="leaked-key"))
    assert [first.attrib["name"], second.attrib["name"]] == ["crypto-mining-in-asg", "leaked-key"]
    assert [first.attrib["id"], second.attrib["id"]] == ["0", "1"]
    assert first.attrib["time"] == "2700.000"
    assert first.attrib["timestamp"] == f"{BEGAN:%Y-%m-%dT%H:%M:%S}"
    assert [case.attrib["name"] for case in first.findall("testcase")] == [
        verdict.objective for verdict in assessment().verdicts
    ]


def test_properties_name_the_drill_and_its_seed() -> None:
    (suite,) = suites(assessment())
    properties = {item.attrib["name"]: item.attrib["value"] for item in suite.find("properties")}
    assert properties["drill"] == DRILL
    assert properties["seed"] == "20261125"
    assert properties["mode"] == "sandbox"
    assert suite.findtext("system-out").startswith("SANDBOX: Nothing real was touched")


def test_a_missed_objective_is_a_failure_that_says_by_how_much() -> None:
    (suite,) = suites(assessment())
    case = suite.find("testcase[@name='isolated']")
    assert case.attrib["time"] == "1061.400"
    failure = case.find("failure")
    assert failure.attrib["message"] == "The mining instance is isolated: 2 min 41 s too late"
    assert failure.attrib["type"] == "missed"
    assert "the gate was escalated after 15 min" in failure.text
    assert f"journal: {DRILL}#4 {FIRST}#31" in failure.text
    assert f"drill {DRILL}, seed 20261125" in failure.text


def test_partly_is_a_failure_too_and_not_tested_is_skipped() -> None:
    (suite,) = suites(assessment())
    assert suite.find("testcase[@name='second']/failure").attrib["type"] == "partly"
    assert suite.find("testcase[@name='undone']/skipped").attrib["message"] == "Nobody undid it."
    assert len(suite.find("testcase[@name='noticed']")) == 0


def test_a_drill_that_broke_off_is_never_green() -> None:
    untested = tuple(replace(one, level="not tested") for one in assessment().verdicts)
    (suite,) = suites(assessment(verdicts=untested, passed=False))
    assert suite.attrib["errors"] == "1"
    assert suite.find("testcase[@name='drill']/error") is not None
    (suite,) = suites(assessment(verdicts=(assessment().verdicts[0],), passed=True))
    assert (suite.attrib["errors"], suite.attrib["failures"]) == ("0", "0")


def test_no_text_breaks_the_file() -> None:
    (suite,) = suites(hostile())
    text = junit([hostile()])
    assert "\x00" not in text
    assert "\u202e" not in text
    assert suite.find("properties/property[@name='people']") is not None


@pytest.mark.parametrize("text", ["\x0b", "\ufffe", "\x1b[31m"])
def test_what_xml_cannot_hold_is_left_out(text: str) -> None:
    (suite,) = suites(assessment(people=f"a{text}b"))
    assert suite.find("properties/property[@name='people']").attrib["value"].startswith("a")
