"""An office: people in a simulated Slack, and the real app, running against a simulated AWS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pydantic import SecretStr

from flows.gameday.slack.delivery import Ack
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel, Message
from flows.gameday.slack.server import SimulatedSlack
from flows.gameday.slack.views import View
from flows.incident import Incident
from flows.journal.record import Record
from flows.settings import Settings
from flows.slack.service import SlackService, slack_service
from flows.slack.settings import SlackSettings
from runbooks.loader import load
from tests.flows.scene import Scene

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
TASK = '- manual: {id: tell-legal, text: "Tell Legal", by: oncall}'


def gate(**settings: Any) -> str:
    """A gate named ``contain`` of a playbook, by ``oncall`` unless it says otherwise."""
    given = {"by": "oncall", **settings} if "any_of" not in settings else settings
    text = ", ".join(f"{key}: {value}" for key, value in given.items())
    return f"- approve: {{id: contain, {text}}}"


class Office:
    """Rita asks for things; Alice and Bob are on call, Carol is a lead, Mallory is a member.

    ``slack`` is the workspace, ``room`` the channel where incidents are told.
    """

    def __init__(self, scene: Scene, slack: SimulatedSlack) -> None:
        self.scene = scene
        self.slack = slack
        people = [slack.person(name) for name in ("rita", "alice", "bob", "carol", "mallory")]
        self.rita, self.alice, self.bob, self.carol, self.mallory = people
        self.room = slack.channel("incidents", *people)
        self.services: list[Running] = []
        self.write(ONE, gate(), TWO)

    def write(
        self,
        *steps: str,
        slack: str = "",
        oncall: str = "",
        leads: str = "",
        more: str = "",
    ) -> None:
        """A playbook file with these steps. ``slack`` is more of that mapping; ``oncall`` and
        ``leads`` say who is in those groups."""
        team = self.slack.workspace.team.id
        leads = leads or f"slack_users: [{self.carol.id}]"
        oncall = oncall or f"slack_users: [{self.rita.id}, {self.alice.id}, {self.bob.id}]"
        self.scene.head = (
            "version: 1\n"
            'accounts: {"123456789012": {name: sandbox, environment: production}}\n'
            "approvers:\n"
            f"  oncall: {{slack_team: {team}, local_users: [alice], {oncall}}}\n"
            f"  leads: {{slack_team: {team}, {leads}}}\n"
            f"slack: {{channel: {self.room.id}{slack and f', {slack}'}}}\n"
        )
        self.scene.write("\n".join(steps), more=more)

    # The app

    def open(self, *, http: bool = False, **settings: Any) -> Running:
        """Start the app in a thread of its own, as a process would."""
        made = Settings(
            **{
                "home": self.scene.home,
                "playbooks": self.scene.file,
                "simulate": self.scene.aws.url,
                "region": self.scene.world.region,
                **{key: value for key, value in settings.items() if key in Settings.model_fields},
            }
        )
        installation = self.slack.installation
        tokens = SlackSettings(
            bot_token=SecretStr(installation.bot_token),
            app_token=SecretStr(installation.app_token),
            signing_secret=SecretStr(installation.signing_secret),
            api_url=self.slack.api_url,
            simulate=settings.get("beside", ""),
            port=0,
        )
        running = Running(made, tokens, self.scene, http=http)
        self.services.append(running)
        if http:
            assert self.slack.use_http(running.service.address)
        return running

    def close(self) -> None:
        for service in self.services:
            service.stop()

    # What people see

    def until(self, check: Callable[[], Any], within: float = 10.0) -> Any:
        """What ``check`` gives as soon as that is true. Raises TimeoutError."""
        return self.slack.until(check, within)

    def posts(self, channel: Channel | None = None) -> list[Message]:
        return self.slack.messages(channel or self.room)

    def post(self, *words: str, channel: Channel | None = None) -> Message:
        """The newest post that has all of these words in it, as soon as there is one."""

        def find() -> Message | None:
            found = [post for post in self.posts(channel) if _has(post, words)]
            return found[-1] if found else None

        found: Message = self.until(find)
        return found

    def shows(self, post: Message, *words: str, channel: Channel | None = None) -> Message:
        """A post as it is now, as soon as all of these words are in it."""

        def find() -> Message | None:
            now = next((one for one in self.posts(channel) if one.ts == post.ts), None)
            return now if now and _has(now, words) else None

        found: Message = self.until(find)
        return found

    def said_to(self, person: Person, *words: str) -> str:
        """What was told to one person alone and has all of these words in it."""

        def find() -> str | None:
            for said in self.whispers(person):
                if all(word in said for word in words):
                    return said
            return None

        found: str = self.until(find)
        return found

    def whispers(self, person: Person) -> list[str]:
        """Everything that was told to one person alone."""
        told = [*person.ephemerals(), *person.direct_messages()]
        return [f"{post.text} {post.blocks}" for post in told]

    # Incidents

    def incidents(self) -> list[Incident]:
        return self.scene.responder().incidents()

    def incident(self) -> Incident:
        """The only one, as soon as there is one."""
        found: list[Incident] = self.until(self.incidents)
        assert len(found) == 1
        return found[0]

    def status(self, status: str) -> Incident:
        """The incident as soon as it is in this status."""
        found: Incident = self.until(
            lambda: next((item for item in self.incidents() if item.status == status), None)
        )
        return found

    def records(self, kind: str) -> list[Record]:
        """All records of a kind, whichever chain they are in."""
        return list(self.scene.responder().journal.find(kind=kind))

    def modal(self, person: Person, *words: str) -> View:
        """The modal before somebody that has all of these words in it."""

        def find() -> View | None:
            view = person.modal
            return view if view and all(word in str(view.given) for word in words) else None

        found: View = self.until(find)
        return found

    def click(self, person: Person, post: Message, action: str) -> Ack:
        """Click a button of a post; as it is now, or as it was when the person last looked."""
        now = post.ts in {known.ts for known in self.posts() if known.blocks == post.blocks}
        return person.click(self.room, post.ts, action, seen=None if now else post)

    def contain(self) -> Message:
        """Rita has the victim contained; the post that asks for an approval."""
        assert self.rita.command(f"/clampdown contain {self.scene.world.victim}", self.room).ok
        return self.post("“contain”", "Approve")


class Running:
    """The app in a thread of its own with its own loop."""

    def __init__(
        self, settings: Settings, tokens: SlackSettings, scene: Scene, *, http: bool
    ) -> None:
        self._started: Future[SlackService] = Future()
        self._loop = asyncio.new_event_loop()
        self._enough = asyncio.Event()

        async def run() -> None:
            try:
                async with slack_service(
                    settings, tokens, load(scene.file), http=http, prefect=False
                ) as service:
                    self._started.set_result(service)
                    await self._enough.wait()
            except BaseException as error:
                if self._started.done():
                    raise
                self._started.set_exception(error)

        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(run()), name="slack app", daemon=True
        )
        self._thread.start()
        self.service = self._started.result(20)

    def stop(self) -> None:
        """As SIGTERM does. Does nothing where it has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._enough.set)
            self._thread.join(30)


def _has(post: Message, words: tuple[str, ...]) -> bool:
    whole = f"{post.text} {post.blocks}"
    return all(word in whole for word in words)
