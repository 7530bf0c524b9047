"""Security Hub's format (ASFF): GuardDuty's findings and everybody else's.

A GuardDuty finding keeps its identity on the way: its ARN is ASFF's ``Id``, its type stands in
``Types`` in another spelling (``flows.intake.guardduty_type``), its severity in
``Severity.Product``, and ``service`` flattened in ``ProductFields`` under
``aws/guardduty/service/`` (older ones without this prefix).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.envelope import Envelope
from flows.intake.finding import OTHER, Finding, Shape
from flows.intake.guardduty import (
    SAMPLE_INSTANCE,
    finding_arn,
    generated,
    resource_role,
    says_sample,
)
from flows.intake.guardduty_type import guardduty_type
from flows.intake.resources import Home, Resources, tags_of

LABELS = {"INFORMATIONAL": 0.0, "LOW": 1.0, "MEDIUM": 4.0, "HIGH": 7.0, "CRITICAL": 9.0}
"""Where Security Hub's and GuardDuty's ranges of the same name begin."""

_KINDS = {
    "AwsS3Bucket": "s3.bucket",
    "AwsEksCluster": "eks.cluster",
    "AwsLambdaFunction": "lambda.function",
    "AwsRdsDbInstance": "rds.instance",
    "AwsEcsCluster": "ecs.cluster",
    "Container": "container",
}


def asff_finding(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one finding; ``raw`` is its SHA-256.

    The event's account must agree with the finding's own. The event's Region may differ: Security
    Hub gathers findings of all Regions in one (cross-Region aggregation).

    Raises FindingRejected.
    """
    account = values.account(node.at("AwsAccountId"))
    envelope.check_account(node.at("AwsAccountId"), account)
    identity = values.identifier(node.at("Id"), "id")
    product = values.arn(node.at("ProductArn"))
    from_guardduty = product.resource == "product/aws/guardduty"
    own = None
    if from_guardduty:
        own = finding_arn(node.at("Id"))
    elif identity.startswith("arn:"):
        own = values.arn(node.at("Id"))
    region_node = node.at("Region")
    region = (
        values.region(region_node)
        if region_node.some_text()
        else (own.region if own else "") or product.region
    )
    if not region:
        raise region_node.rejected("there is no Region")
    partition = values.partition(ABSENT, region)
    home = Home(partition, account, region)
    if own is not None:
        home.check_own(node.at("Id"), own)
    if (product.region and product.region != region) or product.partition != partition:
        raise node.at("ProductArn").rejected(
            f"the finding is of {region}, the product {shown(node.at('ProductArn').value)} is not"
        )
    sample = _is_sample(node)
    resources = Resources(home, lenient=sample)
    for resource in node.at("Resources").each():
        _read_resource(resources, resource)
    created, updated = values.span(node.at("CreatedAt"), node.at("UpdatedAt"))
    service = node.at("ProductFields") if from_guardduty else ABSENT
    return Finding(
        source="guardduty" if from_guardduty else "securityhub",
        shape=shape,
        id=identity.rsplit("/", 1)[1] if from_guardduty else identity,
        arn=identity if own else None,
        account=account,
        region=region,
        partition=partition,
        type=_type(node, from_guardduty=from_guardduty),
        severity=_severity(node, from_guardduty=from_guardduty),
        title=node.at("Title").text() or "",
        description=node.at("Description").text() or "",
        created_at=created,
        updated_at=updated,
        archived=_archived(node),
        sample=sample,
        resource_role=resource_role(_service_field(service, "resourceRole")),
        resources=resources.in_order(None),
        remote_addresses=tuple(dict.fromkeys(_remote_addresses(service))),
        actions=tuple(_actions(service)),
        count=values.whole_number(_service_field(service, "count"), default=1),
        custom_action=envelope.custom_action,
        raw_sha256=raw,
    )


def _type(node: Node, *, from_guardduty: bool) -> str:
    types = node.at("Types").each() or node.at("FindingProviderFields", "Types").each()
    if not types:
        raise node.at("Types").rejected("there is no type")
    text = values.identifier(types[0], "type")
    if not from_guardduty:
        return text
    found = guardduty_type(text)
    if found is None:
        raise types[0].rejected(f"{shown(text)} is not a GuardDuty type")
    return found


def _severity(node: Node, *, from_guardduty: bool) -> float:
    """GuardDuty's own number; else the normalised one, 0 to 100; else the label's lower bound.

    ``Product`` of other products is on scales of their own.
    """
    for block in (node.at("Severity"), node.at("FindingProviderFields", "Severity")):
        if from_guardduty and block.at("Product").value is not None:
            return values.severity(block.at("Product"))
        normalized = block.at("Normalized").number()
        if normalized is not None:
            if not 0 <= normalized <= 100:
                raise block.at("Normalized").rejected("must be between 0 and 100")
            return normalized / 10
        label = block.at("Label").some_text()
        if label is not None:
            if label not in LABELS:
                raise block.at("Label").rejected(f"{shown(label)} is not a severity")
            return LABELS[label]
    raise node.at("Severity").rejected("there is no severity")


def _archived(node: Node) -> bool:
    return (
        node.at("RecordState").text() == "ARCHIVED"
        or node.at("Workflow", "Status").text() in ("SUPPRESSED", "RESOLVED")
        or _service_field(node.at("ProductFields"), "archived").text() == "true"
    )


def _is_sample(node: Node) -> bool:
    """As in GuardDuty's own shape, plus ASFF's ``Sample``; never by what an intruder can name."""
    fields = node.at("ProductFields")
    if node.at("Sample").flag() or (node.at("Title").text() or "").startswith("[SAMPLE]"):
        return True
    if _service_field(fields, "additionalInfo/sample").text() == "true":
        return True
    if says_sample(_service_field(fields, "additionalInfo/value")) or says_sample(
        _service_field(fields, "additionalInfo")
    ):
        return True
    if any(
        generated(_field(fields, key))
        for key in fields.members()
        if key.endswith("remoteIpDetails/country/countryName")
    ):
        return True
    return any(
        (resource.at("Id").text() or "").endswith(f":instance/{SAMPLE_INSTANCE}")
        or generated(resource.at("Details", "AwsEc2Instance", "VpcId"))
        for resource in node.at("Resources").each()
    )


def _read_resource(resources: Resources, resource: Node) -> None:
    kind = resource.at("Type").text() or ""
    identity = resource.at("Id")
    text = identity.some_text()
    is_arn = text is not None and text.startswith("arn:")
    arn = identity if is_arn else ABSENT
    tags = tags_of(resource.at("Tags"))
    details = resource.at("Details", kind) if kind else ABSENT
    if kind == "AwsEc2Instance":
        resources.add_instance(
            ABSENT if is_arn else identity,
            arn=arn,
            tags=tags,
            details={
                "instance_type": details.at("Type"),
                "image_id": details.at("ImageId"),
                "instance_profile_arn": details.at("IamInstanceProfileArn"),
                "vpc_id": details.at("VpcId"),
            },
        )
    elif kind == "AwsIamAccessKey":
        key_id = (text or "").removeprefix("AWS::IAM::AccessKey:")
        name = details.at("PrincipalName")
        resources.add_principal(
            name=name if name.some_text() else details.at("UserName"),
            principal_id=details.at("PrincipalId"),
            # GuardDuty writes "null" for a sign-in without a key.
            key_id=Node(None if key_id == "null" else key_id, identity.path),
            user_type=details.at("PrincipalType"),
        )
    elif kind in ("AwsIamUser", "AwsIamRole") and is_arn:
        resources.add_principal(
            name=Node((text or "").rpartition("/")[2], identity.path),
            principal_id=ABSENT,
            key_id=ABSENT,
            user_type=Node("IAMUser" if kind == "AwsIamUser" else "Role"),
            arn=arn,
        )
    elif kind in _KINDS:
        resources.add(_KINDS[kind], Node(_name_in(text), identity.path), arn, tags=tags)
    elif text is not None:
        resources.add(OTHER, identity, arn, tags=tags, details={"type": resource.at("Type")})


def _name_in(text: str | None) -> str | None:
    """The name at the end of an ARN (``…:function:name``, ``…:cluster/name``, ``:::bucket``)."""
    if text is None or not text.startswith("arn:"):
        return text
    return re.split(r"[:/]", text)[-1]


def _service_field(fields: Node, name: str) -> Node:
    field = _field(fields, f"aws/guardduty/service/{name}")
    return field if field.value is not None else _field(fields, name)


def _field(fields: Node, key: str) -> Node:
    """A member whose name is data, not a name of the schema."""
    return Node(fields.members().get(key), f"{fields.path}.{key[:200]}")


def _remote_addresses(fields: Node) -> Iterator[str]:
    for key in fields.members():
        if key.endswith(("remoteIpDetails/ipAddressV4", "remoteIpDetails/ipAddressV6")):
            address = values.public_address(_field(fields, key))
            if address is not None:
                yield address


def _actions(fields: Node) -> Iterator[str]:
    kind = _service_field(fields, "action/actionType").some_text()
    if kind is not None:
        yield kind
