"""Which playbook a finding gets, and in words why.

Pure: routes, finding, account and tags in, a decision out. The sentences are for the person on
call, who asks "why did nothing happen?" at least as often as "why did this happen?".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from flows.intake.finding import Finding, ResourceRef, for_display
from runbooks.errors import InvalidInput

Mode = Literal["automatic", "propose"]
RouteMode = Literal["automatic", "propose", "shadow"]

_SEVERITY = re.compile(r"\s*(>=|<=|==|>|<)\s*([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*")


class RouteMatch(Protocol):
    """The conditions of a route; None and empty ones always hold.

    ``source`` is a source's name; ``type`` globs over finding types; ``severity`` a comparison
    (``>= 7``) on GuardDuty's scale; ``resource_role`` ACTOR or TARGET; ``account`` ids or names;
    ``environment`` environments of accounts; ``tags`` what every target must be tagged with.
    """

    @property
    def source(self) -> str | None: ...
    @property
    def type(self) -> tuple[str, ...]: ...
    @property
    def severity(self) -> str | None: ...
    @property
    def resource_role(self) -> Literal["ACTOR", "TARGET"] | None: ...
    @property
    def account(self) -> tuple[str, ...]: ...
    @property
    def environment(self) -> tuple[str, ...]: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


class Route(Protocol):
    """A route of playbooks.yaml: conditions, the playbook's name, and who starts it. In shadow
    nobody does: what would have been done, had it been automatic, is only written down."""

    @property
    def match(self) -> RouteMatch: ...
    @property
    def playbook(self) -> str: ...
    @property
    def mode(self) -> RouteMode: ...


class Account(Protocol):
    """An account of playbooks.yaml."""

    @property
    def name(self) -> str: ...
    @property
    def environment(self) -> str | None: ...


@dataclass(frozen=True)
class Routed:
    """Carry out, or propose, this playbook on these targets.

    ``route`` counts from 0. ``why`` has a sentence for each route up to the one that was taken,
    and for what became of it. In ``shadow`` it is only judged what would have been done: ``mode``
    says who would have started it.
    """

    playbook: str
    mode: Mode
    targets: tuple[ResourceRef, ...]
    route: int
    why: tuple[str, ...]
    shadow: bool = False


@dataclass(frozen=True)
class Unrouted:
    """Do nothing. ``why`` says it, ending with the reason that decided."""

    why: tuple[str, ...]


Decision = Routed | Unrouted


def choose(
    routes: Sequence[Route],
    finding: Finding,
    account: Account | None,
    tags: Mapping[str, Mapping[str, str]],
    *,
    target_kinds: Mapping[str, str],
    live: bool,
) -> Decision:
    """The first route that matches, unless a rule forbids it that no route can override.

    These rules are: nothing happens in an account that playbooks.yaml doesn't list; archived
    findings and GuardDuty's samples are never acted on where AWS is ``live``; a playbook is only
    for resources of its kind; and only a finding whose resource is the ACTOR starts anything
    without a person. An intruder can make GuardDuty report, truthfully, that anything is the
    TARGET of an attack; that must not take it down. Where a shape doesn't carry the role (OCSF,
    malware scans), it may have been TARGET.

    ``account`` is the finding's account in playbooks.yaml, None where it isn't there. ``tags`` are
    tags by resource id, read from AWS now; of a resource without an entry, the finding's count.
    ``target_kinds`` has the kind of target (``ec2.instance``) of every playbook.

    Raises InvalidInput where a route names an unknown playbook, or its severity is no comparison.
    """
    if account is None:
        return Unrouted(
            (
                f"Account {finding.account} is not in playbooks.yaml, and nothing is done in "
                "accounts that aren't listed there.",
            )
        )
    if live and finding.sample:
        return Unrouted(
            (
                "This is a sample finding, its resources don't exist: samples are never acted on "
                "in a live account. Use --simulate to rehearse with it.",
            )
        )
    if live and finding.archived:
        return Unrouted(
            (
                "The finding is archived (or suppressed, or resolved): somebody has dealt with "
                "it, so it is never acted on. To contain all the same, start the playbook by hand.",
            )
        )
    why: list[str] = []
    for index, route in enumerate(routes):
        kind = target_kinds.get(route.playbook)
        if kind is None:
            raise InvalidInput(
                f"Route {index + 1} leads to the playbook {route.playbook!r}, which doesn't exist."
            )
        targets = finding.resources_of(kind)
        failed = _failed(route.match, finding, account, targets, tags)
        name = f"Route {index + 1} ({route.playbook})"
        if failed is not None:
            why.append(f"{name} does not match: {failed}.")
            continue
        if not targets:
            why.append(
                f"{name} matches, but its playbook is for {kind}, and the finding names "
                f"{_kinds_in(finding)}. Nothing is done."
            )
            return Unrouted(tuple(why))
        return _routed(route, index, finding, targets, why, name)
    why.append(
        f"No route matches {for_display(finding.type)!r}. Nothing is done; add a route, or start "
        "a playbook by hand."
    )
    return Unrouted(tuple(why))


def check_severity(condition: str) -> None:
    """Raise InvalidInput where the text is no comparison with a severity (``>= 7``, ``< 4.5``)."""
    severity_holds(condition, 0.0)


def _routed(
    route: Route,
    index: int,
    finding: Finding,
    targets: tuple[ResourceRef, ...],
    why: list[str],
    name: str,
) -> Routed:
    shadow = route.mode == "shadow"
    mode: Mode = "propose" if route.mode == "propose" else "automatic"
    why.append(f"{name} matches.")
    if shadow:
        why.append("It is in shadow mode: nothing is done, only what would have been is recorded.")
    if mode == "automatic" and finding.resource_role == "TARGET":
        mode = "propose"
        why.append(
            "The resource is the TARGET of the activity, not its ACTOR: anybody can make that "
            "happen from outside, so a person has to start the playbook."
        )
    elif mode == "automatic" and finding.resource_role is None:
        mode = "propose"
        why.append(
            "The finding doesn't say whether the resource is ACTOR or TARGET, so a person has to "
            "start the playbook."
        )
    if len(targets) > 1:
        named = ", ".join(for_display(target.id) for target in targets)
        why.append(f"The finding names {len(targets)} targets: {named}.")
    return Routed(route.playbook, mode, targets, index, tuple(why), shadow)


def _failed(
    match: RouteMatch,
    finding: Finding,
    account: Account,
    targets: tuple[ResourceRef, ...],
    tags: Mapping[str, Mapping[str, str]],
) -> str | None:
    """The first condition that doesn't hold, as the rest of a sentence; None where all hold."""
    if match.source is not None and match.source != finding.source:
        return f"it is for {match.source}, the finding is {finding.source}'s"
    if match.type and not any(fnmatchcase(finding.type, pattern) for pattern in match.type):
        return f"the type {for_display(finding.type)!r} is none of {', '.join(match.type)}"
    if match.severity is not None and not severity_holds(match.severity, finding.severity):
        return f"the severity {finding.severity:g} is not {match.severity.strip()}"
    if match.resource_role is not None and match.resource_role != finding.resource_role:
        role = finding.resource_role or "not known"
        return f"it is for resources that are {match.resource_role}, here the role is {role}"
    if match.account and not {finding.account, account.name} & set(match.account):
        return f"account {finding.account} ({account.name}) is none of {', '.join(match.account)}"
    if match.environment and account.environment not in match.environment:
        environment = account.environment or "none"
        return f"the account's environment is {environment}, not {' or '.join(match.environment)}"
    return _failed_tag(match.tags, targets, tags)


def _failed_tag(
    wanted: Mapping[str, str],
    targets: tuple[ResourceRef, ...],
    tags: Mapping[str, Mapping[str, str]],
) -> str | None:
    for key, value in wanted.items():
        for target in targets:
            found = tags.get(target.id, target.tags).get(key)
            if found != value:
                has = f"is {for_display(found)!r}" if found is not None else "is not there"
                return f"the tag {key} of {for_display(target.id)} {has}, not {value!r}"
    return None


def severity_holds(condition: str, severity: float) -> bool:
    """Whether a severity on GuardDuty's scale fits the comparison (``>= 7``). Raises InvalidInput."""
    parts = _SEVERITY.fullmatch(condition)
    if parts is None or not 0 <= float(parts[2]) <= 10:
        raise InvalidInput(
            f"{condition!r} is not a comparison with a severity of 0 to 10.",
            advice='Write ">= 7", "> 3.9", "< 4", "<= 8" or "== 8".',
        )
    number = float(parts[2])
    match parts[1]:
        case ">=":
            return severity >= number
        case "<=":
            return severity <= number
        case ">":
            return severity > number
        case "<":
            return severity < number
        case _:
            return severity == number


def _kinds_in(finding: Finding) -> str:
    kinds = dict.fromkeys(resource.kind for resource in finding.resources)
    return f"only {', '.join(kinds)}" if kinds else "no resource"
