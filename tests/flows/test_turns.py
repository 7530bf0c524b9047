"""Whose turn it is: the most urgent first, critical ones never behind others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from flows.stopping import Stop
from flows.turns import A_PERSON_ASKED, CRITICAL, QUIET, Turns
from runbooks.errors import Interrupted


class Line:
    """Threads that want a turn, and the order in which they got it."""

    def __init__(self, at_once: int) -> None:
        self.stop = Stop()
        self.turns = Turns(at_once, self.stop)
        self.order: list[float] = []
        self.interrupted: list[float] = []
        self._enough: dict[float, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def join(self, urgency: float) -> None:
        waiting, began = self.turns.waiting, len(self.order)
        self._enough[urgency] = threading.Event()
        thread = threading.Thread(target=self._take, args=(urgency,))
        self._threads.append(thread)
        thread.start()
        until(lambda: self.turns.waiting > waiting or len(self.order) > began)

    def _take(self, urgency: float) -> None:
        try:
            with self.turns.turn(urgency):
                self.order.append(urgency)
                self._enough[urgency].wait(10)
        except Interrupted:
            self.interrupted.append(urgency)

    def end(self, *urgencies: float) -> None:
        for urgency in urgencies:
            self._enough[urgency].set()

    def close(self) -> None:
        self.end(*self._enough)
        for thread in self._threads:
            thread.join(10)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


def test_so_many_at_once_and_then_the_most_urgent_first() -> None:
    line = Line(1)
    for urgency in (5.0, 2.0, 7.0, 4.0):
        line.join(urgency)
    assert (line.order, line.turns.taken, line.turns.waiting) == ([5.0], 1, 3)
    for ended, number in ((5.0, 2), (7.0, 3), (4.0, 4)):
        line.end(ended)
        until(lambda number=number: len(line.order) == number)  # type: ignore[misc]
    assert line.order == [5.0, 7.0, 4.0, 2.0]
    line.close()
    assert (line.turns.taken, line.turns.waiting) == (0, 0)


def test_critical_ones_have_places_of_their_own_and_nothing_else_begins_before_them() -> None:
    line = Line(2)
    for urgency in (5.0, 5.1, CRITICAL, A_PERSON_ASKED):
        line.join(urgency)
    assert line.order == [5.0, 5.1, CRITICAL, A_PERSON_ASKED]
    line.join(9.5)
    line.join(5.2)
    # An ordinary place is free, but a critical one is first in line.
    line.end(5.0)
    until(lambda: len(line.order) == 5)
    assert line.order[-1] == 9.5
    assert line.turns.waiting == 1
    line.close()


def test_a_turn_ends_when_it_says_so_and_only_once() -> None:
    turns = Turns(1, Stop())
    with turns.turn(5.0) as end:
        end()
        end()
        assert turns.taken == 0
        with turns.turn(5.0):
            assert turns.taken == 1
    assert turns.taken == 0


def test_whoever_is_in_line_at_the_end_begins_no_more() -> None:
    line = Line(1)
    line.join(5.0)
    line.join(4.0)
    line.stop.set()
    until(lambda: line.interrupted == [4.0])
    line.close()
    assert line.order == [5.0]


def test_what_fails_gives_its_turn_back() -> None:
    turns = Turns(1, Stop())
    with pytest.raises(ValueError, match="a fault"), turns.turn(5.0):
        raise ValueError("a fault")
    assert turns.taken == 0


def test_it_is_quiet_only_while_nobody_has_a_turn_or_waits_for_one() -> None:
    assert QUIET.is_set()
    line = Line(1)
    line.join(5.0)
    line.join(4.0)
    assert not QUIET.is_set()
    line.end(5.0)
    until(lambda: line.order == [5.0, 4.0])
    assert not QUIET.is_set()
    line.close()
    assert QUIET.is_set()


def test_a_turn_is_free_while_nobody_waits_and_not_all_places_are_taken() -> None:
    line = Line(1)
    assert line.turns.free(5.0)
    line.join(5.0)
    assert not line.turns.free(5.0)
    assert line.turns.free(CRITICAL)
    line.join(4.0)
    assert not line.turns.free(CRITICAL)
    line.close()
    assert line.turns.free(5.0)
