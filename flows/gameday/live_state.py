"""A target's state as a live drill must leave it, and what of it differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runbooks.targets.fact import Fact
from runbooks.targets.instance import (
    Credentials,
    Ec2Instance,
    LoadBalancing,
    Network,
    Protection,
    Scaling,
)

FACTS: frozenset[type[Fact]] = frozenset({Credentials, LoadBalancing, Network, Protection, Scaling})
"""What is read of the target beside its own description."""

State = Mapping[str, str]


def state_of(target: Ec2Instance) -> dict[str, str]:
    """Everything of a target that containment changes, by path. What AWS itself moves meanwhile
    (health, ids of associations) is no part of it."""
    return dict(sorted(_state(target)))


def differences(before: State, after: State) -> list[dict[str, Any]]:
    """What differs, as drills record it: ``{path, before, after}``, None for what isn't there."""
    return [
        {"path": path, "before": before.get(path), "after": after.get(path)}
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _state(target: Ec2Instance) -> Iterator[tuple[str, str]]:
    here = f"instance {target.id}"
    yield f"{here}/state", target.state
    yield f"{here}/metadata service", f"{target.metadata_endpoint}, {target.metadata_tokens}"
    yield from _tags(here, target.tags)
    for eni in target.network_interfaces:
        there = f"interface {eni.id}"
        yield f"{there}/security groups", ", ".join(sorted(eni.groups))
        yield f"{there}/deleted on termination", str(eni.delete_on_termination)
        yield from _tags(there, eni.resource.tags)
        for address in eni.public_addresses:
            if address.allocation_id:
                yield f"{there}/public address {address.public_ip}", address.private_ip
    for volume in target.volumes:
        there = f"volume {volume.id}"
        yield f"{there}/deleted on termination", str(volume.delete_on_termination)
        yield from _tags(there, volume.resource.tags)
    protection = target.fact(Protection)
    yield f"{here}/protected from termination", str(protection.termination)
    yield f"{here}/protected from a stop", str(protection.stop)
    yield f"{here}/shutdown means", protection.shutdown_behavior
    yield from _credentials(here, target.fact(Credentials))
    yield from _network(target.fact(Network))
    yield from _service(here, target.fact(Scaling), target.fact(LoadBalancing))


def _credentials(here: str, credentials: Credentials) -> Iterator[tuple[str, str]]:
    yield f"{here}/profile", credentials.profile_name or ""
    ours = credentials.contained_profile
    yield "deny-all profile", f"{ours.exists}, role {ours.role or 'none'} {ours.role_exists}"
    if credentials.role:
        for name, policy in credentials.role.inline_policies.items():
            yield f"role {credentials.role.name}/policy {name}", policy


def _network(network: Network) -> Iterator[tuple[str, str]]:
    for group in network.isolation_groups:
        rules = sorted(f"{rule.protocol} {rule.peer} {rule.egress}" for rule in group.rules)
        yield f"isolation group {group.id}", ", ".join(rules) or "no rules"
    for acl in network.acls:
        for entry in acl.entries:
            where = "out" if entry.egress else "in"
            verb = "allow" if entry.allow else "deny"
            path = f"network ACL {acl.id}/{where} {entry.number} {entry.cidr}"
            yield path, f"{verb} {entry.protocol}"


def _service(here: str, scaling: Scaling, balancing: LoadBalancing) -> Iterator[tuple[str, str]]:
    if (member := scaling.membership) is not None:
        yield f"{here}/Auto Scaling group", f"{member.group}, {member.lifecycle_state}"
        sizes = f"{member.min_size} to {member.max_size}, desired {member.desired_capacity}"
        yield f"Auto Scaling group {member.group}/size", sizes
        suspended = ", ".join(sorted(member.suspended_processes))
        yield f"Auto Scaling group {member.group}/suspended", suspended
    for target in balancing.targets:
        if target.active:
            path = f"{target.target_group_arn}/target {target.target_id}:{target.port}"
            yield path, "registered"
    for classic in balancing.classic:
        yield f"load balancer {classic.load_balancer}/{here}", "registered"


def _tags(where: str, tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in tags.items():
        if not key.startswith("aws:"):
            yield f"{where}/tag {key}", value
