"""Auto Scaling by itself: suspended processes, protection, health checks, hooks, activities."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.autoscaling_groups import Group
from benchmarks.fidelity.verdicts import Known, Verdicts, check
from benchmarks.fidelity.waiting import LONG, SHORT, until


@check("autoscaling", "suspended processes and scale-in protection")
def _suspended(account: Account, seen: Verdicts) -> None:
    group = Group.made(account, least=1, desired=2)
    processes = ["Launch", "Terminate", "ReplaceUnhealthy"]
    group.call("suspend_processes", ScalingProcesses=processes)
    suspended = {item["ProcessName"] for item in group.described["SuspendedProcesses"]}
    seen.holds("suspended processes are listed", suspended == set(processes), suspended)
    group.detach(next(iter(group.members)))
    seen.holds("while Launch is suspended nothing is launched", len(group.members) == 1)
    group.call("resume_processes")
    seen.holds("resumed, the group gets its size back", len(group.members) == 2, group.members)
    spared = next(iter(group.members))
    group.call("set_instance_protection", InstanceIds=[spared], ProtectedFromScaleIn=True)
    seen.holds("protection is seen", group.members[spared]["ProtectedFromScaleIn"])
    group.call("set_desired_capacity", DesiredCapacity=1)
    left = list(group.members)
    seen.holds("scaling in spares what is protected", left == [spared], left)
    seen.refused(
        "a desired capacity above the maximum",
        "ValidationError",
        lambda: group.call("set_desired_capacity", DesiredCapacity=100),
    )


@check("autoscaling", "unhealthy members")
def _unhealthy(account: Account, seen: Verdicts) -> None:
    account.configure(health_seconds=SHORT)
    ec2, group = account("ec2"), Group.made(account, least=1, desired=2)

    def replaced(victim: str) -> bool:
        return until(lambda: victim not in group.members and len(group.members) == 2)

    first, second = group.members
    ec2.stop_instances(InstanceIds=[first])
    seen.holds("a stopped member is replaced", replaced(first), group.members)
    seen.holds(
        "a stopped member is terminated, not merely let go",
        account.instance(first)["State"]["Name"] in ("shutting-down", "terminated"),
    )
    ec2.terminate_instances(InstanceIds=[second])
    seen.holds("a member that somebody terminates is replaced", replaced(second), group.members)
    third = next(iter(group.members))
    seen.done(
        "a member's health can be set",
        lambda: group.api.set_instance_health(InstanceId=third, HealthStatus="Unhealthy"),
    )
    seen.holds("a member that is said to be unhealthy is replaced", replaced(third))


@check("autoscaling", "the health check grace period")
def _grace(account: Account, seen: Verdicts) -> None:
    account.configure(health_seconds=0.01, grace_seconds=LONG)
    ec2 = account("ec2")
    group = Group.made(
        account,
        least=1,
        desired=1,
        HealthCheckType="ELB",
        HealthCheckGracePeriod=300,
        TargetGroupARNs=[account.ids.instance_targets],
    )
    isolated = ec2.create_security_group(
        GroupName="isolated", Description="no rule lets anything in", VpcId=account.ids.vpc
    )["GroupId"]

    def isolate(member: str) -> None:
        interface = account.instance(member)["NetworkInterfaces"][0]["NetworkInterfaceId"]
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[isolated])

    def replaced(member: str, seconds: float = 3.0) -> bool:
        return until(lambda: group.members.keys().isdisjoint({member}), seconds)

    (first,) = group.members
    isolate(first)
    seen.holds(
        "within it the load balancer's health check replaces nobody", not replaced(first, 0.1)
    )
    account.configure(grace_seconds=SHORT)
    ec2.stop_instances(InstanceIds=[first])
    seen.holds("within it what doesn't run is replaced all the same", replaced(first))
    (second,) = group.members
    isolate(second)
    seen.holds("after it what the load balancer can't reach is replaced", replaced(second))


@check("autoscaling", "lifecycle hooks")
def _hooks(account: Account, seen: Verdicts) -> None:
    group = Group.made(account, least=1, desired=2)
    group.call(
        "put_lifecycle_hook",
        LifecycleHookName="evidence",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=300,
    )
    hooks = group.call("describe_lifecycle_hooks")["LifecycleHooks"]
    seen.holds("a hook is listed", [item["LifecycleHookName"] for item in hooks] == ["evidence"])
    victim = next(iter(group.members))
    seen.done(
        "a member can be terminated",
        lambda: group.api.terminate_instance_in_auto_scaling_group(
            InstanceId=victim, ShouldDecrementDesiredCapacity=False
        ),
    )
    state = group.states.get(victim)
    seen.holds("the hook holds it in Terminating:Wait", state == "Terminating:Wait", state)
    asked = {"LifecycleHookName": "evidence", "InstanceId": victim}
    seen.done(
        "a heartbeat prolongs the wait",
        lambda: group.call("record_lifecycle_action_heartbeat", **asked),
    )
    seen.done(
        "the wait can be ended",
        lambda: group.call("complete_lifecycle_action", LifecycleActionResult="CONTINUE", **asked),
    )
    seen.holds("then the member is gone", until(lambda: victim not in group.members))
    seen.refused(
        "a heartbeat where nothing waits",
        "ValidationError",
        lambda: group.call("record_lifecycle_action_heartbeat", **asked),
    )


@check("autoscaling", "scaling activities")
def _activities(account: Account, seen: Verdicts) -> None:
    account.configure(health_seconds=SHORT)
    group = Group.made(account, least=0, desired=2)
    first, second = group.members
    group.detach(first)

    def found(description: str) -> dict[str, Any]:
        return next((item for item in group.activities if item["Description"] == description), {})

    detached = found(f"Detaching EC2 instance: {first}")
    seen.holds(
        "a detachment says who asked for it",
        "was detached in response to a user request" in detached.get("Cause", ""),
        detached,
    )
    seen.holds("a detachment succeeds", detached.get("StatusCode") == "Successful", detached)
    (new,) = set(group.members) - {second}
    launched = found(f"Launching a new EC2 instance: {new}")
    seen.holds(
        "a launch says what is missing",
        "difference between desired and actual capacity" in launched.get("Cause", ""),
        launched,
    )
    account("ec2").stop_instances(InstanceIds=[second])
    until(lambda: second not in group.members)
    ended = found(f"Terminating EC2 instance: {second}")
    seen.holds(
        "a replacement says which health check failed",
        "EC2 health check" in ended.get("Cause", ""),
        ended,
    )
    group.call("set_desired_capacity", DesiredCapacity=1)
    ids = [item["ActivityId"] for item in group.activities]
    seen.holds("each activity has an id of its own", len(ids) == len(set(ids)) == 7, len(ids))
    starts = [item["StartTime"] for item in group.activities]
    seen.holds("the latest comes first", starts == sorted(starts, reverse=True), starts)
    page = group.call("describe_scaling_activities", MaxRecords=2)
    seen.holds("they come in pages", len(page["Activities"]) == 2 and "NextToken" in page, page)
    one = group.call("describe_scaling_activities", ActivityIds=ids[1:2])["Activities"]
    seen.holds("one is found by its id", [item["ActivityId"] for item in one] == ids[1:2], one)


@check("autoscaling", "launches that fail")
def _failing(account: Account, seen: Verdicts) -> None:
    tiny = account("ec2").create_subnet(VpcId=account.ids.vpc, CidrBlock="10.0.9.0/28")
    group = seen.done(
        "a group is created that has not addresses enough",
        lambda: Group.made(
            account, least=0, desired=12, most=20, VPCZoneIdentifier=tiny["Subnet"]["SubnetId"]
        ),
    )
    if group is None:
        return
    seen.holds("what has an address is launched", len(group.members) == 11, len(group.members))
    failed = [item for item in group.activities if item["StatusCode"] == "Failed"]
    seen.holds(
        "the launch that fails is a scaling activity that says why",
        any("addresses" in item["StatusMessage"] for item in failed),
        failed,
    )
    victim = next(iter(group.members))
    account("ec2").terminate_instances(InstanceIds=[victim])
    seen.holds(
        "an address that becomes free is used",
        until(lambda: victim not in group.members and len(group.members) == 11),
        len(group.members),
    )


@check(
    "autoscaling",
    "instance refresh and traffic sources",
    known={
        "an instance refresh is started": Known(
            "autoscaling:StartInstanceRefresh", "no containment replaces a whole group"
        )
    },
)
def _more(account: Account, seen: Verdicts) -> None:
    group = Group(account)
    seen.done("an instance refresh is started", lambda: group.call("start_instance_refresh"))
    sources = seen.done(
        "the group's traffic sources are listed",
        lambda: group.call("describe_traffic_sources")["TrafficSources"],
    )
    seen.holds(
        "target groups and classic load balancers are traffic sources",
        {item["Identifier"] for item in sources or []} == {account.ids.instance_targets, "clb"},
        sources,
    )
