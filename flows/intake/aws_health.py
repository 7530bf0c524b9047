"""AWS Health: AWS itself has found an access key in public, or in the wrong hands.

All other events of Health are about AWS's own faults and maintenance, and are not findings.
"""

from __future__ import annotations

import re
from datetime import datetime

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.envelope import Envelope
from flows.intake.events import EXPOSED_KEYS
from flows.intake.finding import Finding, Shape
from flows.intake.resources import Home, Resources

# "arn:aws:health:event-region::event/SERVICE/EVENT_TYPE_CODE/…", older ones without the middle.
_ARN = re.compile(r"(arn:aws(?:-[a-z]+)*:health):([a-z0-9-]+)::event/\S+", re.ASCII)
_KEY_ID = re.compile(r"A[KS]IA[A-Z0-9]{12,124}", re.ASCII)
"""An access key's id has 16 characters at least (IAM API reference, "AccessKey")."""
_GLOBAL = "global"
_RESOLVED = {None: False, "open": False, "upcoming": False, "closed": True}


def health_finding(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one event; ``raw`` is its SHA-256.

    The account is the affected one: in an organization's own account, the event's is another
    ("Reference: AWS Health events Amazon EventBridge schema"). The Region is not the event's
    either, which comes twice, from its Region and a backup Region: it is where the event is, and
    where IAM is for global ones. The rest of many affected keys comes as further pages, each of
    which is a finding of its own.

    Raises FindingRejected.
    """
    code = node.at("eventTypeCode")
    if code.text() not in EXPOSED_KEYS:
        raise code.rejected(
            f"events {shown(code.value)} of AWS Health are not findings; those about exposed and "
            "compromised credentials are"
        )
    account = _account(node, envelope)
    arn, region = _where(node, envelope)
    partition = values.partition(ABSENT, region)
    status = node.at("statusCode")
    if status.some_text() not in _RESOLVED:
        raise status.rejected(f"{shown(status.value)} is not a status of an event")
    resources = Resources(Home(partition, account, region), lenient=False)
    _read_keys(resources, node)
    keys = resources.in_order(None)
    created, updated = _span(node, envelope)
    page = values.whole_number(node.at("page"), default=1)
    return Finding(
        source="health",
        shape=shape,
        id=arn if page == 1 else f"{arn}/page/{page}",
        arn=arn,
        account=account,
        region=region,
        partition=partition,
        type=f"Health/{code.text()}",
        severity=EXPOSED_KEYS[code.text() or ""],
        title=f"{code.text()}: {', '.join(key.details['access_key_id'] for key in keys)}",
        description=_description(node),
        created_at=created,
        updated_at=updated,
        archived=_RESOLVED[status.some_text()],
        sample=False,
        resource_role=None,
        resources=keys,
        remote_addresses=(),
        actions=(),
        count=1,
        raw_sha256=raw,
    )


def _span(node: Node, envelope: Envelope) -> tuple[datetime, datetime]:
    """An event can be told of before it starts, so its start needn't be when it was made."""
    started = values.moment(node.at("startTime"))
    told = values.moment(node.at("lastUpdatedTime")) or values.moment(envelope.time)
    updated = told or started
    if updated is None:
        raise node.at("startTime").rejected("there is no time")
    return min(started or updated, updated), updated


def _account(node: Node, envelope: Envelope) -> str:
    affected = node.at("affectedAccount")
    account = values.account(affected if affected.some_text() else envelope.account)
    again = node.at("eventMetadata", "accountId")
    if again.some_text() not in (None, account):
        raise again.rejected(f"the event is about account {account}, its metadata about another")
    return account


def _where(node: Node, envelope: Envelope) -> tuple[str, str]:
    """The event's ARN and Region."""
    arn = node.at("eventArn")
    text = values.identifier(arn, "ARN of the event")
    match = _ARN.fullmatch(text)
    if match is None:
        raise arn.rejected(f"{shown(text)} is not the ARN of an event of AWS Health")
    said = node.at("eventRegion")
    regions = {match[2], said.some_text() or match[2]} - {_GLOBAL}
    if len(regions) > 1:
        raise said.rejected(f"the event is of {shown(said.value)}, its ARN of {match[2]}")
    if not regions:
        delivered = values.partition(ABSENT, values.region(envelope.region))
        regions = {values.HOME_OF_IAM[delivered]}
    region = values.region(Node(regions.pop(), arn.path))
    if not text.startswith(f"arn:{values.partition(ABSENT, region)}:"):
        raise arn.rejected(f"the partition of {shown(text)} does not have the Region {region}")
    return text, region


def _read_keys(resources: Resources, node: Node) -> None:
    """The affected entities are the keys; whose they are stands in the metadata, of one of them."""
    entities = node.at("affectedEntities")
    named, user = node.at("eventMetadata", "publicKey"), node.at("eventMetadata", "userName")
    keys = [entity.at("entityValue") for entity in entities.each()]
    if not keys:
        raise entities.rejected("there is no access key")
    for key in keys:
        text = key.required_text("access key")
        if not _KEY_ID.fullmatch(text):
            raise key.rejected(f"{shown(text)} is not the id of an access key")
        is_named = named.value == text if named.some_text() else len(keys) == 1
        resources.add_principal(
            name=user if is_named else ABSENT,
            principal_id=ABSENT,
            key_id=key,
            user_type=Node("IAMUser") if is_named and user.some_text() else ABSENT,
        )


def _description(node: Node) -> str:
    for description in node.at("eventDescription").each():
        text = description.at("latestDescription").some_text()
        if text is not None:
            return text
    return ""
