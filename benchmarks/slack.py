"""The Slack app against a simulated Slack: acknowledgements, from a click to a call, many incidents."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from benchmarks.playbooks import NAME, SHIPPED
from benchmarks.sandbox import LATENCY_MS, calls, fresh_world, post, sandbox
from flows.execution import open_incident
from flows.gameday.slack.limits import PER_MINUTE, Limits
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from flows.journal.journal import Journal
from flows.journal.record import Actor
from flows.slack.actions import APPROVE
from flows.slack.poster import Poster
from flows.slack.posting import web_client
from flows.slack.thread import messages
from runbooks.loader import load
from runbooks.playbook import Playbooks
from runbooks.targets.reference import TargetRef

CONCURRENT, ROUNDS, CLICKS = 50, 8, 3
INCIDENTS, CHANNELS = 200, 40
NAMES = ("ec2.protect", "ec2.snapshot", "elb.deregister", "ec2.isolate", "ec2.tag")
# Seconds between the steps of an incident, and for how long Slack's tiers are looked at.
_EVERY, _WINDOW = 2.0, 10.0
_UPDATES = 3
_PLENTY = 1e6
_READS = ("Describe", "Get", "List")
# ec2.protect and ec2.snapshot.
_BEFORE_THE_GATE = 2
_EXECUTOR = Actor("system", "clampdown", "executor")
_TARGET = TargetRef("ec2.instance", "123456789012", "eu-west-1", "i-0123456789abcdef0")
# What is left of the app where nothing is done but acknowledging.
_BARE = """
import asyncio, os, sys
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

given = {name[16:]: value for name, value in os.environ.items() if name[:16] == "CLAMPDOWN_SLACK_"}
client = AsyncWebClient(given["BOT_TOKEN"], base_url=given["API_URL"])
app = AsyncApp(client=client, signing_secret=given["SIGNING_SECRET"])

@app.command("/clampdown")
async def command(ack):
    await ack()

async def over_sockets():
    await AsyncSocketModeHandler(app, given["APP_TOKEN"]).start_async()

if "http" in sys.argv:
    app.server(int(given["PORT"]), "/slack/events", "127.0.0.1").start()
else:
    asyncio.run(over_sockets())
"""


def measure() -> dict[str, str]:
    """The app runs in a process of its own, and so does AWS; Slack is in this one."""
    return {**_acknowledgements(), **_clicks(), **_crowd(), **_crowd_under_tiers()}


# Acknowledgements


def _acknowledgements() -> dict[str, str]:
    """Of ``/clampdown help``, which is answered after it; the bare app does nothing after it."""
    figures: dict[str, str] = {}
    for http in (False, True):
        how = "HTTP" if http else "Socket Mode"
        with _office() as office, _bare_app(office, http=http):
            bare = _times(office)
        with _office() as office, _app(office, http=http):
            ours = _times(office)
        figures[f"command to ack, {CONCURRENT} at once, {how}: median / p99"] = (
            f"{_shown(ours)} (p99 at most 200 ms); "
            f"bare bolt app {_shown(bare)}, p99 {_late(ours) / _late(bare):.2f} of it"
        )
    return figures


def _times(office: Office) -> list[float]:
    times: list[float] = []
    for number in range(ROUNDS):
        command = "/clampdown help"
        acks = office.slack.at_once(
            *(partial(person.command, command, office.room) for person in office.people)
        )
        if failed := [ack.error for ack in acks if ack.error]:
            raise RuntimeError(f"not acknowledged: {failed}")
        # The first burst meets what is yet to be loaded.
        times += [ack.seconds for ack in acks if number]
    return times


def _late(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _shown(times: Sequence[float]) -> str:
    return f"{statistics.median(times) * 1_000:.0f} ms / {_late(times) * 1_000:.0f} ms"


# The app and its surroundings


@dataclass(frozen=True)
class Office:
    """A workspace without rate limits, everybody in one room, and a home for the app.

    ``simulate`` is the simulated AWS.
    """

    slack: SimulatedSlack
    people: list[Person]
    room: Channel
    home: Path
    simulate: str

    @property
    def journal(self) -> str:
        return f"sqlite:///{self.home / 'journal.db'}"


@contextmanager
def _office(simulate: str = "http://127.0.0.1:9") -> Iterator[Office]:
    with (
        SimulatedSlack(unlimited=True) as slack,
        tempfile.TemporaryDirectory(prefix="clampdown-") as home,
    ):
        people = [slack.person(f"person-{number}") for number in range(CONCURRENT)]
        room = slack.channel("incidents", *people)
        _playbooks(Path(home), slack, room, people)
        yield Office(slack, people, room, Path(home), simulate)


@contextmanager
def _app(office: Office, *, http: bool = False) -> Iterator[None]:
    """``clampdown slack``."""
    command = [sys.executable, "-m", "flows.cli", "slack", "--without-prefect", "--json"]
    with _running([*command, *(["--http"] if http else [])], office) as process:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        _connect(office.slack, process, json.loads(text)["address"])
        yield


@contextmanager
def _bare_app(office: Office, *, http: bool) -> Iterator[None]:
    port = _free_port()
    command = [sys.executable, "-c", _BARE, *(["http"] if http else [])]
    with _running(command, office, port) as process:
        address = f"http://127.0.0.1:{port}/slack/events" if http else ""
        _connect(office.slack, process, address)
        yield


@contextmanager
def _running(
    command: Sequence[str], office: Office, port: int = 0
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        env=_environment(office, port),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _environment(office: Office, port: int) -> Mapping[str, str]:
    installation = office.slack.installation
    return {
        **os.environ,
        "CLAMPDOWN_HOME": str(office.home),
        "CLAMPDOWN_JOURNAL": office.journal,
        "CLAMPDOWN_PLAYBOOKS": str(office.home / "playbooks.yaml"),
        "CLAMPDOWN_SIMULATE": office.simulate,
        "AWS_REGION": "eu-west-1",
        "CLAMPDOWN_SLACK_BOT_TOKEN": installation.bot_token,
        "CLAMPDOWN_SLACK_APP_TOKEN": installation.app_token,
        "CLAMPDOWN_SLACK_SIGNING_SECRET": installation.signing_secret,
        "CLAMPDOWN_SLACK_API_URL": office.slack.api_url,
        "CLAMPDOWN_SLACK_PORT": str(port),
    }


def _connect(slack: SimulatedSlack, process: subprocess.Popen[str], address: str) -> None:
    """Wait until the app is there for Slack: at its address, or over a WebSocket."""
    while not (slack.use_http(address) if address else slack.connections):
        if process.poll() is not None:
            raise RuntimeError(f"the app has ended with {process.returncode}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _playbooks(home: Path, slack: SimulatedSlack, room: Channel, people: list[Person]) -> Path:
    """The shipped playbooks, as this workspace's."""
    data: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    for group in data["approvers"].values():
        group["slack_team"] = slack.workspace.team.id
        group["slack_users"] = [person.id for person in people]
    data["slack"] = {"channel": room.id}
    data["guardrails"]["budgets"]["changes_per_account_per_hour"] = 100_000
    file = home / "playbooks.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return file


# From a click to a call


@dataclass(frozen=True)
class Click:
    """Seconds from a click on Approve until the decision was written down, until the first call
    that changes something was made, and until AWS has carried it out; and how many calls read
    before that what there is."""

    decided: float
    made: float
    carried_out: float
    reads: int


def _clicks() -> dict[str, str]:
    figures: dict[str, str] = {}
    with sandbox(0) as world:
        for latency in (0, LATENCY_MS):
            clicks = [_click(world["url"], latency) for _ in range(CLICKS)]
            decided, made, carried_out = (
                statistics.median(getattr(click, name) for click in clicks) * 1_000
                for name in ("decided", "made", "carried_out")
            )
            figures[f"click on Approve to the first change, {latency} ms a call"] = (
                f"made after {made:.0f} ms, carried out after {carried_out:.0f} ms (at most 500 ms): "
                f"decided after {decided:.0f} ms, then facts and plan anew by {clicks[0].reads} reads"
            )
    return figures


def _click(url: str, latency_ms: int) -> Click:
    """In a home of its own: the same target in the same journal would be the same incident."""
    victim = fresh_world(url)
    post(url, "config", {"latency_seconds": latency_ms / 1_000})
    with _office(url) as office, _app(office):
        slack, room = office.slack, office.room
        office.people[0].command(f"/clampdown contain {victim} {NAME}", room)
        asked = slack.until(
            lambda: next((m for m in slack.messages(room) if APPROVE in str(m.blocks)), None), 30
        )
        with closing(Journal.open(office.journal)) as journal:
            _wait_for(journal, "step.finished", _BEFORE_THE_GATE)
            before = len(calls(url))
            clicked = datetime.now(UTC)
            office.people[1].click(room, asked.ts, APPROVE)
            _wait_for(journal, "change.outcome", 1, since=clicked)
            decided, intended = (
                next(iter(journal.find(kind=kind, since=clicked)))
                for kind in ("gate.decided", "change.intent")
            )
        # Asked earlier, the simulated AWS would have had less time for the app.
        made = calls(url)[before:]
    first = next(n for n, call in enumerate(made) if not call["operation"].startswith(_READS))
    moments = (decided.at, intended.at, datetime.fromisoformat(made[first]["at"]))
    return Click(*((moment - clicked).total_seconds() for moment in moments), first)


def _wait_for(journal: Journal, kind: str, records: int, *, since: datetime | None = None) -> None:
    deadline = time.monotonic() + 30
    while len(list(journal.find(kind=kind, since=since))) < records:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {kind} came")
        time.sleep(0.05)


# Many incidents


def _crowd() -> dict[str, str]:
    """What is certain of Slack's limits: one message per second and channel."""
    limits = Limits(tiers=dict.fromkeys(PER_MINUTE, _PLENTY), workspace_per_minute=_PLENTY)
    with _newsroom(limits) as newsroom, _narrator() as narrator:
        written = narrator.submit(_narrate, newsroom.tale, NAMES, ends=True).result()
        steps, ends = newsroom.stale(written)
        wrong = newsroom.wrong()
        refused = newsroom.refused
    what = f"{INCIDENTS} incidents in {CHANNELS} channels, 1 message/s a channel"
    return {
        f"{what}: stalest, {len(NAMES)} steps each, one in {_EVERY:g} s": (
            f"{max(steps):.1f} s, median {statistics.median(steps):.1f} s (at most 5 s)"
        ),
        f"{what}: stalest, all ending at once": (
            f"{max(ends):.1f} s, median {statistics.median(ends):.1f} s (at most 5 s)"
        ),
        f"{what}: messages lost or wrong / 429": f"{wrong} / {refused} (0 lost)",
    }


def _crowd_under_tiers() -> dict[str, str]:
    """Slack promises a workspace 50 updates a minute and "tolerates" more, without a number. Here
    it tolerates none but a first minute's worth, and then, after a while, all."""
    tiers = dict(PER_MINUTE)
    with _newsroom(Limits(tiers=tiers)) as newsroom, _narrator() as narrator:
        narrating = narrator.submit(_narrate, newsroom.tale, NAMES[:2], ends=False)
        newsroom.slack.until(lambda: newsroom.refused, 60)
        time.sleep(_WINDOW)
        lifted = time.time()
        tiers.update(dict.fromkeys(tiers, _PLENTY))
        written = narrating.result()
        steps, _ = newsroom.stale(written, until=lifted)
        shown = newsroom.shown(NAMES[1], before=lifted)
        wrong, refused = newsroom.wrong(), newsroom.refused
    a_minute = PER_MINUTE[_UPDATES]
    what = f"{INCIDENTS} incidents, {a_minute:g} updates a minute in all"
    return {
        f"{what}: stalest, a step each at once": (
            f"{max(steps):.0f} s when that ended, {shown} of {INCIDENTS} shown "
            f"(no app can do better than {(INCIDENTS - a_minute) / a_minute * 60:.0f} s for all)"
        ),
        f"{what}: messages lost or wrong / 429": f"{wrong} / {refused} (0 lost)",
    }


@dataclass(frozen=True)
class Tale:
    """What another process needs to write incidents down and to tell of them."""

    api_url: str
    token: str
    journal: str
    playbooks: Path
    rooms: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A message as it was at a moment."""

    at: float
    message: tuple[str, str]
    blocks: str


class Newsroom:
    """A workspace in which the messages' changes are noted."""

    def __init__(self, slack: SimulatedSlack, home: Path) -> None:
        self.slack = slack
        self.rooms = [slack.channel(f"incidents-{number}") for number in range(CHANNELS)]
        file = _playbooks(home, slack, self.rooms[0], [])
        self.tale = Tale(
            slack.api_url,
            slack.installation.bot_token,
            f"sqlite:///{home / 'journal.db'}",
            file,
            tuple(room.id for room in self.rooms),
        )
        self._changes: list[Change] = []
        slack.workspace.watchers.append(self._note)

    def _note(self, channel: Channel, event: dict[str, Any]) -> None:
        message = event.get("message", event)
        place = (channel.id, str(message["ts"]))
        self._changes.append(Change(time.time(), place, str(message.get("blocks"))))

    @property
    def refused(self) -> int:
        return sum(call.status == 429 for call in self.slack.calls)

    def stale(
        self, written: Mapping[tuple[str, str], float], until: float = float("inf")
    ) -> tuple[list[float], list[float]]:
        """For how long each step was not to be seen, and for how long each thread was not as it
        should be after its incident's end. What is seen after ``until`` counts up to then."""
        posted = self._posted()
        last: dict[str, float] = {}
        first: dict[tuple[str, str], float] = {}
        for change in self._changes:
            incident, key = posted.get(change.message, ("", ""))
            last[incident] = change.at
            if key == "progress":
                for name in NAMES:
                    if name in change.blocks:
                        first.setdefault((incident, name), change.at)
        steps = [
            min(first[about], until) - at for about, at in written.items() if about[1] in NAMES
        ]
        ends = [last[incident] - at for (incident, what), at in written.items() if what == "end"]
        return steps, ends

    def shown(self, name: str, before: float) -> int:
        """In how many threads a step was to be seen before a moment."""
        posted = self._posted()
        seen = {
            posted[change.message][0]
            for change in self._changes
            if change.at < before
            and posted.get(change.message, ("", ""))[1] == "progress"
            and name in change.blocks
        }
        return len(seen)

    def wrong(self) -> int:
        """How many messages are not there, there twice, or not as the journal has them."""
        there: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for room in self.rooms:
            for message in self.slack.messages(room):
                payload = (message.metadata or {}).get("event_payload") or {}
                about = (payload.get("incident", ""), payload.get("key", ""))
                if message.files:
                    about = (message.files[0]["name"], "file")
                there.setdefault(about, []).append((message.text, _without_ids(message.blocks)))
        journal, playbooks = Journal.open(self.tale.journal), load(self.tale.playbooks)
        wrong = 0
        for incident in _incidents():
            for wanted in messages(journal.records(incident), playbooks, datetime.now(UTC)):
                about = (incident, wanted.key)
                blocks = self.slack.workspace.with_ids(wanted.blocks)
                found = there.get((wanted.file.name, "file") if wanted.file else about, [])
                if wanted.file is not None:
                    wrong += len(found) != 1
                else:
                    wrong += found != [(wanted.text, _without_ids(blocks))]
        journal.close()
        return wrong

    def _posted(self) -> dict[tuple[str, str], tuple[str, str]]:
        """What each message is: of which incident, and by which key."""
        journal = Journal.open(self.tale.journal)
        files = {
            file["id"]: (room.id, message.ts)
            for room in self.rooms
            for message in self.slack.messages(room)
            for file in message.files
        }
        found = {}
        for record in journal.find(kind="slack.posted"):
            ts = record.body["ts"]
            place = files.get(ts, (record.body["channel"], ts))
            found[place] = (record.incident, record.body["key"])
        journal.close()
        return found


def _without_ids(blocks: Sequence[Mapping[str, Any]]) -> str:
    bare = [{key: value for key, value in b.items() if key != "block_id"} for b in blocks]
    return json.dumps(bare, sort_keys=True)


@contextmanager
def _newsroom(limits: Limits) -> Iterator[Newsroom]:
    with (
        SimulatedSlack(limits=limits) as slack,
        tempfile.TemporaryDirectory(prefix="clampdown-") as home,
    ):
        yield Newsroom(slack, Path(home))


def _narrator() -> AbstractContextManager[ProcessPoolExecutor]:
    """A process of its own, as the app has one."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _narrate(tale: Tale, names: Sequence[str], *, ends: bool) -> dict[tuple[str, str], float]:
    """Write incidents down, a step of each after the other, and tell of them until all is told.

    Returns when what was written: each step after the first, and the end.
    """
    with closing(Journal.open(tale.journal)) as journal:
        return asyncio.run(_narrated(tale, journal, load(tale.playbooks), names, ends=ends))


async def _narrated(
    tale: Tale, journal: Journal, playbooks: Playbooks, names: Sequence[str], *, ends: bool
) -> dict[tuple[str, str], float]:
    poster = Poster(web_client(tale.api_url, tale.token), journal, playbooks)
    telling = asyncio.create_task(poster.run())
    written: dict[tuple[str, str], float] = {}

    def begin() -> None:
        for number, incident in enumerate(_incidents()):
            _open(journal, playbooks, incident, tale.rooms[number % CHANNELS])
            _step(journal, incident, names[0])

    def go_on(name: str) -> None:
        for incident in _incidents():
            written[incident, name] = time.time()
            _step(journal, incident, name)

    def end() -> None:
        for incident in _incidents():
            written[incident, "end"] = time.time()
            closed = {"status": "contained", "error": ""}
            journal.append(incident, "incident.closed", closed, _EXECUTOR)

    await asyncio.to_thread(begin)
    await _until_told(poster)
    for name in names[1:]:
        begun = time.monotonic()
        await asyncio.to_thread(go_on, name)
        await asyncio.sleep(max(0.0, _EVERY - (time.monotonic() - begun)))
    await _until_told(poster)
    if ends:
        await asyncio.to_thread(end)
        await _until_told(poster)
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling
    return written


async def _until_told(poster: Poster) -> None:
    quiet = 0
    while quiet < 10:
        await asyncio.sleep(0.1)
        quiet = quiet + 1 if poster.behind == 0 else 0


def _incidents() -> list[str]:
    return [f"inc-20260101-{number:06x}" for number in range(INCIDENTS)]


def _open(journal: Journal, playbooks: Playbooks, incident: str, room: str) -> None:
    open_incident(
        journal,
        incident,
        playbook_id=NAME,
        playbooks=playbooks,
        refs=[_TARGET],
        finding=None,
        requester=Actor("person", "local:rita", "cli"),
        simulate="http://127.0.0.1:9",
        reason="a benchmark",
        channel=room,
    )


def _step(journal: Journal, incident: str, name: str) -> None:
    begun = {"step": name, "name": name, "target": _TARGET.arn}
    journal.append(incident, "step.started", begun, _EXECUTOR)
    done = {**begun, "status": "done", "outputs": {}, "error": ""}
    journal.append(incident, "step.finished", done, _EXECUTOR)


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title}: {value}")
