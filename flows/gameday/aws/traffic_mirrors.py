"""Traffic mirrors: the rules of their filters, what can be mirrored, and what is in use.

VPC Traffic Mirroring guide; the error codes are those of "Error codes for the Amazon EC2 API" but
for ids that there are not: EC2 says ``Invalid…Id.NotFound``, as of other resources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from flows.gameday.aws import operations
from flows.gameday.aws.errors import ec2_error

# "Maximum number of filter rules per filter: 10", "… sessions per source network interface: 3".
_RULES = 10
_SESSIONS = 3
_NUMBERS = range(1, 32_767)
_PACKET_LENGTHS = range(1, 8_501)
# "VXLAN ID" (RFC 7348: 24 bits).
_VIRTUAL_NETWORKS = 2**24 - 1
# "Traffic Mirroring limitations": the instance types that can't be a source, of those on Nitro; and
# those that can, of the others.
_NITRO_WITHOUT = re.compile(
    r"m6(a|i|id|idn|in)|m7(a|g|gd|i|i-flex)|m8g|c6(a|gd|gn|i|id|in)|c7(a|g|gd|gn|i)|c8g|"
    r"r6(a|i|id|idn|in)|r7(a|g|gd|i|iz)|r8g|x2(idn|iedn|iezn)|x8g|i4[gi]|im4gn|is4gen|inf2|p5|"
    r"trn1n?|hpc6(a|id)|hpc7[ag]"
)
_OTHERS_WITH = re.compile(r"c4|d2|g3s?|h1|i3|m4|p[23]|r4|x1e?")

Asked = dict[str, Any]


def correct() -> None:
    """Have filters have rules, and refuse what can't be mirrored or deleted."""
    from moto.ec2.models.traffic_mirrors import TrafficMirrorFilter
    from moto.ec2.responses import EC2Response
    from moto.ec2.responses.traffic_mirrors import TrafficMirrors

    TrafficMirrorFilter.rules = ()
    TrafficMirrorFilter.ingress_filter_rules = property(lambda made: _rules(made, "ingress"))
    TrafficMirrorFilter.egress_filter_rules = property(lambda made: _rules(made, "egress"))
    operations.add(
        EC2Response,
        {
            "CreateTrafficMirrorFilterRule": _create_rule,
            "DescribeTrafficMirrorFilterRules": _describe_rules,
            "DeleteTrafficMirrorFilterRule": _delete_rule,
            "DeleteTrafficMirrorFilter": _delete_filter,
            "DeleteTrafficMirrorTarget": _delete_target,
        },
    )
    TrafficMirrors.create_traffic_mirror_target = _after(
        _check_target, TrafficMirrors.create_traffic_mirror_target
    )
    TrafficMirrors.create_traffic_mirror_session = _after(
        _check_session, TrafficMirrors.create_traffic_mirror_session
    )
    for kind in ("filter", "target", "session"):
        method = f"describe_traffic_mirror_{kind}s"
        setattr(TrafficMirrors, method, _of_known(kind, getattr(TrafficMirrors, method)))
    TrafficMirrors.delete_traffic_mirror_session = _of_known(
        "session", TrafficMirrors.delete_traffic_mirror_session
    )
    _random_network()


def _rules(made: Any, direction: str) -> list[Mapping[str, Any]]:
    found = [rule for rule in made.rules if rule["TrafficDirection"] == direction]
    # "The rules are processed in ascending order by rule number" (CreateTrafficMirrorFilterRule).
    return sorted(found, key=lambda rule: int(rule["RuleNumber"]))


def _create_rule(response: Any, asked: Asked) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    made = _known(response.ec2_backend, "filter", asked["TrafficMirrorFilterId"])
    for name, values in (
        ("TrafficDirection", ("ingress", "egress")),
        ("RuleAction", ("accept", "reject")),
    ):
        if asked[name] not in values:
            raise ec2_error("InvalidParameterValue", f"Invalid value '{asked[name]}' for {name}.")
    # "This number must be unique for each Traffic Mirror rule in a given direction."
    own = asked["TrafficDirection"], asked["RuleNumber"]
    if own in {(rule["TrafficDirection"], rule["RuleNumber"]) for rule in made.rules}:
        raise ec2_error(
            "TrafficMirrorFilterRuleAlreadyExists",
            f"Rule {own[1]} ({own[0]}) of traffic mirror filter '{made.id}' already exists.",
        )
    if len(made.rules) >= _RULES:
        raise ec2_error(
            "TrafficMirrorFilterRuleLimitExceeded",
            f"The maximum number of rules of traffic mirror filter '{made.id}' is reached.",
        )
    identity = f"tmfr-{mock_random.get_random_hex(17)}"
    rule = {
        **{name: value for name, value in asked.items() if name not in ("DryRun", "ClientToken")},
        "TrafficMirrorFilterRuleId": identity,
        "Tags": [tag for item in asked.get("TagSpecifications", []) for tag in item["Tags"]],
    }
    made.rules = (*made.rules, rule)
    return {"TrafficMirrorFilterRule": rule, "ClientToken": asked.get("ClientToken")}


def _describe_rules(response: Any, asked: Asked) -> Mapping[str, Any]:
    backend = response.ec2_backend
    filters = list(backend.traffic_mirror_filters.values())
    if asked.get("TrafficMirrorFilterId"):
        filters = [_known(backend, "filter", asked["TrafficMirrorFilterId"])]
    rules = [rule for made in filters for rule in made.rules]
    ids = asked.get("TrafficMirrorFilterRuleIds") or []
    missing = set(ids) - {rule["TrafficMirrorFilterRuleId"] for rule in rules}
    if missing:
        raise _not_found("FilterRule", min(missing))
    found = [rule for rule in rules if not ids or rule["TrafficMirrorFilterRuleId"] in ids]
    return {"TrafficMirrorFilterRules": found}


def _delete_rule(response: Any, asked: Asked) -> Mapping[str, Any]:
    identity = asked["TrafficMirrorFilterRuleId"]
    for made in response.ec2_backend.traffic_mirror_filters.values():
        left = tuple(rule for rule in made.rules if rule["TrafficMirrorFilterRuleId"] != identity)
        if left != made.rules:
            made.rules = left
            return {"TrafficMirrorFilterRuleId": identity}
    raise _not_found("FilterRule", identity)


def _delete_filter(response: Any, asked: Asked) -> Mapping[str, Any]:
    backend, identity = response.ec2_backend, asked["TrafficMirrorFilterId"]
    _known(backend, "filter", identity)
    for session in backend.traffic_mirror_sessions.values():
        if session.traffic_mirror_filter_id == identity:
            raise ec2_error(
                "TrafficMirrorFilterInUse", f"'{identity}' is in use by session '{session.id}'."
            )
    del backend.traffic_mirror_filters[identity]
    return {"TrafficMirrorFilterId": identity}


def _delete_target(response: Any, asked: Asked) -> Mapping[str, Any]:
    backend, identity = response.ec2_backend, asked["TrafficMirrorTargetId"]
    _known(backend, "target", identity)
    for session in backend.traffic_mirror_sessions.values():
        if session.traffic_mirror_target_id == identity:
            raise ec2_error(
                "TrafficMirrorTargetInUseException",
                f"'{identity}' is in use by session '{session.id}'.",
            )
    del backend.traffic_mirror_targets[identity]
    return {"TrafficMirrorTargetId": identity}


def _check_target(response: Any) -> None:
    interface = response._get_param("NetworkInterfaceId")
    if not interface:
        return
    backend = response.ec2_backend
    backend.get_network_interface(interface)
    _refuse_target(backend, interface)
    if _sessions_of(backend, interface):
        raise ec2_error(
            "InterfaceInUseByTrafficMirrorSession",
            f"'{interface}' is the source of a traffic mirror session.",
        )


def _check_session(response: Any) -> None:
    backend = response.ec2_backend
    eni = backend.get_network_interface(response._get_param("NetworkInterfaceId"))
    _known(backend, "target", response._get_param("TrafficMirrorTargetId"))
    _known(backend, "filter", response._get_param("TrafficMirrorFilterId"))
    for name, values in (("SessionNumber", _NUMBERS), ("PacketLength", _PACKET_LENGTHS)):
        value = response._get_param(name)
        if value is not None and int(value) not in values:
            raise ec2_error("InvalidParameterValue", f"Invalid value '{value}' for {name}.")
    _refuse_target(backend, eni.id)
    if eni.instance is None or not _can_be_mirrored(eni.instance.instance_type):
        raise ec2_error(
            "NetworkInterfaceNotSupported", f"{eni.id} must be attached to a supported instance."
        )
    if len(_sessions_of(backend, eni.id)) >= _SESSIONS:
        raise ec2_error(
            "TrafficMirrorSessionsPerInterfaceLimitExceeded",
            f"'{eni.id}' is the source of {_SESSIONS} traffic mirror sessions already.",
        )


def _refuse_target(backend: Any, interface: str) -> None:
    # "An interface can only be associated with a session, or with a target, but not both. If the
    # interface is associated with a target, it cannot be associated with another target."
    for target in backend.traffic_mirror_targets.values():
        if target.network_interface_id == interface:
            raise ec2_error(
                "InterfaceInUseByTrafficMirrorTarget",
                f"'{interface}' is the traffic mirror target '{target.id}'.",
            )


def _sessions_of(backend: Any, interface: str) -> list[Any]:
    sessions = backend.traffic_mirror_sessions.values()
    return [session for session in sessions if session.network_interface_id == interface]


def _can_be_mirrored(instance_type: str) -> bool:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    known, family = INSTANCE_TYPES.get(instance_type, {}), instance_type.partition(".")[0]
    if known.get("BareMetal"):
        return False
    if known.get("Hypervisor") == "nitro":
        return not _NITRO_WITHOUT.fullmatch(family)
    return bool(_OTHERS_WITH.fullmatch(family))


def _random_network() -> None:
    from moto.ec2.models.traffic_mirrors import TrafficMirrorSession
    from moto.moto_api._internal import mock_random

    make = TrafficMirrorSession.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        # "If you do not specify a VirtualNetworkId, an account-wide unique ID is chosen at random"
        # (CreateTrafficMirrorSession).
        if self.virtual_network_id is None:
            self.virtual_network_id = mock_random.randint(1, _VIRTUAL_NETWORKS)

    TrafficMirrorSession.__init__ = __init__


def _after(check: Callable[[Any], None], method: Any) -> Any:
    def called(self: Any) -> Any:
        check(self)
        return method(self)

    return called


def _of_known(kind: str, method: Any) -> Any:
    """The method, refused for a filter, target or session that there is not."""
    parameter = f"TrafficMirror{kind.capitalize()}Id"

    def called(self: Any) -> Any:
        named = self._get_param(parameter)
        for identity in [named] if named else self._get_param(f"{parameter}s", []):
            _known(self.ec2_backend, kind, identity)
        return method(self)

    return called


def _known(backend: Any, kind: str, identity: str) -> Any:
    found = getattr(backend, f"traffic_mirror_{kind}s").get(identity)
    if found is None:
        raise _not_found(kind.capitalize(), identity)
    return found


def _not_found(kind: str, identity: str) -> Exception:
    return ec2_error(
        f"InvalidTrafficMirror{kind}Id.NotFound",
        f"The traffic mirror {kind.lower()} '{identity}' does not exist.",
    )
