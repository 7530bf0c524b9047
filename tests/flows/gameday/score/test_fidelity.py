"""How closely the playbook was followed, and what of it was not tested."""

from __future__ import annotations

from flows.gameday.score.faults import faults
from flows.gameday.score.fidelity import fidelity
from flows.gameday.score.untested import not_tested
from flows.gameday.score.verdicts import verdicts
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import STEPS, Rehearsal, whole, within


def _untested(drill: Rehearsal) -> tuple[str, ...]:
    played = drill.played()
    return not_tested(played, drill.playbooks, verdicts(played), faults(played))


def test_a_whole_containment_goes_as_written(rehearse: Make) -> None:
    found = fidelity(whole(rehearse()).played())
    assert (found["as_written"], found["as_written_share"]) == (5, 1.0)
    assert not any(found[key] for key in ("skipped", "failed", "not_reached", "repeated"))


def test_what_was_left_out_failed_or_never_begun(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.does("ec2.protect")
    drill.begins("ec2.snapshot")
    drill.finishes("ec2.snapshot", status="failed", error="AWS answered AccessDenied")
    drill.finishes("ec2.isolate", status="skipped", error="not production")
    drill.does("ec2.tag")
    drill.verifies("ec2.tag", error="no such tag")
    drill.begins("evidence.wait")
    found = fidelity(drill.played())
    assert [item["step"] for item in found["skipped"]] == ["ec2.isolate"]
    assert [(item["step"], item["text"]) for item in found["failed"]] == [
        ("ec2.snapshot", "AWS answered AccessDenied"),
        ("ec2.tag", "no such tag"),
        ("evidence.wait", "begun, and not ended"),
    ]
    # What its own condition leaves out was not to be done.
    assert found["as_written_share"] == 1 / 4
    assert all(item["sources"] for item in found["failed"])


def test_what_came_after_a_denial_was_not_reached(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened()
    drill.does("ec2.protect")
    drill.does("ec2.snapshot")
    drill.closes("denied")
    found = fidelity(drill.played())
    assert [item["step"] for item in found["not_reached"]] == [
        "ec2.isolate",
        "ec2.tag",
        "evidence.wait",
    ]
    assert found["as_written_share"] == 2 / 5


def test_without_an_incident_there_is_no_share(rehearse: Make) -> None:
    assert fidelity(rehearse().played())["as_written_share"] is None


def test_what_was_done_twice_is_told(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened()
    drill.asks()
    drill.asks(round_=2)
    drill.does("ec2.isolate")
    drill.does("ec2.isolate")
    assert [(item["step"], item["text"]) for item in fidelity(drill.played())["repeated"]] == [
        ("ec2.isolate", "begun 2 times"),
        ("gate contain", "asked for 2 times"),
    ]


def test_a_whole_containment_leaves_little_untested(rehearse: Make) -> None:
    assert _untested(whole(rehearse())) == (
        "contain-it: the gate contain was never escalated to leads.",
        "The task for oncall stayed open: Open a case",
    )


def test_a_playbook_that_never_ran_is_untested_step_by_step(rehearse: Make) -> None:
    steps = [{"step": "ec2.protect"}, {"step": "ec2.tag"}]
    assert _untested(rehearse(within("isolated", "10m"), steps=steps)) == (
        "Objective “isolated in time”. Not tested: the finding finding never arrived.",
        "The playbook contain-it: no incident was opened with it.",
        "contain-it: the step ec2.protect was never begun.",
        "contain-it: the step ec2.tag was never begun.",
        "Taking it back: nobody began to undo anything.",
        "Event 1 of the timeline (finding) never happened.",
    )


def test_steps_that_were_left_out_say_why(rehearse: Make) -> None:
    drill = rehearse(steps=[*STEPS[2:4], {"manual": {"text": "t", "by": "oncall"}}])
    drill.finding()
    drill.opened()
    drill.finishes("ec2.isolate", status="skipped", error="not target.running")
    found = _untested(drill)
    assert "contain-it: the step ec2.isolate was never begun (not target.running)." in found
    assert "contain-it: the step ec2.tag was never begun." in found
    assert "contain-it: nobody was asked to do the task manual." in found


def test_a_fault_that_hit_nothing_and_a_death_that_never_came_test_nothing(
    rehearse: Make,
) -> None:
    throttle = {"service": "ec2", "operation": "CreateTags", "effect": "throttle"}
    drill = rehearse(
        timeline=[
            {"at": "0s", "fault": {"fault": throttle}},
            {"at": "1s", "dies": {"change": 99}},
        ]
    )
    drill.inject(0)
    drill.inject(1)
    drill.calls(faults=[{"fault": throttle, "hits": 0}])
    found = _untested(drill)
    assert "A fault hit no call: the fault of event 0." in found
    assert "The orchestrator's death: it made too few changes to be killed at one." in found


def test_what_nobody_started_was_not_left_undone(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened(proposed=True)
    assert fidelity(drill.played())["not_reached"] == []
