"""Text that others wrote is shown as it is: it pings nobody, links nothing, formats nothing."""

from __future__ import annotations

import hashlib
import html
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.slack.text import (
    channel_link,
    code,
    code_block,
    codes,
    mention_group,
    mention_user,
    plain,
    safe,
    some_of,
    span,
    time_left,
    when,
    who,
)
from tests.flows.slack.limits import check_text

NOW = datetime(2026, 11, 23, 3, 12, 1, tzinfo=UTC)
HOSTILE = st.text(
    st.sampled_from("<>!@#&*_~`|:;\n\r\t\u202e\u200b\u2066\x00\x1b abcU0123/."), max_size=60
)


@given(HOSTILE | st.text(), st.integers(20, 200))
@example("<!channel> <@U061F7AUR> <https://evil.example|AWS console>", 300)
@example("&" * 500, 50)
def test_no_text_pings_links_or_is_longer_than_its_place(text: str, limit: int) -> None:
    for shown in (
        plain(text, limit),
        safe(text, limit),
        code(text, limit),
        code_block(text, limit),
    ):
        check_text(shown)
        assert len(shown) <= limit
        assert "\n" not in shown


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="`")))
def test_ids_and_names_read_as_they_are(text: str) -> None:
    assert html.unescape(code(text, 10_000)[1:-1]) == (" ".join(text.split()) or "(none)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("Approved\n*by the CISO*", "Approved ∗by the CISO∗"),
        ("_you_ ~may~ `click`", "ˍyouˍ ∼may∼ 'click'"),
        ("my_app_role", "my_app_role"),
        ("_my_role_", "ˍmy_roleˍ"),
        (":white_check_mark: done", "∶white_check_mark: done"),
        ("arn:aws:iam::1:role", "arn∶aws∶iam:∶1:role"),
        ("10:30", "10:30"),
        ("a\u202eb\u200bc", "abc"),
        ("&lt;!here&gt;", "&amp;lt;!here&amp;gt;"),
        ("  two\r\n\tlines  ", "two lines"),
    ],
)
def test_safe_text(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_what_is_cut_is_named_by_its_digest_and_never_within_an_escape() -> None:
    cut = safe("<" * 100, 40)
    assert cut == "&lt;" * 7 + f"… #{hashlib.sha256(b'<' * 100).hexdigest()[:8]}"
    assert safe("<" * 99, 40) != cut
    assert plain("x" * 100, 40).startswith("x" * 29 + "… #")


def test_code_spans_hold_what_somebody_copies() -> None:
    assert code("my_role*") == "`my_role*`"
    assert code("a`b<c") == "`a'b&lt;c`"
    assert code("\u202e") == "`(none)`"


def test_places_without_formatting_get_no_angle_brackets() -> None:
    assert plain("<!channel> *x*", 100) == "‹!channel› *x*"


@pytest.mark.parametrize("forged", ["U1> <!channel", "u1", "", "U1\n", "<U1>", "Ü1"])
def test_only_ids_are_mentioned(forged: str) -> None:
    for shown in (mention_user(forged), mention_group(forged), channel_link(forged)):
        check_text(shown)
        assert not shown.startswith("<")
    assert mention_user("U061F7AUR") == "<@U061F7AUR>"
    assert mention_group("S0LEADS") == "<!subteam^S0LEADS>"
    assert channel_link("C0INCIDENT") == "<#C0INCIDENT>"


def test_people_are_shown_as_slack_knows_them_or_by_their_name() -> None:
    assert who("slack:T012AB3CD/U061F7AUR") == "<@U061F7AUR>"
    assert who("local:alice") == "alice"
    assert who("service:clampdown") == "service:clampdown"
    assert who("slack:T1/<!channel>") == "slack:T1/&lt;!channel&gt;"


def test_times_are_the_readers_own() -> None:
    assert when(NOW) == (
        "<!date^1795403521^{date_short_pretty} {time_secs}|2026-11-23 03:12:01 UTC>"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "no time left"),
        (0, "no time left"),
        (59, "less than a minute left"),
        (60, "1 min left"),
        (899, "14 min left"),
        (7_300, "2 h 1 min left"),
    ],
)
def test_time_left_changes_once_a_minute(seconds: int, words: str) -> None:
    assert time_left(NOW + timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (4.21, "4.2 s"),
        (192, "3 min 12 s"),
        (7_200, "2 h"),
        (7_500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


def test_of_many_the_first_are_named_and_the_rest_counted() -> None:
    assert some_of(["a", "b", "c"], 2) == "a, b and 1 more"
    assert codes(["a", "b", "a"]) == "`a`, `b`"
