"""Slack's markup as people see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.slack.mrkdwn import Line, Names, lines, plain_lines

NOW = datetime(2026, 3, 14, 12, 0, 30, tzinfo=UTC)
NAMES = Names({"U1": "maria"}, {"S1": "ir-oncall"}, {"C1": "incidents"}, NOW)


def shown(text: str, names: Names = NAMES) -> str:
    return "\n".join(line.text for line in lines(text, names))


def looks(text: str) -> list[tuple[str, list[str]]]:
    """The spans of the first line, with their styles."""
    [line] = lines(text, NAMES)
    return [(span.text, sorted(span.styles)) for span in line.spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<@U1> and <@U2>", "@maria and @U2"),
        ("<!subteam^S1> <!subteam^S2|@x>", "@ir-oncall @S2"),
        ("<#C1> <#C9|gone>", "#incidents #C9"),
        ("<!here> <!channel> <!everyone>", "@here @channel @everyone"),
        ("<https://example.com/?a=1&amp;b=2|the runbook>", "the runbook"),
        ("<https://example.com>", "https://example.com"),
        ("&lt;@U1&gt; &amp;amp;", "<@U1> &amp;"),
        (":white_check_mark: done :no_such_emoji:", "✅ done :no_such_emoji:"),
        ("a\nb", "a\nb"),
        ("a\n```\nx = 1\ny &lt; 2\n```\nb", "a\nx = 1\ny < 2\nb"),
        ("&gt; quoted\n> too", "quoted\ntoo"),
        ("<!unknown^x|fallback>", "fallback"),
        ("", ""),
        ("1 < 2", "1 < 2"),
    ],
)
def test_what_people_read(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_formatting() -> None:
    assert looks("*bold* _it_ ~gone~ `code`") == [
        ("bold", ["bold"]),
        (" ", []),
        ("it", ["italic"]),
        (" ", []),
        ("gone", ["strike"]),
        (" ", []),
        ("code", ["code"]),
    ]
    assert looks("*a `b` <@U1>*") == [
        ("a ", ["bold"]),
        ("b", ["bold", "code"]),
        (" ", ["bold"]),
        ("@maria", ["bold", "mention"]),
    ]
    # Inside of words, and around nothing, they are what they are.
    for text in ("snake_case_name", "2*3*4", "* a *", "**", "`", "a * b"):
        assert looks(text) == [(text, [])]
    # In code nothing is formatted, mentioned or linked.
    assert looks("`*x* <@U1>`") == [("*x* <@U1>", ["code"])]


def test_kinds_of_lines() -> None:
    kinds = [line.kind for line in lines("a\n> b\n```c\nd```", NAMES)]
    assert kinds == ["text", "quote", "pre", "pre"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{date_num}", "2026-03-14"),
        ("{date_short_pretty} {time_secs}", "today 11:30:05"),
        ("{date_short}", "Mar 14, 2026"),
        ("{date}", "March 14, 2026"),
        ("{date_long}", "Saturday, March 14, 2026"),
        ("at {time} UTC", "at 11:30 UTC"),
        ("{ago}", "30 minutes ago"),
    ],
)
def test_dates(form: str, expected: str) -> None:
    at = int(datetime(2026, 3, 14, 11, 30, 5, tzinfo=UTC).timestamp())
    assert shown(f"<!date^{at}^{form}|fallback>") == expected
    assert shown(f"<!date^{at}^{form}^https://example.com|fallback>") == expected


@pytest.mark.parametrize(
    ("days", "word"),
    [(-1, "yesterday"), (0, "today"), (1, "tomorrow"), (2, "Mar 16, 2026"), (-2, "Mar 12, 2026")],
)
def test_days_near_today_have_names(days: int, word: str) -> None:
    at = int((NOW + timedelta(days=days)).timestamp())
    assert shown(f"<!date^{at}^{{date_short_pretty}}|x>") == word


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second ago"), (7200, "2 hours ago"), (-90, "in 1 minute"), (0, "0 seconds ago")],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    at = int(NOW.timestamp()) - seconds
    assert shown(f"<!date^{at}^{{ago}}|x>") == words


def test_dates_are_of_the_readers_time_zone_and_have_a_fallback() -> None:
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    names = Names({}, {}, {}, berlin)
    assert shown(f"<!date^{int(NOW.timestamp())}^{{time}}|x>", names) == "13:00"
    assert shown("<!date^99999999999999999^{time}|in the far future>") == "in the far future"


def test_only_real_links_lead_anywhere() -> None:
    for target, leads in (
        ("https://example.com", True),
        ("mailto:ir@example.com", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
    ):
        [line] = lines(f"<{target}|x>", NAMES)
        assert bool(line.spans[0].href) is leads


def test_text_without_markup_shows_what_it_is() -> None:
    assert [line.text for line in plain_lines("*a* <@U1> &lt; :x:\nb")] == [
        "*a* <@U1> &lt; ❌",
        "b",
    ]
    assert plain_lines(":x:", emoji=False)[0].text == ":x:"


@given(st.text(alphabet="ab*_~`<>&@!|^:{}\n U1S", max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    found = lines(text, NAMES)
    assert all(isinstance(line, Line) for line in found)
    assert all("\n" not in span.text for line in found for span in line.spans)


@given(st.text(alphabet=st.characters(exclude_characters="\n*_~`:>"), max_size=60))
def test_escaped_text_is_read_as_it_was(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    assert shown(escaped) == text
