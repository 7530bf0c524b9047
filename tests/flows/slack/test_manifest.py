"""The app manifest: what it sets up is what the code needs, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from slack_bolt.async_app import AsyncApp
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from flows.gameday.slack.app import App
from flows.gameday.slack.faults import Fault
from flows.gameday.slack.forms import NotPossible
from flows.gameday.slack.server import SimulatedSlack
from flows.slack import pace
from flows.slack.actions import APPROVE, SHOW_CALLS, TASK_DONE
from flows.slack.app import ANYWHERE, COMMAND, FROM_MESSAGE
from flows.slack.settings import SlackSettings
from runbooks.loader import load
from runbooks.playbook import SlackPlaces
from tests.conftest import ROOT
from tests.flows.scene import Scene
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate

FILE = ROOT / "deployments" / "slack-manifest.yaml"
TEXT = FILE.read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = yaml.safe_load(TEXT)
# As who reads it makes it for `incident_channels: true`: two lines are no longer comments.
WITH_CHANNELS: dict[str, Any] = yaml.safe_load(TEXT.replace("# - channels:", "- channels:"))

# What each method wants of a bot (docs.slack.dev, the page of each method). A method of
# conversations wants the scope of the kind of channel.
SCOPES: Mapping[str, tuple[str, ...]] = {
    "apps.connections.open": (),  # the app's own token, with connections:write
    "auth.test": (),
    "chat.postEphemeral": ("chat:write",),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.create": ("channels:manage",),
    "conversations.history": ("channels:history", "groups:history"),
    "conversations.invite": ("channels:manage",),
    "conversations.list": ("channels:read",),
    "conversations.open": ("im:write",),
    "conversations.replies": ("channels:history", "groups:history"),
    "files.completeUploadExternal": ("files:write",),
    "files.getUploadURLExternal": ("files:write",),
    "usergroups.users.list": ("usergroups:read",),
    "users.info": ("users:read",),
    "views.open": (),
    "views.publish": (),
    "views.update": (),
}
# No method wants this one: without it Slack knows neither the command nor the shortcuts.
NO_METHOD = {"commands"}


def scopes(manifest: Mapping[str, Any]) -> list[str]:
    found: list[str] = manifest["oauth_config"]["scopes"]["bot"]
    return found


@contextmanager
def set_up(scene: Scene, manifest: Mapping[str, Any]) -> Iterator[Office]:
    """An office whose workspace has the app that Slack makes of the manifest."""
    with SimulatedSlack(App.from_manifest(manifest), unlimited=True) as slack:
        office = Office(scene, slack)
        yield office
        office.close()


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_PER_SECOND", 1_000.0)


def test_slack_takes_the_manifest() -> None:
    """The limits of docs.slack.dev, "App manifest reference"."""
    about, features = MANIFEST["display_information"], MANIFEST["features"]
    assert len(about["name"]) <= 35
    assert len(about["description"]) <= 140
    assert 174 <= len(about["long_description"]) <= 4_000
    assert len(features["bot_user"]["display_name"]) <= 80
    assert all(len(item["name"]) <= 24 for item in features["shortcuts"])
    assert all(len(item["description"]) <= 150 for item in features["shortcuts"])
    assert {item["type"] for item in features["shortcuts"]} == {"message", "global"}
    assert len(scopes(MANIFEST)) == len(set(scopes(MANIFEST)))


def test_direct_messages_reach_people() -> None:
    """Without the tab Slack refuses them: ``messages_tab_disabled``."""
    assert MANIFEST["features"]["app_home"]["messages_tab_enabled"]


def test_every_listener_has_its_entry_and_every_entry_its_listener(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens: dict[str, set[str]] = {}

    def recorded(kind: str) -> None:
        real = getattr(AsyncApp, kind)

        def listen(app: AsyncApp, *arguments: Any, **more: Any) -> Any:
            listens.setdefault(kind, set()).add(str((arguments or [*more.values()])[0]))
            return real(app, *arguments, **more)

        monkeypatch.setattr(AsyncApp, kind, listen)

    kinds = ("command", "shortcut", "event", "action", "view", "message", "options", "function")
    for kind in (*kinds, "global_shortcut", "message_shortcut", "step"):
        recorded(kind)
    with set_up(scene, MANIFEST) as office:
        office.open()
    app = App.from_manifest(MANIFEST)
    assert listens.pop("command") == set(app.commands or ()) == {COMMAND}
    assert listens.pop("shortcut") == set(app.shortcuts or ()) == {FROM_MESSAGE, ANYWHERE}
    assert listens.pop("event") == set(app.events)
    assert (app.interactivity, app.home_tab, app.socket_mode) == (True, True, True)
    # These come by interactivity; anything else would need an entry of its own.
    assert set(listens) == {"action", "view"}


@pytest.mark.parametrize("scope", scopes(WITH_CHANNELS))
def test_without_any_one_scope_slack_refuses_a_call_that_the_code_makes(scope: str) -> None:
    app = App.from_manifest(WITH_CHANNELS)
    without = replace(app, scopes=tuple(item for item in app.scopes or () if item != scope))
    with SimulatedSlack(without, unlimited=True) as slack:
        rita = slack.person("rita")
        room = slack.channel("incidents", rita, private=scope.startswith("groups:"))
        alert = rita.say(room, "an alert")
        if scope in NO_METHOD:
            with pytest.raises(NotPossible):
                rita.command(COMMAND, room)
            with pytest.raises(NotPossible):
                rita.message_shortcut(room, alert.ts, FROM_MESSAGE)
            return
        # Arguments for any of them; each method leaves alone what is not its own.
        arguments = {
            "channel": room.id,
            "ts": alert.ts,
            "text": "told",
            "user": rita.id,
            "users": rita.id,
            "usergroup": slack.group("on-call", rita).id,
            "name": "inc-1",
            "filename": "report.md",
            "length": 10,
            "files": "[]",
            "types": "public_channel",
        }
        client = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        for method in (name for name, wanted in SCOPES.items() if scope in wanted):
            with pytest.raises(SlackApiError) as refused:
                client.api_call(method, data=arguments)
            assert refused.value.response["error"] == "missing_scope", method


@pytest.mark.parametrize("private", [False, True])
def test_a_whole_incident_needs_these_scopes_and_no_others(scene: Scene, private: bool) -> None:
    kind = "groups" if private else "channels"
    with set_up(scene, MANIFEST) as office:
        office.room.private = private
        play(office)
        assert needed(office, kind) == {
            scope for scope in scopes(MANIFEST) if not scope.endswith(":history")
        } | {f"{kind}:history"}


def test_a_channel_for_each_incident_needs_two_more(scene: Scene) -> None:
    with set_up(scene, WITH_CHANNELS) as office:
        office.write(ONE, slack="incident_channels: true")
        # Slack makes the channel, and the app never hears of it: it is found by its name.
        office.slack.fault(Fault(method="conversations.create", effect="lost_answer", times=1))
        office.open()
        assert office.rita.command(f"/clampdown contain {office.scene.world.victim}").ok
        office.status("contained")
        name = office.incident().id
        channels = office.slack.workspace.channels
        office.until(
            lambda: any(
                c.name == name and any(m.files for m in c.messages.values())
                for c in channels.values()
            )
        )
        assert needed(office, "channels") - set(scopes(MANIFEST)) == set(
            scopes(WITH_CHANNELS)
        ) - set(scopes(MANIFEST))


def needed(office: Office, kind: str) -> set[str]:
    """The scopes of every method that was called; none was refused for want of one."""
    calls = office.slack.calls
    assert [call for call in calls if call.error == "missing_scope"] == []
    assert {call.method for call in calls} <= set(SCOPES)
    return NO_METHOD | {
        scope
        for call in calls
        for scope in SCOPES[call.method]
        if not scope.endswith(":history") or scope.startswith(kind)
    }


def play(office: Office) -> None:
    """One incident with everything that people do in Slack."""
    victim, slack = office.scene.world.victim, office.slack
    group = slack.group("on-call", office.rita, office.alice)
    office.write(ONE, gate(), TWO, TASK, oncall=f"slack_usergroup: {group.id}")
    running = office.open()

    # From an alert and from anywhere
    assert office.mallory.shortcut(ANYWHERE).ok
    office.mallory.close(office.modal(office.mallory, "target"))
    alert = office.mallory.say(office.room, f"CPU of `{victim}` is at 100 % again")
    assert office.rita.message_shortcut(office.room, alert.ts, FROM_MESSAGE).ok
    assert office.rita.submit(office.modal(office.rita, victim), {}).ok
    asked = office.post("“contain”", APPROVE)

    # Refused, where the app can say it only directly
    slack.workspace.channels[office.room.id].members.discard(slack.workspace.bot_user)
    assert office.click(office.rita, asked, APPROVE).ok
    office.until(office.rita.direct_messages)
    slack.workspace.channels[office.room.id].members.add(slack.workspace.bot_user)

    # Looking
    assert office.alice.open_home().ok
    office.until(lambda: office.alice.home)
    assert office.click(office.alice, asked, SHOW_CALLS).ok
    office.alice.close(office.modal(office.alice, "call"))

    # The app dies when Slack has taken what it says next, and can't say that it has
    running.stop()
    slack.fault(Fault(method="chat.postMessage", effect="lost_answer", times=1))
    office.open()
    assert office.click(office.alice, asked, APPROVE).ok
    task = office.post("Tell Legal", TASK_DONE)
    assert office.click(office.alice, task, TASK_DONE).ok
    office.status("contained")
    office.until(lambda: any(post.files for post in office.posts()))
    assert len([post for post in office.posts() if post.text.startswith("To do for")]) == 1


DOCUMENT = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")


def examples() -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)]


def test_the_guide_names_every_scope_and_every_setting() -> None:
    for scope in scopes(WITH_CHANNELS):
        assert f"`{scope}`" in DOCUMENT
    for name in set(SlackSettings.model_fields) - {"api_url"}:  # for a simulated Slack alone
        assert f"CLAMPDOWN_SLACK_{name.upper()}" in DOCUMENT
    for name in SlackPlaces.model_fields:
        assert name in examples()[0]["slack"]


def test_the_guides_playbooks_are_valid(tmp_path: Path) -> None:
    shipped = yaml.safe_load((ROOT / "playbooks.yaml").read_text(encoding="utf-8"))
    file = tmp_path / "playbooks.yaml"
    file.write_text(yaml.safe_dump(shipped | examples()[0]), encoding="utf-8")
    assert load(file).slack is not None


def test_the_guides_http_mode_is_the_manifest_with_every_address() -> None:
    changed = examples()[1]
    settings = MANIFEST["settings"] | changed["settings"]
    assert App.from_manifest(MANIFEST | {"settings": settings}).socket_mode is False
    assert len(re.findall(r"https://clampdown\.example\.com/slack/events", str(changed))) == 3
    for name, known in (("features", MANIFEST["features"]), ("settings", MANIFEST["settings"])):
        assert set(changed[name]) <= set(known)
