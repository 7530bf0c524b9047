"""Security Hub V2's format: findings of the Open Cybersecurity Schema Framework (OCSF)."""

from __future__ import annotations

from collections.abc import Iterator

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.envelope import Envelope
from flows.intake.finding import OTHER, Finding, Shape
from flows.intake.guardduty import SAMPLE_INSTANCE, finding_arn, generated
from flows.intake.guardduty_type import guardduty_type
from flows.intake.resources import Home, Resources, tags_of

SEVERITIES = {1: 0.0, 2: 1.0, 3: 4.0, 4: 7.0, 5: 9.0, 6: 10.0}
"""severity_id (informational, low, medium, high, critical, fatal) to where GuardDuty's begins."""
_CLOSED = (3, 4, 5, 6)
"""status_id: suppressed, resolved, archived, deleted."""
_CLOSE = 3
"""activity_id of a finding's end."""
_INBOUND, _OUTBOUND = 1, 2

_KINDS = {
    "AWS::S3::Bucket": "s3.bucket",
    "AWS::EKS::Cluster": "eks.cluster",
    "AWS::Lambda::Function": "lambda.function",
    "AWS::RDS::DBInstance": "rds.instance",
    "AWS::ECS::Cluster": "ecs.cluster",
    "AWS::Container::Container": "container",
    "AwsS3Bucket": "s3.bucket",
    "AwsEksCluster": "eks.cluster",
    "AwsLambdaFunction": "lambda.function",
    "AwsRdsDbInstance": "rds.instance",
    "AwsEcsCluster": "ecs.cluster",
}
_INSTANCES = ("AWS::EC2::Instance", "AwsEc2Instance")
_PRINCIPALS = {
    "AWS::IAM::User": "IAMUser",
    "AWS::IAM::Role": "Role",
    "AwsIamUser": "IAMUser",
    "AwsIamRole": "Role",
}
_KEYS = ("AWS::IAM::AccessKey", "AwsIamAccessKey")


def ocsf_finding(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one finding; ``raw`` is its SHA-256.

    The event's account must agree with the finding's own. The event's Region may differ, as with
    ASFF. OCSF doesn't say whether the resource is ACTOR or TARGET.

    Raises FindingRejected.
    """
    info, cloud = node.at("finding_info"), node.at("cloud")
    account = values.account(cloud.at("account", "uid"))
    envelope.check_account(cloud.at("account", "uid"), account)
    region = values.region(cloud.at("region"))
    partition = values.partition(cloud.at("cloud_partition"), region)
    home = Home(partition, account, region)
    uid = info.at("uid")
    identity = values.identifier(uid, "id")
    product = node.at("metadata", "product")
    from_guardduty = (product.at("uid").text() or "").endswith("/aws/guardduty")
    own = None
    if from_guardduty:
        own = finding_arn(uid)
    elif identity.startswith("arn:"):
        own = values.arn(uid)
    if own is not None:
        home.check_own(uid, own)
    sample = _is_sample(node)
    resources = Resources(home, lenient=sample)
    for resource in node.at("resources").each():
        _read_resource(resources, resource)
    created, updated = values.span(
        _either(info.at("created_time_dt"), info.at("created_time")),
        info.at("modified_time_dt"),
        info.at("modified_time"),
    )
    return Finding(
        source="guardduty" if from_guardduty else "securityhub",
        shape=shape,
        id=identity.rsplit("/", 1)[1] if from_guardduty else identity,
        arn=identity if own else None,
        account=account,
        region=region,
        partition=partition,
        type=_type(info, from_guardduty=from_guardduty),
        severity=_severity(node),
        title=info.at("title").text() or "",
        description=info.at("desc").text() or "",
        created_at=created,
        updated_at=updated,
        archived=node.at("status_id").number() in _CLOSED
        or node.at("activity_id").number() == _CLOSE,
        sample=sample,
        resource_role=None,
        resources=resources.in_order(None),
        remote_addresses=tuple(dict.fromkeys(_remote_addresses(node))),
        actions=(),
        count=values.whole_number(node.at("count"), default=1),
        custom_action=envelope.custom_action,
        raw_sha256=raw,
    )


def _type(info: Node, *, from_guardduty: bool) -> str:
    """GuardDuty's type stands behind its category (``Threats``); others' is the first."""
    types = info.at("types").each()
    if not types:
        raise info.at("types").rejected("there is no type")
    texts = [values.identifier(item, "type") for item in types]
    if not from_guardduty:
        return texts[0]
    for text in texts:
        found = guardduty_type(text)
        if found is not None:
            return found
    raise info.at("types").rejected("there is no GuardDuty type")


def _severity(node: Node) -> float:
    number = node.at("severity_id").number()
    if number is None or number not in SEVERITIES:
        raise node.at("severity_id").rejected("there is no severity")
    return SEVERITIES[int(number)]


def _is_sample(node: Node) -> bool:
    if (node.at("finding_info", "title").text() or "").startswith("[SAMPLE]"):
        return True
    for resource in node.at("resources").each():
        data = resource.at("data")
        if (resource.at("uid").text() or "").endswith(SAMPLE_INSTANCE):
            return True
        for interface in data.at("network_interfaces").each():
            if generated(interface.at("vpc_id")):
                return True
    return any(
        generated(endpoint.at("location", "country"))
        for evidence in node.at("evidences").each()
        for endpoint in (evidence.at("src_endpoint"), evidence.at("dst_endpoint"))
    )


def _read_resource(resources: Resources, resource: Node) -> None:
    resources.check_account(resource.at("owner", "account", "uid"))
    kind = resource.at("type").text() or ""
    uid = resource.at("uid")
    text = uid.some_text()
    is_arn = text is not None and text.startswith("arn:")
    arn = uid if is_arn else ABSENT
    tags = tags_of(resource.at("tags"))
    data = resource.at("data")
    name = Node((text or "").rpartition("/")[2] if is_arn else text, uid.path)
    if kind in _INSTANCES:
        said = data.at("instance_id")
        if said.some_text() and not is_arn and said.value != uid.value:
            raise said.rejected(f"the instance is {shown(uid.value)}, or {shown(said.value)}")
        resources.add_instance(
            said if said.some_text() or is_arn else uid,
            arn=arn,
            tags=tags or tags_of(data.at("tags")),
            details={
                "instance_type": _either(data.at("instance_type"), resource.at("device", "model")),
                "image_id": _either(data.at("image_id"), resource.at("device", "image", "uid")),
                "instance_profile_arn": data.at("iam_instance_profile", "arn"),
            },
        )
    elif kind in _PRINCIPALS and text is not None:
        resources.add_principal(
            name=name,
            principal_id=ABSENT,
            key_id=ABSENT,
            user_type=Node(_PRINCIPALS[kind]),
            arn=arn,
        )
    elif kind in _KEYS:
        resources.add_principal(
            name=data.at("user_name"),
            principal_id=data.at("principal_id"),
            key_id=uid,
            user_type=data.at("user_type"),
        )
    elif kind in _KINDS:
        if is_arn:
            name = Node((text or "").replace("/", ":").rpartition(":")[2], uid.path)
        resources.add(_KINDS[kind], name, arn, tags=tags)
    elif text is not None:
        resources.add(OTHER, uid, arn, tags=tags, details={"type": resource.at("type")})


def _remote_addresses(node: Node) -> Iterator[str]:
    """The other end of each connection, and where API calls came from."""
    for evidence in node.at("evidences").each():
        direction = evidence.at("connection_info", "direction_id").number()
        if evidence.at("api").members() or direction == _INBOUND:
            remote = evidence.at("src_endpoint", "ip")
        elif direction == _OUTBOUND:
            remote = evidence.at("dst_endpoint", "ip")
        else:
            continue
        address = values.public_address(remote)
        if address is not None:
            yield address


def _either(node: Node, other: Node) -> Node:
    return node if node.value is not None else other
