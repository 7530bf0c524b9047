"""A message as it should be: its blocks, and the key by which it is known among its incident's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runbooks.calls import sha256

Block = dict[str, Any]

GATE_URGENCY, OPENING_URGENCY, TASK_URGENCY, PROGRESS_URGENCY = range(4)


@dataclass(frozen=True)
class Attachment:
    """A file that comes with a message. It is not written before it is sent."""

    name: str
    title: str
    write: Callable[[], str]

    @property
    def content(self) -> str:
        return self.write()


@dataclass(frozen=True)
class Message:
    """What one message of an incident's thread says now.

    ``key`` stays the same while the content changes. ``text`` is what a notification shows, and
    all there is where blocks can't be shown. ``urgency``: the lower goes first. ``thread`` is
    whether it is a reply in the incident's thread; the opening message begins it.
    """

    key: str
    text: str
    blocks: tuple[Block, ...]
    urgency: int
    thread: bool = True
    file: Attachment | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what it shows."""
        return sha256({"text": self.text, "blocks": list(self.blocks)})
