"""The bolt app: what Slack sends is acknowledged at once, and handled after that."""

from __future__ import annotations

import logging
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from flows.slack import actions, modals, pages
from flows.slack.actions import FreezeValue, GateValue, PageValue, TaskValue
from flows.slack.commands import (
    USAGE,
    Contain,
    Drill,
    GameDay,
    Help,
    LiftFreeze,
    ListIncidents,
    OpenForm,
    ShowStatus,
    UndoIncident,
    parse,
)
from flows.slack.desk import Caller, Desk
from flows.slack.message import Block
from flows.slack.pick import Picked, pick
from runbooks.calls import sha256
from runbooks.errors import InvalidInput, Refused
from runbooks.targets.reference import instance_reference

COMMAND = "/clampdown"
FROM_MESSAGE = "contain_from_message"
ANYWHERE = "contain"
_ARN_OF_FINDING = ":guardduty:"
_LOG = logging.getLogger(__name__)

Body = dict[str, Any]


def build_app(desk: Desk, *, signing_secret: str | None, bot_token: str) -> AsyncApp:
    """The app with all of its listeners. ``signing_secret`` is None in Socket Mode, where the
    connection itself proves that it is Slack's."""

    async def authorize(enterprise_id: str, team_id: str, user_id: str) -> AuthorizeResult:
        # Left to bolt, the first acknowledgement would wait for Slack's answer to auth.test.
        return AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, user_id=user_id, bot_token=bot_token
        )

    app = AsyncApp(
        client=AsyncWebClient(base_url=desk.client.base_url),
        authorize=authorize,
        signing_secret=signing_secret or "socket mode",
        request_verification_enabled=signing_secret is not None,
        logger=_LOG,
    )
    _commands(app, desk)
    _gates(app, desk)
    _tasks(app, desk)
    _incidents(app, desk)
    _freezes(app, desk)
    _reading(app, desk)
    _home(app, desk)
    return app


# Asking for things


def _commands(app: AsyncApp, desk: Desk) -> None:
    @app.command(COMMAND)
    async def command(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _obey(desk, caller, str(body.get("text") or ""), body["trigger_id"]))

    @app.shortcut(FROM_MESSAGE)
    async def from_message(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller, picked = Caller.of(body), pick(body.get("message") or {})
        desk.later(caller, _open_form(desk, caller, body["trigger_id"], picked=picked))

    @app.shortcut(ANYWHERE)
    async def anywhere(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _open_form(desk, caller, body["trigger_id"]))

    @app.view(actions.TRIGGER)
    async def triggered(ack: AsyncAck, body: Body) -> None:
        wanted = modals.read_trigger(body["view"])
        try:
            instance_reference(wanted.target, account="0" * 12, region=desk.region)
        except InvalidInput as error:
            errors = {modals.TARGET: str(error)[:150]}
            await ack(response_action="errors", errors=errors)
            return
        await ack()
        channel, _, finding = str(body["view"].get("private_metadata") or "").partition(" ")
        sender = Caller.of(body)
        caller = Caller(sender.user, sender.team, channel)
        desk.later(caller, desk.contain(caller, wanted, finding))


async def _obey(desk: Desk, caller: Caller, text: str, trigger: str) -> None:
    match parse(text):
        case OpenForm():
            await _open_form(desk, caller, trigger)
        case Drill():
            if not (desk.conductor.offers_simulation or desk.conductor.always_simulates):
                raise Refused(
                    "There is no simulated AWS here to rehearse in.",
                    advice="`clampdown sandbox` starts one; CLAMPDOWN_SLACK_SIMULATE names it.",
                )
            await _open_form(desk, caller, trigger, Contain("", reason="DRILL", simulate=True))
        case Contain() as wanted:
            await desk.contain(caller, wanted)
        case ShowStatus(incident):
            await desk.show_status(caller, incident)
        case ListIncidents():
            await desk.list_incidents(caller)
        case UndoIncident(incident, step):
            told = await desk.told(incident)
            await desk.client.views_open(trigger_id=trigger, view=modals.undo(told.incident, step))
        case LiftFreeze(why):
            await desk.lift_freeze(caller, why)
        case GameDay("run", scenario):
            await desk.run_game_day(caller, scenario)
        case GameDay("report", drill):
            await desk.report_game_day(caller, drill)
        case GameDay("schedule" | "unschedule") as wanted:
            await desk.schedule_game_day(caller, wanted)
        case GameDay():
            await desk.list_game_days(caller)
        case Help():
            await desk.whisper(caller, "Clampdown contains compromised instances.", more=_usage())


def _usage() -> str:
    return f"\n```{USAGE}```"


async def _open_form(
    desk: Desk,
    caller: Caller,
    trigger: str,
    asked: Contain | None = None,
    *,
    picked: Picked | None = None,
) -> None:
    arns = [text for text in (picked.findings if picked else ()) if _ARN_OF_FINDING in text]
    view = modals.trigger(
        desk.playbooks,
        offers_simulation=desk.conductor.offers_simulation,
        always_simulates=desk.conductor.always_simulates,
        asked=asked,
        picked=picked,
        metadata=f"{caller.channel} {arns[0] if arns else ''}".rstrip(),
    )
    await desk.client.views_open(trigger_id=trigger, view=view)


# Deciding


def _gates(app: AsyncApp, desk: Desk) -> None:
    @app.action(actions.APPROVE)
    async def approve(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _approve(desk, caller, body))

    @app.action(actions.REVIEW)
    async def review(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _approve(desk, caller, body))

    @app.action(actions.DENY)
    async def deny(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _ask_about_gate(desk, body, modals.deny))

    @app.action(actions.BREAK_GLASS)
    async def break_glass(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _ask_about_gate(desk, body, modals.break_glass))

    @app.view(actions.DENY)
    async def denied(ack: AsyncAck, body: Body) -> None:
        if await _needs_a_reason(ack, body):
            return
        caller, view = Caller.of(body), body["view"]
        why, code = modals.read_why(view), modals.read_code(view)
        value = GateValue.read(view["private_metadata"])
        seen = sha256(view["blocks"])
        desk.later(caller, desk.decide(caller, value, "deny", why=why, code=code, seen=seen))

    @app.view(actions.BREAK_GLASS)
    async def glass_broken(ack: AsyncAck, body: Body) -> None:
        if await _needs_a_reason(ack, body):
            return
        caller, view = Caller.of(body), body["view"]
        desk.later(
            caller,
            desk.decide(
                caller,
                GateValue.read(view["private_metadata"]),
                "approve",
                why=modals.read_why(view),
                code=modals.read_code(view),
                break_glass=True,
                seen=sha256(view["blocks"]),
            ),
        )

    @app.view(actions.CODE)
    async def code_given(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller, view = Caller.of(body), body["view"]
        value, code = GateValue.read(view["private_metadata"]), modals.read_code(view)
        seen = sha256(view["blocks"])
        desk.later(caller, desk.decide(caller, value, "approve", code=code, seen=seen))


async def _approve(desk: Desk, caller: Caller, body: Body) -> None:
    value = GateValue.read(_clicked(body))
    told = await desk.told(value.incident)
    gate = told.gate(value.gate)
    if gate is not None and gate.request.get("step_up"):
        view = modals.step_up(told, gate)
        await desk.client.views_open(trigger_id=body["trigger_id"], view=view)
        return
    seen = sha256((body.get("message") or body.get("view") or {}).get("blocks") or [])
    await desk.decide(caller, value, "approve", seen=seen)


async def _ask_about_gate(desk: Desk, body: Body, form: Any) -> None:
    """Open the form that asks for what the click leaves open, about the gate as it was shown."""
    value = GateValue.read(_clicked(body))
    told = await desk.told(value.incident)
    gate = told.gate(value.gate)
    if gate is None or gate.nonce != value.nonce:
        raise Refused(
            f"{value.gate} of {value.incident} was asked for again since; this button is an old one."
        )
    if gate.status != "pending":
        by = f" by {gate.decided_by}" if gate.votes else ""
        raise Refused(f"The gate {gate.id} is already {gate.status}{by}.")
    view: Block = form(told, gate)
    await desk.client.views_open(trigger_id=body["trigger_id"], view=view)


async def _needs_a_reason(ack: AsyncAck, body: Body) -> bool:
    if modals.read_why(body["view"]):
        await ack()
        return False
    errors = {modals.WHY: "Say why: it goes into the journal."}
    await ack(response_action="errors", errors=errors)
    return True


def _tasks(app: AsyncApp, desk: Desk) -> None:
    @app.action(actions.TASK_DONE)
    async def done(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller, value = Caller.of(body), TaskValue.read(_clicked(body))
        desk.later(caller, desk.report(caller, value, done=True, note=""))

    @app.action(actions.TASK_IMPOSSIBLE)
    async def impossible(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _ask_about_task(desk, body))

    @app.view(actions.TASK_IMPOSSIBLE)
    async def reported(ack: AsyncAck, body: Body) -> None:
        if await _needs_a_reason(ack, body):
            return
        caller, view = Caller.of(body), body["view"]
        value, note = TaskValue.read(view["private_metadata"]), modals.read_why(view)
        desk.later(caller, desk.report(caller, value, done=False, note=note))


async def _ask_about_task(desk: Desk, body: Body) -> None:
    value = TaskValue.read(_clicked(body))
    told = await desk.told(value.incident)
    view = modals.task_note(told, value.task, done=False)
    await desk.client.views_open(trigger_id=body["trigger_id"], view=view)


# Incidents


def _incidents(app: AsyncApp, desk: Desk) -> None:
    async def going_on(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, desk.go_on(caller, _clicked(body)))

    app.action(actions.START)(going_on)
    app.action(actions.RESUME)(going_on)

    @app.action(actions.ABORT)
    async def abort(ack: AsyncAck, body: Body) -> None:
        await ack()
        desk.later(Caller.of(body), _ask_about_incident(desk, body, modals.abort))

    @app.action(actions.UNDO)
    async def undo(ack: AsyncAck, body: Body) -> None:
        await ack()
        desk.later(Caller.of(body), _ask_about_incident(desk, body, modals.undo))

    @app.view(actions.ABORT)
    async def aborted(ack: AsyncAck, body: Body) -> None:
        if await _needs_a_reason(ack, body):
            return
        caller, view = Caller.of(body), body["view"]
        why = modals.read_why(view)
        desk.later(caller, desk.abort(caller, view["private_metadata"], why))

    @app.view(actions.UNDO)
    async def undone(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        incident, _, step = str(body["view"]["private_metadata"]).partition(" ")
        desk.later(caller, desk.undo(caller, incident, step))


async def _ask_about_incident(desk: Desk, body: Body, form: Any) -> None:
    told = await desk.told(_clicked(body))
    await desk.client.views_open(trigger_id=body["trigger_id"], view=form(told.incident))


# Freezes


def _freezes(app: AsyncApp, desk: Desk) -> None:
    @app.action(actions.RESUME_AUTOMATIC)
    async def resume(ack: AsyncAck, body: Body) -> None:
        await ack()
        desk.later(Caller.of(body), _ask_about_freeze(desk, body))

    @app.view(actions.RESUME_AUTOMATIC)
    async def resumed(ack: AsyncAck, body: Body) -> None:
        if await _needs_a_reason(ack, body):
            return
        caller, view = Caller.of(body), body["view"]
        value, why = FreezeValue.read(view["private_metadata"]), modals.read_why(view)
        desk.later(caller, desk.lift_freeze(caller, why, value))


async def _ask_about_freeze(desk: Desk, body: Body) -> None:
    freeze = await desk.freeze(FreezeValue.read(_clicked(body)))
    await desk.client.views_open(trigger_id=body["trigger_id"], view=modals.lift_freeze(freeze))


# Reading


def _reading(app: AsyncApp, desk: Desk) -> None:
    for action in (
        actions.SHOW_CALLS,
        actions.CALLS_BACK,
        actions.CALLS_ON,
        actions.SHOW_TIMELINE,
        actions.TIMELINE_BACK,
        actions.TIMELINE_ON,
    ):

        @app.action(action)
        async def turn(ack: AsyncAck, body: Body) -> None:
            await ack()
            caller = Caller.of(body)
            desk.later(caller, _show_page(desk, caller, body))


async def _show_page(desk: Desk, caller: Caller, body: Body) -> None:
    action = str(body["actions"][0]["action_id"])
    value = PageValue.read(_clicked(body))
    await desk.require_member(caller)
    told = await desk.told(value.incident)
    view: Block
    if action in (actions.SHOW_TIMELINE, actions.TIMELINE_BACK, actions.TIMELINE_ON):
        newest = action == actions.SHOW_TIMELINE
        page = pages.last_page(told.records) if newest else value.page
        view = pages.timeline(told.records, page)
    else:
        asked = told.gate(value.gate) if value.gate else None
        plan = told.plan_behind(asked) if asked else told.incident.plan
        if plan is None:
            raise InvalidInput(f"{value.incident} has no plan yet.")
        view = pages.every_call(value.incident, plan, value.page, gate=value.gate)
    if action in (actions.SHOW_CALLS, actions.SHOW_TIMELINE):
        await desk.client.views_open(trigger_id=body["trigger_id"], view=view)
    else:
        shown = body["view"]
        await desk.client.views_update(view_id=shown["id"], hash=shown["hash"], view=view)


# Home


def _home(app: AsyncApp, desk: Desk) -> None:
    @app.event("app_home_opened")
    async def opened(ack: AsyncAck, body: Body) -> None:
        await ack()
        if (body.get("event") or {}).get("tab", "home") == "home":
            caller = Caller.of(body)
            desk.later(caller, desk.show_home(caller))

    @app.action(actions.NEW)
    async def new(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        desk.later(caller, _open_form(desk, caller, body["trigger_id"]))

    @app.action(actions.AWAY)
    async def away(ack: AsyncAck, body: Body) -> None:
        await ack()
        caller = Caller.of(body)
        choice = str((body["actions"][0].get("selected_option") or {}).get("value") or "")
        desk.later(caller, desk.set_away(caller, choice))


def _clicked(body: Body) -> str:
    """What the button carries that was clicked."""
    return str(body["actions"][0].get("value") or "")
