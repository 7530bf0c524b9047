"""Findings from SQS: nothing lost, nothing deleted too early, the most severe first."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.journal.errors import JournalUnavailable
from flows.serve import backlog as backlogs
from flows.serve import receiving, taking
from flows.serve.backlog import Backlog, Message
from flows.serve.queue import Queue, QueueReader
from flows.serve.receipts import Receipts
from flows.serve.sparing_log import SparingLog
from flows.serve.sqs import Sqs
from flows.settings import Settings
from runbooks.errors import AwsUnreachable, InvalidInput
from tests.flows.serve.mailbox import (
    Desk,
    Mailbox,
    finding,
    settings_of,
    severity_of,
    until,
)

ROOT = Path(__file__).parents[3]
AT_AWS = "https://sqs.eu-west-1.amazonaws.com/111122223333/findings"
SIMULATED = "http://127.0.0.1:4000/111122223333/findings"

Read = Callable[..., QueueReader]


@pytest.fixture
def settings(simulated_aws: SimulatedAws, tmp_path: Path) -> Settings:
    return settings_of(simulated_aws, tmp_path)


@pytest.fixture
def urgent(simulated_aws: SimulatedAws, settings: Settings) -> Mailbox:
    return Mailbox(simulated_aws, "urgent", settings)


@pytest.fixture
def rest(simulated_aws: SimulatedAws, settings: Settings) -> Mailbox:
    return Mailbox(simulated_aws, "rest", settings)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def read(settings: Settings, desk: Desk) -> Iterator[Read]:
    """Read mailboxes, the most urgent first, until the test is over."""
    readers: list[QueueReader] = []

    def start(*mailboxes: Mailbox, **options: Any) -> QueueReader:
        queues = [mailbox.queue for mailbox in mailboxes]
        given = {"wait": timedelta(seconds=1), "severity_of": severity_of, **options}
        reader = QueueReader(queues, settings, desk.take, **given)
        readers.append(reader)
        reader.start()
        return reader

    yield start
    desk.open.set()
    for reader in readers:
        reader.stop(timedelta(seconds=2))


# Queues by their URLs


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (AT_AWS, "eu-west-1"),
        ("https://sqs-fips.us-east-1.amazonaws.com/111122223333/findings", "us-east-1"),
        ("https://sqs.us-east-1.api.aws/111122223333/findings", "us-east-1"),
        ("https://sqs.us-gov-west-1.amazonaws.com/111122223333/findings", "us-gov-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/findings", "cn-north-1"),
    ],
)
def test_the_url_of_a_queue_says_whose_it_is_and_where(
    url: str, region: str, tmp_path: Path
) -> None:
    queue = Queue.read(url, Settings(home=tmp_path, region="us-west-2"))
    assert queue == Queue(url, "111122223333", region, "findings")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "findings",
        "arn:aws:sqs:eu-west-1:111122223333:findings",
        AT_AWS.replace("https", "http"),
        AT_AWS.replace("amazonaws.com", "amazonaws.com.evil.example"),
        AT_AWS.replace("sqs.", "user@sqs."),
        AT_AWS.replace("amazonaws.com", "amazonaws.com:8443"),
        AT_AWS.replace("eu-west-1", "cn-north-1"),
        AT_AWS.replace("111122223333", "1111"),
        AT_AWS + "/more",
        AT_AWS + "?Action=Purge",
        AT_AWS + ".fifo",
        AT_AWS + "-" * 80,
        "https://[/111122223333/findings",
        SIMULATED,
    ],
)
def test_what_is_not_a_standard_queue_at_aws_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        Queue.read(url, Settings(home=tmp_path, region="eu-west-1"))


def test_a_simulated_queue_is_in_the_region_of_the_settings(tmp_path: Path) -> None:
    simulated = Settings(home=tmp_path, simulate="http://127.0.0.1:4000", region="eu-west-1")
    assert Queue.read(SIMULATED, simulated) == Queue(
        SIMULATED, "111122223333", "eu-west-1", "findings"
    )


@pytest.mark.parametrize("url", [AT_AWS, SIMULATED.replace("127.0.0.1", "10.0.0.1")])
def test_a_simulation_reads_no_queue_elsewhere(url: str, tmp_path: Path) -> None:
    simulated = Settings(home=tmp_path, simulate="http://127.0.0.1:4000", region="eu-west-1")
    with pytest.raises(InvalidInput, match="is not the URL of a simulated queue"):
        Queue.read(url, simulated)


def test_a_simulated_queue_needs_a_region(tmp_path: Path) -> None:
    simulated = Settings(home=tmp_path, simulate="http://127.0.0.1:4000", region="")
    with pytest.raises(InvalidInput, match="CLAMPDOWN_REGION"):
        Queue.read(SIMULATED, simulated)


# In good times


def test_a_message_is_deleted_once_it_is_taken(read: Read, rest: Mailbox, desk: Desk) -> None:
    desk.open.clear()
    rest.send(finding(5))
    reader = read(rest)
    until(lambda: desk.tried)
    assert rest.counts() == (0, 1)
    desk.open.set()
    until(rest.is_empty)
    [(body, via)] = desk.tried
    assert json.loads(body)["severity"] == 5
    assert via.split()[:2] == ["sqs", "rest"]
    assert reader.healthy() == []
    assert reader.undecided() == {"rest": 0}


def test_a_burst_is_taken_by_severity_whatever_queue_it_came_from(
    read: Read, urgent: Mailbox, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(Fault(service="sqs", operation="ReceiveMessage", effect="reorder", seed=3))
    severities = [9.0 if number % 15 == 0 else number % 8 for number in range(280)]
    rest.send(*(finding(severity, number) for number, severity in enumerate(severities)))
    urgent.send(*(finding(8.5, number) for number in range(20)))
    desk.open.clear()
    reader = read(urgent, rest)
    until(lambda: sum(reader.undecided().values()) == 300)
    begun = len(desk.tried)
    desk.open.set()
    until(lambda: len(desk.taken) == 300)
    assert len({(body, via) for body, via in desk.tried}) == len(desk.tried) == 300
    order = [severity_of(body) for body, _ in desk.tried[begun:]]
    # Threads that write down what they have got may overtake each other.
    for place, severity in enumerate(order):
        assert severity >= max(order[place + taking.TAKERS :], default=0)
    until(lambda: urgent.is_empty() and rest.is_empty())


def test_a_flood_has_more_receivers_and_idleness_one(
    settings: Settings, rest: Mailbox, simulated_aws: SimulatedAws
) -> None:
    rest.send(*(finding(1, number) for number in range(300)))
    simulated_aws.configure(latency_seconds=0.05)
    receivers, backlog, stop = _receivers(settings, rest)
    receivers.start()
    until(lambda: receivers.threads == receiving.MOST_RECEIVERS)
    until(lambda: sum(backlog.undecided().values()) == 300)
    until(lambda: receivers.threads == 1)
    stop.set()
    backlog.close()


def test_deletions_go_in_batches(
    read: Read, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    desk.open.clear()
    rest.send(*(finding(1, number) for number in range(40)))
    read(rest)
    until(lambda: len(desk.tried) == taking.TAKERS)
    desk.open.set()
    until(rest.is_empty)
    assert len(simulated_aws.calls.of("sqs", "DeleteMessageBatch")) < 15
    assert not simulated_aws.calls.of("sqs", "DeleteMessage")


# What SQS does


def test_what_comes_twice_is_taken_twice_and_deleted_for_good(
    read: Read, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(
        Fault(service="sqs", operation="ReceiveMessage", effect="duplicate", times=1)
    )
    rest.send(finding(5))
    read(rest)
    until(lambda: len(desk.taken) == 2)
    assert desk.tried[0] == desk.tried[1]
    until(rest.is_empty)


def test_a_message_a_day_late_comes_before_newer_ones_as_severe(
    read: Read, rest: Mailbox, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.sqs.models import Message as Stored

    rest.send(*(finding(5, number) for number in range(10)))
    sent = Stored.mark_sent

    def long_ago(self: Any, *arguments: Any) -> None:
        sent(self, *arguments)
        self.sent_timestamp -= 24 * 3600 * 1000

    monkeypatch.setattr(Stored, "mark_sent", long_ago)
    rest.send(finding(5, 77))
    desk.open.clear()
    reader = read(rest)
    until(lambda: reader.undecided() == {"rest": 11})
    begun = len(desk.tried)
    desk.open.set()
    until(rest.is_empty)
    late = [json.loads(body)["number"] for body, _ in desk.tried].index(77)
    assert late <= begun + taking.TAKERS


def test_a_message_that_waits_stays_hidden_from_others(
    read: Read, rest: Mailbox, desk: Desk
) -> None:
    desk.open.clear()
    rest.send(*(finding(5, number) for number in range(6)))
    read(rest, received_for=timedelta(seconds=1))
    until(lambda: len(desk.tried) == taking.TAKERS)
    # Another consumer would get what was given out for one second.
    assert rest.receive(wait=2) == []
    desk.open.set()
    until(rest.is_empty)
    assert len(desk.tried) == 6


def test_a_deletion_that_fails_is_repeated(
    read: Read, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(
        Fault(service="sqs", operation="DeleteMessageBatch", effect="server_error", times=2)
    )
    rest.send(finding(5))
    reader = read(rest)
    until(rest.is_empty)
    assert len(desk.tried) == 1
    assert reader.failures() == {"delete: AwsUnreachable": 2}


def test_what_a_deletion_leaves_out_is_repeated_and_what_it_refuses_is_not(
    settings: Settings, rest: Mailbox
) -> None:
    class Stub(Sqs):
        def batch(self, queue: Queue, operation: str, entries: Any) -> dict[int, bool]:
            calls.append([entry["ReceiptHandle"] for entry in entries])
            return {0: True, 2: False} if len(calls) == 1 else {}

    calls: list[list[str]] = []
    backlog, stop = Backlog(), threading.Event()
    receipts = Receipts(Stub([rest.queue]), backlog, timedelta(seconds=30), stop, _log())
    messages = [_message(rest.queue, str(number)) for number in range(3)]
    assert backlog.expect(most_urgent=True)
    assert backlog.put(messages)
    receipts.start()
    for message in messages:
        receipts.delete(message)
    until(lambda: not backlog.in_hand())
    assert calls == [["0", "1", "2"], ["2"]]
    stop.set()
    receipts.close(timedelta(seconds=1))


# When taking fails


def test_while_the_journal_is_away_nothing_is_deleted_and_little_is_tried(
    read: Read,
    urgent: Mailbox,
    rest: Mailbox,
    desk: Desk,
    simulated_aws: SimulatedAws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(taking, "_FIRST_PAUSE", timedelta(seconds=0.1))
    monkeypatch.setattr(taking, "_LONGEST_PAUSE", timedelta(seconds=0.2))
    away = JournalUnavailable("The journal can't be written.")
    desk.failing = lambda body: away
    rest.send(*(finding(2, number) for number in range(50)))
    urgent.send(finding(9))
    began = time.monotonic()
    reader = read(urgent, rest)
    until(lambda: reader.undecided() == {"urgent": 1, "rest": 50})
    until(lambda: len(desk.tried) >= 3 * taking.TAKERS)
    # Two pauses at least, of half of that at least.
    assert time.monotonic() - began > 0.15
    [trouble] = reader.healthy()
    assert "Findings can't be taken since 20" in trouble
    assert "The journal can't be written." in trouble
    assert (urgent.counts(), rest.counts()) == ((0, 1), (0, 50))
    desk.failing = lambda body: None
    until(lambda: urgent.is_empty() and rest.is_empty())
    assert sorted(desk.taken) == sorted({body for body, _ in desk.tried})
    assert len(desk.taken) == 51
    assert reader.healthy() == []
    # None of them was given back, which would have used up how often SQS gives it out.
    assert not simulated_aws.calls.of("sqs", "ChangeMessageVisibilityBatch")


def test_what_fails_while_others_succeed_is_given_back_and_comes_later(
    read: Read, rest: Mailbox, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_AGAIN_AFTER", (timedelta(seconds=1),))
    away = AwsUnreachable("ec2 in ap-south-2 can't be reached.")
    desk.failing = lambda body: away if severity_of(body) == 9 else None
    rest.send(finding(9), *(finding(1, number) for number in range(30)))
    read(rest)
    until(lambda: len(desk.taken) == 30)
    until(lambda: rest.counts() == (0, 1))
    desk.failing = lambda body: None
    until(rest.is_empty)
    assert len(desk.taken) == 31


def test_a_poison_message_is_kept_and_neither_stops_the_others_nor_is_logged(
    read: Read,
    rest: Mailbox,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(taking, "_AGAIN_AFTER", (timedelta(seconds=1), timedelta(seconds=900)))
    desk.failing = lambda body: ValueError(body) if severity_of(body) == 9 else None
    rest.send(finding(9, 4711), *(finding(1, number) for number in range(30)))
    with caplog.at_level(logging.WARNING):
        reader = read(rest)
        until(lambda: len(desk.taken) == 30)
        until(lambda: len(desk.tried) == 32)
    [identity] = {via.split()[2] for body, via in desk.tried if severity_of(body) == 9}
    until(lambda: rest.counts() == (0, 1))
    assert identity in caplog.text
    assert "ValueError in take" in caplog.text
    assert "4711" not in caplog.text
    assert caplog.text.count(identity) == 1
    assert reader.failures() == {"ValueError": 2}
    assert reader.healthy() == []


def test_a_severity_that_can_t_be_read_keeps_nothing_from_being_taken(
    read: Read, rest: Mailbox, desk: Desk
) -> None:
    rest.send("not JSON")
    reader = read(rest)
    until(rest.is_empty)
    assert desk.taken == [b"not JSON"]
    assert reader.failures() == {"severity": 1}


# When receiving fails


@pytest.mark.parametrize("effect", ["throttle", "server_error", "drop", "expired_token"])
def test_a_queue_that_can_t_be_read_is_said_and_tried_again(
    effect: Any, read: Read, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(Fault(service="sqs", operation="ReceiveMessage", effect=effect))
    rest.send(finding(5))
    reader = read(rest)
    until(lambda: any("rest can't be read since 20" in trouble for trouble in reader.healthy()))
    simulated_aws.clear_faults()
    until(rest.is_empty)
    assert reader.healthy() == []
    assert len(simulated_aws.calls.of("sqs", "ReceiveMessage")) < 10


def test_a_queue_that_is_gone_is_said_and_asked_for_seldom(
    read: Read, rest: Mailbox, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_LONGEST_PAUSE", timedelta(seconds=1.2))
    rest.sqs.delete_queue(QueueUrl=rest.url)
    simulated_aws.calls.clear()
    reader = read(rest)
    until(lambda: any("NonExistentQueue" in trouble for trouble in reader.healthy()))
    # Two may have asked at the same time, before either knew; the third knows.
    until(lambda: len(simulated_aws.calls.of("sqs", "ReceiveMessage")) >= 3)
    first, _, third, *_ = simulated_aws.calls.of("sqs", "ReceiveMessage")
    # Anything else would have been tried again after half a second.
    assert (third.at - first.at).total_seconds() > 1.1


def test_a_full_backlog_is_filled_by_the_urgent_queue_alone(
    read: Read, urgent: Mailbox, rest: Mailbox, desk: Desk
) -> None:
    desk.open.clear()
    rest.send(*(finding(1, number) for number in range(150)))
    reader = read(urgent, rest, most=100)
    until(lambda: reader.undecided()["rest"] >= 80)
    urgent.send(*(finding(9, number) for number in range(60)))
    until(lambda: sum(reader.undecided().values()) > 100)
    assert reader.undecided()["rest"] <= 100
    assert reader.undecided()["urgent"] >= 10
    assert sum(reader.undecided().values()) <= 120
    desk.open.set()
    until(lambda: urgent.is_empty() and rest.is_empty())
    assert len(desk.taken) == 210


def test_a_backlog_is_full_as_well_when_its_messages_are_large(
    settings: Settings, rest: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlogs, "_MOST_BYTES", 100)
    backlog = Backlog()
    messages = [_message(rest.queue, "1", body=b"x" * 60), _message(rest.queue, "2", b"x" * 50)]
    assert backlog.expect(most_urgent=False)
    assert backlog.put(messages)
    assert not backlog.has_room(most_urgent=False)
    assert backlog.has_room(most_urgent=True)
    backlog.decided(messages[0])
    assert backlog.has_room(most_urgent=False)


def test_a_queue_that_gives_no_answer_is_said(
    read: Read, rest: Mailbox, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_HANGS", timedelta(seconds=0.2))
    simulated_aws.fault(
        Fault(service="sqs", operation="ReceiveMessage", effect="latency", seconds=1)
    )
    reader = read(rest)
    until(lambda: any("has given no answer for" in trouble for trouble in reader.healthy()))


# At the end


def test_a_stop_gives_back_at_once_what_was_not_taken(
    read: Read, rest: Mailbox, desk: Desk
) -> None:
    desk.open.clear()
    rest.send(*(finding(5, number) for number in range(60)))
    reader = read(rest)
    until(lambda: reader.undecided() == {"rest": 60})
    began = time.monotonic()
    reader.stop(timedelta(seconds=0.5))
    assert time.monotonic() - began < 1
    # The poll that was waiting may have got them, and gives them back as well.
    until(lambda: rest.counts() == (60 - taking.TAKERS, taking.TAKERS))


def test_a_stop_lets_those_finish_that_are_being_taken(
    read: Read, rest: Mailbox, desk: Desk
) -> None:
    desk.open.clear()
    rest.send(*(finding(5, number) for number in range(10)))
    reader = read(rest)
    until(lambda: reader.undecided() == {"rest": 10})
    until(lambda: len(desk.tried) == taking.TAKERS)
    threading.Timer(0.3, desk.open.set).start()
    reader.stop(timedelta(seconds=2))
    assert len(desk.taken) == taking.TAKERS
    until(lambda: rest.counts() == (10 - taking.TAKERS, 0))


def test_a_stop_waits_for_no_poll_and_gives_back_what_that_still_receives(
    read: Read, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    reader = read(rest, wait=timedelta(seconds=20))
    until(lambda: not reader.healthy())
    began = time.monotonic()
    reader.stop(timedelta(seconds=10))
    assert time.monotonic() - began < 1
    rest.send(finding(9))
    # Whoever asks next has it, though SQS gave it to the poll that nobody waits for any more.
    assert len(rest.receive(wait=5)) == 1
    assert desk.tried == []


_KILLED = """
import sys, time
from datetime import timedelta
from pathlib import Path
from flows.serve.queue import Queue, QueueReader
from flows.settings import Settings

simulate, url, home = sys.argv[1:]
settings = Settings(home=Path(home), simulate=simulate, region="eu-west-1")

def take(body, via):
    with open(Path(home) / "taken", "ab") as file:
        file.write(body + b"\\n")
    time.sleep(0.05)

reader = QueueReader(
    [Queue.read(url, settings)], settings, take, lambda body: 1.0, received_for=timedelta(seconds=1)
)
reader.start()
time.sleep(60)
"""


def test_a_kill_at_any_moment_loses_nothing(
    read: Read, rest: Mailbox, desk: Desk, simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    sent = [finding(1, number) for number in range(100)]
    rest.send(*sent)
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, simulated_aws.url, rest.url, str(tmp_path)],
        cwd=ROOT,
        env=os.environ,
    )
    notes = tmp_path / "taken"
    try:
        until(lambda: notes.exists() and notes.read_bytes().count(b"\n") >= 20, 20)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = set(notes.read_text().splitlines())
    assert len(before) < 100
    read(rest)
    until(rest.is_empty, 20)
    assert before | {body.decode() for body in desk.taken} == set(sent)


def _receivers(settings: Settings, mailbox: Mailbox) -> tuple[receiving.Receivers, Backlog, Any]:
    backlog, stop, sqs, log = (
        Backlog(),
        threading.Event(),
        Sqs([mailbox.queue], settings.simulate),
        _log(),
    )
    receivers = receiving.Receivers(
        mailbox.queue,
        sqs,
        backlog,
        Receipts(sqs, backlog, timedelta(seconds=30), stop, log),
        most_urgent=True,
        severity_of=severity_of,
        wait=timedelta(seconds=1),
        received_for=timedelta(seconds=30),
        stop=stop,
        log=log,
    )
    return receivers, backlog, stop


def _log() -> SparingLog:
    return SparingLog(logging.getLogger("tests"))


def _message(queue: Queue, receipt: str, body: bytes = b"{}") -> Message:
    return Message(
        queue=queue,
        id=f"id-{receipt}",
        receipt=receipt,
        body=body,
        sent_at=0,
        received=1,
        severity=1.0,
        hidden_until=time.monotonic() + 30,
        hidden_for=30,
    )
