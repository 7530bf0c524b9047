"""The CloudFormation stack of a clean room as it stands: its state, its parts, what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbooks.aws import Reader
from runbooks.calls import Call
from runbooks.targets.evidence import INCIDENT_TAG

ROOM_PREFIX = "clampdown-clean-room-"
EXPIRES_TAG = "clampdown:expires"
# What DescribeStacks answers where there is no stack of that name.
ABSENT = ("ValidationError",)

_CANCELLED = "Resource creation cancelled"
_VOLUME = "Volume"


def room_name(incident_id: str, instance_id: str) -> str:
    """The name of the stack in which an instance's clean room is."""
    return f"{ROOM_PREFIX}{incident_id}-{instance_id}"


@dataclass(frozen=True)
class Stack:
    """A stack as DescribeStacks shows it."""

    id: str
    name: str
    status: str
    reason: str
    tags: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def complete(self) -> bool:
        # Somebody may have updated it since.
        return self.status.endswith("_COMPLETE") and not self.status.startswith(
            ("ROLLBACK", "DELETE")
        )

    @property
    def creating(self) -> bool:
        return self.status == "CREATE_IN_PROGRESS"

    @property
    def incident(self) -> str:
        return self.tags.get(INCIDENT_TAG, "")

    @property
    def expires(self) -> str:
        """When it is to be deleted, as :meth:`runbooks.aws.Aws.moment` writes it."""
        return self.tags.get(EXPIRES_TAG, "")

    @property
    def workstation(self) -> str:
        """The workstation's instance id; empty where there is none yet."""
        return self.outputs.get("Workstation", "")

    @property
    def volumes(self) -> list[str]:
        """The copies' ids, in the order of their devices."""
        numbers = sorted(
            int(key.removeprefix(_VOLUME)) for key in self.outputs if key.startswith(_VOLUME)
        )
        return [self.outputs[f"{_VOLUME}{number}"] for number in numbers]


def describe_stack(name: str) -> Call:
    """The read that finds a stack by its name or id."""
    return Call("cloudformation", "describe_stacks", StackName=name)


def stacks_in(answer: Mapping[str, Any]) -> list[Stack]:
    """The stacks in DescribeStacks' answer."""
    return [
        Stack(
            id=stack["StackId"],
            name=stack["StackName"],
            status=stack["StackStatus"],
            reason=stack.get("StackStatusReason", ""),
            tags={tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])},
            outputs={
                output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])
            },
        )
        for stack in answer.get("Stacks", [])
    ]


def read_stack(reader: Reader, name: str) -> Stack | None:
    """The stack of that name, as it is now; None where there is none."""
    return next(iter(stacks_in(reader.read(describe_stack(name), absent=ABSENT))), None)


def first_failure(reader: Reader, stack: Stack, status: str) -> str:
    """Which resource came to ``status`` first, and why: those after it were only cancelled."""
    answer = reader.read(Call("cloudformation", "describe_stack_events", StackName=stack.id))
    failed = [
        event
        for event in answer["StackEvents"]
        if event["ResourceStatus"] == status
        and event.get("PhysicalResourceId") != stack.id
        and not event.get("ResourceStatusReason", "").startswith(_CANCELLED)
    ]
    if not failed:
        return stack.reason or "CloudFormation gives no reason."
    # The newest event comes first.
    first = failed[-1]
    reason = first.get("ResourceStatusReason", "no reason given")
    return f"{first['LogicalResourceId']} ({first['ResourceType']}): {reason}"
