"""Systems Manager: managed instances, what their agents can be reached for, and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations, simulated_time
from flows.gameday.aws.identities import identity_of

_AGENT_VERSION = "3.3.2299.0"
_HTTPS = 443
# One of the ports that answers come back to.
_EPHEMERAL = 49_152
_PAGE = 50
_GONE = ("shutting-down", "terminated")


def correct() -> None:
    """Have instances be managed where their agents reach the service, and sessions be listed."""
    from moto.ssm.responses import SimpleSystemManagerResponse

    operations.add(
        SimpleSystemManagerResponse,
        {
            "DescribeInstanceInformation": _describe_instance_information,
            "StartSession": _start_session,
            "DescribeSessions": _describe_sessions,
            "TerminateSession": _terminate_session,
        },
    )


def correct_profiles() -> None:
    """Have the agent register an instance as soon as it has a profile.

    "Setting up Systems Manager": an instance profile with AmazonSSMManagedInstanceCore. What the
    profile's role may do isn't looked at.
    """
    from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociation

    associate = IamInstanceProfileAssociation.__init__

    def __init__(
        self: Any, ec2_backend: Any, association_id: str, instance: Any, profile: Any
    ) -> None:
        associate(self, ec2_backend, association_id, instance, profile)
        instance.__dict__.setdefault("managed_since", simulated_time.now())

    IamInstanceProfileAssociation.__init__ = __init__


def set_ping_status(instance_id: str, status: str | None) -> None:
    """Have an instance's agent be ``Online`` or ``ConnectionLost``, whatever its profile and its
    network allow; None goes back to those. Raises ValueError where there is no such instance."""
    from moto.ec2.models import ec2_backends

    if status not in ("Online", "ConnectionLost", None):
        raise ValueError(f"a ping status is Online, ConnectionLost or null, not {status}")
    for regions in ec2_backends.values():
        for backend in regions.values():
            instance = backend.get_instance_by_id(instance_id)
            if instance is not None:
                instance.ping_status = status
                instance.__dict__.setdefault("managed_since", simulated_time.now())
                return
    raise ValueError(f"there is no instance {instance_id}")


def ping_status(instance: Any) -> str | None:
    """An instance's connection status, or None where it isn't managed.

    The connection is lost (InstanceInformation, PingStatus) of an agent whose instance is stopped,
    has no credentials, or whose groups or network ACL let nothing through to port 443.
    """
    if instance is None or instance.state in _GONE or "managed_since" not in instance.__dict__:
        return None
    fixed = instance.__dict__.get("ping_status")
    if fixed is not None:
        return str(fixed)
    reaches = any(
        _lets_out(eni, _HTTPS) and _lets_pass(instance.ec2_backend, eni)
        for eni in instance.nics.values()
    )
    online = instance.state == "running" and instance.profile_arn and reaches
    return "Online" if online else "ConnectionLost"


def _lets_out(eni: Any, port: int) -> bool:
    return any(
        rule.ip_protocol == "-1"
        or (rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port)
        for group in eni._group_set
        for rule in group.egress_rules
    )


def _lets_pass(backend: Any, eni: Any) -> bool:
    """Whether the network ACL of an interface's subnet lets HTTPS out and its answers in."""
    for acl in backend.network_acls.values():
        if any(item.subnet_id == eni.subnet.id for item in acl.associations):
            return _allows(acl, True, _HTTPS) and _allows(acl, False, _EPHEMERAL)
    return True


def _allows(acl: Any, egress: bool, port: int) -> bool:
    """What the first rule says of TCP to a port, anywhere: "rules are evaluated starting with the
    lowest numbered rule" (VPC User Guide, "Network ACL basics")."""
    for entry in sorted(acl.network_acl_entries, key=lambda entry: int(entry.rule_number)):
        if entry.egress is not egress or entry.cidr_block != "0.0.0.0/0":
            continue
        every_port = str(entry.protocol) == "-1" or entry.port_range_from is None
        if str(entry.protocol) in ("-1", "6") and (
            every_port or int(entry.port_range_from) <= port <= int(entry.port_range_to)
        ):
            return bool(entry.rule_action == "allow")
    return False


def platform_of(instance: Any) -> str:
    """``Windows`` or ``Linux``."""
    return "Windows" if str(instance.platform or "").lower() == "windows" else "Linux"


def instances_of(response: Any) -> dict[str, Any]:
    """The instances of the caller's account and Region by id, managed or not."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[response.current_account][response.region]
    return {instance.id: instance for instance in backend.all_instances()}


def _describe_instance_information(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    wanted = {item["Key"]: set(item["Values"]) for item in asked.get("Filters", [])}
    # InstanceInformationFilterList is the older form of the same.
    wanted |= {
        item["key"]: set(item["valueSet"])
        for item in asked.get("InstanceInformationFilterList", [])
    }
    listed = [
        (instance, _information(response, instance, status))
        for instance in instances_of(response).values()
        if (status := ping_status(instance)) is not None
    ]
    found = [item for instance, item in listed if _meets(instance, item, wanted)]
    return paged("InstanceInformationList", found, asked)


def _information(response: Any, instance: Any, status: str) -> dict[str, Any]:
    now = simulated_time.now()
    platform = platform_of(instance)
    names = {"Windows": "Microsoft Windows Server 2022 Datacenter", "Linux": "Amazon Linux"}
    return {
        "InstanceId": instance.id,
        "PingStatus": status,
        "LastPingDateTime": now if status == "Online" else instance.managed_since,
        "AgentVersion": _AGENT_VERSION,
        "IsLatestVersion": True,
        "PlatformType": platform,
        "PlatformName": names[platform],
        "PlatformVersion": {"Windows": "10.0.20348", "Linux": "2023"}[platform],
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip,
        "ComputerName": instance.private_dns_name,
        "SourceId": instance.id,
        "SourceType": "AWS::EC2::Instance",
    }


def _meets(instance: Any, item: Mapping[str, Any], wanted: Mapping[str, set[str]]) -> bool:
    known = {
        "InstanceIds": "InstanceId",
        "PingStatus": "PingStatus",
        "PlatformTypes": "PlatformType",
        "AgentVersion": "AgentVersion",
        "ResourceType": "ResourceType",
        "SourceIds": "SourceId",
        "SourceTypes": "SourceType",
    }
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    for key, values in wanted.items():
        if key == "tag-key":
            met = bool(values & set(tags))
        elif key.startswith("tag:"):
            met = tags.get(key.removeprefix("tag:")) in values
        elif key in known:
            met = item[known[key]] in values
        else:
            raise operations.error("InvalidFilterKey", f"The filter key {key} is not valid.")
        if not met:
            return False
    return True


def _start_session(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    target = asked["Target"]
    if ping_status(instances_of(response).get(target)) != "Online":
        raise operations.error("TargetNotConnected", f"{target} is not connected.")
    session = {
        "SessionId": f"session-{mock_random.get_random_hex(17)}",
        "Target": target,
        "Status": "Connected",
        "StartDate": simulated_time.now(),
        "DocumentName": asked.get("DocumentName", "SSM-SessionManagerRunShell"),
        "Owner": identity_of(response.access_key, response.current_account).arn,
        "Reason": asked.get("Reason", ""),
    }
    _sessions(response)[session["SessionId"]] = session
    return {
        "SessionId": session["SessionId"],
        "TokenValue": mock_random.get_random_hex(32),
        "StreamUrl": f"wss://ssmmessages.{response.region}.amazonaws.com/v1/data-channel/"
        f"{session['SessionId']}?role=publish_subscribe",
    }


def _describe_sessions(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    wanted = {item["key"]: item["value"] for item in asked.get("Filters", [])}
    unknown = set(wanted) - {"Target", "Owner", "Status", "SessionId"}
    if unknown:
        raise operations.error("InvalidFilterKey", f"Not simulated: {', '.join(sorted(unknown))}.")
    over = asked["State"] == "History"
    found = [
        session
        for session in reversed(_sessions(response).values())
        if (session["Status"] == "Terminated") == over
        and all(session[key] == value for key, value in wanted.items())
    ]
    return paged("Sessions", found, asked)


def _terminate_session(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    session = _sessions(response).get(asked["SessionId"])
    if session is None:
        raise operations.error("DoesNotExistException", "The session does not exist.")
    if session["Status"] != "Terminated":
        session |= {"Status": "Terminated", "EndDate": simulated_time.now()}
    return {"SessionId": session["SessionId"]}


def _sessions(response: Any) -> dict[str, dict[str, Any]]:
    sessions: dict[str, dict[str, Any]]
    sessions = response.ssm_backend.__dict__.setdefault("sessions_by_id", {})
    return sessions


def paged(name: str, items: list[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A page of an answer, under the name of its member."""
    found, following = operations.page(
        items,
        asked.get("MaxResults") or _PAGE,
        asked.get("NextToken"),
        bad_token=operations.error("InvalidNextToken", "The specified token is not valid."),
    )
    return {name: found, **({"NextToken": following} if following else {})}
