"""Systems Manager's commands: they run where the agent is reached, and say what was scripted."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.gameday.aws import operations, simulated_time
from flows.gameday.aws.ssm import instances_of, paged, ping_status, platform_of

# "The first 24,000 characters written by the plugin to stdout" (GetCommandInvocation); and the
# longest CommandPluginOutput.
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
# The worst first: so a command ends ("Understanding command statuses").
_DONE = ("Cancelled", "TimedOut", "Failed", "Success")


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


@dataclass
class _Invocation:
    """A command on one instance."""

    instance_id: str
    output: CommandOutput
    sent: datetime
    timeout: timedelta
    delivered: bool
    cancelled: bool = False
    reads: int = 0

    @property
    def status(self) -> str:
        passed = simulated_time.now() - self.sent
        if self.cancelled:
            return "Cancelled"
        if not self.delivered:
            # What isn't delivered in time is never run (Systems Manager User Guide, "Understanding
            # command statuses": Delivery Timed Out).
            return "Pending" if passed < self.timeout else "TimedOut"
        if passed < timedelta(seconds=self.output.seconds):
            return "InProgress"
        return str(self.output.status)

    @property
    def details(self) -> str:
        if self.status == "TimedOut":
            return "ExecutionTimedOut" if self.delivered else "DeliveryTimedOut"
        return self.status

    @property
    def ended(self) -> datetime | None:
        """When its run ended; None while it runs, and where it never did or was cancelled."""
        if not self.delivered or self.status not in ("Success", "Failed", "TimedOut"):
            return None
        return self.sent + timedelta(seconds=self.output.seconds)

    @property
    def response_code(self) -> int:
        # "ResponseCode … -1" while there is none (GetCommandInvocation).
        return {"Success": 0, "Failed": 1}.get(self.status, -1)

    @property
    def stdout(self) -> str:
        return self.output.stdout if self.ended else ""

    @property
    def stderr(self) -> str:
        return self.output.stderr if self.ended else ""


@dataclass
class _Command:
    """A command that was sent: ``asked`` are the parameters of SendCommand."""

    id: str
    asked: Mapping[str, Any]
    sent: datetime
    timeout: timedelta
    invocations: dict[str, _Invocation]

    @property
    def document(self) -> str:
        return str(self.asked["DocumentName"])

    @property
    def status(self) -> str:
        statuses = {invocation.status for invocation in self.invocations.values()}
        if statuses - {*_DONE}:
            return "Pending" if statuses == {"Pending"} else "InProgress"
        return next((status for status in _DONE if status in statuses), "Success")

    @property
    def common(self) -> dict[str, Any]:
        """What every answer about it says."""
        return {
            "CommandId": self.id,
            "Comment": self.asked.get("Comment", ""),
            "DocumentName": self.document,
            "DocumentVersion": self.asked.get("DocumentVersion", "$DEFAULT"),
        }

    def to_answer(self) -> dict[str, Any]:
        """As ListCommands has it."""
        statuses = [invocation.status for invocation in self.invocations.values()]
        return {
            **self.common,
            "Parameters": self.asked.get("Parameters", {}),
            "InstanceIds": self.asked.get("InstanceIds") or [],
            "Targets": self.asked.get("Targets") or [],
            "RequestedDateTime": self.sent,
            "ExpiresAfter": self.sent + self.timeout,
            "TimeoutSeconds": int(self.timeout.total_seconds()),
            "OutputS3BucketName": self.asked.get("OutputS3BucketName", ""),
            "OutputS3KeyPrefix": self.asked.get("OutputS3KeyPrefix", ""),
            "MaxConcurrency": self.asked.get("MaxConcurrency", "50"),
            "MaxErrors": self.asked.get("MaxErrors", "0"),
            "ServiceRole": self.asked.get("ServiceRoleArn", ""),
            "Status": self.status,
            "StatusDetails": self.status if statuses else "NoInstancesInTag",
            "TargetCount": len(statuses),
            "CompletedCount": sum(status in _DONE for status in statuses),
            "ErrorCount": statuses.count("Failed"),
            "DeliveryTimedOutCount": sum(
                invocation.details == "DeliveryTimedOut" for invocation in self.invocations.values()
            ),
        }


def correct() -> None:
    """Have commands take time, reach managed instances only, and say what was scripted."""
    from moto.ssm.responses import SimpleSystemManagerResponse

    operations.add(
        SimpleSystemManagerResponse,
        {
            "SendCommand": _send_command,
            "ListCommands": _list_commands,
            "ListCommandInvocations": _list_command_invocations,
            "GetCommandInvocation": _get_command_invocation,
            "CancelCommand": _cancel_command,
        },
    )


def _send_command(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    backend, document = response.ssm_backend, asked["DocumentName"]
    platform = _needed_platform(backend, document)
    instances = instances_of(response)
    ids = list(dict.fromkeys(asked.get("InstanceIds") or []))
    # "SSM Agent isn't registered", "isn't in a valid state" (InvalidInstanceId).
    unmanaged = [known for known in ids if ping_status(instances.get(known)) is None]
    if unmanaged:
        raise operations.error(
            "InvalidInstanceId",
            f"Instances [[{', '.join(unmanaged)}]] not in a valid state for account "
            f"{response.current_account}",
        )
    ids += [known for known in _targeted(instances, asked.get("Targets") or []) if known not in ids]
    if platform is not None and any(platform_of(instances[known]) != platform for known in ids):
        raise operations.error(
            "UnsupportedPlatformType", f"The document {document} is for {platform} only."
        )
    sent = simulated_time.now()
    timeout = timedelta(seconds=asked.get("TimeoutSeconds", _TIMEOUT_SECONDS))
    invocations = {
        known: _Invocation(
            known,
            OUTPUTS.of(document, known, asked.get("Parameters", {})),
            sent,
            timeout,
            delivered=ping_status(instances[known]) == "Online",
        )
        for known in ids
    }
    command = _Command(str(mock_random.uuid4()), asked, sent, timeout, invocations)
    _commands(backend)[command.id] = command
    # The answer always says Pending; where it stands is for ListCommands to say.
    return {"Command": {**command.to_answer(), "Status": "Pending", "StatusDetails": "Pending"}}


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
        if ping_status(instance) is not None and all(
            known in values
            if key.lower() == "instanceids"
            else tags.get(key.removeprefix("tag:")) in values
            for key, values in wanted.items()
        ):
            found.append(known)
    return found


def _commands(backend: Any) -> dict[str, _Command]:
    """The commands of an account and Region by id, oldest first."""
    kept: dict[str, _Command] = backend.__dict__.setdefault("commands_by_id", {})
    return kept


def _selected(response: Any, asked: Mapping[str, Any]) -> list[_Command]:
    """The commands that the call asks for, newest first."""
    known, wanted = _commands(response.ssm_backend), asked.get("CommandId")
    if wanted is not None and wanted not in known:
        raise operations.error("InvalidCommandId", f"The command {wanted} does not exist.")
    instance_id = asked.get("InstanceId")
    if instance_id is not None and instance_id not in instances_of(response):
        raise operations.error("InvalidInstanceId", f"The instance {instance_id} does not exist.")
    return [
        command
        for command in reversed(known.values())
        if wanted in (None, command.id) and (not instance_id or instance_id in command.invocations)
    ]


def _list_commands(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    found = [command.to_answer() for command in _selected(response, asked)]
    return paged("Commands", [item for item in found if _passes(item, asked)], asked)


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
        _listed(command, invocation, details=bool(asked.get("Details")))
        for command in _selected(response, asked)
        for invocation in command.invocations.values()
        if asked.get("InstanceId") in (None, invocation.instance_id)
    ]
    return paged("CommandInvocations", [item for item in found if _passes(item, asked)], asked)


def _listed(command: _Command, invocation: _Invocation, *, details: bool) -> dict[str, Any]:
    plugin = {
        "Name": _plugin(command),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.response_code,
        "Output": (invocation.stdout + invocation.stderr)[:_SHORT_OUTPUT],
    }
    return {
        **command.common,
        "InstanceId": invocation.instance_id,
        "RequestedDateTime": command.sent,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [plugin] if details else [],
    }


def _plugin(command: _Command) -> str:
    powershell = command.document.endswith("PowerShellScript")
    return f"aws:run{'PowerShell' if powershell else 'Shell'}Script"


def _get_command_invocation(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    command = _commands(response.ssm_backend).get(asked["CommandId"])
    invocation = command.invocations.get(asked["InstanceId"]) if command is not None else None
    if invocation is not None:
        invocation.reads += 1
    # "The command ID and managed node ID you specified didn't match any invocations"
    # (InvocationDoesNotExist); so it is for a moment after the command was sent, too.
    unknown = invocation is None or invocation.reads <= invocation.output.unknown_at_first
    if command is None or invocation is None or unknown:
        raise operations.error("InvocationDoesNotExist", "")
    ended = invocation.ended
    return {
        **command.common,
        "InstanceId": invocation.instance_id,
        "PluginName": _plugin(command),
        "ResponseCode": invocation.response_code,
        "ExecutionStartDateTime": command.sent.isoformat() if invocation.delivered else "",
        "ExecutionElapsedTime": f"PT{invocation.output.seconds:g}S" if ended else "",
        "ExecutionEndDateTime": ended.isoformat() if ended else "",
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "StandardOutputContent": invocation.stdout[:_OUTPUT],
        "StandardErrorContent": invocation.stderr[:_OUTPUT],
    }


def _cancel_command(response: Any, asked: dict[str, Any]) -> None:
    command = _commands(response.ssm_backend).get(asked["CommandId"])
    if command is None:
        raise operations.error("InvalidCommandId", "")
    for instance_id in asked.get("InstanceIds") or command.invocations:
        invocation = command.invocations.get(instance_id)
        if invocation is None:
            raise operations.error("InvalidInstanceId", f"{instance_id} does not run the command.")
        # What ended stays as it is: "There is no guarantee that the command will be terminated".
        if invocation.status not in _DONE:
            invocation.cancelled = True
