"""A workspace with three people, a user group and a channel; a client of its Web API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack


@pytest.fixture
def slack() -> Iterator[SimulatedSlack]:
    """Without rate limits, and with no pause before an event is sent again."""
    with SimulatedSlack(
        unlimited=True, ack_seconds=1.0, retry_seconds=(0, 0, 0), warning_seconds=0.05
    ) as running:
        yield running


@pytest.fixture
def web(slack: SimulatedSlack) -> WebClient:
    """Slack's own client, with the app's token."""
    return WebClient(slack.installation.bot_token, base_url=slack.api_url)


@pytest.fixture
def maria(slack: SimulatedSlack) -> Person:
    return slack.person("maria", real_name="Maria Keller")


@pytest.fixture
def tom(slack: SimulatedSlack) -> Person:
    return slack.person("tom", real_name="Tom Ode")


@pytest.fixture
def channel(slack: SimulatedSlack, maria: Person, tom: Person) -> Channel:
    return slack.channel("incidents", maria, tom)


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error with which Slack refuses a call."""
    with pytest.raises(SlackApiError) as error:
        call(**arguments)
    return str(error.value.response["error"])
