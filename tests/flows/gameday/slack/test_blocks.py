"""Block Kit's limits, in Slack's words; and nothing against blocks that Slack's SDK finds right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from slack_sdk.models import blocks as sdk
from slack_sdk.models.views import View

from flows.gameday.slack.blocks import (
    problems_of_message,
    problems_of_view,
    too_long_together,
)
from tests.flows.gameday.slack.apps import actions, button, modal, section, text_input


def option(text: str = "One", value: str = "1", **more: Any) -> dict[str, Any]:
    return {"text": {"type": "plain_text", "text": text}, "value": value, **more}


def select(*options: Mapping[str, Any], kind: str = "static_select", **more: Any) -> dict[str, Any]:
    return {"type": kind, "action_id": "choose", "options": list(options), **more}


def header(text: str, kind: str = "plain_text") -> dict[str, Any]:
    return {"type": "header", "text": {"type": kind, "text": text}}


CONFIRM = {
    "title": {"type": "plain_text", "text": "Sure?"},
    "text": {"type": "plain_text", "text": "It takes the instance off the network."},
    "confirm": {"type": "plain_text", "text": "Yes"},
    "deny": {"type": "plain_text", "text": "No"},
    "style": "danger",
}
RIGHT: list[dict[str, Any]] = [
    section("x" * 3000),
    section("x", accessory=button("go")),
    section("x", accessory=select(option(), kind="multi_static_select")),
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}] * 10},
    header("x" * 150),
    {"type": "divider"},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "x", "verbatim": True}] * 10},
    {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "x"},
    actions(*[button(str(n), "x" * 75, value="v" * 2000) for n in range(25)]),
    actions(button("a" * 255, style="primary", confirm=CONFIRM), select(*[option()] * 100)),
    actions({"type": "users_select", "action_id": "who"}),
    actions({"type": "datepicker", "action_id": "when", "initial_date": "2026-01-31"}),
    text_input("why", "Why?", multiline=True, max_length=500),
]


@pytest.mark.parametrize("block", RIGHT, ids=lambda block: str(block["type"]))
def test_what_is_right_is_taken(block: dict[str, Any]) -> None:
    assert problems_of_message([block]) == []
    # Slack's SDK agrees, as far as it looks.
    parsed = sdk.Block.parse(block)
    assert parsed is not None
    parsed.validate_json()


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"type": "sections"}, "unsupported type: sections [json-pointer:/blocks/0/type]"),
        ({}, "missing required field: type [json-pointer:/blocks/0]"),
        ("text", "must be an object [json-pointer:/blocks/0]"),
        (
            section("x" * 3001),
            "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
        ),
        (section(""), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        ({"type": "section"}, "must define either `text` or `fields` [json-pointer:/blocks/0]"),
        (
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11},
            "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
        ),
        (
            header("x" * 151),
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        (header("x", "mrkdwn"), "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"),
        (
            actions(*[button(str(n)) for n in range(26)]),
            "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (actions(), "must provide at least 1 items [json-pointer:/blocks/0/elements]"),
        (
            actions(button("go", "x" * 76)),
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
        ),
        (
            actions(button("go", value="v" * 2001)),
            "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        ),
        (
            actions(button("go", style="secondary")),
            "must be a valid enum value [json-pointer:/blocks/0/elements/0/style]",
        ),
        (
            actions(button("go", colour="red")),
            "invalid additional property: colour [json-pointer:/blocks/0/elements/0]",
        ),
        (
            actions(button("go"), button("go")),
            "`action_id` 'go' already exists [json-pointer:/blocks/0/elements/1]",
        ),
        (
            actions(select(option(), kind="multi_static_select")),
            "unsupported element: multi_static_select [json-pointer:/blocks/0/elements/0/type]",
        ),
        (
            actions(select()),
            "must provide at least 1 items [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            actions(select(option(value="v" * 151))),
            "must be less than 151 characters [json-pointer:/blocks/0/elements/0/options/0/value]",
        ),
        (
            {"type": "image", "image_url": "https://example.com/x.png"},
            "missing required field: alt_text [json-pointer:/blocks/0]",
        ),
        (
            {"type": "divider", "block_id": 7},
            "must be a string [json-pointer:/blocks/0/block_id]",
        ),
        (
            {"type": "context", "elements": "x"},
            "must be an array [json-pointer:/blocks/0/elements]",
        ),
        (
            section("x", expand="yes"),
            "must be a boolean [json-pointer:/blocks/0/expand]",
        ),
        (
            text_input("why", "Why?", min_length="1"),
            "must be an integer [json-pointer:/blocks/0/element/min_length]",
        ),
    ],
)
def test_what_is_wrong_is_said_in_slacks_words(block: Any, problem: str) -> None:
    assert problem in problems_of_message([block])


def test_a_message_has_at_most_50_blocks_and_no_block_id_twice() -> None:
    assert problems_of_message([{"type": "divider"}] * 50) == []
    assert problems_of_message([{"type": "divider"}] * 51) == [
        "no more than 50 items allowed [json-pointer:/blocks]"
    ]
    twice = [{"type": "divider", "block_id": "same"}] * 2
    assert problems_of_message(twice) == [
        "`block_id` 'same' already exists [json-pointer:/blocks/1/block_id]"
    ]


def test_a_message_is_limited_as_a_whole() -> None:
    assert not too_long_together([section("x" * 3000)] * 4)
    assert too_long_together([section("x" * 3000)] * 4 + [section("x" * 700)] * 2)


def test_a_view_is_checked_too() -> None:
    assert problems_of_view(modal(text_input("why", "Why?")), "modal") == []
    assert problems_of_view({"type": "home", "blocks": [{"type": "divider"}] * 100}, "home") == []
    View(**modal(text_input("why", "Why?"))).validate_json()


@pytest.mark.parametrize(
    ("view", "kind", "problem"),
    [
        ({"type": "modal"}, "modal", "missing required field: title [json-pointer:/view]"),
        ({"type": "modal"}, "modal", "missing required field: blocks [json-pointer:/view]"),
        (modal(), "home", "must be of type `home` [json-pointer:/view/type]"),
        (
            modal(title={"type": "plain_text", "text": "x" * 25}),
            "modal",
            "must be less than 25 characters [json-pointer:/view/title/text]",
        ),
        (
            modal(text_input("why", "Why?"), submit=""),
            "modal",
            "must define `submit` to use an `input` block in modals "
            "[json-pointer:/view/blocks/0/input]",
        ),
        (
            modal(*[{"type": "divider"}] * 101),
            "modal",
            "no more than 100 items allowed [json-pointer:/view/blocks]",
        ),
        (
            modal(private_metadata="x" * 3001),
            "modal",
            "must be less than 3001 characters [json-pointer:/view/private_metadata]",
        ),
        (
            {"type": "home", "blocks": [], "submit": {"type": "plain_text", "text": "x"}},
            "home",
            "invalid additional property: submit [json-pointer:/view]",
        ),
        (
            {"type": "home", "blocks": [{"type": "table", "rows": [[]]}]},
            "home",
            "unsupported type: table [json-pointer:/view/blocks/0/type]",
        ),
    ],
)
def test_what_is_wrong_with_a_view_is_said(view: dict[str, Any], kind: str, problem: str) -> None:
    assert problem in problems_of_view(view, kind)
