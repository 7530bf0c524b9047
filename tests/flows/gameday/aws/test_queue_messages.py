"""What a queue gives out: to whom, when, how often and in which order."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from flows.gameday.aws.queue_messages import (
    Messages,
    NoReceipt,
    NotAvailable,
    NotInFlight,
    Received,
    Verdict,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def messages(clock: Clock) -> Messages[str]:
    return Messages("queue", clock=clock)


def _give(content: str, receipts: int) -> Verdict:
    return "give"


def _take(
    messages: Messages[str], count: int = 10, visibility: float = 30, **more: Any
) -> list[Received[str]]:
    return messages.receive(count, visibility, _give, **more)[0]


def _contents(received: list[Received[str]]) -> list[str]:
    return [item.content for item in received]


def _counts(messages: Messages[str]) -> tuple[int, int, int]:
    return messages.ready, messages.in_flight, messages.delayed


def test_messages_are_given_out_once_and_in_order(messages: Messages[str]) -> None:
    for content in "abc":
        messages.add(content)

    assert _contents(_take(messages, 2)) == ["a", "b"]
    assert _counts(messages) == (1, 2, 0)
    assert _contents(_take(messages)) == ["c"]
    assert _take(messages) == []


def test_what_is_not_deleted_comes_again_in_its_place(
    messages: Messages[str], clock: Clock
) -> None:
    for content in "ab":
        messages.add(content)
    first = _take(messages, 1)
    assert messages.next_due() == 30

    clock.now += 30

    assert _counts(messages) == (2, 0, 0)
    again = _take(messages)
    assert _contents(again) == ["a", "b"]
    assert again[0].handle != first[0].handle


def test_a_delayed_message_is_there_after_its_delay(messages: Messages[str], clock: Clock) -> None:
    messages.add("later", delay=5)
    assert (_counts(messages), _take(messages)) == ((0, 0, 1), [])
    assert messages.next_due() == 5

    clock.now += 5

    assert _contents(_take(messages)) == ["later"]
    assert messages.next_due() == 30


def test_only_the_last_receipt_deletes(messages: Messages[str], clock: Clock) -> None:
    messages.add("a")
    [first] = _take(messages)
    clock.now += 31
    [second] = _take(messages)

    messages.delete(first.handle)
    assert messages.in_flight == 1
    messages.delete(second.handle)
    assert _counts(messages) == (0, 0, 0)
    messages.delete(second.handle)
    assert messages.next_due() is None


def test_what_was_in_flight_too_long_can_still_be_deleted(
    messages: Messages[str], clock: Clock
) -> None:
    messages.add("a")
    [received] = _take(messages)
    clock.now += 31

    messages.delete(received.handle)

    assert (_counts(messages), _take(messages)) == ((0, 0, 0), [])


@pytest.mark.parametrize("handle", ["", "bogus", "AQEB", "AQEBeA==", "AQEB+/8=", "ä"])
def test_what_is_no_receipt_handle_is_refused(messages: Messages[str], handle: str) -> None:
    with pytest.raises(NoReceipt):
        messages.delete(handle)


def test_a_receipt_of_another_queue_is_refused(messages: Messages[str], clock: Clock) -> None:
    other = Messages[str]("other", clock=clock)
    other.add("a")
    [received] = _take(other)

    with pytest.raises(NoReceipt):
        messages.delete(received.handle)


def test_a_visibility_is_changed_from_now_on(messages: Messages[str], clock: Clock) -> None:
    messages.add("a")
    [received] = _take(messages)
    clock.now += 20
    messages.change_visibility(received.handle, 60, 43_200)
    clock.now += 59
    assert _counts(messages) == (0, 1, 0)
    messages.change_visibility(received.handle, 0, 43_200)

    assert _counts(messages) == (1, 0, 0)
    with pytest.raises(NotInFlight):
        messages.change_visibility(received.handle, 10, 43_200)
    [again] = _take(messages)
    with pytest.raises(NotAvailable):
        messages.change_visibility(received.handle, 10, 43_200)
    clock.now += 1
    with pytest.raises(OverflowError):
        messages.change_visibility(again.handle, 43_200, 43_200)


def test_what_is_judged_dead_or_too_old_is_not_given_out(messages: Messages[str]) -> None:
    for content in ("dead", "old", "good"):
        messages.add(content)
    verdicts: dict[str, Verdict] = {"dead": "dead", "old": "drop", "good": "give"}

    given, dead = messages.receive(10, 30, lambda content, receipts: verdicts[content])

    assert (_contents(given), dead) == (["good"], ["dead"])
    assert _counts(messages) == (0, 1, 0)


def test_a_judge_is_told_how_often_a_message_was_given_out(messages: Messages[str]) -> None:
    messages.add("a")
    told: list[int] = []

    def judge(content: str, receipts: int) -> Verdict:
        told.append(receipts)
        return "give"

    for _ in range(3):
        messages.receive(1, 0, judge)

    assert told == [0, 1, 2]


def test_without_visibility_a_message_is_given_out_once_to_a_call(messages: Messages[str]) -> None:
    messages.add("a")

    assert _contents(_take(messages, visibility=0)) == ["a"]
    assert _contents(_take(messages, visibility=0)) == ["a"]
    assert _counts(messages) == (1, 0, 0)


def test_what_is_delivered_twice_comes_once_more_even_if_it_is_deleted(
    messages: Messages[str],
) -> None:
    messages.add("a")
    [received] = _take(messages, twice=True)
    messages.delete(received.handle)

    [again] = _take(messages)
    messages.delete(again.handle)

    assert (received.content, again.content) == ("a", "a")
    assert _counts(messages) == (0, 0, 0)


def test_a_shuffled_order_follows_from_its_seed_and_loses_nothing(clock: Clock) -> None:
    def order(seed: int) -> list[str]:
        messages = Messages[str]("queue", clock=clock)
        for number in range(50):
            messages.add(str(number))
        taken: list[str] = []
        while received := _take(messages, shuffle=random.Random(f"{seed} {len(taken)}")):
            taken += _contents(received)
        return taken

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1), key=int) == [str(number) for number in range(50)]
    assert order(1) != sorted(order(1), key=int)


def test_a_group_of_a_fifo_queue_waits_for_what_is_in_flight(clock: Clock) -> None:
    messages = Messages[str]("queue", fifo=True, clock=clock)
    for content in ("g1", "g2", "h1"):
        messages.add(content, group=content[0])

    [first] = _take(messages, 1)
    assert _contents(_take(messages)) == ["h1"]
    messages.delete(first.handle)
    [second] = _take(messages)
    assert second.content == "g2"
    clock.now += 31
    with pytest.raises(NotInFlight):
        messages.delete(second.handle)
    assert "g2" in _contents(_take(messages))


def test_all_that_can_be_received_is_taken_or_cleared(messages: Messages[str]) -> None:
    for content in "abc":
        messages.add(content)
    _take(messages, 1)

    assert messages.take_all() == ["b", "c"]
    assert _counts(messages) == (0, 1, 0)
    messages.clear()
    assert _counts(messages) == (0, 0, 0)


def test_a_copy_goes_its_own_way(messages: Messages[str]) -> None:
    messages.add("a")
    remembered = copy.deepcopy(messages)

    assert _contents(_take(messages)) == ["a"]
    assert _contents(_take(remembered)) == ["a"]


def test_random_use_gives_out_what_a_list_would(clock: Clock) -> None:
    """Against a list that is looked through each time."""
    chance = random.Random(7)
    messages = Messages[int]("queue", clock=clock)
    simple: dict[int, float] = {}
    held: dict[int, str] = {}
    for number in range(2_000):
        match chance.choice(["add", "receive", "delete", "return", "pass"]):
            case "add":
                delay = chance.choice([0, 0, 3])
                messages.add(number, delay=delay)
                simple[number] = clock.now + delay
            case "receive":
                count, visibility = chance.randint(1, 4), chance.choice([5, 20])
                given, _ = messages.receive(count, visibility, lambda content, receipts: "give")
                expected = [known for known in sorted(simple) if simple[known] <= clock.now]
                assert [item.content for item in given] == expected[:count]
                for item in given:
                    simple[item.content] = clock.now + visibility
                    held[item.content] = item.handle
            case "delete" if held:
                known = chance.choice(sorted(held))
                messages.delete(held.pop(known))
                del simple[known]
            case "return" if held:
                known = chance.choice(sorted(held))
                if simple[known] > clock.now:
                    messages.change_visibility(held[known], 0, 43_200)
                    simple[known] = clock.now
            case _:
                clock.now += chance.choice([0.5, 4])
        assert messages.ready == sum(due <= clock.now for due in simple.values())
        assert messages.in_flight + messages.delayed == len(simple) - messages.ready
