"""Auto Scaling groups: what they are made of, and instances that are detached and attached."""

from __future__ import annotations

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.autoscaling_groups import Group, balanced, tags, targets
from benchmarks.fidelity.verdicts import Verdicts, check

_NAME = "aws:autoscaling:groupName"
_NOBODY = "i-00000000000000000"


@check("autoscaling", "groups and their instances")
def _groups(account: Account, seen: Verdicts) -> None:
    autoscaling, ids = account("autoscaling"), account.ids
    found = autoscaling.describe_auto_scaling_instances(InstanceIds=[ids.members[0]])
    described = [
        (item["AutoScalingGroupName"], item["LifecycleState"])
        for item in found["AutoScalingInstances"]
    ]
    seen.holds("a member is found with its group", described == [("asg", "InService")], described)
    alone = autoscaling.describe_auto_scaling_instances(InstanceIds=[ids.victim])
    seen.holds("an instance of no group is found in none", not alone["AutoScalingInstances"])
    seen.refused(
        "more than 50 instances at once",
        "ValidationError",
        lambda: autoscaling.describe_auto_scaling_instances(
            InstanceIds=[f"i-{number:017d}" for number in range(60)]
        ),
    )

    member, labels = account.instance(ids.members[0]), tags(account, ids.members[0])
    seen.holds("a member has the group's name as a tag", labels.get(_NAME) == "asg", labels)
    seen.holds("tags are propagated at launch", labels.get("Name") == "asg-node", labels)
    seen.holds("the launch template's tags are set", labels.get("tier") == "app", labels)
    seen.holds("the launch template's instance profile is set", "IamInstanceProfile" in member)
    groups = [group["GroupId"] for group in member["SecurityGroups"]]
    seen.holds("the launch template's groups are set", groups == [ids.app_group], groups)
    subnets = {account.instance(name)["SubnetId"] for name in ids.members}
    seen.holds("members are spread over the subnets", subnets == set(ids.subnets), subnets)
    registered = targets(account, ids.instance_targets)
    seen.holds(
        "members are in the group's target group", registered == set(ids.members), registered
    )
    seen.holds(
        "members are in the group's classic load balancer",
        balanced(account) == set(ids.members),
        balanced(account),
    )
    seen.holds(
        "without one a group has no grace period",
        Group.made(account, least=0, desired=0).described["HealthCheckGracePeriod"] == 0,
    )


@check("autoscaling", "detaching an instance that is replaced")
def _detached(account: Account, seen: Verdicts) -> None:
    group, victim = Group(account), account.ids.members[0]
    activity = group.detach(victim)["Activities"][0]
    seen.holds("detaching has begun", activity["StatusCode"] == "InProgress", activity)
    members = set(group.members)
    new = members - set(account.ids.members)
    seen.holds("the desired capacity stays", group.desired == 3, group.desired)
    seen.holds("the instance is no member any more", victim not in members)
    seen.holds("one new instance is launched", len(members) == 3 and len(new) == 1, new)
    registered = targets(account, account.ids.instance_targets)
    seen.holds("the instance leaves the target group", victim not in registered)
    seen.holds("the instance leaves the classic load balancer", victim not in balanced(account))
    seen.holds("the new one is registered", bool(new) and new <= registered, registered)
    labels = tags(account, victim)
    seen.holds("the group's name is no tag any more", _NAME not in labels, labels)
    seen.holds("other tags stay", labels.get("Name") == "asg-node", labels)
    seen.holds("it still runs", account.instance(victim)["State"]["Name"] == "running")
    listed = seen.done("scaling activities can be listed", lambda: group.activities)
    descriptions = [item["Description"] for item in listed or []]
    seen.holds(
        "the detachment is among the scaling activities",
        f"Detaching EC2 instance: {victim}" in descriptions,
        descriptions,
    )


@check("autoscaling", "detaching and the size of the group")
def _detached_for_good(account: Account, seen: Verdicts) -> None:
    standalone = account.ids.victim
    group = Group.made(account, least=2, desired=3, TargetGroupARNs=[account.ids.network_targets])
    first, second, _ = group.members
    group.detach(first, decrement=True)
    seen.holds("the desired capacity goes down", group.desired == 2, group.desired)
    seen.holds("there is no replacement", len(group.members) == 2, group.members)
    seen.holds(
        "the target of a Network Load Balancer is deregistered",
        first not in targets(account, account.ids.network_targets),
    )
    seen.refused(
        "detaching below the minimum size",
        "ValidationError",
        lambda: group.detach(second, decrement=True),
    )
    seen.refused(
        "detaching what is not in the group", "ValidationError", lambda: group.detach(standalone)
    )
    seen.refused(
        "detaching from an unknown group",
        "ValidationError",
        lambda: Group(account, "nope").detach(standalone),
    )


@check("autoscaling", "attaching instances")
def _attached(account: Account, seen: Verdicts) -> None:
    group = Group.made(account, least=1, desired=1, most=2)

    def attach(instance: str) -> None:
        group.call("attach_instances", InstanceIds=[instance])

    new = account.launch(second_interface=False)
    attach(new)
    seen.holds("the desired capacity goes up", group.desired == 2, group.desired)
    seen.holds("the instance is a member", new in group.members)
    seen.refused("above the maximum size", "ValidationError", lambda: attach(account.ids.victim))
    stopped = account.launch()
    account("ec2").stop_instances(InstanceIds=[stopped])
    group.call("update_auto_scaling_group", MaxSize=5)
    seen.refused("a stopped instance", "ValidationError", lambda: attach(stopped))
    seen.refused("an unknown instance", "ValidationError", lambda: attach(_NOBODY))
    seen.refused(
        "an instance of another group", "ValidationError", lambda: attach(account.ids.members[0])
    )


@check("autoscaling", "standby")
def _standby(account: Account, seen: Verdicts) -> None:
    group = Group.made(account, least=1, desired=2, TargetGroupARNs=[account.ids.instance_targets])
    victim = next(iter(group.members))
    group.enter_standby(victim, decrement=True)
    state = group.states.get(victim)
    seen.holds("the instance is in standby, in the group", state == "Standby", state)
    seen.holds("the desired capacity goes down", group.desired == 1, group.desired)
    seen.holds(
        "it leaves the target group", victim not in targets(account, account.ids.instance_targets)
    )
    group.call("exit_standby", InstanceIds=[victim])
    seen.holds("out of standby the desired capacity goes up", group.desired == 2, group.desired)
    back = set(group.states.values())
    seen.holds("out of standby it is in service", back == {"InService"}, group.states)
    seen.holds(
        "out of standby it is a target again",
        victim in targets(account, account.ids.instance_targets),
    )
    group.enter_standby(victim, decrement=False)
    in_service = list(group.states.values()).count("InService")
    seen.holds("without decrement it is replaced", in_service == 2, group.states)
    seen.refused(
        "standby of what is not in the group",
        "ValidationError",
        lambda: group.enter_standby(account.ids.victim, decrement=True),
    )
