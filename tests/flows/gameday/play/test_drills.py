"""Drills as a whole: played by a process of their own, and read in their journals."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.play.outside import ask
from flows.gameday.run import run_all
from runbooks.errors import InvalidInput
from tests.flows.gameday.play.drilling import (
    ALICE,
    CAROL,
    ISOLATED,
    MINER,
    SHIPPED,
    TARGET,
    Director,
    finding,
    scenario,
)

pytestmark = pytest.mark.timeout(240)


def changes(director: Director) -> list[tuple[str, str]]:
    """What was changed in the simulated AWS by Clampdown, each with its parameters."""
    calls = ask(director.stage.url, "GET", "calls")["calls"]
    return [
        (call["operation"], str(sorted(call["parameters"].items())))
        for call in calls
        if call["changes"] and not call["error"] and "clampdown" in call["user_agent"]
    ]


def test_a_miner_in_a_scaling_group_is_contained_when_somebody_approves(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AWS_ENDPOINT_URL", "http://192.0.2.1")
    monkeypatch.setitem(os.environ, "CLAMPDOWN_SIMULATE", "http://127.0.0.1:1")
    objectives = [
        {"id": holds, "title": holds, "holds": holds, "of": ["victim"]}
        for holds in ("isolated", "contained", "evidence", "credentials_denied")
    ]
    objectives += [
        {"id": "untouched", "title": "t", "holds": "untouched", "of": ["bystander", "standalone"]},
        {"id": "service", "title": "t", "holds": "in_service", "of": ["group", "member_1"]},
        {"id": "journal", "title": "t", "holds": "journal_verifies"},
        {"id": "cut", "title": "t", "holds": "cut", "of": ["beacon"]},
        {"id": "alive", "title": "t", "holds": "alive", "of": ["healthy"]},
    ]
    began = time.monotonic()

    played = director.play(
        scenario(
            {"at": "0s", "connection": {"id": "beacon", "from": "victim", "to": "203.0.113.80"}},
            {"at": "0s", "connection": {"id": "healthy", "from": "bystander", "to": "203.0.113.9"}},
            finding(on="victim"),
            {"at": "1h", "attacker": {"does": "terminates", "to": "victim"}},
            objectives=objectives,
        ),
        playbooks=SHIPPED,
    )

    took = time.monotonic() - began
    assert played.why == "over"
    assert played.checked() == dict.fromkeys([o["id"] for o in objectives], True), played.found()
    assert played.incident.status == "contained"
    assert played.of("drill.injected")[-1].body["detail"]["refused"] == "OperationNotPermitted"
    assert played.people() == [
        ("alice", "noticed"),
        ("alice", "acknowledged"),
        ("alice", "approved"),
    ]
    [asked], [decided] = played.of("gate.requested"), played.of("gate.decided")
    approved = played.of("drill.person")[-1].body
    assert decided.actor.id == "local:alice"
    assert approved["after"] == pytest.approx((decided.at - asked.at).total_seconds(), abs=1)
    # Two minutes to look and one to think, each spread around that.
    assert 40 < approved["after"] < 900
    [ended] = played.of("drill.ended")
    assert played.minutes(ended) == pytest.approx(120, abs=0.5)
    assert played.calls("CreateSnapshots")["count"] + played.calls("CreateSnapshot")["count"] >= 1
    [difference] = played.of("drill.difference")
    assert difference.body["when"] == "contained"
    eni = played.drill.about["names"]["victim_eni"]
    assert f"interfaces.{eni}.groups" in {item["path"] for item in difference.body["changes"]}
    assert played.drill.about["mode"] == "sandbox"
    assert took < 60, "two hours should take seconds"


def test_who_is_absent_is_escalated_over(director: Director) -> None:
    people = {"alice": {**ALICE, "answers": "nothing"}, "carol": CAROL}

    played = director.play(scenario(people=people))

    assert played.incident.status == "contained"
    assert played.people() == [
        ("alice", "silent"),
        ("carol", "noticed"),
        ("carol", "acknowledged"),
        ("carol", "approved"),
    ]
    [asked], [escalated] = played.of("gate.requested"), played.of("gate.escalated")
    assert escalated.at - asked.at == pytest.approx(timedelta(minutes=15), abs=timedelta(seconds=2))
    [silent] = [r for r in played.of("drill.person") if r.body["does"] == "silent"]
    assert silent.body["after"] == pytest.approx(900, abs=2)
    [decided] = played.of("gate.decided")
    assert decided.actor.id == "local:carol"


def test_where_nobody_answers_no_answer_means_no(director: Director) -> None:
    played = director.play(scenario(people={}))

    assert played.incident.status == "denied"
    assert played.checked() == {"isolated": False}
    [expired] = played.of("gate.expired")
    assert played.minutes(expired) == pytest.approx(31, abs=0.5)


def test_a_denial_denies(director: Director) -> None:
    untouched = {"id": "u", "title": "t", "holds": "in_service", "of": [TARGET]}

    played = director.play(
        scenario(people={"alice": {**ALICE, "answers": "deny"}}, objectives=[untouched])
    )

    assert played.incident.status == "denied"
    assert played.people()[-1] == ("alice", "denied")
    assert played.checked() == {"u": True}, played.found()


def test_it_dies_before_a_change_and_goes_on_without_doing_anything_twice(
    director: Director,
) -> None:
    dies = {"at": "2m", "dies": {"change": 2, "back_after": "90s"}}

    played = director.play(
        scenario(finding(on="victim"), dies, objectives=[{**ISOLATED, "of": ["victim"]}]),
        playbooks=SHIPPED,
    )

    assert played.why == "over"
    assert played.incident.status == "contained"
    [died], [back] = played.of("drill.died"), played.of("drill.back")
    assert back.at - died.at == pytest.approx(timedelta(seconds=90), abs=timedelta(seconds=2))
    assert back.body["away"] == pytest.approx(90, abs=2)
    # The intent is there, and no outcome of it: nothing was sent.
    intents = [r for r in played.of("change.intent") if r.at <= died.at]
    outcomes = {r.body["intent"] for r in played.of("change.outcome") if r.at <= back.at}
    assert intents[-1].seq not in outcomes
    _, _, operation = died.body["change"].partition(":")
    assert intents[-1].body["change"]["call"]["operation"] == operation
    assert played.of("incident.started")[-1].at >= back.at
    repeated = [what for what, times in Counter(changes(director)).items() if times > 1]
    assert not repeated
    assert played.checked() == {"isolated": True}, played.found()


def test_it_dies_before_the_finding_is_dealt_with_and_takes_it_in_when_it_is_back(
    director: Director,
) -> None:
    second = finding("2m10s", id="second", on="bystander")
    dies = {"at": "1m", "dies": {"back_after": "10m"}}

    played = director.play(scenario(finding("1m30s"), dies, second))

    [back] = played.of("drill.back")
    opened = [incident.opened_at for incident in played.incidents]
    assert len(opened) == 2
    assert opened[1] >= back.at


def test_what_is_delivered_three_times_is_one_incident(director: Director) -> None:
    played = director.play(scenario(finding(delivered=3), finding("5m", delivered=2)))

    assert played.incident.status == "contained"
    [inject, update] = [r.body["detail"] for r in played.of("drill.injected")]
    assert (inject["delivered"], inject["update"], update["update"]) == (3, False, True)
    assert inject["finding_id"] == update["finding_id"]
    assert sum("duplicate" in line for line in director.told) == 3
    assert len(played.of("gate.requested")) == 1


def test_snapshots_that_may_not_be_made_are_refused_and_the_instance_is_isolated(
    director: Director,
) -> None:
    fault = {"service": "ec2", "operation": "CreateSnapshot*", "effect": "deny"}
    evidence = {"id": "evidence", "title": "t", "holds": "evidence", "of": [TARGET]}
    isolated = {"id": "isolated", "title": "t", "holds": "isolated", "of": [TARGET]}

    played = director.play(
        scenario(
            {"at": "0s", "fault": {"fault": fault}}, finding(), objectives=[evidence, isolated]
        )
    )

    assert played.incident.status == "incomplete"
    assert played.checked() == {"evidence": False, "isolated": True}, played.found()
    [calls] = played.of("drill.calls")
    [hit] = calls.body["faults"]
    assert hit["fault"]["operation"] == "CreateSnapshot*"
    assert hit["hits"] >= 1
    refused = [played.calls(name)["errors"] for name in ("CreateSnapshot", "CreateSnapshots")]
    assert sum(map(Counter, refused), Counter()) == {"UnauthorizedOperation": hit["hits"]}


def test_a_fault_is_over_after_its_time(director: Director) -> None:
    fault = {"service": "ec2", "operation": "Describe*", "effect": "throttle"}
    throttled = {"at": "30s", "fault": {"fault": fault, "lasts": "40s"}}

    played = director.play(scenario(throttled, finding("35s")))

    assert played.incident.status == "contained"
    [calls] = played.of("drill.calls")
    assert calls.body["faults"][0]["hits"] > 0
    # It was waited for: the first facts came when the throttling was over.
    [first, *_] = played.of("plan.made")
    assert played.minutes(first) >= 70 / 60


def test_groups_that_an_intruder_puts_back_are_found_and_taken_away_again(
    director: Director,
) -> None:
    back = {"does": "puts_groups_back", "to": "victim"}
    people = {"alice": {**ALICE, "notices": {"after": "2m", "spread": 0}}}
    people["alice"]["decides"] = {"after": "1m", "spread": 0}

    objectives = [{**ISOLATED, "of": ["victim"]}]
    happens = [finding(on="victim"), {"at": "6m", "attacker": back}]

    # While it waits for the evidence; then it looks at everything once more.
    played = director.play(
        scenario(*happens, people=people, objectives=objectives), playbooks=SHIPPED
    )

    [attack] = [r for r in played.of("drill.injected") if r.body["thing"] == "attacker"]
    assert len(attack.body["detail"]["interfaces"]) == 2
    assert "ModifyNetworkInterfaceAttribute" in {what for what, _ in changes(director)}
    assert played.checked() == {"isolated": True}, played.found()


@pytest.mark.parametrize("does", ["attaches_interface", "opens_isolation_group", "terminates"])
def test_an_intruder_acts_with_rights_of_their_own(director: Director, does: str) -> None:
    played = director.play(
        scenario(finding(), {"at": "40m", "attacker": {"does": does, "to": TARGET}})
    )

    [attack] = [r for r in played.of("drill.injected") if r.body["thing"] == "attacker"]
    assert "refused" not in attack.body["detail"]
    # By then it was looked at for the last time: the drill sees it, in AWS itself.
    assert played.checked() == {"isolated": False}, played.found()


def test_a_target_of_an_attack_is_not_isolated(director: Director) -> None:
    objectives = [
        {"id": "untouched", "title": "t", "holds": "untouched", "of": [TARGET]},
        {"id": "proposed", "title": "t", "holds": "proposed", "of": ["finding"]},
        {"id": "not_opened", "title": "t", "holds": "not_opened", "of": ["finding"]},
    ]

    played = director.play(scenario(finding(role="TARGET"), objectives=objectives))

    assert played.incident.status == "proposed"
    assert changes(director) == []
    assert played.checked() == {"untouched": True, "proposed": True, "not_opened": False}


def test_a_forged_finding_opens_nothing(director: Director) -> None:
    objectives = [
        {"id": "not_opened", "title": "t", "holds": "not_opened", "of": ["finding"]},
        {"id": "refused", "title": "t", "holds": "refused", "of": ["finding"]},
    ]

    played = director.play(scenario(finding(confirmed=False), objectives=objectives))

    assert played.incidents == []
    assert played.checked() == {"not_opened": True, "refused": True}, played.found()
    assert changes(director) == []


def test_people_act_out_of_turn_and_are_refused_where_they_may_not(director: Director) -> None:
    people = {"mallory": {"groups": []}, "alice": {**ALICE, "answers": "nothing"}, "carol": CAROL}
    objectives = [
        {"id": "refused", "title": "t", "holds": "refused", "of": ["mallory"]},
        {"id": "undone", "title": "t", "holds": "undone", "of": [TARGET]},
    ]

    played = director.play(
        scenario(
            {"at": "1m", "person": {"who": "alice", "does": "start", "target": TARGET}},
            {"at": "3m", "person": {"who": "alice", "does": "approve"}},
            {"at": "4m", "person": {"who": "mallory", "does": "approve"}},
            {"at": "1h", "person": {"who": "alice", "does": "undo"}},
            people=people,
            objectives=objectives,
        )
    )

    told = [
        (r.body["person"], r.body["does"], r.body["refused"]) for r in played.of("drill.person")
    ]
    assert told[0] == ("alice", "started", "")
    assert told[1][:2] == ("alice", "approved")
    assert "started this incident" in told[1][2]
    assert "not on the list" in told[2][2]
    assert told[-1] == ("alice", "undid", "")
    assert played.incident.status == "undone"
    assert played.checked() == {"refused": True, "undone": True}, played.found()
    assert [r.body["when"] for r in played.of("drill.difference")] == ["contained", "undone"]


def test_a_flood_is_taken_in_and_the_critical_one_is_contained(director: Director) -> None:
    noise = {"type": "Recon:EC2/PortProbeUnprotectedPort", "on": "bystander", "severity": 2}
    played = director.play(
        scenario(
            {"at": "30s", "finding": {"id": "noise", **noise, "role": "TARGET", "copies": 60}},
            finding("31s"),
        )
    )

    assert played.incident.status == "contained"
    [noisy, _] = played.of("drill.injected")
    assert len(noisy.body["detail"]["finding_ids"]) == 60
    assert len(played.drill.findings) == 61


def story(director: Director, seed: int) -> tuple[list[Any], list[float]]:
    """What happened, and when, of a drill that has something of everything."""
    people = {"alice": {**ALICE, "answers": "nothing"}, "carol": CAROL, "bob": ALICE}
    fault = {"service": "ec2", "operation": "Describe*", "effect": "throttle", "probability": 0.3}
    played = director.play(
        scenario(
            finding(),
            {"at": "2m", "fault": {"fault": fault, "lasts": "1m"}},
            {"at": "3m", "finding": {"id": "other", "type": MINER, "on": "bystander"}},
            people=people,
            start=None,
        ),
        seed,
    )
    names = {identity: name for name, identity in played.drill.about["names"].items()}
    told: list[Any] = []
    times: list[float] = []
    for record in played.drill.records:
        body = record.body
        told.append((record.kind, record.actor.id, body.get("does"), body.get("gate")))
        times.append((record.at - played.drill.at).total_seconds())
    times.append(played.drill.at.timestamp())
    for incident in played.incidents:
        records = played.drill.incidents[incident.id]
        decided = [r for r in records if r.kind.startswith(("gate.", "incident."))]
        told += [(r.kind, r.actor.id, r.body.get("answer")) for r in decided]
        told += sorted(Counter(r.kind for r in records).items())
        told.append([names.get(ref.id) for ref in incident.targets])
        times += [(r.at - played.drill.at).total_seconds() for r in decided]
    return told, times


def test_the_same_seed_tells_the_same_story_and_another_one_another(director: Director) -> None:
    first, at_first = story(director, 11)
    again, at_again = story(director, 11)
    _, at_other = story(director, 12)

    assert again == first
    assert at_again == pytest.approx(at_first, abs=1.0)
    assert at_other != pytest.approx(at_first, abs=1.0)


def test_what_can_not_be_played_is_said_before_anything_is_made(director: Director) -> None:
    with pytest.raises(InvalidInput, match="'nope', which is not in"):
        director.play(scenario(playbook="nope"))
    with pytest.raises(InvalidInput, match="no world 'nowhere'"):
        director.play(scenario(world="nowhere"))
    assert not (director.home / "drills").exists()


def test_several_are_played_side_by_side(director: Director, tmp_path: Path) -> None:
    told: list[str] = []
    homes = run_all(
        {"one": scenario(), "two": scenario(finding(role="TARGET")), "three": scenario()},
        playbooks=director.playbooks,
        home=tmp_path,
        seed=3,
        at_once=2,
        told=told.append,
    )

    assert len(set(homes)) == 3
    assert sorted(home.name for home in (tmp_path / "drills").iterdir()) == sorted(
        home.name for home in homes
    )
    assert any(line.startswith("two: DRILL, sandbox, seed 3") for line in told)
    assert "3 of 3 scenarios are over" in "\n".join(told)
