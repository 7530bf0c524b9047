"""What SQS is owed for the messages in hand: that they stay hidden, are deleted, or given back."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from flows.serve.backlog import Backlog, Message
from flows.serve.sparing_log import SparingLog
from flows.serve.sqs import MOST_IN_BATCH, Sqs, side_by_side
from runbooks.errors import ClampdownError

_GATHERING = timedelta(milliseconds=100)
_LOOK = timedelta(seconds=1)
_PATIENCE = timedelta(seconds=5)
_MOST_DELETIONS = 8
# Of a message in hand. What was just received is hidden for less: if its answer is lost, or the
# process killed, nobody has it until then.
_HELD_TO_RECEIVED = 4


class Receipts:
    """Deletes what was decided about, and keeps hidden what is in hand, in batches.

    ``received_for`` is how long a message is hidden when it is received; waiting longer than half
    of that, it is hidden for four times as long, again and again.
    """

    def __init__(
        self,
        sqs: Sqs,
        backlog: Backlog,
        received_for: timedelta,
        stop: threading.Event,
        log: SparingLog,
    ) -> None:
        self._sqs = sqs
        self._backlog = backlog
        self._held_for = _HELD_TO_RECEIVED * received_for.total_seconds()
        self._look = min(_LOOK, received_for / 8).total_seconds()
        self._stop = stop
        self._log = log
        self._changed = threading.Condition()
        self._decided: list[Message] = []
        self._closing = threading.Event()
        self._deleter = threading.Thread(target=self._delete_all, name="sqs-delete", daemon=True)
        self._keeper = threading.Thread(target=self._keep_all, name="sqs-keep", daemon=True)

    def start(self) -> None:
        self._deleter.start()
        self._keeper.start()

    def delete(self, message: Message) -> None:
        """Have a message deleted that was decided about, together with others, in a moment."""
        with self._changed:
            self._decided.append(message)
            self._changed.notify()

    def give_back(
        self, messages: Iterable[Message], after: timedelta, within: timedelta | None = None
    ) -> None:
        """Have SQS give these out again, to anybody, ``after`` a time.

        Where that can't be said to SQS, it happens when they are hidden no longer.
        """
        given = list(messages)
        self._backlog.let_go(given)
        self._change_visibility(_batches(given), int(after.total_seconds()), within)

    def give_back_all(self, messages: Iterable[Message], within: timedelta) -> None:
        """Once a stop was asked for: have SQS give out at once what was still waiting."""
        if self._keeper.is_alive():
            # What it is about to keep hidden would stay so.
            self._keeper.join(within.total_seconds() / 4)
        self.give_back(messages, timedelta(0), within)

    def close(self, within: timedelta) -> None:
        """Delete what is still to be deleted, as far as the time goes."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        if self._deleter.is_alive():
            self._deleter.join(within.total_seconds())

    def _delete_all(self) -> None:
        pause = _GATHERING
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._decided or self._closing.is_set())
                if not self._decided:
                    return
            # Others follow in a moment, and go with the same call.
            self._wait_for_more(pause)
            with self._changed:
                decided, self._decided = self._decided, []
            failed = self._delete(decided)
            with self._changed:
                self._decided += failed
            pause = min(2 * pause, _PATIENCE) if failed else _GATHERING

    def _wait_for_more(self, pause: timedelta) -> None:
        ends = time.monotonic() + pause.total_seconds()
        with self._changed:
            while not self._closing.is_set() and (left := ends - time.monotonic()) > 0:
                if pause == _GATHERING and len(self._decided) >= MOST_IN_BATCH:
                    return
                self._changed.wait(left)

    def _delete(self, messages: Sequence[Message]) -> list[Message]:
        """Delete messages; those with which it is worth trying again."""
        failed: list[Message] = []

        def delete(batch: Sequence[Message]) -> None:
            try:
                entries = [{"ReceiptHandle": message.receipt} for message in batch]
                refused = self._sqs.batch(batch[0].queue, "delete_message_batch", entries)
            except ClampdownError as error:
                self._log.warn(_kind("delete", error), f"Not deleted from the queue: {error}")
                refused = dict.fromkeys(range(len(batch)), False)
            again = [batch[number] for number, final in refused.items() if not final]
            for message in again:
                message.deletions += 1
            again = [message for message in again if message.deletions < _MOST_DELETIONS]
            failed.extend(again)
            # What could not be deleted comes again, and is known then.
            self._backlog.let_go(set(batch) - set(again))

        side_by_side(_batches(messages), delete)
        return failed

    def _keep_all(self) -> None:
        while not self._stop.wait(self._look):
            now = time.monotonic()
            in_hand = self._backlog.in_hand()
            lost = [message for message in in_hand if message.hidden_until <= now]
            # They are others' by now. Deciding about them twice does no harm.
            self._backlog.let_go(lost)
            due = [
                message
                for message in in_hand
                if now < message.hidden_until <= now + message.hidden_for / 2
            ]
            self._change_visibility(_batches(due), self._held_for)

    def _change_visibility(
        self,
        batches: Iterable[Sequence[Message]],
        seconds: float,
        within: timedelta | None = None,
    ) -> None:
        def change(batch: Sequence[Message]) -> None:
            sent = time.monotonic()
            try:
                entries: list[Mapping[str, Any]] = [
                    {"ReceiptHandle": message.receipt, "VisibilityTimeout": int(seconds)}
                    for message in batch
                ]
                refused = self._sqs.batch(
                    batch[0].queue, "change_message_visibility_batch", entries
                )
            except ClampdownError as error:
                self._log.warn(_kind("hide", error), f"Messages can't be kept hidden: {error}")
                return
            for number, message in enumerate(batch):
                if number not in refused:
                    message.hidden_until, message.hidden_for = sent + seconds, seconds
            self._backlog.let_go(batch[number] for number, final in refused.items() if final)

        side_by_side(batches, change, within)


def _batches(messages: Iterable[Message]) -> Iterator[Sequence[Message]]:
    """The messages of each queue, in as many as go into one call, in their order."""
    by_queue: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        by_queue[message.queue.url].append(message)
    for of_one in by_queue.values():
        for start in range(0, len(of_one), MOST_IN_BATCH):
            yield of_one[start : start + MOST_IN_BATCH]


def _kind(doing: str, error: ClampdownError) -> str:
    return f"{doing}: {type(error).__name__}"
