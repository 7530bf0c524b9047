"""Block Kit's blocks, within Slack's limits.

Sources: docs.slack.dev, "Blocks" and "Block elements"; that a message as a whole is refused at
about 12,000 characters (``msg_blocks_too_long``) stands only in slackapi/bolt-js issues 2509 and
2867.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.slack.message import Block
from flows.slack.text import plain

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_CHARACTERS = 10_000
SECTION = 3_000
# Slack refuses empty texts.
_NOTHING = "–"
_HEADER = 150
_BUTTON = 75
_FIELDS = 10
_CONFIRM_TITLE, _CONFIRM_TEXT, _CONFIRM_BUTTON = 100, 300, 30


def mrkdwn(text: str) -> Block:
    """Text with formatting of our own; Slack makes no links or names of what else it finds."""
    return {"type": "mrkdwn", "text": text or _NOTHING, "verbatim": True}


def plain_text(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": plain(text, limit) or _NOTHING, "emoji": False}


def header(text: str) -> Block:
    return {"type": "header", "text": plain_text(text, _HEADER)}


def section(text: str, accessory: Block | None = None) -> Block:
    block: Block = {"type": "section", "text": mrkdwn(text)}
    return {**block, "accessory": accessory} if accessory else block


def divider() -> Block:
    return {"type": "divider"}


def context(*texts: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text) for text in texts]}


def fields(pairs: Iterable[tuple[str, str]]) -> Block:
    """Titles with what belongs to them, two beside each other; without those that are empty."""
    texts = [f"*{title}*\n{text}" for title, text in pairs if text]
    return {"type": "section", "fields": [mrkdwn(text) for text in texts[:_FIELDS]]}


def sections(
    title: str, lines: Sequence[str], room: int, more: str = "`clampdown status` shows all."
) -> list[Block]:
    """Lines under a title, in as many sections as they need; what has no room is counted.

    ``room`` is how many characters there are for all of them. No line is longer than a section.
    """
    shown = list(lines)
    while shown and sum(len(line) + 1 for line in shown) > room:
        shown.pop()
    if left := len(lines) - len(shown):
        shown.append(f"… and {left} more. {more}" if shown else f"{left} of them. {more}")
    texts = [f"*{title}*"] if title else []
    for line in shown:
        if texts and len(texts[-1]) + 1 + len(line) <= SECTION:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return [section(text) for text in texts] if shown else []


def actions(*elements: Block) -> Block:
    return {"type": "actions", "elements": list(elements)}


def button(
    label: str,
    action: str,
    value: object,
    *,
    style: str = "",
    confirm: Block | None = None,
) -> Block:
    """A button. ``value`` is made of ids only: see :mod:`flows.slack.actions`."""
    block: Block = {
        "type": "button",
        "text": plain_text(label, _BUTTON),
        "action_id": action,
        "value": str(value),
    }
    if style:
        block["style"] = style
    return {**block, "confirm": confirm} if confirm else block


def confirmation(title: str, text: str, yes: str, *, danger: bool = False) -> Block:
    """What Slack asks before it sends a click."""
    return {
        "title": plain_text(title, _CONFIRM_TITLE),
        "text": plain_text(text, _CONFIRM_TEXT),
        "confirm": plain_text(yes, _CONFIRM_BUTTON),
        "deny": plain_text("Back", _CONFIRM_BUTTON),
        "style": "danger" if danger else "primary",
    }
