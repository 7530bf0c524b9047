"""What Slack takes: its limits, its own models, and nothing that pings or links but what is ours."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from slack_sdk.models.blocks import Block as SlackBlock
from slack_sdk.models.views import View

from flows.slack.blocks import MESSAGE_BLOCKS, MESSAGE_CHARACTERS, VIEW_BLOCKS
from flows.slack.message import Block, Message

# Everything in angle brackets that Clampdown writes: times, and people, groups and channels by id.
_OURS = re.compile(
    r"<(?:!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|[0-9 :-]+ UTC"
    r"|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|#[CGD][A-Z0-9]+)>"
)
_CODE = re.compile(r"```[^`]+```|`[^`]+`")
_TEXT_LIMITS = {"header": 150, "section": 3_000}


def check_message(message: Message) -> None:
    """Raise AssertionError where Slack would refuse the message, or it says more than it should."""
    blocks = list(message.blocks)
    assert 0 < len(message.text) <= 300
    check_text(message.text)
    if message.file is None:
        assert 0 < len(blocks) <= MESSAGE_BLOCKS
    assert len(json.dumps(blocks, ensure_ascii=False)) <= MESSAGE_CHARACTERS
    _check_blocks(blocks)


def check_view(view: Block) -> None:
    """The same for a modal, or an App Home."""
    assert 0 < len(view["blocks"]) <= VIEW_BLOCKS
    for name in ("title", "submit", "close"):
        if name in view:
            assert 0 < len(view[name]["text"]) <= 24
            check_text(view[name]["text"])
    assert len(view.get("private_metadata", "")) <= 3_000
    assert len(view.get("callback_id", "")) <= 255
    assert len(json.dumps(view, ensure_ascii=False)) <= 250_000
    has_input = any(block["type"] == "input" for block in view["blocks"])
    assert not has_input or "submit" in view
    View(**view).to_dict()
    _check_blocks(view["blocks"])


def check_text(text: str) -> None:
    """Raise AssertionError where something pings, links, or is not to be seen."""
    for letter in text.replace("\n", ""):
        assert unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), repr(letter)
    left = _OURS.sub("", text)
    assert "<" not in left, left


def check_formatting(text: str) -> None:
    """Raise AssertionError where mrkdwn is formatted other than Clampdown does it."""
    for line in _CODE.sub("", _OURS.sub("", text)).splitlines():
        assert "`" not in line, text
        assert "~" not in line, text
        # Bold is Clampdown's own, and ends on its line.
        assert line.count("*") % 2 == 0, text
        assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", line), text
        assert not re.search(r":[\w+'-]+:", line), text


def _check_blocks(blocks: list[Block]) -> None:
    ids = Counter(block["block_id"] for block in blocks if "block_id" in block)
    assert all(number == 1 for number in ids.values())
    assert all(len(name) <= 255 for name in ids)
    for block in blocks:
        parsed = SlackBlock.parse(dict(block))
        assert parsed is not None, block
        parsed.validate_json()
        parsed.to_dict()
        _check_block(block)


def _check_block(block: Block) -> None:
    kind = block["type"]
    if "text" in block:
        assert 0 < len(block["text"]["text"]) <= _TEXT_LIMITS[kind]
    fields = block.get("fields", [])
    assert len(fields) <= 10
    assert all(0 < len(field["text"]) <= 2_000 for field in fields)
    elements = block.get("elements", [])
    assert len(elements) <= {"actions": 25, "context": 10}.get(kind, 0)
    actions = Counter(item["action_id"] for item in elements if "action_id" in item)
    assert all(number == 1 for number in actions.values())
    for item in _objects(block):
        if item.get("type") in ("mrkdwn", "plain_text"):
            assert item["text"], block
            check_text(item["text"])
        if item.get("type") == "mrkdwn":
            assert item["verbatim"] is True
            check_formatting(item["text"])
        if item.get("type") == "button":
            assert len(item["text"]["text"]) <= 75
            assert re.fullmatch(r"[A-Za-z0-9_. -]{1,300}", item["value"]), item["value"]
        if "action_id" in item:
            assert re.fullmatch(r"[a-z_]{1,255}", item["action_id"])
        if item.get("type") == "static_select":
            assert 0 < len(item["options"]) <= 100
        for option in item.get("options", []):
            assert 0 < len(option["text"]["text"]) <= 75
            assert 0 < len(option["value"]) <= 150


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)
