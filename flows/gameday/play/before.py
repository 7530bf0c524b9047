"""How the world was before the scenario began: what it is compared with, and put back to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.gameday.play.outside import Outside
from flows.gameday.worlds import state

_FILE = "before.json"
_MOST_CHANGES = 2_000


@dataclass(frozen=True)
class Before:
    """The world's state, and of each instance its interfaces, volumes, private addresses and profile."""

    state: dict[str, Any]
    interfaces: dict[str, list[str]]
    volumes: dict[str, list[str]]
    addresses: dict[str, list[str]]
    profiles: dict[str, str]

    @classmethod
    def look(cls, outside: Outside) -> Before:
        interfaces: dict[str, list[str]] = {}
        volumes: dict[str, list[str]] = {}
        addresses: dict[str, list[str]] = {}
        for reservation in outside.client("ec2").describe_instances()["Reservations"]:
            for instance in reservation["Instances"]:
                found = instance.get("NetworkInterfaces", [])
                mapped = instance.get("BlockDeviceMappings", [])
                interfaces[instance["InstanceId"]] = [item["NetworkInterfaceId"] for item in found]
                volumes[instance["InstanceId"]] = [item["Ebs"]["VolumeId"] for item in mapped]
                addresses[instance["InstanceId"]] = [
                    address["PrivateIpAddress"]
                    for item in found
                    for address in item["PrivateIpAddresses"]
                ]
        seen = state_of(outside)
        return cls(seen, interfaces, volumes, addresses, dict(seen["profiles"]))

    @classmethod
    def read(cls, home: Path) -> Before:
        return cls(**json.loads((home / _FILE).read_text(encoding="utf-8")))

    def write(self, home: Path) -> None:
        (home / _FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    def groups(self, interface: str) -> list[str]:
        """The security groups that a network interface was in."""
        return list(self.state["interfaces"].get(interface, {}).get("groups", []))

    def about(self, instance: str, now: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Whatever a state says of an instance: that of before, or the one that is given."""
        told = self.state if now is None else now
        interfaces = self.interfaces.get(instance, [])
        named = {instance, *interfaces}
        targets = {instance, *self.addresses.get(instance, [])}
        return {
            "instance": told["instances"].get(instance),
            "interfaces": {item: told["interfaces"].get(item) for item in interfaces},
            "profile": told["profiles"].get(instance),
            "tags": {name: told["tags"].get(name) for name in named if name in told["tags"]},
            "targets": _groups_with(targets, told["targets"]),
            "classic": _groups_with(targets, told["classic"]),
            "scaling": {
                name: group["members"][instance]
                for name, group in told["scaling"].items()
                if instance in group["members"]
            },
        }


def state_of(outside: Outside) -> dict[str, Any]:
    """The state as JSON has it, so that two of them can be compared."""
    found: dict[str, Any] = json.loads(json.dumps(state(outside.url, outside.region), default=str))
    return found


def differences(before: Any, after: Any) -> list[dict[str, Any]]:
    """What differs, each with the path to it: ``interfaces.eni-1.groups``."""
    found = []
    for path, old, new in _differing("", before, after):
        found.append({"path": path, "before": old, "after": new})
        if len(found) == _MOST_CHANGES:
            break
    return found


def _differing(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            inner = f"{path}.{key}" if path else key
            yield from _differing(inner, before.get(key), after.get(key))
    elif before != after:
        yield path, before, after


def _groups_with(wanted: set[str], groups: Mapping[str, Any]) -> list[str]:
    return sorted(
        name
        for name, members in groups.items()
        if any((item[0] if isinstance(item, list) else item) in wanted for item in members)
    )
