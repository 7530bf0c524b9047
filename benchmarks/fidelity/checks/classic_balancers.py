"""Classic load balancers: instances that are registered and deregistered."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.autoscaling_groups import balanced
from benchmarks.fidelity.verdicts import Verdicts, check
from benchmarks.fidelity.waiting import LONG, SHORT, until

_NOBODY = "i-00000000000000000"


class _Balancer:
    """The classic load balancer of the account."""

    def __init__(self, account: Account) -> None:
        self._elb = account("elb")

    def call(self, operation: str, name: str = "clb", **parameters: Any) -> Any:
        return getattr(self._elb, operation)(LoadBalancerName=name, **parameters)

    def register(self, instance: str) -> Any:
        return self.call(
            "register_instances_with_load_balancer", Instances=[{"InstanceId": instance}]
        )

    def deregister(self, instance: str, name: str = "clb") -> Any:
        return self.call(
            "deregister_instances_from_load_balancer", name, Instances=[{"InstanceId": instance}]
        )

    def health(self, *asked: str) -> dict[str, tuple[str, str]]:
        """State and description of each instance, or of those asked for."""
        wanted = {"Instances": [{"InstanceId": name} for name in asked]} if asked else {}
        return {
            item["InstanceId"]: (item["State"], item["Description"])
            for item in self.call("describe_instance_health", **wanted)["InstanceStates"]
        }


@check("elb", "registering and deregistering instances")
def _instances(account: Account, seen: Verdicts) -> None:
    account.configure(register_seconds=LONG)
    balancer, victim = _Balancer(account), account.ids.victim
    remaining = balancer.register(victim)["Instances"]
    seen.holds("registering answers with all instances", {"InstanceId": victim} in remaining)
    health = balancer.health().get(victim)
    seen.holds("it is listed with its health", health is not None)
    seen.holds(
        "at first it is out of service",
        health == ("OutOfService", "Instance registration is still in progress."),
        health,
    )
    account.configure(register_seconds=SHORT)
    balancer.deregister(victim)
    balancer.register(victim)
    seen.holds(
        "then it is in service",
        until(lambda: balancer.health()[victim][0] == "InService"),
        balancer.health(),
    )
    remaining = balancer.deregister(victim)["Instances"]
    names = [item["InstanceId"] for item in remaining]
    seen.holds("deregistering answers with those that remain", len(names) == 3, remaining)
    seen.holds("what is deregistered is among them no more", victim not in names)
    seen.holds("what is deregistered is listed no more", victim not in balanced(account))
    health = balancer.health(victim).get(victim)
    seen.holds(
        "asked for by its id it is out of service",
        health == ("OutOfService", "Instance is not currently registered with the LoadBalancer."),
        health,
    )
    seen.refused("an unknown instance", "InvalidInstance", lambda: balancer.deregister(_NOBODY))
    seen.refused(
        "an unknown load balancer",
        "LoadBalancerNotFound",
        lambda: balancer.deregister(victim, "zzz"),
    )


@check("elb", "connection draining")
def _draining(account: Account, seen: Verdicts) -> None:
    account.configure(drain_seconds=LONG)
    balancer, victim = _Balancer(account), account.ids.members[0]
    balancer.deregister(victim)
    seen.holds("it is off where nobody turned it on", victim not in balancer.health())
    balancer.register(victim)
    draining = {"ConnectionDraining": {"Enabled": True, "Timeout": 60}}
    seen.done(
        "it can be turned on",
        lambda: balancer.call("modify_load_balancer_attributes", LoadBalancerAttributes=draining),
    )
    attributes = balancer.call("describe_load_balancer_attributes")["LoadBalancerAttributes"]
    found = attributes["ConnectionDraining"]
    seen.holds("it is seen", found == draining["ConnectionDraining"], found)
    balancer.deregister(victim)
    seen.holds("meanwhile it isn't among the instances", victim not in balanced(account))
    health = balancer.health().get(victim)
    seen.holds(
        "meanwhile its health says so",
        health == ("InService", "Instance deregistration currently in progress."),
        health,
    )
    account.configure(drain_seconds=SHORT)
    balancer.register(victim)
    balancer.deregister(victim)
    seen.holds("afterwards it is gone", until(lambda: victim not in balancer.health()))
