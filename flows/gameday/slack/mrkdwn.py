"""Slack's markup, read as Slack reads it (docs.slack.dev, "Formatting message text").

``mrkdwn`` is text in which ``<…>`` mentions or links, and ``*``, ``_``, ``~`` and backticks format;
``&``, ``<`` and ``>`` stand as entities.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.slack.emoji import EMOJI
from flows.gameday.slack.records import Message

BROADCASTS = frozenset({"here", "channel", "everyone"})
_FENCE = re.compile(r"```(?:\n)?(.*?)(?:\n)?```", re.DOTALL)
_TOKEN = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|:(?P<emoji>[a-z0-9_+-]+):"
    # Formatting begins and ends at a word's edge, and not inside of one.
    r"|(?<![\w*_~])(?P<mark>[*_~])(?P<inner>\S|\S[^\n]*?\S)(?P=mark)(?![\w])"
)
_STYLES = {"*": "bold", "_": "italic", "~": "strike"}
_DATE = re.compile(r"!date\^(?P<at>-?\d+)\^(?P<format>[^|^]*)(?:\^[^|]*)?\|(?P<fallback>.*)")


@dataclass(frozen=True)
class Span:
    """A piece of text that looks the same throughout.

    ``styles`` are of ``bold``, ``italic``, ``strike``, ``code``, ``mention``, ``date``; ``href`` is
    where it leads.
    """

    text: str
    styles: frozenset[str] = frozenset()
    href: str = ""


@dataclass(frozen=True)
class Line:
    """A line; ``kind`` is ``text``, ``quote`` or ``pre``."""

    kind: str
    spans: Sequence[Span]

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True)
class Names:
    """How people, groups and channels are shown, and what time it is for whoever reads."""

    users: Mapping[str, str]
    groups: Mapping[str, str]
    channels: Mapping[str, str]
    now: datetime

    def mention(self, angle: str) -> str | None:
        """How a mention is shown; None where it is none."""
        target = angle.partition("|")[0]
        if target.startswith("@"):
            return "@" + self.users.get(target[1:], target[1:])
        if target.startswith("#"):
            return "#" + self.channels.get(target[1:], target[1:])
        if target.startswith("!subteam^"):
            group = target.removeprefix("!subteam^")
            return "@" + self.groups.get(group, group)
        if target.startswith("!") and target[1:] in BROADCASTS:
            return "@" + target[1:]
        return None


def lines(text: str, names: Names) -> list[Line]:
    """Marked-up text, line by line."""
    found: list[Line] = []
    end = 0
    for fence in _FENCE.finditer(text):
        found += _plain_lines(text[end : fence.start()].removesuffix("\n"), names)
        found += [Line("pre", (Span(unescaped(row)),)) for row in fence[1].split("\n")]
        end = fence.end()
    rest = text[end:].removeprefix("\n") if end else text
    return found + _plain_lines(rest, names)


def plain_lines(text: str, *, emoji: bool = True) -> list[Line]:
    """Text without markup, in which at most emoji are shown as such."""
    return [Line("text", (Span(_with_emoji(row) if emoji else row),)) for row in text.split("\n")]


def unescaped(text: str) -> str:
    """Text with its entities resolved."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def mentioned(message: Message) -> frozenset[str]:
    """Whom a message notifies: ids of users and groups, and ``here``, ``channel``, ``everyone``.

    Its text counts, also where blocks are shown in its place, and every mrkdwn in its blocks.
    """
    found: set[str] = set()
    texts = [message.text, *(text for block in message.blocks for text in _marked_up(block))]
    for text in texts:
        for angle in re.findall(r"<([^<>\n]+)>", _without_code(text)):
            target = angle.partition("|")[0]
            if target.startswith("@"):
                found.add(target[1:])
            elif target.startswith("!subteam^"):
                found.add(target.removeprefix("!subteam^"))
            elif target.startswith("!") and target[1:] in BROADCASTS:
                found.add(target[1:])
    return frozenset(found)


def _marked_up(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if value.get("type") in ("mrkdwn", "markdown") and isinstance(value.get("text"), str):
            yield value["text"]
        for item in value.values():
            yield from _marked_up(item)
    elif isinstance(value, list):
        for item in value:
            yield from _marked_up(item)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", _FENCE.sub("", text))


def _plain_lines(text: str, names: Names) -> list[Line]:
    if not text:
        return []
    found = []
    for row in text.split("\n"):
        # A bot that escapes what it shows makes a quote of a leading ">" just as well.
        quote = re.match(r"(?:&gt;|>) ?", row)
        kind, rest = ("quote", row[quote.end() :]) if quote else ("text", row)
        found.append(Line(kind, tuple(_spans(rest, names, frozenset()))))
    return found


def _spans(text: str, names: Names, styles: frozenset[str]) -> Iterator[Span]:
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            yield Span(unescaped(text[end : token.start()]), styles)
        if token["code"]:
            yield Span(unescaped(token["code"]), styles | {"code"})
        elif token["angle"]:
            yield _angle(token["angle"], names, styles)
        elif token["emoji"]:
            yield Span(_with_emoji(token[0]), styles)
        else:
            yield from _spans(token["inner"], names, styles | {_STYLES[token["mark"]]})
        end = token.end()
    if end < len(text):
        yield Span(unescaped(text[end:]), styles)


def _angle(angle: str, names: Names, styles: frozenset[str]) -> Span:
    mention = names.mention(angle)
    if mention is not None:
        return Span(unescaped(mention), styles | {"mention"})
    date = _DATE.fullmatch(angle)
    if date:
        return Span(_date(date, names.now), styles | {"date"})
    if angle.startswith("!"):
        return Span(unescaped(angle.partition("|")[2]), styles)
    href, _, label = angle.partition("|")
    href = unescaped(href)
    shown = unescaped(label) or href
    leads = re.match(r"(?:https?://|mailto:)", href, re.IGNORECASE)
    return Span(shown, styles, href if leads else "")


def _date(date: re.Match[str], now: datetime) -> str:
    try:
        at = datetime.fromtimestamp(int(date["at"]), UTC).astimezone(now.tzinfo)
    except (ValueError, OverflowError, OSError):
        return unescaped(date["fallback"])
    shown = unescaped(date["format"])
    for name, write in _FORMATS.items():
        shown = shown.replace(f"{{{name}}}", write(at, now))
    return shown


def _pretty(written: Callable[[datetime], str]) -> Callable[[datetime, datetime], str]:
    """A date that is called yesterday, today or tomorrow where it is that."""

    def write(at: datetime, now: datetime) -> str:
        days = {-1: "yesterday", 0: "today", 1: "tomorrow"}
        return days.get((at.date() - now.date()) // timedelta(days=1)) or written(at)

    return write


def _ago(at: datetime, now: datetime) -> str:
    seconds = int(abs((now - at).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            count = seconds // size
            amount = f"{count} {unit}{'s' * (count != 1)}"
            return f"{amount} ago" if at <= now else f"in {amount}"
    raise AssertionError


_FORMATS: Mapping[str, Callable[[datetime, datetime], str]] = {
    "date_num": lambda at, now: at.strftime("%Y-%m-%d"),
    "date_slash": lambda at, now: at.strftime("%m/%d/%Y"),
    "date_long": lambda at, now: at.strftime("%A, %B ") + f"{at.day}, {at.year}",
    "date_long_full": lambda at, now: at.strftime("%A, %B ") + f"{at.day}, {at.year}",
    "date_short": lambda at, now: at.strftime("%b ") + f"{at.day}, {at.year}",
    "date": lambda at, now: at.strftime("%B ") + f"{at.day}, {at.year}",
    "date_pretty": _pretty(lambda at: at.strftime("%B ") + f"{at.day}, {at.year}"),
    "date_short_pretty": _pretty(lambda at: at.strftime("%b ") + f"{at.day}, {at.year}"),
    "date_long_pretty": _pretty(lambda at: at.strftime("%A, %B ") + f"{at.day}, {at.year}"),
    "time": lambda at, now: at.strftime("%H:%M"),
    "time_secs": lambda at, now: at.strftime("%H:%M:%S"),
    "ago": _ago,
}


def _with_emoji(text: str) -> str:
    return re.sub(r":([a-z0-9_+-]+):", lambda found: EMOJI.get(found[1], found[0]), text)
