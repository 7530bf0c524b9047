"""From bytes to findings: takes envelopes off, tells the shapes apart, rejects everything else.

The document is never half understood: what isn't exactly one of the shapes is rejected with the
place and the reason, and nothing is acted on.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rfc8785

from flows.intake.asff import asff_finding
from flows.intake.document import MAX_DOCUMENT, MAX_ITEMS, Node, read_documents, read_json, shown
from flows.intake.finding import Finding, FindingRejected, Shape
from flows.intake.guardduty import guardduty_finding
from flows.intake.ocsf import ocsf_finding

MAX_FINDING = 1024 * 1024
"""Bytes of one finding in canonical JSON. EventBridge carries no more than 256 KiB."""

_MAX_ENVELOPES = 5
_GUARDDUTY_KEYS = ("schemaVersion", "accountId", "id", "arn", "type", "resource", "service")
_ENOUGH_KEYS = 3
_FINDINGS_CATEGORY = 2
"""OCSF's category_uid of findings."""

_EVENTS = {
    ("aws.guardduty", "GuardDuty Finding"),
    ("aws.securityhub", "Security Hub Findings - Imported"),
    ("aws.securityhub", "Security Hub Findings - Custom Action"),
    ("aws.securityhub", "Security Hub Findings"),
    ("aws.securityhub", "Findings Imported V2"),
}


@dataclass(frozen=True)
class _Envelope:
    """What was around a finding: an event's account and Region, and how many layers there were."""

    account: str | None = None
    region: str | None = None
    event: bool = False
    source: str | None = None
    layers: int = 0


def parse(document: bytes) -> list[Finding]:
    """All findings of a document; there is at least one.

    Shapes: an event of EventBridge (GuardDuty, Security Hub, Security Hub V2), a finding of
    GuardDuty as in its console, API or export to S3 (one per line, also gzip), of Security Hub
    (ASFF, OCSF), a list of them or the answer of GetFindings, and any of these within messages of
    SNS and SQS, also within each other.

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


def _read(node: Node) -> Iterator[Finding | FindingRejected]:
    for found, envelope in _opened(node, _Envelope()):
        if isinstance(found, FindingRejected):
            yield found
            continue
        try:
            finding = _finding(found, envelope)
        except FindingRejected as rejected:
            yield rejected
        else:
            yield finding


def _opened(node: Node, envelope: _Envelope) -> Iterator[tuple[Node | FindingRejected, _Envelope]]:
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


def _layer(node: Node, envelope: _Envelope) -> Iterator[tuple[Node, _Envelope]]:
    """Take one layer off; the node itself where it is a finding."""
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


def _detail(node: Node, envelope: _Envelope) -> Node:
    if envelope.event:
        raise node.rejected("there is an event within an event")
    source, kind = node.at("source").text(), node.at("detail-type").text()
    if (source, kind) not in _EVENTS:
        raise node.at("detail-type").rejected(
            f"events {shown(kind)} of {shown(source)} are not findings"
        )
    detail = node.at("detail")
    if not detail.members():
        raise detail.rejected("there is nothing in it")
    if source == "aws.securityhub" and "findings" not in detail.members():
        raise detail.at("findings").rejected("there are no findings")
    return detail


def _event(node: Node, envelope: _Envelope) -> _Envelope:
    return replace(
        envelope,
        event=True,
        source=node.at("source").text(),
        account=node.at("account").text(),
        region=node.at("region").text(),
    )


def _finding(node: Node, envelope: _Envelope) -> Finding:
    reader, shape, node = _shape(node, envelope)
    return reader(
        node,
        shape,
        envelope_account=envelope.account,
        envelope_region=envelope.region,
        raw=_digest(node),
    )


def _shape(node: Node, envelope: _Envelope) -> tuple[Callable[..., Finding], Shape, Node]:
    members = node.members()
    from_guardduty = envelope.source == "aws.guardduty"
    from_securityhub = envelope.source == "aws.securityhub"
    if not from_guardduty and "ProductArn" in members and "AwsAccountId" in members:
        return asff_finding, "asff-event" if envelope.event else "asff", node
    if not from_guardduty and "class_uid" in members and "finding_info" in members:
        if node.at("category_uid").number() != _FINDINGS_CATEGORY:
            raise node.at("category_uid").rejected("is not OCSF's category of findings (2)")
        return ocsf_finding, "ocsf-event" if envelope.event else "ocsf", node
    if not from_securityhub:
        wire = sum(name in members for name in _GUARDDUTY_KEYS)
        api = sum(name[:1].upper() + name[1:] in members for name in _GUARDDUTY_KEYS)
        if wire and api:
            raise node.rejected("has both spellings of GuardDuty's names (accountId, AccountId)")
        if wire >= _ENOUGH_KEYS or (from_guardduty and not api):
            return (
                guardduty_finding,
                "guardduty-event" if envelope.event else ("guardduty-finding"),
                node,
            )
        if api >= _ENOUGH_KEYS or from_guardduty:
            return (
                guardduty_finding,
                "guardduty-event" if envelope.event else ("guardduty-api"),
                replace(node, pascal=True),
            )
    raise node.rejected("is not a finding of GuardDuty or Security Hub in any shape we know")


def _digest(node: Node) -> str:
    value: Any = node.value
    canonical = rfc8785.dumps(value)
    if len(canonical) > MAX_FINDING:
        raise node.rejected(
            f"the finding has {len(canonical)} bytes, the most we take is {MAX_FINDING}"
        )
    return hashlib.sha256(canonical).hexdigest()
