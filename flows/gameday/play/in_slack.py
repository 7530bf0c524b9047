"""Real people in a drill: Clampdown tells them in Slack, and they decide there, in real time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from datetime import timedelta

from flows.conductor import Conductor
from flows.gameday.play.diary import DECISIONS, Diary
from flows.journal.record import Record
from flows.responder import Responder
from runbooks.errors import ClampdownError

_UP_WITHIN = timedelta(seconds=30)


class InSlack:
    """Writes down what people do, as the incidents' own records have it."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    def come_back(self, responder: Responder) -> None:
        """Clampdown is at work; whoever has something to decide does so in Slack."""

    def hear(self, record: Record) -> None:
        """Take in what Clampdown has written down."""
        if record.kind in DECISIONS and record.actor.kind == "person":
            text = f"{record.actor.id}: {record.body['answer']} at the gate {record.body['gate']}"
            self._diary.decided(record, text)

    def give_up(self, incident: str, gate: str) -> None:
        """Nobody has decided it; who could have is in the record that asks for it."""


class SlackApp:
    """The Slack app, in a thread and an event loop of its own."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._up: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="slack", daemon=True)

    def start(self) -> None:
        """Start it. Raises ClampdownError where Slack refuses it, or does not answer in time."""
        self._thread.start()
        try:
            self._up.result(_UP_WITHIN.total_seconds())
        except TimeoutError as error:
            raise ClampdownError("Slack did not answer; without it nobody can play.") from error

    def stop(self, within: timedelta) -> None:
        """Have it tell the end, and end."""
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(within.total_seconds())

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._up.done():
                raise
            self._up.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        # Much to import, for what most drills do without.
        from flows.slack.service import slack_face
        from flows.slack.settings import load_slack_settings

        settings = load_slack_settings(http=False)
        async with slack_face(settings, self._conductor, http=False):
            self._up.set_result(None)
            await self._over.wait()
