"""GuardDuty's findings as it sends them to Security Hub: in ASFF, the AWS Security Finding Format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

# Under what ASFF's type of a finding is, by the first pattern that GuardDuty's matches ("Interpreting
# GuardDuty finding names in AWS Security Hub CSPM", GuardDuty User Guide). Types that aren't in that
# table are treated as those of the same purpose.
_CONTROL = "TTPs/Command and Control"
_EXFILTRATED = "Effects/Data Exfiltration"
_CONSUMED = "Effects/Resource Consumption"
_ENTERED = "TTPs/Initial Access"
_PRACTICES = "Software and Configuration Checks/AWS Security Best Practices"
_TAXONOMY = (
    ("*:Kubernetes/AnomalousBehavior.*", "TTPs/AnomalousBehavior"),
    ("Policy:Kubernetes/*", _PRACTICES),
    ("Policy:S3/BucketBlockPublicAccessDisabled", "Effects/Data Exposure"),
    ("CredentialAccess:Kubernetes/*", "TTPs/CredentialAccess"),
    ("DefenseEvasion:Kubernetes/*", "TTPs/DefenseEvasion"),
    ("Stealth:*", "TTPs/Defense Evasion"),
    ("Execution:*", "TTPs/Execution"),
    ("Object:*", "TTPs/Object"),
    ("*:S3/*", "TTPs"),
    ("Impact:EC2/*.Reputation", "TTPs"),
    ("Backdoor:*", _CONTROL),
    ("CryptoCurrency:*", _CONTROL),
    ("Trojan:*/DriveBySourceTraffic*", _ENTERED),
    ("Trojan:*/DropPoint*", _EXFILTRATED),
    ("Trojan:*", _CONTROL),
    ("UnauthorizedAccess:*/*CredentialExfiltration*", _EXFILTRATED),
    ("UnauthorizedAccess:*/*BruteForce", _ENTERED),
    ("UnauthorizedAccess:*/TorClient", _CONSUMED),
    ("UnauthorizedAccess:*/TorRelay", _CONSUMED),
    ("UnauthorizedAccess:*/TorIPCaller", _CONTROL),
    ("UnauthorizedAccess:EC2/MaliciousIPCaller*", _CONTROL),
    ("UnauthorizedAccess:Lambda/MaliciousIPCaller*", _CONTROL),
    ("UnauthorizedAccess:IAMUser/ConsoleLogin", "Unusual Behaviors/User"),
    ("ResourceConsumption:*", "Unusual Behaviors/User"),
    ("Behavior:*", "Unusual Behaviors/VM"),
    ("Recon:*", "TTPs/Discovery"),
    ("CredentialAccess:*", "TTPs/Credential Access"),
    ("DefenseEvasion:*", "TTPs/Defense Evasion"),
    ("InitialAccess:*", _ENTERED),
    ("PrivilegeEscalation:*", "TTPs/Privilege Escalation"),
    ("Discovery:*", "TTPs/Discovery"),
    ("Exfiltration:*", "TTPs/Exfiltration"),
    ("Impact:*", "TTPs/Impact"),
    ("Persistence:*", "TTPs/Persistence"),
    ("*", "TTPs"),
)
# Types that keep their slash there.
_WITH_SLASH = ("AttackSequence:*", "PenTest:IAMUser/*")
# The least severity of each label ("Severity levels of GuardDuty findings").
_LABELS = ((9.0, "CRITICAL"), (7.0, "HIGH"), (4.0, "MEDIUM"), (0.0, "LOW"))


def in_asff(finding: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, Any]:
    """A finding of GetFindings' shape in ASFF. ``service`` is its Service as its event says it."""
    region, partition = finding["Region"], finding["Partition"]
    product = f"arn:{partition}:securityhub:{region}::product/aws/guardduty"
    detector = finding["Arn"].split("/finding/")[0]
    seen = finding["Service"]
    label = next(label for least, label in _LABELS if float(finding["Severity"]) >= least)
    types = [_type(finding["Type"])]
    console = f"https://{region}.console.aws.amazon.com/guardduty/home?region={region}"
    return {
        "SchemaVersion": "2018-10-08",
        "Id": finding["Arn"],
        "ProductArn": product,
        "ProductName": "GuardDuty",
        "CompanyName": "Amazon",
        "Region": region,
        "GeneratorId": detector,
        "AwsAccountId": finding["AccountId"],
        "Types": types,
        "FirstObservedAt": seen["EventFirstSeen"],
        "LastObservedAt": seen["EventLastSeen"],
        "CreatedAt": finding["CreatedAt"],
        "UpdatedAt": finding["UpdatedAt"],
        "Severity": {"Product": finding["Severity"], "Label": label},
        "Title": finding["Title"],
        "Description": finding["Description"],
        "SourceUrl": f"{console}#/findings?macros=current&fId={finding['Id']}",
        "ProductFields": {
            **dict(_flat("aws/guardduty/service", service)),
            "aws/securityhub/FindingId": f"{product}/{finding['Arn']}",
            "aws/securityhub/ProductName": "GuardDuty",
            "aws/securityhub/CompanyName": "Amazon",
        },
        "Resources": list(_resources(finding)),
        "FindingProviderFields": {"Severity": {"Label": label}, "Types": types},
        "Sample": bool(service.get("additionalInfo", {}).get("sample")),
    }


def _type(kind: str) -> str:
    place = next(place for pattern, place in _TAXONOMY if fnmatchcase(kind, pattern))
    if any(fnmatchcase(kind, pattern) for pattern in _WITH_SLASH):
        return f"{place}/{kind}"
    purpose, _, rest = kind.partition(":")
    about, _, family = rest.partition("/")
    # What is anomalous about a user says the purpose once, and so does what somebody discovers of a
    # database.
    if (about, family) == ("IAMUser", "AnomalousBehavior") or (purpose, about) == (
        "Discovery",
        "RDS",
    ):
        return f"{place}/{about}-{family}"
    if about == "Kubernetes":
        family = family.removeprefix("AnomalousBehavior.")
    return f"{place}/{purpose}:{about}-{family}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The members of members, by their paths; those of lists are numbered ``0_``, ``1_``."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _flat(f"{name}/{key}", member)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _flat(f"{name}.{number}_", member)
    elif isinstance(value, bool):
        yield name, json.dumps(value)
    elif value is not None:
        yield name, str(value)


def _resources(finding: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    known = finding["Resource"]
    place = f"{finding['Region']}:{finding['AccountId']}"
    partition = finding["Partition"]

    def resource(kind: str, identity: str, tags: Any = None, **details: Any) -> dict[str, Any]:
        given = {name: value for name, value in details.items() if value}
        named = {tag["Key"]: tag["Value"] for tag in tags or []}
        return {
            "Type": kind,
            "Id": identity,
            "Partition": partition,
            "Region": finding["Region"],
            **({"Tags": named} if named else {}),
            **({"Details": {kind: given}} if given else {}),
        }

    found = []
    if instance := known.get("InstanceDetails"):
        interfaces = instance.get("NetworkInterfaces") or [{}]
        addresses = [interfaces[0].get(name) for name in ("PrivateIpAddress", "PublicIp")]
        found.append(
            resource(
                "AwsEc2Instance",
                f"arn:{partition}:ec2:{place}:instance/{instance['InstanceId']}",
                instance.get("Tags"),
                Type=instance.get("InstanceType"),
                ImageId=instance.get("ImageId"),
                IpV4Addresses=[address for address in addresses if address],
                IamInstanceProfileArn=instance.get("IamInstanceProfile", {}).get("Arn"),
                VpcId=interfaces[0].get("VpcId"),
                SubnetId=interfaces[0].get("SubnetId"),
                LaunchedAt=instance.get("LaunchTime"),
            )
        )
    for bucket in known.get("S3BucketDetails") or []:
        found.append(resource("AwsS3Bucket", bucket["Arn"], bucket.get("Tags")))
    if cluster := known.get("EksClusterDetails"):
        found.append(resource("AwsEksCluster", cluster["Arn"], cluster.get("Tags")))
    if function := known.get("LambdaDetails"):
        found.append(resource("AwsLambdaFunction", function["FunctionArn"], function.get("Tags")))
    if database := known.get("RdsDbInstanceDetails"):
        found.append(resource("AwsRdsDbInstance", database["DbInstanceArn"], database.get("Tags")))
    if ecs := known.get("EcsClusterDetails"):
        found.append(resource("AwsEcsCluster", ecs["Arn"], ecs.get("Tags")))
    if key := known.get("AccessKeyDetails"):
        found.append(
            resource(
                "AwsIamAccessKey",
                f"AWS::IAM::AccessKey:{key.get('AccessKeyId') or 'null'}",
                PrincipalId=key.get("PrincipalId"),
                PrincipalName=key.get("UserName"),
                PrincipalType=key.get("UserType"),
            )
        )
    # ASFF's findings have a resource at least.
    yield from found or [resource("Other", finding["Arn"])]
