"""A newsroom: incidents that are written down without any AWS, and the poster that tells of them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from flows import approvals
from flows.execution import open_incident
from flows.gameday.slack.records import Channel, Message
from flows.gameday.slack.server import SimulatedSlack
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record
from flows.slack import pace, poster
from flows.slack.poster import Poster
from flows.slack.posting import web_client
from runbooks.playbook import Gate, Playbooks
from tests.flows.people import ACCOUNT, ALICE, TARGET, plan

PLAYBOOK = "contain-it"
GATE = Gate.model_validate({"id": "contain", "by": "oncall"})
EXECUTOR = Actor("system", "clampdown", "executor")


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, post as fast as one can, and try again soon."""
    monkeypatch.setattr(poster, "_LOOK_EVERY", 0.1)
    monkeypatch.setattr(pace, "_PER_SECOND", 1_000.0)
    monkeypatch.setattr(pace, "_SHORTEST_PAUSE", 0.1)
    monkeypatch.setattr(pace, "_LONGEST_PAUSE", 0.2)


class Newsroom:
    """What is told is in ``room``; ``other`` is a second channel. Nothing tells before `tell`."""

    def __init__(self, slack: SimulatedSlack, database: Path) -> None:
        self.slack = slack
        self.database = database
        self.journal = Journal.open(f"sqlite:///{database}")
        self.room = slack.channel("incidents")
        self.other = slack.channel("payments")
        self.playbooks = Playbooks.model_validate(
            {
                "version": 1,
                "accounts": {ACCOUNT: {"name": "a", "environment": "test"}},
                "approvers": {"oncall": {"local_users": [ALICE.id]}},
                "slack": {"channel": self.room.id},
                "playbooks": {
                    PLAYBOOK: {
                        "title": "A test",
                        "target": "ec2.instance",
                        "steps": [
                            {"approve": {"id": "contain", "by": "oncall"}},
                            {"step": "ec2.isolate"},
                        ],
                    }
                },
            }
        )
        self.tellers: list[Teller] = []

    def tell(self) -> Teller:
        """Another process that tells."""
        teller = Teller(self.slack, self.journal, self.playbooks)
        self.tellers.append(teller)
        return teller

    def close(self) -> None:
        for teller in self.tellers:
            teller.kill()
        self.journal.close()

    # What happens

    def open(self, number: int = 1, channel: Channel | None = None, reason: str = "") -> str:
        """An incident is opened; gives its id."""
        incident = f"inc-20261123-{number:06x}"
        open_incident(
            self.journal,
            incident,
            playbook_id=PLAYBOOK,
            playbooks=self.playbooks,
            refs=[TARGET],
            finding=None,
            requester=Actor("person", "local:rita", "cli"),
            simulate="http://127.0.0.1:9",
            reason=reason or "a test",
            channel=(channel or self.room).id,
        )
        return incident

    def write(self, incident: str, kind: str, body: dict[str, Any]) -> Record:
        return self.journal.append(incident, kind, body, EXECUTOR)

    def ask(self, incident: str, round_: int = 1) -> Record:
        """A gate is asked for."""
        return approvals.request(self.journal, incident, GATE, plan(), round_=round_)

    def approve(self, incident: str) -> None:
        approvals.decide(
            self.journal, incident, "contain", ALICE, "approve", self.playbooks.approvers
        )

    def step(self, incident: str, step: str = "ec2.isolate") -> None:
        """A step is begun: there is progress to show."""
        body = {"step": step, "name": step, "target": TARGET.arn}
        self.write(incident, "step.started", body)

    def end(self, incident: str) -> None:
        self.write(incident, "incident.closed", {"status": "contained", "error": ""})

    def copy(self, incident: str, times: int, *, told: bool) -> None:
        """Old incidents with the records of this one, and none of Slack's where it was not told.

        They are written past the journal: a thousand in the time of a few. Their ids sort last.
        """
        rows = list(self.journal.rows(incident))
        if not told:
            body = json.dumps({**json.loads(rows[0][7]), "channel": ""})
            rows[0] = (*rows[0][:7], body, *rows[0][8:])
        copies = [
            (f"inc-99991231-{number:06x}", *row[1:]) for number in range(times) for row in rows
        ]
        database = sqlite3.connect(self.database)
        with database:
            marks = ", ".join("?" * len(copies[0]))
            database.executemany(f"INSERT INTO records VALUES ({marks})", copies)
        database.close()

    # What is seen

    def posts(self, channel: Channel | None = None) -> list[Message]:
        return self.slack.messages(channel or self.room)

    def keys(self, channel: Channel | None = None) -> list[str]:
        """What was posted, in order, by its key; files as ``file``."""
        return [_key(post) for post in self.posts(channel)]

    def until(self, check: Callable[[], Any], within: float = 5.0) -> Any:
        return self.slack.until(check, within)

    def until_told(self, *keys: str, channel: Channel | None = None) -> list[Message]:
        """The posts of a channel as soon as these are there, in this order and none else."""
        try:
            self.until(lambda: self.keys(channel) == list(keys))
        except TimeoutError:
            assert self.keys(channel) == list(keys)
        return self.posts(channel)

    def records(self, kind: str) -> list[Record]:
        return list(self.journal.find(kind=kind))

    def calls(self, method: str) -> list[Any]:
        return [call for call in self.slack.calls if call.method == method]


class Teller:
    """The poster in a thread of its own, as in another process."""

    def __init__(self, slack: SimulatedSlack, journal: Journal, playbooks: Playbooks) -> None:
        self._loop = asyncio.new_event_loop()
        made: Future[Poster] = Future()
        self._task: asyncio.Task[None] | None = None

        async def run() -> None:
            client = web_client(slack.api_url, slack.installation.bot_token)
            poster = Poster(client, journal, playbooks)
            self._task = asyncio.current_task()
            made.set_result(poster)
            await poster.run()

        def work() -> None:
            try:
                self._loop.run_until_complete(run())
            except asyncio.CancelledError:
                self._loop.run_until_complete(self._loop.shutdown_default_executor())

        self._thread = threading.Thread(target=work, name="teller", daemon=True)
        self._thread.start()
        self.poster = made.result(10)

    def kill(self) -> None:
        """End it in the middle of whatever it is doing: what it has sent is not written down."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel_all)
            self._thread.join(10)

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()


def _key(post: Message) -> str:
    if post.files:
        return "file"
    payload = (post.metadata or {}).get("event_payload") or {}
    return str(payload.get("key", "?"))
