"""The resources that a request is about, as ARNs with what conditions can ask of them.

Service Authorization Reference, "Resource types defined by …" of each service; what supports no
resource-level permissions is on ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.gameday.aws.authorization.conditions import Context
from flows.gameday.aws.recording import Request

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource. ``account`` is its owner's, empty for ``*``; ``context`` its condition keys."""

    arn: str
    account: str = ""
    context: Context = field(default_factory=dict)


EVERYTHING = Resource("*")


@dataclass(frozen=True)
class Place:
    """Where a request is made: the account whose resources it names, and the Region."""

    account: str
    region: str

    def arn(self, service: str, resource: str, *, of_a_region: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if of_a_region else ''}:{self.account}:{resource}"

    def resource(
        self,
        service: str,
        resource: str,
        tags: Mapping[str, str] | None = None,
        *,
        of_a_region: bool = True,
        prefix: str = "",
    ) -> Resource:
        """One of the account's own; ``prefix`` is the service's name in its own condition keys."""
        return Resource(
            self.arn(service, resource, of_a_region=of_a_region),
            self.account,
            of_tags(tags or {}, prefix or service),
        )


def of_tags(tags: Mapping[str, str], service: str) -> dict[str, tuple[str, ...]]:
    """``aws:ResourceTag/key``, and the same under the service's own name."""
    names = ("aws", service)
    return {
        f"{name}:resourcetag/{key}".lower(): (value,)
        for key, value in tags.items()
        for name in names
    }


def resources_of(request: Request, place: Place) -> list[Resource]:
    """What the request's own action is on; never empty."""
    find = _BY_SERVICE.get(request.service, _named_by_arn)
    return list(find(request.operation, request.parameters, place)) or [EVERYTHING]


# EC2

_EC2_TYPES = {
    "acl": "network-acl",
    "ami": "image",
    "dopt": "dhcp-options",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "i": "instance",
    "igw": "internet-gateway",
    "key": "key-pair",
    "lt": "launch-template",
    "nat": "natgateway",
    "pcx": "vpc-peering-connection",
    "pl": "prefix-list",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "snap": "snapshot",
    "subnet": "subnet",
    "tgw": "transit-gateway",
    "tmf": "traffic-mirror-filter",
    "tmfr": "traffic-mirror-filter-rule",
    "tms": "traffic-mirror-session",
    "tmt": "traffic-mirror-target",
    "vgw": "vpn-gateway",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
EC2_ID = re.compile(rf"\b({'|'.join(_EC2_TYPES)})-[0-9a-f]{{8,17}}")
# ARNs without an account: anybody may own them.
_EC2_UNOWNED = ("image", "snapshot")
# What an operation makes; it is on a resource that has no id yet.
_EC2_MADE: Mapping[str, tuple[str, ...]] = {
    "AllocateAddress": ("elastic-ip",),
    "CopyImage": ("image",),
    "CopySnapshot": ("snapshot",),
    "CreateFlowLogs": ("vpc-flow-log",),
    "CreateImage": ("image", "snapshot"),
    "CreateInternetGateway": ("internet-gateway",),
    "CreateKeyPair": ("key-pair",),
    "CreateLaunchTemplate": ("launch-template",),
    "CreateNetworkAcl": ("network-acl",),
    "CreateNetworkInterface": ("network-interface",),
    "CreateRouteTable": ("route-table",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSnapshot": ("snapshot",),
    "CreateSnapshots": ("snapshot",),
    "CreateSubnet": ("subnet",),
    "CreateTrafficMirrorFilter": ("traffic-mirror-filter",),
    "CreateTrafficMirrorFilterRule": ("traffic-mirror-filter-rule",),
    "CreateTrafficMirrorSession": ("traffic-mirror-session",),
    "CreateTrafficMirrorTarget": ("traffic-mirror-target",),
    "CreateVolume": ("volume",),
    "CreateVpc": ("vpc",),
    "CreateVpcEndpoint": ("vpc-endpoint",),
    "RegisterImage": ("image",),
    "RunInstances": ("instance", "network-interface", "volume"),
}
_EC2_READS = ("Describe", "Get", "List", "Search")
# Reads that are on a resource.
_EC2_READS_OF_ONE = re.compile(r"Describe(?!Account)\w+Attribute|GetConsole\w+|GetPasswordData")
# Parameters with ids that are looked for, not acted on, or that hold anything.
_EC2_NOT_NAMES = frozenset({"Description", "Filters", "Tags", "TagSpecifications", "UserData"})


def _ec2(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    if operation.startswith(_EC2_READS) and not _EC2_READS_OF_ONE.fullmatch(operation):
        return
    for kind in _EC2_MADE.get(operation, ()):
        yield ec2_new(kind, place)
    wanted = {key: value for key, value in given.items() if key not in _EC2_NOT_NAMES}
    seen = set()
    for text in _strings(wanted):
        for identity in _ec2_behind(text, operation, place):
            if identity not in seen:
                seen.add(identity)
                yield ec2_resource(identity, _source(given, place))


def _source(given: Parameters, place: Place) -> Place:
    """Where the snapshot or image is of which a copy is asked for."""
    from moto.ec2.models import ec2_backends

    region = given.get("SourceRegion")
    known = region in ec2_backends[place.account]
    return Place(place.account, str(region)) if known else place


def ec2_new(kind: str, place: Place) -> Resource:
    """A resource of EC2 that is about to be made."""
    account = "" if kind in _EC2_UNOWNED else place.account
    return Resource(
        f"arn:aws:ec2:{place.region}:{account}:{kind}/*",
        place.account,
        {"ec2:region": (place.region,)},
    )


def ec2_resource(identity: str, place: Place) -> Resource:
    """A resource of EC2 by its id."""
    from moto.ec2.models import ec2_backends

    kind = _EC2_TYPES[identity.rsplit("-", 1)[0]]
    owner = _ec2_owner(identity, kind, place)
    account = "" if kind in _EC2_UNOWNED else owner
    tags = ec2_backends[owner][place.region].tags.get(identity, {})
    return Resource(
        f"arn:aws:ec2:{place.region}:{account}:{kind}/{identity}",
        owner,
        {
            **of_tags(tags, "ec2"),
            "ec2:region": (place.region,),
            **_ec2_facts(identity, kind, Place(owner, place.region)),
        },
    )


def _ec2_owner(identity: str, kind: str, place: Place) -> str:
    """Who owns it: only what has no account in its ARN may be somebody else's."""
    from moto.ec2.models import ec2_backends

    if kind not in _EC2_UNOWNED:
        return place.account
    for account in (place.account, *ec2_backends):
        backend = ec2_backends[account][place.region]
        if identity in (backend.snapshots if kind == "snapshot" else backend.amis):
            found = backend.amis.get(identity)
            return str(getattr(found, "owner_id", None) or account)
    return place.account


def _ec2_facts(identity: str, kind: str, place: Place) -> dict[str, tuple[str, ...]]:
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[place.account][place.region]
    facts: dict[str, Any] = {}
    if kind == "instance":
        instance = _instance(backend, identity)
        if instance is not None:
            facts["ec2:instancetype"] = instance.instance_type
            profile = (getattr(instance, "iam_instance_profile", None) or {}).get("Arn")
            facts["ec2:instanceprofile"] = profile
            facts["ec2:metadatahttptokens"] = instance.metadata_options.http_tokens
    elif kind in ("volume", "snapshot"):
        stored = (backend.volumes if kind == "volume" else backend.snapshots).get(identity)
        if stored is not None:
            facts["ec2:encrypted"] = "true" if stored.encrypted else "false"
            size = getattr(stored, "size", None) or getattr(stored, "volume_size", None)
            facts["ec2:volumesize"] = size
            if kind == "snapshot":
                facts["ec2:owner"] = place.account
                facts["ec2:parentvolume"] = place.arn("ec2", f"volume/{stored.volume.id}")
    else:
        vpc = _vpc_of(backend, identity, kind)
        facts["ec2:vpc"] = place.arn("ec2", f"vpc/{vpc}") if vpc else None
    return {key: (str(value),) for key, value in facts.items() if value not in (None, "")}


def _instance(backend: Any, identity: str) -> Any:
    for reservation in backend.reservations.values():
        for instance in reservation.instances:
            if instance.id == identity:
                return instance
    return None


def _vpc_of(backend: Any, identity: str, kind: str) -> str:
    if kind == "security-group":
        return next((str(vpc) for vpc, groups in backend.groups.items() if identity in groups), "")
    if kind == "subnet":
        found = next(
            (zone[identity] for zone in backend.subnets.values() if identity in zone), None
        )
    elif kind == "network-interface":
        interface = backend.enis.get(identity)
        found = interface.subnet if interface is not None else None
    elif kind == "network-acl":
        found = backend.network_acls.get(identity)
    else:
        found = None
    return str(getattr(found, "vpc_id", "") or "")


def _ec2_behind(text: str, operation: str, place: Place) -> Iterator[str]:
    """The ids of the resources behind an id: an association is one of others."""
    from moto.ec2.models import ec2_backends

    if EC2_ID.fullmatch(text):
        yield text
        if operation == "CreateSnapshots" and text.startswith("i-"):
            yield from _volumes_of(text, place)
    elif find := _EC2_ASSOCIATIONS.get(text.rpartition("-")[0]):
        yield from filter(None, find(ec2_backends[place.account][place.region], text))


def _with_profile(backend: Any, association: str) -> Iterator[str | None]:
    for found in backend.iam_instance_profile_associations.values():
        if found.association_id == association:
            yield found.instance.id


def _with_acl(backend: Any, association: str) -> Iterator[str | None]:
    for acl in backend.network_acls.values():
        for found in acl.associations:
            if association in (found.id, found.new_association_id):
                yield from (acl.id, found.subnet_id)


def _with_address(backend: Any, association: str) -> Iterator[str | None]:
    for address in backend.addresses:
        if address.association_id == association:
            yield from (address.allocation_id, getattr(address.eni, "id", None))


def _with_interface(backend: Any, attachment: str) -> Iterator[str | None]:
    for interface in backend.enis.values():
        if interface.attachment_id == attachment:
            yield from (interface.id, getattr(interface.instance, "id", None))


def _with_routes(backend: Any, association: str) -> Iterator[str | None]:
    for table in backend.route_tables.values():
        if association in table.all_associations_ids:
            yield table.id


_EC2_ASSOCIATIONS: Mapping[str, Callable[[Any, str], Iterator[str | None]]] = {
    "aclassoc": _with_acl,
    "eipassoc": _with_address,
    "eni-attach": _with_interface,
    "iip-assoc": _with_profile,
    "rtbassoc": _with_routes,
}


def _volumes_of(instance: str, place: Place) -> Iterator[str]:
    from moto.ec2.models import ec2_backends

    for volume in ec2_backends[place.account][place.region].volumes.values():
        attachment = volume.attachment
        if attachment is not None and attachment.instance.id == instance:
            yield volume.id


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


# IAM

# Of what an operation names, the first of these is what it is on.
_IAM_KINDS = (
    ("InstanceProfileName", "instance-profile", "instance_profiles"),
    ("GroupName", "group", "groups"),
    ("UserName", "user", "users"),
    ("RoleName", "role", "roles"),
)
# PolicySourceArn is the user, group or role of SimulatePrincipalPolicy.
_IAM_ARNS = (
    "PolicyArn",
    "PolicySourceArn",
    "SAMLProviderArn",
    "OpenIDConnectProviderArn",
    "SerialNumber",
)


def _iam(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    for parameter, kind, kept in _IAM_KINDS:
        if parameter in given:
            yield _iam_named(kind, kept, str(given[parameter]), given, place)
            return
    if operation == "CreatePolicy":
        path = given.get("Path", "/")
        yield _iam_new(f"policy{path}{given.get('PolicyName', '')}", place)
        return
    for parameter in _IAM_ARNS:
        if parameter in given:
            yield Resource(str(given[parameter]), place.account)


def _iam_named(kind: str, kept: str, name: str, given: Parameters, place: Place) -> Resource:
    from moto.iam.models import iam_backends

    backend = iam_backends[place.account]["aws"]
    for found in getattr(backend, kept).values():
        if found.name == name:
            listed = backend.list_user_tags(name) if kind == "user" else getattr(found, "tags", [])
            tags = {tag["Key"]: tag["Value"] for tag in listed or []}
            return Resource(str(found.arn), place.account, of_tags(tags, "iam"))
    return _iam_new(f"{kind}{given.get('Path', '/')}{name}", place)


def _iam_new(resource: str, place: Place) -> Resource:
    return place.resource("iam", resource, of_a_region=False)


def role_resource(arn: str) -> Resource:
    """A role by its ARN, also of another account."""
    from moto.iam.models import iam_backends

    account = (arn.split(":") + [""] * 5)[4]
    roles = iam_backends[account]["aws"].roles.values() if account else ()
    tags: Any = next((role.tags for role in roles if role.arn == arn), [])
    return Resource(arn, account, of_tags({tag["Key"]: tag["Value"] for tag in tags or []}, "iam"))


def _sts(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    if "RoleArn" in given:
        yield role_resource(str(given["RoleArn"]))


# Auto Scaling and load balancing


def _autoscaling(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    from moto.autoscaling.models import autoscaling_backends

    if operation.startswith("Describe"):
        return
    groups = autoscaling_backends[place.account][place.region].autoscaling_groups
    names = [str(given["AutoScalingGroupName"])] if "AutoScalingGroupName" in given else []
    names += [str(tag["ResourceId"]) for tag in given.get("Tags", []) if tag.get("ResourceId")]
    if not names and "InstanceId" in given:
        names = [
            name
            for name, group in groups.items()
            if any(member.instance.id == given["InstanceId"] for member in group.instance_states)
        ]
    for name in dict.fromkeys(names):
        group = groups.get(name)
        tags = {tag["Key"]: tag.get("Value") or "" for tag in (group.tags if group else [])}
        arn = (
            str(group.arn)
            if group is not None
            else place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")
        )
        yield Resource(arn, place.account, of_tags(tags, "autoscaling"))


def _load_balancing(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    if operation.startswith("Describe"):
        return
    name = given.get("LoadBalancerName")
    if name is not None:
        yield place.resource("elasticloadbalancing", f"loadbalancer/{name}")
    if operation == "CreateTargetGroup":
        yield place.resource("elasticloadbalancing", f"targetgroup/{given.get('Name')}/*")
        return
    if operation == "CreateLoadBalancer" and name is None:
        kind = "net" if given.get("Type") == "network" else "app"
        yield place.resource("elasticloadbalancing", f"loadbalancer/{kind}/{given.get('Name')}/*")
        return
    yield from _named_by_arn(operation, given, place)


# Storage, keys, messages


def _s3(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    bucket = given.get("Bucket")
    if not bucket:
        return
    if operation == "DeleteObjects":
        yield s3_resource(f"{bucket}/*")
    elif "Key" in given:
        yield s3_resource(f"{bucket}/{given['Key']}")
    else:
        yield s3_resource(str(bucket))


def s3_resource(path: str) -> Resource:
    """A bucket, or an object as ``bucket/key``."""
    from moto.s3.models import s3_backends

    name = path.partition("/")[0]
    for account in list(s3_backends):
        if name in s3_backends[account]["aws"].buckets:
            return Resource(f"arn:aws:s3:::{path}", str(account))
    return Resource(f"arn:aws:s3:::{path}")


def _s3control(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    return iter(())


def _kms(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    names = [given[name] for name in ("KeyId", "TargetKeyId", "SourceKeyId") if name in given]
    if "AliasName" in given:
        yield place.resource("kms", str(given["AliasName"]))
    for name in names:
        yield kms_resource(str(name), place)


def kms_resource(name: str, place: Place) -> Resource:
    """A key by its id, ARN, alias or alias ARN."""
    from moto.kms.models import kms_backends

    parts = name.split(":", 5)
    if len(parts) > _ACCOUNT_OF_AN_ARN + 1:
        account, region = parts[_ACCOUNT_OF_AN_ARN], parts[_ACCOUNT_OF_AN_ARN - 1]
        place = Place(account, region) if region in kms_backends[account] else place
        name = parts[-1]
    backend = kms_backends[place.account][place.region]
    identity = name.removeprefix("key/")
    if name.startswith("alias/"):
        identity = str(backend.get_key_id_from_alias(name) or name)
    tags: dict[str, str] = {
        tag.get("TagKey", tag.get("Key")): tag.get("TagValue", tag.get("Value"))
        for tag in backend.tagger.list_tags_for_resource(identity)["Tags"]
    }
    resource = place.resource("kms", f"key/{identity}", tags)
    aliases = {"kms:requestalias": (name,)} if name.startswith("alias/") else {}
    return Resource(resource.arn, resource.account, {**resource.context, **aliases})


_ACCOUNT_OF_AN_ARN = 4


def _sqs(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    if "QueueUrl" in given:
        path, _, name = str(given["QueueUrl"]).rstrip("/").rpartition("/")
        account = path.rpartition("/")[2]
        owner = account if account.isdigit() else place.account
        yield Place(owner, place.region).resource("sqs", name)
    elif "QueueName" in given:
        owner = str(given.get("QueueOwnerAWSAccountId") or place.account)
        yield Place(owner, place.region).resource("sqs", str(given["QueueName"]))


# Others


def _cloudformation(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    from moto.cloudformation.models import cloudformation_backends

    name = str(given.get("StackName") or "")
    if not name or operation == "ListStacks":
        return
    backend = cloudformation_backends[place.account][place.region]
    for stack in backend.stacks.values():
        if name in (stack.name, stack.stack_id):
            yield Resource(
                str(stack.stack_id), place.account, of_tags(stack.tags, "cloudformation")
            )
            return
    if name.startswith("arn:"):
        yield Resource(name, place.account)
    else:
        yield place.resource("cloudformation", f"stack/{name}/*")


def _ssm(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    if operation.startswith("Describe"):
        return
    names = [given["Name"]] if "Parameter" in operation and "Name" in given else []
    names += given.get("Names", []) if "Parameter" in operation else []
    for name in names:
        yield place.resource("ssm", f"parameter/{str(name).lstrip('/')}")
    if "Path" in given:
        yield place.resource("ssm", f"parameter/{str(given['Path']).strip('/')}")
    document = given.get("DocumentName") or (given.get("Name") if "Document" in operation else None)
    if document:
        # "AWS-" documents are AWS's own and have no account.
        of_aws = str(document).startswith("AWS")
        owner = Place("" if of_aws else place.account, place.region)
        yield owner.resource("ssm", f"document/{document}")
    targets = [*given.get("InstanceIds", []), *filter(None, [given.get("Target")])]
    for identity in targets:
        if EC2_ID.fullmatch(str(identity)):
            found = ec2_resource(str(identity), place)
            tags = {
                key.replace("ec2:resourcetag/", "ssm:resourcetag/"): value
                for key, value in found.context.items()
            }
            yield Resource(found.arn, found.account, {**found.context, **tags})


def _guardduty(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    if "DetectorId" in given:
        yield place.resource("guardduty", f"detector/{given['DetectorId']}")


def _lambda(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    name = str(given.get("FunctionName") or "")
    if name.startswith("arn:"):
        yield Resource(name, name.split(":")[_ACCOUNT_OF_AN_ARN])
    elif name:
        yield place.resource("lambda", f"function:{name}")
    else:
        yield from _named_by_arn(operation, given, place)


def _by_name(service: str, parameter: str, form: str) -> Callable[..., Iterator[Resource]]:
    """For a service whose resources are named by one parameter, by name or ARN."""

    def find(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
        name = given.get(parameter)
        if name is None:
            yield from _named_by_arn(operation, given, place)
        elif str(name).startswith("arn:"):
            yield Resource(str(name), str(name).split(":")[_ACCOUNT_OF_AN_ARN])
        else:
            yield place.resource(service, form.format(name))

    return find


_ARN_PARAMETERS = re.compile(r"(?!.*Role)\w*A(rn|RN)s?|ResourceIdentifier")


def _named_by_arn(operation: str, given: Parameters, place: Place) -> Iterator[Resource]:
    """What the request names by ARN, other than a role to work with."""
    for parameter, value in given.items():
        if _ARN_PARAMETERS.fullmatch(parameter):
            for text in _strings(value):
                parts = text.split(":", 5)
                if parts[0] == "arn" and len(parts) > _ACCOUNT_OF_AN_ARN + 1:
                    yield Resource(text, parts[_ACCOUNT_OF_AN_ARN] or place.account)


_BY_SERVICE: Mapping[str, Callable[[str, Parameters, Place], Iterable[Resource]]] = {
    "autoscaling": _autoscaling,
    "cloudformation": _cloudformation,
    "cloudtrail": _by_name("cloudtrail", "Name", "trail/{}"),
    "dynamodb": _by_name("dynamodb", "TableName", "table/{}"),
    "ec2": _ec2,
    "elb": _load_balancing,
    "elbv2": _load_balancing,
    "events": _by_name("events", "Rule", "rule/{}"),
    "guardduty": _guardduty,
    "iam": _iam,
    "kms": _kms,
    "lambda": _lambda,
    "logs": _by_name("logs", "logGroupName", "log-group:{}"),
    "rds": _by_name("rds", "DBInstanceIdentifier", "db:{}"),
    "s3": _s3,
    "s3control": _s3control,
    "secretsmanager": _by_name("secretsmanager", "SecretId", "secret:{}-*"),
    "sns": _by_name("sns", "TopicArn", "{}"),
    "sqs": _sqs,
    "ssm": _ssm,
    "sts": _sts,
}
