"""SQS: dead letters that are moved back to where they came from (StartMessageMoveTask)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations, simulated_time


def correct() -> None:
    """Have dead letters be moved back; moto doesn't know where they came from."""
    from moto.sqs.responses import SQSResponse

    operations.add(
        SQSResponse,
        {
            "StartMessageMoveTask": _start,
            "ListMessageMoveTasks": _list,
            "CancelMessageMoveTask": _cancel,
        },
    )


def _start(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    backend = response.sqs_backend
    source = _queue(backend, asked["SourceArn"])
    # "Currently, only ARNs of dead-letter queues (DLQs) whose sources are other Amazon SQS queues
    # are accepted" (StartMessageMoveTask).
    if not backend.list_dead_letter_source_queues(source.name):
        raise operations.error(
            "InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."
        )
    wanted = asked.get("DestinationArn")
    destination = _queue(backend, wanted) if wanted else None
    moved = 0
    for message in source.contents.take_all():
        origin = message.dead_letter_source.rsplit(":", 1)[-1]
        target = destination or backend.queues.get(origin)
        if target is None:
            source.add_message(message)
            continue
        message.dead_letter_source = ""
        target.add_message(message)
        moved += 1
    task = {
        "TaskHandle": mock_random.get_random_hex(32),
        "Status": "COMPLETED",
        "SourceArn": asked["SourceArn"],
        **({"DestinationArn": wanted} if wanted else {}),
        "ApproximateNumberOfMessagesMoved": moved,
        "ApproximateNumberOfMessagesToMove": moved,
        "StartedTimestamp": int(simulated_time.now().timestamp() * 1000),
    }
    _tasks(backend).append(task)
    return {"TaskHandle": task["TaskHandle"]}


def _list(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    _queue(response.sqs_backend, asked["SourceArn"])
    found = [
        # The handle "is populated if the task status is RUNNING" (ListMessageMoveTasks).
        {name: value for name, value in task.items() if name != "TaskHandle"}
        for task in reversed(_tasks(response.sqs_backend))
        if task["SourceArn"] == asked["SourceArn"]
    ]
    return {"Results": found[: int(asked.get("MaxResults") or 1)]}


def _cancel(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    """Here a task is over as soon as it has begun."""
    raise operations.error("ResourceNotFoundException", "There is no such task that is running.")


def _queue(backend: Any, arn: str) -> Any:
    for queue in backend.queues.values():
        if queue.queue_arn == arn:
            return queue
    raise operations.error("ResourceNotFoundException", f"There is no queue {arn}.")


def _tasks(backend: Any) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = backend.__dict__.setdefault("move_tasks", [])
    return tasks
