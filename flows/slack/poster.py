"""Keeping Slack's threads as the journal says they should be.

What an incident's thread has to say is a function of its records (:mod:`flows.slack.thread`), and
what there is to say of freezes is one of theirs (:mod:`flows.slack.freeze`). The poster compares
that with what it has posted, and posts or updates the difference. Slack that is down, slow or rate
limited, and a restart, so only mean that the difference is made up for later, in order; nothing
that happens to an incident ever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

from slack_sdk.web.async_client import AsyncWebClient

from flows.automatic import CHAIN as FREEZES
from flows.incident import PREFIX, is_incident
from flows.journal.errors import IncidentHeld, JournalUnavailable
from flows.journal.journal import IncidentHead, Journal
from flows.journal.record import Actor, Record
from flows.slack.away import AWAY_KIND, CHAIN, Away, away_now
from flows.slack.freeze import freeze_messages
from flows.slack.incident_channel import CHANNEL, NOTICE, notice, open_channel, own_channel
from flows.slack.pace import Pace
from flows.slack.posting import (
    MessageGone,
    MessageRefused,
    NoSuchChannel,
    NotSent,
    Place,
    RateLimited,
    find,
    post,
    update,
)
from flows.slack.telling import OPENING, POSTED, TOLD, Posted, Telling, Wanted
from flows.slack.thread import messages
from flows.slack.told import Told
from runbooks.errors import ClampdownError
from runbooks.playbook import Playbooks

# What other processes write is found by looking; what this one writes is heard.
_LOOK_EVERY = 2.0
# Deadlines are shown by the minute.
_RENEW_EVERY = 60.0
# To find out what a thread says takes milliseconds, which containments need as well: how far they
# are is shown so much later, and by so much more for each incident that is under way.
_PROGRESS_AFTER, _PROGRESS_AFTER_EACH = 0.2, 0.015
_AT_ONCE = 8
# How long a message is left alone that Slack refuses, and a channel that is no more.
_REFUSED_FOR = 30.0
# For how long those under way are waited for in the end: no longer than a call may take.
_LAST_WITHIN = 10.0
# Slack's clock and this machine's may differ; requests would no longer pass if they did by more.
_CLOCKS_DIFFER = 300.0
# The journal's right to tell: of all processes with this journal, one tells.
_TELLING = "telling"
_ACTOR = Actor("system", "clampdown", "slack")
_LOG = logging.getLogger(__name__)


class Poster:
    """Posts and updates what the journal's incidents have to say, until it is cancelled.

    ``problem`` is what keeps it from that at the moment; empty where nothing does.
    """

    def __init__(self, client: AsyncWebClient, journal: Journal, playbooks: Playbooks) -> None:
        self._client = client
        self._journal = journal
        self._playbooks = playbooks
        self._tellings: dict[str, Telling] = {}
        self._done: dict[str, int] = {}
        self._untold: set[str] = set()
        self._before: set[str] | None = None
        self._said: list[Record] = []
        self._said_to = 0
        self._pace = Pace()
        self._busy: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._heard: dict[str, float] = {}
        self._reading: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._look_at = float("-inf")
        self.problem = ""

    async def run(self) -> None:
        """Keep at it, once no other process does. Raises nothing but what cancels it."""
        loop = asyncio.get_running_loop()

        def heard(record: Record) -> None:
            # Noted by the thread that has written it: whoever has written is behind from then on.
            if _is_told_of(record.incident):
                self._heard.setdefault(record.incident, time.monotonic())
            loop.call_soon_threadsafe(self._hear, record)

        async with _alone(self._journal):
            with self._journal.heard_by(heard):
                try:
                    await self._follow()
                finally:
                    if self._sending:
                        await asyncio.wait(self._sending, timeout=_LAST_WITHIN)

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            try:
                wait = await self._turn()
            except Exception:
                # A fault of ours must not be the end of all telling.
                _LOG.exception("What there is to tell in Slack can't be found out")
                wait = _LOOK_EVERY
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait)):
                    await self._wake.wait()

    async def _turn(self) -> float:
        """Read, find out what to say, and begin to say it; returns when there is more to do."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY
            await self._look()
        else:
            await self._listen()
        due = await self._show_what_is_due()
        return min(due, self._send_what_may_go(), self._look_at - time.monotonic())

    def _hear(self, record: Record) -> None:
        if _is_told_of(record.incident):
            self._wake.set()
        elif record.kind == AWAY_KIND:
            self._look_at = float("-inf")
            self._wake.set()

    @property
    def behind(self) -> float:
        """For how many seconds the stalest message has not said what it should say; 0 for none."""
        # In the order in which news goes on, as it may do so meanwhile: none is missed.
        heard, reading = list(self._heard.values()), list(self._reading.values())
        since = [telling.behind_since for telling in list(self._tellings.values())]
        oldest = min([*heard, *reading, *since], default=float("inf"))
        return max(0.0, time.monotonic() - oldest)

    # What there is to say

    async def _look(self) -> None:
        """Read what any process has written."""
        try:
            heads = await asyncio.to_thread(self._heads)
            said = await asyncio.to_thread(self._journal.records, CHAIN, self._said_to)
            if self._before is None:
                await self._learn_what_is_told()
        except ClampdownError as error:
            self._report(f"the journal can't be read: {error}")
            return
        if said:
            self._said_to = said[-1].seq
            self._said += [record for record in said if record.kind == AWAY_KIND]
            # Who is asked may be somebody else now; those that count down say so at once.
            for telling in self._tellings.values():
                telling.shown_at = float("-inf")
        if self._before is None:
            self._before = {head.incident for head in heads}
        for head in heads:
            if self._is_news(head.incident, head.seq):
                await self._read(head.incident)

    def _heads(self) -> list[IncidentHead]:
        """Those of what is told. There may be many more findings than incidents."""
        return [*self._journal.incidents(PREFIX), *self._journal.incidents(FREEZES)]

    async def _learn_what_is_told(self) -> None:
        """Years of incidents that are told, or never were to be, are not read one by one."""
        for record in await asyncio.to_thread(lambda: list(self._journal.find(kind=TOLD))):
            self._done[record.incident] = record.seq
        opened = await asyncio.to_thread(lambda: list(self._journal.find(kind="incident.opened")))
        self._untold.update(record.incident for record in opened if not self._channel(record))

    def _is_news(self, incident: str, seq: int) -> bool:
        if (telling := self._tellings.get(incident)) is not None:
            return telling.seq != seq
        return incident not in self._untold and self._done.get(incident) != seq

    async def _listen(self) -> None:
        """Read what this process has written."""
        for incident in list(self._heard):
            await self._read(incident)

    async def _read(self, incident: str) -> None:
        """Read what is new of an incident. One that can't be read keeps no other from being told."""
        heard = self._reading[incident] = self._heard.get(incident, time.monotonic())
        self._heard.pop(incident, None)
        try:
            await self._read_since(incident, heard)
        finally:
            del self._reading[incident]

    async def _read_since(self, incident: str, heard: float) -> None:
        telling = self._tellings.get(incident)
        try:
            fresh = await asyncio.to_thread(
                self._journal.records, incident, telling.seq if telling else 0
            )
        except JournalUnavailable as error:
            self._report(f"the journal can't be read: {error}")
            return
        except ClampdownError as error:
            self._report(f"{incident} can't be told: {error}")
            return
        if telling is None and fresh:
            telling = self._begin(fresh)
        if telling is not None:
            telling.add(fresh, heard)
            telling.compare(time.monotonic())
            await self._end_where_told(telling)

    def _begin(self, records: list[Record]) -> Telling | None:
        """An incident that is not being told yet; None where it is told already, or to nobody."""
        opened, last = records[0], records[-1]
        if not (channel := self._channel(opened)):
            self._untold.add(opened.incident)
            return None
        if last.kind == TOLD:
            self._done[opened.incident] = last.seq
            return None
        places = self._playbooks.slack
        apart = places is not None and places.incident_channels
        telling = Telling(
            opened.incident,
            channel,
            uncertain=opened.incident in (self._before or ()),
            apart=apart and is_incident(opened.incident),
        )
        self._tellings[opened.incident] = telling
        return telling

    async def _show_what_is_due(self) -> float:
        """Find out what threads should say, where that has changed; returns when to look again."""
        stale = [t for t in self._tellings.values() if t.stale_since is not None]
        after = _PROGRESS_AFTER + _PROGRESS_AFTER_EACH * len(stale)
        wait = _RENEW_EVERY
        for telling in list(self._tellings.values()):
            if telling.urgent:
                due = float("-inf")
            elif telling.stale_since is not None:
                due = telling.shown_at + after
            elif telling.counts_down:
                due = telling.shown_at + _RENEW_EVERY
            else:
                continue
            left = due - time.monotonic()
            if left <= 0:
                await self._show(telling)
            else:
                wait = min(wait, left)
        return wait

    async def _show(self, telling: Telling) -> None:
        now = datetime.now(UTC)
        records, away = list(telling.records), away_now(self._said, now)
        telling.urgent = False
        try:
            wanted = await asyncio.to_thread(self._wanted, records, now, away)
        except Exception:
            # A fault of ours: this one says no more until there is news, and the others go on.
            _LOG.exception("What to say of %s can't be found out", telling.incident)
            telling.shown_at, telling.stale_since = time.monotonic(), None
            return
        telling.show(wanted, time.monotonic())
        telling.stale_since = None
        await self._end_where_told(telling)

    def _wanted(self, records: list[Record], now: datetime, away: Away) -> list[Wanted]:
        if records[0].incident == FREEZES:
            freezes = freeze_messages(records, self._playbooks, now, away)
            return [Wanted(message, message.digest) for message in freezes]
        found = messages(records, self._playbooks, now, away)
        if channel := own_channel(records):
            found.append(notice(Told(records, self._playbooks, now, away), channel))
        return [Wanted(message, message.digest) for message in found]

    async def _end_where_told(self, telling: Telling) -> None:
        """Once an incident is over and all of it is told, nobody need look at it again."""
        if telling.since or telling.stale_since is not None or not telling.is_over:
            return
        if not telling.is_told:
            digests = {key: known.digest for key, known in telling.posted.items()}
            # Only right after what is told here: whatever came after that is still to be told. Where
            # the journal takes no record, it is found out again after a restart.
            with suppress(ClampdownError):
                await self._record(telling, TOLD, {"digests": digests}, after_seq=telling.seq)
        elif self._tellings.pop(telling.incident, None) is not None:
            self._done[telling.incident] = telling.seq

    # Saying it

    def _send_what_may_go(self) -> float:
        """Begin to send what may be sent now; returns for how long there is nothing more to do."""
        now = time.monotonic()
        wait = _RENEW_EVERY
        best: dict[str, tuple[int, float, Telling, Wanted]] = {}
        for telling in self._tellings.values():
            if telling.put_off:
                wait = min(wait, _REFUSED_FOR)
            for wanted in telling.ready(now):
                name = telling.channel_of(wanted)
                ready_in = self._pace.ready_in(name, update=wanted.key in telling.posted)
                if ready_in > 0:
                    wait = min(wait, ready_in)
                    continue
                item = (wanted.message.urgency, telling.since[wanted.key], telling, wanted)
                if name not in best or item[:2] < best[name][:2]:
                    best[name] = item
        for name, (_, _, telling, wanted) in best.items():
            if name in self._busy or len(self._sending) >= _AT_ONCE:
                continue
            self._busy.add(name)
            self._pace.took(name)
            task = asyncio.create_task(self._send(name, telling, wanted))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return wait

    async def _send(self, channel: str, telling: Telling, wanted: Wanted) -> None:
        new = wanted.key not in telling.posted
        try:
            await self._say(telling, wanted)
            self._pace.answered()
            telling.put_off.pop(wanted.key, None)
            self.problem = ""
        except RateLimited as limited:
            self._pace.asked_to_wait(channel, limited.seconds, update=not new)
            self._report(str(limited))
        except NoSuchChannel as error:
            self._elsewhere(channel, telling, wanted, str(error))
        except MessageGone:
            telling.is_gone(wanted.key)
        except NotSent as error:
            telling.uncertain = telling.uncertain or (new and error.maybe)
            self._pace.no_answer()
            self._report(f"Slack gives no answer ({error})")
        except MessageRefused as error:
            self._put_off(telling, wanted)
            self._report(f"{wanted.key} of {telling.incident} is refused ({error})")
        except ClampdownError as error:
            self._pace.close(channel, _LOOK_EVERY)
            self._report(str(error))
        except Exception:
            self._put_off(telling, wanted)
            _LOG.exception("%s of %s can't be told", wanted.key, telling.incident)
        finally:
            self._busy.discard(channel)
            telling.compare(time.monotonic())
            self._wake.set()

    async def _say(self, telling: Telling, wanted: Wanted) -> None:
        known = telling.posted.get(wanted.key)
        if known is not None:
            await update(self._client, known.channel, known.ts, wanted.message)
            known.digest = wanted.digest
            telling.compare(time.monotonic())
            await self._end_where_told(telling)
            return
        if telling.apart and wanted.key == OPENING:
            # It is said next: in another channel, whose pace is another.
            await self._move_apart(telling)
            return
        if telling.uncertain:
            await self._find(telling)
            if wanted.key in telling.posted:
                return
        place = self._place(telling, wanted)
        ts = await post(self._client, place, telling.incident, wanted.message)
        await self._posted(telling, wanted.key, Posted(place.channel, ts, wanted.digest))

    def _place(self, telling: Telling, wanted: Wanted) -> Place:
        opening = telling.posted.get(OPENING)
        if opening is None or not wanted.message.thread:
            return Place(telling.channel_of(wanted))
        return Place(opening.channel, opening.ts)

    async def _move_apart(self, telling: Telling) -> None:
        """Make the incident a channel of its own; where that can't be, it is told in the usual."""
        try:
            channel = await open_channel(self._client, telling.records, self._playbooks)
        except NoSuchChannel as error:
            telling.apart = False
            _LOG.warning("Slack: %s gets no channel of its own: %s", telling.incident, error)
            return
        await self._record(telling, CHANNEL, {"channel": channel})
        telling.moves_apart(channel)

    async def _find(self, telling: Telling) -> None:
        """Find what was posted before, and not recorded because the answer, or the process, died."""
        since = telling.unsaid_since().timestamp() - _CLOCKS_DIFFER
        files = {w.message.file.name: w.key for w in telling.wanted if w.message.file is not None}
        if OPENING not in telling.posted:
            await self._find_in(telling, Place(telling.channel), since, files)
        if (opening := telling.posted.get(OPENING)) is not None:
            await self._find_in(telling, Place(opening.channel, opening.ts), since, files)
        if any(w.key == NOTICE and w.key not in telling.posted for w in telling.wanted):
            await self._find_in(telling, Place(telling.usual), since, files)
        telling.uncertain = False

    async def _find_in(
        self, telling: Telling, place: Place, since: float, files: dict[str, str]
    ) -> None:
        found = await find(self._client, place, telling.incident, since, files)
        for key, (channel, ts) in found.items():
            if key not in telling.posted:
                await self._posted(telling, key, Posted(channel, ts, digest=""))

    async def _posted(self, telling: Telling, key: str, posted: Posted) -> None:
        telling.posted[key] = posted
        body = {
            "key": key,
            "channel": posted.channel,
            "ts": posted.ts,
            "digest": posted.digest,
        }
        await self._record(telling, POSTED, body)

    async def _record(
        self,
        telling: Telling,
        kind: str,
        body: Mapping[str, object],
        *,
        after_seq: int | None = None,
    ) -> None:
        await asyncio.to_thread(
            self._journal.append, telling.incident, kind, body, _ACTOR, after_seq=after_seq
        )

    def _put_off(self, telling: Telling, wanted: Wanted) -> None:
        """Slack takes no offence at the others: they go on, and this one is tried again later."""
        telling.put_off[wanted.key] = time.monotonic() + _REFUSED_FOR

    def _elsewhere(self, channel: str, telling: Telling, wanted: Wanted, why: str) -> None:
        """A channel that is gone: the incident is told in the one where all else is told."""
        places = self._playbooks.slack
        usual = telling.usual if channel == telling.channel != telling.usual else ""
        usual = usual or (places.channel if places else "")
        if wanted.key == NOTICE:
            self._put_off(telling, wanted)
        elif usual and channel != usual:
            telling.begin_again(usual)
        else:
            self._pace.close(channel, _REFUSED_FOR)
        self._report(f"the channel of {telling.incident} can't be written to ({why})")

    def _channel(self, first: Record) -> str:
        """Where what begins so is told; empty where Slack was not set up then."""
        if first.incident == FREEZES:
            places = self._playbooks.slack
            return places.channel if places else ""
        return str(first.body.get("channel") or "")

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            _LOG.warning("Slack: %s; what there is to say is kept.", problem)
        self.problem = problem


def _is_told_of(chain: str) -> bool:
    return is_incident(chain) or chain == FREEZES


@asynccontextmanager
async def _alone(journal: Journal) -> AsyncIterator[None]:
    """Wait until no other process tells, and keep others from it: or each message came twice."""
    loop = asyncio.get_running_loop()
    held, said = ExitStack(), False
    # A lock on a file belongs to the thread that has taken it.
    with ThreadPoolExecutor(1, "telling") as thread:
        try:
            while True:
                try:
                    hold = journal.hold(_TELLING)
                    await loop.run_in_executor(thread, held.enter_context, hold)
                    break
                except (IncidentHeld, JournalUnavailable) as error:
                    if not said:
                        held_by = isinstance(error, IncidentHeld)
                        why = "another process with this journal does" if held_by else error.what
                        _LOG.warning("Slack: this process tells nothing yet: %s", why)
                    said = True
                    await asyncio.sleep(_LOOK_EVERY)
            yield
        finally:
            await loop.run_in_executor(thread, held.close)
