"""Forms ask for what a click leaves open, and say what sending them means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.slack import modals
from flows.slack.actions import ABORT, BREAK_GLASS, CODE, DENY, TRIGGER, UNDO
from flows.slack.commands import Contain
from flows.slack.message import Block
from flows.slack.pick import Picked
from flows.slack.told import Told
from runbooks.playbook import Playbooks
from tests.flows.slack.incidents import shown
from tests.flows.slack.limits import check_view
from tests.flows.slack.made_up import BEGAN, ID, NONCE, some_playbooks, some_records

PLAYBOOKS = some_playbooks(lambda: "words")
RECORDS = some_records(lambda: "words", PLAYBOOKS)
ASKED = next(record.seq for record in RECORDS if record.kind == "gate.requested")
INSTANCE = "i-0123456789abcdef0"


def told(upto: int = ASKED) -> Told:
    return Told(RECORDS[:upto], PLAYBOOKS, BEGAN + timedelta(minutes=1))


def inputs(view: Block) -> dict[str, Block]:
    check_view(view)
    return {block["block_id"]: block for block in view["blocks"] if block["type"] == "input"}


def sent(**values: Any) -> dict[str, Any]:
    """A form as Slack sends it: ``state.values`` by block id and action id."""
    return {"state": {"values": {name: {name: value} for name, value in values.items()}}}


def form(
    *,
    offers: bool = True,
    always: bool = False,
    playbooks: Playbooks = PLAYBOOKS,
    asked: Contain | None = None,
    picked: Picked | None = None,
) -> Block:
    return modals.trigger(
        playbooks,
        offers_simulation=offers,
        always_simulates=always,
        asked=asked,
        picked=picked,
        metadata="C0INCIDENT",
    )


def test_the_form_asks_for_everything() -> None:
    view = form()
    found = inputs(view)
    assert list(found) == [modals.PLAYBOOK, modals.TARGET, modals.REASON, modals.SIDE]
    assert (view["callback_id"], view["private_metadata"]) == (TRIGGER, "C0INCIDENT")
    assert found[modals.PLAYBOOK]["element"]["initial_option"]["value"] == "contain-it"
    # Live or simulated is never left to what was chosen before.
    assert found[modals.SIDE]["element"]["initial_option"]["value"] == "live"
    assert not found[modals.TARGET]["optional"]
    assert found[modals.REASON]["optional"]


def test_the_form_says_on_which_side_it_acts_where_there_is_no_choice() -> None:
    assert modals.SIDE not in inputs(form(offers=False))
    assert "🚨 This acts on the *real* AWS account." in shown(form(offers=False))
    assert "🧪 Everything here happens in a *simulated* AWS." in shown(form(always=True))


def test_what_was_typed_or_picked_is_filled_in() -> None:
    found = inputs(form(asked=Contain(INSTANCE, "contain-it", "a reason", simulate=True)))
    assert found[modals.TARGET]["element"]["initial_value"] == INSTANCE
    assert found[modals.REASON]["element"]["initial_value"] == "a reason"
    assert found[modals.SIDE]["element"]["initial_option"]["value"] == "simulated"

    view = form(picked=Picked((INSTANCE, "i-1234567a"), ("a" * 32,)))
    assert inputs(view)[modals.TARGET]["element"]["initial_value"] == INSTANCE
    assert "Also in the message: `i-1234567a`" in shown(view)
    assert f"Findings in the message: `{'a' * 32}`" in shown(view)
    assert "The message names no instance." in shown(form(picked=Picked((), ())))


def test_what_was_filled_in_is_read() -> None:
    view = sent(
        playbook={"selected_option": {"value": "contain-it"}},
        target={"value": f" {INSTANCE} "},
        reason={"value": None},
        side={"selected_option": {"value": "simulated"}},
    )
    assert modals.read_trigger(view) == Contain(INSTANCE, "contain-it", "", simulate=True)
    assert modals.read_trigger({"state": {}}) == Contain("")
    assert modals.read_why(sent(why={"value": " it is ours "})) == "it is ours"
    assert modals.read_code(sent(code={"value": "123456"})) == "123456"
    assert modals.read_code(sent()) == ""


@pytest.mark.parametrize(
    ("make", "callback", "asks"),
    [
        (modals.deny, DENY, [modals.WHY, modals.CODE_GIVEN]),
        (modals.break_glass, BREAK_GLASS, [modals.WHY, modals.CODE_GIVEN]),
        (modals.step_up, CODE, [modals.CODE_GIVEN]),
    ],
)
def test_forms_of_a_gate_carry_which_request_was_shown(
    make: Any, callback: str, asks: list[str]
) -> None:
    (gate,) = told().gates
    view = make(told(), gate)
    assert list(inputs(view)) == asks
    assert view["callback_id"] == callback
    assert view["private_metadata"] == f"{ID} contain {NONCE}"


def test_a_code_is_asked_for_only_where_the_gate_wants_one() -> None:
    asked = RECORDS[ASKED - 1]
    plain = replace(asked, body={**asked.body, "step_up": None})
    without = replace(told(), records=[*RECORDS[: ASKED - 1], plain])
    (gate,) = without.gates
    assert list(inputs(modals.deny(without, gate))) == [modals.WHY]


def test_breaking_the_glass_says_what_it_means() -> None:
    (gate,) = told().gates
    said = shown(modals.break_glass(told(), gate))
    assert "*You alone* approve `contain` for `i-0123456789abcdef0` (words): " in said
    assert "The others are paged at once, and somebody else has to review it" in said


def test_an_undo_says_what_it_takes_back() -> None:
    changed = next(r.seq for r in RECORDS if r.kind == "incident.closed")
    view = modals.undo(told(changed).incident)
    check_view(view)
    assert (view["callback_id"], view["private_metadata"]) == (UNDO, ID)
    assert "*The instance can be reached, and can reach others, again.*" in shown(view)
    one = modals.undo(told(changed).incident, "ec2.isolate")
    assert one["private_metadata"] == f"{ID} ec2.isolate"
    assert "of what `ec2.isolate` did in" in shown(one)


def test_an_abort_asks_why() -> None:
    view = modals.abort(told().incident)
    assert list(inputs(view)) == [modals.WHY]
    assert (view["callback_id"], view["private_metadata"]) == (ABORT, ID)
    assert "What was done stays done" in shown(view)


def test_a_task_that_is_done_needs_no_note_and_one_that_is_not_does() -> None:
    tasks = told(len(RECORDS))
    assert inputs(modals.task_note(tasks, "call", done=True))[modals.WHY]["optional"]
    assert not inputs(modals.task_note(tasks, "call", done=False))[modals.WHY]["optional"]


def test_a_notice_shows_an_error_as_it_is() -> None:
    view = modals.notice("Refused", "<!channel> is not on the list", more=["*one*", "two"])
    check_view(view)
    assert shown(view).splitlines() == [
        "&lt;!channel&gt; is not on the list",
        "∗one∗",
        "two",
    ]
