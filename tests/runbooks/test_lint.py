"""No step that takes something down is reached without a gate, and what a condition means is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.lint import notes, ungated
from runbooks.playbook import Parallel, Playbook, RunStep
from runbooks.registry import STEPS
from tests.runbooks.playbook_files import SMALL, accepted

DOWN = sorted(name for name, step in STEPS.items() if step.disruptive)
SAFE = sorted(name for name, step in STEPS.items() if not step.disruptive)


def playbook(*entries: dict[str, Any]) -> Playbook:
    numbered = [
        {**entry, "id": f"s{index}"} if "step" in entry else entry
        for index, entry in enumerate(entries)
    ]
    return Playbook.model_validate({"title": "t", "target": "ec2.instance", "steps": numbered})


def gate(when: str | None = None, identity: str = "g") -> dict[str, Any]:
    entry: dict[str, Any] = {"approve": {"id": identity, "by": "oncall"}}
    return entry if when is None else {**entry, "when": when}


def paths(*entries: dict[str, Any]) -> list[tuple[str | int, ...]]:
    return [found.path for found in ungated(playbook(*entries), STEPS)]


def test_there_are_steps_that_take_something_down_and_steps_that_do_not() -> None:
    assert "ec2.isolate" in DOWN
    assert {"ec2.protect", "ec2.snapshot", "ec2.tag", "evidence.wait"} <= set(SAFE)


@pytest.mark.parametrize("name", DOWN)
def test_a_disruptive_step_needs_a_gate_before_it(name: str) -> None:
    assert paths({"step": name}) == [("steps", 0, "step")]
    assert paths(gate(), {"step": name}) == []
    assert paths({"step": name}, gate()) == [("steps", 0, "step")]
    assert paths({"parallel": [{"step": "ec2.tag"}, {"step": name}]}) == [
        ("steps", 0, "parallel", 1, "step")
    ]
    assert paths(gate(), {"parallel": [{"step": name}]}) == []
    manual = {"manual": {"text": "look", "by": "oncall"}}
    assert paths(manual, {"step": name}) == [("steps", 1, "step")]


def test_other_steps_need_none() -> None:
    assert paths(*({"step": name} for name in SAFE)) == []


def test_a_condition_on_the_step_itself_is_no_gate() -> None:
    entry = {"step": "ec2.isolate", "when": "target.tags.environment == 'sandbox'"}
    assert paths(entry) == [("steps", 0, "step")]


def test_a_gate_with_a_condition_counts() -> None:
    # Where what it looks at is not there it stands (runbooks.lookup.stands), and the loader refuses
    # a condition that looks at nothing.
    assert paths(gate("target.tags.environment == 'production'"), {"step": "ec2.isolate"}) == []


ENTRIES = st.one_of(
    st.sampled_from([*DOWN, *SAFE]).map(lambda name: {"step": name}),
    st.lists(st.sampled_from([*DOWN, *SAFE]), min_size=1, max_size=3).map(
        lambda names: {"parallel": [{"step": n, "id": f"p{i}"} for i, n in enumerate(names)]}
    ),
    st.sampled_from([gate(), gate("target.id == 'x'")]),
    st.just({"manual": {"text": "look", "by": "oncall"}}),
)


@given(st.lists(ENTRIES, min_size=1, max_size=8))
def test_in_any_playbook_exactly_what_stands_before_the_first_gate_is_found(
    entries: list[dict[str, Any]],
) -> None:
    made = playbook(*entries)
    first = next((n for n, entry in enumerate(entries) if "approve" in entry), len(entries))
    before = [step for step in made.steps[:first] if isinstance(step, RunStep | Parallel)]
    expected = [
        step.step
        for entry in before
        for step in (entry.parallel if isinstance(entry, Parallel) else (entry,))
        if STEPS[step.step].disruptive
    ]
    assert [found.step.step for found in ungated(made, STEPS)] == expected


def said(*entries: str) -> list[str]:
    head, _, _ = SMALL.partition("      - step:")
    return notes(accepted(head + "".join(f"      - {entry}\n" for entry in entries)), STEPS)


PRODUCTION = "\"target.tags.environment == 'production'\""


def test_what_runs_without_approval_is_said_with_the_condition() -> None:
    assert said(
        f"{{approve: {{id: g, by: oncall}}, when: {PRODUCTION}}}",
        "parallel: [{step: ec2.isolate}]",
        "step: ec2.protect",
    ) == [
        "compromise: ec2.isolate runs without approval when not "
        "(target.tags.environment == 'production')"
    ]


def test_conditions_add_up_until_a_gate_without_one() -> None:
    first = f"{{approve: {{id: a, by: oncall}}, when: {PRODUCTION}}}"
    second = '{approve: {id: b, by: leads}, when: "finding.severity >= `7`"}'
    assert said(first, second, "step: ec2.isolate") == [
        "compromise: ec2.isolate runs without approval when not "
        "(target.tags.environment == 'production') and not (finding.severity >= `7`)"
    ]
    always = "approve: {id: c, by: oncall}"
    assert said(first, always, second, "step: ec2.isolate") == []
    assert said(always, "step: ec2.isolate") == []
