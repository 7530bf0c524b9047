"""Findings from SQS: received, put in order by severity, decided about, and then deleted.

A message is deleted only when what it led to is durable. Killed at any moment, the process loses
nothing: SQS gives out again, after a while, what was not deleted, and whoever decides knows what it
has decided about before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from flows.serve.backlog import MOST, Backlog
from flows.serve.receipts import Receipts
from flows.serve.receiving import Receivers
from flows.serve.sparing_log import SparingLog
from flows.serve.sqs import Queue, Sqs
from flows.serve.taking import Take, Takers
from flows.settings import Settings

_LOG = logging.getLogger(__name__)


class QueueReader:
    """Reads queues and has each message taken, the most severe first.

    ``queues`` are in the order of their urgency. ``take(body, via)`` decides about a message and
    raises where it can't: the message is kept then, and tried again. ``severity_of`` says from a
    body alone how urgent it is, on GuardDuty's scale.

    ``wait`` is how long a poll waits for messages (whole seconds, 20 at most). ``received_for`` is
    how long what was received stays hidden before it must be decided about or kept in hand
    actively: as long as a message is missing when the process is killed.

    Raises Redirected.
    """

    def __init__(
        self,
        queues: Sequence[Queue],
        settings: Settings,
        take: Take,
        severity_of: Callable[[bytes], float],
        *,
        wait: timedelta = timedelta(seconds=20),
        received_for: timedelta = timedelta(seconds=30),
        most: int = MOST,
    ) -> None:
        self._stop = threading.Event()
        self._log = SparingLog(_LOG)
        self._sqs = Sqs(queues, settings.simulate)
        self._backlog = Backlog(most)
        self._receipts = Receipts(self._sqs, self._backlog, received_for, self._stop, self._log)
        self._takers = Takers(self._backlog, self._receipts, take, self._stop, self._log)
        self._receivers = [
            Receivers(
                queue,
                self._sqs,
                self._backlog,
                self._receipts,
                most_urgent=number == 0,
                severity_of=severity_of,
                wait=wait,
                received_for=received_for,
                stop=self._stop,
                log=self._log,
            )
            for number, queue in enumerate(queues)
        ]

    def start(self) -> None:
        """Begin. What goes wrong from now on is said by :meth:`healthy`."""
        self._receipts.start()
        self._takers.start()
        for receivers in self._receivers:
            receivers.start()

    def stop(self, within: timedelta) -> None:
        """Take nothing more, and give back what was not taken; return after ``within`` at the latest.

        Whatever is being taken is finished, as far as the time goes. Polls that wait for messages
        can't be ended; they go on for as long as the process lives, and what they still receive is
        given back. What SQS gives out to a poll that died with its process is hidden for
        ``received_for``.
        """
        ends = time.monotonic() + within.total_seconds()

        def left() -> timedelta:
            return timedelta(seconds=max(0.0, ends - time.monotonic()))

        self._stop.set()
        waiting = self._backlog.close()
        self._receipts.give_back_all(waiting, left())
        self._takers.join(left())
        self._receipts.close(left())
        self._sqs.close()

    def healthy(self) -> list[str]:
        """What is wrong, in sentences; empty where every queue was read lately, and taken from."""
        troubles = [receivers.trouble() for receivers in self._receivers]
        return [trouble for trouble in (*troubles, self._takers.trouble()) if trouble]

    def undecided(self) -> Mapping[str, int]:
        """How many messages were received and wait for a decision, by the queue's name."""
        names = (receivers.queue.name for receivers in self._receivers)
        return {**dict.fromkeys(names, 0), **self._backlog.undecided()}

    def failures(self) -> Counter[str]:
        """How often something has gone wrong since the start, by its kind."""
        return Counter(self._log.counts)


__all__ = ["Queue", "QueueReader"]
