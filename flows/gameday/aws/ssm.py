"""Systems Manager: managed instances, commands whose output is scripted, and sessions."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.gameday.aws import operations

_AGENT_VERSION = "3.3.2299.0"
_HTTPS = 443
_PAGE = 50
# "StandardOutputContent: The first 24,000 characters" (GetCommandInvocation); "Output … Default
# maximum 2500 characters" (CommandPlugin).
_OUTPUT = 24_000
_SHORT_OUTPUT = 2_500
_TIMEOUT_SECONDS = 3_600
# Those of AWS's command documents that response uses, with the platform that each needs.
_AWS_DOCUMENTS: Mapping[str, str | None] = {
    "AWS-ConfigureAWSPackage": None,
    "AWS-RunDocument": None,
    "AWS-RunPatchBaseline": None,
    "AWS-RunPowerShellScript": "Windows",
    "AWS-RunRemoteScript": None,
    "AWS-RunShellScript": "Linux",
    "AWS-UpdateSSMAgent": None,
    "AmazonCloudWatch-ManageAgent": None,
}
_DONE = frozenset({"Success", "Failed", "TimedOut", "Cancelled"})
_GONE = ("shutting-down", "terminated")


class CommandOutput(BaseModel):
    """What a command says on the instances that match, and how it ends.

    ``document`` and ``instance`` are globs; ``containing`` is text that the command's parameters
    must contain. The output takes ``seconds`` to be there, and ``status`` is how it ends.
    ``unknown_at_first`` is how many times GetCommandInvocation says InvocationDoesNotExist before
    it knows the command, as it may right after it was sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: str = "*"
    instance: str = "*"
    containing: str = ""
    stdout: str = ""
    stderr: str = ""
    status: Literal["Success", "Failed", "TimedOut"] = "Success"
    seconds: float = Field(default=0.0, ge=0)
    unknown_at_first: int = Field(default=0, ge=0)

    def matches(self, document: str, instance: str, parameters: Mapping[str, Any]) -> bool:
        return (
            fnmatchcase(document, self.document)
            and fnmatchcase(instance, self.instance)
            and (not self.containing or self.containing in str(parameters))
        )


class CommandOutputs:
    """The outputs that are scripted; of those that match a command, the last one counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outputs: list[CommandOutput] = []

    def add(self, output: CommandOutput) -> None:
        with self._lock:
            self._outputs.append(output)

    def clear(self) -> None:
        with self._lock:
            self._outputs.clear()

    def of(self, document: str, instance: str, parameters: Mapping[str, Any]) -> CommandOutput:
        with self._lock:
            for output in reversed(self._outputs):
                if output.matches(document, instance, parameters):
                    return output
        return CommandOutput()


# Scripted for the process, as the settings are.
OUTPUTS = CommandOutputs()


def correct() -> None:
    """Have instances be managed, commands take time and say what was scripted, and sessions."""
    from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociation
    from moto.ssm.responses import SimpleSystemManagerResponse

    associate = IamInstanceProfileAssociation.__init__

    # The agent registers the instance as soon as it has a profile ("Setting up Systems Manager":
    # an instance profile with AmazonSSMManagedInstanceCore). What the profile's role may do isn't
    # looked at.
    def __init__(
        self: Any, ec2_backend: Any, association_id: str, instance: Any, profile: Any
    ) -> None:
        associate(self, ec2_backend, association_id, instance, profile)
        instance.__dict__.setdefault("managed_since", datetime.now(UTC))

    IamInstanceProfileAssociation.__init__ = __init__

    operations.add(
        SimpleSystemManagerResponse,
        {
            "DescribeInstanceInformation": _describe_instance_information,
            "SendCommand": _send_command,
            "ListCommands": _list_commands,
            "ListCommandInvocations": _list_command_invocations,
            "GetCommandInvocation": _get_command_invocation,
            "CancelCommand": _cancel_command,
            "StartSession": _start_session,
            "DescribeSessions": _describe_sessions,
            "TerminateSession": _terminate_session,
        },
    )


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
                instance.__dict__.setdefault("managed_since", datetime.now(UTC))
                return
    raise ValueError(f"there is no instance {instance_id}")


def _ping_status(instance: Any) -> str | None:
    """An instance's connection status, or None where it isn't managed.

    "ConnectionLost: the agent has failed to communicate" (InstanceInformation, PingStatus): its
    instance is stopped, has no credentials, or lets nothing out to port 443, where the service is.
    """
    if instance is None or instance.state in _GONE or "managed_since" not in instance.__dict__:
        return None
    fixed = instance.__dict__.get("ping_status")
    if fixed is not None:
        return str(fixed)
    reaches = any(_lets_out(eni, _HTTPS) for eni in instance.nics.values())
    online = instance.state == "running" and instance.profile_arn and reaches
    return "Online" if online else "ConnectionLost"


def _lets_out(eni: Any, port: int) -> bool:
    return any(
        rule.ip_protocol == "-1"
        or (rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port)
        for group in eni._group_set
        for rule in group.egress_rules
    )


def _platform(instance: Any) -> str:
    return "Windows" if str(instance.platform or "").lower() == "windows" else "Linux"


def _instances(response: Any) -> dict[str, Any]:
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
        for instance in _instances(response).values()
        if (status := _ping_status(instance)) is not None
    ]
    found = [item for instance, item in listed if _meets(instance, item, wanted)]
    return _paged("InstanceInformationList", found, asked)


def _information(response: Any, instance: Any, status: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    platform = _platform(instance)
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


def _send_command(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    backend, document = response.ssm_backend, asked["DocumentName"]
    platform = _needed_platform(backend, document)
    instances = _instances(response)
    ids = list(dict.fromkeys(asked.get("InstanceIds") or []))
    # "managed node isn't in a valid state", "isn't registered" (InvalidInstanceId).
    unmanaged = [known for known in ids if _ping_status(instances.get(known)) is None]
    if unmanaged:
        raise operations.error(
            "InvalidInstanceId",
            f"Instances [[{', '.join(unmanaged)}]] not in a valid state for account "
            f"{response.current_account}",
        )
    ids += [known for known in _targeted(instances, asked.get("Targets") or []) if known not in ids]
    if platform is not None and any(_platform(instances[known]) != platform for known in ids):
        raise operations.error(
            "UnsupportedPlatformType", f"The document {document} is for {platform} only."
        )
    sent = datetime.now(UTC)
    command = {
        "CommandId": str(mock_random.uuid4()),
        "DocumentName": document,
        "DocumentVersion": asked.get("DocumentVersion", "$DEFAULT"),
        "Comment": asked.get("Comment", ""),
        "Parameters": asked.get("Parameters", {}),
        "InstanceIds": asked.get("InstanceIds") or [],
        "Targets": asked.get("Targets") or [],
        "RequestedDateTime": sent,
        "TimeoutSeconds": asked.get("TimeoutSeconds", _TIMEOUT_SECONDS),
        "OutputS3BucketName": asked.get("OutputS3BucketName", ""),
        "OutputS3KeyPrefix": asked.get("OutputS3KeyPrefix", ""),
        "MaxConcurrency": asked.get("MaxConcurrency", "50"),
        "MaxErrors": asked.get("MaxErrors", "0"),
        "ServiceRole": asked.get("ServiceRoleArn", ""),
    }
    invocations = {
        known: {
            "instance": instances[known],
            "output": OUTPUTS.of(document, known, command["Parameters"]),
            "delivered": _ping_status(instances[known]) == "Online",
            "cancelled": None,
            "reads": 0,
        }
        for known in ids
    }
    _commands(backend)[command["CommandId"]] = (command, invocations)
    # The answer always says Pending; where it stands is for ListCommands to say.
    return {"Command": {**_shown(command, invocations), "Status": "Pending"}}


def _needed_platform(backend: Any, document: str) -> str | None:
    name = document.rsplit("/", 1)[-1]
    if name in _AWS_DOCUMENTS:
        return _AWS_DOCUMENTS[name]
    if name in backend._documents:
        return None
    raise operations.error("InvalidDocument", f"Document with name {document} does not exist.")


def _targeted(instances: Mapping[str, Any], targets: Iterable[Mapping[str, Any]]) -> list[str]:
    """The managed instances that SendCommand's Targets mean; those that aren't are passed over."""
    wanted = {target["Key"]: set(target["Values"]) for target in targets}
    if not wanted:
        return []
    found = []
    for known, instance in instances.items():
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        if _ping_status(instance) is not None and all(
            known in values
            if key.lower() == "instanceids"
            else tags.get(key.removeprefix("tag:")) in values
            for key, values in wanted.items()
        ):
            found.append(known)
    return found


def _status(command: Mapping[str, Any], invocation: Mapping[str, Any]) -> str:
    passed = (datetime.now(UTC) - command["RequestedDateTime"]).total_seconds()
    if invocation["cancelled"] is not None:
        return "Cancelled"
    if not invocation["delivered"]:
        # "Delivery Timed Out: The command wasn't delivered … before the total timeout expired"
        # (Understanding command statuses).
        return "Pending" if passed < command["TimeoutSeconds"] else "TimedOut"
    output = invocation["output"]
    return str(output.status) if passed >= output.seconds else "InProgress"


def _details(invocation: Mapping[str, Any], status: str) -> str:
    if status == "TimedOut":
        return "ExecutionTimedOut" if invocation["delivered"] else "DeliveryTimedOut"
    return status


def _shown(command: Mapping[str, Any], invocations: Mapping[str, Any]) -> dict[str, Any]:
    statuses = [_status(command, invocation) for invocation in invocations.values()]
    if not statuses:
        status, details = "Success", "NoInstancesInTag"
    elif all(item in _DONE for item in statuses):
        # The worst of them ("Understanding command statuses").
        order = ("Cancelled", "TimedOut", "Failed", "Success")
        status = details = next(item for item in order if item in statuses)
    else:
        status = details = "Pending" if set(statuses) == {"Pending"} else "InProgress"
    return {
        **command,
        "Status": status,
        "StatusDetails": details,
        "ExpiresAfter": command["RequestedDateTime"] + timedelta(seconds=command["TimeoutSeconds"]),
        "TargetCount": len(statuses),
        "CompletedCount": sum(item in _DONE for item in statuses),
        "ErrorCount": sum(item == "Failed" for item in statuses),
        "DeliveryTimedOutCount": sum(item == "TimedOut" for item in statuses),
    }


def _commands(backend: Any) -> dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
    """The commands of an account and Region by id, each with its invocations by instance."""
    kept: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]]
    kept = backend.__dict__.setdefault("commands_by_id", {})
    return kept


def _selected(
    response: Any, asked: Mapping[str, Any]
) -> list[tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
    """The commands that the call asks for, newest first."""
    known, wanted = _commands(response.ssm_backend), asked.get("CommandId")
    if wanted is not None and wanted not in known:
        raise operations.error("InvalidCommandId", f"The command {wanted} does not exist.")
    instance_id = asked.get("InstanceId")
    if instance_id is not None and instance_id not in _instances(response):
        raise operations.error("InvalidInstanceId", f"The instance {instance_id} does not exist.")
    return [
        (command, invocations)
        for command, invocations in reversed(known.values())
        if wanted in (None, command["CommandId"])
        and (not instance_id or instance_id in invocations)
    ]


def _list_commands(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    found = [_shown(*item) for item in _selected(response, asked)]
    return _paged("Commands", [item for item in found if _passes(item, asked)], asked)


def _passes(item: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether the filters (CommandFilter) let it through."""
    for wanted in asked.get("Filters", []):
        key, value, at = wanted["key"], wanted["value"], item["RequestedDateTime"]
        if key in ("Status", "DocumentName"):
            met = item[key] == value
        elif key == "InvokedAfter":
            met = at >= datetime.fromisoformat(value)
        elif key == "InvokedBefore":
            met = at <= datetime.fromisoformat(value)
        else:
            raise operations.error("InvalidFilterKey", f"The filter key {key} is not valid.")
        if not met:
            return False
    return True


def _list_command_invocations(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    found = [
        _invocation(command, invocation, details=bool(asked.get("Details")))
        for command, invocations in _selected(response, asked)
        for known, invocation in invocations.items()
        if asked.get("InstanceId") in (None, known)
    ]
    return _paged("CommandInvocations", [item for item in found if _passes(item, asked)], asked)


def _invocation(
    command: Mapping[str, Any], invocation: Mapping[str, Any], *, details: bool
) -> dict[str, Any]:
    status = _status(command, invocation)
    run = _run(command, invocation)
    plugin = {
        "Name": run["PluginName"],
        "Status": status,
        "StatusDetails": _details(invocation, status),
        "ResponseCode": run["ResponseCode"],
        "Output": (run["StandardOutputContent"] + run["StandardErrorContent"])[:_SHORT_OUTPUT],
    }
    return {
        "CommandId": command["CommandId"],
        "InstanceId": invocation["instance"].id,
        "Comment": command["Comment"],
        "DocumentName": command["DocumentName"],
        "DocumentVersion": command["DocumentVersion"],
        "RequestedDateTime": command["RequestedDateTime"],
        "Status": status,
        "StatusDetails": _details(invocation, status),
        "CommandPlugins": [plugin] if details else [],
    }


def _run(command: Mapping[str, Any], invocation: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent says of its run, as GetCommandInvocation has it."""
    status, output = _status(command, invocation), invocation["output"]
    ended = status in ("Success", "Failed") or (status == "TimedOut" and invocation["delivered"])
    began = command["RequestedDateTime"]
    powershell = command["DocumentName"].endswith("PowerShellScript")
    return {
        "PluginName": f"aws:run{'PowerShell' if powershell else 'Shell'}Script",
        # "ResponseCode … -1" while there is none (GetCommandInvocation).
        "ResponseCode": {"Success": 0, "Failed": 1}.get(status, -1),
        "StandardOutputContent": output.stdout if ended else "",
        "StandardErrorContent": output.stderr if ended else "",
        "ExecutionStartDateTime": began.isoformat() if invocation["delivered"] else "",
        "ExecutionElapsedTime": f"PT{output.seconds:g}S" if ended else "",
        "ExecutionEndDateTime": (
            (began + timedelta(seconds=output.seconds)).isoformat() if ended else ""
        ),
    }


def _get_command_invocation(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    command, invocations = _commands(response.ssm_backend).get(asked["CommandId"], ({}, {}))
    invocation = invocations.get(asked["InstanceId"])
    if invocation is not None:
        invocation["reads"] += 1
    # "The command ID and managed node ID you specified didn't match any invocations"
    # (InvocationDoesNotExist); so it is for a moment after the command was sent, too.
    if invocation is None or invocation["reads"] <= invocation["output"].unknown_at_first:
        raise operations.error("InvocationDoesNotExist", "")
    run = _run(command, invocation)
    status = _status(command, invocation)
    return {
        **run,
        "CommandId": command["CommandId"],
        "InstanceId": asked["InstanceId"],
        "Comment": command["Comment"],
        "DocumentName": command["DocumentName"],
        "DocumentVersion": command["DocumentVersion"],
        "Status": status,
        "StatusDetails": _details(invocation, status),
        "StandardOutputContent": run["StandardOutputContent"][:_OUTPUT],
        "StandardErrorContent": run["StandardErrorContent"][:_OUTPUT],
    }


def _cancel_command(response: Any, asked: dict[str, Any]) -> None:
    known = _commands(response.ssm_backend)
    if asked["CommandId"] not in known:
        raise operations.error("InvalidCommandId", "")
    command, invocations = known[asked["CommandId"]]
    for instance_id in asked.get("InstanceIds") or invocations:
        if instance_id not in invocations:
            raise operations.error("InvalidInstanceId", f"{instance_id} does not run the command.")
        invocation = invocations[instance_id]
        if _status(command, invocation) not in _DONE:
            invocation["cancelled"] = datetime.now(UTC)


def _start_session(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    target = asked["Target"]
    if _ping_status(_instances(response).get(target)) != "Online":
        raise operations.error("TargetNotConnected", f"{target} is not connected.")
    session = {
        "SessionId": f"session-{mock_random.get_random_hex(17)}",
        "Target": target,
        "Status": "Connected",
        "StartDate": datetime.now(UTC),
        "DocumentName": asked.get("DocumentName", "SSM-SessionManagerRunShell"),
        "Owner": f"arn:aws:iam::{response.current_account}:root",
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
    return _paged("Sessions", found, asked)


def _terminate_session(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    session = _sessions(response).get(asked["SessionId"])
    if session is None:
        raise operations.error("DoesNotExistException", "The session does not exist.")
    if session["Status"] != "Terminated":
        session |= {"Status": "Terminated", "EndDate": datetime.now(UTC)}
    return {"SessionId": session["SessionId"]}


def _sessions(response: Any) -> dict[str, dict[str, Any]]:
    sessions: dict[str, dict[str, Any]]
    sessions = response.ssm_backend.__dict__.setdefault("sessions_by_id", {})
    return sessions


def _paged(name: str, items: list[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    found, following = operations.page(
        items,
        asked.get("MaxResults") or _PAGE,
        asked.get("NextToken"),
        bad_token=operations.error("InvalidNextToken", "The specified token is not valid."),
    )
    return {name: found, **({"NextToken": following} if following else {})}
