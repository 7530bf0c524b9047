"""The simulated Slack as plain text, for a terminal or a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime

from flows.gameday.slack.mrkdwn import Line
from flows.gameday.slack.records import Channel, Message
from flows.gameday.slack.shown import (
    Attached,
    Bubble,
    Control,
    Controls,
    Divider,
    Field,
    Fields,
    Heading,
    Node,
    Paragraph,
    Picture,
    Window,
    bubble,
    names_of,
    window,
)
from flows.gameday.slack.views import View, Views
from flows.gameday.slack.workspace import Workspace

WIDTH = 88


def as_text(
    workspace: Workspace, views: Views, *, width: int = WIDTH, now: datetime | None = None
) -> str:
    """The whole workspace: its channels with their threads, open modals and Home tabs."""
    with workspace.changed:
        parts = [
            channel_text(workspace, channel, width=width, now=now)
            for channel in workspace.channels.values()
            if channel.messages or channel.ephemerals
        ]
        shown = [*views.homes().values(), *(v for s in views.stacks().values() for v in s)]
        parts += [view_text(workspace, view, width=width, now=now) for view in shown]
    return "\n".join(parts)


def channel_text(
    workspace: Workspace, channel: Channel, *, width: int = WIDTH, now: datetime | None = None
) -> str:
    """A channel, its threads below their first messages."""
    with workspace.changed:
        rows = [_rule(channel_title(workspace, channel), width)]
        for message in timeline(channel):
            rows.append(message_text(workspace, channel, message, width=width, now=now))
            for reply in thread(channel, message):
                text = message_text(workspace, channel, reply, width=width - 4, now=now)
                rows.append(textwrap.indent(text, "  │ ", lambda line: True))
    return "\n".join(rows) + "\n"


def message_text(
    workspace: Workspace,
    channel: Channel,
    message: Message,
    *,
    width: int = WIDTH,
    now: datetime | None = None,
) -> str:
    """One message."""
    with workspace.changed:
        shown = bubble(workspace, message, names_of(workspace, now))
    return "\n".join(_bubble(shown, width))


def view_text(
    workspace: Workspace, view: View, *, width: int = WIDTH, now: datetime | None = None
) -> str:
    """A modal or a Home tab."""
    with workspace.changed:
        shown = window(workspace, view, names_of(workspace, now))
    return "\n".join(_window(shown, width)) + "\n"


def channel_title(workspace: Workspace, channel: Channel) -> str:
    """``#name``, or with whom the direct message is."""
    if channel.im_with:
        return f"{workspace.app.name} and {workspace.users[channel.im_with].real_name}"
    return f"#{channel.name}" + (" (archived)" if channel.archived else "")


def timeline(channel: Channel) -> list[Message]:
    """What stands in the channel itself, in order, ephemeral messages with the others."""
    own = [m for m in channel.messages.values() if not m.is_reply or m.broadcast]
    private = [m for m in channel.ephemerals if not m.thread_ts]
    return sorted([*own, *private], key=lambda message: message.ts)


def thread(channel: Channel, root: Message) -> list[Message]:
    """The thread below a message, in order, ephemeral messages with the others."""
    private = [m for m in channel.ephemerals if m.thread_ts == root.ts]
    return sorted([*channel.replies(root.ts), *private], key=lambda message: message.ts)


def _bubble(shown: Bubble, width: int) -> Iterator[str]:
    head = f"{shown.at:%H:%M:%S} {shown.author}{' (app)' if shown.is_app else ''}"
    if shown.to:
        head += f" · only {shown.to} sees this"
    yield head + (" (edited)" if shown.edited else "")
    for row in _nodes(shown.nodes, width - 2):
        yield f"  {row}".rstrip()
    if shown.reactions:
        yield "  " + " ".join(f"{emoji} {count}" for emoji, count in shown.reactions)


def _window(shown: Window, width: int) -> Iterator[str]:
    yield _rule(f"{shown.title} · {shown.who}", width)
    for row in _nodes(shown.nodes, width - 2):
        yield f"  {row}".rstrip()
    buttons = [name for name in (shown.close, shown.submit) if name]
    if buttons:
        yield "  " + "  ".join(f"[ {name} ]" for name in buttons)


def _nodes(nodes: Sequence[Node], width: int) -> Iterator[str]:
    for node in nodes:
        match node:
            case Heading(text):
                yield from (f"▌ {row}" for row in textwrap.wrap(text, width - 2))
            case Paragraph(lines):
                yield from _lines(lines, width)
            case Fields(cells):
                for cell in cells:
                    yield ": ".join(row for row in _lines(cell, width) if row)
            case Divider():
                yield "─" * min(width, 40)
            case Controls(items):
                yield "  ".join(_control(item) for item in items)
            case Field():
                yield from _field(node, width)
            case Picture(alt):
                yield f"(picture: {alt})"
            case Attached(name, size):
                yield f"📎 {name} ({size:,} bytes)"


def _lines(lines: Sequence[Line], width: int) -> Iterator[str]:
    for line in lines:
        if line.kind == "pre":
            yield f"  {line.text}"
            continue
        text = "".join(
            f"{span.text} ({span.href})" if span.href not in ("", span.text) else span.text
            for span in line.spans
        )
        mark = "│ " if line.kind == "quote" else ""
        for row in textwrap.wrap(text, max(20, width - len(mark))) or [""]:
            yield mark + row


def _control(control: Control) -> str:
    if control.menu:
        return f"( {control.label} ▾ )"
    return f"[ {control.label} ]"


def _field(field: Field, width: int) -> Iterator[str]:
    yield field.label + (" (optional)" if field.optional else "")
    if field.choices:
        yield "  " + "  ".join(f"({'•' if on else ' '}) {name}" for name, on in field.choices)
    else:
        yield f"  [ {field.value or field.placeholder or ' ' * 20} ]"
    if field.error:
        yield f"  ⚠ {field.error}"
    elif field.hint:
        yield from (f"  {row}" for row in textwrap.wrap(field.hint, width - 2))


def _rule(title: str, width: int) -> str:
    return f"── {title} ".ljust(width, "─")
