"""Socket Mode over real WebSockets: hello, envelopes, acknowledgements, renewal, cut connections."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from slack_sdk import WebClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flows.gameday.slack.app import App
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import SILENCE, SocketApp
from tests.flows.gameday.slack.conftest import refused


def test_slack_says_hello(slack: SimulatedSlack) -> None:
    with SocketApp(slack) as app:
        [hello] = app.said
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        assert hello["connection_info"] == {"app_id": slack.installation.app_id}
        assert slack.connections == 1
    slack.until(lambda: slack.connections == 0)


def test_an_address_serves_for_one_connection(slack: SimulatedSlack) -> None:
    with SocketApp(slack) as app:
        for url in (app.url, f"{slack.url.replace('http', 'ws')}/link/?ticket=guessed"):
            with pytest.raises(InvalidStatus) as error:
                connect(url)
            assert error.value.response.status_code == 403


def test_a_command_is_acknowledged_with_an_answer(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack, lambda envelope: {"text": "Working on it."}) as app:
        ack = maria.command("/clampdown contain  i-0abc", channel)
    assert (ack.status, ack.body, ack.error) == (200, {"text": "Working on it."}, "")
    assert 0 < ack.seconds < 1
    [envelope] = app.told
    assert (envelope["type"], envelope["accepts_response_payload"]) == ("slash_commands", True)
    assert envelope["payload"]["text"] == "contain  i-0abc"
    assert [m.text for m in maria.ephemerals(channel)] == ["Working on it."]


def test_an_answer_may_be_for_the_whole_channel(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack, lambda envelope: {"response_type": "in_channel", "text": "hello"}):
        maria.command("/clampdown status", channel)
    assert [m.text for m in slack.messages(channel)] == ["hello"]
    assert maria.ephemerals() == []


def test_an_answer_that_slack_does_not_take_is_an_error(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack, lambda envelope: {"blocks": [{"type": "actions"}]}):
        assert maria.command("/clampdown status", channel).error == "invalid_response"
    assert "invalid_response" in maria.ephemerals()[-1].text


def test_who_gets_no_answer_in_time_is_told_so(maria: Person, channel: Channel) -> None:
    slack = maria._slack
    with SocketApp(slack, lambda envelope: SILENCE):
        began = time.monotonic()
        ack = maria.command("/clampdown status", channel)
        assert 1.0 <= time.monotonic() - began < 2.0
    assert (ack.status, ack.error) == (0, "operation_timeout")
    assert [m.text for m in maria.ephemerals()] == [
        '/clampdown failed with the error "operation_timeout"'
    ]


def test_without_a_connection_nothing_is_delivered(maria: Person, channel: Channel) -> None:
    assert maria.command("/clampdown status", channel).error == "dispatch_failed"


def test_an_envelope_goes_to_any_one_of_the_connections(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    apps = [SocketApp(slack) for _ in range(3)]
    assert apps[-1].said[0]["num_connections"] == 3
    for _ in range(30):
        assert maria.command("/clampdown status", channel).ok
    told = [len(app.told) for app in apps]
    assert sum(told) == 30
    assert min(told) > 0
    for app in apps:
        app.connection.close()


def test_the_eleventh_connection_is_one_too_many(slack: SimulatedSlack) -> None:
    apps = [SocketApp(slack) for _ in range(10)]
    late = SocketApp(slack)
    assert late.over.wait(2)
    assert (late.said[0]["type"], late.said[0]["reason"]) == ("disconnect", "too_many_websockets")
    assert slack.connections == 10
    for app in apps:
        app.connection.close()


def test_an_acknowledgement_may_come_over_another_connection(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack) as first, SocketApp(slack) as second:

        def cross(envelope: Any) -> Any:
            other = second if envelope in first.told else first
            other.connection.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
            return SILENCE

        first.answer = second.answer = cross
        assert maria.command("/clampdown status", channel).ok


def test_nonsense_from_the_app_is_passed_over(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack) as app:
        for nonsense in ("[]", "{", '{"envelope_id": "unknown"}', '{"envelope_id": []}'):
            app.connection.send(nonsense)
        assert maria.command("/clampdown status", channel).ok


def test_slack_warns_before_it_renews_a_connection(slack: SimulatedSlack) -> None:
    with SocketApp(slack) as app:
        slack.renew_sockets()
        assert app.over.wait(2)
        assert [m.get("reason") for m in app.said] == [None, "warning", "refresh_requested"]
    assert slack.connections == 0


def test_slack_may_renew_without_a_warning(slack: SimulatedSlack) -> None:
    with SocketApp(slack) as app:
        slack.renew_sockets(warn=False)
        assert app.over.wait(2)
        assert [m.get("reason") for m in app.said] == [None, "refresh_requested"]


def test_connections_can_be_cut(slack: SimulatedSlack) -> None:
    with SocketApp(slack) as app:
        slack.cut_sockets()
        assert app.over.wait(2)
        assert [m["type"] for m in app.said] == ["hello"]
    slack.until(lambda: slack.connections == 0)
    with SocketApp(slack):
        slack.down()
        slack.until(lambda: slack.connections == 0)
        slack.up()


def test_an_event_that_is_not_acknowledged_is_sent_again(
    slack: SimulatedSlack, maria: Person
) -> None:
    answers = [SILENCE, SILENCE, None]
    with SocketApp(slack, lambda envelope: answers.pop(0)) as app:
        ack = maria.open_home()
    assert (ack.ok, ack.attempts) == (True, 3)
    assert [e["retry_attempt"] for e in app.told] == [0, 1, 2]
    assert [e["retry_reason"] for e in app.told] == ["", "timeout", "timeout"]
    assert len({e["payload"]["event_id"] for e in app.told}) == 1
    assert len({e["envelope_id"] for e in app.told}) == 3


def test_an_event_is_given_up_after_three_retries(slack: SimulatedSlack, maria: Person) -> None:
    with SimulatedSlack(ack_seconds=0.1, retry_seconds=(0, 0, 0)) as hurried:
        with SocketApp(hurried, lambda envelope: SILENCE) as app:
            ack = hurried.person("maria").open_home()
        assert (ack.error, ack.attempts, len(app.told)) == ("operation_timeout", 4, 4)


def test_interactions_are_not_sent_again(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack, lambda envelope: SILENCE) as app:
        assert maria.shortcut("contain").error == "operation_timeout"
    assert len(app.told) == 1


def test_many_people_at_once(slack: SimulatedSlack, channel: Channel, maria: Person) -> None:
    people = [slack.person(f"p{number}") for number in range(50)]
    channel.members.update(person.id for person in people)
    with SocketApp(slack, lambda envelope: {"text": envelope["payload"]["user_id"]}) as app:
        acks = slack.at_once(*[lambda p=p: p.command("/clampdown status", channel) for p in people])
    assert all(ack.ok for ack in acks)
    assert [ack.body["text"] for ack in acks] == [person.id for person in people]
    assert len(app.told) == len(slack.acks) == 50


def test_what_was_delivered_can_be_delivered_again(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack) as app:
        ack = maria.command("/clampdown status", channel)
        assert slack.replay(ack).ok
    assert app.told[0] == app.told[1]


def test_an_app_without_socket_mode_gets_no_address() -> None:
    with SimulatedSlack(App(socket_mode=False)) as slack:
        web = WebClient(base_url=slack.api_url)
        token = slack.installation.app_token
        assert refused(web.apps_connections_open, app_token=token) == "not_enabled"


def test_messages_are_events_for_who_subscribed_to_them() -> None:
    subscribed = App(events=("message.channels", "app_mention"))
    with SimulatedSlack(subscribed, unlimited=True) as slack, SocketApp(slack) as app:
        maria = slack.person("maria")
        public, private = slack.channel("one", maria), slack.channel("two", maria, private=True)
        elsewhere = slack.channel("three", maria, with_app=False)
        said = maria.say(public, f"<@{slack.workspace.bot_user}> help")
        for channel in (private, elsewhere):
            maria.say(channel, "not for the app")
        slack.until(lambda: len(app.told) == 2)
        events = {e["payload"]["event"]["type"]: e["payload"]["event"] for e in app.told}
        assert set(events) == {"message", "app_mention"}
        event = events["message"]
        assert (event["ts"], event["channel"], event["channel_type"]) == (
            said.ts,
            public.id,
            "channel",
        )
        web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        ts = web.chat_postMessage(channel=public.id, text="one")["ts"]
        web.chat_update(channel=public.id, ts=ts, text="two")
        web.chat_delete(channel=public.id, ts=ts)
        slack.until(lambda: len(app.told) == 5)
        subtypes = [e["payload"]["event"].get("subtype") for e in app.told[2:]]
        assert sorted(map(str, subtypes)) == ["None", "message_changed", "message_deleted"]


def test_an_event_that_nobody_subscribed_to_is_not_sent(maria: Person, channel: Channel) -> None:
    slack = maria._slack
    with SocketApp(slack) as app:
        maria.say(channel, "hello")
        assert maria.open_home().ok
    assert [e["payload"]["event"]["type"] for e in app.told] == ["app_home_opened"]
    with SimulatedSlack(App(events=())) as quiet:
        ack = quiet.person("tom").open_home()
        assert (ack.error, ack.attempts) == ("not_subscribed", 0)


def test_stopping_ends_the_connections() -> None:
    slack = SimulatedSlack().start()
    app = SocketApp(slack)
    slack.stop()
    assert app.over.wait(2)
    slack.stop()
    assert not [t for t in threading.enumerate() if t.name == "simulated-slack"]
