"""The service as a whole: findings come in, incidents are carried out, Slack tells and asks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from flows import automatic
from flows.conductor import Conductor
from flows.intake.urgency import severity_of
from flows.intake_desk import Hand, Intake, Taken
from flows.serve.clock import Clock
from flows.serve.dead_letters import DeadLetters
from flows.serve.http import http_app, serve_http
from flows.serve.measuring import Measuring
from flows.serve.metrics import Metrics, Take
from flows.serve.periodic import Periodic
from flows.serve.prefect import PrefectHome
from flows.serve.queue import Queue, QueueReader
from flows.serve.settings import ServeSettings
from flows.serve.sparing_log import SparingLog
from flows.serve.sweep import Sweep
from flows.settings import Settings
from flows.slack.service import SlackFace, slack_face, threads_and_journal
from flows.slack.settings import SlackSettings
from flows.turns import CRITICAL
from runbooks.errors import ClampdownError, Interrupted
from runbooks.playbook import Playbooks

END_WITHIN = timedelta(seconds=20)
# How often this process looks for what was begun and what nobody is at, and for how long that is
# left to whoever has begun it.
LOOK_EVERY = timedelta(seconds=5)
_MEASURE_EVERY = timedelta(seconds=15)
_REAP_EVERY = timedelta(hours=1)
SHOW_EVERY = timedelta(minutes=1)
# Workers have the first go at what was handed to them.
_AFTER_WORKERS = timedelta(seconds=30)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What runs. ``address`` is where HTTP is listened to, ``prefect`` its API's URL or empty."""

    address: str
    prefect: str
    queues: tuple[Queue, ...]
    slack: SlackFace | None
    resumed: tuple[str, ...]


@asynccontextmanager
async def service(
    settings: Settings,
    serve: ServeSettings,
    slack: SlackSettings | None,
    playbooks: Playbooks,
    *,
    workers: bool = False,
    prefect: bool = True,
) -> AsyncIterator[Service]:
    """Run the service until the block is left; then begin nothing new, and end.

    ``workers`` has incidents handed to worker processes through Prefect. ``slack`` is None where
    Slack has no part in it.

    Raises InvalidInput for queues that can't be read or an address that can't be listened to,
    SlackUnavailable, JournalUnavailable.
    """
    queues = tuple(Queue.read(url, settings) for url in serve.queues)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(threads_and_journal(settings))
        metrics = Metrics(shadow=settings.shadow)
        stack.enter_context(journal.heard_by(metrics.hear))
        ending = Ending(END_WITHIN)
        home = await asyncio.to_thread(_prefect, settings) if prefect else None
        if home:
            stack.callback(home.stop)
            # Nothing waits for it: what is contained meanwhile is shown when it is there.
            loading = asyncio.create_task(asyncio.to_thread(home.load))
            stack.callback(loading.cancel)
        conductor = Conductor(
            settings,
            playbooks,
            journal,
            simulate=slack.simulate if slack else "",
            prefect=prefect,
            at_once=serve.incidents_at_once,
        )
        stack.push_async_callback(end, conductor, ending)
        connections = conductor.responder().connections("clampdown-intake")
        stack.callback(connections.close)
        intake = Intake(
            conductor.responder(),
            connections,
            DeadLetters(journal, settings, serve.dead_letters),
            _hand(conductor, stack, workers=workers),
            metrics.finding,
        )
        face: SlackFace | None = None
        if slack:
            over_http = not slack.app_token.get_secret_value()
            face = await stack.enter_async_context(slack_face(slack, conductor, http=over_http))
        take = metrics.taking(intake.take)
        reader = QueueReader(queues, settings, take, severity_of)
        app = http_app(
            ready=lambda: [*reader.healthy(), *journal_problems(conductor)],
            take=ending.refusing(take),
            webhook_token=serve.webhook_token.get_secret_value(),
            slack=face.requests if face else None,
            metrics=metrics,
        )
        address = await stack.enter_async_context(serve_http(app, serve.host, serve.port))
        await asyncio.to_thread(conductor.warm_up)
        resumed = await asyncio.to_thread(conductor.go_on_with_all)
        measuring = Measuring(metrics, conductor, reader)
        sweep = Sweep(
            playbooks,
            connections,
            journal,
            metrics.taking(partial(intake.take, confirmed=True)),
            region=settings.region,
        )
        untouched_for = _AFTER_WORKERS if workers else LOOK_EVERY
        for periodic in (
            Periodic("watch", LOOK_EVERY, lambda: conductor.go_on_with_all(untouched_for)),
            Periodic("clock", LOOK_EVERY, Clock().look),
            Periodic("measuring", _MEASURE_EVERY, measuring.once, at_once=True),
            *_reaping(conductor),
            *_showing(conductor, home),
            *_sweeping(sweep, metrics, serve),
        ):
            periodic.start()
            stack.callback(periodic.stop)
        if queues:
            reader.start()
            stack.push_async_callback(_stop_reading, reader, ending)
        stack.callback(_begin_to_end, conductor, ending)
        yield Service(address, home.url if home else "", queues, face, tuple(resumed))


class Ending:
    """The time that ending may take as a whole. It begins when somebody asks what is left of it."""

    def __init__(self, within: timedelta) -> None:
        self._within = within.total_seconds()
        self._ends: float | None = None

    def left(self) -> timedelta:
        now = time.monotonic()
        if self._ends is None:
            self._ends = now + self._within
        return timedelta(seconds=max(0.0, self._ends - now))

    def refusing(self, take: Take) -> Take:
        """The same until then: whoever comes later would have to be waited for."""

        def take_or_refuse(document: bytes, via: str) -> Taken:
            if self._ends is not None:
                raise Interrupted("The service is ending; nothing more is taken.")
            return take(document, via)

        return take_or_refuse


async def end(conductor: Conductor, ending: Ending) -> None:
    """Begin nothing new, and wait for the calls in flight."""
    left = await asyncio.to_thread(conductor.stop, ending.left())
    if left:
        _LOG.warning("Still under way at the end, to be resumed: %s", ", ".join(left))


def _begin_to_end(conductor: Conductor, ending: Ending) -> None:
    """From now on everything ends, side by side."""
    ending.left()
    conductor.stop(timedelta())


async def _stop_reading(reader: QueueReader, ending: Ending) -> None:
    await asyncio.to_thread(reader.stop, ending.left())


def _prefect(settings: Settings) -> PrefectHome | None:
    """Prefect, where there is any: a disk that is full keeps nothing from being contained."""
    try:
        return PrefectHome(settings.prefect_home)
    except OSError as error:
        _LOG.warning("Prefect's server can't be started (%s); incidents are not shown.", error)
        return None


def _hand(conductor: Conductor, stack: AsyncExitStack, *, workers: bool) -> Hand:
    if not workers:
        return conductor.go_on_with
    from flows.handing_over import HandOver

    hand_over = HandOver(SparingLog(_LOG).warn)
    stack.callback(hand_over.close)

    def hand(incident: str, urgency: float) -> None:
        # Handing over takes a second or more, and this process has hands as well.
        if urgency >= CRITICAL and conductor.turns.free(urgency):
            conductor.go_on_with(incident, urgency)
        else:
            hand_over(incident, urgency)

    return hand


def journal_problems(conductor: Conductor) -> list[str]:
    """Why nothing can be carried out now; nothing where the journal answers, and can be written."""
    try:
        conductor.journal.last(automatic.CHAIN)
    except ClampdownError as error:
        return [error.what]
    return [conductor.trouble] if conductor.trouble else []


def _showing(conductor: Conductor, home: PrefectHome | None) -> Iterator[Periodic]:
    if home:
        yield Periodic("unshown", SHOW_EVERY, conductor.show_unshown, at_once=True)


def _reaping(conductor: Conductor) -> Iterator[Periodic]:
    if not conductor.settings.shadow:
        yield Periodic("reaping", _REAP_EVERY, lambda: conductor.responder().reap())


def _sweeping(sweep: Sweep, metrics: Metrics, serve: ServeSettings) -> Iterator[Periodic]:
    def once() -> None:
        swept = sweep.once()
        if swept.places:
            metrics.swept(swept.new)

    if serve.sweep_minutes:
        yield Periodic("sweep", timedelta(minutes=serve.sweep_minutes), once, at_once=True)
