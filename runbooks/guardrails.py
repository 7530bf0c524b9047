"""What may never be changed, and how much may be changed at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from runbooks.aws import Where
from runbooks.calls import Change, Resource
from runbooks.errors import BudgetExceeded, NotForDrills, ProtectedResource
from runbooks.targets.instance import Ec2Instance

DRILL_TAG = "clampdown:drill"
"""What may be changed in a live drill carries this tag with the value ``true``."""

# These make something new, and leave what is named beside it as it is.
CREATES = frozenset(
    {
        "create_instance_profile",
        "create_role",
        "create_security_group",
        "create_snapshot",
        "create_snapshots",
        "create_stack",
    }
)


@dataclass(frozen=True)
class Protected:
    """A rule of the protected list: tags that a resource carries, or a glob on its ARN."""

    tags: Mapping[str, str] | None = None
    arn: str | None = None

    def covers(self, resource: Resource) -> bool:
        if self.arn is not None and fnmatchcase(resource.arn, self.arn):
            return True
        return bool(self.tags) and all(
            resource.tags.get(key) == value for key, value in (self.tags or {}).items()
        )

    def __str__(self) -> str:
        return self.arn or ", ".join(f"{key}={value}" for key, value in (self.tags or {}).items())


class Spending(Protocol):
    """How many changes were made in an account in the last hour, by the journal."""

    def __call__(self, account: str) -> int: ...


def for_drills(resource: Resource) -> bool:
    """Whether the resource is tagged for drills."""
    return resource.tags.get(DRILL_TAG) == "true"


class DrillsOnly:
    """What a live drill may change: what is tagged for drills, what its own incident has made, and
    what is reached only through a target that is tagged: its interfaces and volumes.

    A role, an Auto Scaling group, a target group or a network ACL serves others as well: only its
    own tag counts.

    ``targets`` are the facts as they were last read, ``created`` the ids and ARNs of what the
    incident has made so far.
    """

    def __init__(
        self,
        incident: str,
        targets: Callable[[], Iterable[Ec2Instance]],
        created: Callable[[], Collection[str]],
    ) -> None:
        self._incident = incident
        self._targets = targets
        self._created = created

    def check(self, change: Change) -> None:
        """Raise NotForDrills where the change is of anything else."""
        if self._allows(change.on) or (change.call.operation in CREATES and self._all_tagged()):
            return
        raise NotForDrills(
            f"{change.on.arn} is not tagged {DRILL_TAG}=true, and {self._incident} is a live drill. "
            f"{change.call.action} was not sent.",
            advice="Tag it if it may be changed in drills; a drill changes nothing else.",
        )

    def check_target(self, target: Resource, consequence: str) -> None:
        """Raise NotForDrills where a target is not tagged for drills itself."""
        if not for_drills(target):
            raise NotForDrills(
                f"{target.arn} is not tagged {DRILL_TAG}=true, and this is a live drill. "
                f"{consequence}",
                advice="A live drill is for resources that are there for drills: tag one of those.",
            )

    def _allows(self, resource: Resource) -> bool:
        last = resource.arn.rsplit("/", 1)[-1]
        made = self._created()
        return (
            for_drills(resource)
            or resource.tags.get("clampdown:incident") == self._incident
            or resource.arn in made
            or last in made
            or resource.arn in self._reached()
        )

    def _all_tagged(self) -> bool:
        targets = list(self._targets())
        return bool(targets) and all(for_drills(target.resource) for target in targets)

    def _reached(self) -> set[str]:
        return {
            arn
            for target in self._targets()
            if for_drills(target.resource)
            for arn in _belonging_to(target)
        }


def _belonging_to(target: Ec2Instance) -> Iterator[str]:
    yield from (interface.resource.arn for interface in target.network_interfaces)
    yield from (volume.resource.arn for volume in target.volumes)


class Guardrails:
    """Holds every change against the protected list and the hourly budget of its account; in a live
    drill, also against what drills may change.

    Nobody can override it: neither a playbook nor an approver.
    """

    def __init__(
        self,
        protected: Sequence[Protected],
        changes_per_account_per_hour: int,
        spent: Spending,
        drills_only: DrillsOnly | None = None,
    ) -> None:
        self._protected = protected
        self._drills_only = drills_only
        self._budget = changes_per_account_per_hour
        self._spent = spent
        self._lock = threading.Lock()

    def check(self, change: Change, where: Where) -> None:
        """Raise ProtectedResource or BudgetExceeded where the change must not be made."""
        self.check_resource(change.on, f"{change.call.action} was not sent.")
        if self._drills_only:
            self._drills_only.check(change)
        with self._lock:
            if (spent := self._spent(where.account)) >= self._budget:
                raise BudgetExceeded(
                    f"{spent} changes were made in account {where.account} within the last hour; "
                    f"the budget is {self._budget}. {change.call.action} was not sent.",
                    advice="Raise guardrails.budgets.changes_per_account_per_hour in "
                    "playbooks.yaml, or wait; then `clampdown resume`.",
                )

    def check_target(self, target: Resource, consequence: str) -> None:
        """Raise ProtectedResource or NotForDrills where nothing may be done to a target."""
        self.check_resource(target, consequence)
        if self._drills_only:
            self._drills_only.check_target(target, consequence)

    def check_resource(self, resource: Resource, consequence: str) -> None:
        """Raise ProtectedResource where the resource is on the protected list."""
        for rule in self._protected:
            if rule.covers(resource):
                raise ProtectedResource(
                    f"{resource.arn} is protected (guardrails.protected: {rule}). {consequence}",
                    advice="Only a change of playbooks.yaml lifts that.",
                )
