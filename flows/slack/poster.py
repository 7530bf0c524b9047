"""Keeping Slack's threads as the journal says they should be.

What an incident's thread has to say is a function of its records (:mod:`flows.slack.thread`). The
poster compares that with what it has posted, and posts or updates the difference. Slack that is
down, slow or rate limited, and a restart, so only mean that the difference is made up for later, in
order; nothing that happens to an incident ever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from slack_sdk.web.async_client import AsyncWebClient

from flows.incident import is_incident
from flows.journal.journal import IncidentHead, Journal
from flows.journal.record import Actor, Record
from flows.slack.away import CHAIN, away_now
from flows.slack.message import Message
from flows.slack.posting import (
    MessageGone,
    NoSuchChannel,
    NotSent,
    Place,
    RateLimited,
    find,
    post,
    update,
)
from flows.slack.thread import messages
from runbooks.errors import ClampdownError
from runbooks.playbook import Playbooks

# "1 message per second per channel … short bursts" (Slack, "Rate limits").
_PER_SECOND = 1.0
_BURST = 3.0
_LONGEST_WAIT = 0.5
# What other processes write is found by looking; what this one writes is heard.
_LOOK_EVERY = 2.0
# Deadlines are shown by the minute.
_RENEW_EVERY = 60.0
_AT_ONCE = 8
_LONGEST_PAUSE = 30.0
_OPENING = "opening"
_BEGINS = {"incident.opened", "incident.started", "undo.started"}
_ENDS = {"incident.closed", "incident.aborted"}
_ACTOR = Actor("system", "clampdown", "slack")
_LOG = logging.getLogger(__name__)


@dataclass
class _Posted:
    channel: str
    ts: str
    digest: str


@dataclass
class _Thread:
    """What is known of one incident's thread.

    ``uncertain``: something may have been posted of which there is no record.
    """

    incident: str
    channel: str
    uncertain: bool
    records: list[Record] = field(default_factory=list)
    posted: dict[str, _Posted] = field(default_factory=dict)
    wanted: list[Message] = field(default_factory=list)
    since: dict[str, float] = field(default_factory=dict)
    rendered: float = 0.0

    @property
    def seq(self) -> int:
        return self.records[-1].seq if self.records else 0

    def next(self) -> Message | None:
        """The most urgent message that isn't as it should be; nothing is posted out of order."""
        found: list[Message] = []
        in_order = True
        for message in self.wanted:
            known = self.posted.get(message.key)
            if known is None and in_order:
                found.append(message)
                in_order = False
            elif known is not None and known.digest != message.digest and message.file is None:
                found.append(message)
        return min(found, key=lambda message: message.urgency, default=None)

    def differs(self) -> list[Message]:
        return [
            message
            for message in self.wanted
            if (known := self.posted.get(message.key)) is None
            or (known.digest != message.digest and message.file is None)
        ]


@dataclass
class _Channel:
    """How many messages may go to a channel now, and until when it isn't written to at all."""

    tokens: float = _BURST
    refilled: float = field(default_factory=time.monotonic)
    busy: bool = False
    closed_until: float = 0.0

    def ready_in(self, now: float) -> float:
        """Seconds until the next message may go; 0 for at once."""
        self.tokens = min(_BURST, self.tokens + (now - self.refilled) * _PER_SECOND)
        self.refilled = now
        wait = 0.0 if self.tokens >= 1 else (1 - self.tokens) / _PER_SECOND
        return max(wait, self.closed_until - now)


class Poster:
    """Posts and updates what the journal's incidents have to say, until it is cancelled."""

    def __init__(self, client: AsyncWebClient, journal: Journal, playbooks: Playbooks) -> None:
        self._client = client
        self._journal = journal
        self._playbooks = playbooks
        self._threads: dict[str, _Thread] = {}
        self._done: dict[str, int] = {}
        self._channels: dict[str, _Channel] = {}
        self._paused_until = 0.0
        self._pause = 1.0
        self._heard: set[str] = set()
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._began = datetime.now(UTC)
        self.problem = ""

    async def run(self) -> None:
        """Keep at it. Raises nothing but what cancels it."""
        loop = asyncio.get_running_loop()

        def heard(record: Record) -> None:
            loop.call_soon_threadsafe(self._hear, record)

        with self._journal.heard_by(heard):
            looked = float("-inf")
            while True:
                self._wake.clear()
                if time.monotonic() - looked >= _LOOK_EVERY:
                    await self._look()
                    looked = time.monotonic()
                else:
                    await self._listen()
                wait = self._send_what_may_go()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()

    def _hear(self, record: Record) -> None:
        if is_incident(record.incident):
            self._heard.add(record.incident)
            self._wake.set()

    @property
    def behind(self) -> float:
        """For how many seconds the stalest message has not said what it should say; 0 for none."""
        now = time.monotonic()
        waiting = [at for thread in self._threads.values() for at in thread.since.values()]
        return now - min(waiting) if waiting else 0.0

    # What there is to say

    async def _look(self) -> None:
        """Read what any process has written, and renew what shows how much time is left."""
        try:
            self._heard.clear()
            for head in await asyncio.to_thread(self._journal.incidents):
                if is_incident(head.incident) and self._is_news(head):
                    await asyncio.to_thread(self._read, head.incident, head.seq)
        except ClampdownError as error:
            self._said(f"the journal can't be read: {error}")

    def _is_news(self, head: IncidentHead) -> bool:
        if (thread := self._threads.get(head.incident)) is None:
            return self._done.get(head.incident) != head.seq
        return thread.seq != head.seq or time.monotonic() - thread.rendered >= _RENEW_EVERY

    async def _listen(self) -> None:
        """Read what this process has written."""
        heard, self._heard = self._heard, set()
        try:
            for incident in heard:
                await asyncio.to_thread(self._read, incident)
        except ClampdownError as error:
            self._heard |= heard
            self._said(f"the journal can't be read: {error}")

    def _read(self, incident: str, seq: int | None = None) -> None:
        thread = self._threads.get(incident)
        if thread is None:
            records = self._journal.records(incident)
            channel = str(records[0].body.get("channel") or "") if records else ""
            if not channel or _all_told(records):
                self._done[incident] = records[-1].seq if records else 0
                return
            thread = _Thread(incident, channel, uncertain=records[0].at < self._began)
            self._threads[incident] = thread
            fresh: Sequence[Record] = records
        else:
            fresh = self._journal.records(incident, thread.seq) if seq != thread.seq else ()
        now = time.monotonic()
        told = all(record.kind.startswith("slack.") for record in fresh)
        for record in fresh:
            self._remember(thread, record)
        if not told or now - thread.rendered >= _RENEW_EVERY:
            now_utc = datetime.now(UTC)
            away = away_now(self._journal.records(CHAIN), now_utc)
            thread.wanted = messages(thread.records, self._playbooks, now_utc, away)
            thread.rendered = now
        self._note_differences(thread)
        if _all_told(thread.records) and not thread.since:
            del self._threads[incident]
            self._done[incident] = thread.seq

    def _remember(self, thread: _Thread, record: Record) -> None:
        thread.records.append(record)
        body = record.body
        if record.kind == "slack.posted":
            known = thread.posted.get(body["key"])
            if known is None or known.ts != body["ts"]:
                thread.posted[body["key"]] = _Posted(body["channel"], body["ts"], body["digest"])
        elif record.kind == "slack.told":
            for key, digest in body["digests"].items():
                if key in thread.posted:
                    thread.posted[key].digest = digest

    def _note_differences(self, thread: _Thread) -> None:
        now = time.monotonic()
        differing = {message.key for message in thread.differs()}
        thread.since = {key: thread.since.get(key, now) for key in differing}

    # Saying it

    def _send_what_may_go(self) -> float:
        """Begin to send what may be sent now; returns for how long there is nothing more to do."""
        now = time.monotonic()
        if now < self._paused_until:
            return min(self._paused_until - now, _LONGEST_WAIT)
        wait = _LONGEST_WAIT
        waiting: dict[str, list[tuple[int, float, _Thread, Message]]] = {}
        for thread in self._threads.values():
            if thread.since and (message := thread.next()) is not None:
                known = thread.posted.get(message.key)
                place = known.channel if known else thread.channel
                since = thread.since.get(message.key, now)
                waiting.setdefault(place, []).append((message.urgency, since, thread, message))
        for name, candidates in waiting.items():
            channel = self._channels.setdefault(name, _Channel())
            if channel.busy or len(self._sending) >= _AT_ONCE:
                continue
            ready_in = channel.ready_in(now)
            if ready_in > 0:
                wait = min(wait, ready_in)
                continue
            _, _, thread, message = min(candidates, key=lambda item: item[:2])
            channel.busy = True
            channel.tokens -= 1
            task = asyncio.create_task(self._send(channel, thread, message))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return wait

    async def _send(self, channel: _Channel, thread: _Thread, message: Message) -> None:
        try:
            await self._say(thread, message)
            self._pause, self.problem = 1.0, ""
        except RateLimited as limited:
            self._paused_until = time.monotonic() + limited.seconds
            self._said(str(limited))
        except NoSuchChannel as error:
            self._elsewhere(channel, thread, str(error))
        except MessageGone:
            thread.posted.pop(message.key, None)
        except NotSent as error:
            thread.uncertain = thread.uncertain or error.maybe
            self._paused_until = time.monotonic() + self._pause
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
            self._said(f"Slack gives no answer ({error})")
        except ClampdownError as error:
            channel.closed_until = time.monotonic() + self._pause
            self._said(str(error))
        finally:
            channel.busy = False
            self._note_differences(thread)
            self._wake.set()

    async def _say(self, thread: _Thread, message: Message) -> None:
        if thread.uncertain:
            await self._find(thread)
        known = thread.posted.get(message.key)
        if known is None:
            ts = await post(self._client, self._place(thread, message), thread.incident, message)
            await self._posted(thread, message.key, thread.channel, ts, message.digest)
        elif known.digest != message.digest:
            await update(self._client, known.channel, known.ts, message)
            known.digest = message.digest
        await self._all_told(thread)

    def _place(self, thread: _Thread, message: Message) -> Place:
        opening = thread.posted.get(_OPENING)
        if opening is None or not message.thread:
            return Place(thread.channel)
        return Place(opening.channel, opening.ts)

    async def _find(self, thread: _Thread) -> None:
        """Find what was posted before, and not recorded because the answer, or the process, died."""
        since = thread.records[0].at.timestamp() - 1
        places = [Place(thread.channel)] if _OPENING not in thread.posted else []
        for place in places:
            await self._found(thread, await find(self._client, place, thread.incident, since))
        if (opening := thread.posted.get(_OPENING)) is not None:
            place = Place(opening.channel, opening.ts)
            await self._found(thread, await find(self._client, place, thread.incident, since))
        thread.uncertain = False

    async def _found(self, thread: _Thread, found: dict[str, tuple[str, str]]) -> None:
        for key, (channel, ts) in found.items():
            if key not in thread.posted:
                await self._posted(thread, key, channel, ts, digest="")

    async def _posted(self, thread: _Thread, key: str, channel: str, ts: str, digest: str) -> None:
        thread.posted[key] = _Posted(channel, ts, digest)
        body = {"key": key, "channel": channel, "ts": ts, "digest": digest}
        await asyncio.to_thread(self._journal.append, thread.incident, "slack.posted", body, _ACTOR)

    async def _all_told(self, thread: _Thread) -> None:
        """Once an incident is over and all of it is told, a restart need not look at it again."""
        if thread.differs() or not _is_over(thread.records):
            return
        digests = {key: known.digest for key, known in thread.posted.items()}
        await asyncio.to_thread(
            self._journal.append, thread.incident, "slack.told", {"digests": digests}, _ACTOR
        )

    def _elsewhere(self, channel: _Channel, thread: _Thread, why: str) -> None:
        """A channel that is gone: the incident is told in the one where all else is told."""
        places = self._playbooks.slack
        usual = places.channel if places else ""
        if usual and usual != thread.channel:
            thread.channel = usual
            thread.posted.clear()
        else:
            channel.closed_until = time.monotonic() + _LONGEST_PAUSE
        self._said(f"the channel of {thread.incident} can't be written to ({why})")

    def _said(self, problem: str) -> None:
        if problem != self.problem:
            _LOG.warning("Slack: %s; what there is to say is kept.", problem)
        self.problem = problem


def _is_over(records: Iterable[Record]) -> bool:
    """Whether nobody is at the incident any more."""
    moves = [record.kind for record in records if record.kind in _BEGINS | _ENDS]
    return bool(moves) and moves[-1] in _ENDS


def _all_told(records: Sequence[Record]) -> bool:
    return bool(records) and records[-1].kind == "slack.told"
