"""What can be typed after /clampdown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.slack.commands import (
    Command,
    Contain,
    Drill,
    GameDay,
    Help,
    LiftFreeze,
    ListIncidents,
    OpenForm,
    ShowStatus,
    UndoIncident,
    parse,
)
from runbooks.errors import InvalidInput

INSTANCE = "i-0123456789abcdef0"
ARN = f"arn:aws:ec2:eu-west-1:123456789012:instance/{INSTANCE}"
INCIDENT = "inc-20261123-7f3a9c"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", OpenForm()),
        ("  ", OpenForm()),
        (f"contain {INSTANCE}", Contain(INSTANCE)),
        (f"contain {ARN} ec2-compromise", Contain(ARN, "ec2-compromise")),
        (f"CONTAIN `{INSTANCE}`", Contain(INSTANCE)),
        (f"contain “{INSTANCE}” simulate", Contain(INSTANCE, simulate=True)),
        (f"contain {INSTANCE} —simulate ec2", Contain(INSTANCE, "ec2", simulate=True)),
        (
            f"contain {INSTANCE} because it says simulate, and *why*",
            Contain(INSTANCE, reason="it says simulate, and *why*"),
        ),
        (f"contain {INSTANCE} ec2 --reason a\nb", Contain(INSTANCE, "ec2", "a\nb")),
        ("status", ShowStatus()),
        (f"status {INCIDENT}", ShowStatus(INCIDENT)),
        ("incidents", ListIncidents()),
        (f"undo {INCIDENT}", UndoIncident(INCIDENT)),
        (f"undo {INCIDENT} ec2.tag", UndoIncident(INCIDENT, "ec2.tag")),
        ("resume-automatic a load test", LiftFreeze("a load test")),
        (" Resume-Automatic  because: of\nit", LiftFreeze("because: of\nit")),
        ("resume-automatic —why not?", LiftFreeze("not?")),
        ("resume-automatic because I looked, and why not", LiftFreeze("I looked, and why not")),
        ("resume-automatic it is mine because I say so", LiftFreeze("it is mine because I say so")),
        ("drill", Drill()),
        ("gameday", GameDay()),
        ("gameday list", GameDay()),
        ("GameDay RUN cryptomining", GameDay("run", "cryptomining")),
        ("gameday report", GameDay("report")),
        ("gameday schedule", GameDay("schedule")),
        (
            'gameday schedule crypto-mining "0 10 * * TUE" Europe/Berlin',
            GameDay("schedule", "crypto-mining", "0 10 * * TUE", "Europe/Berlin"),
        ),
        (
            "gameday schedule crypto-mining 0 10 * * TUE",
            GameDay("schedule", "crypto-mining", "0 10 * * TUE"),
        ),
        ("gameday unschedule crypto-mining", GameDay("unschedule", "crypto-mining")),
        ("gameday report drill-20261123-7f3a9c", GameDay("report", "drill-20261123-7f3a9c")),
        ("help", Help()),
    ],
)
def test_what_can_be_typed(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("contain", "Contain which instance?"),
        ("contain web-1", "'web-1' is neither an instance id nor an instance's ARN"),
        (f"contain {INSTANCE} a b", "Too many words after contain: 'b'"),
        (f"contain {INSTANCE} {INSTANCE} {INSTANCE}", "Too many words after contain"),
        (f"contain {INSTANCE} 1*", "'1*' is no playbook's name"),
        ("undo", "Of which incident?"),
        ("undo i-0123456789abcdef0", "is no incident's id"),
        ("undo inc-20261123-7f3a9c because it was wrong", "'undo' takes no reason"),
        ("because of it", "There is a reason, and nothing to do"),
        ("status all", "'all' is no incident's id"),
        ("resume-automatic", "Lifting the freeze needs a reason"),
        ("resume-automatic  because ", "Lifting the freeze needs a reason"),
        ("resume-automatically now", "There is no command 'resume-automatically'"),
        ("drill hard", "Too many words after drill: 'hard'"),
        ("gameday run", "A game day is listed, run by its scenario's name"),
        ("gameday schedule crypto-mining daily", "or scheduled"),
        ("destroy everything", "There is no command 'destroy'"),
        ("x" * 3000, "too long"),
    ],
)
def test_what_cannot_be_read_does_nothing_and_says_what_can_be_typed(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    assert says in refused.value.what
    assert refused.value.what.endswith("Nothing was done.")
    assert "/clampdown contain i-" in refused.value.advice


@given(st.text(max_size=200) | st.text(st.sampled_from("contain undo i-0 inc-1<!@>`"), max_size=80))
def test_whatever_is_typed_is_a_command_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        parse(text)
