"""Taking messages out of the backlog: each is decided about, and only then deleted."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta

from flows.journal.errors import JournalUnavailable
from flows.serve.backlog import Backlog, Message
from flows.serve.backoff import Backoff
from flows.serve.receipts import Receipts
from flows.serve.sparing_log import SparingLog
from runbooks.errors import AwsUnreachable, ClampdownError, NoCredentials, Throttled

TAKERS = 4
AWAY = (JournalUnavailable, AwsUnreachable, Throttled, NoCredentials)
"""What says that something outside is away, more likely than that a document is the reason."""

_FIRST_PAUSE = timedelta(seconds=0.25)
_LONGEST_PAUSE = timedelta(seconds=10)
# By how often SQS has given the message out.
_AGAIN_AFTER = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 60, 180, 420, 900))
_NOW = timedelta(0)

Take = Callable[[bytes, str], object]


class Takers:
    """The threads that have messages decided about, the most urgent first.

    A message that can't be is given back, and comes again later and later. While the journal or
    AWS is away that would only use up how often SQS gives it out, so it stays in hand then, and
    nothing is tried but now and then. A failure while others succeed is the message's own.
    """

    def __init__(
        self,
        backlog: Backlog,
        receipts: Receipts,
        take: Take,
        stop: threading.Event,
        log: SparingLog,
    ) -> None:
        self._backlog = backlog
        self._receipts = receipts
        self._decide = take
        self._stop = stop
        self._log = log
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, stop)
        self._succeeded_at = float("-inf")
        self._threads = [
            threading.Thread(target=self._take_all, name=f"take-{number}", daemon=True)
            for number in range(TAKERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, within: timedelta) -> None:
        """Wait for those that are at it, once a stop was asked for."""
        ends = time.monotonic() + within.total_seconds()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, ends - time.monotonic()))

    def trouble(self) -> str:
        """What is wrong, as a sentence; empty where messages can be decided about."""
        trouble = self._backoff.trouble
        return f"Findings can't be taken {trouble}" if trouble else ""

    def _take_all(self) -> None:
        while not self._stop.is_set():
            self._backoff.wait()
            if (message := self._backlog.next()) is not None:
                self._take(message)

    def _take(self, message: Message) -> None:
        try:
            self._decide(message.body, message.via)
        except Exception as error:
            self._failed(message, error)
            return
        self._succeeded_at = time.monotonic()
        if self._backoff.succeeded():
            self._backlog.bring_back()
        self._backlog.decided(message)
        self._receipts.delete(message)

    def _failed(self, message: Message, error: Exception) -> None:
        self._log.warn(type(error).__name__, _said(message, error))
        tried_at = message.set_aside_at
        others_succeed = tried_at is not None and self._succeeded_at > tried_at
        if isinstance(error, AWAY) and not others_succeed and self._backlog.set_aside(message):
            # In this order: the next success brings back all that was set aside before it.
            self._backoff.failed(str(error))
            return
        self._backlog.decided(message)
        self._receipts.give_back([message], _NOW if self._stop.is_set() else _wait(message))


def _wait(message: Message) -> timedelta:
    return _AGAIN_AFTER[min(max(message.received, 1), len(_AGAIN_AFTER)) - 1]


def _said(message: Message, error: Exception) -> str:
    """What is logged of a failure: never the body, of which an error's own words may hold a part."""
    again = "It is kept, and tried again."
    if isinstance(error, ClampdownError):
        # What AWS says may end without a full stop.
        return f"{message.via} can't be dealt with now: {str(error).rstrip('.')}. {again}"
    frames = " < ".join(
        f"{frame.name} ({frame.filename}:{frame.lineno})"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    )
    return f"{message.via}: a fault of Clampdown, {type(error).__name__} in {frames}. {again}"
