"""SQS's requests: what is refused of messages and batches, and what is said of a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 1_048_576
_MOST_ENTRIES = 10
_MOST_ATTRIBUTES = 10
_MOST_VISIBILITY_SECONDS = 43_200
_MOST_DELAY_SECONDS = 900
_ENTRY_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
# "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF" (SendMessage).
_NOT_SENT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[\w-]+(\.[\w-]+)*", re.ASCII)
_MOST_NAME_LETTERS = 256


def correct() -> None:
    """Have batches be checked as a whole first, and each of their entries then by itself."""
    from moto.sqs.exceptions import MaxVisibilityTimeout
    from moto.sqs.models import SQSBackend
    from moto.sqs.responses import SQSResponse

    def send_message_batch(self: Any) -> Any:
        entries = _entries(self, "Send")
        length = sum(
            message_bytes(entry["MessageBody"], entry.get("MessageAttributes")) for entry in entries
        )
        if length > MOST_BYTES:
            raise _refused(
                "AWS.SimpleQueueService.BatchRequestTooLong",
                f"Batch requests cannot be longer than {MOST_BYTES} bytes. "
                f"You have sent {length} bytes.",
            )
        name = self._get_queue_name()

        def send(entry: Mapping[str, Any]) -> Mapping[str, Any]:
            message = self.sqs_backend.send_message(
                name,
                entry["MessageBody"],
                message_attributes=entry.get("MessageAttributes"),
                delay_seconds=entry.get("DelaySeconds"),
                deduplication_id=entry.get("MessageDeduplicationId"),
                group_id=entry.get("MessageGroupId"),
                system_attributes=entry.get("MessageSystemAttributes"),
            )
            return _sent(message)

        return _each(entries, send)

    def delete_message_batch(self: Any) -> Any:
        name = self._get_queue_name()

        def delete(entry: Mapping[str, Any]) -> None:
            self.sqs_backend.delete_message(name, entry["ReceiptHandle"])

        return _each(_entries(self, "Delete"), delete)

    def change_message_visibility_batch(self: Any) -> Any:
        name = self._get_queue_name()

        def change(entry: Mapping[str, Any]) -> None:
            seconds = int(entry.get("VisibilityTimeout") or 0)
            if not 0 <= seconds <= _MOST_VISIBILITY_SECONDS:
                raise MaxVisibilityTimeout
            self.sqs_backend.change_message_visibility(name, entry["ReceiptHandle"], seconds)

        return _each(_entries(self, "ChangeVisibility"), change)

    SQSResponse.send_message_batch = send_message_batch
    SQSResponse.delete_message_batch = delete_message_batch
    SQSResponse.change_message_visibility_batch = change_message_visibility_batch
    # Not by their number of letters only; the rest of moto's checks is of FIFO queues.
    require = SQSBackend._validate_message
    SQSBackend._validate_message = lambda self, queue, *given, **named: (
        require(self, queue, *given, **named) if queue.fifo_queue else None
    )


# Messages


def require_sendable(
    queue: Any, body: str, attributes: Mapping[str, Any] | None, delay_seconds: int | None
) -> None:
    """Raise what SQS answers to a message that the queue doesn't take."""
    if not body:
        raise _refused("MissingParameter", "The request must contain the parameter MessageBody.")
    if _NOT_SENT.search(body):
        raise _refused("InvalidMessageContents", "Invalid characters found in the message body.")
    _require_attributes(attributes or {})
    if message_bytes(body, attributes) > queue.maximum_message_size:
        raise _invalid(
            "One or more parameters are invalid. Reason: Message must be shorter than "
            f"{queue.maximum_message_size} bytes."
        )
    if not 0 <= int(delay_seconds or 0) <= _MOST_DELAY_SECONDS:
        raise _invalid(
            f"Value {delay_seconds} for parameter DelaySeconds is invalid. Reason: DelaySeconds "
            f"must be >= 0 and <= {_MOST_DELAY_SECONDS}."
        )


def message_bytes(body: str, attributes: Mapping[str, Any] | None) -> int:
    """The size of a message: "the name, data type, value, and the message body" (SQS Developer
    Guide, "Amazon SQS message metadata")."""
    size = _bytes(body)
    for name, value in (attributes or {}).items():
        content = value.get("BinaryValue") or value.get("StringValue") or ""
        size += _bytes(name) + _bytes(value.get("DataType") or "") + _bytes(content)
    return size


def _bytes(text: str | bytes) -> int:
    # Characters that can't be sent are refused, and counted somehow before.
    return len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))


def _require_attributes(attributes: Mapping[str, Any]) -> None:
    if len(attributes) > _MOST_ATTRIBUTES:
        raise _invalid(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{_MOST_ATTRIBUTES}]."
        )
    for name, value in attributes.items():
        # "The name can contain alphanumeric characters and the underscore (_), hyphen (-), and
        # period (.) …" (SendMessage, MessageAttributes).
        if not _ATTRIBUTE_NAME.fullmatch(name) or len(name) > _MOST_NAME_LETTERS:
            raise _invalid(f"The message attribute name '{name}' is invalid.")
        kind = value.get("DataType") or ""
        if kind.split(".")[0] not in ("String", "Number", "Binary"):
            raise _invalid(
                f"The type of message (user) attribute '{name}' is invalid. You must use only the "
                "following supported type prefixes: Binary, Number, String."
            )
        field = "BinaryValue" if kind.startswith("Binary") else "StringValue"
        content = value.get(field)
        # "Name, type, value and the message body must not be empty or null" (SendMessage).
        if not content:
            raise _invalid(
                f"Message (user) attribute '{name}' must contain a non-empty value of type "
                f"'{kind}'."
            )
        if isinstance(content, str) and _NOT_SENT.search(content):
            raise _invalid(f"Message (user) attribute '{name}' value has invalid characters.")


# Batches


def _entries(call: Any, verb: str) -> list[dict[str, Any]]:
    """The entries of a batch. Raises what SQS answers where it can't be taken as a whole."""
    entries: list[dict[str, Any]] = call._get_param("Entries") or []
    if not entries:
        raise _refused(
            "AWS.SimpleQueueService.EmptyBatchRequest",
            f"There should be at least one {verb}MessageBatchRequestEntry in the request.",
        )
    if len(entries) > _MOST_ENTRIES:
        raise _refused(
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {_MOST_ENTRIES}. "
            f"You have sent {len(entries)}.",
        )
    known = set()
    for entry in entries:
        if not _ENTRY_ID.fullmatch(entry["Id"]):
            raise _refused(
                "AWS.SimpleQueueService.InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and "
                "underscores. It can be at most 80 letters long.",
            )
        if entry["Id"] in known:
            raise _refused(
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", f"Id {entry['Id']} repeated."
            )
        known.add(entry["Id"])
    call.sqs_backend.get_queue(call._get_queue_name())
    return entries


def _each(
    entries: Sequence[Mapping[str, Any]],
    carry_out: Callable[[Mapping[str, Any]], Mapping[str, Any] | None],
) -> Any:
    """ "The result of the action on each message is reported individually in the response"
    (DeleteMessageBatch and the others)."""
    from moto.core.responses import ActionResult
    from moto.sqs.exceptions import SQSException

    done, failed = [], []
    for entry in entries:
        try:
            done.append({"Id": entry["Id"], **(carry_out(entry) or {})})
        except SQSException as error:
            failed.append(
                {
                    "Id": entry["Id"],
                    "SenderFault": True,
                    "Code": error.code,
                    "Message": error.message,
                }
            )
    return ActionResult({"Successful": done, "Failed": failed})


def _sent(message: Any) -> Mapping[str, Any]:
    said = {"MessageId": message.id, "MD5OfMessageBody": message.body_md5}
    if message.message_attributes:
        said["MD5OfMessageAttributes"] = message.attribute_md5
    if message.sequence_number:
        said["SequenceNumber"] = message.sequence_number
    return said


# Receiving


@dataclass(frozen=True)
class Receive:
    """What a ReceiveMessage asks for; seconds."""

    count: int
    wait: int
    visibility: int
    attributes: list[str]
    system_attributes: frozenset[str]


def read_receive(call: Any) -> Receive:
    """Raises what SQS answers to values that there aren't."""
    queue = call.sqs_backend.get_queue(call._get_queue_name())

    def number(name: str, otherwise: int, least: int, most: int) -> int:
        given = call._get_param(name)
        value = otherwise if given is None else int(given)
        if not least <= value <= most:
            raise _invalid(
                f"Value {value} for parameter {name} is invalid. Reason: Must be between {least} "
                f"and {most}, if provided."
            )
        return value

    return Receive(
        number("MaxNumberOfMessages", 1, 1, 10),
        number("WaitTimeSeconds", int(queue.receive_message_wait_time_seconds), 0, 20),
        number("VisibilityTimeout", int(queue.visibility_timeout), 0, _MOST_VISIBILITY_SECONDS),
        call._get_param("MessageAttributeNames", []),
        # "AttributeNames … has been discontinued but will be supported" (ReceiveMessage).
        frozenset(call._get_param("AttributeNames", []))
        | frozenset(call._get_param("MessageSystemAttributeNames", [])),
    )


_SYSTEM_ATTRIBUTES: Mapping[str, Callable[[Any], Any]] = {
    "ApproximateFirstReceiveTimestamp": lambda message: message.approximate_first_receive_timestamp,
    "ApproximateReceiveCount": lambda message: message.approximate_receive_count,
    "AWSTraceHeader": lambda message: message.system_attributes.get("AWSTraceHeader", {}).get(
        "StringValue"
    ),
    "DeadLetterQueueSourceArn": lambda message: message.dead_letter_source or None,
    "MessageDeduplicationId": lambda message: message.deduplication_id,
    "MessageGroupId": lambda message: message.group_id,
    "SenderId": lambda message: message.sender_id,
    "SentTimestamp": lambda message: message.sent_timestamp,
    "SequenceNumber": lambda message: message.sequence_number,
}


def said(message: Any, wanted: frozenset[str]) -> dict[str, Any]:
    """What ReceiveMessage says of a message, with the system attributes that are wanted."""
    answer: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.body_md5,
        "Body": message.body,
    }
    if message.message_attributes:
        answer["MessageAttributes"] = message.message_attributes
        answer["MD5OfMessageAttributes"] = message.attribute_md5
    attributes = {
        name: str(value)
        for name, read in _SYSTEM_ATTRIBUTES.items()
        if ("All" in wanted or name in wanted) and (value := read(message)) is not None
    }
    if attributes:
        answer["Attributes"] = attributes
    return answer


def _invalid(why: str) -> Exception:
    return _refused("InvalidParameterValue", why)


def _refused(code: str, why: str) -> Exception:
    from moto.sqs.exceptions import SQSException

    error: Exception = SQSException(code, why)
    return error
