"""What people see of messages and views, before it is written as a page or as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flows.gameday.slack import mrkdwn
from flows.gameday.slack.mrkdwn import Line, Names, Span
from flows.gameday.slack.records import Message
from flows.gameday.slack.views import View
from flows.gameday.slack.workspace import Workspace


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Text; ``small`` where it is a context."""

    lines: Sequence[Line]
    small: bool = False


@dataclass(frozen=True)
class Fields:
    """Short texts, two beside each other."""

    cells: Sequence[Sequence[Line]]


@dataclass(frozen=True)
class Divider:
    pass


@dataclass(frozen=True)
class Control:
    """A button (``style`` ``primary``, ``danger`` or empty) or a ``menu`` with what is chosen."""

    label: str
    style: str = ""
    menu: bool = False


@dataclass(frozen=True)
class Controls:
    items: Sequence[Control]


@dataclass(frozen=True)
class Field:
    """A field of a form: ``rows`` of it are seen; ``choices`` are its options and whether each is
    chosen."""

    label: str
    hint: str = ""
    value: str = ""
    placeholder: str = ""
    rows: int = 1
    choices: Sequence[tuple[str, bool]] = ()
    optional: bool = False
    error: str = ""


@dataclass(frozen=True)
class Picture:
    alt: str


@dataclass(frozen=True)
class Attached:
    """A file."""

    name: str
    size: int


Node = Heading | Paragraph | Fields | Divider | Controls | Field | Picture | Attached


@dataclass(frozen=True)
class Bubble:
    """A message as somebody sees it. ``to`` is the one who does, where it is ephemeral."""

    author: str
    is_app: bool
    at: datetime
    nodes: Sequence[Node]
    edited: bool = False
    to: str = ""
    reactions: Sequence[tuple[str, int]] = ()
    replies: Sequence[Bubble] = field(default_factory=tuple)


@dataclass(frozen=True)
class Window:
    """A modal or a Home tab of one person."""

    who: str
    title: str
    nodes: Sequence[Node]
    submit: str = ""
    close: str = ""


def names_of(workspace: Workspace, now: datetime | None = None) -> Names:
    """How things of the workspace are called. ``now`` gives the time zone; UTC is the default."""
    return Names(
        {user.id: user.name for user in workspace.users.values()},
        {group.id: group.handle for group in workspace.groups.values()},
        {channel.id: channel.name for channel in workspace.channels.values()},
        now or datetime.fromtimestamp(workspace.clock(), UTC),
    )


def bubble(
    workspace: Workspace, message: Message, names: Names, replies: Sequence[Message] = ()
) -> Bubble:
    user = workspace.users[message.user]
    return Bubble(
        user.real_name,
        user.is_bot,
        datetime.fromtimestamp(float(message.ts), UTC).astimezone(names.now.tzinfo),
        list(_message_nodes(message, names)),
        bool(message.edited_ts),
        workspace.users[message.shown_to].real_name if message.shown_to else "",
        [(mrkdwn.plain_lines(f":{n}:")[0].text, len(u)) for n, u in message.reactions.items()],
        [bubble(workspace, reply, names) for reply in replies],
    )


def window(workspace: Workspace, view: View, names: Names) -> Window:
    given = view.given
    who = workspace.users[view.user].real_name
    found = list(nodes(view.blocks, names, view.errors))
    if given["type"] == "home":
        return Window(who, f"{workspace.app.name}: Home", found)
    close = given.get("close") or {"text": "Cancel"}
    submit = given.get("submit") or {"text": ""}
    return Window(who, _plain(given["title"]), found, _plain(submit), _plain(close))


def nodes(
    blocks: Sequence[Mapping[str, Any]], names: Names, errors: Mapping[str, str] | None = None
) -> Iterator[Node]:
    """What blocks show. ``errors`` are by block id."""
    for block in blocks:
        match block["type"]:
            case "header":
                yield Heading(_plain(block["text"]))
            case "divider":
                yield Divider()
            case "section":
                yield from _section(block, names)
            case "context":
                yield _context(block, names)
            case "actions":
                yield Controls([_control(element) for element in block["elements"]])
            case "input":
                yield _field(block, (errors or {}).get(block["block_id"], ""))
            case "image":
                yield Picture(block["alt_text"])
            case "rich_text":
                yield Paragraph(list(_rich(block["elements"], names)))
            case "markdown":
                yield Paragraph(mrkdwn.lines(block["text"], names))
            case other:
                yield Paragraph(mrkdwn.plain_lines(f"({other})"), small=True)


def _message_nodes(message: Message, names: Names) -> Iterator[Node]:
    if message.blocks:
        yield from nodes(message.blocks, names)
    elif message.text:
        yield Paragraph(mrkdwn.lines(message.text, names))
    for attachment in message.attachments:
        yield from nodes(attachment.get("blocks", ()), names)
        for name in ("pretext", "title", "text"):
            if attachment.get(name):
                yield Paragraph(mrkdwn.lines(str(attachment[name]), names))
    for file in message.files:
        yield Attached(file["title"] or file["name"], file["size"])


def _section(block: Mapping[str, Any], names: Names) -> Iterator[Node]:
    if block.get("text"):
        yield Paragraph(_text(block["text"], names))
    if block.get("fields"):
        yield Fields([_text(each, names) for each in block["fields"]])
    accessory = block.get("accessory")
    if accessory:
        if accessory["type"] == "image":
            yield Picture(accessory["alt_text"])
        else:
            yield Controls([_control(accessory)])


def _context(block: Mapping[str, Any], names: Names) -> Paragraph:
    found: list[Line] = []
    for element in block["elements"]:
        shown = (
            mrkdwn.plain_lines(f"[{element['alt_text']}]")
            if element["type"] == "image"
            else _text(element, names)
        )
        if found and shown:
            # The elements of a context stand beside each other.
            shown = [Line("text", (*found.pop().spans, Span("  "), *shown[0].spans)), *shown[1:]]
        found += shown
    return Paragraph(found, small=True)


def _control(element: Mapping[str, Any]) -> Control:
    if element["type"] == "button":
        return Control(_plain(element["text"]), element.get("style", ""))
    if element.get("initial_option"):
        return Control(_plain(element["initial_option"]["text"]), menu=True)
    placeholder = element.get("placeholder")
    return Control(_plain(placeholder) if placeholder else "…", menu=True)


def _field(block: Mapping[str, Any], error: str) -> Field:
    element = block["element"]
    several = element.get("initial_options") or [element.get("initial_option")]
    initial = [option["value"] for option in several if option]
    options = [*element.get("options", ())]
    for group in element.get("option_groups", ()):
        options += group["options"]
    value = next(
        (element[k] for k in element if k.startswith("initial_") and _simple(element[k])), ""
    )
    return Field(
        _plain(block["label"]),
        _plain(block["hint"]) if block.get("hint") else "",
        str(value),
        _plain(element["placeholder"]) if element.get("placeholder") else "",
        3 if element.get("multiline") else 1,
        [(_plain(option["text"]), option["value"] in initial) for option in options],
        bool(block.get("optional")),
        error,
    )


def _simple(value: Any) -> bool:
    return isinstance(value, str | int)


def _text(text: Mapping[str, Any], names: Names) -> list[Line]:
    if text["type"] == "mrkdwn":
        return mrkdwn.lines(text["text"], names)
    return mrkdwn.plain_lines(text["text"], emoji=text.get("emoji", True))


def _plain(text: Mapping[str, Any]) -> str:
    rows = mrkdwn.plain_lines(text["text"], emoji=text.get("emoji", True))
    return " ".join(row.text for row in rows)


def _rich(elements: Sequence[Mapping[str, Any]], names: Names) -> Iterator[Line]:
    for element in elements:
        kind = {"rich_text_preformatted": "pre", "rich_text_quote": "quote"}.get(
            element["type"], "text"
        )
        if element["type"] == "rich_text_list":
            for item in element["elements"]:
                for line in _rich([item], names):
                    yield Line("text", (Span("• "), *line.spans))
            continue
        row: list[Span] = []
        for part in element.get("elements", ()):
            span = _rich_span(part, names)
            first, *rest = span.text.split("\n")
            row.append(Span(first, span.styles, span.href))
            for text in rest:
                yield Line(kind, tuple(row))
                row = [Span(text, span.styles, span.href)]
        yield Line(kind, tuple(row))


def _rich_span(part: Mapping[str, Any], names: Names) -> Span:
    styles = frozenset(name for name, on in (part.get("style") or {}).items() if on)
    mention = frozenset({"mention"})
    match part.get("type"):
        case "user":
            return Span(f"@{names.users.get(part['user_id'], part['user_id'])}", mention)
        case "usergroup":
            group = part["usergroup_id"]
            return Span(f"@{names.groups.get(group, group)}", mention)
        case "channel":
            channel = part["channel_id"]
            return Span(f"#{names.channels.get(channel, channel)}", mention)
        case "broadcast":
            return Span(f"@{part['range']}", mention)
        case "emoji":
            return mrkdwn.plain_lines(f":{part['name']}:")[0].spans[0]
        case "link":
            return Span(part.get("text") or part["url"], styles, part["url"])
    return Span(str(part.get("text", "")), styles)
