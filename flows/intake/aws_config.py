"""AWS Config: a resource does, or no longer does, what a rule asks of it.

As an event ("Config Rules Compliance Change") and, with the same members, as AWS Config tells it to
a topic of SNS ("Example Compliance Change Notification", AWS Config Developer Guide).
"""

from __future__ import annotations

import re

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.envelope import Envelope
from flows.intake.events import COMPLIANCES
from flows.intake.finding import OTHER, Finding, Shape
from flows.intake.resources import Home, Resources

_KINDS = {
    "AWS::S3::Bucket": "s3.bucket",
    "AWS::Lambda::Function": "lambda.function",
    "AWS::EKS::Cluster": "eks.cluster",
}
"""Of these, AWS Config's resource id is what their own APIs take; a database's is another one."""
_PRINCIPALS = {"AWS::IAM::User": "IAMUser", "AWS::IAM::Role": "Role"}
_PRINCIPAL_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{12,}")


def config_finding(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one change; ``raw`` is its SHA-256.

    The id is made of the rule and the resource, so that all changes are versions of one finding.
    A rule has no severity and knows no ACTOR.

    Raises FindingRejected.
    """
    account = values.account(node.at("awsAccountId"))
    envelope.check_account(node.at("awsAccountId"), account)
    region = values.region(node.at("awsRegion"))
    envelope.check_region(node.at("awsRegion"), region)
    partition = values.partition(ABSENT, region)
    home = Home(partition, account, region)
    kind = node.at("messageType")
    if kind.text() != "ComplianceChangeNotification":
        raise kind.rejected(f"messages {shown(kind.value)} of AWS Config are not findings")
    rule_arn = node.at("configRuleARN")
    parts = values.arn(rule_arn)
    if parts.service != "config" or not parts.resource.startswith("config-rule/"):
        raise rule_arn.rejected(f"{shown(rule_arn.value)} is not the ARN of a rule")
    home.check_own(rule_arn, parts)
    rule = values.identifier(node.at("configRuleName"), "name of the rule")
    resource_type = values.identifier(node.at("resourceType"), "type of the resource")
    resource_id = values.identifier(node.at("resourceId"), "id of the resource")
    result = node.at("newEvaluationResult")
    _check_qualifier(node, result.at("evaluationResultIdentifier", "evaluationResultQualifier"))
    compliance = result.at("complianceType")
    said = compliance.text() or ""
    if said not in COMPLIANCES:
        raise compliance.rejected(f"{shown(said)} is neither a finding nor the end of one")
    recorded = result.at("resultRecordedTime")
    created, updated = values.span(recorded, recorded)
    resources = Resources(home, lenient=False)
    _read_resource(resources, resource_type, node.at("resourceId"), node.at("resourceType"))
    return Finding(
        source="config",
        shape=shape,
        id=f"{rule_arn.text()}/{resource_type}/{resource_id}",
        arn=None,
        account=account,
        region=region,
        partition=partition,
        type=f"Config/{rule}",
        severity=values.UNRATED,
        title=f"{resource_type} {resource_id} is {said} with {rule}",
        description=result.at("annotation").text() or "",
        created_at=created,
        updated_at=updated,
        archived=COMPLIANCES[said],
        sample=False,
        resource_role=None,
        resources=resources.in_order(None),
        remote_addresses=(),
        actions=(),
        count=1,
        raw_sha256=raw,
    )


def _check_qualifier(node: Node, qualifier: Node) -> None:
    """What was evaluated is said twice, and must be the same."""
    for name in ("configRuleName", "resourceType", "resourceId"):
        again = qualifier.at(name)
        if again.value is not None and again.value != node.at(name).value:
            raise again.rejected(
                f"is {shown(again.value)}, above it is {shown(node.at(name).value)}"
            )


def _read_resource(resources: Resources, resource_type: str, name: Node, kind: Node) -> None:
    if resource_type == "AWS::EC2::Instance":
        resources.add_instance(name, tags={})
    elif resource_type in _PRINCIPALS:
        # AWS Config's id of a user is AIDA…; a rule of one's own may report a name.
        by_id = _PRINCIPAL_ID.fullmatch(name.text() or "") is not None
        resources.add_principal(
            name=ABSENT if by_id else name,
            principal_id=name if by_id else ABSENT,
            key_id=ABSENT,
            user_type=Node(_PRINCIPALS[resource_type]),
        )
    elif resource_type in _KINDS:
        resources.add(_KINDS[resource_type], name, ABSENT)
    else:
        resources.add(OTHER, name, ABSENT, details={"type": kind})
