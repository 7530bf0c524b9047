"""What may never be changed, and how much may be changed at all."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from runbooks.aws import Where
from runbooks.calls import Change, Resource
from runbooks.errors import BudgetExceeded, ProtectedResource


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


class Guardrails:
    """Holds every change against the protected list and the hourly budget of its account.

    Nobody can override it: neither a playbook nor an approver.
    """

    def __init__(
        self, protected: Sequence[Protected], changes_per_account_per_hour: int, spent: Spending
    ) -> None:
        self._protected = protected
        self._budget = changes_per_account_per_hour
        self._spent = spent
        self._lock = threading.Lock()

    def check(self, change: Change, where: Where) -> None:
        """Raise ProtectedResource or BudgetExceeded where the change must not be made."""
        self.check_resource(change.on, f"{change.call.action} was not sent.")
        with self._lock:
            if (spent := self._spent(where.account)) >= self._budget:
                raise BudgetExceeded(
                    f"{spent} changes were made in account {where.account} within the last hour; "
                    f"the budget is {self._budget}. {change.call.action} was not sent.",
                    advice="Raise guardrails.budgets.changes_per_account_per_hour in "
                    "playbooks.yaml, or wait; then `clampdown resume`.",
                )

    def check_resource(self, resource: Resource, consequence: str) -> None:
        """Raise ProtectedResource where the resource is on the protected list."""
        for rule in self._protected:
            if rule.covers(resource):
                raise ProtectedResource(
                    f"{resource.arn} is protected (guardrails.protected: {rule}). {consequence}",
                    advice="Only a change of playbooks.yaml lifts that.",
                )
