"""Taking incidents back: from what was recorded, the last change first."""

from __future__ import annotations

from typing import Any

import pytest

from flows.journal.record import Record
from flows.undo import Undone
from runbooks.errors import Interrupted, InvalidInput, Refused
from tests.flows.people import ALICE, BOB, REQUESTER
from tests.flows.scene import Scene

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
BOTH = f"{ONE}\n{TWO}"


@pytest.fixture
def scene(scene: Scene) -> Scene:
    scene.write(BOTH)
    return scene


class Death(BaseException):
    """The process dies here."""


def die(record: Record) -> None:
    raise Death


def undo(scene: Scene, incident: str, **more: Any) -> Undone:
    return scene.responder().undo(incident, ALICE, **more)


def status(scene: Scene, incident: str) -> str:
    return scene.responder().incident(incident).status


def undone_keys(scene: Scene) -> list[str]:
    """The tags that were taken away, in order, without repetition."""
    texts = [str(call.parameters) for call in scene.aws.calls.of("ec2", "DeleteTags")]
    return list(
        dict.fromkeys(key for text in texts for key in ("one", "two") if f"'{key}'" in text)
    )


def test_everything_is_taken_back_the_last_change_first(scene: Scene) -> None:
    before = scene.tags()
    incident = scene.run().incident
    assert scene.tags() != before

    undone = undo(scene, incident.id)

    assert scene.tags() == before
    assert undone_keys(scene) == ["two", "one"]
    assert (undone.taken_back, undone.failures, undone.kept) == (2, (), ())
    assert undone.calls == scene.changes().count("DeleteTags")
    assert status(scene, incident.id) == "undone"


def test_each_undoing_call_is_intended_before_it_is_made(scene: Scene) -> None:
    incident = scene.run().incident
    undone = undo(scene, incident.id)
    intents = [
        record
        for record in scene.records(incident, "change.intent")
        if record.body["undoes"] is not None
    ]
    assert len(intents) == undone.calls
    (begun,) = scene.records(incident, "undo.started")
    assert begun.actor == ALICE.actor
    assert all(record.seq > begun.seq for record in intents)


def test_the_first_recorded_state_wins_over_what_an_intruder_left(scene: Scene) -> None:
    scene.write(ONE)
    scene.tag("one", "original")
    incident = scene.run().incident
    (change,) = incident.changes
    resources = change.change.call.params["Resources"]
    scene.ec2().create_tags(Resources=resources, Tags=[{"Key": "one", "Value": "intruder's"}])
    again = scene.run().incident
    assert again.id == incident.id
    # The very same call, with another state before it.
    assert [item.change.call for item in again.changes] == [change.change.call] * 2
    assert scene.tags()["one"] == "1"

    undo(scene, incident.id)

    assert scene.tags()["one"] == "original"
    assert status(scene, incident.id) == "undone"


def test_one_step_can_be_taken_back_alone_and_made_again(scene: Scene) -> None:
    incident = scene.run().incident
    undone = undo(scene, incident.id, step="one")
    assert undone.taken_back == 1
    assert "one" not in scene.tags()
    assert scene.tags()["two"] == "2"
    assert status(scene, incident.id) == "contained"

    assert scene.resume(incident.id).incident.status == "contained"
    assert scene.tags()["one"] == "1"
    undo(scene, incident.id)
    assert not {"one", "two"} & set(scene.tags())


def test_a_step_that_changed_nothing_can_not_be_taken_back(scene: Scene) -> None:
    incident = scene.run().incident
    with pytest.raises(InvalidInput, match=r"no changes of a step 'three'\. It has: one, two"):
        undo(scene, incident.id, step="three")
    assert "undo.started" not in scene.kinds(incident)


def test_what_can_not_be_taken_back_keeps_nothing_else_from_it(scene: Scene) -> None:
    incident = scene.run().incident
    scene.fault("DeleteTags", containing='"two"', code="InternalFailure")

    undone = undo(scene, incident.id)

    assert "one" not in scene.tags()
    assert scene.tags()["two"] == "2"
    (failure,) = undone.failures
    assert "InternalFailure" in failure
    assert undone.taken_back == 1
    assert status(scene, incident.id) == "failed"
    # What is being taken back is not made again.
    with pytest.raises(Refused, match="is being undone"):
        scene.resume(incident.id)

    scene.aws.clear_faults()
    known = len(scene.aws.calls.changes)
    again = undo(scene, incident.id)
    assert (again.taken_back, again.failures) == (1, ())
    assert all(
        '"two"' in str(c.parameters).replace("'", '"') for c in scene.aws.calls.changes[known:]
    )
    assert status(scene, incident.id) == "undone"


@pytest.mark.parametrize("kind", ["change.intent", "change.outcome", "change.undone"])
def test_an_undo_that_died_goes_on_where_it_was(scene: Scene, kind: str) -> None:
    before = scene.tags()
    incident = scene.run().incident
    scene.at_once(kind, die)
    with pytest.raises(Death):
        undo(scene, incident.id)

    undone = undo(scene, incident.id)

    assert undone.failures == ()
    assert scene.tags() == before
    assert status(scene, incident.id) == "undone"
    assert scene.responder().incident(incident.id).to_undo() == []


def test_evidence_stays_and_is_named_also_the_second_time(scene: Scene) -> None:
    scene.write(f"- step: ec2.snapshot\n{ONE}")
    incident = scene.run().incident
    snapshots = [
        snapshot["SnapshotId"]
        for snapshot in scene.ec2().describe_snapshots(OwnerIds=["self"])["Snapshots"]
        if any(tag["Value"] == incident.id for tag in snapshot.get("Tags", []))
    ]
    assert snapshots

    undone = undo(scene, incident.id)

    left = scene.ec2().describe_snapshots(SnapshotIds=snapshots)["Snapshots"]
    assert len(left) == len(snapshots)
    assert undone.kept
    assert status(scene, incident.id) == "undone"
    again = undo(scene, incident.id)
    assert (again.calls, again.taken_back, again.kept) == (0, 0, undone.kept)


def test_a_change_that_nobody_knows_about_is_taken_back_if_it_happened(scene: Scene) -> None:
    before = scene.tags()
    scene.fault("CreateTags", effect="lost_answer", times=1)
    scene.at_once("change.outcome", die)
    with pytest.raises(Death):
        scene.run()
    crashed = scene.responder().incidents()[0]
    assert scene.tags()["one"] == "1"
    assert len(list(crashed.unknown())) == 1

    undo(scene, crashed.id)

    assert scene.tags() == before
    assert list(scene.responder().incident(crashed.id).unknown()) == []


def test_a_change_that_nobody_knows_about_is_taken_back_if_it_did_not_happen(scene: Scene) -> None:
    before = scene.tags()
    scene.at_once("change.intent", die)
    with pytest.raises(Death):
        scene.run()
    crashed = scene.responder().incidents()[0]
    assert scene.tags() == before

    assert undo(scene, crashed.id).failures == ()

    assert scene.tags() == before
    assert status(scene, crashed.id) == "undone"


def test_a_failed_change_is_not_taken_back(scene: Scene) -> None:
    scene.fault("CreateTags", containing='"one"', code="InternalFailure")
    incident = scene.run().incident
    undo(scene, incident.id)
    assert undone_keys(scene) == ["two"]


def test_what_was_done_before_a_denial_is_taken_back(scene: Scene) -> None:
    scene.write(f"{ONE}\n- approve: {{id: contain, by: oncall}}\n{TWO}")
    scene.decides(BOB, "deny", why="false alarm")
    denied = scene.run().incident
    assert undo(scene, denied.id).taken_back == 1
    assert "one" not in scene.tags()
    assert status(scene, denied.id) == "undone"


def test_an_aborted_incident_is_taken_back(scene: Scene) -> None:
    scene.write(f"{ONE}\n- approve: {{id: contain, by: oncall}}\n{TWO}")
    waiting = scene.run(wait=False).incident
    scene.responder().abort(waiting.id, BOB, "false alarm")
    assert undo(scene, waiting.id).taken_back == 1
    assert "one" not in scene.tags()
    assert status(scene, waiting.id) == "undone"


@pytest.mark.parametrize("how", ["stop", "abort"])
def test_an_undo_can_be_interrupted_and_goes_on_later(scene: Scene, how: str) -> None:
    incident = scene.run().incident

    def interrupt(record: Record) -> None:
        if how == "stop":
            scene.responders[-1].stop.set()
        else:
            scene.responder().abort(record.incident, BOB, "wait")

    scene.at_once("change.undone", interrupt)
    with pytest.raises(Interrupted):
        undo(scene, incident.id)
    assert "two" not in scene.tags()
    assert scene.tags()["one"] == "1"
    assert status(scene, incident.id) == ("interrupted" if how == "stop" else "aborted")

    assert undo(scene, incident.id).failures == ()
    assert "one" not in scene.tags()
    assert status(scene, incident.id) == "undone"


def test_what_is_undone_is_over_and_a_new_run_is_a_new_incident(scene: Scene) -> None:
    incident = scene.run().incident
    undo(scene, incident.id)
    with pytest.raises(Refused, match="is undone; it can't be resumed"):
        scene.resume(incident.id)
    with pytest.raises(Refused, match="is undone already"):
        scene.responder().abort(incident.id, REQUESTER, "why not")
    assert scene.run().incident.id != incident.id


def test_nobody_undoes_what_another_process_carries_out(scene: Scene) -> None:
    incident = scene.run().incident
    with scene.responder().journal.hold(incident.id):
        with pytest.raises(Refused, match="is being carried out by"):
            undo(scene, incident.id)
    assert scene.tags()["one"] == "1"
