"""A whole assessment: of a drill written by hand, and of an incident really carried out."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.gameday.assessment import Assessment, Source
from flows.gameday.drills import BEGAN, ENDED, INJECTED, read_drill
from flows.gameday.scenario import Scenario
from flows.gameday.score import assess, coverage
from flows.journal.record import Actor
from runbooks.errors import InvalidInput
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import DRILL, Rehearsal, whole, within
from tests.flows.people import ALICE
from tests.flows.scene import Scene
from tests.flows.slack.incidents import finding

SEVEN = ("noticed", "acknowledged", "decided", "isolated", "contained", "evidence", "undone")


def cited(value: Any) -> set[Source]:
    """Every record that any part of it was made from."""
    if isinstance(value, Source):
        return {value}
    if is_dataclass(value):
        return set().union(*(cited(getattr(value, field.name)) for field in fields(value)))
    if isinstance(value, dict):
        return set().union(*map(cited, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(cited, value))
    return set()


def _exist(assessed: Assessment, drill: Rehearsal) -> bool:
    chains = {drill.id: drill.drill().records, **drill.drill().incidents}
    return all(1 <= one.seq <= len(chains[one.chain]) for one in cited(assessed))


def test_a_whole_containment_that_was_passed(rehearse: Make) -> None:
    drill = whole(rehearse(*(within(name, "20m") for name in SEVEN)))
    assessed = assess(drill.drill(), drill.playbooks, (), coverage([], drill.playbooks))
    assert assessed.passed
    assert assessed.score == 100
    assert (assessed.drill, assessed.scenario, assessed.mode) == (drill.id, "mining", "sandbox")
    assert (assessed.title, assessed.people, assessed.seed) == ("Mining", "stand-ins", 7)
    assert assessed.lasted == timedelta(minutes=30)
    assert assessed.techniques == ("T1496",)
    assert assessed.people_share == pytest.approx(0.9)
    assert [timing.milestone for timing in assessed.timings] == list(SEVEN)
    assert [item.playbook for item in assessed.coverage] == ["contain-it"]
    assert assessed.header["Incidents"] == "inc-20260302-abcdef (undone)"
    assert all(type(value) is str for value in assessed.header.values())


def test_every_figure_leads_to_records_that_there_are(rehearse: Make) -> None:
    drill = whole(rehearse(*(within(name, "20m") for name in SEVEN)))
    assessed = drill.assessed()
    assert _exist(assessed, drill)
    for item in (*assessed.verdicts, *assessed.phases, *assessed.timings, *assessed.lessons):
        assert item.sources, item
    for entry in (*assessed.evidence, *assessed.calls, *assessed.differences):
        assert entry["sources"], entry
    assert assessed.safety["sources"]


def test_a_drill_of_which_there_is_only_the_beginning(rehearse: Make) -> None:
    drill = rehearse()
    assessed = drill.assessed()
    assert (assessed.passed, assessed.score, assessed.lasted) == (False, 0, timedelta())
    assert {verdict.level for verdict in assessed.verdicts} == {"not tested"}


def test_a_drill_that_never_began_is_refused_in_words(rehearse: Make) -> None:
    drill = rehearse()
    with pytest.raises(InvalidInput, match="There is nothing of drill-none: it never began"):
        assess(read_drill(drill.home, drill.journal, "drill-none"), drill.playbooks)


def test_a_scenario_of_another_version_is_refused_in_words(rehearse: Make) -> None:
    drill = rehearse()
    about = {**drill.drill().about, "definition": {"version": 2}}
    drill.write("drill-other", BEGAN, about, DRILL)
    with pytest.raises(InvalidInput, match="it was played by another version"):
        assess(read_drill(drill.home, drill.journal, "drill-other"), drill.playbooks)


def test_an_incident_that_was_really_carried_out(scene: Scene) -> None:
    """The records are the executor's own: whatever they come to look like, they are understood."""
    scene.write(
        "- step: ec2.snapshot\n"
        "- approve: {id: contain, by: oncall, within: 15m}\n"
        "- step: ec2.isolate\n"
        "- step: evidence.wait\n"
    )
    scene.decides(ALICE)
    found = finding(scene)
    journal = scene.responder().journal
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "title": "For real",
            "purpose": "to try it",
            "playbook": "tag-it",
            "lasts": "1h",
            "timeline": [{"at": "0s", "finding": {"type": found.type, "on": "victim"}}],
            "objectives": [within(name, "10m") for name in SEVEN],
        }
    )
    about = {
        "scenario": "real",
        "title": "For real",
        "definition": scenario.model_dump(mode="json", by_alias=True),
        "digest": "a" * 64,
        "playbooks_digest": "b" * 64,
        "mode": "sandbox",
        "seed": 1,
        "tool": "1.0",
        "people": "slack",
        "region": scene.world.region,
        "account": scene.world.account,
        "names": {"victim": scene.world.victim},
    }
    system = Actor("system", "drill", "drill")
    journal.append("drill-real", BEGAN, about, system, at=datetime.now(UTC))
    detail = {"id": "finding", "finding_id": found.id}
    injected = {"event": 0, "at": 0, "thing": "finding", "text": "it finds", "detail": detail}
    journal.append("drill-real", INJECTED, injected, system)
    incident = scene.run(finding=found).incident
    journal.append("drill-real", ENDED, {"why": "over"}, system)
    assessed = assess(read_drill(scene.home, journal, "drill-real"), scene.responder().playbooks)
    assert incident.status == "contained", incident.error
    levels = {verdict.objective: verdict.level for verdict in assessed.verdicts}
    assert levels == {**dict.fromkeys(SEVEN, "met"), "undone": "not tested"}
    assert assessed.passed
    assert assessed.fidelity["as_written_share"] == 1
    names = {(phase.name, phase.waits) for phase in assessed.phases}
    assert {("ec2.isolate", "Clampdown"), ("evidence.wait", "AWS")} <= names
    assert ("gate contain: unnoticed", "people") in names
    assert [(item.person, item.counted) for item in assessed.decisions] == [("alice", True)]
    assert len(assessed.evidence) == 3
    assert all(item["complete"] and item["locked"] for item in assessed.evidence)
    made = {change.step for change in incident.changes}
    assert set(assessed.safety["actual"]) == made
    assert assessed.safety["planned"]["ec2.isolate"] == assessed.safety["actual"]["ec2.isolate"]
    assert [moment.text for moment in assessed.moments][-1] == "ends: over"
