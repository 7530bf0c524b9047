"""What the service stands on fails: nothing is lost, nothing is done twice, and it says so."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from flows import responder
from flows.gameday.aws.faults import Fault
from flows.intake_desk import Taken
from flows.serve import main
from flows.serve import service as services
from flows.serve.service import Ending
from runbooks.errors import Interrupted
from tests.flows.commands import until
from tests.flows.serve.here import hurry, serving_here
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage

# For as long as a test may last.
HANGS: Any = {"effect": "latency", "seconds": 4.0}


@pytest.fixture
def office(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Office:
    hurry(monkeypatch)
    office = Office(tmp_path, stage)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


# What SQS and GuardDuty do


def test_what_comes_again_shuffled_and_a_day_late_is_contained_once(office: Office) -> None:
    guardduty = office.guardduty
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    first, second, third, fourth = office.instances[:4]
    of_a_day_ago: Any = {"CreatedAt": yesterday, "UpdatedAt": yesterday}
    identity = guardduty.find(first)
    for instance in (second, third):
        guardduty.find(instance, Id=guardduty.find(instance))
    # What is late and known to nobody is news.
    guardduty.find(fourth, **of_a_day_ago)
    for effect, probability in (("duplicate", 0.5), ("reorder", 1.0)):
        receive = {"service": "sqs", "operation": "ReceiveMessage", "effect": effect}
        office.stage.aws.fault(Fault.model_validate({**receive, "probability": probability}))
    with serving_here(office):
        until(lambda: office.statuses() == ["contained"] * 4, "all to be contained")
        guardduty.find(first, Id=identity, **of_a_day_ago)
        late = {"id": identity, "outcome": "older", "updated_at": yesterday}
        until(
            lambda: any(late.items() <= each.items() for each in office.decided()), "the late one"
        )
        until(lambda: office.waiting_in(guardduty.queue) == 0, "the queue to be empty")
    assert "is known already" in office.decided()[-1]["why"][0]
    assert {each["outcome"] for each in office.decided()} == {"contained", "older"}
    assert office.repeated() == []


def test_while_guardduty_does_not_answer_findings_are_kept(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = office.instances[:3]
    asked = {"service": "guardduty", "operation": "GetFindings"}

    def kept(instance: str, effect: str, said: str) -> None:
        known = office.statuses()
        office.stage.aws.fault(Fault.model_validate({**asked, "effect": effect}))
        office.guardduty.find(instance)
        until(lambda: said in service.get("/ready")[1], "it to say so")
        assert service.get("/ready")[0] == 503
        assert office.waiting_in(office.guardduty.queue) == 1
        assert office.statuses() == known
        office.stage.aws.clear_faults()
        until(lambda: office.statuses() == [*known, "contained"], "the containment")
        until(lambda: service.get("/ready")[0] == 200, "it to be ready")

    with serving_here(office) as service:
        kept(first, "throttle", "TooManyRequests")
        kept(second, "drop", "no answer came from AWS")
        # What it may not ask is no reason to wait: people start it.
        office.stage.aws.fault(Fault.model_validate({**asked, "effect": "deny"}))
        office.guardduty.find(third)
        until(lambda: office.statuses() == ["contained", "contained", "proposed"], "the proposal")
        assert service.get("/ready")[0] == 200
        until(lambda: office.waiting_in(office.guardduty.queue) == 0, "the queue to be empty")
    assert "could not be asked" in office.decided()[-1]["why"][-1]
    assert caplog.text.count("It is kept, and tried again.") == 2


def test_while_another_process_hangs_in_opening_findings_are_kept(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "_OPENING", timedelta(seconds=0.3))
    with serving_here(office) as service, office.journal() as other:
        with other.hold("opening"):
            office.guardduty.find()
            until(lambda: "No incident could be opened" in service.get("/ready")[1], "it to say so")
            assert office.waiting_in(office.guardduty.queue) == 1
            assert office.decided() == []
        until(lambda: office.statuses() == ["contained"], "the containment")
        until(lambda: service.get("/ready")[0] == 200, "it to be ready")


# Two services, and their ends


def burst(office: Office, mild: bytes) -> None:
    """Every instance is found twice, amid many events of which nothing follows."""
    document = json.loads(mild)
    for number in range(2 * len(office.instances)):
        entries = []
        for part in range(5):
            document["detail"] |= {"id": f"{number:016x}{part:016x}"}
            entries.append({"Id": str(part), "MessageBody": json.dumps(document)})
        office.guardduty.sqs.send_message_batch(QueueUrl=office.guardduty.queue, Entries=entries)
        office.guardduty.find(office.instances[number // 2], severity=7 + number / 10)


def test_two_by_mistake_contain_each_finding_once_and_where_they_end_the_next_goes_on(
    office: Office,
) -> None:
    receive = {"service": "sqs", "operation": "ReceiveMessage", "effect": "duplicate"}
    office.stage.aws.fault(Fault.model_validate({**receive, "probability": 0.3}))
    office.stage.aws.configure(latency_seconds=0.1)
    mild = office.guardduty.event(severity=2)
    with office.serving() as one, office.serving() as other:
        burst(office, mild)
        until(office.incidents, "them to be at it")
        for service in (one, other):
            began = time.monotonic()
            service.stop()
            assert time.monotonic() - began < 25
    assert office.statuses() != ["contained"] * len(office.instances)
    with serving_here(office):
        contained = ["contained"] * len(office.instances)
        until(lambda: office.statuses() == contained, "all to be contained")
        until(lambda: office.waiting_in(office.guardduty.queue) == 0, "the queue to be empty")
    assert office.repeated() == []
    assert office.clampdown("journal", "verify").code == 0


def test_what_hangs_at_aws_is_not_waited_for_at_the_end(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "END_WITHIN", timedelta(seconds=0.3))
    first, second = office.instances[:2]
    with serving_here(office):
        office.stage.aws.fault(Fault(operation="CreateSecurityGroup", **HANGS))
        office.guardduty.find(first)
        until(lambda: office.last_kinds() == ["change.intent"], "the first call to hang")
        until(lambda: office.waiting_in(office.guardduty.queue) == 0, "the queue to be empty")
        office.stage.aws.fault(Fault(operation="GetFindings", **HANGS))
        office.guardduty.find(second)
        until(lambda: office.in_hand_of(office.guardduty.queue) == 1, "the second to be taken")
        began = time.monotonic()
    assert time.monotonic() - began < 2
    [incident] = office.incidents()
    assert f"Still under way at the end, to be resumed: {incident.id}" in caplog.text
    assert office.waiting_in(office.guardduty.queue) == 1


def test_once_it_ends_nothing_more_is_taken_and_all_have_the_same_time() -> None:
    ending = Ending(timedelta(seconds=60))
    take = ending.refusing(lambda document, via: Taken(findings=1))
    assert take(b"", "webhook").findings == 1
    left = ending.left()
    assert timedelta(seconds=59) < ending.left() < left <= timedelta(seconds=60)
    with pytest.raises(Interrupted, match="The service is ending"):
        take(b"", "webhook")
    assert Ending(timedelta()).left() == timedelta()


def test_what_keeps_the_interpreter_from_ending_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    codes: Queue[int] = Queue()
    monkeypatch.setattr(main, "END_WITHIN", timedelta())
    monkeypatch.setattr(main, "_HANGS", timedelta(seconds=0.01))
    monkeypatch.setattr(os, "_exit", codes.put)
    main._end_for_sure()
    assert codes.get(timeout=10) == 0
    assert "Ended with calls in flight." in capfd.readouterr().err


if os.environ.get("TEST_LONG_FAULTS"):

    def test_a_process_whose_calls_hang_ends_within_25_seconds(office: Office) -> None:
        hangs: Any = {"effect": "latency", "seconds": 60}
        office.stage.aws.fault(Fault(operation="CreateSecurityGroup", **hangs))
        with office.serving() as service:
            office.guardduty.find()
            until(lambda: office.last_kinds() == ["change.intent"], "the first call to hang")
            began = time.monotonic()
            service.stop()
            assert time.monotonic() - began < 25
            assert "to be resumed" in service.running.err
