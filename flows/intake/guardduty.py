"""GuardDuty's own shape, as on the wire (``accountId``) and as SDKs write it (``AccountId``).

Which blocks a finding's ``resource`` has can't be told from its ``resourceType``: findings about
access keys carry instances, findings about buckets carry keys and instances, runtime findings of
EKS carry an instance and a container. So every block is read that is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.intake import values
from flows.intake.document import ABSENT, Node, read_json, shown
from flows.intake.envelope import Envelope
from flows.intake.finding import OTHER, Finding, FindingRejected, ResourceRole, Shape
from flows.intake.resources import Home, Resources, tags_of

SAMPLE_INSTANCE = "i-99999999"
"""The instance of every sample finding (CreateSampleFindings)."""
_SAMPLE_TITLE = "[SAMPLE]"
_GENERATED = "GeneratedFinding"

_PRIMARY = {
    "Instance": "ec2.instance",
    "AccessKey": "iam.principal",
    "S3Bucket": "s3.bucket",
    "S3Object": "s3.bucket",
    "EKSCluster": "eks.cluster",
    "KubernetesCluster": "eks.cluster",
    "ECSCluster": "ecs.cluster",
    "Container": "container",
    "Lambda": "lambda.function",
    "RDSDBInstance": "rds.instance",
    "RDSLimitlessDB": "rds.shard-group",
}

_SEQUENCE_KINDS = {
    "EC2_INSTANCE": "ec2.instance",
    "S3_BUCKET": "s3.bucket",
    "ACCESS_KEY": "iam.principal",
    "EKS_CLUSTER": "eks.cluster",
    "ECS_CLUSTER": "ecs.cluster",
    "ECS_TASK": "ecs.task",
    "CONTAINER": "container",
    "KUBERNETES_WORKLOAD": "kubernetes.workload",
    "AUTOSCALING_AUTO_SCALING_GROUP": "autoscaling.group",
}
"""Types of GuardDuty's FindingResourceType that are kinds of ours; all others are ``other``."""


def guardduty_finding(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one finding; ``raw`` is its SHA-256.

    The event's account and Region must agree with the finding's own.

    Raises FindingRejected.
    """
    account = values.account(node.at("accountId"))
    arn = node.at("arn")
    identity = values.identifier(node.at("id"), "id")
    parts = finding_arn(arn)
    region = values.region(node.at("region")) if node.at("region").some_text() else parts.region
    partition = values.partition(node.at("partition"), region)
    home = Home(partition, account, region)
    home.check_own(arn, parts)
    if not parts.resource.endswith(f"/finding/{identity}"):
        raise arn.rejected(f"the ARN is another finding's, the id is {shown(identity)}")
    envelope.check_account(node.at("accountId"), account)
    envelope.check_region(node.at("region"), region)
    service, resource = node.at("service"), node.at("resource")
    sample = is_sample(node)
    resources = Resources(home, lenient=sample)
    _read_resources(resources, resource)
    sequence = service.at("detection", "sequence")
    _read_sequence(resources, sequence)
    created, updated = values.span(node.at("createdAt"), node.at("updatedAt"))
    return Finding(
        source="guardduty",
        shape=shape,
        id=identity,
        arn=arn.text(),
        account=account,
        region=region,
        partition=partition,
        type=values.identifier(node.at("type"), "type"),
        severity=values.severity(node.at("severity")),
        title=node.at("title").text() or "",
        description=node.at("description").text() or "",
        created_at=created,
        updated_at=updated,
        archived=service.at("archived").flag(),
        sample=sample,
        resource_role=resource_role(service.at("resourceRole")),
        resources=resources.in_order(_PRIMARY.get(resource.at("resourceType").text() or "")),
        remote_addresses=_unique(_remote_addresses(service.at("action"), sequence)),
        actions=tuple(_actions(service.at("action"), sequence)),
        count=values.whole_number(service.at("count"), default=1),
        raw_sha256=raw,
    )


def finding_arn(node: Node) -> values.Arn:
    """The parts of a GuardDuty finding's ARN.

    Raises FindingRejected where it is another's.
    """
    parts = values.arn(node)
    words = parts.resource.split("/")
    if (
        parts.service != "guardduty"
        or not (parts.region and parts.account)
        or [len(words), words[0], words[2:3]] != [4, "detector", ["finding"]]
        or not (words[1] and words[3])
    ):
        raise node.rejected(f"{shown(node.value)} is not the ARN of a GuardDuty finding")
    return parts


def resource_role(node: Node) -> ResourceRole | None:
    """ACTOR or TARGET; None where it is absent or a word that we don't know."""
    text = node.text()
    if text == "ACTOR":
        return "ACTOR"
    return "TARGET" if text == "TARGET" else None


def is_sample(node: Node) -> bool:
    """Whether GuardDuty made the finding up.

    It says so in ``additionalInfo.sample``, or only within the JSON text
    ``additionalInfo.value``, or in the title, or not at all. Then the ids tell that AWS assigns
    (``i-99999999``, ``GeneratedFindingVPCId``) and the country; never a name, tag or domain that
    an intruder could choose to make a real finding look like a sample.
    """
    additional = node.at("service", "additionalInfo")
    if additional.at("sample").flag() or says_sample(additional.at("value")):
        return True
    if (node.at("title").text() or "").startswith(_SAMPLE_TITLE):
        return True
    instance = node.at("resource", "instanceDetails")
    key = node.at("resource", "accessKeyDetails")
    given_by_aws = [
        key.at("accessKeyId"),
        key.at("principalId"),
        node.at("resource", "eksClusterDetails", "vpcId"),
    ]
    for interface in instance.at("networkInterfaces").each():
        given_by_aws += [interface.at("vpcId"), interface.at("subnetId")]
    for _, remote in _remotes(node.at("service", "action")):
        given_by_aws.append(remote.at("country", "countryName"))
    return instance.at("instanceId").text() == SAMPLE_INSTANCE or any(
        generated(value) for value in given_by_aws
    )


def generated(node: Node) -> bool:
    """Whether a value that AWS assigns is a placeholder of GuardDuty's sample findings."""
    return (node.text() or "").startswith(_GENERATED)


def says_sample(node: Node) -> bool:
    """Whether ``additionalInfo.value`` is a JSON object with ``"sample": true``."""
    text = node.text() or ""
    if '"sample"' not in text:
        return False
    try:
        value = read_json(text, node.path)
        return value.at("sample").flag()
    except FindingRejected:
        return False  # not JSON after all: then it says nothing


def _read_resources(resources: Resources, resource: Node) -> None:
    key = resource.at("accessKeyDetails")
    if key.members():
        resources.add_principal(
            name=key.at("userName"),
            principal_id=key.at("principalId"),
            key_id=key.at("accessKeyId"),
            user_type=key.at("userType"),
        )
    instance = resource.at("instanceDetails")
    if instance.members():
        interfaces = instance.at("networkInterfaces").each()
        resources.add_instance(
            instance.at("instanceId"),
            tags=tags_of(instance.at("tags")),
            details={
                "instance_type": instance.at("instanceType"),
                "image_id": instance.at("imageId"),
                "instance_profile_arn": instance.at("iamInstanceProfile", "arn"),
                "vpc_id": interfaces[0].at("vpcId") if interfaces else ABSENT,
            },
        )
    for bucket in resource.at("s3BucketDetails").each():
        resources.add(
            "s3.bucket", bucket.at("name"), bucket.at("arn"), tags=tags_of(bucket.at("tags"))
        )
    for block, kind, name, arn in (
        ("eksClusterDetails", "eks.cluster", "name", "arn"),
        ("ecsClusterDetails", "ecs.cluster", "name", "arn"),
        ("lambdaDetails", "lambda.function", "functionName", "functionArn"),
        ("rdsDbInstanceDetails", "rds.instance", "dbInstanceIdentifier", "dbInstanceArn"),
        (
            "rdsLimitlessDbDetails",
            "rds.shard-group",
            "dbShardGroupIdentifier",
            "dbShardGroupArn",
        ),
    ):
        details = resource.at(block)
        if details.members():
            resources.add(kind, details.at(name), details.at(arn), tags=tags_of(details.at("tags")))
    task = resource.at("ecsClusterDetails", "taskDetails")
    if task.members():
        resources.add("ecs.task", task.at("arn"), task.at("arn"))
    workload = resource.at("kubernetesDetails", "kubernetesWorkloadDetails")
    if workload.at("name").some_text():
        resources.add(
            "kubernetes.workload",
            workload.at("name"),
            ABSENT,
            details={"namespace": workload.at("namespace"), "type": workload.at("type")},
        )
    container = resource.at("containerDetails")
    if container.members():
        resources.add(
            "container",
            container.at("id") if container.at("id").some_text() else container.at("name"),
            ABSENT,
            details={"name": container.at("name"), "image": container.at("image")},
        )


def _read_sequence(resources: Resources, sequence: Node) -> None:
    """The resources of an AttackSequence finding, which has none elsewhere."""
    for item in sequence.at("resources").each():
        resources.check_account(item.at("accountId"))
        kind = _SEQUENCE_KINDS.get(item.at("resourceType").text() or "", OTHER)
        uid, tags = item.at("uid"), tags_of(item.at("tags"))
        is_arn = (uid.text() or "").startswith("arn:")
        if kind == "ec2.instance":
            name = uid if not is_arn else item.at("name")
            resources.add_instance(name, arn=uid if is_arn else ABSENT, tags=tags)
        elif kind == "iam.principal":
            key = item.at("data", "accessKey")
            resources.add_principal(
                name=key.at("userName"),
                principal_id=key.at("principalId"),
                key_id=uid,
                user_type=key.at("userType"),
            )
        else:
            name = item.at("name") if item.at("name").some_text() else uid
            resources.add(kind, name, uid if is_arn else ABSENT, tags=tags)


def _remotes(action: Node) -> Iterator[tuple[str, Node]]:
    """Every block about the other end, with the name of its action."""
    for name in (
        "networkConnectionAction",
        "awsApiCallAction",
        "kubernetesApiCallAction",
        "rdsLoginAttemptAction",
    ):
        yield name, action.at(name, "remoteIpDetails")
    for probe in action.at("portProbeAction", "portProbeDetails").each():
        yield "portProbeAction", probe.at("remoteIpDetails")


def _remote_addresses(action: Node, sequence: Node) -> Iterator[str | None]:
    for _, remote in _remotes(action):
        yield values.public_address(remote.at("ipAddressV4"))
        yield values.public_address(remote.at("ipAddressV6"))
    for endpoint in sequence.at("endpoints").each():
        yield values.public_address(endpoint.at("ip"))


def _actions(action: Node, sequence: Node) -> Iterator[str]:
    kind = action.at("actionType").some_text()
    if kind is not None:
        yield kind
    for signal in sequence.at("signals").each():
        name = signal.at("name").some_text()
        if name is not None:
            yield name


def _unique(addresses: Iterator[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for address in addresses if address is not None))
