"""The Web API's frame: tokens, arguments, scopes, rate limits and faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from flows.gameday.slack.app import App
from flows.gameday.slack.faults import Fault
from flows.gameday.slack.limits import Limits
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.conftest import refused


def raw(slack: SimulatedSlack, method: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    """The answer to a request that no SDK has made."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(slack.api_url + method, body, named), timeout=5) as answer:
        told: dict[str, Any] = json.loads(answer.read())
        return told


# Tokens


@pytest.mark.parametrize(
    ("authorization", "error"),
    [
        ({}, "not_authed"),
        ({"Authorization": "Bearer xoxb-not-mine"}, "invalid_auth"),
        ({"Authorization": "Basic xyz"}, "not_authed"),
    ],
)
def test_who_has_no_token_is_refused(
    slack: SimulatedSlack, authorization: dict[str, str], error: str
) -> None:
    assert raw(slack, "auth.test", b"", **authorization) == {"ok": False, "error": error}


def test_auth_test_says_who_the_app_is(slack: SimulatedSlack, web: WebClient) -> None:
    answer = web.auth_test()
    installed = slack.installation
    assert answer["user_id"] == installed.bot_user
    assert answer["bot_id"] == installed.bot_id
    assert answer["team_id"] == slack.workspace.team.id
    assert "x-oauth-scopes" in answer.headers


def test_each_token_serves_for_its_own_methods(slack: SimulatedSlack, web: WebClient) -> None:
    app_token, bot_token = slack.installation.app_token, slack.installation.bot_token
    assert app_token.startswith("xapp-")
    assert bot_token.startswith("xoxb-")
    assert refused(WebClient(app_token, base_url=slack.api_url).auth_test) == (
        "not_allowed_token_type"
    )
    assert refused(web.apps_connections_open, app_token=bot_token) == "not_allowed_token_type"
    url = web.apps_connections_open(app_token=app_token)["url"]
    assert url.startswith("ws://127.0.0.1:")


def test_a_token_may_stand_among_the_arguments(slack: SimulatedSlack) -> None:
    token = slack.installation.bot_token
    body = urlencode({"token": token}).encode()
    form = "application/x-www-form-urlencoded"
    assert raw(slack, "auth.test", body, Content_Type=form)["ok"]
    assert token not in repr(slack.calls)


def test_ids_and_tokens_follow_from_the_seed() -> None:
    installations = [SimulatedSlack(seed=seed).installation for seed in (1, 1, 2)]
    assert installations[0] == installations[1] != installations[2]


# Arguments


def test_a_method_that_is_not_there_is_said_to_be_unknown(web: WebClient) -> None:
    with pytest.raises(SlackApiError) as error:
        web.api_call("chat.postNothing")
    assert error.value.response["error"] == "unknown_method"
    assert error.value.response["req_method"] == "chat.postNothing"


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"[]", "json_not_object"),
        ("application/x-www-form-urlencoded", b"\xff\xfe=1", "invalid_form_data"),
        ("text/html", b"x", "invalid_post_type"),
    ],
)
def test_a_body_that_can_not_be_read_is_refused(
    slack: SimulatedSlack, content_type: str, body: bytes, error: str
) -> None:
    token = f"Bearer {slack.installation.bot_token}"
    answer = raw(slack, "chat.postMessage", body, Content_Type=content_type, Authorization=token)
    assert answer["error"] == error


def test_blocks_may_come_as_json_in_a_form(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    blocks = [{"type": "divider"}]
    form = {"channel": channel.id, "blocks": json.dumps(blocks), "unfurl_links": "0"}
    web.api_call("chat.postMessage", params=form)
    [message] = slack.messages(channel)
    assert message.blocks[0]["type"] == "divider"
    assert refused(
        web.api_call, api_method="chat.postMessage", params={**form, "blocks": "[{"}
    ) == ("invalid_blocks_format")


def test_what_is_missing_is_named(web: WebClient) -> None:
    with pytest.raises(SlackApiError) as error:
        web.api_call("users.info")
    assert error.value.response["response_metadata"]["messages"] == [
        "[ERROR] missing required field: user"
    ]


def test_the_asynchronous_client_works_as_well(slack: SimulatedSlack, channel: Channel) -> None:
    async def talk() -> list[str]:
        client = AsyncWebClient(slack.installation.bot_token, base_url=slack.api_url)
        posted = await client.chat_postMessage(channel=channel.id, text="one")
        await client.chat_postMessage(channel=channel.id, text="two", thread_ts=posted["ts"])
        thread = await client.conversations_replies(channel=channel.id, ts=posted["ts"])
        return [message["text"] for message in thread["messages"]]

    assert asyncio.run(talk()) == ["one", "two"]


# Scopes


def test_what_the_app_has_no_scope_for_is_refused() -> None:
    with SimulatedSlack(App(scopes=("chat:write", "commands")), unlimited=True) as slack:
        maria = slack.person("maria")
        web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        with pytest.raises(SlackApiError) as error:
            web.users_info(user=maria.id)
        answer = error.value.response
        assert (answer["error"], answer["needed"]) == ("missing_scope", "users:read")
        assert answer["provided"] == "chat:write,commands"
        assert web.auth_test().headers["x-oauth-scopes"] == "chat:write,commands"


@pytest.mark.parametrize(
    ("private", "scope"), [(False, "channels:history"), (True, "groups:history")]
)
def test_the_scope_for_reading_is_that_of_the_kind_of_channel(private: bool, scope: str) -> None:
    for scopes, allowed in (((scope,), True), (("im:history",), False)):
        with SimulatedSlack(App(scopes=scopes), unlimited=True) as slack:
            channel = slack.channel("incidents", private=private)
            web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
            if allowed:
                assert web.conversations_history(channel=channel.id)["messages"] == []
            else:
                assert refused(web.conversations_history, channel=channel.id) == "missing_scope"


def test_a_public_channel_takes_posts_from_outside_with_a_scope_for_that() -> None:
    for scopes, error in ((("chat:write",), "not_in_channel"), (("chat:write.public",), "")):
        with SimulatedSlack(App(scopes=("chat:write", *scopes)), unlimited=True) as slack:
            channel = slack.channel("random", with_app=False)
            web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
            if error:
                assert refused(web.chat_postMessage, channel=channel.id, text="x") == error
            else:
                assert web.chat_postMessage(channel=channel.id, text="x")["ok"]


def test_a_manifest_sets_the_app_up() -> None:
    app = App.from_manifest(
        {
            "display_information": {"name": "Clampdown"},
            "features": {
                "app_home": {"home_tab_enabled": True},
                "slash_commands": [{"command": "/clampdown", "description": "…"}],
                "shortcuts": [{"name": "Contain", "type": "message", "callback_id": "contain"}],
            },
            "oauth_config": {"scopes": {"bot": ["commands", "chat:write"]}},
            "settings": {
                "event_subscriptions": {"bot_events": ["app_home_opened"]},
                "interactivity": {"is_enabled": True},
                "socket_mode_enabled": True,
            },
        }
    )
    assert app == App(
        commands=("/clampdown",), shortcuts=("contain",), scopes=("commands", "chat:write")
    )


# Rate limits


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def limited(time: Time) -> Iterator[SimulatedSlack]:
    with SimulatedSlack(limits=Limits(clock=time)) as running:
        yield running


def test_a_channel_takes_a_message_a_second_after_a_short_burst(
    limited: SimulatedSlack, time: Time
) -> None:
    web = WebClient(limited.installation.bot_token, base_url=limited.api_url)
    first, second = limited.channel("one"), limited.channel("two")
    for number in range(3):
        web.chat_postMessage(channel=first.id, text=str(number))
    with pytest.raises(SlackApiError) as error:
        web.chat_postMessage(channel=first.id, text="too many")
    assert error.value.response.status_code == 429
    assert error.value.response.headers["Retry-After"] == "1"
    assert error.value.response.data == {"ok": False, "error": "ratelimited"}
    # Another channel has its own limit.
    web.chat_postMessage(channel=second.id, text="other")
    time.now += 1
    web.chat_postMessage(channel=first.id, text="later")
    assert [m.text for m in limited.messages(first)] == ["0", "1", "2", "later"]


def test_the_workspace_takes_only_so_many_messages(limited: SimulatedSlack) -> None:
    web = WebClient(limited.installation.bot_token, base_url=limited.api_url)
    channels = [limited.channel(f"inc-{number}") for number in range(134)]

    def post_all() -> None:
        for channel in channels:
            for _ in range(3):
                web.chat_postMessage(channel=channel.id, text="x")

    with pytest.raises(SlackApiError) as error:
        post_all()
    assert error.value.response.headers["Retry-After"] == "1"
    assert sum(len(limited.messages(channel)) for channel in channels) == 400


@pytest.mark.parametrize(("method", "a_minute"), [("usergroups.list", 20), ("chat.update", 50)])
def test_a_tier_allows_so_many_calls_a_minute(
    limited: SimulatedSlack, time: Time, method: str, a_minute: int
) -> None:
    web = WebClient(limited.installation.bot_token, base_url=limited.api_url)
    channel = limited.channel("incidents")
    ts = web.chat_postMessage(channel=channel.id, text="x")["ts"]
    arguments = {"channel": channel.id, "ts": ts, "text": "y"}
    for _ in range(a_minute):
        web.api_call(method, json=arguments)
    assert refused(web.api_call, api_method=method, json=arguments) == "ratelimited"
    time.now += 60 / a_minute
    web.api_call(method, json=arguments)
    assert refused(web.api_call, api_method=method, json=arguments) == "ratelimited"


def test_the_sdk_waits_as_long_as_it_is_told(slack: SimulatedSlack, channel: Channel) -> None:
    slack.fault(Fault(method="chat.postMessage", effect="ratelimited", seconds=1, times=1))
    patient = RateLimitErrorRetryHandler(max_retry_count=1)
    web = WebClient(slack.installation.bot_token, base_url=slack.api_url, retry_handlers=[patient])
    web.chat_postMessage(channel=channel.id, text="x")
    statuses = [(call.status, call.at) for call in slack.calls]
    assert [status for status, _ in statuses] == [429, 200]
    assert statuses[1][1] - statuses[0][1] >= 1


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_whoever_waits_as_long_as_told_may_then_call(steps: list[tuple[float, bool]]) -> None:
    time = Time()
    limits = Limits(clock=time)
    for pause, update in steps:
        time.now += pause
        method, tier = ("chat.update", 3) if update else ("chat.postMessage", 0)
        wait = limits.take(method, tier, "C1")
        if wait:
            time.now += wait
            assert limits.take(method, tier, "C1") == 0


def test_limits_can_be_forgotten() -> None:
    limits = Limits(post_burst=1, clock=Time())
    assert [limits.take("chat.postMessage", 0, "C1") for _ in range(2)] == [0, 1]
    limits.clear()
    assert limits.take("chat.postMessage", 0, "C1") == 0


# Faults


def post(web: WebClient, channel: Channel, text: str = "x") -> Any:
    return web.chat_postMessage(channel=channel.id, text=text)


def test_a_method_fails_as_often_as_the_fault_says(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    slack.fault(Fault(method="chat.*", effect="error", code="fatal_error", nth=2, times=2))
    outcomes = []
    for number in range(4):
        try:
            post(web, channel, str(number))
            outcomes.append("posted")
        except SlackApiError as error:
            outcomes.append(error.response["error"])
    assert outcomes == ["posted", "fatal_error", "fatal_error", "posted"]
    assert [call.error for call in slack.calls] == ["", "fatal_error", "fatal_error", ""]


def test_a_fault_hits_until_it_is_cleared_and_only_what_it_names(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    other = slack.channel("other")
    slack.fault(Fault(containing=channel.id, effect="server_error", status=503))
    for _ in range(2):
        with pytest.raises(SlackApiError) as error:
            post(web, channel)
        assert error.value.response.status_code == 503
    assert post(web, other)["ok"]
    slack.clear_faults()
    assert post(web, channel)["ok"]


def test_a_dropped_call_is_not_carried_out(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    slack.fault(Fault(effect="drop", times=1))
    web.retry_handlers.clear()
    with pytest.raises(OSError):
        post(web, channel)
    assert slack.messages(channel) == []
    assert post(web, channel)["ok"]


def test_a_lost_answer_is_of_a_call_that_was_carried_out(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    slack.fault(Fault(effect="lost_answer", times=1))
    web.retry_handlers.clear()
    with pytest.raises(OSError):
        post(web, channel)
    assert len(slack.messages(channel)) == 1


def test_a_slow_call_is_carried_out_all_the_same(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    slack.fault(Fault(effect="slow", seconds=0.3, times=1))
    began = slack.workspace.clock()
    post(web, channel)
    assert slack.workspace.clock() - began >= 0.3
    # Meanwhile others are answered.
    slack.fault(Fault(method="chat.postMessage", effect="slow", seconds=0.5))
    at = slack.at_once(
        lambda: (post(web, channel), slack.workspace.clock())[1],
        lambda: (web.auth_test(), slack.workspace.clock())[1],
    )
    assert at[0] - at[1] > 0.3


def test_slack_can_be_down_and_up_again(
    slack: SimulatedSlack, web: WebClient, channel: Channel, maria: Person
) -> None:
    web.retry_handlers.clear()
    slack.down()
    with pytest.raises(OSError):
        post(web, channel)
    ack = maria.command("/clampdown status", channel)
    assert (ack.status, ack.error) == (0, "slack_is_down")
    assert maria.open_home().error == "slack_is_down"
    slack.up()
    assert post(web, channel)["ok"]


def test_a_fault_must_be_one_that_there_is() -> None:
    with pytest.raises(ValidationError):
        Fault(effect="explode")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Fault(statsu=500)  # type: ignore[call-arg]


def test_two_simulated_slacks_know_nothing_of_each_other(
    slack: SimulatedSlack, web: WebClient
) -> None:
    with SimulatedSlack(seed=7) as other:
        strange = WebClient(other.installation.bot_token, base_url=slack.api_url)
        assert refused(strange.auth_test) == "invalid_auth"
        assert web.auth_test()["ok"]


def test_other_addresses_are_not_found(slack: SimulatedSlack) -> None:
    with pytest.raises(HTTPError) as error:
        urlopen(f"{slack.url}/nothing", timeout=5)
    assert error.value.code == 404
