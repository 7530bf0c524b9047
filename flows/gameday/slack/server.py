"""A simulated Slack behind HTTP and WebSockets on this machine: the one way in for its users."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from starlette.applications import Starlette

from flows.gameday.slack import page as html
from flows.gameday.slack import payloads, terminal
from flows.gameday.slack.app import App, Installation
from flows.gameday.slack.delivery import ACK_SECONDS, RETRY_SECONDS, Ack, Delivery, Kind, Urls
from flows.gameday.slack.door import Door, Server
from flows.gameday.slack.faults import Fault, Faults
from flows.gameday.slack.hooks import Hooks
from flows.gameday.slack.limits import Limits
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel, Message, Team, User, UserGroup
from flows.gameday.slack.socket_mode import SocketMode
from flows.gameday.slack.views import Views
from flows.gameday.slack.web_api import Call, WebApi
from flows.gameday.slack.workspace import Workspace

_HOST = "127.0.0.1"
_SUBSCRIPTIONS = {"channel": "message.channels", "group": "message.groups", "im": "message.im"}
_Result = TypeVar("_Result")


class SimulatedSlack:
    """One workspace with one app in it, as Slack behaves towards that app.

    ``port`` 0 takes a free one; it listens on 127.0.0.1 and nowhere else. ``app`` is how the app is
    set up; it uses Socket Mode until :meth:`use_http`. ``limits`` are Slack's rate limits unless
    others are given; ``unlimited`` is without any. All ids follow from the ``seed``.
    ``enterprise`` puts the workspace into an organisation. Use it as a context manager, or with
    :meth:`start` and :meth:`stop`.
    """

    def __init__(
        self,
        app: App | None = None,
        *,
        port: int = 0,
        seed: int = 0,
        enterprise: bool = False,
        limits: Limits | None = None,
        unlimited: bool = False,
        trigger_seconds: float = 3.0,
        ack_seconds: float = ACK_SECONDS,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
        warning_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.workspace = Workspace(app or App(), seed, enterprise=enterprise, clock=clock)
        self.views = Views(self.workspace, trigger_seconds)
        self.hooks = Hooks(self.workspace)
        self.limits = None if unlimited else (limits or Limits())
        self._faults = Faults()
        self._door = Door()
        self._api = WebApi(self.workspace, self.views, self._faults, self.limits)
        self._sockets = SocketMode(self.workspace, warning_seconds)
        self._delivery = Delivery(
            self.workspace, self._sockets, ack_seconds=ack_seconds, retry_seconds=retry_seconds
        )
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self.workspace.watchers.append(self._message_happened)

    def start(self) -> SimulatedSlack:
        """Start answering. Raises OSError where the port is taken."""
        listening = socket.create_server((_HOST, self._port))
        self.workspace.url = f"http://{_HOST}:{listening.getsockname()[1]}"
        routes = [*self._api.routes(), *self._sockets.routes(), *self.hooks.routes()]
        self._server = Server(Starlette(routes=routes), self._door)
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening, started)),
            name="simulated-slack",
            daemon=True,
        )
        self._thread.start()
        started.wait()
        return self

    def stop(self) -> None:
        """Stop answering. Does nothing where it isn't running."""
        if self._thread is None or self._server is None:
            return
        self._run(self._end(self._server))
        self._thread.join()
        self._thread = self._loop = None

    def __enter__(self) -> SimulatedSlack:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self.workspace.url

    @property
    def api_url(self) -> str:
        """The base address of the Web API, as SDKs want it."""
        return f"{self.url}/api/"

    @property
    def installation(self) -> Installation:
        """The app's ids, tokens and signing secret."""
        return self.workspace.installation

    @property
    def calls(self) -> list[Call]:
        """Every call of the Web API so far."""
        with self.workspace.changed:
            return list(self._api.calls)

    @property
    def acks(self) -> list[Ack]:
        """Every answer of the app so far, to events too."""
        with self.workspace.changed:
            return list(self._delivery.acks)

    @property
    def connections(self) -> int:
        """How many WebSockets the app has open."""
        return self._sockets.connections

    def person(
        self, name: str, *, real_name: str = "", team: Team | None = None, **flags: bool
    ) -> Person:
        """A new person: ``is_bot``, ``is_restricted``, ``is_ultra_restricted``, ``is_stranger``,
        ``deleted``, ``is_admin``. Who is of another ``team`` is a stranger."""
        workspace = self.workspace
        if team is not None and team.id != workspace.team.id:
            flags.setdefault("is_stranger", True)
        with workspace.changing():
            kind = "W" if workspace.team.enterprise_id else "U"
            user = User(
                workspace.ids.new(kind),
                name,
                real_name or name.replace("-", " ").title(),
                team or workspace.team,
            )
            workspace.users[user.id] = user
        made = Person(self, user)
        made.become(**flags)
        return made

    def other_team(self, name: str, *, enterprise: bool = False) -> Team:
        """Another organisation, for people of Slack Connect."""
        ids = self.workspace.ids
        domain = name.lower().replace(" ", "-")
        return Team(ids.new("T"), name, domain, ids.new("E") if enterprise else "", name)

    def group(self, handle: str, *members: Person) -> UserGroup:
        """A new user group."""
        workspace = self.workspace
        with workspace.changing():
            group = UserGroup(
                workspace.ids.new("S"),
                handle,
                handle.replace("-", " ").title(),
                workspace.team,
                [person.id for person in members],
                created=int(workspace.clock()),
            )
            workspace.groups[group.id] = group
        return group

    def channel(
        self, name: str, *members: Person, private: bool = False, with_app: bool = True
    ) -> Channel:
        """A new channel. It is shared with the organisations of those members who are of others."""
        workspace = self.workspace
        with workspace.changing():
            teams = {person.user.team.id: person.user.team for person in members}
            teams.pop(workspace.team.id, None)
            channel = Channel(
                workspace.ids.new("C"),
                name,
                workspace.team,
                private=private,
                members={person.id for person in members}
                | ({workspace.bot_user} if with_app else set()),
                shared_with=tuple(teams.values()),
                creator=members[0].id if members else "",
                created=int(workspace.clock()),
            )
            workspace.channels[channel.id] = channel
        return channel

    def archive(self, channel: Channel) -> None:
        with self.workspace.changing():
            channel.archived = True

    def messages(self, channel: Channel) -> list[Message]:
        """Every message of a channel, replies too, in order. They don't change afterwards."""
        with self.workspace.changed:
            return list(channel.messages.values())

    def until(self, check: Callable[[], Any], within: float = 5.0) -> Any:
        """What ``check`` gives as soon as that is true. It must only look, and wait for nothing.

        Raises TimeoutError.
        """
        return self.workspace.until(check, within)

    def fault(self, rule: Fault) -> None:
        """Have calls of the Web API that match meet this fault, until :meth:`clear_faults`."""
        self._faults.add(rule)

    def clear_faults(self) -> None:
        self._faults.clear()

    def down(self) -> None:
        """Be unreachable: every connection is cut, and new ones too, until :meth:`up`."""
        self._run(self._cut(close=True))

    def up(self) -> None:
        self._door.closed = False

    def use_http(self, commands: str, interactivity: str = "", events: str = "") -> bool:
        """Send requests to these addresses; give whether the one for events passed Slack's check.

        Addresses that are left out are the same as that for commands.
        """
        urls = self._delivery.urls
        urls.commands, urls.interactivity = commands, interactivity or commands
        urls.events = events or commands
        return self._run(self._delivery.verify(urls.events))

    def use_socket_mode(self) -> None:
        """Send everything over the app's WebSockets again."""
        self._delivery.urls = Urls()

    def renew_sockets(self, *, warn: bool = True) -> None:
        """Renew all WebSockets as Slack does now and then; returns once the old ones are closed."""
        self._run(self._sockets.renew(warn=warn))

    def cut_sockets(self) -> None:
        """Cut all connections, without a word."""
        self._run(self._cut(close=False))

    def replay(self, ack: Ack) -> Ack:
        """Send the app once more, to the byte, what it has answered with this ``ack``."""
        if ack.request is None:
            raise ValueError("Nothing was sent for this answer.")
        return self._run(self._delivery.send(ack.request))

    def at_once(self, *doings: Callable[[], _Result]) -> list[_Result]:
        """Do all of this at the same moment, each in a thread of its own; give the results."""
        together = threading.Barrier(len(doings))

        def doing(each: Callable[[], _Result]) -> _Result:
            together.wait()
            return each()

        with ThreadPoolExecutor(len(doings)) as threads:
            return list(threads.map(doing, doings))

    def deliver(self, kind: Kind, payload: Mapping[str, Any], *, accepts_response: bool) -> Ack:
        """Tell the app what somebody did, and wait for its answer."""
        if self._door.closed:
            return Ack(0, None, 0.0, "slack_is_down")
        return self._run(self._delivery.deliver(kind, payload, accepts_response=accepts_response))

    def deliver_event(self, event: Mapping[str, Any], channel: Channel | None = None) -> Ack:
        """Tell the app of an event, and wait for its answer; where it has not subscribed to such
        events, nothing is sent."""
        if self._door.closed:
            return Ack(0, None, 0.0, "slack_is_down")
        if event["type"] not in self.workspace.app.events:
            return Ack(0, None, 0.0, "not_subscribed", attempts=0)
        payload = payloads.event_callback(self.workspace, event, channel)
        return self._run(self._delivery.deliver_event(payload))

    def page(self, *, title: str = "", now: datetime | None = None) -> str:
        """The workspace as an HTML page."""
        return html.page(self.workspace, self.views, title=title, now=now)

    def text(self, *, width: int = terminal.WIDTH, now: datetime | None = None) -> str:
        """The workspace as plain text."""
        return terminal.as_text(self.workspace, self.views, width=width, now=now)

    async def _serve(self, listening: socket.socket, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        started.set()
        assert self._server is not None
        await self._server.serve(sockets=[listening])

    async def _end(self, server: Server) -> None:
        for task in list(self._background):
            task.cancel()
        await self._sockets.close()
        await self._delivery.close()
        server.over.set()

    def _message_happened(self, channel: Channel, message: dict[str, Any]) -> None:
        """Tell the app of a message, where it is in the channel and has subscribed to such."""
        workspace = self.workspace
        if workspace.bot_user not in channel.members or self._loop is None:
            return
        event = payloads.message_event(channel, message)
        if _SUBSCRIPTIONS[channel.kind] in workspace.app.events:
            self._tell(event, channel)
        mention = f"<@{workspace.bot_user}>"
        if "app_mention" in workspace.app.events and mention in str(message.get("text")):
            self._tell({**event, "type": "app_mention"}, channel)

    def _tell(self, event: Mapping[str, Any], channel: Channel) -> None:
        payload = payloads.event_callback(self.workspace, event, channel)

        def begin() -> None:
            task = asyncio.ensure_future(self._delivery.deliver_event(payload))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

        # Not waited for: this may be the loop's own thread, and the workspace is held still.
        assert self._loop is not None
        self._loop.call_soon_threadsafe(begin)

    async def _cut(self, *, close: bool) -> None:
        self._door.closed = self._door.closed or close
        self._door.cut_all()

    def _run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        assert self._loop is not None, "The simulated Slack is not running."
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
