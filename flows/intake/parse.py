"""From bytes to findings: takes envelopes off, tells the shapes apart, rejects everything else.

The document is never half understood: what isn't exactly one of the shapes is rejected with the
place and the reason, and nothing is acted on.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import rfc8785

from flows.intake import values
from flows.intake.asff import asff_finding
from flows.intake.aws_config import config_finding
from flows.intake.aws_health import health_finding
from flows.intake.cloudwatch import alarm_event, alarm_notification
from flows.intake.document import MAX_DOCUMENT, MAX_ITEMS, Node, read_documents, read_json, shown
from flows.intake.envelope import Envelope
from flows.intake.events import UNDERSTOOD
from flows.intake.finding import Finding, FindingRejected, Shape, newest_of_each
from flows.intake.guardduty import guardduty_finding
from flows.intake.inspector import inspector_finding
from flows.intake.ocsf import ocsf_finding
from runbooks.errors import InvalidInput

MAX_FINDING = 1024 * 1024
"""Bytes of one finding in canonical JSON. EventBridge carries no more than 256 KiB."""

_MAX_ENVELOPES = 5
_GUARDDUTY_KEYS = ("schemaVersion", "accountId", "id", "arn", "type", "resource", "service")
_ENOUGH_KEYS = 3
_FINDINGS_CATEGORY = 2
"""OCSF's category_uid of findings."""

_CUSTOM_ACTION = "Security Hub Findings - Custom Action"

Reader = Callable[..., Finding]

_OF_EVENTS: dict[str, tuple[Reader, Shape]] = {
    "aws.config": (config_finding, "config-event"),
    "aws.inspector2": (inspector_finding, "inspector-event"),
    "aws.health": (health_finding, "health-event"),
    "aws.cloudwatch": (alarm_event, "cloudwatch-event"),
}
"""Sources whose event is one finding, in one shape."""
_BY_KEYS: tuple[tuple[tuple[str, ...], Reader, Shape], ...] = (
    (("messageType", "newEvaluationResult"), config_finding, "config-notification"),
    (("findingArn", "awsAccountId"), inspector_finding, "inspector"),
    (("AlarmName", "NewStateValue"), alarm_notification, "cloudwatch-notification"),
)
"""What also comes without an event, and the members by which it is recognised."""


def parse(document: bytes) -> list[Finding]:
    """All findings of a document; there is at least one.

    Shapes: an event of EventBridge (``flows.intake.events``), a finding of GuardDuty as in its
    console, API or export to S3 (one per line, also gzip), of Security Hub (ASFF, OCSF), of
    Inspector's API, a list of them or the answer of GetFindings, what AWS Config and alarms of
    CloudWatch tell a topic of SNS, and any of these within messages of SNS and SQS, also within
    each other.

    Raises FindingRejected for the first that can't be understood or trusted; none is returned then.
    """
    results = parse_each(document)
    for result in results:
        if isinstance(result, FindingRejected):
            raise result
    return [result for result in results if isinstance(result, Finding)]


def parse_each(document: bytes) -> list[Finding | FindingRejected]:
    """As ``parse``, but one bad finding doesn't hide the good ones: each result in its place."""
    try:
        values = read_documents(document)
    except FindingRejected as rejected:
        return [rejected]
    found = itertools.chain.from_iterable(
        [value] if isinstance(value, FindingRejected) else _read(value) for value in values
    )
    results = list(itertools.islice(found, MAX_ITEMS))
    if next(found, None) is not None:
        return [FindingRejected(f"has more than {MAX_ITEMS} findings; split it")]
    return results or [FindingRejected("there is no finding in the document")]


def parse_file(path: Path) -> list[Finding]:
    """The findings of a file.

    Raises FindingRejected where it can't be read, or as ``parse``.
    """
    try:
        if not path.is_file():
            raise FindingRejected(
                "is not a file" if path.exists() else "there is no such file", str(path)
            )
        with path.open("rb") as file:
            document = file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise FindingRejected(f"can't be read: {error.strerror}", str(path)) from error
    return parse(document)


def parse_one(path: Path) -> Finding:
    """The one finding of a file, in its newest version. Raises InvalidInput for none or several."""
    found = newest_of_each(parse_file(path))
    if len(found) != 1:
        raise InvalidInput(
            f"{path} holds {len(found)} findings; one at a time is responded to.",
            advice="Put one finding into a file of its own.",
        )
    return found[0]


def _read(node: Node) -> Iterator[Finding | FindingRejected]:
    for found, envelope in _opened(node, Envelope()):
        if isinstance(found, FindingRejected):
            yield found
            continue
        try:
            finding = _finding(found, envelope)
        except FindingRejected as rejected:
            yield rejected
        else:
            yield finding


def _opened(node: Node, envelope: Envelope) -> Iterator[tuple[Node | FindingRejected, Envelope]]:
    """Each finding within, with what was around it; a rejection for what can't be opened."""
    try:
        inner = list(_layer(node, envelope))
    except FindingRejected as rejected:
        yield rejected, envelope
        return
    for found, around in inner:
        if found is node:
            yield found, around
        else:
            yield from _opened(found, around)


def _layer(node: Node, envelope: Envelope) -> Iterator[tuple[Node, Envelope]]:
    """Take one layer off; the node itself where it is a finding."""
    if envelope.source in _OF_EVENTS:
        yield node, envelope
        return
    if envelope.layers > _MAX_ENVELOPES:
        raise node.rejected(f"there are more than {_MAX_ENVELOPES} envelopes within each other")
    deeper = replace(envelope, layers=envelope.layers + 1)
    if isinstance(node.value, list):
        for item in node.each():
            yield item, deeper
        return
    members = node.members()
    if not members:
        raise node.rejected("there is nothing in it")
    if "detail" in members and ("detail-type" in members or "source" in members):
        yield _detail(node, envelope), _event(node, deeper)
        return
    messages = _messages(node)
    if messages is not None:
        for message in messages:
            yield read_json(message.required_text("message"), message.path), deeper
        return
    for name in ("Findings", "findings"):
        if name in members:
            for item in node.at(name).each():
                yield item, deeper
            return
    yield node, envelope


def _messages(node: Node) -> list[Node] | None:
    """The texts that messages of SNS and SQS carry; None where it is none of them."""
    members = node.members()
    if members.get("Type") == "Notification" and "Message" in members:
        return [node.at("Message")]
    if "Message" in members and "TopicArn" in members:
        return [node.at("Message")]
    if "Records" in members:
        return [_message(record) for record in node.at("Records").each()]
    if "Messages" in members:
        return [record.at("Body") for record in node.at("Messages").each()]
    for name, other in (("Body", "MessageId"), ("body", "messageId")):
        if name in members and other in members:
            return [node.at(name)]
    return None


def _message(record: Node) -> Node:
    members = record.members()
    if "body" in members:
        return record.at("body")
    if "Sns" in members:
        return record.at("Sns", "Message")
    raise record.rejected("is not a message of SQS or SNS")


def _detail(node: Node, envelope: Envelope) -> Node:
    if envelope.source is not None:
        raise node.rejected("there is an event within an event")
    source, kind = node.at("source").text(), node.at("detail-type").text()
    if (source, kind) not in UNDERSTOOD:
        raise node.at("detail-type").rejected(
            f"events {shown(kind)} of {shown(source)} are not findings"
        )
    detail = node.at("detail")
    if not detail.members():
        raise detail.rejected("there is nothing in it")
    if source == "aws.securityhub" and "findings" not in detail.members():
        raise detail.at("findings").rejected("there are no findings")
    return detail


def _event(node: Node, envelope: Envelope) -> Envelope:
    action = None
    if node.at("detail-type").text() == _CUSTOM_ACTION:
        action = values.identifier(node.at("detail", "actionName"), "name of the action")
    return replace(
        envelope,
        source=node.at("source").text(),
        account=node.at("account"),
        region=node.at("region"),
        time=node.at("time"),
        resources=node.at("resources"),
        custom_action=action,
    )


def _finding(node: Node, envelope: Envelope) -> Finding:
    reader, shape, node = _shape(node, envelope)
    return reader(node, shape, envelope=envelope, raw=_digest(node))


def _shape(node: Node, envelope: Envelope) -> tuple[Reader, Shape, Node]:
    members, source = node.members(), envelope.source
    if source in _OF_EVENTS:
        return (*_OF_EVENTS[source], node)
    if source is None:
        for keys, reader, shape in _BY_KEYS:
            if all(key in members for key in keys):
                return reader, shape, node
    if source != "aws.guardduty" and "ProductArn" in members and "AwsAccountId" in members:
        return asff_finding, "asff-event" if source else "asff", node
    if source != "aws.guardduty" and "class_uid" in members and "finding_info" in members:
        if node.at("category_uid").number() != _FINDINGS_CATEGORY:
            raise node.at("category_uid").rejected("is not OCSF's category of findings (2)")
        return ocsf_finding, "ocsf-event" if source else "ocsf", node
    if source != "aws.securityhub":
        wire = sum(name in members for name in _GUARDDUTY_KEYS)
        api = sum(name[:1].upper() + name[1:] in members for name in _GUARDDUTY_KEYS)
        if wire and api:
            raise node.rejected("has both spellings of GuardDuty's names (accountId, AccountId)")
        if wire >= _ENOUGH_KEYS or (source and not api):
            return guardduty_finding, "guardduty-event" if source else "guardduty-finding", node
        if api >= _ENOUGH_KEYS or source:
            pascal = replace(node, pascal=True)
            return guardduty_finding, "guardduty-event" if source else "guardduty-api", pascal
    raise node.rejected("is not a finding in any shape we know")


def _digest(node: Node) -> str:
    value: Any = node.value
    canonical = rfc8785.dumps(value)
    if len(canonical) > MAX_FINDING:
        raise node.rejected(
            f"the finding has {len(canonical)} bytes, the most we take is {MAX_FINDING}"
        )
    return hashlib.sha256(canonical).hexdigest()
