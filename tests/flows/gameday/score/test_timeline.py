"""What happened, moment by moment."""

from __future__ import annotations

from flows.gameday.score.timeline import moments
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import Rehearsal, whole


def _told(drill: Rehearsal) -> list[tuple[float, str, str, str]]:
    return [(item.at, item.who, item.kind, item.text) for item in moments(drill.played())]


def test_the_timeline_of_a_whole_containment(rehearse: Make) -> None:
    told = _told(whole(rehearse()))
    assert told[:2] == [
        (0, "scenario", "machine", "Mining begins (sandbox)"),
        (30, "scenario", "inject", "the finding of event 0"),
    ]
    assert (155, "alice", "person", "looks at it (contain)") in told
    assert told[-1] == (1800, "scenario", "machine", "ends: over")
    # A decision stands in both chains, and is told once.
    assert [item for item in told if item[0] == 215] == [
        (215, "alice", "person", f"gate contain: approve [plan {'d' * 12}]")
    ]


def test_what_is_refused_and_what_is_done_to_the_drill_stand_out(rehearse: Make) -> None:
    fault = {"at": "10s", "fault": {"fault": {"service": "ec2", "effect": "deny"}}}
    drill = rehearse(timeline=[fault])
    drill.at(10).inject(0)
    drill.at(20).routed("unconfirmed", "GuardDuty does not have it")
    drill.at(30).opened()
    drill.at(40).asks()
    drill.at(50).refuses("rita", "rita started this incident")
    drill.at(55).person("bob", "started", incident="", gate="", refused="frozen")
    drill.at(60).died()
    drill.at(90).back()
    drill.at(95).person("bob", "silent")
    drill.at(99).checked("contained", None, "nobody could look")
    kinds = {text: (who, kind) for _, who, kind, text in _told(drill)}
    assert kinds["the fault of event 0"] == ("scenario", "fault")
    assert kinds["is killed right before ec2:x"] == ("Clampdown", "fault")
    assert kinds["is back after 30s"] == ("Clampdown", "machine")
    assert kinds["starts a playbook; refused: frozen"] == ("bob", "refused")
    assert kinds["has not answered (contain)"] == ("bob", "person")
    refused = "gate contain: refused to count this decision: rita started this incident"
    assert kinds[refused] == ("rita", "refused")
    assert kinds["looked at contained: it is not known: nobody could look"][0] == "scenario"
    assert [kind for who, kind in kinds.values()].count("refused") == 3


def test_answers_of_aws_that_say_nothing_new_are_left_out(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened()
    drill.changes("ec2.tag")
    drill.changes("ec2.tag", status="failed", code="AccessDenied")
    outcomes = [text for *_, text in _told(drill) if "intent" in text]
    assert outcomes == [
        "└ intent 4: failed ec2:modify_network_interface_attribute: AWS answered AccessDenied"
    ]


def test_every_moment_leads_to_its_record(rehearse: Make) -> None:
    drill = whole(rehearse())
    for moment in moments(drill.played()):
        record = drill.journal.records(moment.source.chain)[moment.source.seq - 1]
        assert drill.played().since(record.at) == moment.at
