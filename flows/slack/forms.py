"""Forms: the pieces that modals are made of, and what somebody has filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.slack.blocks import plain_text
from flows.slack.message import Block

TITLE = 24
OPTION = 75


def text_input(
    action: str, initial: str, longest: int, *, lines: bool = False, placeholder: str = ""
) -> Block:
    """A field to type in; ``lines`` is whether it takes several."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": action,
        "multiline": lines,
        "max_length": longest,
    }
    if initial:
        element["initial_value"] = initial[:longest]
    if placeholder:
        element["placeholder"] = plain_text(placeholder, 150)
    return element


def input_block(
    block_id: str, label: str, element: Block, *, hint: str = "", optional: bool = False
) -> Block:
    """A field with its label. Its block's id names it in what comes back, and in errors."""
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain_text(label, 200),
        "element": element,
        "optional": optional,
    }
    return {**block, "hint": plain_text(hint, 300)} if hint else block


def form(callback: str, title: str, submit: str, blocks: list[Block], metadata: str) -> Block:
    """A modal with a button that sends it. ``metadata`` comes back with it, and holds ids only."""
    return {
        "type": "modal",
        "callback_id": callback,
        "title": plain_text(title, TITLE),
        "submit": plain_text(submit, TITLE),
        "close": plain_text("Cancel", TITLE),
        "private_metadata": metadata,
        "blocks": blocks,
    }


def state(view: Mapping[str, Any], block_id: str) -> Mapping[str, Any]:
    """What Slack says of a field of a form that was sent."""
    values = (view.get("state") or {}).get("values") or {}
    found: Mapping[str, Any] = (values.get(block_id) or {}).get(block_id) or {}
    return found


def value(view: Mapping[str, Any], block_id: str) -> str:
    """What somebody has typed into a field."""
    return str(state(view, block_id).get("value") or "").strip()
