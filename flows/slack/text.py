"""Text for Slack: what others wrote never pings, links, formats, or looks like a line of ours.

Whoever attacks chooses tags, names and parts of a finding. Slack's text is escaped by replacing
``&``, ``<`` and ``>`` (docs.slack.dev, "Formatting message text"); characters that format, and
names of emoji between colons, have no escape, and are replaced by ones that look alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from flows.intake.finding import for_display

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ALIKE = str.maketrans({"*": "∗", "~": "∼", "`": "'"})
# Within a word, an underscore formats nothing: role and tag names stay as they are.
_FORMATTING_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_EMOJI = re.compile(r":(?=[\w+'-]+:)")
# How many times as long as it is shown a text may be, with what can't be seen.
_INVISIBLE = 4
_USER = re.compile(r"[UW][A-Z0-9]+", re.ASCII)
_USER_GROUP = re.compile(r"S[A-Z0-9]+", re.ASCII)
_CHANNEL = re.compile(r"[CGD][A-Z0-9]+", re.ASCII)


def plain(text: object, limit: int) -> str:
    """The text on one line without invisible characters, for places that format nothing.

    What is cut off is named by the first digits of the whole text's SHA-256. Angle brackets are
    replaced by ones that look alike, whether or not the place reads them.
    """
    line = _one_line(text, limit)
    return _fit(_unemojied(line).replace("<", "‹").replace(">", "›"), limit, text)


def safe(text: object, limit: int = 300) -> str:
    """The text within mrkdwn, as it is: at most ``limit`` characters long, escapes included."""
    line = _FORMATTING_UNDERSCORE.sub("ˍ", _one_line(text, limit)).translate(_ALIKE)
    return _fit(_escaped(_unemojied(line)), limit, text)


def code(text: object, limit: int = 200) -> str:
    """The text in a code span, for ids, ARNs and names that somebody copies."""
    return f"`{_in_code(text, limit - 2)}`"


def code_block(text: object, limit: int) -> str:
    """The text in a block of code, on one line of it that is wrapped where it is shown."""
    return f"```{_in_code(text, limit - 6)}```"


def mention_user(user: str) -> str:
    """What pings a Slack user; anything that is no user's id is only shown."""
    return f"<@{user}>" if _USER.fullmatch(user) else safe(user, 100)


def mention_group(group: str) -> str:
    """What pings a Slack user group; anything that is no user group's id is only shown."""
    return f"<!subteam^{group}>" if _USER_GROUP.fullmatch(group) else safe(group, 100)


def channel_link(channel: str) -> str:
    """A link to a channel; anything that is no channel's id is only shown."""
    return f"<#{channel}>" if _CHANNEL.fullmatch(channel) else safe(channel, 100)


def who(principal: str) -> str:
    """A person of the journal: a Slack user as Slack shows them, others by their name."""
    kind, _, rest = principal.partition(":")
    user = rest.partition("/")[2]
    if kind == "slack" and _USER.fullmatch(user):
        return mention_user(user)
    return safe(rest if kind == "local" and rest else principal, 100)


def when(at: datetime) -> str:
    """A time as the reader's own clock shows it; elsewhere in UTC."""
    return (
        f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}"
        f"|{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC>"
    )


def time_left(until: datetime, now: datetime) -> str:
    """How long is left, by the minute: it is renewed no more often."""
    left = until - now
    if left <= timedelta():
        return "no time left"
    if left < timedelta(minutes=1):
        return "less than a minute left"
    return f"{span(timedelta(minutes=left // timedelta(minutes=1)))} left"


def span(time: timedelta) -> str:
    """``4.2 s``, ``3 min 12 s``, ``2 h 5 min``, ``3 d 4 h``."""
    seconds = max(0.0, time.total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, small_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    raise AssertionError("unreachable: a minute has been reached")


def some_of(items: Sequence[str], most: int) -> str:
    """The first of the items, and how many more there are; they are fit for Slack already."""
    left = len(items) - most
    return ", ".join(items[:most]) + (f" and {left} more" if left > 0 else "")


def codes(items: Iterable[str], most: int = 4) -> str:
    """Names in code spans, each once."""
    return some_of([code(item, 80) for item in dict.fromkeys(items)], most)


def _in_code(text: object, limit: int) -> str:
    inner = _escaped(_one_line(text, limit).replace("`", "'"))
    return _fit(inner, limit, text) or "(none)"


def _one_line(text: object, limit: int) -> str:
    # However long it is, not much more is looked at than is shown.
    part = str(text)[: _INVISIBLE * limit]
    shown = part if part.isascii() and part.isprintable() else for_display(part)
    return " ".join(shown.split())


def _unemojied(text: str) -> str:
    return _EMOJI.sub("∶", text)


def _escaped(text: str) -> str:
    return "".join(_ENTITIES.get(letter, letter) for letter in text)


def _fit(shown: str, limit: int, text: object) -> str:
    """Cut what is too long, never within an escape, and say of which whole it is a part."""
    whole = str(text)
    if len(shown) <= limit and len(whole) <= _INVISIBLE * limit:
        return shown
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    end = f"… #{digest[:8]}"
    kept = shown[: max(0, limit - len(end))]
    start = kept.rfind("&")
    if (
        start >= 0
        and ";" not in kept[start:]
        and shown.startswith(tuple(_ENTITIES.values()), start)
    ):
        kept = kept[:start]
    # Cut off there, an underscore is no longer one within a word.
    return f"{kept.rstrip('_')}{end}"
