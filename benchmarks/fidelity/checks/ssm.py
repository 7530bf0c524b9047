"""Systems Manager: managed instances, commands, sessions, parameters and documents."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_NO_AUTOMATION = "Clampdown runs no Automation documents"


@check("ssm", "commands")
def _commands(account: Account, seen: Verdicts) -> None:
    ssm, victim = account("ssm"), account.ids.victim
    managed = seen.done(
        "managed instances are described",
        lambda: ssm.describe_instance_information()["InstanceInformationList"],
    )
    seen.holds(
        "an instance with the agent and a profile is among them",
        any(item["InstanceId"] == victim for item in managed or []),
        managed,
    )

    def send(instance: str = victim, document: str = "AWS-RunShellScript") -> Any:
        return ssm.send_command(
            InstanceIds=[instance], DocumentName=document, Parameters={"commands": ["id"]}
        )["Command"]

    command = seen.done("a command is sent", send)
    if command is None:
        return
    status = command["Status"]
    seen.holds("it is pending at first", status in ("Pending", "InProgress"), status)
    named = {"CommandId": command["CommandId"], "InstanceId": victim}
    seen.done(
        "it can be waited for",
        lambda: ssm.get_waiter("command_executed").wait(
            **named, WaiterConfig={"Delay": 1, "MaxAttempts": 5}
        ),
    )
    # What a command prints is the instance's, and no rule of AWS.
    invocation = seen.done("its invocation is read", lambda: ssm.get_command_invocation(**named))
    ended = {name: (invocation or {}).get(name) for name in ("Status", "ResponseCode")}
    seen.holds(
        "a success has the response code 0",
        ended == {"Status": "Success", "ResponseCode": 0},
        ended,
    )
    invocations = seen.done(
        "its invocations are listed",
        lambda: ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"],
    )
    listed = [item["InstanceId"] for item in invocations or []]
    seen.holds("one for each instance", listed == [victim], listed)
    commands = seen.done("commands are listed", lambda: ssm.list_commands()["Commands"])
    ids = [item["CommandId"] for item in commands or []]
    seen.holds("with those that were sent", ids == [command["CommandId"]], ids)
    seen.done("a command is cancelled", lambda: ssm.cancel_command(CommandId=command["CommandId"]))
    seen.refused(
        "a command for an unknown instance",
        "InvalidInstanceId",
        lambda: send("i-00000000000000000"),
    )
    seen.refused(
        "an unknown document", "InvalidDocument", lambda: send(document="No-Such-Document")
    )
    seen.refused(
        "the invocation of an unknown command",
        "InvocationDoesNotExist",
        lambda: ssm.get_command_invocation(CommandId="0" * 36, InstanceId=victim),
    )


@check(
    "ssm",
    "automation, sessions and inventory",
    known={
        "an automation is started": Known("ssm:StartAutomationExecution", _NO_AUTOMATION),
        "automations are described": Known("ssm:DescribeAutomationExecutions", _NO_AUTOMATION),
        "the inventory is read": Known("ssm:GetInventory", "nothing collects an inventory"),
        "an OpsItem is created": Known("ssm:CreateOpsItem", "Clampdown has incidents of its own"),
    },
)
def _automation(account: Account, seen: Verdicts) -> None:
    ssm, victim = account("ssm"), account.ids.victim
    seen.done(
        "an automation is started",
        lambda: ssm.start_automation_execution(
            DocumentName="AWS-StopEC2Instance", Parameters={"InstanceId": [victim]}
        ),
    )
    seen.done("automations are described", ssm.describe_automation_executions)
    session = seen.done("a session is started", lambda: ssm.start_session(Target=victim)) or {}
    active = seen.done(
        "sessions are described", lambda: ssm.describe_sessions(State="Active")["Sessions"]
    )
    seen.holds("with those that are active", len(active or []) == 1, active)
    seen.done(
        "a session is terminated",
        lambda: ssm.terminate_session(SessionId=session.get("SessionId", "s")),
    )
    seen.done("the inventory is read", ssm.get_inventory)
    seen.done(
        "a document is created",
        lambda: ssm.create_document(
            Name="Contain",
            DocumentType="Automation",
            DocumentFormat="JSON",
            Content=json.dumps({"schemaVersion": "0.3", "mainSteps": []}),
        ),
    )
    seen.done(
        "an OpsItem is created",
        lambda: ssm.create_ops_item(Description="d", Source="s", Title="t"),
    )


@check("ssm", "parameters")
def _parameters(account: Account, seen: Verdicts) -> None:
    ssm, name = account("ssm"), "/ir/a"
    ssm.put_parameter(Name=name, Value="1", Type="String")
    seen.refused(
        "a parameter that exists, without Overwrite",
        "ParameterAlreadyExists",
        lambda: ssm.put_parameter(Name=name, Value="2", Type="String"),
    )
    ssm.put_parameter(
        Name=name, Value="2", Type="SecureString", KeyId=account.ids.key, Overwrite=True
    )
    value = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    seen.holds("a secure string is read encrypted", value != "2", value)
    value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    seen.holds("and decrypted if asked", value == "2", value)
    history = ssm.get_parameter_history(Name=name)["Parameters"]
    seen.holds("its history has each value", len(history) == 2, len(history))
    found = ssm.get_parameters_by_path(Path="/ir", Recursive=True)["Parameters"]
    seen.holds("parameters are found by path", len(found) == 1, found)
    seen.done(
        "AWS publishes the newest image of Amazon Linux",
        lambda: ssm.get_parameter(
            Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        ),
    )
