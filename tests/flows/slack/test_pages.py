"""Every call and the whole timeline are a click away, however many there are."""

from __future__ import annotations

import json
from dataclasses import replace

from flows.slack import pages
from flows.slack.actions import CALLS_BACK, CALLS_ON, TIMELINE_BACK, TIMELINE_ON
from runbooks.calls import Call, Change, Found, Keep, Plan, PlannedStep, Resource, Undo
from tests.flows.people import TARGET
from tests.flows.slack.incidents import buttons, shown
from tests.flows.slack.limits import check_view
from tests.flows.slack.made_up import ID, some_playbooks, some_records

RESOURCE = Resource("arn:aws:ec2:eu-west-1:1:instance/i-1")


def change(number: int) -> Change:
    call = Call(
        "ec2", "create_tags", Resources=[f"i-{number}"], Tags=[{"Key": "a", "Value": "<b>"}]
    )
    return Change(call, RESOURCE, Keep("evidence"), f"tag {number}")


def plan(*changes: Change, gate: str = "", **more: object) -> Plan:
    step = PlannedStep("tag", "ec2.tag", TARGET.arn, gate, changes, **more)  # type: ignore[arg-type]
    return Plan("p", "v", (TARGET.arn,), (step,))


def test_a_call_is_shown_exactly_with_its_undo() -> None:
    document = json.dumps({"Effect": "Deny", "Action": "*", "Resource": "*"} | {"x": "y" * 300})
    put = Call("iam", "put_role_policy", RoleName="app", PolicyDocument=document)
    found = Found(Call("iam", "get_role_policy", RoleName="app"), "PolicyName")
    undo = Undo(Call("iam", "delete_role_policy", RoleName="app", PolicyName=found))
    view = pages.every_call(ID, plan(Change(put, RESOURCE, undo, "deny app's sessions")))
    check_view(view)
    said = shown(view)
    assert f"`tag` on `{TARGET.id}`: deny app's sessions" in said
    # Who approves a policy sees all of it.
    assert f'"PolicyDocument": {json.dumps(document)}' in said
    assert "undo: `iam.delete_role_policy(RoleName=app, PolicyName=&lt;found by " in said


def test_what_stays_what_may_be_needed_and_what_is_left_out_is_said() -> None:
    made = plan(change(1), contingent=(change(2),), warnings=("look at it",))
    said = shown(pages.every_call(ID, made))
    assert "stays: evidence" in said
    assert f"`tag` on `{TARGET.id}`: if needed: tag 2" in said
    assert "⚠️ look at it" in said
    assert "left out, not so" in shown(pages.every_call(ID, plan(skipped="not so")))
    assert "there is nothing to change" in shown(pages.every_call(ID, plan()))


def test_pages_are_turned_from_the_first_to_the_last() -> None:
    made = plan(*map(change, range(45)), gate="contain")
    seen = [pages.every_call(ID, made, page, gate="contain") for page in range(3)]
    for view in seen:
        check_view(view)
    assert [view["title"]["text"] for view in seen] == [
        "Every call 1 of 3",
        "Every call 2 of 3",
        "Every call 3 of 3",
    ]
    assert [set(buttons(view)) for view in seen] == [
        {CALLS_ON},
        {CALLS_BACK, CALLS_ON},
        {CALLS_BACK},
    ]
    assert buttons(seen[1])[CALLS_ON]["value"] == f"{ID} 2 contain"
    assert [shown(view).count("ec2.create_tags") for view in seen] == [20, 20, 5]
    # A page that is no more, because the plan has become shorter, is the last one.
    assert pages.every_call(ID, made, 9, gate="contain") == seen[2]


def test_a_gate_shows_the_calls_behind_it_alone() -> None:
    before, behind = plan(change(1)), plan(change(2), gate="contain")
    both = replace(before, steps=(*before.steps, *behind.steps))
    said = shown(pages.every_call(ID, both, gate="contain"))
    assert "tag 2" in said
    assert "tag 1" not in said


def test_the_timeline_says_what_happened_when_and_opens_with_the_newest() -> None:
    records = some_records(lambda: "words", some_playbooks(lambda: "words"))
    many = [replace(records[n % len(records)], seq=n + 1) for n in range(150)]
    slack = replace(records[1], kind="slack.posted", body={})
    assert pages.last_page([*many, slack]) == 2
    view = pages.timeline([*many, slack], 2)
    check_view(view)
    assert set(buttons(view)) == {TIMELINE_BACK}
    assert set(buttons(pages.timeline(many, 0))) == {TIMELINE_ON}
    assert "`0.0` T012AB3CD/U0RIA: opened inc-20261123-7f3a9c: contain-it on" in shown(
        pages.timeline(many, 0)
    )
    assert "slack" not in shown(view).lower()
