"""A whole service in shadow: findings come in, and nothing is opened or changed, whatever is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.gameday.worlds import client
from flows.journal.record import Record
from flows.shadow.records import JUDGED
from tests.flows.commands import until
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage


@pytest.fixture
def office(tmp_path: Path, stage: Stage) -> Office:
    return Office(tmp_path, stage)


def judged(office: Office) -> list[Record]:
    with office.journal() as journal:
        return list(journal.find(kind=JUDGED))


def changes(office: Office) -> list[str]:
    """What was changed in AWS, beside what the queue itself takes."""
    calls = office.stage.aws.calls.changes
    return [call.name for call in calls if call.service not in {"sqs", "events", "guardduty"}]


@pytest.mark.parametrize("how", [("--shadow",), ()])
def test_findings_are_judged_and_nothing_is_opened_or_changed(
    office: Office, how: tuple[str, ...]
) -> None:
    environment = {} if how else {"CLAMPDOWN_SHADOW": "1"}
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    with office.serving(*how, **environment) as service:
        assert service.said["shadow"] is True
        office.guardduty.find()
        until(lambda: judged(office), "the judgement")
        figures = service.get("/metrics")[1]
        assert "clampdown_shadow 1.0" in figures
        assert 'clampdown_shadow_judged_total{verdict="contain"} 1.0' in figures
        service.stop()
    assert office.incidents() == []
    assert changes(office) == []
    [record] = judged(office)
    assert record.body["verdict"] == "contain"
    assert [step["step"] for step in record.body["steps"]] == ["ec2.isolate", "ec2.tag"]


def test_what_was_begun_before_is_not_gone_on_with(office: Office) -> None:
    with office.serving() as service:
        office.guardduty.find()
        until(lambda: office.incidents() and office.incidents()[0].gates, "the gate")
        service.stop()
    [incident] = office.incidents()
    known = len(changes(office))
    with office.serving("--shadow") as service:
        assert service.said["resumed"] == []
        assert office.clampdown("approve", incident.id, "contain", "--why", "sure").code == 0
        service.stop()
    assert len(changes(office)) == known
    assert [found.status for found in office.incidents()] == [incident.status]


def test_commands_in_shadow_refuse_to_change_anything(office: Office) -> None:
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    victim = office.stage.world.ids["victim"]
    ended = office.clampdown("run", "contain", "--target", victim, CLAMPDOWN_SHADOW="1")
    assert ended.code == 3
    assert "This is a shadow" in ended.err
    assert office.incidents() == []
    assert changes(office) == []


def test_the_doctor_says_that_it_is_a_shadow(office: Office) -> None:
    ended = office.clampdown("doctor", "--json", CLAMPDOWN_SHADOW="1")
    assert "SHADOW: nothing is opened or changed" in ended.out


def test_a_route_in_shadow_is_judged_by_a_service_that_acts_on_the_others(office: Office) -> None:
    shadow = [{**ROUTES[0], "mode": "shadow"}]
    office.clampdown.write_playbooks(routes=shadow, playbooks=UNGATED)
    with office.serving() as service:
        assert service.said["shadow"] is False
        found = office.guardduty.find()
        until(lambda: judged(office), "the judgement")
        # Somebody deals with it by hand, and archives it.
        guardduty = client(office.stage.url, office.stage.world.region, "guardduty")
        (detector,) = guardduty.list_detectors()["DetectorIds"]
        guardduty.archive_findings(DetectorId=detector, FindingIds=[found])
        figures = service.get("/metrics")[1]
        assert 'clampdown_findings_total{outcome="shadowed",source="guardduty"} 1.0' in figures
        assert "clampdown_shadow 0.0" in figures
        service.stop()
    assert office.incidents() == []
    assert changes(office) == []
    timeline = office.clampdown("timeline", judged(office)[0].incident)
    assert "SHADOW: Would have carried out contain" in timeline.out.replace("\n", " ")
