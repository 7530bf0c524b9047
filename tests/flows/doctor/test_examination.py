"""Checks side by side: in order, each with its deadline, and none in the way of another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from flows.doctor.check import Check, NotLooked, Result, Shared, ok, problem, some, warning
from flows.doctor.examination import examine
from runbooks.errors import AccessDenied, ClampdownError


def check(look: Callable[[], Result], name: str = "x", meaning: str = "It matters.") -> Check:
    return Check("test", name, look, meaning)


def raising(error: Exception) -> Callable[[], Result]:
    def look() -> Result:
        raise error

    return look


def only(look: Callable[[], Result]) -> Result:
    [(_, result)] = examine([check(look)]).found
    return result


def test_results_stand_in_the_order_of_the_checks_however_long_each_takes() -> None:
    first_may_end = threading.Event()

    def first() -> Result:
        assert first_may_end.wait(5)
        return ok("slow")

    def second() -> Result:
        first_may_end.set()
        return ok("fast")

    found = examine([check(first, "a"), check(second, "b")])

    assert [(each.name, result.what) for each, result in found.found] == [
        ("a", "slow"),
        ("b", "fast"),
    ]
    assert found.healthy
    assert not found.hung


def test_one_that_hangs_is_a_problem_and_keeps_nobody_waiting() -> None:
    never = threading.Event()
    began = time.monotonic()

    found = examine(
        [check(lambda: ok(str(never.wait())), "hangs"), check(lambda: ok("good"), "fine")],
        within=timedelta(seconds=0.2),
        at_once=1,
    )
    never.set()

    assert time.monotonic() - began < 2
    [(_, hangs), (_, fine)] = found.found
    assert hangs.status == "problem"
    assert "no answer within 0.2 s" in hangs.what
    assert hangs.meaning == "It matters."
    assert fine == ok("good")
    assert found.hung
    assert not found.healthy


def test_what_there_was_no_time_for_is_a_problem() -> None:
    never = threading.Event()

    found = examine(
        [check(lambda: ok(str(never.wait())), "hangs"), check(lambda: ok("good"), "later")],
        within=timedelta(seconds=5),
        altogether=timedelta(seconds=0.2),
        at_once=1,
    )
    never.set()

    later = found.found[1][1]
    assert later.status == "problem"
    assert "the 0.2 s for everything were over" in later.what
    assert found.took < timedelta(seconds=2)


def test_foreseeable_errors_are_problems_with_their_own_advice() -> None:
    denied = AccessDenied("Not allowed.", code="AccessDenied", advice="Nothing was done. Allow it.")

    assert only(raising(denied)) == Result("problem", "Not allowed.", "It matters.", "Allow it.")


def test_what_cannot_be_looked_at_is_no_problem() -> None:
    result = only(raising(NotLooked("It is not set up.")))

    assert result == Result("not looked at", "It is not set up.")
    assert examine([check(raising(NotLooked("why")))]).healthy


def test_a_fault_of_ours_hides_nothing_else_and_tells_no_secret() -> None:
    found = examine([check(raising(KeyError("xoxb-secret"))), check(lambda: ok("good"))])

    [(_, broken), (_, fine)] = found.found
    assert broken.status == "problem"
    assert "KeyError in test_examination.py, line" in broken.what
    assert "xoxb" not in str(found.to_json())
    assert fine.status == "ok"


@pytest.mark.parametrize(
    ("result", "healthy"),
    [
        (ok("a"), True),
        (warning("a", advice="b"), True),
        (problem("a", advice="b"), False),
        (Result("not looked at", "a"), True),
    ],
)
def test_only_problems_make_it_unhealthy(result: Result, healthy: bool) -> None:
    assert examine([check(lambda: result)]).healthy is healthy


def test_the_document_says_all_of_it() -> None:
    found = examine(
        [
            check(lambda: warning("a", advice="do b"), "one"),
            check(lambda: problem("c", meaning="d", advice="e"), "two"),
            check(lambda: ok("f"), "three"),
        ]
    )

    document = found.to_json()
    assert document["seconds"] == round(found.took.total_seconds(), 3)
    assert {key: document[key] for key in ("healthy", "problems", "warnings", "ok")} == {
        "healthy": False,
        "problems": 1,
        "warnings": 1,
        "ok": 1,
    }
    assert document["checks"][0] == {
        "group": "test",
        "check": "one",
        "status": "warning",
        "what": "a",
        "meaning": "It matters.",
        "advice": "do b",
    }
    assert document["checks"][1]["meaning"] == "d"
    assert document["checks"][2]["meaning"] is None


def test_what_is_shared_is_asked_for_once() -> None:
    asked: list[int] = []
    shared = Shared(lambda: asked.append(1) or "answer")

    found = examine([check(lambda: ok(shared())) for _ in range(8)])

    assert [result.what for _, result in found.found] == ["answer"] * 8
    assert asked == [1]


def test_what_is_shared_and_fails_is_told_by_one_check() -> None:
    def ask() -> str:
        raise ClampdownError("It is gone.", advice="Look for it.")

    shared = Shared(ask)
    found = examine([check(lambda: ok(shared())), check(lambda: ok(shared.needed("No it.")))])

    assert [(result.status, result.what) for _, result in found.found] == [
        ("problem", "It is gone."),
        ("not looked at", "No it."),
    ]


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcde")) == "a, b, c and 2 more"
