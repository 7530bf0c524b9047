"""``clampdown gameday shadow``: list, compare, mark."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.gameday.shadow.commands import app
from flows.identity import local_identity
from flows.shadow.records import MARKED
from runbooks.errors import InvalidInput
from tests.flows.scene import Scene
from tests.flows.shadow.shadows import ONE, SHADOW, finding, judged

ME = local_identity().principal


class Shadow:
    """The commands, in this process."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLAMPDOWN_HOME", str(scene.home))
        monkeypatch.setenv("CLAMPDOWN_PLAYBOOKS", str(scene.file))
        monkeypatch.setenv("CLAMPDOWN_SIMULATE", scene.aws.url)
        scene.write(ONE, more=SHADOW)
        self.scene = scene
        self.judgement = judged(scene.responder(), finding(scene))

    def __call__(self, *arguments: str) -> str:
        ended = CliRunner().invoke(app, list(arguments))
        if ended.exception and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def shadow(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Shadow:
    return Shadow(scene, monkeypatch)


def test_what_was_judged_is_listed(shadow: Shadow) -> None:
    said = shadow("list")
    assert shadow.judgement.chain in said
    assert "contain" in said
    [found] = shadow.json("list")["judgements"]
    assert found["chain"] == shadow.judgement.chain
    assert found["digest"] == shadow.judgement.body["digest"]


def test_what_people_say_is_recorded_as_theirs_and_compared(shadow: Shadow) -> None:
    chain = shadow.judgement.chain
    # A command takes a moment, in which people can't have contained anything later than now.
    at = datetime.now(UTC)
    said = shadow("mark", chain, "--contained-at", at.isoformat(), "--why", "isolated by hand")
    assert said == f"{chain}: contained, says {ME}.\n"
    [record] = [
        record
        for record in shadow.scene.responders[0].journal.records(chain)
        if record.kind == MARKED
    ]
    assert (record.actor.id, record.body["why"]) == (ME, "isolated by hand")
    compared = shadow.json("compare", "--without-aws")
    assert (compared["contained"], compared["real"]) == (1, 1)
    assert compared["cases"][0]["sources"][0]["source"] == "people"
    assert compared["median_seconds_sooner"] == pytest.approx(
        (at - shadow.judgement.begins - shadow.judgement.contained_after) / timedelta(seconds=1)
    )


def test_a_false_alarm_would_have_been_contained_wrongly(shadow: Shadow) -> None:
    shadow("mark", shadow.judgement.chain, "--false-alarm")
    assert "0 of 0, 1 wrongly" in shadow("compare")


def test_the_comparison_looks_at_aws_and_changes_nothing(shadow: Shadow) -> None:
    assert "Nobody has said" in shadow("compare")
    operations = {call.operation for call in shadow.scene.aws.calls}
    assert {"DescribeInstances", "DescribeSecurityGroupRules"} <= operations
    assert shadow.scene.aws.calls.changes == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--false-alarm", "--missed"),
        ("--missed", "--contained-at", "2026-01-01T00:00:00Z"),
        ("--contained-at", "noon"),
        ("--contained-at", "2026-01-01T00:00:00"),
    ],
)
def test_a_mark_says_one_thing_that_is_understood(
    shadow: Shadow, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput):
        shadow("mark", shadow.judgement.chain, *arguments)
