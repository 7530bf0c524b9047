"""Calls as data: the same after a round trip, matched to the plan, and hashed to one digest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.calls import (
    Call,
    Change,
    Found,
    Keep,
    Plan,
    PlannedStep,
    Resource,
    Undo,
    bind_answer,
    canonical,
    is_pending,
    matches,
    pending,
    sha256,
    unique,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.builds(
    lambda service, operation, params: Call(service, operation, **params),
    st.sampled_from(["ec2", "iam", "elbv2"]),
    st.sampled_from(["create_tags", "modify_thing"]),
    st.dictionaries(st.text(st.sampled_from("ABCde"), min_size=1, max_size=6), JSON, max_size=4),
)
FOUND = st.builds(lambda by, path: Call("ec2", "delete_x", Id=Found(by, path)), CALLS, TEXT)
UNDOS = st.builds(Undo, CALLS | FOUND, st.lists(TEXT, max_size=2).map(tuple))
CHANGES = st.builds(
    Change,
    CALLS,
    st.builds(Resource, TEXT),
    st.lists(UNDOS, max_size=2).map(tuple) | st.builds(Keep, st.just("evidence")),
    TEXT,
)
STEPS = st.builds(
    PlannedStep,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    st.lists(CHANGES, max_size=3).map(tuple),
    st.lists(CHANGES, max_size=2).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
    TEXT,
)
PLANS = st.builds(
    Plan, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple), st.lists(STEPS, max_size=3).map(tuple)
)


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


def call(**params: Any) -> Call:
    return Call("ec2", "modify_thing", **params)


EVIDENCE = Keep("evidence")


def change(*, why: str = "why", undo: Any = EVIDENCE, **params: Any) -> Change:
    return Change(call(**params), Resource("arn"), undo, why)


def plan(*changes: Change, contingent: tuple[Change, ...] = (), **fields: Any) -> Plan:
    step = PlannedStep("isolate", "ec2.isolate", "i-1", "contain", changes, contingent)
    return replace(Plan("playbook", "version", ("i-1",), (step,)), **fields)


# Round trips


@given(CALLS)
def test_a_call_is_the_same_after_a_round_trip(original: Call) -> None:
    again = Call.from_json(through_json(original.to_json()))

    assert again == original
    assert hash(again) == hash(original)


@given(UNDOS)
def test_an_undo_keeps_what_it_looks_up_and_what_excuses_it(original: Undo) -> None:
    assert Undo.from_json(through_json(original.to_json())) == original


@given(CHANGES)
def test_a_change_is_the_same_after_a_round_trip(original: Change) -> None:
    assert Change.from_json(through_json(original.to_json())) == original


def test_a_single_undoing_call_comes_back_as_a_list_of_one() -> None:
    original = change(undo=call(Id="before"))

    assert Change.from_json(through_json(original.to_json())).undos == original.undos


@given(PLANS)
def test_a_plan_and_its_digest_are_the_same_after_a_round_trip(original: Plan) -> None:
    data = through_json(original.to_json())
    again = Plan.from_json(data)

    assert again == original
    assert again.digest == original.digest == data["digest"]


# The digest


def test_the_digest_does_not_depend_on_the_order_of_parameters() -> None:
    one, other = change(A="1", B="2"), change(B="2", A="1")

    assert plan(one).digest == plan(other).digest


@pytest.mark.parametrize(
    "other",
    [
        plan(change(Id="1"), change(Id="3")),
        plan(change(Id="2"), change(Id="1")),
        plan(change(Id="1")),
        plan(change(Id="1"), change(Id="2"), change(Id="2")),
        plan(change(Id="1"), change(Id="2"), contingent=(change(Id="3"),)),
        plan(change(Id="1"), change(Id="2"), playbook="another"),
        plan(change(Id="1"), change(Id="2"), version="another"),
        plan(change(Id="1"), change(Id="2"), targets=("i-2",)),
    ],
)
def test_the_digest_tells_calls_their_order_targets_and_versions_apart(other: Plan) -> None:
    assert plan(change(Id="1"), change(Id="2")).digest != other.digest


def test_wording_and_steps_without_calls_are_no_part_of_the_digest() -> None:
    worded = plan(change(Id="1", why="in other words"))
    quiet = replace(
        worded, steps=(*worded.steps, PlannedStep("tag", "ec2.tag", "i-1", "", (), warnings=("w",)))
    )

    assert plan(change(Id="1")).digest == worded.digest == quiet.digest


def test_canonical_json_has_one_form() -> None:
    assert canonical({"b": [1, "é"], "a": (None, True)}) == '{"a":[null,true],"b":[1,"é"]}'.encode()
    assert sha256({"a": 1}) == sha256({"a": 1})
    assert len(sha256({})) == 64


# Pending values


@given(CALLS)
def test_a_call_matches_itself_and_no_other_operation(original: Call) -> None:
    assert matches(original, original)
    assert not matches(original, Call("ec2", "another_operation", **original.params))
    assert not matches(original, Call("s3", original.operation, **original.params))


@given(st.text(min_size=1))
def test_a_pending_value_matches_any_text(chosen: str) -> None:
    assert matches(call(Id=pending("1/Id")), call(Id=chosen))


def test_a_pending_value_matches_a_number_and_is_bound_by_it() -> None:
    chosen: dict[str, str] = {}

    assert matches(call(Number=pending("a free number")), call(Number=7), chosen)
    assert not matches(call(Number=pending("a free number")), call(Number=8), chosen)
    assert not matches(call(Number=7), call(Number=8))


@pytest.mark.parametrize("value", ["", None, True, 7.5, ["sg-1"], {"Id": "sg-1"}])
def test_a_pending_value_matches_nothing_but_text_and_numbers(value: Any) -> None:
    assert not matches(call(Id=pending("1/Id")), call(Id=value))


def test_a_pending_value_is_bound_by_the_first_call_that_has_it() -> None:
    chosen: dict[str, str] = {}

    assert matches(call(Id=pending("1/Id")), call(Id="sg-1"), chosen)
    assert matches(call(Other=[pending("1/Id")]), call(Other=["sg-1"]), chosen)
    assert not matches(call(Id=pending("1/Id")), call(Id="sg-2"), chosen)
    assert not matches(call(Other=[pending("1/Id")]), call(Other=["sg-2"]), chosen)


def test_a_bound_value_in_a_list_stands_for_no_second_item() -> None:
    chosen = {pending("1/GroupId"): "sg-1"}

    assert not matches(
        call(Groups=[pending("1/GroupId")]), call(Groups=["sg-1", "sg-open"]), chosen
    )


def test_one_pending_item_stands_for_as_many_as_aws_makes_but_not_for_none() -> None:
    planned = call(Ids=[pending("the default rules")])

    assert matches(planned, call(Ids=["sgr-1", "sgr-2"]))
    assert not matches(planned, call(Ids=[]))
    assert not matches(planned, call(Ids=["sgr-1", None]))
    assert not matches(call(Ids=["sgr-1"]), call(Ids=["sgr-1", "sgr-2"]))


def test_text_around_a_pending_value_must_be_equal() -> None:
    planned = call(Arn=f"arn:role/{pending('a')}/{pending('b')}")

    assert matches(planned, call(Arn="arn:role/x/y"))
    assert not matches(planned, call(Arn="arn:user/x/y"))
    assert not matches(call(Arn=f"{pending('a')}-{pending('a')}"), call(Arn="x-y"))


def test_true_is_not_one_and_keys_must_be_the_same() -> None:
    assert not matches(call(On=True), call(On=1))
    assert not matches(call(A="1"), call(A="1", B="2"))
    assert not matches(call(A="1", B=pending("b")), call(A="1"))


def test_answers_bind_what_they_name() -> None:
    chosen: dict[str, str] = {}

    bind_answer(
        "isolate/1",
        {"GroupId": "sg-1", "Tags": [{"Key": "k"}], "Count": 2, "Two": ["a", "b"]},
        chosen,
    )

    assert chosen == {pending("isolate/1/GroupId"): "sg-1", pending("isolate/1/Tags/Key"): "k"}


@given(JSON)
def test_nothing_is_pending_unless_marked(value: Any) -> None:
    assert is_pending(value) == ("<pending:" in json.dumps(value))
    assert is_pending([value, {"deep": pending("x")}])


# Differences


def test_a_plan_is_the_same_as_itself_whatever_aws_chose_meanwhile() -> None:
    before, after = plan(change(Id=pending("1/Id"))), plan(change(Id="sg-1"))

    assert before.same_as(after)
    assert after.same_as(before)


def test_differences_name_what_is_gone_and_what_is_new() -> None:
    gone, added = plan(change(Id="1", why="old")).differences(plan(change(Id="2", why="new")))

    assert gone == ["isolate: old: ec2.modify_thing(Id=1)"]
    assert added == ["isolate: new: ec2.modify_thing(Id=2)"]


def test_the_same_call_twice_is_more_than_once() -> None:
    once, twice = plan(change(Id="1")), plan(change(Id="1"), change(Id="1"))

    assert not once.same_as(twice)
    assert not twice.same_as(once)


def test_a_call_that_is_newly_foreseen_is_a_difference() -> None:
    before = plan(change(Id="1"))
    after = plan(change(Id="1"), contingent=(change(Id="2", why="more"),))

    assert before.differences(after) == ([], ["isolate: if needed, more: ec2.modify_thing(Id=2)"])


def test_a_call_that_was_foreseen_is_no_difference_once_it_is_needed() -> None:
    foreseen = change(Id=pending("any other"))

    assert plan(contingent=(foreseen,)).differences(
        plan(change(Id="eni-9"), contingent=(foreseen,))
    ) == ([], [])


def test_the_same_call_in_another_step_or_on_another_target_is_a_difference() -> None:
    one = plan(change(Id="1"))
    other = replace(one, steps=(replace(one.steps[0], target="i-2"),))

    assert not one.same_as(other)


def test_only_what_stands_behind_a_gate_is_decided_on_there() -> None:
    whole = plan(change(Id="1"))
    both = replace(whole, steps=(replace(whole.steps[0], gate=""), *whole.steps))

    assert both.behind("contain").steps == whole.steps


def test_the_action_is_iams_and_not_the_sdks() -> None:
    assert Call("elbv2", "describe_target_health").action == (
        "elasticloadbalancing:DescribeTargetHealth"
    )
    assert Call("ec2", "create_tags").action == "ec2:CreateTags"


def test_a_long_parameter_is_cut_for_people() -> None:
    assert len(str(call(Text="x" * 1000))) < 160


def test_unique_keeps_the_first_of_each() -> None:
    assert unique(["b", "a", "b"]) == ["b", "a"]
