"""What the things of a world are called, known before it is built."""

from __future__ import annotations

from dataclasses import dataclass

from flows.gameday.worlds.account import AccountWorld
from flows.gameday.worlds.world import World

_OF_THE_SMALL_FORM = (
    "vpc",
    "nat",
    "balancer_group",
    "web_group",
    "role",
    "profile",
    "key",
    "image",
    "alb_targets",
    "alb_balancer",
    "nlb_targets",
    "nlb_balancer",
    "ports_targets",
    "classic_balancer",
    "legacy_balancer",
)
_KINDS = (
    "vpcs",
    "subnets",
    "nat_gateways",
    "prefix_lists",
    "route_tables",
    "security_groups",
    "network_acls",
    "endpoints",
    "policies",
    "roles",
    "profiles",
    "keys",
    "images",
    "target_groups",
    "load_balancers",
    "classic_balancers",
    "launch_templates",
)


@dataclass(frozen=True)
class Names:
    """The names in a world, as :class:`flows.gameday.worlds.world.WorldIds` has them.

    ``ends`` are the interfaces and addresses between which connections can be, besides
    ``instances``; ``groups`` are the Auto Scaling groups, and ``others`` is all else.
    """

    instances: tuple[str, ...]
    ends: tuple[str, ...]
    groups: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.instances, *self.ends, *self.groups, *self.others)


def names_in(world: World | AccountWorld) -> Names:
    """What a world calls its things."""
    return _of_account(world) if isinstance(world, AccountWorld) else _of_small(world)


def _of_small(world: World) -> Names:
    members = tuple(f"member_{number}" for number in range(1, world.group.desired))
    subnets = [f"{kind}_{zone}" for zone in world.zones for kind in ("public", "private")]
    volumes = [f"volume_{number}" for number, _ in enumerate(world.victim_data_volumes, start=1)]
    return Names(
        ("victim", *members, "standalone", "bystander"),
        ("victim_eni", "victim_second_eni", "victim_ip"),
        ("group",),
        (*_OF_THE_SMALL_FORM, *subnets, *volumes),
    )


def _of_account(world: AccountWorld) -> Names:
    interfaces = tuple(
        f"interfaces/{name}/{number}"
        for name, instance in world.instances.items()
        for number, _ in enumerate(instance.interfaces)
    )
    volumes = [
        f"volumes/{name}/{volume.device}"
        for name, instance in world.instances.items()
        for volume in instance.volumes
    ]
    gateways = [
        f"internet_gateways/{name}" for name, vpc in world.vpcs.items() if vpc.internet_gateway
    ]
    others = [f"{kind}/{name}" for kind in _KINDS for name in getattr(world, kind)]
    return Names(
        tuple(f"instances/{name}" for name in world.instances),
        interfaces,
        tuple(f"scaling_groups/{name}" for name in world.scaling_groups),
        (*others, *gateways, *volumes),
    )
