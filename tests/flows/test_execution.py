"""Incidents carried out in this process, without Prefect, on the simulated world."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest

from flows.carry_out import stoppable
from flows.execution import TRIES, StepFailed, StepRefused, WaitingForPeople
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.stopping import Stop
from runbooks.aws import Aws, LiveAws, Progress
from runbooks.calls import Call
from runbooks.errors import (
    ApprovalMissing,
    ClampdownError,
    Denied,
    Interrupted,
    NotContained,
    ProtectedResource,
)
from runbooks.playbook import RunStep
from runbooks.registry import STEPS
from runbooks.step import NoParams, OnFailure, Permissions, Step
from runbooks.targets.instance import Ec2Instance
from tests.flows.people import ALICE, BOB, CAROL, REQUESTER
from tests.flows.scene import Scene, statuses, until

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
ONE_OR_STOP = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}, on_failure: stop}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
TWO_OR_STOP = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}, on_failure: stop}'
GATE = "- approve: {id: contain, by: oncall}"
GATED = f"{ONE}\n{GATE}\n{TWO}"


class Probe(Step[Ec2Instance, NoParams]):
    """A step that does what a test wants of it."""

    name = "test.probe"
    permissions = Permissions()
    on_failure: OnFailure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: NoParams) -> dict[str, Any]:
        return {}

    def verify(self, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        return


def register(monkeypatch: pytest.MonkeyPatch, name: str, contain: Any, **more: Any) -> None:
    made = type("Made", (Probe,), {"name": name, "contain": contain, **more})
    monkeypatch.setitem(STEPS, name, made)


def live(aws: Aws) -> bool:
    return type(aws).__name__ == "LiveAws"


def position(scene: Scene, kind: str, **body: Any) -> int:
    """The number of the first record of this kind that says this."""
    return next(
        record.seq
        for record in scene.heard
        if record.kind == kind and all(record.body.get(key) == item for key, item in body.items())
    )


# Gates


def test_what_stands_before_a_gate_runs_at_once_and_what_stands_behind_it_after_the_decision(
    scene: Scene,
) -> None:
    scene.write(GATED)

    def approve(record: Record) -> None:
        scene.responder().decide(record.incident, "contain", ALICE, "approve")

    scene.when("step.finished", approve)
    started = scene.run()

    assert started.incident.status == "contained"
    asked = position(scene, "gate.requested")
    before, behind = (position(scene, "change.intent", step=step) for step in ("one", "two"))
    decided = position(scene, "gate.decided")
    assert asked < before < decided < behind
    assert scene.tags().items() >= {"one": "1", "two": "2"}.items()


def test_a_denied_gate_stops_there_and_what_was_done_stays(scene: Scene) -> None:
    scene.write(GATED)
    scene.decides(BOB, "deny", why="it is a load test")
    started = scene.run()

    assert started.result is not None
    error = started.result.error
    assert isinstance(error, Denied)
    assert error.exit_code == 3
    assert "denied by local:bob" in str(error)
    assert "it is a load test" in str(error)
    assert started.incident.status == "denied"
    assert scene.tags()["one"] == "1"
    assert "two" not in scene.tags()
    assert scene.changes() == ["CreateTags"]


def test_without_an_answer_in_time_nothing_behind_the_gate_happens(scene: Scene) -> None:
    scene.write(f"{ONE}\n- approve: {{id: contain, by: oncall, within: 1s}}\n{TWO}")
    started = scene.run()

    assert started.result is not None
    assert isinstance(started.result.error, Denied)
    assert "no answer means no" in str(started.result.error)
    assert started.incident.status == "denied"
    assert scene.changes() == ["CreateTags"]
    assert "gate.expired" in scene.kinds(started.incident)


def test_a_gate_that_expired_while_the_steps_before_it_ran_is_not_asked_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "test.long", lambda *_: threading.Event().wait(1.1) and {})
    scene.write(f"- step: test.long\n- approve: {{id: contain, by: oncall, within: 1s}}\n{TWO}")
    started = scene.run()
    assert started.incident.status == "denied"
    assert scene.kinds(started.incident).count("gate.requested") == 1


def test_a_resumed_incident_asks_again_after_the_gate_has_expired(scene: Scene) -> None:
    scene.write(f"{ONE}\n- approve: {{id: contain, by: oncall, within: 1s}}\n{TWO}")
    expired = scene.run().incident
    scene.decides()
    resumed = scene.resume(expired.id)
    assert resumed.incident.status == "contained"
    rounds = [r.body["round"] for r in scene.records(expired, "gate.requested")]
    assert rounds == [1, 2]


def test_nobody_answers_and_the_next_group_decides(scene: Scene) -> None:
    scene.write(
        "- approve: {id: contain, by: oncall, within: 1s, otherwise: escalate, escalate_to: leads}"
        f"\n{TWO}"
    )

    def decide(record: Record) -> None:
        scene.responder().decide(record.incident, "contain", CAROL, "approve")

    scene.when("gate.escalated", decide)
    started = scene.run()
    assert started.incident.status == "contained"
    assert scene.tags()["two"] == "2"


def test_who_must_decide_is_reminded(scene: Scene) -> None:
    scene.write(f"- approve: {{id: contain, by: oncall, remind_every: 1s}}\n{TWO}")

    def decide(record: Record) -> None:
        assert record.body["needed"] == "0/1 of oncall"
        scene.responder().decide(record.incident, "contain", ALICE, "approve")

    scene.when("gate.reminded", decide)
    assert scene.run().incident.status == "contained"


def test_a_step_that_is_run_around_its_gate_sends_nothing_and_is_reported(scene: Scene) -> None:
    scene.write(GATED)
    execution = scene.execution()
    behind = execution.playbook.run_steps()[1]

    async def around() -> None:
        await execution.prepare()
        with pytest.raises(ApprovalMissing, match="two stands behind the gate contain"):
            await execution.step(behind)
        assert scene.changes() == []
        # The attempt keeps nobody from going through the gate afterwards.
        scene.responder().decide(execution.id, "contain", ALICE, "approve")
        await execution.directly()

    asyncio.run(around())
    execution.close()
    (attempt,) = scene.records(execution.incident(), "gate.bypass_attempt")
    assert attempt.body["gate"] == "contain"
    assert attempt.body["step"] == "two"
    assert scene.changes() == ["CreateTags", "CreateTags"]


def test_an_approval_of_another_plan_is_none(scene: Scene) -> None:
    scene.write(GATED)
    waiting = scene.run(wait=False).incident
    scene.responder().decide(waiting.id, "contain", ALICE, "approve")
    scene.tag("two", "2")
    known = len(scene.changes())

    responder = scene.responder()
    with responder._held(responder.incident(waiting.id)) as around:
        from flows.execution import Execution

        execution = Execution(waiting.id, around)

        async def run() -> None:
            await execution.prepare()
            with pytest.raises(ApprovalMissing, match="which approved another plan"):
                await execution.step(execution.playbook.run_steps()[1])

        asyncio.run(run())
        execution.close()
    assert len(scene.changes()) == known
    assert "gate.bypass_attempt" in scene.kinds(waiting)


def test_a_plan_that_changes_after_its_approval_is_asked_again_with_the_differences(
    scene: Scene,
) -> None:
    scene.write(GATED)
    scene.at_once("gate.requested", lambda record: scene.tag("two", "2"))
    scene.decides(times=2)
    started = scene.run()

    assert started.incident.status == "contained"
    first, second = scene.records(started.incident, "gate.requested")
    assert (first.body["round"], second.body["round"]) == (1, 2)
    assert first.body["digest"] != second.body["digest"]
    (gone,), (added,) = second.body["gone"], second.body["added"]
    assert scene.world.victim in gone
    assert scene.world.victim not in added
    assert scene.kinds(started.incident).count("gate.decided") == 2


def test_one_approval_is_not_enough_for_the_changed_plan(scene: Scene) -> None:
    scene.write(GATED)
    scene.at_once("gate.requested", lambda record: scene.tag("two", "2"))
    scene.decides(times=1)

    def stop(record: Record) -> None:
        if record.body["round"] == 2:
            scene.responders[0].stop.set()

    scene.at_once("gate.requested", stop, times=2)
    started = scene.run()
    assert started.incident.status == "interrupted"
    assert scene.changes() == ["CreateTags"]


def test_a_gate_whose_condition_does_not_hold_is_not_asked_for(scene: Scene) -> None:
    scene.write(
        f"- approve: {{id: contain, by: oncall}}\n"
        f"  when: \"target.tags.environment == 'test'\"\n{TWO}"
    )
    started = scene.run()
    assert started.incident.status == "contained"
    (skipped,) = scene.records(started.incident, "gate.skipped")
    assert skipped.body["why"] == "not target.tags.environment == 'test'"


def test_a_gate_whose_condition_can_not_be_read_stands(scene: Scene) -> None:
    scene.write(
        f"- approve: {{id: contain, by: oncall}}\n  when: \"target.tags.nothing == 'x'\"\n{TWO}"
    )
    started = scene.run(wait=False)
    assert started.incident.status == "waiting"
    assert scene.changes() == []


def test_a_gate_that_was_asked_for_stands_whatever_its_condition_says_then(scene: Scene) -> None:
    scene.write(
        f"- approve: {{id: contain, by: oncall}}\n"
        f"  when: \"target.tags.environment == 'production'\"\n{TWO}"
    )
    waiting = scene.run(wait=False).incident
    scene.tag("environment", "test")
    again = scene.resume(waiting.id, wait=False)
    assert again.incident.status == "waiting"
    assert scene.changes() == []


def test_a_gate_that_was_not_needed_before_is_asked_for_when_it_is(scene: Scene) -> None:
    scene.write(
        f"- approve: {{id: contain, by: oncall}}\n"
        f"  when: \"target.tags.environment == 'test'\"\n{TWO}"
    )
    first = scene.run().incident
    scene.untag("two")
    scene.tag("environment", "test")
    again = scene.resume(first.id, wait=False)
    assert again.incident.status == "waiting"
    assert "two" not in scene.tags()


def test_who_does_not_wait_ends_at_the_gate_and_goes_on_later(scene: Scene) -> None:
    scene.write(GATED)
    started = scene.run(wait=False)
    assert started.result is not None
    assert isinstance(started.result.error, WaitingForPeople)
    assert started.result.error.exit_code == 1
    assert started.incident.status == "waiting"
    assert scene.changes() == ["CreateTags"]

    scene.responder().decide(started.incident.id, "contain", ALICE, "approve")
    # Whoever has decided may go on with it: that asks for nothing new.
    resumed = scene.resume(started.incident.id, by=ALICE)
    assert resumed.incident.status == "contained"
    assert scene.kinds(started.incident).count("gate.requested") == 1
    assert scene.changes() == ["CreateTags", "CreateTags"]


def test_a_list_of_approvers_that_has_changed_since_the_vote_counts(scene: Scene) -> None:
    scene.write(GATED)
    waiting = scene.run(wait=False).incident
    scene.responder().decide(waiting.id, "contain", ALICE, "approve")
    text = scene.file.read_text()
    scene.file.write_text(text.replace("[alice, bob, rita]", "[bob, rita]"))

    resumed = scene.resume(waiting.id, wait=False)

    assert resumed.incident.status == "waiting"
    assert scene.changes() == ["CreateTags"]


# Failures


def test_a_step_that_may_fail_does_not_keep_the_others_from_running(scene: Scene) -> None:
    scene.write(f"{ONE}\n{TWO}")
    scene.fault("CreateTags", containing="one", code="InternalFailure")
    started = scene.run()

    assert started.result is not None
    assert started.result.error is None
    assert started.incident.status == "incomplete"
    assert statuses(started.incident) == {"one": "failed", "two": "done"}
    assert "one: " in started.incident.error
    assert scene.tags()["two"] == "2"


def test_a_step_that_others_rely_on_stops_the_playbook_and_undoes_nothing(scene: Scene) -> None:
    scene.write(f"{ONE}\n{TWO_OR_STOP}\n- {{step: ec2.tag, id: three, with: {{tags: {{x: y}}}}}}")
    scene.fault("CreateTags", containing='"two"', code="InternalFailure")
    started = scene.run()

    assert started.result is not None
    assert isinstance(started.result.error, StepFailed)
    assert started.result.error.exit_code == 1
    assert started.incident.status == "failed"
    assert statuses(started.incident) == {"one": "done", "two": "failed"}
    assert scene.tags()["one"] == "1"
    assert "DeleteTags" not in scene.changes()


def test_a_denied_permission_midway_says_what_was_and_was_not_done(scene: Scene) -> None:
    scene.write(f"{ONE}\n{TWO_OR_STOP}")
    scene.fault("CreateTags", containing='"two"', code="UnauthorizedOperation", status=403)
    started = scene.run()

    assert started.result is not None
    error = str(started.result.error)
    assert "two failed" in error
    assert "ec2:CreateTags" in error
    assert "clampdown permissions" in error
    assert f"clampdown resume {started.incident.id}" in error
    one, two = started.incident.steps
    assert (one.status, two.status) == ("done", "failed")
    assert [change.outcome for change in started.incident.changes] == ["done", "failed"]
    # A denied call is not tried again.
    assert scene.changes() == ["CreateTags", "CreateTags"]

    scene.aws.clear_faults()
    assert scene.resume(started.incident.id).incident.status == "contained"


def test_evidence_that_can_not_even_be_planned_does_not_block_the_rest(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        raise ClampdownError("The evidence can't be had.")

    register(monkeypatch, "test.evidence", contain)
    scene.write(f"- step: test.evidence\n{TWO}")
    started = scene.run()
    assert started.incident.status == "incomplete"
    assert statuses(started.incident) == {"test.evidence": "failed", "two": "done"}
    assert any("can't be planned" in warning for warning in started.incident.warnings)


def test_facts_that_can_not_be_read_keep_only_those_from_running_that_look_at_them(
    scene: Scene,
) -> None:
    scene.write(f"- step: ec2.protect\n{TWO_OR_STOP}")
    scene.fault("DescribeInstanceAttribute", code="UnauthorizedOperation", status=403)
    started = scene.run()
    assert started.incident.status == "incomplete"
    assert statuses(started.incident) == {"ec2.protect": "failed", "two": "done"}
    assert "ec2:DescribeInstanceAttribute" in started.incident.error
    assert scene.changes() == ["CreateTags"]

    scene.aws.clear_faults()
    assert scene.resume(started.incident.id).incident.status == "contained"


def test_facts_that_can_not_be_read_stop_what_relies_on_them(scene: Scene) -> None:
    scene.write(f"- {{step: ec2.protect, on_failure: stop}}\n{TWO}")
    scene.fault("DescribeInstanceAttribute", code="UnauthorizedOperation", status=403)
    started = scene.run()
    assert started.incident.status == "failed"
    assert scene.changes() == []


def test_a_step_never_sends_what_an_earlier_one_should_have_returned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        if live(aws):
            raise ClampdownError("no")

    register(monkeypatch, "test.first", contain)
    scene.write(
        "- {step: test.first, id: first}\n"
        '- {step: ec2.tag, id: two, with: {tags: {two: "${steps.first.value}"}}}'
    )
    started = scene.run()
    assert statuses(started.incident) == {"first": "failed", "two": "failed"}
    assert scene.changes() == []
    assert "two" not in scene.tags()


def test_without_a_journal_nothing_is_sent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.write(ONE)
    append = Journal.append

    def full(self: Journal, incident: str, kind: str, *rest: Any, **more: Any) -> Record:
        if kind == "change.intent":
            raise JournalUnavailable("The disk is full.")
        return append(self, incident, kind, *rest, **more)

    monkeypatch.setattr(Journal, "append", full)
    started = scene.run()
    assert started.incident.status == "incomplete"
    assert "The disk is full" in started.incident.error
    assert scene.changes() == []


def test_a_fault_of_our_own_is_raised_and_the_journal_says_that_it_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        if live(aws):
            raise KeyError("a bug")

    register(monkeypatch, "test.bug", contain)
    scene.write("- step: test.bug")
    with pytest.raises(KeyError):
        scene.run()
    incident = scene.responder().incidents()[0]
    assert (incident.status, incident.error) == ("failed", "Clampdown failed: KeyError.")


# Outcomes nobody knows


def test_a_lost_answer_is_looked_at_again_and_never_repeated(scene: Scene) -> None:
    scene.write(ONE_OR_STOP)
    scene.fault("CreateTags", effect="lost_answer", times=1)
    started = scene.run()

    assert started.incident.status == "contained"
    assert scene.changes() == ["CreateTags"]
    (change,) = started.incident.changes
    assert change.outcome == "unknown"
    # What was found afterwards has settled it, and undo still takes it back.
    assert list(started.incident.unknown()) == []
    assert started.incident.to_undo() == [change]


def test_a_call_that_did_not_arrive_is_made_again_after_a_look(scene: Scene) -> None:
    scene.write(ONE_OR_STOP)
    scene.fault("CreateTags", effect="drop", times=1)
    started = scene.run()
    assert started.incident.status == "contained"
    assert [change.outcome for change in started.incident.changes] == ["unknown", "done"]
    assert scene.tags()["one"] == "1"


class Death(BaseException):
    """The process dies here."""


@pytest.mark.parametrize(
    "kind", ["step.started", "change.intent", "change.outcome", "step.finished"]
)
def test_after_a_crash_a_resumed_incident_does_what_is_missing_and_only_that(
    scene: Scene, kind: str
) -> None:
    scene.write(f"{ONE}\n{TWO}")

    def die(record: Record) -> None:
        raise Death

    scene.at_once(kind, die)
    with pytest.raises(Death):
        scene.run()
    crashed = scene.responder().incidents()[0]
    assert crashed.status == "running"

    resumed = scene.resume(crashed.id)

    assert resumed.incident.status == "contained"
    assert scene.changes() == ["CreateTags", "CreateTags"]
    assert scene.tags().items() >= {"one": "1", "two": "2"}.items()
    assert list(resumed.incident.unknown()) == []


# Verification


def test_a_containment_that_is_reverted_once_is_made_again(scene: Scene) -> None:
    scene.write(ONE_OR_STOP)
    scene.at_once("change.outcome", lambda record: scene.untag("one"))
    started = scene.run()
    assert started.incident.status == "contained"
    assert scene.tags()["one"] == "1"
    assert scene.changes() == ["CreateTags", "CreateTags"]
    assert started.incident.steps[0].verified


@pytest.mark.parametrize(("step", "status"), [(ONE_OR_STOP, "failed"), (ONE, "incomplete")])
def test_a_containment_that_is_reverted_again_and_again_is_reported(
    scene: Scene, step: str, status: str
) -> None:
    scene.write(step)
    scene.at_once("change.outcome", lambda record: scene.untag("one"), times=100)
    started = scene.run()

    assert started.incident.status == status
    assert started.incident.steps[0].verified is False
    assert scene.changes() == ["CreateTags"] * TRIES
    assert started.result is not None
    if status == "failed":
        assert isinstance(started.result.error, NotContained)
        assert "Somebody may be reverting it" in str(started.result.error)
    else:
        assert "not tagged" in started.incident.error


# Guardrails


def test_a_protected_target_is_refused_before_anything_happens(scene: Scene) -> None:
    scene.write(GATED, more='guardrails: {protected: [{tag: {clampdown:protected: "true"}}]}\n')
    scene.tag("clampdown:protected", "true")
    started = scene.run()
    assert started.result is not None
    assert isinstance(started.result.error, ProtectedResource)
    assert started.result.error.exit_code == 3
    assert scene.changes() == []
    assert "gate.requested" not in scene.kinds(started.incident)


def test_what_becomes_protected_meanwhile_is_refused_when_it_is_its_turn(scene: Scene) -> None:
    scene.write(
        f"{GATE}\n{TWO_OR_STOP}",
        more='guardrails: {protected: [{tag: {clampdown:protected: "true"}}]}\n',
    )
    scene.at_once("gate.requested", lambda record: scene.tag("clampdown:protected", "true"))
    scene.decides()
    started = scene.run()
    assert started.result is not None
    assert isinstance(started.result.error, StepRefused)
    assert started.result.error.exit_code == 3
    assert scene.changes() == []


def test_over_the_budget_nothing_more_is_sent(scene: Scene) -> None:
    scene.write(
        f"{ONE}\n{TWO_OR_STOP}",
        more="guardrails: {budgets: {changes_per_account_per_hour: 1}}\n",
    )
    started = scene.run()
    assert started.result is not None
    assert isinstance(started.result.error, StepRefused)
    assert started.result.error.exit_code == 3
    assert "the budget is 1" in str(started.result.error)
    assert scene.changes() == ["CreateTags"]
    # Nor by another incident of the account.
    other = scene.run(scene.world.ids["bystander"])
    assert other.result is not None
    assert isinstance(other.result.error, StepRefused)
    assert scene.changes() == ["CreateTags"]


# Side by side


def test_parallel_steps_run_side_by_side(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)

    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        if live(aws):
            together.wait(timeout=10)

    register(monkeypatch, "test.meet", contain)
    steps = "\n".join(f"    - {{step: test.meet, id: meet-{number}}}" for number in range(3))
    scene.write(f"- parallel:\n{steps}")
    assert scene.run().incident.status == "contained"


def test_no_more_run_side_by_side_than_allowed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        nonlocal running, most
        if not live(aws):
            return
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.05)
        with lock:
            running -= 1

    register(monkeypatch, "test.count", contain)
    steps = "\n".join(f"    - {{step: test.count, id: count-{number}}}" for number in range(6))
    scene.write(f"- parallel:\n{steps}")
    execution = scene.execution(parallel_steps=2)

    async def run() -> None:
        await execution.prepare()
        await execution.directly()

    asyncio.run(run())
    execution.close()
    assert most == 2


def test_a_parallel_step_that_fails_does_not_stop_the_others_in_flight(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        if live(aws):
            failed.set()
            raise ClampdownError("no")

    def after(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> dict[str, Any]:
        if live(aws):
            assert failed.wait(10)
        return {"done": True}

    register(monkeypatch, "test.fails", contain, on_failure="continue")
    register(monkeypatch, "test.after", after)
    scene.write(
        "- parallel:\n    - {step: test.fails, on_failure: continue}\n    - {step: test.after}\n"
        f"{TWO}"
    )
    started = scene.run()
    assert statuses(started.incident) == {
        "test.fails": "failed",
        "test.after": "unchanged",
        "two": "done",
    }


def test_several_targets_are_contained_together_and_fail_one_by_one(scene: Scene) -> None:
    scene.write(f"{ONE}\n{TWO}")
    bystander = scene.world.ids["bystander"]
    scene.fault("CreateTags", containing=bystander, code="InternalFailure")
    started = scene.run(scene.world.victim, bystander)

    assert started.incident.status == "incomplete"
    stands = {
        (step.id, step.target.rsplit("/")[-1]): step.status for step in started.incident.steps
    }
    assert stands == {
        ("one", scene.world.victim): "done",
        ("two", scene.world.victim): "done",
        ("one", bystander): "failed",
        ("two", bystander): "failed",
    }
    assert scene.tags()["two"] == "2"
    assert "two" not in scene.tags(bystander)

    scene.aws.clear_faults()
    assert scene.resume(started.incident.id).incident.status == "contained"
    assert scene.tags(bystander)["two"] == "2"


def test_a_target_that_is_gone_keeps_nobody_from_the_others(scene: Scene) -> None:
    scene.write(GATED)
    bystander = scene.world.ids["bystander"]

    def terminate(record: Record) -> None:
        scene.ec2().terminate_instances(InstanceIds=[bystander])

    scene.at_once("gate.requested", terminate)
    scene.decides(times=2)
    started = scene.run(scene.world.victim, bystander)

    assert started.incident.status == "incomplete"
    assert bystander in started.incident.error
    assert scene.tags()["two"] == "2"
    # The part of the plan that is gone was shown before.
    assert bystander in scene.records(started.incident, "gate.requested")[-1].body["gone"][0]


def test_a_target_that_never_was_is_named_and_the_others_are_contained(scene: Scene) -> None:
    scene.write(ONE)
    started = scene.run(scene.world.victim, "i-00000000000000000")
    assert started.incident.status == "incomplete"
    assert "i-00000000000000000" in started.incident.error
    assert scene.tags()["one"] == "1"


def test_what_a_step_returns_is_known_for_each_target(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contain(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> dict[str, Any]:
        return {"id": target.id}

    register(monkeypatch, "test.first", contain)
    scene.write(
        "- {step: test.first, id: first}\n"
        '- {step: ec2.tag, id: two, with: {tags: {self: "${steps.first.id}"}}}'
    )
    bystander = scene.world.ids["bystander"]
    started = scene.run(scene.world.victim, bystander)
    assert started.incident.status == "contained"
    assert scene.tags()["self"] == scene.world.victim
    assert scene.tags(bystander)["self"] == bystander


@pytest.mark.parametrize("found", [True, False])
def test_a_condition_can_look_at_what_an_earlier_step_returned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, found: bool
) -> None:
    register(monkeypatch, "test.first", lambda *_: {"found": found})
    scene.write(
        "- {step: test.first, id: first}\n"
        '- {step: ec2.tag, id: two, when: steps.first.found, with: {tags: {two: "2"}}}'
    )
    started = scene.run()
    assert started.incident.status == "contained"
    assert statuses(started.incident)["two"] == ("done" if found else "skipped")
    assert ("two" in scene.tags()) is found


# Again


def test_a_second_run_finds_it_contained_and_changes_nothing(scene: Scene) -> None:
    scene.write(GATED)
    scene.decides()
    first = scene.run()
    known = len(scene.changes())

    second = scene.run()

    assert second.joined
    assert second.incident.id == first.incident.id
    assert second.result is not None
    assert second.result.error is None
    assert second.result.unchanged
    assert second.incident.status == "contained"
    assert len(scene.changes()) == known
    assert statuses(second.incident) == {"one": "unchanged", "two": "unchanged"}


def test_the_playbook_is_the_one_that_the_incident_was_opened_with(scene: Scene) -> None:
    scene.write(GATED)
    waiting = scene.run(wait=False).incident
    scene.write("- {step: ec2.tag, id: evil, with: {tags: {evil: yes}}}")
    resumed = scene.resume(waiting.id, wait=False)
    assert resumed.incident.status == "waiting"
    assert "evil" not in scene.tags()
    assert resumed.incident.plan is not None
    assert resumed.incident.plan.version == waiting.opened["version"]


# Stopping


def waits(self: Any, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
    aws.wait(
        "something slow",
        lambda: Progress(False, "not yet"),
        every=timedelta(milliseconds=20),
        within=timedelta(seconds=30),
    )


@pytest.mark.parametrize(("on_failure", "goes_on"), [("continue", True), ("stop", False)])
def test_a_step_ends_with_its_timeout(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, on_failure: str, goes_on: bool
) -> None:
    register(monkeypatch, "test.slow", waits)
    scene.write(f"- {{step: test.slow, timeout: 1s, on_failure: {on_failure}}}\n{TWO}")
    started = scene.run()
    slow = started.incident.steps[0]
    assert slow.status == "failed"
    assert "did not end within its timeout" in slow.error
    assert started.incident.status == ("incomplete" if goes_on else "failed")
    assert ("two" in scene.tags()) is goes_on


def test_a_step_that_ends_in_time_is_not_touched_by_its_timeout(scene: Scene) -> None:
    scene.write('- {step: ec2.tag, id: one, timeout: 30s, with: {tags: {one: "1"}}}')
    assert scene.run().incident.status == "contained"


def test_ctrl_c_finishes_the_call_in_flight_and_ends(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(f"{ONE}\n{TWO}")
    before = signal.getsignal(signal.SIGINT)
    asked = threading.Event()
    set_, send = Stop.set, LiveAws._send

    def set_and_say(self: Stop) -> None:
        set_(self)
        asked.set()

    def interrupted_in_flight(self: LiveAws, call: Call) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.wait(10)
        return send(self, call)

    monkeypatch.setattr(Stop, "set", set_and_say)
    monkeypatch.setattr(LiveAws, "_send", interrupted_in_flight)
    started = scene.run()
    monkeypatch.undo()

    assert started.result is not None
    assert isinstance(started.result.error, Interrupted)
    assert started.incident.status == "interrupted"
    assert statuses(started.incident)["two"] == "interrupted"
    assert [change.outcome for change in started.incident.changes] == ["done"]
    assert scene.tags()["one"] == "1"
    assert "two" not in scene.tags()
    assert signal.getsignal(signal.SIGINT) == before
    assert scene.resume(started.incident.id).incident.status == "contained"


def test_a_second_ctrl_c_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stop = Stop()
    with stoppable(stop):
        os.kill(os.getpid(), signal.SIGINT)
        until(stop.is_set)
        assert ended == []
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: ended)
    assert ended == [130]
    said = capfd.readouterr().err
    assert "Ctrl-C again stops at once" in said
    assert "`clampdown resume` finds out" in said


def aborts(scene: Scene, kind: str, *, at_once: bool = False) -> None:
    def abort(record: Record) -> None:
        scene.responder().abort(record.incident, BOB, "false alarm")

    (scene.at_once if at_once else scene.when)(kind, abort)


def test_an_abort_reaches_an_incident_that_waits_for_people(scene: Scene) -> None:
    scene.write(GATED)
    aborts(scene, "step.finished")
    started = scene.run()
    assert started.incident.status == "aborted"
    assert scene.changes() == ["CreateTags"]


def test_an_abort_reaches_an_incident_that_waits_for_aws(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "test.slow", waits)
    scene.write(f"- step: test.slow\n{TWO}")
    aborts(scene, "step.started")
    started = scene.run()
    assert started.incident.status == "aborted"
    assert statuses(started.incident) == {"test.slow": "interrupted"}
    assert scene.changes() == []


def test_after_an_abort_has_returned_no_change_is_begun(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even where nobody listens between two changes.
    monkeypatch.setattr("flows.execution._POLL", 60.0)
    scene.write(f"{ONE}\n{TWO}")
    aborts(scene, "change.outcome", at_once=True)
    started = scene.run()
    assert started.incident.status == "aborted"
    assert scene.changes() == ["CreateTags"]
    assert "two" not in scene.tags()


def test_one_aborted_incident_does_not_stop_another_of_the_same_process(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(GATED)
    responder = scene.responder()
    first = responder.run("tag-it", [scene.world.victim], REQUESTER, prefect=False, wait=False)
    responder.abort(first.incident.id, BOB, "false alarm")
    second = responder.run(
        "tag-it", [scene.world.ids["bystander"]], REQUESTER, prefect=False, wait=False
    )
    assert second.incident.status == "waiting"
    assert not responder.stop.is_set()


def test_the_steps_that_people_do_are_asked_for_and_do_not_hold_it_up(scene: Scene) -> None:
    scene.write(f'- manual: {{id: legal, text: "Open a case", by: oncall}}\n{TWO}')
    first = scene.run()
    assert first.incident.status == "contained"
    scene.run()
    (task,) = scene.responder().incident(first.incident.id).manual
    assert (task.id, task.done) == ("legal", None)


def test_a_listener_hears_each_record_once(scene: Scene) -> None:
    scene.write(GATED)
    scene.decides()
    started = scene.run()
    heard = [record.seq for record in scene.heard if record.incident == started.incident.id]
    assert sorted(heard) == [record.seq for record in scene.records(started.incident)]


def test_an_entry_runs_once_whoever_asks_for_it(scene: Scene) -> None:
    scene.write(ONE)
    execution = scene.execution()
    (entry,) = [entry for entry in execution.playbook.steps if isinstance(entry, RunStep)]

    async def run() -> None:
        await execution.prepare()
        await asyncio.gather(*(execution.step(entry) for _ in range(5)), execution.directly())

    asyncio.run(run())
    execution.close()
    assert scene.changes() == ["CreateTags"]
    assert scene.kinds(execution.incident()).count("step.started") == 1
