"""What a plan touches, in the words of those who own it: counts and names out of its calls."""

from __future__ import annotations

from flows.console.terminal import counted
from flows.slack.effects import QUIET_CALLS, effects, readable
from flows.slack.text import code, codes
from runbooks.calls import Change, Keep, Plan

# What these change for good belongs to Clampdown itself: its isolation group, its empty role.
_OWN_CALLS = {"put_role_policy", "authorize_security_group_ingress"}


def blast_radius(plan: Plan) -> list[str]:
    """What happens to whom when the plan is carried out, the widest first, as lines of mrkdwn."""
    found = effects(plan)
    lines = [line for effect in _SENTENCES if (line := _line(effect, found)) is not None]
    others = found.get("other", [])
    if others:
        lines.append(f"{counted(len(others), 'other call')}: {codes(others)}")
    return lines


def risk(plan: Plan) -> str:
    """The same in one line, where there is room for no more."""
    found = effects(plan)
    parts = []
    for effect, (one, many) in _IN_SHORT.items():
        if names := list(dict.fromkeys(found.get(effect, ()))):
            text = one if len(names) == 1 else many
            parts.append(text.format(n=len(names), names=code(names[0], 60)))
    return "; ".join(parts) or "nothing goes down: protection, evidence and tags only"


def irreversible(plan: Plan) -> list[str]:
    """What an undo leaves as it is, and why, as lines of text that is not escaped.

    What is done to resources that Clampdown has made itself is left out.
    """
    kept: dict[str, list[str]] = {}
    for step in plan.steps:
        for change in (*step.changes, *step.contingent):
            foreseen = change in step.contingent and change.call.operation != "lock_snapshot"
            if isinstance(change.undo, Keep) and not foreseen and not _on_our_own(change):
                kept.setdefault(change.undo.reason, []).append(readable(change.why))
    lines = [
        f"{whys[0]}{f' and {len(whys) - 1} more' if len(whys) > 1 else ''} ({reason})"
        for reason, whys in kept.items()
    ]
    found = effects(plan)
    if found.get("interface") or found.get("subnet"):
        lines.append("connections that are cut stay cut")
    return lines


def _on_our_own(change: Change) -> bool:
    operation = change.call.operation
    return operation in QUIET_CALLS or operation in _OWN_CALLS


def _line(effect: str, found: dict[str, list[str]]) -> str | None:
    names = list(dict.fromkeys(found.get(effect, ())))
    if not names:
        return None
    one, many = _SENTENCES[effect]
    return (one if len(names) == 1 else many).format(n=len(names), names=codes(names))


# With one name, with several; the widest first.
_SENTENCES = {
    "role-everybody": (
        "*Every* session of the role {names} is denied, whoever holds it: other instances, "
        "functions and people too",
        "*Every* session of {n} roles is denied, whoever holds it: {names}",
    ),
    "subnet": (
        "Traffic with the finding's addresses is denied for whole subnets, *every host* in them: "
        "{names}",
        "Traffic with the finding's addresses is denied for whole subnets, *every host* in them: "
        "{names}",
    ),
    "leaves-replaced": (
        "Leaves the Auto Scaling group {names}, which launches a replacement",
        "Leave {n} Auto Scaling groups, which launch replacements: {names}",
    ),
    "leaves": (
        "Leaves the Auto Scaling group {names}, without a replacement",
        "Leave {n} Auto Scaling groups, without a replacement: {names}",
    ),
    "standby": (
        "Goes into standby in {names}, without a replacement",
        "Go into standby in {n} Auto Scaling groups: {names}",
    ),
    "smaller": (
        "The Auto Scaling group {names} may become smaller than its MinSize was",
        "{n} Auto Scaling groups may become smaller than their MinSize was: {names}",
    ),
    "target-group": (
        "Gets no more traffic from 1 target group: {names}",
        "Gets no more traffic from {n} target groups: {names}",
    ),
    "classic": (
        "Gets no more traffic from 1 Classic Load Balancer: {names}",
        "Gets no more traffic from {n} Classic Load Balancers: {names}",
    ),
    "interface": (
        "Cut off: the security groups of 1 network interface are replaced: {names}",
        "Cut off: the security groups of {n} network interfaces are replaced: {names}",
    ),
    "opened": (
        "For about a minute *everything is let in* before that, so that connections can be cut",
        "For about a minute *everything is let in* before that, so that connections can be cut",
    ),
    "address": (
        "Loses the public address {names}",
        "Lose {n} public addresses: {names}",
    ),
    "role-instance": (
        "Credentials of the role {names} are denied, for this instance only",
        "Credentials of {n} roles are denied, for these instances only: {names}",
    ),
    "role-other": (
        "The policies of the role {names} change",
        "The policies of {n} roles change: {names}",
    ),
    "profile": (
        "Loses its instance profile: {names}",
        "{n} instances lose their instance profiles: {names}",
    ),
    "metadata": (
        "Loses the instance metadata service: {names}",
        "{n} instances lose the instance metadata service: {names}",
    ),
    "room": (
        "A clean room is made, which costs money by the hour: {names}",
        "{n} clean rooms are made, which cost money by the hour: {names}",
    ),
    "snapshot": (
        "Snapshots are taken: {names}",
        "Snapshots are taken of {n} resources: {names}",
    ),
    "locked": (
        "The incident's snapshots can't be deleted for {names}",
        "The incident's snapshots can't be deleted for {names}",
    ),
}
_IN_SHORT = {
    "role-everybody": ("EVERY session of {names} denied", "EVERY session of {n} roles denied"),
    "subnet": ("addresses denied for whole subnets",) * 2,
    "leaves-replaced": ("leaves {names}", "leave {n} Auto Scaling groups"),
    "leaves": ("leaves {names}, no replacement", "leave {n} Auto Scaling groups, no replacement"),
    "standby": ("standby in {names}", "standby in {n} Auto Scaling groups"),
    "target-group": ("out of 1 target group", "out of {n} target groups"),
    "classic": ("out of 1 Classic Load Balancer", "out of {n} Classic Load Balancers"),
    "interface": ("1 interface cut off", "{n} interfaces cut off"),
    "address": ("1 public address lost", "{n} public addresses lost"),
    "role-instance": ("credentials of {names} denied", "credentials of {n} roles denied"),
    "room": ("a clean room made", "{n} clean rooms made"),
    "other": ("{names}", "{names} and others"),
}
