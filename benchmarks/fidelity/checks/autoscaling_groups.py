"""One Auto Scaling group of the account, and the instances that its load balancers have."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account


class Group:
    """A group by its name; ``asg`` is there from the start."""

    def __init__(self, account: Account, name: str = "asg") -> None:
        self.name = name
        self.api = account("autoscaling")

    @classmethod
    def made(cls, account: Account, least: int, desired: int, most: int = 6, **more: Any) -> Group:
        """A second group, ``more``, in the same subnets; ``more`` are further parameters."""
        group = cls(account, "more")
        group.call(
            "create_auto_scaling_group",
            MinSize=least,
            MaxSize=most,
            DesiredCapacity=desired,
            **{
                "VPCZoneIdentifier": ",".join(account.ids.subnets),
                "LaunchTemplate": {
                    "LaunchTemplateId": account.ids.launch_template,
                    "Version": "$Latest",
                },
                **more,
            },
        )
        return group

    @property
    def described(self) -> dict[str, Any]:
        answer = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        described: dict[str, Any] = answer["AutoScalingGroups"][0]
        return described

    @property
    def members(self) -> dict[str, dict[str, Any]]:
        return {member["InstanceId"]: member for member in self.described["Instances"]}

    @property
    def states(self) -> dict[str, str]:
        """The lifecycle states of its members."""
        return {name: member["LifecycleState"] for name, member in self.members.items()}

    @property
    def desired(self) -> int:
        return int(self.described["DesiredCapacity"])

    @property
    def activities(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("describe_scaling_activities")["Activities"]
        return found

    def call(self, operation: str, **parameters: Any) -> Any:
        return getattr(self.api, operation)(AutoScalingGroupName=self.name, **parameters)

    def detach(self, *instances: str, decrement: bool = False) -> Any:
        return self.call(
            "detach_instances",
            InstanceIds=list(instances),
            ShouldDecrementDesiredCapacity=decrement,
        )

    def enter_standby(self, *instances: str, decrement: bool) -> Any:
        return self.call(
            "enter_standby",
            InstanceIds=list(instances),
            ShouldDecrementDesiredCapacity=decrement,
        )


def targets(account: Account, group: str) -> set[str]:
    """The targets of a target group that aren't on their way out."""
    answer = account("elbv2").describe_target_health(TargetGroupArn=group)
    return {
        item["Target"]["Id"]
        for item in answer["TargetHealthDescriptions"]
        if item["TargetHealth"]["State"] != "draining"
    }


def balanced(account: Account) -> set[str]:
    """The instances of the classic load balancer."""
    answer = account("elb").describe_load_balancers(LoadBalancerNames=["clb"])
    return {item["InstanceId"] for item in answer["LoadBalancerDescriptions"][0]["Instances"]}


def tags(account: Account, instance_id: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in account.instance(instance_id).get("Tags", [])}
