"""HTTP mode: signed requests, Slack's retries of events, and the addresses for answers."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier
from slack_sdk.webhook import WebhookClient

from flows.gameday.slack.delivery import signed
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import HttpApp, SocketApp, actions, button

JSON = {"Content-Type": "application/json"}
NOTHING: dict[str, str] = {}


def genuine(slack: SimulatedSlack, app: HttpApp) -> bool:
    """Whether Slack's SDK takes the last request for Slack's."""
    headers, body = app.told[-1]
    return SignatureVerifier(slack.installation.signing_secret).is_valid_request(body, headers)


def test_a_command_is_a_signed_form(slack: SimulatedSlack, maria: Person, channel: Channel) -> None:
    with HttpApp((200, "On it.", NOTHING)) as app:
        assert slack.use_http(app.url)
        ack = maria.command("/clampdown contain i-0abc & more", channel)
    assert (ack.status, ack.body, ack.error) == (200, "On it.", "")
    assert genuine(slack, app)
    headers, body = app.told[-1]
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["User-Agent"].startswith("Slackbot")
    assert parse_qs(body.decode())["text"] == ["contain i-0abc & more"]
    assert [m.text for m in maria.ephemerals()] == ["On it."]


def test_an_interaction_is_json_in_a_signed_form(slack: SimulatedSlack, maria: Person) -> None:
    with HttpApp() as app:
        slack.use_http(app.url)
        assert maria.shortcut("contain").ok
    assert genuine(slack, app)
    assert parse_qs(app.told[-1][1].decode()).keys() == {"payload"}
    assert app.payload()["callback_id"] == "contain"


def test_an_event_is_signed_json(slack: SimulatedSlack, maria: Person) -> None:
    with HttpApp() as app:
        slack.use_http(app.url)
        assert maria.open_home().ok
    assert genuine(slack, app)
    assert app.told[-1][0]["Content-Type"] == "application/json"
    assert app.payload()["event"]["type"] == "app_home_opened"


def test_each_kind_may_have_its_own_address(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with HttpApp() as commands, HttpApp() as others, HttpApp() as events:
        slack.use_http(commands.url, others.url, events.url)
        maria.command("/clampdown status", channel)
        maria.shortcut("contain")
        maria.open_home()
        # The first request for events is the challenge.
        told = [len(commands.told), len(others.told), len(events.told)]
    assert told == [1, 1, 2]
    slack.use_socket_mode()
    with SocketApp(slack) as app:
        assert maria.command("/clampdown status", channel).ok
    assert len(app.told) == 1


def test_an_address_must_answer_the_challenge(slack: SimulatedSlack) -> None:
    with HttpApp() as app:
        assert slack.use_http(app.url)
        assert genuine(slack, app)
        assert app.payload()["type"] == "url_verification"
        app._answer = lambda headers, body: (200, "no", {})  # type: ignore[method-assign]
        assert not slack.use_http(app.url)
    assert not slack.use_http(app.url)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, "no", NOTHING), "http_client_error"),
        ((500, "no", NOTHING), "http_service_error"),
    ],
)
def test_who_acts_is_told_of_the_apps_errors(
    slack: SimulatedSlack, maria: Person, channel: Channel, answer: Any, error: str
) -> None:
    with HttpApp(answer) as app:
        slack.use_http(app.url)
        ack = maria.command("/clampdown status", channel)
    assert (ack.status, ack.error) == (answer[0], error)
    assert error in maria.ephemerals()[-1].text


def test_who_waits_for_too_long_is_told_so(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with HttpApp() as app:
        slack.use_http(app.url)
        app.delay = 1.5
        ack = maria.command("/clampdown status", channel)
    assert (ack.status, ack.error) == (0, "operation_timeout")
    assert 1.0 <= ack.seconds < 1.4
    assert maria.command("/clampdown status", channel).error == "dispatch_failed"


def test_an_event_is_sent_up_to_four_times_and_says_why(
    slack: SimulatedSlack, maria: Person
) -> None:
    with HttpApp((500, "", NOTHING), (404, "", NOTHING)) as app:
        slack.use_http(app.url)
        ack = maria.open_home()
        assert (ack.ok, ack.attempts) == (True, 3)
        assert genuine(slack, app)
        told = [headers for headers, _ in app.told[1:]]
        assert [h.get("X-Slack-Retry-Num") for h in told] == [None, "1", "2"]
        assert told[2]["X-Slack-Retry-Reason"] == "http_error"
        assert len({body for _, body in app.told[1:]}) == 1
        app.answers = [(500, "", NOTHING)] * 9
        assert (maria.open_home().attempts, len(app.told)) == (4, 8)


def test_a_retry_after_silence_says_so(slack: SimulatedSlack, maria: Person) -> None:
    with HttpApp() as app:
        slack.use_http(app.url)
        app.delay = 1.2
        maria.open_home()
    assert app.told[2][0]["X-Slack-Retry-Reason"] == "http_timeout"


def test_the_app_can_ask_for_no_retry(slack: SimulatedSlack, maria: Person) -> None:
    with HttpApp((500, "", {"X-Slack-No-Retry": "1"})) as app:
        slack.use_http(app.url)
        ack = maria.open_home()
    assert (ack.status, ack.attempts, len(app.told)) == (500, 1, 2)


def test_a_request_can_be_replayed_to_the_byte(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with HttpApp() as app:
        slack.use_http(app.url)
        ack = maria.command("/clampdown status", channel)
        assert slack.replay(ack).ok
        assert slack.replay(maria.shortcut("contain")).ok
    assert app.told[1] == app.told[2]
    assert app.told[3] == app.told[4]
    unsent = slack.acks[0].__class__(200, None, 0.0)
    with pytest.raises(ValueError, match="Nothing was sent"):
        slack.replay(unsent)


def test_a_signature_can_be_made_for_another_time() -> None:
    now, old = signed(b"body", "secret"), signed(b"body", "secret", timestamp=1)
    verifier = SignatureVerifier("secret")
    assert verifier.is_valid_request(b"body", now)
    assert not verifier.is_valid_request(b"body", old)
    assert not verifier.is_valid_request(b"other", now)


# Addresses for answers


def hook(slack: SimulatedSlack, told: dict[str, Any]) -> str:
    """The address at which the simulated Slack itself answers."""
    url = str(told["response_url"])
    assert url.startswith("https://hooks.slack.com/")
    return url.replace("https://hooks.slack.com", slack.url)


def test_an_address_for_answers_takes_five_messages(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with SocketApp(slack) as app:
        maria.command("/clampdown status", channel)
        client = WebhookClient(hook(slack, app.told[0]["payload"]))
    for number in range(5):
        assert client.send(text=str(number)).body == "ok"
    answer = client.send(text="too many")
    assert (answer.status_code, json.loads(answer.body)["error"]) == (404, "used_url")
    assert [m.text for m in maria.ephemerals()] == ["0", "1", "2", "3", "4"]


def test_an_address_for_answers_serves_for_half_an_hour() -> None:
    now = [1_700_000_000.0]
    with SimulatedSlack(clock=lambda: now[0]) as slack, SocketApp(slack) as app:
        maria = slack.person("maria")
        maria.command("/clampdown status")
        client = WebhookClient(hook(slack, app.told[0]["payload"]))
        now[0] += 1800
        assert client.send(text="in time", response_type="in_channel").status_code == 200
        now[0] += 1
        assert json.loads(client.send(text="late").body)["error"] == "expired_url"
        assert [m.text for m in maria.direct_messages()] == ["in time"]


def test_an_answer_may_replace_or_delete_the_message(
    slack: SimulatedSlack, web: WebClient, maria: Person, channel: Channel
) -> None:
    blocks = [actions(button("ok"))]
    ts = web.chat_postMessage(channel=channel.id, text="one", blocks=blocks)["ts"]
    with SocketApp(slack) as app:
        maria.click(channel, ts, "ok")
        client = WebhookClient(hook(slack, app.told[0]["payload"]))
    client.send(text="two", replace_original=True)
    assert [(m.text, m.blocks) for m in slack.messages(channel)] == [("two", [])]
    client.send(text="", delete_original=True)
    assert slack.messages(channel) == []
    assert client.send(text="x", blocks=[{"type": "nothing"}]).body == "invalid_blocks"


def test_an_address_that_is_none_is_refused(slack: SimulatedSlack) -> None:
    url = f"{slack.url}/commands/T1/1/guessed"
    with pytest.raises(HTTPError) as error:
        urlopen(Request(url, b'{"text": "x"}', JSON), timeout=5)
    assert json.loads(error.value.read())["error"] == "invalid_url"
    with pytest.raises(HTTPError) as error:
        urlopen(Request(url, b"nothing", JSON), timeout=5)
    assert error.value.code == 400
