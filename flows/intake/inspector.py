"""Amazon Inspector: a vulnerable package, a vulnerability in code, or a port open to the Internet."""

from __future__ import annotations

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.envelope import Envelope
from flows.intake.finding import OTHER, Finding, Shape
from flows.intake.resources import Home, Resources, tags_of

SEVERITIES = {
    "UNTRIAGED": 0.0,
    "INFORMATIONAL": 0.0,
    "LOW": 1.0,
    "MEDIUM": 4.0,
    "HIGH": 7.0,
    "CRITICAL": 9.0,
}
"""Where GuardDuty's ranges of the same names begin; nobody has rated what is untriaged."""
_RESOLVED = {"ACTIVE": False, "SUPPRESSED": True, "CLOSED": True}
_UNKNOWN = "N/A"
"""Stands for the Region and partition of container images."""


def inspector_finding(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one finding; ``raw`` is its SHA-256.

    The event's account and Region must agree with the finding's own. What is vulnerable has done
    nothing yet, so there is no role.

    Raises FindingRejected.
    """
    account = values.account(node.at("awsAccountId"))
    envelope.check_account(node.at("awsAccountId"), account)
    arn = node.at("findingArn")
    parts = values.arn(arn)
    of_inspector = parts.service == "inspector2" and parts.resource.startswith("finding/")
    if not (of_inspector and parts.region):
        raise arn.rejected(f"{shown(arn.value)} is not the ARN of a finding of Inspector")
    region = parts.region
    envelope.check_region(arn, region)
    partition = values.partition(ABSENT, region)
    home = Home(partition, account, region)
    home.check_own(arn, parts)
    status = node.at("status")
    if status.text() not in _RESOLVED:
        raise status.rejected(f"{shown(status.value)} is not a status of a finding")
    resources = Resources(home, lenient=False)
    for resource in node.at("resources").each():
        _read_resource(resources, resource)
    created, updated = values.span(
        node.at("firstObservedAt"), node.at("updatedAt"), node.at("lastObservedAt")
    )
    identity = values.identifier(arn, "ARN")
    return Finding(
        source="inspector",
        shape=shape,
        id=identity,
        arn=identity,
        account=account,
        region=region,
        partition=partition,
        type=f"Inspector/{values.identifier(node.at('type'), 'type')}",
        severity=_severity(node),
        title=node.at("title").text() or "",
        description=node.at("description").text() or "",
        created_at=created,
        updated_at=updated,
        archived=_RESOLVED[status.text() or ""],
        sample=False,
        resource_role=None,
        resources=resources.in_order(None),
        remote_addresses=(),
        actions=(),
        count=1,
        raw_sha256=raw,
    )


def _severity(node: Node) -> float:
    """Inspector's score where there is one, else its word.

    The score is CVSS's, whose ranges (0.1 to 3.9 low, to 6.9 medium, to 8.9 high, from 9.0
    critical: "Severity levels for Amazon Inspector findings") are those of GuardDuty's severity.
    Findings about networks and code have only a word.
    """
    word = node.at("severity")
    if word.text() not in SEVERITIES:
        raise word.rejected(f"{shown(word.value)} is not a severity")
    if node.at("inspectorScore").value is not None:
        return values.severity(node.at("inspectorScore"))
    return SEVERITIES[word.text() or ""]


def _read_resource(resources: Resources, resource: Node) -> None:
    for name, own in (("region", resources.home.region), ("partition", resources.home.partition)):
        said = resource.at(name)
        if said.some_text() not in (None, _UNKNOWN, own):
            raise said.rejected(f"the finding is of {own}, its resource of {shown(said.value)}")
    kind, identity = resource.at("type").text(), resource.at("id")
    tags = tags_of(resource.at("tags"))
    is_arn = (identity.text() or "").startswith("arn:")
    if kind == "AWS_EC2_INSTANCE":
        details = resource.at("details", "awsEc2Instance")
        resources.add_instance(
            ABSENT if is_arn else identity,
            arn=identity if is_arn else ABSENT,
            tags=tags,
            details={
                "instance_type": details.at("type"),
                "image_id": details.at("imageId"),
                "instance_profile_arn": details.at("iamInstanceProfileArn"),
                "vpc_id": details.at("vpcId"),
            },
        )
    elif kind == "AWS_LAMBDA_FUNCTION":
        function = resource.at("details", "awsLambdaFunction", "functionName")
        resources.add("lambda.function", function, identity, tags=tags)
    else:
        resources.add(
            OTHER,
            identity,
            identity if is_arn else ABSENT,
            tags=tags,
            details={"type": resource.at("type")},
        )
