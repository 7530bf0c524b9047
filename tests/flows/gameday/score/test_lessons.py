"""Each rule finds what it is for, and nothing on a good day."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest

from flows.gameday.assessment import Lesson, Past
from flows.gameday.score.lessons import RULES
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import (
    DECOY,
    INCIDENT,
    VICTIM,
    Rehearsal,
    holds,
    whole,
    within,
)

SLOWEST = "“gate contain: unnoticed” cost most of the time until containment"
Play = Callable[[Rehearsal], object]


def _lessons(drill: Rehearsal, *past: Past) -> dict[str, Lesson]:
    return {lesson.rule: lesson for lesson in drill.assessed(*past).lessons}


def test_a_good_day_teaches_only_where_the_time_went(rehearse: Make) -> None:
    found = _lessons(whole(rehearse()))
    assert set(found) == {"slowest-phase", "waiting-for-people"}
    assert found["slowest-phase"].text == (f"{SLOWEST}: 2m of 3m20s (60%), waiting for people.")
    assert found["slowest-phase"].severity == "low"
    assert found["waiting-for-people"].severity == "low"
    assert found["waiting-for-people"].text.startswith("90% of the time until containment")


def test_where_the_time_went_matters_more_when_it_was_short(rehearse: Make) -> None:
    found = _lessons(whole(rehearse(within("contained", "3m"))))
    assert found["slowest-phase"].severity == "medium"
    assert found["waiting-for-people"].severity == "medium"


def _begun(drill: Rehearsal) -> Rehearsal:
    drill.at(30).finding()
    drill.opened()
    drill.at(40).asks()
    return drill


def _unseen(drill: Rehearsal) -> None:
    _begun(drill).at(80).decides("bob", after=40.0, details_opened=False)


def _hasty(drill: Rehearsal) -> None:
    _begun(drill).at(42).decides("bob", after=2.0)


def _own(drill: Rehearsal) -> None:
    _begun(drill).refuses("rita", "local:rita started this incident and can't decide on it.")


def _silent(drill: Rehearsal) -> None:
    _begun(drill).at(940).person("bob", "silent")
    drill.person("bob", "silent")


def _expired(drill: Rehearsal) -> None:
    _begun(drill).at(940).tell("gate.expired", gate="contain")


def _escalated(drill: Rehearsal) -> None:
    _begun(drill).at(940).tell("gate.escalated", gate="contain", to="leads", expires_at="")


def _changed(drill: Rehearsal) -> None:
    _begun(drill).asks(round_=2, gone=["one less"])


def _bypassed(drill: Rehearsal) -> None:
    body = {"gate": "contain", "step": "ec2.isolate", "why": "which is not approved"}
    _begun(drill).tell("gate.bypass_attempt", **body)


def _denied(drill: Rehearsal) -> None:
    _begun(drill).changes(
        "ec2.snapshot", operation="create_snapshots", status="failed", code="AccessDenied"
    )


def _denied_read(drill: Rehearsal) -> None:
    call = {"service": "elbv2", "operation": "DescribeTargetHealth", "changes": False, "count": 2}
    _begun(drill).calls({**call, "errors": {"AccessDenied": 2}})


def _throttled(drill: Rehearsal) -> None:
    call = {"service": "ec2", "changes": False, "count": 9}
    _begun(drill).calls(
        {**call, "operation": "DescribeInstances", "errors": {"RequestLimitExceeded": 7}},
        {**call, "operation": "DescribeVolumes", "errors": {"Throttling": 1, "Other": 99}},
    )


def _flaky(drill: Rehearsal) -> None:
    _begun(drill).does("ec2.tag")
    drill.verifies("ec2.tag", error="not yet there")
    drill.verifies("ec2.tag")


def _unverified(drill: Rehearsal) -> None:
    _begun(drill).does("ec2.tag")
    drill.verifies("ec2.tag", error="not there")


def _failed(drill: Rehearsal) -> None:
    _begun(drill).begins("ec2.tag")
    drill.finishes("ec2.tag", status="failed", error="it can't be tagged")


def _away(drill: Rehearsal) -> None:
    _begun(drill).at(50).died()
    drill.at(95).back()
    drill.at(100).closes()


def _left(drill: Rehearsal) -> None:
    drill.difference("undone", "snapshots", "interfaces.eni-1.groups")


def _decoy(drill: Rehearsal) -> None:
    _begun(drill).changes("ec2.tag", DECOY)


def _missed(drill: Rehearsal) -> None:
    drill.at(30).finding()


def _partly(drill: Rehearsal) -> None:
    _begun(drill).at(700).does("ec2.isolate", VICTIM)


def _fault(drill: Rehearsal) -> None:
    _begun(drill).at(60).inject(1)


def _intruder(drill: Rehearsal) -> None:
    _begun(drill).at(70).inject(2)


def _broken(drill: Rehearsal) -> None:
    with closing(sqlite3.connect(drill.home / "journal.db")) as database:
        database.execute("DROP TRIGGER records_no_update")
        database.execute("UPDATE records SET actor_id = 'x' WHERE seq = 1")
        database.commit()


CASES: list[tuple[str, Play, str, str]] = [
    ("approved-unseen", _unseen, "medium", "bob approved without opening the details"),
    ("approved-at-once", _hasty, "medium", "bob approved within 3 seconds"),
    ("self-approval-refused", _own, "low", "rita tried to decide on what they had asked for"),
    ("nobody-answered", _silent, "medium", "bob was asked 2 times and did not answer"),
    ("gate-expired", _expired, "high", f"The gate contain of {INCIDENT} expired"),
    ("gate-escalated", _escalated, "medium", f"The gate contain of {INCIDENT} had to be escalated"),
    ("plan-changed", _changed, "medium", f"The plan of {INCIDENT} changed after it was approved"),
    ("gate-bypass", _bypassed, "high", "ec2.isolate tried to pass the gate contain"),
    ("permission-missing", _denied, "high", "AWS denied ec2:CreateSnapshots: allow it"),
    (
        "permission-missing",
        _denied_read,
        "high",
        "AWS denied elasticloadbalancing:DescribeTargetHealth: allow it",
    ),
    (
        "throttled",
        _throttled,
        "medium",
        "AWS throttled 8 calls, most often ec2:DescribeInstances",
    ),
    ("verification-flaky", _flaky, "medium", f"ec2.tag of {INCIDENT} was verified only when"),
    ("verification-failed", _unverified, "high", f"ec2.tag of {INCIDENT} was never verified: not"),
    ("step-failed", _failed, "medium", f"ec2.tag failed on {VICTIM}: it can't be tagged"),
    ("orchestrator-away", _away, "medium", f"The orchestrator was away for 45s during {INCIDENT}"),
    ("not-taken-back", _left, "high", "Taking it back left 1 difference: interfaces.eni-1.groups."),
    ("decoy-touched", _decoy, "high", "decoy was to be left alone: 1 of its changes were made"),
    ("finding-missed", _missed, "high", "The finding finding led to nothing"),
    ("objective-missed", _missed, "high", "“isolated in time” was missed. Never"),
    ("objective-partly", _partly, "medium", "“isolated in time” was met in part. Isolated after"),
    (
        "fault-unnoticed",
        _fault,
        "low",
        "Nobody would know of it, for nothing in the journal tells of it: the fault of event 1.",
    ),
    (
        "intruder-unnoticed",
        _intruder,
        "high",
        "Nobody would know of it, for nothing in the journal tells of it: the attacker of event 2.",
    ),
    ("journal-broken", _broken, "high", "The journal of this drill fails verification"),
    ("drill-broke-off", _begun, "high", "The drill did not come to its end"),
]


@pytest.mark.parametrize(
    ("rule", "play", "severity", "text"),
    CASES,
    ids=[f"{case[0]}-{case[1].__name__}" for case in CASES],
)
def test_a_rule_finds_what_it_is_for(
    rehearse: Make, rule: str, play: Play, severity: str, text: str
) -> None:
    drill = rehearse(
        within("isolated", "10m"),
        holds("untouched", "decoy"),
        timeline=[
            {"at": "30s", "finding": {"type": "X:EC2/Y", "on": "victim"}},
            {"at": "60s", "fault": {"fault": {"service": "ec2", "effect": "throttle"}}},
            {"at": "70s", "attacker": {"does": "puts_groups_back", "to": "victim"}},
        ],
    )
    play(drill)
    lesson = _lessons(drill)[rule]
    assert (lesson.severity, lesson.text[: len(text)]) == (severity, text)
    assert lesson.sources


def _past(drill: str, **milestones: float) -> Past:
    at = datetime(2026, 10, 1, tzinfo=UTC)
    return Past(drill, at, "sandbox", 1, 100, True, milestones, "mining", "contain-it")


def test_what_took_longer_than_before_is_told(rehearse: Make) -> None:
    drill = whole(rehearse())
    assert "slower-than-before" not in _lessons(drill, _past("drill-1", contained=140))
    lesson = _lessons(drill, _past("drill-1", contained=130))["slower-than-before"]
    assert lesson.text.startswith(
        "“contained” took 3m20s, which is slower than before (median 2m10s)"
    )


def test_every_rule_has_a_case() -> None:
    # Two rules have no case of their own above: where the time went, and the trend.
    tried = {case[0] for case in CASES} | {
        "slowest-phase",
        "waiting-for-people",
        "slower-than-before",
    }
    assert len(tried) == 26
    assert len(RULES) == 19


def test_the_gravest_comes_first(rehearse: Make) -> None:
    drill = rehearse(within("isolated", "10m"))
    _silent(drill)
    _denied(drill)
    order = [lesson.severity for lesson in drill.assessed().lessons]
    assert order == sorted(order, key=["high", "medium", "low"].index)
    assert {"high", "medium"} <= set(order)
