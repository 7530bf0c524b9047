"""One incident's thread as far as it was told: what is there, what there should be, what differs.

So it is with what is told of freezes, whose messages stand each for itself: they begin no thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flows.automatic import FROZEN, RESUMED
from flows.journal.record import Record
from flows.slack.freeze import freezes
from flows.slack.incident_channel import CHANNEL, NOTICE
from flows.slack.message import Message

OPENING = "opening"
POSTED, TOLD = "slack.posted", "slack.told"
_BEGINS = {"incident.opened", "incident.asked", "incident.started", "undo.started", FROZEN}
_ENDS = {"incident.closed", "incident.aborted", RESUMED}
# They change how far the progress is, and no more: there are many, and nobody waits for one.
_PROGRESS = ("step.", "change.", "verify.")


@dataclass
class Posted:
    """A message that is in Slack; ``digest`` is of what it says, empty where nobody knows that."""

    channel: str
    ts: str
    digest: str


@dataclass(frozen=True)
class Wanted:
    """A message that should be in Slack."""

    message: Message
    digest: str

    @property
    def key(self) -> str:
        return self.message.key

    @property
    def begins(self) -> bool:
        """Whether it needs no message before it."""
        return not self.message.thread and self.key != NOTICE


@dataclass
class Telling:
    """``channel`` is where its thread begins; ``usual`` is where it is told of, which is the same
    unless it has a channel of its own. ``apart``: one is still to be made for it. ``uncertain``:
    something may have been posted of which there is no record.

    ``since`` is when a message ceased to be as it should be, ``stale_since`` when what there should
    be was no longer known; ``urgent`` is whether people wait for that. ``put_off`` is until when a
    message is left alone.
    """

    incident: str
    channel: str
    uncertain: bool
    apart: bool = False
    usual: str = field(init=False)
    records: list[Record] = field(default_factory=list)
    posted: dict[str, Posted] = field(default_factory=dict)
    wanted: Sequence[Wanted] = ()
    since: dict[str, float] = field(default_factory=dict)
    put_off: dict[str, float] = field(default_factory=dict)
    shown_at: float = float("-inf")
    stale_since: float | None = None
    urgent: bool = False

    def __post_init__(self) -> None:
        self.usual = self.channel

    @property
    def seq(self) -> int:
        """The number of the last record that is known."""
        return self.records[-1].seq if self.records else 0

    @property
    def is_over(self) -> bool:
        """Whether nobody is at the incident any more."""
        moves = [record.kind for record in self.records if record.kind in _BEGINS | _ENDS]
        return bool(moves) and moves[-1] in _ENDS

    @property
    def is_told(self) -> bool:
        """Whether it is recorded that all of it was told."""
        return bool(self.records) and self.records[-1].kind == TOLD

    @property
    def counts_down(self) -> bool:
        """Whether what it says changes with time alone: deadlines are shown by the minute."""
        return any(record.kind == "gate.requested" for record in self.records)

    def add(self, records: Iterable[Record], now: float) -> None:
        """Take in what was written since."""
        for record in records:
            self.records.append(record)
            if record.kind == POSTED:
                self._add_posted(record)
            elif record.kind == CHANNEL:
                self.moves_apart(record.body["channel"])
                self.stale_since = now if self.stale_since is None else self.stale_since
            elif record.kind == TOLD:
                for key, digest in record.body["digests"].items():
                    if key in self.posted:
                        self.posted[key].digest = digest
            elif not record.kind.startswith("slack."):
                self.stale_since = now if self.stale_since is None else self.stale_since
                self.urgent = self.urgent or not record.kind.startswith(_PROGRESS)

    def _add_posted(self, record: Record) -> None:
        body = record.body
        if body["key"] == OPENING and body["channel"] != self.channel:
            self.begin_again(body["channel"])
        known = self.posted.get(body["key"])
        if known is None or known.ts != body["ts"]:
            self.posted[body["key"]] = Posted(body["channel"], body["ts"], body["digest"])

    @property
    def behind_since(self) -> float:
        """Since when it has not said what it should; infinity where it does."""
        # Read in this order: what there should be becomes known while another thread asks.
        stale_since = self.stale_since
        return min(self.since.values(), default=stale_since or float("inf"))

    def show(self, wanted: Sequence[Wanted], now: float) -> None:
        """Say what there should be."""
        self.wanted, self.shown_at = wanted, now
        self.compare(now)

    def compare(self, now: float) -> None:
        """Note what differs, and since when."""
        self.since = {
            wanted.key: self.since.get(wanted.key, now)
            for wanted in self.wanted
            if self._differs(wanted)
        }

    def _differs(self, wanted: Wanted) -> bool:
        known = self.posted.get(wanted.key)
        # A file is attached once: it tells of the end that it was written at.
        return known is None or (known.digest != wanted.digest and wanted.message.file is None)

    def ready(self, now: float) -> Iterator[Wanted]:
        """The messages that may be sent next. None is posted before an earlier one, and none before
        the one that begins the thread."""
        in_order = True
        for wanted in self.wanted:
            if wanted.key not in self.since or self.put_off.get(wanted.key, now) > now:
                continue
            if wanted.key in self.posted or (wanted.key == NOTICE and OPENING in self.posted):
                yield wanted
            elif in_order and (wanted.begins or OPENING in self.posted):
                yield wanted
                in_order = False

    def unsaid_since(self) -> datetime:
        """Before when nothing can have been posted that isn't in the records of it yet."""
        unsaid = {wanted.key for wanted in self.wanted if wanted.key not in self.posted}
        begun = [freeze.since for freeze in freezes(self.records) if freeze.key in unsaid]
        return min(begun, default=self.records[0].at)

    def channel_of(self, wanted: Wanted) -> str:
        """Where a message is, or belongs."""
        if (known := self.posted.get(wanted.key)) is not None:
            return known.channel
        return self.usual if wanted.key == NOTICE else self.channel

    def moves_apart(self, channel: str) -> None:
        """It has a channel of its own now."""
        self.channel, self.apart = channel, False

    def begin_again(self, channel: str) -> None:
        """Tell all of it in another channel."""
        self.channel, self.apart = channel, False
        self.posted = {key: known for key, known in self.posted.items() if key == NOTICE}

    def is_gone(self, key: str) -> None:
        """Somebody has deleted the message, or, if it was not there yet, the one that its thread
        begins with."""
        self.posted.pop(key if key in self.posted else OPENING, None)
