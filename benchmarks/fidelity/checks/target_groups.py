"""Target groups: what can be registered, what is said of its health, and how it leaves."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.autoscaling_groups import targets
from benchmarks.fidelity.verdicts import Verdicts, check
from benchmarks.fidelity.waiting import LONG, SHORT, until

_NOBODY = "i-00000000000000000"
_DELAY = "deregistration_delay.timeout_seconds"


class _Targets:
    """A target group of the account."""

    def __init__(self, account: Account, arn: str) -> None:
        self._elbv2, self._arn = account("elbv2"), arn

    def call(self, operation: str, **parameters: Any) -> Any:
        return getattr(self._elbv2, operation)(TargetGroupArn=self._arn, **parameters)

    def register(self, name: str, **more: Any) -> None:
        self.call("register_targets", Targets=[{"Id": name, **more}])

    def deregister(self, name: str, **more: Any) -> None:
        self.call("deregister_targets", Targets=[{"Id": name, **more}])

    def delay(self, seconds: str) -> None:
        """Set the deregistration delay."""
        attribute = {"Key": _DELAY, "Value": seconds}
        self.call("modify_target_group_attributes", Attributes=[attribute])

    def health(self, *asked: str) -> list[tuple[str, int, str, str]]:
        """Id, port, state and reason of each target, or of those asked for."""
        wanted = {"Targets": [{"Id": name} for name in asked]} if asked else {}
        return [
            (
                item["Target"]["Id"],
                item["Target"]["Port"],
                item["TargetHealth"]["State"],
                item["TargetHealth"].get("Reason", ""),
            )
            for item in self.call("describe_target_health", **wanted)["TargetHealthDescriptions"]
        ]

    def of(self, name: str) -> list[tuple[int, str, str]]:
        """Port, state and reason of one target."""
        return [tuple(rest) for target, *rest in self.health() if target == name]


@check("elbv2", "registering and deregistering instances")
def _instances(account: Account, seen: Verdicts) -> None:
    account.configure(register_seconds=LONG, drain_seconds=LONG)
    group = _Targets(account, account.ids.instance_targets)
    new = account.launch(second_interface=False)
    group.register(new)
    state = group.of(new)
    seen.holds(
        "a new target is being registered",
        [item[1:] for item in state] == [("initial", "Elb.RegistrationInProgress")],
        state,
    )
    seen.holds("the port is the group's", [item[0] for item in state] == [8080], state)
    group.deregister(new)
    draining = [(8080, "draining", "Target.DeregistrationInProgress")]
    seen.holds("what is deregistered drains", group.of(new) == draining, group.of(new))
    account.configure(register_seconds=SHORT, drain_seconds=SHORT)
    group.register(new)
    healthy = until(lambda: [item[1] for item in group.of(new)] == ["healthy"])
    seen.holds("what is registered becomes healthy", healthy, group.of(new))
    group.deregister(new)
    seen.holds("what has drained is gone", until(lambda: not group.of(new)), group.of(new))
    asked = group.health(new)
    seen.holds(
        "asked for by its id it is unused",
        asked == [(new, 8080, "unused", "Target.NotRegistered")],
        asked,
    )
    seen.done("deregistering what was never registered", lambda: group.deregister(_NOBODY))
    seen.refused("an unknown instance", "InvalidTarget", lambda: group.register(_NOBODY))
    stopped = account.launch()
    account("ec2").stop_instances(InstanceIds=[stopped])
    seen.refused("a stopped instance", "InvalidTarget", lambda: group.register(stopped))


@check("elbv2", "the deregistration delay")
def _delay(account: Account, seen: Verdicts) -> None:
    account.configure(drain_seconds=LONG)
    group = _Targets(account, account.ids.instance_targets)
    listed = group.call("describe_target_group_attributes")["Attributes"]
    attributes = {item["Key"]: item["Value"] for item in listed}
    seen.holds("it is 300 seconds", attributes.get(_DELAY) == "300", attributes)
    seen.refused(
        "more than 3600 seconds",
        ("InvalidConfigurationRequest", "ValidationError"),
        lambda: group.delay("9999"),
    )
    group.delay("0")
    new = account.launch()
    group.register(new)
    group.deregister(new)
    seen.holds("without one nothing drains", not group.of(new), group.of(new))
    waiter = account("elbv2").get_waiter("target_deregistered")
    seen.done(
        "the waiter sees that the target is deregistered",
        lambda: waiter.wait(
            TargetGroupArn=account.ids.instance_targets,
            Targets=[{"Id": new}],
            WaiterConfig={"Delay": 0, "MaxAttempts": 2},
        ),
    )


@check("elbv2", "targets by address and port")
def _addresses(account: Account, seen: Verdicts) -> None:
    new = account.launch()
    first, second = (
        item["PrivateIpAddress"] for item in account.instance(new)["NetworkInterfaces"]
    )
    group = _Targets(account, account.ids.ip_targets)
    group.register(first)
    group.register(second, Port=9090)
    found = sorted(item[:2] for item in group.health())
    seen.holds("every address is a target", found == sorted([(first, 8080), (second, 9090)]), found)
    group.deregister(second, Port=9090)
    left = [item[0] for item in group.health()]
    seen.holds("an address is deregistered", left == [first], left)
    seen.refused("a public address", "InvalidTarget", lambda: group.register("8.8.8.8"))
    seen.refused("an instance's id", "ValidationError", lambda: group.register(new))

    group = _Targets(account, account.ids.instance_targets)
    group.register(new, Port=81)
    group.register(new, Port=82)
    ports = sorted(item[0] for item in group.of(new))
    seen.holds("an instance on two ports is two targets", ports == [81, 82], ports)
    group.deregister(new, Port=81)
    ports = [item[0] for item in group.of(new)]
    seen.holds("each is deregistered by its port", ports == [82], ports)
    group.deregister(new)
    ports = [item[0] for item in group.of(new)]
    seen.holds("without a port it is the group's own", ports == [82], ports)


@check("elbv2", "target groups and their load balancers")
def _balancers(account: Account, seen: Verdicts) -> None:
    elbv2, ids = account("elbv2"), account.ids
    new = account.launch()
    network = _Targets(account, ids.network_targets)
    network.register(new)
    seen.holds(
        "instances are targets of a Network Load Balancer",
        new in targets(account, ids.network_targets),
    )
    network.deregister(new)
    groups = elbv2.describe_target_groups()["TargetGroups"]
    found = {group["TargetGroupArn"]: group["LoadBalancerArns"] for group in groups}
    wanted = {ids.instance_targets, ids.ip_targets, ids.network_targets}
    seen.holds("target groups are listed", found.keys() == wanted, found)
    balancers = found.get(ids.instance_targets)
    seen.holds(
        "a target group names its load balancers",
        balancers == [ids.application_balancer],
        balancers,
    )
    unused = _Targets(account, ids.ip_targets)
    unused.register(account.instance(new)["PrivateIpAddress"])
    states = [item[2:] for item in unused.health()]
    seen.holds(
        "without a load balancer targets are unused",
        states == [("unused", "Target.NotInUse")],
        states,
    )

    group = _Targets(account, ids.instance_targets)
    group.register(new)
    account("ec2").stop_instances(InstanceIds=[new])
    states = [item[1:] for item in group.of(new)]
    seen.holds("a stopped target is unused", states == [("unused", "Target.InvalidState")], states)
    account("ec2").terminate_instances(InstanceIds=[new])
    seen.holds(
        "a terminated target leaves its group",
        new not in targets(account, ids.instance_targets),
        group.of(new),
    )
    seen.done(
        "the groups of an Application Load Balancer can be set",
        lambda: elbv2.set_security_groups(
            LoadBalancerArn=ids.application_balancer, SecurityGroups=[ids.app_group]
        ),
    )
    listener = elbv2.describe_listeners(LoadBalancerArn=ids.application_balancer)["Listeners"][0]
    seen.done(
        "a listener can be modified",
        lambda: elbv2.modify_listener(
            ListenerArn=listener["ListenerArn"],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": ids.instance_targets}],
        ),
    )
