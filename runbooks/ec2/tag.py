"""``ec2.tag``: mark an instance, its volumes and its interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Resource, Undo
from runbooks.errors import NotContained
from runbooks.step import Permissions, Step, StepParams
from runbooks.targets.instance import Ec2Instance

# EC2 User Guide, "Tag restrictions". Tags of AWS itself do not count towards the fifty.
_TAGS_A_RESOURCE = 50
_KEY_LENGTH = 128
_VALUE_LENGTH = 256
_GONE = (
    "InvalidInstanceID.NotFound",
    "InvalidNetworkInterfaceID.NotFound",
    "InvalidVolume.NotFound",
)


def _allowed(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise ValueError(f"{key!r}: keys that begin with aws: are AWS's own")
        if not 1 <= len(key) <= _KEY_LENGTH:
            raise ValueError(f"{key[:40]!r}: a key has 1 to {_KEY_LENGTH} characters")
        if len(value) > _VALUE_LENGTH:
            raise ValueError(f"{key!r}: a value has at most {_VALUE_LENGTH} characters")
    return tags


class Tags(StepParams):
    """``tags``: what the instance, its volumes and its interfaces are tagged with."""

    tags: Annotated[
        dict[str, str],
        Field(min_length=1, max_length=_TAGS_A_RESOURCE),
        AfterValidator(_allowed),
    ]


class TagInstance(Step[Ec2Instance, Tags]):
    """Tag the instance, its volumes and its network interfaces.

    Where instance metadata shows tags, whoever is on the instance reads them (EC2 User Guide,
    "View tags for your EC2 instances using instance metadata"): playbooks tag last, and the plan
    warns. Interfaces and volumes that an AWS service manages are left to it.
    """

    name = "ec2.tag"
    permissions = Permissions(change=("ec2:CreateTags", "ec2:DeleteTags"))
    Params = Tags
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: Tags) -> None:
        if target.metadata_tags:
            aws.warn(
                f"{target.id} shows its tags through the instance metadata service: an intruder "
                "on it can read these."
            )
        full = [item for item in _resources(target) if not _has_room(item, params.tags)]
        for resource in full:
            aws.warn(
                f"{_id(resource)} would have more than the {_TAGS_A_RESOURCE} tags that AWS "
                "allows: it is not tagged."
            )
        aws.change_all(_changes(target, params.tags))

    def verify(self, aws: Aws, target: Ec2Instance, params: Tags) -> None:
        untagged = [_id(item) for item in _to_tag(target, params.tags)]
        if untagged:
            raise NotContained(f"{target.id}: not tagged as they must be: {', '.join(untagged)}.")


def _changes(target: Ec2Instance, tags: Mapping[str, str]) -> list[Change]:
    """One call for all resources that lack the same tags."""
    sets: dict[tuple[tuple[str, str], ...], list[Resource]] = {}
    for resource in _to_tag(target, tags):
        lacking = tuple(_lacking(resource, tags).items())
        sets.setdefault(lacking, []).append(resource)
    return [
        Change(
            Call(
                "ec2",
                "create_tags",
                Resources=[_id(resource) for resource in resources],
                Tags=_as_list(dict(lacking)),
            ),
            # The guardrails hold the instance's own tags and ARN against the protected list.
            on=target.resource,
            undo=_restore(dict(lacking), resources),
            why=f"tag {', '.join(_id(resource) for resource in resources)}",
        )
        for lacking, resources in sets.items()
    ]


def _restore(added: Mapping[str, str], resources: Sequence[Resource]) -> tuple[Undo, ...]:
    """The calls that give each resource its own values back and take new keys away.

    A call for each resource, so that one that is gone by then keeps no other from its tags.
    DeleteTags with a value deletes only a tag that still has it.
    """
    undos = []
    for resource in resources:
        before = {key: resource.tags[key] for key in added if key in resource.tags}
        new = {key: value for key, value in added.items() if key not in resource.tags}
        for operation, tags in (("create_tags", before), ("delete_tags", new)):
            if tags:
                call = Call("ec2", operation, Resources=[_id(resource)], Tags=_as_list(tags))
                undos.append(Undo(call, unless=_GONE))
    return tuple(undos)


def _resources(target: Ec2Instance) -> list[Resource]:
    return [
        target.resource,
        *(volume.resource for volume in target.volumes if not volume.managed),
        *(eni.resource for eni in target.network_interfaces if not eni.managed),
    ]


def _to_tag(target: Ec2Instance, tags: Mapping[str, str]) -> list[Resource]:
    return [
        resource
        for resource in _resources(target)
        if _lacking(resource, tags) and _has_room(resource, tags)
    ]


def _lacking(resource: Resource, tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if resource.tags.get(key) != value}


def _has_room(resource: Resource, tags: Mapping[str, str]) -> bool:
    own = {key for key in resource.tags if not key.startswith("aws:")}
    return len(own | set(tags)) <= _TAGS_A_RESOURCE


def _id(resource: Resource) -> str:
    return resource.arn.rsplit("/", 1)[1]


def _as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
