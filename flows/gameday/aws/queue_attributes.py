"""SQS: the attributes of queues: those that stay, those that rule each other out, their limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# "Valid values" (CreateQueue, Attributes).
_LIMITS: Mapping[str, tuple[int, int]] = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1_024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
_RECEIVES = (1, 1_000)
_SETTABLE = frozenset(
    {
        *_LIMITS,
        "ContentBasedDeduplication",
        "DeduplicationScope",
        "FifoQueue",
        "FifoThroughputLimit",
        "KmsMasterKeyId",
        "Policy",
        "RedriveAllowPolicy",
        "RedrivePolicy",
        "SqsManagedSseEnabled",
    }
)


def correct() -> None:
    """Have queues keep what isn't changed, and refuse what isn't an attribute, or can't be one."""
    from moto.sqs.models import Queue, SQSBackend

    Queue.BASE_ATTRIBUTES = [*Queue.BASE_ATTRIBUTES, "RedriveAllowPolicy"]
    Queue.redrive_allow_policy = None
    change = Queue._set_attributes

    def _set_attributes(self: Any, attributes: dict[str, Any], now: float | None = None) -> None:
        # SetQueueAttributes changes the attributes that it is given; moto has a queue lose its
        # policy whenever another attribute is changed.
        if "Policy" not in attributes and "_policy_json" in self.__dict__:
            attributes = {**attributes, "Policy": self.policy}
        change(self, {**attributes, **_encryption(attributes)}, now)

    Queue._set_attributes = _set_attributes

    known = Queue.attributes.fget

    def attributes(self: Any) -> dict[str, Any]:
        found: dict[str, Any] = known(self)
        # "epoch time in seconds" (GetQueueAttributes); moto says fractions of them.
        for name in ("CreatedTimestamp", "LastModifiedTimestamp"):
            found[name] = int(found[name])
        return found

    Queue.attributes = property(attributes)

    create, change_called = SQSBackend.create_queue, SQSBackend.set_queue_attributes

    def create_queue(self: Any, name: str, tags: dict[str, str] | None = None, **given: Any) -> Any:
        _require(self, name, {key: value for key, value in given.items() if key in _SETTABLE})
        return create(self, name, tags, **given)

    def set_queue_attributes(self: Any, queue_name: str, attributes: dict[str, Any]) -> Any:
        self.get_queue(queue_name)
        _require_known(attributes)
        _require(self, queue_name, attributes)
        return change_called(self, queue_name, attributes)

    SQSBackend.create_queue = create_queue
    SQSBackend.set_queue_attributes = set_queue_attributes
    _created()


def _created() -> None:
    from moto.sqs.responses import SQSResponse

    call = SQSResponse.create_queue

    def create_queue(self: Any) -> Any:
        _require_known(self._get_param("Attributes", {}))
        return call(self)

    SQSResponse.create_queue = create_queue


def _encryption(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """ "Only one server-side encryption option is supported per queue (for example, SSE-KMS or
    SSE-SQS)" (CreateQueue, SqsManagedSseEnabled)."""
    if attributes.get("KmsMasterKeyId"):
        return {"SqsManagedSseEnabled": False}
    if "SqsManagedSseEnabled" in attributes:
        managed = str(attributes["SqsManagedSseEnabled"]).lower() == "true"
        return {"SqsManagedSseEnabled": managed, **({"KmsMasterKeyId": None} if managed else {})}
    return {}


def _require_known(attributes: Mapping[str, Any]) -> None:
    from moto.sqs.exceptions import InvalidAttributeName

    for name in attributes:
        if name not in _SETTABLE:
            raise InvalidAttributeName(name)


def _require(backend: Any, name: str, attributes: Mapping[str, Any]) -> None:
    from moto.sqs.exceptions import InvalidAttributeValue

    for key, (least, most) in _LIMITS.items():
        if key in attributes and not _is_within(attributes[key], least, most):
            raise InvalidAttributeValue(key)
    for key in ("Policy", "RedriveAllowPolicy"):
        if _document(attributes.get(key)) is None:
            raise InvalidAttributeValue(key)
    if "RedrivePolicy" in attributes:
        _require_redrive(backend, name, attributes["RedrivePolicy"])


def _require_redrive(backend: Any, name: str, given: Any) -> None:
    policy = _document(given)
    if policy == {}:
        return
    if policy is None or not {"deadLetterTargetArn", "maxReceiveCount"} <= policy.keys():
        raise _invalid(given, "Redrive policy is not a valid JSON map")
    if not _is_within(policy["maxReceiveCount"], *_RECEIVES):
        raise _invalid(given, "Invalid value for maxReceiveCount: must be between 1 and 1000")
    queues = {queue.queue_arn: queue for queue in backend.queues.values()}
    target = queues.get(policy["deadLetterTargetArn"])
    if target is None:
        raise _invalid(given, "Dead letter target does not exist")
    if target.fifo_queue != name.endswith(".fifo"):
        raise _invalid(given, "Dead-letter queue must be same type of queue as the source")
    # "The permission type that defines which source queues can specify the current queue as the
    # dead-letter queue" (CreateQueue, RedriveAllowPolicy).
    allowed = _document(target.redrive_allow_policy) or {}
    source = target.queue_arn.rsplit(":", 1)[0] + f":{name}"
    match allowed.get("redrivePermission", "allowAll"):
        case "denyAll":
            raise _invalid(given, "Dead letter target doesn't allow any source queues")
        case "byQueue" if source not in allowed.get("sourceQueueArns", []):
            raise _invalid(given, "Dead letter target doesn't allow this source queue")


def _document(value: Any) -> dict[str, Any] | None:
    """A policy; an empty one for none, and None for what is no JSON object."""
    if not value:
        return {}
    try:
        document = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _is_within(value: Any, least: int, most: int) -> bool:
    try:
        return least <= int(value) <= most
    except (TypeError, ValueError):
        return False


def _invalid(given: Any, why: str) -> Exception:
    from moto.sqs.exceptions import InvalidParameterValue

    text = given if isinstance(given, str) else json.dumps(given)
    error: Exception = InvalidParameterValue(
        f"Value {text} for parameter RedrivePolicy is invalid. Reason: {why}."
    )
    return error
