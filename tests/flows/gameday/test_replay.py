"""A past incident is played again with the people of then, and held against how it went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.difference_text import in_words
from flows.gameday.drills import CHECKED, DIFFERENCE, read_drill
from flows.gameday.replay import Replay, replay_scenario
from flows.gameday.replay_comparison import compare, seconds_to
from flows.gameday.run import run_drill
from flows.gameday.scenario import Scenario
from flows.gameday.twin_scenario import STARTER, twin_scenario
from flows.gameday.worlds import ACCOUNT, World, parse_account
from flows.identity import Identity
from flows.journal.journal import Journal
from flows.journal.record import Record
from runbooks.errors import InvalidInput
from runbooks.loader import loads
from runbooks.playbook import Playbooks
from tests.flows.gameday.score.rehearsal import (
    INCIDENT,
    REGION,
    STEPS,
    VICTIM,
    Rehearsal,
    arn,
    whole,
)

BANK = parse_account((Path(__file__).parent / "worlds" / "bank.yaml").read_bytes())
PLAYBOOKS = """\
version: 1
accounts:
  "123456789012": {name: bank, environment: production}
approvers:
  oncall: {local_users: [alice]}
  leads: {local_users: [carol]}
routes:
  - {match: {source: guardduty, type: "CryptoCurrency:EC2/*"}, playbook: contain-it, mode: MODE}
playbooks:
  contain-it:
    title: Contain it
    target: ec2.instance
    steps:
"""
GATE = "{approve: {id: contain, by: oncall, within: 15m, otherwise: deny}}"


def playbooks(*steps: str, mode: str = "automatic") -> Playbooks:
    lines = "".join(f"      - {step}\n" for step in steps or (GATE, "{step: ec2.isolate}"))
    return loads((PLAYBOOKS.replace("MODE", mode) + lines).encode(), "playbooks.yaml")


def story(home: Path, **more: Any) -> Rehearsal:
    """The beginning of an incident: its finding comes and it is opened."""
    begun = Rehearsal(home, **more)
    begun.at(30).finding()
    return begun


def records(of: Rehearsal) -> Sequence[Record]:
    return of.drill().incidents[INCIDENT]


def replayed(of: Rehearsal, *steps: str, **more: Any) -> Replay:
    return replay_scenario(records(of), playbooks(*steps, **more))


@pytest.fixture
def good_day(tmp_path: Path) -> Rehearsal:
    return whole(Rehearsal(tmp_path))


@pytest.fixture(autouse=True)
def _with_severity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings of the stories say how severe they are, as all do."""
    write = Rehearsal.write

    def severe(self: Rehearsal, chain: str, kind: str, body: Any, actor: Any) -> Record:
        if kind == "incident.opened" and body["finding"]:
            body = {**body, "finding": {**FINDING, **body["finding"]}}
        return write(self, chain, kind, body, actor)

    monkeypatch.setattr(Rehearsal, "write", severe)


FINDING = {"severity": 8.5, "resource_role": "ACTOR", "remote_addresses": ["198.51.100.20"]}


# What is played


def test_the_finding_is_found_again_as_it_was(good_day: Rehearsal) -> None:
    scenario = replayed(good_day).scenario

    first = scenario.timeline[0].finding
    assert first is not None
    assert (first.type, first.severity, first.remote) == (
        "CryptoCurrency:EC2/X",
        8.5,
        "198.51.100.20",
    )
    assert scenario.timeline[0].at == timedelta()


def test_people_answer_what_they_answered_as_late_as_they_did(good_day: Rehearsal) -> None:
    people = replayed(good_day).scenario.people

    alice = people["alice"]
    assert alice.groups == ("oncall",)
    assert alice.answers == "approve"
    # The gate was asked for at 35 s, and approved at 215.
    assert alice.notices.after + alice.decides.after == timedelta(seconds=180)
    assert alice.notices.spread == alice.decides.spread == 0


def test_whoever_denied_denies(tmp_path: Path) -> None:
    then = story(tmp_path)
    then.at(31).opened()
    then.at(35).asks()
    then.at(95).decides(answer="deny")

    alice = replayed(then).scenario.people["alice"]

    assert alice.answers == "deny"
    assert alice.decides.after == timedelta(seconds=60)


def test_whoever_was_asked_later_took_their_time_from_then(tmp_path: Path) -> None:
    then = story(tmp_path)
    then.at(31).opened()
    then.at(35).asks()
    then.at(935).tell("gate.expired", gate="contain")
    then.at(936).tell("gate.escalated", gate="contain", to="leads", expires_at="")
    then.at(1056).decides("carol", groups=("leads",))

    people = replayed(then).scenario.people

    assert people["carol"].decides.after == timedelta(seconds=120)
    (silent,) = [person for person in people.values() if person.answers == "nothing"]
    assert silent.groups == ("oncall",)


def test_a_group_that_only_todays_playbook_asks_is_assumed_to_be_as_quick_as_the_others(
    good_day: Rehearsal,
) -> None:
    gate = "{approve: {id: contain, by: leads, within: 15m, otherwise: deny}}"

    replay = replayed(good_day, gate, "{step: ec2.isolate}")

    (lead,) = [item for item in replay.scenario.people.values() if item.groups == ("leads",)]
    assert lead.decides.after == timedelta(seconds=180)
    assert any("nobody was asked of leads" in text for text in replay.missing)


def test_who_took_it_back_does_so_again(good_day: Rehearsal) -> None:
    undone = replayed(good_day).scenario.timeline[-1]

    assert undone.person is not None
    assert (undone.person.who, undone.person.does) == ("alice", "undo")
    # Opened at 31 s, taken back at 1,200.
    assert undone.at == timedelta(seconds=1169)


def test_what_was_proposed_is_started_by_whoever_did_unless_it_now_begins_by_itself(
    tmp_path: Path,
) -> None:
    then = story(tmp_path)
    then.at(31).opened(proposed=True)
    then.at(331).tell("incident.started", actor=Identity("local", "bob").actor, reason="seen it")
    then.at(335).asks()
    then.at(400).decides()

    proposed = replayed(then, mode="propose").scenario
    automatic = replayed(then, mode="automatic").scenario

    (start,) = [event for event in proposed.timeline if event.person]
    assert start.person is not None
    assert (start.person.who, start.at) == ("bob", timedelta(seconds=300))
    assert not [event for event in automatic.timeline if event.person]


def test_what_began_by_itself_and_is_only_proposed_today_is_started_by_somebody(
    good_day: Rehearsal,
) -> None:
    replay = replayed(good_day, mode="propose")

    assert STARTER in replay.scenario.people
    assert any("today somebody has to start it" in text for text in replay.missing)


def test_what_was_started_by_hand_is_started_by_hand(tmp_path: Path) -> None:
    then = story(tmp_path)
    then.at(31).opened(identity=None, actor=Identity("slack", "U061F7AUR", "T012AB3CD").actor)

    (start,) = replayed(then).scenario.timeline

    assert start.person is not None
    assert (start.person.who, start.person.does, start.person.target) == (
        "U061F7AUR",
        "start",
        "victim",
    )


def test_the_objectives_are_what_was_reached_then(good_day: Rehearsal) -> None:
    within = {item.until: item.within for item in replayed(good_day).scenario.objectives}

    # Opened at 31 s, isolated at 225: 194 s, and five that are no difference.
    assert within["isolated"] == timedelta(seconds=199)
    assert within["contained"] is not None


# Where it is played


def test_without_a_twin_it_is_the_small_world_with_the_recorded_tags(tmp_path: Path) -> None:
    then = story(tmp_path)
    then.at(31).opened()
    tags = {arn(VICTIM): {"environment": "test", "Name": "db", "aws:x": "y"}}
    then.tell("plan.made", plan=_plan(), why="", tags=tags)

    replay = replayed(then)

    assert isinstance(replay.world, World)
    assert replay.world.tags == {"environment": "test"}
    assert replay.world.region == REGION
    assert any("is not in the records" in text for text in replay.missing)
    assert not any("tags are not" in text for text in replay.missing)


@pytest.mark.parametrize(
    ("services", "target"),
    [(("ec2", "autoscaling"), "victim"), (("ec2", "iam"), "bystander"), (("ec2",), "standalone")],
)
def test_the_target_is_the_instance_that_is_most_like_it(
    tmp_path: Path, services: tuple[str, ...], target: str
) -> None:
    then = story(tmp_path)
    then.at(31).opened()
    then.tell("plan.made", plan=_plan(*services), why="", tags={arn(VICTIM): {"a": "b"}})

    assert replayed(then).target == target


def test_tags_that_nobody_wrote_down_are_said_to_be_assumed(good_day: Rehearsal) -> None:
    missing = replayed(good_day).missing

    assert any("tags are not in the records: environment=production" in text for text in missing)


def test_in_a_twin_it_is_the_account_itself(good_day: Rehearsal) -> None:
    replay = replay_scenario(records(good_day), playbooks(), BANK, "ledger")

    assert replay.world is BANK
    assert replay.target == "instances/ledger"
    assert replay.scenario.timeline[0].finding is not None
    assert replay.scenario.timeline[0].finding.on == "instances/ledger"
    assert any("when it was taken" in text for text in replay.missing)
    assert not any("small world" in text for text in replay.missing)


def test_the_simulated_account_is_the_incidents(good_day: Rehearsal) -> None:
    assert replayed(good_day).playbooks.accounts[ACCOUNT].name == "bank"


def test_an_incident_whose_playbook_is_gone_is_not_replayed(good_day: Rehearsal) -> None:
    today = playbooks()
    renamed = today.model_copy(update={"playbooks": {"other": today.playbooks["contain-it"]}})

    with pytest.raises(InvalidInput, match="'contain-it', which is not there any more"):
        replay_scenario(records(good_day), renamed)


def test_records_of_no_incident_are_refused(good_day: Rehearsal) -> None:
    with pytest.raises(InvalidInput, match="no such incident"):
        replay_scenario(good_day.drill().records, playbooks())
    with pytest.raises(InvalidInput, match="no instance 'other' in the twin"):
        replay_scenario(records(good_day), playbooks(), BANK, "other")


def _plan(*services: str) -> dict[str, Any]:
    from runbooks.calls import Call, Change, Keep, Plan, PlannedStep, Resource

    changes = tuple(
        Change(Call(service, "x"), Resource(arn(VICTIM)), Keep("k"), "w") for service in services
    )
    step = PlannedStep("any", "any", arn(VICTIM), "", changes)
    return Plan("contain-it", "v1", (arn(VICTIM),), (step,)).to_json()


# How it compares


def quick(
    home: Path, *, steps: Sequence[Any] = STEPS, gate: bool = True, fails: bool = False
) -> Any:
    """Another telling of the same: isolated 44 s after it was opened, where nobody is waited for."""
    told = story(home, steps=steps)
    told.at(31).opened()
    told.at(34).planned(ec2_isolate=1)
    if gate:
        told.at(35).asks()
        told.at(65).decides()
    told.at(70)
    for step in ("ec2.protect", "ec2.snapshot"):
        told.does(step)
    told.at(75).begins("ec2.isolate")
    if fails:
        told.changes("ec2.isolate", status="failed", code="UnauthorizedOperation")
        told.finishes("ec2.isolate", status="failed", error="denied")
        told.closes("failed", error="denied")
        return told
    told.changes("ec2.isolate")
    told.finishes("ec2.isolate")
    told.does("ec2.tag")
    told.at(80)
    for step in ("ec2.protect", "ec2.snapshot", "ec2.isolate", "ec2.tag"):
        told.verifies(step)
    told.closes()
    return told


def test_milestones_count_from_when_it_was_opened(good_day: Rehearsal) -> None:
    took = seconds_to(records(good_day))

    assert took["decided"] == 184
    assert took["isolated"] == 194
    assert took["contained"] == 199
    assert took["evidence"] == 1099


def test_it_says_how_much_sooner(good_day: Rehearsal, tmp_path: Path) -> None:
    compared = compare(records(good_day), records(quick(tmp_path / "now")))

    assert compared.better is True
    isolated = next(item for item in compared.milestones if item.milestone == "isolated")
    assert (isolated.then, isolated.now, isolated.sooner) == (194, 44, 150)
    assert "isolated 2m30s sooner: after 44s instead of 3m14s" in compared.sentences
    assert "would have waited for the same approval: contain" in compared.sentences
    assert "not evidence secured now; then it was after 18m19s" in compared.sentences


def test_it_says_how_much_later(good_day: Rehearsal, tmp_path: Path) -> None:
    compared = compare(records(quick(tmp_path / "then")), records(good_day))

    assert compared.better is False
    assert "isolated 2m30s later: after 3m14s instead of 44s" in compared.sentences
    assert "evidence secured after 18m19s now; then it never was" in compared.sentences


def test_the_same_is_as_soon_as_then(good_day: Rehearsal) -> None:
    compared = compare(records(good_day), records(good_day))

    assert compared.better is None
    assert "isolated as soon as then, after 3m14s" in compared.sentences
    assert not any("new" in text or "gone" in text for text in compared.sentences)


def test_approvals_and_steps_that_are_new_or_gone_are_said(
    good_day: Rehearsal, tmp_path: Path
) -> None:
    steps = [
        *({"step": name} for name in ("ec2.protect", "ec2.snapshot", "ec2.isolate")),
        {"step": "ec2.tag"},
        {"step": "elb.deregister", "id": "out"},
    ]
    now = quick(tmp_path / "now", steps=steps, gate=False)

    forth = compare(records(good_day), records(now)).sentences
    back = compare(records(now), records(good_day)).sentences

    assert "would not have waited for the approval contain" in forth
    assert "the step out (elb.deregister) is new" in forth
    assert "the step evidence.wait is gone" in forth
    assert "would have waited for an approval that nobody was asked for then: contain" in back
    assert "the step evidence.wait is new" in back


def test_a_step_that_failed_then_and_is_done_now_is_said(tmp_path: Path) -> None:
    then, now = quick(tmp_path / "then", fails=True), quick(tmp_path / "now")

    compared = compare(records(then), records(now))

    assert compared.better is True
    assert "the step ec2.isolate was failed then, and is done now" in compared.sentences
    assert "it ended as failed then, and as contained now" in compared.sentences
    assert "isolated after 44s now; then it never was" in compared.sentences


# Both together


@pytest.mark.timeout(240)
def test_a_twin_is_played_and_its_incident_replayed_without_the_approval(tmp_path: Path) -> None:
    today = tmp_path / "today.yaml"
    text = (Path(__file__).parents[3] / "playbooks.yaml").read_text()
    today.write_text(text)
    loaded = loads(text.encode(), "playbooks.yaml")
    scenario = twin_scenario(BANK, "web-1", "ec2-compromise", loaded)

    def play(played: Scenario, file: Path, mode: Any) -> Any:
        home = run_drill(
            played, name=mode, playbooks=file, home=tmp_path, seed=5, mode=mode, world=BANK
        )
        journal = Journal.open(f"sqlite:///{home / 'journal.db'}")
        try:
            return read_drill(home, journal, home.name)
        finally:
            journal.close()

    then = play(scenario, today, "twin")
    (before,) = then.incidents.values()
    ungated = tmp_path / "tomorrow.yaml"
    asked = "target.tags.environment == 'production'"
    ungated.write_text(text.replace(asked, "target.tags.Name != 'web'"))
    replay = replay_scenario(before, loads(ungated.read_bytes(), "x"), BANK, "web-1")
    (after,) = play(replay.scenario, ungated, "replay").incidents.values()
    compared = compare(before, after)

    assert then.about["mode"] == "twin"
    checked = then.of(CHECKED)
    assert {record.body["objective"] for record in checked} == {
        "isolated",
        "contained",
        "evidence",
        "others",
    }
    assert all(record.body["holds"] for record in checked), [r.body for r in checked]
    (contained,) = then.of(DIFFERENCE)
    told = in_words(contained.body["changes"], then.about["names"])
    assert any("web-1" in text and "moved from app to the new group" in text for text in told)
    assert any(text.endswith("left the target group web (port 8080)") for text in told)
    assert compared.better is True
    assert "would not have waited for the approval contain" in compared.sentences
    assert any(text.startswith("isolated ") and " sooner: " in text for text in compared.sentences)
