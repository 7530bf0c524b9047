"""Findings about an instance that there is: all that GuardDuty says, from the little that counts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flows.gameday.aws import guardduty
from flows.gameday.aws.operations import timestamp

_LOCAL_PORTS = {"SSHBruteForce": 22, "RDPBruteForce": 3389}


class InstanceFinding(BaseModel):
    """What GuardDuty found about an instance.

    ``instance`` is its id. ``id`` is that of a finding which GuardDuty has already, for an update
    of it; ``updated_at`` is now where it is left out, and ``count`` one more than before.
    ``remote`` is the address at the other end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    instance: str
    type: str = "Backdoor:EC2/C&CActivity.B"
    severity: float = Field(default=8.0, ge=0, le=10)
    role: Literal["ACTOR", "TARGET"] = "ACTOR"
    id: str = ""
    updated_at: AwareDatetime | None = Field(default=None, alias="updatedAt")
    count: int | None = Field(default=None, ge=1)
    archived: bool = False
    remote: str = "203.0.113.80"


def find(
    wanted: Sequence[InstanceFinding], asking: Callable[[str, str], Any], *, publish: bool = True
) -> list[str]:
    """Have GuardDuty find these; their ids. ``asking`` gives a client of EC2 for an account and
    Region. Raises ValueError where there is no such instance."""
    ids = []
    for found in wanted:
        account, region = _home(found.instance)
        answer = asking(account, region).describe_instances(InstanceIds=[found.instance])
        instance = answer["Reservations"][0]["Instances"][0]
        ids.append(guardduty.inject(whole(found, account, instance), publish=publish))
    return ids


def _home(instance: str) -> tuple[str, str]:
    """The account and the Region of an instance."""
    from moto.ec2.models import ec2_backends

    for account, region, backend in ec2_backends.iter_backends():
        if any(instance == known.id for known in backend.all_instances()):
            return account, region
    raise ValueError(f"there is no instance {instance}")


def whole(found: InstanceFinding, account: str, instance: Mapping[str, Any]) -> dict[str, Any]:
    """The finding as an item of GetFindings; ``instance`` is what DescribeInstances says of it."""
    service: dict[str, Any] = {
        "Action": _action(found, instance),
        "Evidence": None,
        "ResourceRole": found.role,
        "Archived": found.archived,
        "AdditionalInfo": {"Value": "{}", "Type": "default"},
    }
    if found.count is not None:
        service["Count"] = found.count
    finding: dict[str, Any] = {
        "AccountId": account,
        "Region": instance["Placement"]["AvailabilityZone"][:-1],
        "Type": found.type,
        "Severity": found.severity,
        "Title": f"{found.type} on the EC2 instance {found.instance}.",
        "Description": (
            f"The EC2 instance {found.instance} shows {found.type}; at the other end is "
            f"{found.remote}."
        ),
        "Resource": {"ResourceType": "Instance", "InstanceDetails": details(instance)},
        "Service": service,
    }
    if found.id:
        finding["Id"] = found.id
    if found.updated_at is not None:
        at = timestamp(found.updated_at.astimezone(UTC))
        finding["UpdatedAt"] = service["EventLastSeen"] = at
    return finding


def details(instance: Mapping[str, Any]) -> dict[str, Any]:
    """InstanceDetails of what DescribeInstances says of an instance."""
    launched, profile = instance["LaunchTime"], instance.get("IamInstanceProfile")
    return {
        "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
        "IamInstanceProfile": profile and {"Arn": profile["Arn"], "Id": profile["Id"]},
        "ImageDescription": "Amazon Linux 2023",
        "ImageId": instance["ImageId"],
        "InstanceId": instance["InstanceId"],
        "InstanceState": instance["State"]["Name"],
        "InstanceType": instance["InstanceType"],
        "LaunchTime": timestamp(launched) if isinstance(launched, datetime) else launched,
        "NetworkInterfaces": [_interface(eni) for eni in instance.get("NetworkInterfaces", [])],
        "OutpostArn": None,
        "Platform": None,
        "ProductCodes": [],
        "Tags": copy.deepcopy(instance.get("Tags", [])),
    }


def _interface(eni: Mapping[str, Any]) -> dict[str, Any]:
    public = eni.get("Association", {})
    return {
        "Ipv6Addresses": [item["Ipv6Address"] for item in eni.get("Ipv6Addresses", [])],
        "NetworkInterfaceId": eni["NetworkInterfaceId"],
        "PrivateDnsName": eni.get("PrivateDnsName", ""),
        "PrivateIpAddress": eni["PrivateIpAddress"],
        "PrivateIpAddresses": [
            {
                "PrivateDnsName": item.get("PrivateDnsName", ""),
                "PrivateIpAddress": item["PrivateIpAddress"],
            }
            for item in eni.get("PrivateIpAddresses", [])
        ],
        "PublicDnsName": public.get("PublicDnsName", ""),
        "PublicIp": public.get("PublicIp", ""),
        "SecurityGroups": [
            {"GroupId": group["GroupId"], "GroupName": group["GroupName"]}
            for group in eni.get("Groups", [])
        ],
        "SubnetId": eni["SubnetId"],
        "VpcId": eni["VpcId"],
    }


def _action(found: InstanceFinding, instance: Mapping[str, Any]) -> dict[str, Any]:
    """A connection: out of the instance that acts, into the one that is acted upon."""
    outbound = found.role == "ACTOR"
    local = _LOCAL_PORTS.get(found.type.rpartition("/")[2], 40_000)
    interfaces: Sequence[Mapping[str, Any]] = instance.get("NetworkInterfaces", [])
    return {
        "ActionType": "NETWORK_CONNECTION",
        "NetworkConnectionAction": {
            "Blocked": False,
            "ConnectionDirection": "OUTBOUND" if outbound else "INBOUND",
            "LocalIpDetails": {
                "IpAddressV4": interfaces[0]["PrivateIpAddress"] if interfaces else ""
            },
            "LocalPortDetails": {"Port": local, "PortName": "Unknown"},
            "Protocol": "TCP",
            "RemoteIpDetails": {
                "City": {"CityName": "Sampleton"},
                "Country": {"CountryName": "Examplia"},
                "GeoLocation": {"Lat": 0.0, "Lon": 0.0},
                "IpAddressV4": found.remote,
                "Organization": {
                    "Asn": "64496",
                    "AsnOrg": "Example Hosting",
                    "Isp": "Example Hosting",
                    "Org": "Example Hosting",
                },
            },
            "RemotePortDetails": {"Port": 443 if outbound else 40_000, "PortName": "HTTPS"},
        },
    }
