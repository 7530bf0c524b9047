"""``ec2.tag``: only what differs is tagged, and undo gives back what was there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from runbooks.calls import Call
from runbooks.ec2.tag import TagInstance, Tags
from runbooks.errors import NotContained
from tests.runbooks.instances import INSTANCE, Plan, instance, interface, volume

CASE = {"tags": {"case": "7"}}


def call(operation: str, resources: list[str], **tags: str) -> Call:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return Call("ec2", operation, Resources=resources, Tags=listed)


def test_one_call_tags_everything_that_lacks_the_same_tags() -> None:
    target = instance(volumes=[volume()], interfaces=[interface()])

    assert Plan(TagInstance, target, CASE).calls == [
        call(
            "create_tags",
            [INSTANCE, target.volumes[0].id, target.network_interfaces[0].id],
            case="7",
        )
    ]


def test_only_what_differs_is_tagged() -> None:
    tagged = volume(1, tags={"case": "7"})
    half = volume(2, tags={"case": "7", "owner": "them"})
    target = instance(volumes=[tagged, half], tags={"case": "6"})

    plan = Plan(TagInstance, target, {"tags": {"case": "7", "owner": "us"}})

    assert plan.calls == [
        call("create_tags", [INSTANCE], case="7", owner="us"),
        call("create_tags", [tagged.id, half.id], owner="us"),
    ]


def test_nothing_is_sent_when_all_is_tagged() -> None:
    target = instance(tags={"case": "7", "name": "web"}, volumes=[volume(tags={"case": "7"})])

    assert Plan(TagInstance, target, CASE).calls == []


def test_undo_restores_previous_values_and_deletes_only_keys_that_were_added() -> None:
    plain = volume(1)
    target = instance(tags={"case": "6", "name": "web"}, volumes=[plain])

    (change,) = Plan(TagInstance, target, {"tags": {"case": "7", "owner": "us"}}).changes

    assert [undo.call for undo in change.undos] == [
        call("create_tags", [INSTANCE], case="6"),
        call("delete_tags", [INSTANCE], owner="us"),
        call("delete_tags", [plain.id], case="7", owner="us"),
    ]


def test_an_intruder_who_can_read_tags_is_warned_of() -> None:
    assert "intruder" in Plan(TagInstance, instance(metadata_tags=True), CASE).warnings
    assert not Plan(TagInstance, instance(metadata_tags=False), CASE).warnings


def test_a_resource_with_fifty_tags_is_named_and_the_rest_is_tagged() -> None:
    full = volume(1, tags={f"key-{number}": "" for number in range(50)})
    of_aws = volume(2, tags={f"aws:key-{number}": "" for number in range(50)})
    target = instance(volumes=[full, of_aws])

    plan = Plan(TagInstance, target, CASE)

    assert plan.calls == [call("create_tags", [INSTANCE, of_aws.id], case="7")]
    assert full.id in plan.warnings


def test_what_a_service_manages_is_left_to_it() -> None:
    target = instance(volumes=[volume(managed=True)], interfaces=[interface(managed=True)])

    assert Plan(TagInstance, target, CASE).calls == [call("create_tags", [INSTANCE], case="7")]


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"aws:case": "7"},
        {"AWS:case": "7"},
        {"": "7"},
        {"k" * 129: "7"},
        {"case": "v" * 257},
        {"case": 7},
        {f"key-{number}": "" for number in range(51)},
    ],
)
def test_tags_that_aws_would_refuse_are_refused_before_anything_is_done(
    tags: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        Tags.model_validate({"tags": tags})


def test_the_longest_key_and_value_are_allowed() -> None:
    Tags.model_validate({"tags": {"k" * 128: "v" * 256}})


def test_verify_names_the_resource_that_lost_its_tag() -> None:
    target = instance(tags={"case": "7"}, volumes=[volume(tags={"case": "6"})])

    with pytest.raises(NotContained, match=target.volumes[0].id):
        # It looks at facts only, so there is no AWS to give.
        TagInstance().verify(None, target, Tags.model_validate(CASE))  # type: ignore[arg-type]
