"""Auto Scaling's scaling activities: what a group did with its instances, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.gameday.aws import operations, simulated_time
from flows.gameday.aws.errors import autoscaling_error

_PAGE = 100
# What is over. "Activities still in progress are described first" (ActivitiesType).
_ENDED = ("Successful", "Failed", "Cancelled")


def correct() -> None:
    """Have groups remember their scaling activities; moto lists none."""
    from moto.autoscaling.responses import AutoScalingResponse

    operations.add(AutoScalingResponse, {"DescribeScalingActivities": _describe})


@dataclass
class Activity:
    """One activity; the fields are those of the API's Activity."""

    id: str
    group: Any
    description: str
    cause: str
    details: str
    start: datetime
    status: str = "InProgress"
    message: str = ""
    end: datetime | None = None

    def finish(self, status: str = "Successful", message: str = "") -> None:
        """It is over, well or not. ``message`` is why it failed."""
        self.status, self.message, self.end = status, message, simulated_time.now()

    @property
    def begun(self) -> dict[str, Any]:
        """As who asked for it is answered, however fast it is over."""
        asked = {**self.described, "StatusCode": "InProgress", "Progress": 50}
        asked.pop("EndTime", None)
        return asked

    @property
    def described(self) -> dict[str, Any]:
        """As it is now, by the names of the API."""
        optional = {"EndTime": self.end, "StatusMessage": self.message}
        return {
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group.name,
            "AutoScalingGroupARN": self.group.arn,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": self.start,
            "StatusCode": self.status,
            "Progress": 50 if self.end is None else 100,
            "Details": self.details,
            **{name: value for name, value in optional.items() if value},
        }


def begin(group: Any, description: str, why: str, instance: Any = None) -> Activity:
    """Note what a group begins. ``why`` follows on "At <now> ", as in AWS's causes; the details are
    where the instance is (DescribeScalingActivities, examples)."""
    from moto.moto_api._internal import mock_random

    now = simulated_time.now()
    activity = Activity(
        id=str(mock_random.uuid4()),
        group=group,
        description=description,
        cause=f"At {now:%Y-%m-%dT%H:%M:%SZ} {why}",
        details="" if instance is None else where(instance),
        start=now,
    )
    _of(group.autoscaling_backend).append(activity)
    return activity


def where(instance: Any) -> str:
    """The details of an activity that is about an instance."""
    return json.dumps(
        {"Subnet ID": instance.subnet_id, "Availability Zone": instance.availability_zone}
    )


def _of(backend: Any) -> list[Activity]:
    activities: list[Activity] = backend.__dict__.setdefault("scaling_activities", [])
    return activities


def _describe(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    backend, name = response.autoscaling_backend, asked.get("AutoScalingGroupName")
    wanted, deleted_too = asked.get("ActivityIds"), asked.get("IncludeDeletedGroups")
    latest_first = [
        activity
        for activity in reversed(_of(backend))
        if name in (None, activity.group.name)
        and (not wanted or activity.id in wanted)
        and (deleted_too or backend.autoscaling_groups.get(activity.group.name) is activity.group)
    ]
    latest_first.sort(key=lambda activity: activity.status in _ENDED)
    found, following = operations.page(
        [activity.described for activity in latest_first],
        int(asked.get("MaxRecords") or _PAGE),
        asked.get("NextToken"),
        bad_token=autoscaling_error("The token is not valid."),
    )
    return {"Activities": found, **({"NextToken": following} if following else {})}
