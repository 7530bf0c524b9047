"""What people can have done from Slack: each for whoever Slack says they are, and told to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from slack_sdk.web.async_client import AsyncWebClient

from flows.approvals import Answer, GateState, groups_of
from flows.automatic import CHAIN as FREEZES
from flows.automatic import Automatic
from flows.conductor import Asked, Conductor
from flows.identity import Identity
from flows.incident import is_incident
from flows.intake.fetch import fetch_finding
from flows.intake.finding import Finding
from flows.slack.actions import FreezeValue, GateValue, TaskValue
from flows.slack.away import AWAY_KIND, CHAIN, Away, away_body, away_now
from flows.slack.budgets import Budgets, budgets
from flows.slack.commands import Contain, GameDay
from flows.slack.failures import FAILURES, OF_SLACK, reason
from flows.slack.freeze import Freeze, freezes
from flows.slack.home import MOST_TASKS, Tasks, home
from flows.slack.inbox import Inbox
from flows.slack.message import Block
from flows.slack.opening import opening, status
from flows.slack.people import People
from flows.slack.progress import progress
from flows.slack.text import code as code_span
from flows.slack.text import mention_user, safe
from flows.slack.told import Told
from runbooks.errors import ClampdownError, InvalidInput, Refused

if TYPE_CHECKING:
    from flows.slack.gamedays import GameDays

_LONGEST = 2_900
_MOST_BLOCKS = 50
_MOST_INCIDENTS = 10
_HOUR = timedelta(hours=1)
# How long opening an incident may take until it is said that it is still under way.
_OPENED_WITHIN = timedelta(seconds=60)
_LOG = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Caller:
    """Who sent something, as the request says, and where; who they are is asked of Slack."""

    user: str
    team: str
    channel: str = ""

    @classmethod
    def of(cls, body: dict[str, Any]) -> Caller:
        """From the body of a command, a click, a form, a shortcut or an event."""
        user = body.get("user")
        if isinstance(user, dict):
            identity = str(user.get("id", ""))
            team = str(user.get("team_id") or (body.get("team") or {}).get("id") or "")
        else:
            identity = str(body.get("user_id") or (body.get("event") or {}).get("user") or "")
            team = str(body.get("team_id") or "")
        container = body.get("container") or {}
        channel = (
            (body.get("channel") or {}).get("id")
            or body.get("channel_id")
            or container.get("channel_id")
            or ""
        )
        return cls(identity, team, str(channel))


class Desk:
    """Carries out what people ask for in Slack. Nothing here is quick: it comes after the ack.

    Whoever is refused is told so privately, and the refusal is in the journal.
    """

    def __init__(self, client: AsyncWebClient, people: People, conductor: Conductor) -> None:
        self.client = client
        self.people = people
        self.conductor = conductor
        self.playbooks = conductor.playbooks
        self.journal = conductor.journal
        self._inbox = Inbox(self.journal, self.playbooks)
        self._viewers: dict[str, Caller] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def region(self) -> str:
        """Where targets that are given by id are looked for."""
        return self.conductor.region

    def later(self, caller: Caller, work: Coroutine[Any, Any, None]) -> None:
        """Have something done after the acknowledgement; what goes wrong is told to the caller."""

        async def whole() -> None:
            try:
                await work
            except ClampdownError as error:
                await self.whisper(caller, str(error))
            except OF_SLACK as error:
                _LOG.warning("Slack took no answer to %s: %s", caller.user, reason(error))
                said = f"Slack did not take Clampdown's answer ({reason(error)}): try again."
                await self.whisper(caller, said)
            except Exception:
                _LOG.exception("Something asked for in Slack has failed")
                await self.whisper(caller, "Clampdown has failed at that; its log says more.")

        task = asyncio.create_task(whole())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Gates and tasks

    async def decide(
        self,
        caller: Caller,
        value: GateValue,
        answer: Answer,
        *,
        why: str = "",
        code: str = "",
        break_glass: bool = False,
        seen: str = "",
    ) -> None:
        """Decide a gate. ``seen`` is the SHA-256 of what was shown beside the button."""
        identity = await self.people.identify(caller.user, caller.team)
        responder = self.conductor.responder()
        gate = await self._work(
            lambda: responder.decide(
                value.incident,
                value.gate,
                identity,
                answer,
                why=why,
                nonce=value.nonce,
                seen=seen,
                break_glass=break_glass,
                code=code,
            )
        )
        self._go_on(caller, value.incident, identity, gate)
        verb = {"approve": "approved", "deny": "denied"}.get(answer, answer)
        still = f" It still needs {gate.needed}." if gate.status == "pending" else ""
        await self.whisper(caller, f"You {verb} {value.gate} of {value.incident}.{still}")
        await self.renew_homes()

    def _go_on(self, caller: Caller, incident: str, identity: Identity, gate: GateState) -> None:
        """A decision is for whoever carries the incident out; where nobody does, this process does."""
        if gate.status == "approved":
            self.conductor.go_on(incident, identity, self._told_from_a_thread(caller))

    async def report(self, caller: Caller, value: TaskValue, *, done: bool, note: str) -> None:
        """A task is done, or can't be."""
        identity = await self.people.identify(caller.user, caller.team)
        responder = self.conductor.responder()
        await self._work(
            lambda: responder.report_task(
                value.incident, value.task, identity, done=done, note=note
            )
        )
        await self.renew_homes()

    # Incidents

    async def contain(self, caller: Caller, wanted: Contain, finding: str = "") -> None:
        """Start a containment. ``finding`` is the ARN of the finding that it is about."""
        identity = await self._allowed(caller, f"contain {wanted.target}")
        about = await self._fetched(finding, wanted.simulate) if finding else None
        asked = Asked(
            self._playbook(wanted.playbook),
            wanted.target,
            wanted.reason or "asked for in Slack",
            wanted.simulate or self.conductor.always_simulates,
            about,
        )
        started = asyncio.wrap_future(self.conductor.start(asked, identity))
        async with asyncio.timeout(_OPENED_WITHIN.total_seconds()):
            incident = await started
        mark = "[SIMULATED] " if asked.simulate else ""
        channel = await self._work(lambda: self._channel_of(incident))
        where = f" It is told in <#{channel}>." if channel else ""
        await self.whisper(
            caller, f"{mark}{incident}: {asked.playbook} on {asked.target}.", more=where
        )

    async def go_on(self, caller: Caller, incident: str) -> None:
        """Start what was proposed, or go on with what has stopped."""
        identity = await self._allowed(caller, f"go on with {incident}")
        found = await self._work(lambda: self.conductor.responder().incident(incident))
        if found.status in ("contained", "undone", "aborted"):
            raise Refused(f"{incident} is {found.status}: there is nothing to go on with.")
        self.conductor.go_on(incident, identity, self._told_from_a_thread(caller))
        await self.whisper(caller, f"Going on with {incident}.")

    async def abort(self, caller: Caller, incident: str, why: str) -> None:
        """Have an incident stop now."""
        identity = await self._allowed(caller, f"stop {incident}")
        responder = self.conductor.responder()
        await self._work(lambda: responder.abort(incident, identity, why))
        await self.whisper(caller, f"{incident} is stopped. What was done stays done.")

    async def undo(self, caller: Caller, incident: str, step: str) -> None:
        """Take back what an incident changed."""
        identity = await self._allowed(caller, f"undo {incident}")
        undone = await asyncio.wrap_future(self.conductor.undo(incident, identity, step or None))
        said = f"{incident}: {undone.taken_back} changes taken back."
        if undone.failures:
            said += f" Not taken back: {'; '.join(undone.failures)}"
        await self.whisper(caller, said)

    # Freezes

    async def freeze(self, value: FreezeValue) -> Freeze:
        """A freeze that is in force. Raises InvalidInput where it is none, or no more."""
        found = next((one for one in await self._work(self._freezes) if one.seq == value.seq), None)
        if found is None:
            raise InvalidInput("There is no such freeze; nothing was done.")
        if found.lifted is not None:
            raise InvalidInput(
                f"{found.lifted.actor.id} has lifted this already; nothing was done."
            )
        return found

    async def lift_freeze(self, caller: Caller, why: str, value: FreezeValue | None = None) -> None:
        """Let incidents start automatically again, on the side of the freeze where one is given."""
        identity = await self.people.identify(caller.user, caller.team)
        side = (await self.freeze(value)).simulate if value else self.conductor.side
        automatic = Automatic(self.journal, side)
        try:
            await self._work(lambda: automatic.lift(identity, why, self.playbooks))
        except Refused as refused:
            what = "let incidents start automatically again"
            await self._record_refusal(identity, what, identity.objection or refused.what)
            raise
        await self.whisper(caller, "Incidents start automatically again.")
        await self.renew_homes()

    # Game days

    @cached_property
    def _game_days(self) -> GameDays:
        # Rarely asked for, and much to import.
        from flows.slack.gamedays import GameDays

        return GameDays(self.client, self.conductor.settings)

    async def list_game_days(self, caller: Caller) -> None:
        """Show one person the scenarios."""
        await self.require_member(caller)
        await self.show(caller, await self._game_days.listed(), [])

    async def run_game_day(self, caller: Caller, scenario: str) -> None:
        """Play a scenario in a simulation of its own, and post how it went where it was asked for."""
        await self._allowed(caller, f"run the game day {scenario}")
        await self._game_days.run(scenario, self._room(caller), mention_user(caller.user))

    async def report_game_day(self, caller: Caller, drill: str) -> None:
        """Post how a drill went where it was asked for."""
        await self._allowed(caller, "report a drill")
        await self._game_days.report(self._room(caller), drill=drill)

    async def schedule_game_day(self, caller: Caller, wanted: GameDay) -> None:
        """Have a scenario played again and again, or no more, or see what is scheduled."""
        if wanted.name:
            await self._allowed(caller, f"{wanted.does} {wanted.name}")
        else:
            await self.require_member(caller)
        await self.show(caller, await self._game_days.schedule(wanted), [])

    # Looking

    async def show_status(self, caller: Caller, incident: str) -> None:
        """Show one person how an incident stands; the newest one where none is named."""
        await self.require_member(caller)
        told = await self.told(incident or await self._work(self._newest))
        message = opening(told)
        begun = progress(told)
        blocks = [*message.blocks, *(begun[1].blocks if begun else ())]
        await self.show(caller, message.text, blocks)

    async def list_incidents(self, caller: Caller) -> None:
        """Show one person the newest incidents."""
        await self.require_member(caller)
        newest = await self._work(self._newest_incidents)
        lines = [
            f"{code_span(told.id, 60)} {told.mark} {code_span(told.incident.playbook, 60)} on "
            f"{safe(told.short_targets(), 60)}, {status(told)}"
            for told in newest
        ]
        await self.show(caller, "\n".join(lines) or "There are no incidents.", [])

    async def require_member(self, caller: Caller) -> None:
        """Raise Refused where somebody may not even look: guests, strangers, bots."""
        identity = await self.people.identify(caller.user, caller.team)
        if identity.objection:
            raise Refused(f"{identity.principal} may not look at incidents: {identity.objection}.")

    async def told(self, incident: str) -> Told:
        """An incident as its thread tells it. Raises InvalidInput where there is none."""
        return await self._work(lambda: self._told(incident))

    # Home

    async def show_home(self, caller: Caller) -> None:
        """Publish somebody's App Home."""
        identity = await self.people.identify(caller.user, caller.team)
        self._viewers[caller.user] = caller
        view = await self._work(lambda: self._home(identity))
        await self.client.views_publish(user_id=caller.user, view=view)

    async def renew_homes(self) -> None:
        """Publish the Homes that people have opened again: something has changed."""
        for caller in list(self._viewers.values()):
            try:
                await self.show_home(caller)
            except (ClampdownError, *FAILURES):
                self._viewers.pop(caller.user, None)

    async def set_away(self, caller: Caller, choice: str) -> None:
        """Somebody is away for a while, or back: their deputies are asked meanwhile."""
        identity = await self.people.identify(caller.user, caller.team)
        if not groups_of(identity, self.playbooks.approvers):
            raise Refused("You are in no group that decides: nobody would ask you.")
        body = away_body(caller.user, choice, datetime.now(UTC))
        await self._work(lambda: self.journal.append(CHAIN, AWAY_KIND, body, identity.actor))
        await self.renew_homes()

    # Telling

    async def whisper(self, caller: Caller, text: str, *, more: str = "") -> None:
        """Tell one person something where they are, or else directly. Raises nothing."""
        said = safe(text, _LONGEST) + more
        # Nobody knows themselves by their id.
        said = said.replace(f"slack:{caller.team}/{caller.user}", mention_user(caller.user))
        try:
            await self.client.chat_postEphemeral(
                channel=caller.channel or caller.user, user=caller.user, text=said
            )
        except FAILURES:
            try:
                opened = await self.client.conversations_open(users=caller.user)
                await self.client.chat_postMessage(
                    channel=opened["channel"]["id"], text=said, unfurl_links=False
                )
            except FAILURES as error:
                _LOG.warning("Slack took no answer to %s: %s", caller.user, reason(error))

    async def show(self, caller: Caller, text: str, blocks: list[Block]) -> None:
        """Show one person what is ready to be shown, where they are, or else directly."""
        shown: dict[str, Any] = {"text": text[:_LONGEST], "blocks": blocks[:_MOST_BLOCKS] or None}
        try:
            await self.client.chat_postEphemeral(
                channel=caller.channel or caller.user, user=caller.user, **shown
            )
        except FAILURES:
            opened = await self.client.conversations_open(users=caller.user)
            channel = opened["channel"]["id"]
            await self.client.chat_postMessage(channel=channel, unfurl_links=False, **shown)

    def _told_from_a_thread(self, caller: Caller) -> Callable[[ClampdownError], None]:
        loop = asyncio.get_running_loop()

        def tell(error: ClampdownError) -> None:
            asyncio.run_coroutine_threadsafe(self.whisper(caller, str(error)), loop)

        return tell

    # Inside

    def _room(self, caller: Caller) -> str:
        places = self.playbooks.slack
        return caller.channel or (places.channel if places else caller.user)

    async def _allowed(self, caller: Caller, what: str) -> Identity:
        """Who asks, if they may. Raises Refused, which is recorded, and IdentityUnknown."""
        identity = await self.people.identify(caller.user, caller.team)
        places = self.playbooks.slack
        groups = groups_of(identity, self.playbooks.approvers)
        triggers = (places.triggers if places else ()) or tuple(self.playbooks.approvers)
        if set(groups) & set(triggers):
            return identity
        why = identity.objection or f"not in {', '.join(triggers) or 'any group'}"
        await self._record_refusal(identity, what, why)
        raise Refused(
            f"{identity.principal} can't {what}: {why}. Nothing was done.",
            advice="playbooks.yaml lists who may: `approvers`, and `slack: {triggers: …}`.",
        )

    async def _record_refusal(self, identity: Identity, what: str, why: str) -> None:
        body = {"what": what, "why": why}
        await self._work(lambda: self.journal.append(CHAIN, "slack.refused", body, identity.actor))

    def _playbook(self, name: str) -> str:
        if name:
            return name
        known = list(self.playbooks.playbooks)
        if len(known) == 1:
            return known[0]
        raise InvalidInput(
            "Which playbook?", advice=f"There are: {', '.join(known)}. Nothing was done."
        )

    async def _fetched(self, arn: str, simulate: bool) -> Finding:
        def fetch() -> Finding:
            connections = self.conductor.responder(simulate=simulate).connections("clampdown")
            try:
                return fetch_finding(arn, connections)
            finally:
                connections.close()

        return await self._work(fetch)

    def _channel_of(self, incident: str) -> str:
        return str(self.conductor.responder().incident(incident).opened.get("channel") or "")

    def _told(self, incident: str) -> Told:
        records = self.journal.records(incident)
        if not is_incident(incident) or not records:
            raise InvalidInput(f"There is no incident {incident[:40]!r}.")
        return Told(records, self.playbooks, datetime.now(UTC), self._away())

    def _newest(self) -> str:
        newest = self._newest_first()
        if not newest:
            raise InvalidInput("There are no incidents.")
        return newest[0]

    def _newest_incidents(self) -> list[Told]:
        return [self._told(incident) for incident in self._newest_first()[:_MOST_INCIDENTS]]

    def _newest_first(self) -> list[str]:
        return self.journal.chains_with("incident.opened")[::-1]

    def _freezes(self) -> list[Freeze]:
        return freezes(self.journal.records(FREEZES))

    def _home(self, identity: Identity) -> Block:
        away = self._away()
        incidents = self._inbox.incidents(datetime.now(UTC), away)
        tasks = self._inbox.tasks(groups_of(identity, self.playbooks.approvers))
        return home(
            identity,
            incidents,
            self.playbooks,
            self._budgets(),
            away,
            Tasks(len(tasks), [(self._told(name), task) for name, task in tasks[:MOST_TASKS]]),
            self._freeze_here(),
            shadow=self.conductor.settings.shadow,
        )

    def _freeze_here(self) -> Freeze | None:
        """The freeze of the side on which this process acts, while it is in force."""
        here = [one for one in self._freezes() if one.simulate == self.conductor.side]
        return here[-1] if here and here[-1].lifted is None else None

    def _budgets(self) -> Budgets:
        since = datetime.now(UTC) - _HOUR
        return budgets(
            self.playbooks,
            self.journal.find(kind="change.intent", since=since),
            Automatic(self.journal, self.conductor.side).started(),
            self.conductor.side,
        )

    def _away(self) -> Away:
        return away_now(self.journal.records(CHAIN), datetime.now(UTC))

    async def _work(self, work: Callable[[], ResultT]) -> ResultT:
        """Do what blocks in a thread."""
        return await asyncio.to_thread(work)
