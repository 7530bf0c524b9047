"""What EC2 hands out as evidence without touching the instance: console, traffic, flow logs."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_EVERYWHERE = "0.0.0.0/0"


@check("ec2", "the console of an instance")
def _console(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim
    answer = seen.done("GetConsoleOutput", lambda: ec2.get_console_output(InstanceId=victim)) or {}
    seen.holds("the console's output is text", bool(answer.get("Output")), answer.get("Output"))
    answer = (
        seen.done("GetConsoleScreenshot", lambda: ec2.get_console_screenshot(InstanceId=victim))
        or {}
    )
    image = answer.get("ImageData", "")
    # What base64 makes of the first bytes of every JPEG, FF D8 FF.
    seen.holds("the console's picture is a JPEG", image.startswith("/9j/"), image[:20])
    ec2.stop_instances(InstanceIds=[victim])
    seen.refused(
        "a picture of the console of a stopped instance",
        ("IncorrectInstanceState", "IncorrectState"),
        lambda: ec2.get_console_screenshot(InstanceId=victim),
    )


@check("ec2", "traffic mirrors")
def _mirrors(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    interfaces = account.instance(account.ids.victim)["NetworkInterfaces"]
    source = interfaces[0]["NetworkInterfaceId"]
    # Of an instance of its own: an interface is a source or a target, never both.
    monitor = account.instance(account.launch())["NetworkInterfaces"][0]["NetworkInterfaceId"]
    target = seen.done(
        "CreateTrafficMirrorTarget",
        lambda: ec2.create_traffic_mirror_target(NetworkInterfaceId=monitor)["TrafficMirrorTarget"][
            "TrafficMirrorTargetId"
        ],
    )
    mirror_filter = seen.done(
        "CreateTrafficMirrorFilter",
        lambda: ec2.create_traffic_mirror_filter()["TrafficMirrorFilter"]["TrafficMirrorFilterId"],
    )

    def rule(number: int = 1, of: str = mirror_filter) -> Any:
        return ec2.create_traffic_mirror_filter_rule(
            TrafficMirrorFilterId=of,
            TrafficDirection="ingress",
            RuleNumber=number,
            RuleAction="accept",
            DestinationCidrBlock=_EVERYWHERE,
            SourceCidrBlock=_EVERYWHERE,
        )

    def session(interface: str, number: int = 1) -> Any:
        return ec2.create_traffic_mirror_session(
            NetworkInterfaceId=interface,
            TrafficMirrorTargetId=target,
            TrafficMirrorFilterId=mirror_filter,
            SessionNumber=number,
        )["TrafficMirrorSession"]

    made = seen.done("CreateTrafficMirrorFilterRule", rule)
    filters = ec2.describe_traffic_mirror_filters()["TrafficMirrorFilters"]
    numbers = [item["RuleNumber"] for item in filters[0].get("IngressFilterRules", [])]
    seen.holds("a filter shows its rules", numbers == [1], (numbers, made))
    seen.refused("two rules of one number", "TrafficMirrorFilterRuleAlreadyExists", rule)
    seen.refused(
        "a rule of an unknown filter",
        ("InvalidTrafficMirrorFilterId.NotFound", "InvalidTrafficMirrorFilterNotFound"),
        lambda: rule(of="tmf-00000000000000000"),
    )
    seen.done("CreateTrafficMirrorSession", lambda: session(source))
    seen.refused(
        "mirroring the interface that is the target",
        "InterfaceInUseByTrafficMirrorTarget",
        lambda: session(monitor),
    )
    sessions = seen.done(
        "DescribeTrafficMirrorSessions",
        lambda: ec2.describe_traffic_mirror_sessions()["TrafficMirrorSessions"],
    )
    mirrored = [item["NetworkInterfaceId"] for item in sessions or []]
    seen.holds("a session says what is mirrored", mirrored == [source], mirrored)


@check(
    "ec2",
    "flow logs",
    known={
        "records are delivered": Known(
            "logs:DescribeLogStreams", "connections are simulated, their packets are not"
        )
    },
)
def _flow_logs(account: Account, seen: Verdicts) -> None:
    ec2, logs, s3 = account("ec2"), account("logs"), account("s3")
    logs.create_log_group(logGroupName="/flows")
    made = ec2.create_flow_logs(
        ResourceIds=[account.ids.vpc],
        ResourceType="VPC",
        TrafficType="ALL",
        LogGroupName="/flows",
        DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT_ID}:role/app-role",
    )
    seen.holds(
        "a flow log of a VPC is created",
        len(made["FlowLogIds"]) == 1 and not made.get("Unsuccessful"),
        made.get("Unsuccessful"),
    )
    found = ec2.describe_flow_logs()["FlowLogs"]
    seen.holds("a flow log is described", len(found) == 1, len(found))
    s3.create_bucket(Bucket="flows-of-the-victim")
    interface = account.instance(account.ids.victim)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    seen.done(
        "a flow log of an interface goes to a bucket",
        lambda: ec2.create_flow_logs(
            ResourceIds=[interface],
            ResourceType="NetworkInterface",
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination="arn:aws:s3:::flows-of-the-victim",
        ),
    )
    streams = logs.describe_log_streams(logGroupName="/flows")["logStreams"]
    seen.holds("records are delivered", len(streams) > 0, "never any")
    seen.done("a flow log is deleted", lambda: ec2.delete_flow_logs(FlowLogIds=made["FlowLogIds"]))
