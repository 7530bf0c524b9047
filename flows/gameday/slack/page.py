"""The simulated Slack as one HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from itertools import groupby

from flows.gameday.slack.mrkdwn import Line, Span
from flows.gameday.slack.records import Channel
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
from flows.gameday.slack.terminal import channel_title, thread, timeline
from flows.gameday.slack.views import Views
from flows.gameday.slack.workspace import Workspace

_COLOURS = ("#4a154b", "#1264a3", "#007a5a", "#8a5a00", "#a3184f", "#3f46ad", "#5b5f66")
_TAGS = {"bold": "b", "italic": "i", "strike": "s", "code": "code"}


def page(
    workspace: Workspace, views: Views, *, title: str = "", now: datetime | None = None
) -> str:
    """The whole workspace: its channels with their threads, open modals and Home tabs.

    ``now`` gives the time zone and which day is today; UTC is the default.
    """
    with workspace.changed:
        names = names_of(workspace, now)
        sections = [
            _channel(workspace, channel, now)
            for channel in workspace.channels.values()
            if channel.messages or channel.ephemerals
        ]
        opened = [view for stack in views.stacks().values() for view in stack]
        sections += [_window(window(workspace, view, names), "modal of") for view in opened]
        sections += [
            _window(window(workspace, view, names), "as seen by") for view in views.homes().values()
        ]
    heading = escape(title or workspace.team.name)
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<h1>{heading}</h1>\n"
        '<p class="note">A simulated Slack workspace: what on-call would see.</p>\n'
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _channel(workspace: Workspace, channel: Channel, now: datetime | None) -> str:
    names = names_of(workspace, now)
    rows = []
    for message in timeline(channel):
        shown = bubble(workspace, message, names, thread(channel, message))
        rows.append(_bubble(shown))
        if shown.replies:
            replies = "\n".join(_bubble(reply) for reply in shown.replies)
            rows.append(f'<div class="thread">\n{replies}\n</div>')
    topic = f" <small>{escape(channel.topic)}</small>" if channel.topic else ""
    title = escape(channel_title(workspace, channel))
    return f"<section>\n<h2>{title}{topic}</h2>\n" + "\n".join(rows) + "\n</section>"


def _bubble(shown: Bubble) -> str:
    initials = "".join(word[0] for word in shown.author.split()[:2]).upper()
    colour = _COLOURS[sum(shown.author.encode()) % len(_COLOURS)]
    app = '<span class="app">APP</span>' if shown.is_app else ""
    only = f' <span class="hint">Only visible to {escape(shown.to)}</span>' if shown.to else ""
    edited = ' <span class="edited">(edited)</span>' if shown.edited else ""
    reactions = "".join(f"<span>{escape(e)} {count}</span>" for e, count in shown.reactions)
    return (
        f'<div class="message{" private" if shown.to else ""}">'
        f'<div class="avatar" style="background:{colour}" aria-hidden="true">{escape(initials)}'
        f'</div>\n<div class="body"><p class="head"><b>{escape(shown.author)}</b>{app}'
        f"<time>{shown.at:%H:%M:%S}</time>{only}</p>\n"
        + "\n".join(_nodes(shown.nodes))
        + edited
        + (f'<div class="reactions">{reactions}</div>' if reactions else "")
        + "</div></div>"
    )


def _window(shown: Window, whose: str) -> str:
    buttons = ""
    if shown.submit or shown.close:
        submit = _control(Control(shown.submit, "primary")) if shown.submit else ""
        buttons = f'\n<div class="foot">{_control(Control(shown.close))}{submit}</div>'
    return (
        f"<section>\n<h2>{escape(shown.title)} <small>{whose} {escape(shown.who)}</small></h2>\n"
        '<div class="window">' + "\n".join(_nodes(shown.nodes)) + f"</div>{buttons}\n</section>"
    )


def _nodes(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        match node:
            case Heading(text):
                yield f"<h3>{escape(text)}</h3>"
            case Paragraph(lines, small):
                yield from _lines(lines, "small" if small else "")
            case Fields(cells):
                inner = "".join(f"<div>{''.join(_lines(cell, ''))}</div>" for cell in cells)
                yield f'<div class="fields">{inner}</div>'
            case Divider():
                yield "<hr>"
            case Controls(items):
                inner = "".join(_control(item) for item in items)
                yield f'<div class="controls">{inner}</div>'
            case Field():
                yield _field(node)
            case Picture(alt):
                yield f'<p class="small">🖼 {escape(alt)}</p>'
            case Attached(name, size):
                yield f'<p><span class="file">📎 <b>{escape(name)}</b> {size:,} bytes</span></p>'


def _lines(lines: Sequence[Line], css: str) -> Iterator[str]:
    kinds = {"pre": "pre", "quote": "blockquote", "text": "p"}
    for kind, group in groupby(lines, lambda line: line.kind):
        tag = kinds[kind]
        between = "\n" if kind == "pre" else "<br>\n"
        inner = between.join("".join(map(_span, line.spans)) for line in group)
        yield f'<{tag} class="{css}">{inner}</{tag}>' if css else f"<{tag}>{inner}</{tag}>"


def _span(span: Span) -> str:
    shown = escape(span.text)
    for style, tag in _TAGS.items():
        if style in span.styles:
            shown = f"<{tag}>{shown}</{tag}>"
    if "mention" in span.styles:
        shown = f'<span class="mention">{shown}</span>'
    if span.href:
        shown = f'<a href="{escape(span.href)}" rel="noreferrer noopener">{shown}</a>'
    return shown


def _control(control: Control) -> str:
    css = " menu" if control.menu else f" {control.style}" if control.style else ""
    return f'<span class="button{css}">{escape(control.label)}{" ▾" if control.menu else ""}</span>'


def _field(field: Field) -> str:
    if field.choices:
        entry = "".join(
            f"<div>{'◉' if chosen else '○'} {escape(name)}</div>" for name, chosen in field.choices
        )
        css = ""
    else:
        entry = escape(field.value or field.placeholder)
        css = ("" if field.value else " empty") + (" tall" if field.rows > 1 else "")
    optional = ' <span class="hint">(optional)</span>' if field.optional else ""
    below = f'<div class="error">{escape(field.error)}</div>' if field.error else ""
    if field.hint and not field.error:
        below = f'<div class="hint">{escape(field.hint)}</div>'
    return (
        f'<div class="field"><span class="label">{escape(field.label)}</span>{optional}'
        f'<div class="entry{css}">{entry}</div>{below}</div>'
    )
