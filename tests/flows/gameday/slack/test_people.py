"""What people do with messages, and what an approval bot must not get wrong about them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_sdk import WebClient

from flows.gameday.slack.app import App
from flows.gameday.slack.forms import NotPossible
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import SocketApp, actions, button, section


@pytest.fixture
def app(slack: SimulatedSlack) -> Iterator[SocketApp]:
    with SocketApp(slack) as connected:
        yield connected


@pytest.fixture
def gate(web: WebClient, channel: Channel) -> str:
    """A message with buttons; its timestamp."""
    blocks = [section("Contain i-0abc?"), actions(button("approve", value="inc-1 gate nonce"))]
    return str(web.chat_postMessage(channel=channel.id, text="Gate", blocks=blocks)["ts"])


def test_a_click_tells_the_app_who_and_on_what(
    app: SocketApp, maria: Person, channel: Channel, gate: str
) -> None:
    assert maria.click(channel, gate, "approve").ok
    payload = app.told[0]["payload"]
    assert app.told[0]["type"] == "interactive"
    assert payload["user"]["id"] == maria.id
    assert payload["container"] == {
        "type": "message",
        "message_ts": gate,
        "channel_id": channel.id,
        "is_ephemeral": False,
    }
    assert payload["message"]["text"] == "Gate"
    [action] = payload["actions"]
    assert (action["action_id"], action["value"]) == ("approve", "inc-1 gate nonce")


def test_a_click_in_a_thread_says_in_which(
    app: SocketApp, web: WebClient, maria: Person, channel: Channel, gate: str
) -> None:
    blocks = [actions(button("done"))]
    ts = web.chat_postMessage(channel=channel.id, text="x", thread_ts=gate, blocks=blocks)["ts"]
    maria.click(channel.id, ts, "done")
    assert app.told[0]["payload"]["container"]["thread_ts"] == gate


def test_a_double_click_and_two_people_at_once(
    slack: SimulatedSlack, app: SocketApp, maria: Person, tom: Person, channel: Channel, gate: str
) -> None:
    acks = slack.at_once(
        *[lambda p=p: p.click(channel, gate, "approve") for p in (maria, maria, tom)]
    )
    assert [ack.ok for ack in acks] == [True] * 3
    told = [envelope["payload"]["user"]["id"] for envelope in app.told]
    assert sorted(told) == sorted([maria.id, maria.id, tom.id])
    # Each click brings its own trigger.
    assert len({envelope["payload"]["trigger_id"] for envelope in app.told}) == 3


def test_a_button_that_is_gone_can_be_clicked_by_who_still_sees_it(
    slack: SimulatedSlack,
    app: SocketApp,
    web: WebClient,
    maria: Person,
    channel: Channel,
    gate: str,
) -> None:
    seen = maria.message(channel, gate)
    web.chat_update(channel=channel.id, ts=gate, text="Approved by Tom")
    with pytest.raises(NotPossible, match="no element 'approve' here"):
        maria.click(channel, gate, "approve")
    assert maria.click(channel, gate, "approve", seen=seen).ok
    assert app.told[0]["payload"]["message"]["text"] == "Gate"
    web.chat_delete(channel=channel.id, ts=gate)
    assert maria.click(channel, gate, "approve", seen=seen).ok
    with pytest.raises(NotPossible, match="no message"):
        maria.click(channel, gate, "approve")


def test_an_ephemeral_button_tells_nothing_of_its_message(
    app: SocketApp, web: WebClient, maria: Person, tom: Person, channel: Channel
) -> None:
    blocks = [actions(button("ok"))]
    answer = web.chat_postEphemeral(channel=channel.id, user=maria.id, text="x", blocks=blocks)
    assert maria.click(channel, answer["message_ts"], "ok").ok
    payload = app.told[0]["payload"]
    assert payload["container"]["is_ephemeral"] is True
    assert "message" not in payload
    with pytest.raises(NotPossible, match="no message"):
        tom.click(channel, answer["message_ts"], "ok")


def test_a_menu_tells_what_was_chosen(
    app: SocketApp, web: WebClient, maria: Person, channel: Channel
) -> None:
    option = {"text": {"type": "plain_text", "text": "Undo"}, "value": "undo"}
    menus = [
        {"type": "overflow", "action_id": "more", "options": [option]},
        {"type": "static_select", "action_id": "do", "options": [option]},
    ]
    ts = web.chat_postMessage(channel=channel.id, text="x", blocks=[actions(*menus)])["ts"]
    maria.click(channel, ts, "more", "undo")
    maria.click(channel, ts, "do", "Undo")
    chosen = [envelope["payload"]["actions"][0]["selected_option"] for envelope in app.told]
    assert [each["value"] for each in chosen] == ["undo", "undo"]
    assert "do" in str(app.told[1]["payload"]["state"])
    with pytest.raises(NotPossible, match="no option"):
        maria.click(channel, ts, "more", "explode")


def test_a_shortcut_on_a_message_brings_the_message(
    app: SocketApp, maria: Person, tom: Person, channel: Channel
) -> None:
    alert = tom.say(channel, "GuardDuty: i-0abc talks to a C2 server")
    assert maria.message_shortcut(channel, alert.ts, "contain").ok
    payload = app.told[0]["payload"]
    assert (payload["type"], payload["callback_id"]) == ("message_action", "contain")
    assert payload["message"]["text"] == alert.text
    assert payload["message"]["user"] == tom.id
    assert payload["message_ts"] == alert.ts


def test_a_person_acts_where_they_are(
    slack: SimulatedSlack, app: SocketApp, channel: Channel, gate: str
) -> None:
    olga = slack.person("olga")
    for doing in (
        lambda: olga.click(channel, gate, "approve"),
        lambda: olga.command("/clampdown status", channel),
        lambda: olga.say(channel, "hello"),
        lambda: olga.message_shortcut("C0NOSUCH", gate, "contain"),
    ):
        with pytest.raises(NotPossible, match="olga is not in"):
            doing()
    assert app.told == []


def test_a_command_without_a_channel_is_in_the_direct_message(
    app: SocketApp, maria: Person
) -> None:
    maria.command("/clampdown status")
    assert app.told[0]["payload"]["channel_name"] == "directmessage"
    assert app.told[0]["payload"]["channel_id"].startswith("D")


def test_the_name_of_a_private_channel_is_not_told(
    slack: SimulatedSlack, app: SocketApp, maria: Person
) -> None:
    secret = slack.channel("secret", maria, private=True)
    maria.command("/clampdown status", secret)
    assert app.told[0]["payload"]["channel_name"] == "privategroup"


def test_a_stranger_comes_with_their_own_organisation(
    slack: SimulatedSlack, app: SocketApp, web: WebClient, maria: Person
) -> None:
    other = slack.other_team("Other Corp", enterprise=True)
    eve = slack.person("maria", team=other)
    shared = slack.channel("shared", maria, eve)
    blocks = [actions(button("approve"))]
    ts = web.chat_postMessage(channel=shared.id, text="Gate", blocks=blocks)["ts"]
    assert eve.click(shared, ts, "approve").ok
    payload = app.told[0]["payload"]
    assert payload["team"]["id"] == payload["user"]["team_id"] == other.id
    assert payload["enterprise"]["id"] == other.enterprise_id
    assert web.conversations_info(channel=shared.id)["channel"]["is_ext_shared"] is True


def test_what_is_not_set_up_can_not_be_used() -> None:
    app = App(commands=("/clampdown",), shortcuts=(), interactivity=False)
    with SimulatedSlack(app) as slack:
        maria = slack.person("maria")
        channel = slack.channel("incidents", maria)
        message = maria.say(channel, "x")
        with pytest.raises(NotPossible, match="not a valid command"):
            maria.command("/other", channel)
        with pytest.raises(NotPossible, match="no shortcut"):
            maria.message_shortcut(channel, message.ts, "contain")
    with SimulatedSlack(App(interactivity=False)) as slack:
        with pytest.raises(NotPossible, match="interactivity"):
            slack.person("maria").shortcut("contain")
    with SimulatedSlack(App(scopes=("chat:write",))) as slack:
        with pytest.raises(NotPossible, match="not a valid command"):
            slack.person("maria").command("/clampdown")


def test_waiting_for_something_that_does_not_happen_ends(slack: SimulatedSlack) -> None:
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        slack.until(lambda: False, within=0.05)
