"""An incident folded from its records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.approvals import SYSTEM
from flows.incident import Incident, fold, new_incident_id
from flows.journal.journal import Journal
from flows.ledger import JournalLedger, Recorder
from runbooks.calls import Call, Change, Keep, Resource
from runbooks.errors import AwsRefused, InvalidInput, OutcomeUnknown
from tests.flows.people import ALICE, REQUESTER, TARGET, Case, plan

ARN = TARGET.arn


class Story:
    """An incident whose records are written one after the other."""

    def __init__(self, journal: Journal, **case: Any) -> None:
        self.case = Case(journal, **case)
        self.recorder = Recorder(journal, self.case.id)

    def write(self, kind: str, **body: Any) -> None:
        self.recorder.append(kind, body)

    def ledger(self, step: str = "ec2.isolate", undoes: int | None = None) -> JournalLedger:
        return JournalLedger(self.recorder, step, TARGET, mode="simulated", undoes=undoes)

    def step(self, status: str, *, name: str = "ec2.isolate", **outputs: Any) -> None:
        self.write("step.started", step=name, name=name, target=ARN)
        self.finish(status, name=name, **outputs)

    def finish(self, status: str, *, name: str = "ec2.isolate", **outputs: Any) -> None:
        body = {"step": name, "name": name, "target": ARN, "status": status}
        self.write("step.finished", **body, outputs=outputs, error="")

    def close(self, status: str, **more: Any) -> None:
        self.write("incident.closed", status=status, **{"error": "", **more})

    def told(self) -> Incident:
        return fold(self.recorder.journal.records(self.case.id))


@pytest.fixture
def story(sqlite_url: str) -> Iterator[Story]:
    journal = Journal.open(sqlite_url)
    yield Story(journal)
    journal.close()


def change(group: str = "sg-1", *, keep: bool = False) -> Change:
    call = Call("ec2", "modify_network_interface_attribute", Groups=[group])
    undo = Call("ec2", "modify_network_interface_attribute", Groups=["sg-0"])
    return Change(call, Resource("arn:aws:ec2:::x"), Keep("evidence") if keep else undo, "isolate")


def test_an_incident_begins_with_who_asked_for_what(story: Story) -> None:
    incident = story.told()
    assert incident.status == "running"
    assert incident.requester == REQUESTER.actor
    assert incident.targets == (TARGET,)
    assert (incident.playbook, incident.mode) == ("contain-it", "simulated")
    assert incident.opened["definition"] == story.case.playbooks().playbooks["contain-it"].to_json()
    assert incident.opened_at.tzinfo == UTC


@pytest.mark.parametrize("kinds", [[], ["warning"]])
def test_without_a_beginning_there_is_no_incident(sqlite_url: str, kinds: list[str]) -> None:
    journal = Journal.open(sqlite_url)
    for kind in kinds:
        journal.append("inc-x", kind, {"text": "x"}, SYSTEM)
    with pytest.raises(InvalidInput, match="There is no such incident"):
        fold(journal.records("inc-x"))
    journal.close()


@pytest.mark.parametrize(
    "status", ["contained", "incomplete", "failed", "denied", "interrupted", "undone"]
)
def test_closing_says_how_it_ended_and_starting_again_forgets_that(
    story: Story, status: str
) -> None:
    story.close(status, error="because")
    ended = story.told()
    assert (ended.status, ended.error) == (status, "because")
    assert ended.closed_at is not None

    story.write("incident.started", reason="resumed")
    again = story.told()
    assert (again.status, again.error, again.closed_at) == ("running", "", None)


def test_a_proposed_incident_runs_once_it_is_started(sqlite_url: str) -> None:
    journal = Journal.open(sqlite_url)
    story = Story(journal, proposed=True)
    assert story.told().status == "proposed"
    story.write("incident.started", reason="resumed")
    assert story.told().status == "running"
    story.write("incident.waiting", gate="contain")
    assert story.told().status == "waiting"
    journal.close()


def test_what_is_aborted_stays_aborted_until_it_is_undone(story: Story) -> None:
    story.recorder.append("incident.aborted", {"why": "false alarm"}, ALICE.actor)
    assert (story.told().status, story.told().error) == ("aborted", "false alarm")

    story.write("incident.started", reason="a race")
    story.close("interrupted", error="A stop was asked for.")
    assert story.told().status == "aborted"

    story.write("undo.started", step=None)
    assert story.told().undoing
    story.close("aborted", undo=True)
    assert story.told().status == "aborted"
    story.close("undone", undo=True)
    assert (story.told().status, story.told().error) == ("undone", "")


def test_undoing_one_step_is_not_undoing_the_incident(story: Story) -> None:
    story.close("contained")
    story.write("undo.started", step="ec2.tag")
    story.close("contained", undo=True)
    assert (story.told().status, story.told().undoing) == ("contained", False)


def test_steps_stand_as_they_stood_last(story: Story) -> None:
    story.write("step.started", step="ec2.isolate", name="ec2.isolate", target=ARN)
    (step,) = story.told().steps
    assert (step.status, step.finished, step.verified) == ("running", None, None)

    story.finish("done", group="sg-1")
    story.write("verify.failed", step="ec2.isolate", target=ARN, error="reverted")
    (step,) = story.told().steps
    assert (step.status, step.verified, step.error) == ("done", False, "reverted")

    story.step("unchanged", group="sg-2")
    story.write("verify.passed", step="ec2.isolate", target=ARN, error="")
    (step,) = story.told().steps
    assert (step.status, step.verified, step.error) == ("unchanged", True, "")


def test_outputs_are_those_of_steps_that_were_done_for_each_target(story: Story) -> None:
    story.step("done", name="ec2.isolate", group="sg-1")
    story.step("failed", name="ec2.tag")
    other = TARGET.arn.replace("i-0", "i-1")
    body = {"step": "ec2.isolate", "name": "ec2.isolate", "target": other, "status": "unchanged"}
    story.write("step.finished", **body, outputs={"group": "sg-2"}, error="")

    assert story.told().outputs() == {
        ARN: {"ec2.isolate": {"group": "sg-1"}},
        other: {"ec2.isolate": {"group": "sg-2"}},
    }


def test_an_intent_without_an_outcome_is_unknown_and_may_have_happened(story: Story) -> None:
    ledger = story.ledger()
    died = ledger.intend(change("died"))
    done = ledger.intend(change("done"))
    ledger.done(done, "req-1", {"GroupId": "sg-1"})
    there = ledger.intend(change("there"))
    ledger.accepted(there, "req-2", "InvalidGroup.Duplicate")
    failed = ledger.intend(change("failed"))
    ledger.failed(failed, AwsRefused("no", code="DependencyViolation"))
    lost = ledger.intend(change("lost"))
    ledger.unknown(lost, OutcomeUnknown("no answer"))

    incident = story.told()
    outcomes = {item.seq: item.outcome for item in incident.changes}
    assert outcomes == {
        died: "unknown",
        done: "done",
        there: "accepted",
        failed: "failed",
        lost: "unknown",
    }
    assert [item.seq for item in incident.unknown()] == [died, lost]
    assert [item.seq for item in incident.to_undo()] == [died, done, there, lost]
    assert incident.changes[3].error == "no"


def test_what_was_taken_back_is_not_taken_back_again(story: Story) -> None:
    first = story.ledger("ec2.isolate").intend(change())
    second = story.ledger("ec2.tag").intend(change(keep=True))
    story.ledger("ec2.isolate", undoes=first).intend(change("back"))
    assert [item.seq for item in story.told().to_undo("ec2.tag")] == [second]

    story.write("change.undone", intent=first)

    incident = story.told()
    assert [item.seq for item in incident.to_undo()] == [second]
    # The undo's own call is no change of the incident.
    assert [item.seq for item in incident.changes] == [first, second]
    assert incident.changes[0].undone


def test_a_change_comes_back_as_it_was_recorded(story: Story) -> None:
    story.ledger().intend(change("sg-iso"))
    (recorded,) = story.told().changes
    assert recorded.change.call == change("sg-iso").call
    assert recorded.change.undos == change("sg-iso").undos
    assert recorded.target == TARGET


def test_the_newest_plan_and_its_warnings_are_the_incidents(story: Story) -> None:
    story.write("plan.made", plan=plan("sg-1").to_json(), why="the facts were read")
    story.write("plan.made", plan=plan("sg-2").to_json(), why="it changed")
    story.write("warning", step="ec2.isolate", text="eni-1 is a trunk")
    story.write("warning", step="ec2.isolate", text="eni-1 is a trunk")
    incident = story.told()
    assert incident.plan is not None
    assert incident.plan.digest == plan("sg-2").digest
    assert incident.warnings == ("eni-1 is a trunk",)


def test_gates_and_tasks_are_listed_once(story: Story) -> None:
    story.case.ask()
    story.case.ask(round_=2)
    story.write("gate.skipped", gate="other", why="not x")
    story.write("manual.requested", id="legal", text="Open a case", by="oncall")
    assert story.told().manual[0].done is None
    story.write("manual.decided", id="legal", done=True, note="case 17")
    incident = story.told()
    assert incident.gates == ("contain", "other")
    (task,) = incident.manual
    assert (task.done, task.note, task.text) == (True, "case 17", "Open a case")


def test_kinds_from_elsewhere_change_nothing(story: Story) -> None:
    before = story.told()
    story.write("something.new", anything={"at": "all"})
    assert story.told() == before


def test_an_incidents_id_says_its_day_and_fits_a_session_name() -> None:
    identity = new_incident_id(datetime(2026, 1, 2, tzinfo=UTC))
    assert identity.startswith("inc-20260102-")
    assert len(identity) == 19
    assert identity != new_incident_id(datetime(2026, 1, 2, tzinfo=UTC))
