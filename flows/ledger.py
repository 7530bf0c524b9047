"""The journal as steps see it: intents before calls, outcomes after them."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from flows.approvals import SYSTEM
from flows.incident import ref_to_json
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record
from runbooks import clock
from runbooks.aws import Progress
from runbooks.calls import Change
from runbooks.errors import AwsRefused, ClampdownError, Interrupted
from runbooks.targets.reference import TargetRef

Listener = Callable[[Record], None]
ProgressListener = Callable[[str, Progress], None]

# A terminal that is closed, or a pipe that nobody reads any more, stops no containment.
_NO_LONGER_SHOWN = (OSError, ValueError)


class Recorder:
    """Appends an incident's records, and lets whoever shows them know.

    ``lost`` is whether one could not be written.
    """

    def __init__(
        self,
        journal: Journal,
        incident: str,
        *,
        listener: Listener | None = None,
        progress: ProgressListener | None = None,
    ) -> None:
        self.journal = journal
        self.incident = incident
        self._listener = listener
        self._progress = progress
        self._lock = threading.Lock()
        known = journal.records(incident)
        self._heard = known[-1].seq if known else 0
        self._own: set[int] = set()
        self._aborted: Record | None = None
        self.lost = False

    def append(self, kind: str, body: Mapping[str, Any], actor: Actor = SYSTEM) -> Record:
        with self._lock:
            try:
                record = self.journal.append(self.incident, kind, body, actor)
            except JournalUnavailable:
                self.lost = True
                raise
            self._own.add(record.seq)
        self._tell(record)
        return record

    def show(self, record: Record) -> None:
        """Tell of a record that this process has written elsewhere, once."""
        with self._lock:
            if record.seq <= self._heard:
                return
            self._own.add(record.seq)
        self._tell(record)

    def overhear(self) -> Record | None:
        """Tell of what others wrote meanwhile, each once; return their wish to abort, if any."""
        with self._lock:
            heard = self.journal.records(self.incident, after_seq=self._heard)
            if heard:
                self._heard = heard[-1].seq
            foreign = [record for record in heard if record.seq not in self._own]
            self._own.difference_update(record.seq for record in heard)
            aborts = [record for record in foreign if record.kind == "incident.aborted"]
            self._aborted = self._aborted or (aborts[0] if aborts else None)
            aborted = self._aborted
        for record in foreign:
            self._tell(record)
        return aborted

    def progress(self, what: str, progress: Progress) -> None:
        if self._progress:
            try:
                self._progress(what, progress)
            except _NO_LONGER_SHOWN:
                self._progress = None

    def _tell(self, record: Record) -> None:
        if self._listener:
            try:
                self._listener(record)
            except _NO_LONGER_SHOWN:
                self._listener = None


class JournalLedger:
    """Writes down the changes of one step on one target.

    ``undoes`` is the number of the intent that is being taken back, when one is. ``foreseen`` are
    the warnings that stand in the plan already.
    """

    def __init__(
        self,
        recorder: Recorder,
        step: str,
        target: TargetRef,
        *,
        mode: str,
        undoes: int | None = None,
        foreseen: Sequence[str] = (),
    ) -> None:
        self._recorder = recorder
        self._step = step
        self._target = target
        self._mode = mode
        self._undoes = undoes
        self._foreseen = foreseen
        self.changes = 0

    def intend(self, change: Change) -> int:
        self._refuse_if_aborted(change)
        body = {
            "step": self._step,
            "target": ref_to_json(self._target),
            "mode": self._mode,
            "change": change.to_json(),
            "undoes": self._undoes,
        }
        number = self._recorder.append("change.intent", body).seq
        try:
            # Looked at again now that the intent has its place: no abort before it is missed.
            self._refuse_if_aborted(change)
            self.require_right()
        except (Interrupted, JournalUnavailable) as unsent:
            # Who has lost the right can't write that either; whoever has it now looks at AWS.
            with suppress(JournalUnavailable):
                self.failed(number, unsent)
            raise
        self.changes += 1
        return number

    def require_right(self) -> None:
        self._recorder.journal.require_held(self._recorder.incident)

    def _refuse_if_aborted(self, change: Change) -> None:
        if (abort := self._recorder.overhear()) is not None:
            raise Interrupted(
                f"{change.call.action} was not sent: {abort.actor.id} has aborted the incident."
            )

    def done(self, intent: int, request_id: str, identifiers: Mapping[str, Any]) -> None:
        self._outcome(intent, "done", request_id=request_id, identifiers=dict(identifiers))

    def accepted(self, intent: int, request_id: str, code: str) -> None:
        self._outcome(intent, "accepted", request_id=request_id, code=code)

    def failed(self, intent: int, error: ClampdownError) -> None:
        code = error.code if isinstance(error, AwsRefused) else type(error).__name__
        self._outcome(intent, "failed", error=error.what, code=code)

    def unknown(self, intent: int, error: ClampdownError) -> None:
        self._outcome(intent, "unknown", error=error.what)

    def progress(self, what: str, progress: Progress) -> None:
        self._recorder.progress(f"{self._step}: {what}", progress)

    def warn(self, text: str) -> None:
        """Write a warning down that the plan has not shown."""
        if text not in self._foreseen:
            self._recorder.append("warning", {"step": self._step, "text": text})

    def _outcome(
        self,
        intent: int,
        status: str,
        *,
        error: str = "",
        code: str = "",
        request_id: str = "",
        identifiers: Mapping[str, Any] | None = None,
    ) -> None:
        body = {
            "intent": intent,
            "status": status,
            "error": error,
            "code": code,
            "request_id": request_id,
            "identifiers": dict(identifiers or {}),
        }
        self._recorder.append("change.outcome", body)


class Spent:
    """How many changes an account saw within the last hour, by the journal.

    The journal is read at most every ten seconds by all incidents of a process together; between,
    what they change is counted on.
    """

    _REFRESH = timedelta(seconds=10)

    def __init__(self, journal: Journal, mode: str) -> None:
        self._journal = journal
        self._mode = mode
        self._counted = _COUNTED.setdefault(journal, {}).setdefault(mode, _Counted())

    def __call__(self, account: str) -> int:
        """What was spent up to now; whoever asks spends one more."""
        counted = self._counted
        with counted.lock:
            now = clock.monotonic()
            if now - counted.read_at > self._REFRESH.total_seconds():
                counted.changes = self._read(clock.now() - timedelta(hours=1))
                counted.read_at = now
            counted.changes[account] += 1
            return counted.changes[account] - 1

    def _read(self, since: datetime) -> Counter[str]:
        return Counter(
            record.body["target"]["account"]
            for record in self._journal.find(kind="change.intent", since=since)
            if record.body["mode"] == self._mode and record.body["undoes"] is None
        )


@dataclass
class _Counted:
    """The changes of one mode by account; ``read_at`` is on the monotonic clock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    changes: Counter[str] = field(default_factory=Counter)
    read_at: float = -math.inf


# What has been counted in each journal that this process has open, by mode.
_COUNTED: WeakKeyDictionary[Journal, dict[str, _Counted]] = WeakKeyDictionary()
