"""The service as a whole: findings come in, incidents are carried out, Slack tells and asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from flows.conductor import Conductor
from flows.intake.urgency import severity_of
from flows.intake_desk import Hand, Intake
from flows.journal.journal import Journal
from flows.serve.dead_letters import DeadLetters
from flows.serve.http import http_app, serve_http
from flows.serve.measuring import Measuring
from flows.serve.metrics import Metrics
from flows.serve.periodic import Periodic
from flows.serve.prefect import PrefectHome
from flows.serve.queue import Queue, QueueReader
from flows.serve.settings import ServeSettings
from flows.serve.sweep import Sweep
from flows.serve.watch import LOOK_EVERY, Watch
from flows.settings import Settings
from flows.slack.service import SlackFace, slack_face, threads_and_journal
from flows.slack.settings import SlackSettings
from runbooks.errors import ClampdownError
from runbooks.playbook import Playbooks

END_WITHIN = timedelta(seconds=20)
_MEASURE_EVERY = timedelta(seconds=15)
_REAP_EVERY = timedelta(hours=1)
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
        metrics = Metrics()
        stack.enter_context(journal.heard_by(metrics.hear))
        home = await asyncio.to_thread(PrefectHome, settings.prefect_home) if prefect else None
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
        stack.push_async_callback(end, conductor)
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
            ready=partial(_not_ready, journal, reader),
            take=take,
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
        watch = Watch(conductor, _AFTER_WORKERS if workers else LOOK_EVERY)
        for periodic in (
            Periodic("watch", LOOK_EVERY, watch.look),
            Periodic("measuring", _MEASURE_EVERY, measuring.once, at_once=True),
            Periodic("reaping", _REAP_EVERY, lambda: conductor.responder().reap()),
            *_sweeping(sweep, metrics, serve),
        ):
            periodic.start()
            stack.callback(periodic.stop)
        if queues:
            reader.start()
            stack.push_async_callback(asyncio.to_thread, reader.stop, END_WITHIN)
        yield Service(address, home.url if home else "", queues, face, tuple(resumed))


async def end(conductor: Conductor) -> None:
    """Begin nothing new, and wait for the calls in flight."""
    left = await asyncio.to_thread(conductor.stop, END_WITHIN)
    if left:
        _LOG.warning("Still under way at the end, to be resumed: %s", ", ".join(left))


def _hand(conductor: Conductor, stack: AsyncExitStack, *, workers: bool) -> Hand:
    if not workers:
        return conductor.go_on_with
    from flows.handing_over import HandOver

    hand_over = HandOver()
    stack.callback(hand_over.close)
    return hand_over


def _not_ready(journal: Journal, reader: QueueReader) -> list[str]:
    """Why findings would not be dealt with now; nothing where they would."""
    return [*reader.healthy(), *journal_problems(journal)]


def journal_problems(journal: Journal) -> list[str]:
    """Why nothing can be carried out now; nothing where the journal answers."""
    try:
        journal.last("automatic")
    except ClampdownError as error:
        return [error.what]
    return []


def _sweeping(sweep: Sweep, metrics: Metrics, serve: ServeSettings) -> Iterator[Periodic]:
    def once() -> None:
        swept = sweep.once()
        if swept.places:
            metrics.swept(swept.new)

    if serve.sweep_minutes:
        yield Periodic("sweep", timedelta(minutes=serve.sweep_minutes), once, at_once=True)
