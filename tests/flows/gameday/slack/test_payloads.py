"""What the app is told has the shape of what Slack tells: real payloads, where they are at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from slack_bolt.request import BoltRequest
from slack_sdk import WebClient

from flows.gameday.slack.app import App
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import SocketApp, actions, button, modal, text_input

DATA = (
    Path(os.environ.get("CLAMPDOWN_SHARED_DATA") or Path(__file__).parents[5] / "shared" / "data")
    / "slack"
)
IN_CI = os.environ.get("CI") == "true"
needs_data = pytest.mark.skipif(
    not DATA.is_dir() and not IN_CI, reason=f"no real payloads at {DATA}"
)

# What real payloads have and these don't: other kinds of apps, and fields that Slack no longer sends.
NOT_HERE = {
    "authed_users",  # replaced by authorizations
    "event.tab",  # compared by its values below
    "ssl_check",
    "is_enterprise_install",
    "view.submit_disabled",
    "view.blocks",
    "message.blocks",
    "event.blocks",
}


@pytest.fixture(scope="module")
def told() -> Mapping[str, Mapping[str, Any]]:
    """One envelope of each kind, by the type of its payload."""
    app = App(events=("app_home_opened", "message.channels"))
    with SimulatedSlack(app, unlimited=True, enterprise=True) as slack, SocketApp(slack) as socket:
        web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        maria = slack.person("maria")
        channel = slack.channel("incidents", maria)
        maria.command("/clampdown status", channel)
        trigger = socket.told[-1]["payload"]["trigger_id"]
        close = {"type": "plain_text", "text": "Cancel"}
        blocks = [text_input("b", "Label"), actions(button("go"))]
        view = modal(*blocks, close=close, notify_on_close=True)
        web.views_open(trigger_id=trigger, view=view)
        shown = maria.modal
        assert shown is not None
        maria.use(shown, "go")
        in_view = socket.told[-1]
        maria.submit(shown, {"b": "test"})
        maria.close(shown)
        ts = web.chat_postMessage(channel=channel.id, text="x", blocks=[actions(button("a"))])["ts"]
        maria.click(channel, ts, "a")
        message = maria.say(channel, "Hello World!")
        maria.message_shortcut(channel, message.ts, "contain")
        maria.shortcut("contain")
        maria.open_home()
        slack.until(lambda: any(_kind(e) == "event message" for e in socket.told))
        by_kind = {_kind(envelope): envelope for envelope in socket.told}
        by_kind["block_actions of a view"] = in_view
    return by_kind


def _kind(envelope: Mapping[str, Any]) -> str:
    payload = envelope["payload"]
    if payload.get("type") == "event_callback":
        return f"event {payload['event']['type']}"
    return str(payload.get("type", envelope["type"]))


def paths(value: Mapping[str, Any], prefix: str = "") -> dict[str, type]:
    """Every field that isn't in a list, by its path, and the type of its value."""
    found: dict[str, type] = {}
    for name, item in value.items():
        path = f"{prefix}{name}"
        if isinstance(item, Mapping) and path not in ("view.state", "state", "event.view"):
            found |= paths(item, f"{path}.")
        elif item is not None:
            found[path] = type(item)
    return found


def real(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / name).read_text())
    return document


@needs_data
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("slash_commands", "form-slash-1-parsed.json"),
        ("slash_commands", "form-slash-3-parsed.json"),
        ("block_actions", "block-actions-1.json"),
        ("block_actions", "block-actions-3.json"),
        ("view_submission", "view-submission-1.json"),
        ("view_submission", "view-submission-5.json"),
        ("view_closed", "view-closed-1.json"),
        ("view_closed", "view-closed-2.json"),
        ("message_action", "message-action-1.json"),
        ("shortcut", "shortcut-1.json"),
        ("event app_home_opened", "event-callback-app-home-opened-1.json"),
        ("event message", "event-callback-message-4.json"),
        ("event message", "event-callback-message-5.json"),
    ],
)
def test_a_payload_has_every_field_that_a_real_one_has(
    told: Mapping[str, Mapping[str, Any]], kind: str, name: str
) -> None:
    ours, theirs = paths(told[kind]["payload"]), paths(real(name))
    missing = set(theirs) - set(ours) - NOT_HERE - {"response_urls"}
    assert not missing
    assert {p: ours[p] for p in theirs if p in ours} == {p: theirs[p] for p in theirs if p in ours}


@needs_data
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("slash_commands", "socket-mode-envelope-0-slash_commands-.json"),
        ("event message", "socket-mode-envelope-3-events_api-event-callback.json"),
        ("shortcut", "socket-mode-envelope-2-interactive-shortcut.json"),
        ("block_actions of a view", "socket-mode-envelope-4-interactive-block-actions.json"),
    ],
)
def test_an_envelope_has_every_field_that_a_real_one_has(
    told: Mapping[str, Mapping[str, Any]], kind: str, name: str
) -> None:
    theirs, ours = real(name), told[kind]
    assert set(theirs) == set(ours)
    assert theirs["type"] == ours["type"]
    missing = set(paths(theirs["payload"])) - set(paths(ours["payload"])) - NOT_HERE
    assert not missing


@needs_data
def test_an_action_has_every_field_that_a_real_one_has(
    told: Mapping[str, Mapping[str, Any]],
) -> None:
    [theirs] = real("block-actions-1.json")["actions"]
    [ours] = told["block_actions"]["payload"]["actions"]
    # This button has no value.
    assert set(theirs) - {"value"} == set(ours)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "slash_commands",
            {"command": "/clampdown", "text": "status", "channel_name": "incidents"},
        ),
        ("block_actions", {"type": "block_actions"}),
        ("view_submission", {"response_urls": []}),
        ("view_closed", {"is_cleared": False}),
        ("message_action", {"callback_id": "contain"}),
        ("shortcut", {"callback_id": "contain"}),
        ("event app_home_opened", {"is_ext_shared_channel": False}),
    ],
)
def test_bolt_reads_who_acts_where(
    told: Mapping[str, Mapping[str, Any]], kind: str, expected: Mapping[str, Any]
) -> None:
    payload = dict(told[kind]["payload"])
    assert expected.items() <= payload.items()
    context = BoltRequest(mode="socket_mode", body=payload).context
    assert str(context.team_id).startswith("T")
    assert str(context.enterprise_id).startswith("E")
    assert str(context.user_id).startswith("W")


def test_what_lets_a_modal_open_and_what_does_not(told: Mapping[str, Mapping[str, Any]]) -> None:
    triggers = {kind: envelope["payload"].get("trigger_id") for kind, envelope in told.items()}
    without = {kind for kind, trigger in triggers.items() if not trigger}
    assert without == {"view_closed", "event app_home_opened", "event message"}
    assert all(
        envelope["payload"]
        .get("response_url", "https://hooks.slack.com/")
        .startswith("https://hooks.slack.com/")
        for envelope in told.values()
    )
