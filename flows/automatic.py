"""The breaker: whether anything is contained without a person, and who froze or lifted that.

GuardDuty can be made to report, truthfully, one instance after the other. What a budget stops
stays stopped until people have looked: a budget that only waits an hour would be spent again and
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.approvals import SYSTEM, groups_of
from flows.identity import Identity
from flows.journal.journal import Journal
from runbooks import clock
from runbooks.errors import InvalidInput, Refused
from runbooks.playbook import Playbooks

CHAIN = "automatic"
"""The journal's chain of freezes, and of what lifted them."""
FROZEN, RESUMED = "automatic.frozen", "automatic.resumed"
_WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class Frozen:
    """Since when nothing starts without a person, and why."""

    since: datetime
    why: str


class Automatic:
    """What may start without a person, on the live side or on that of one simulated AWS."""

    def __init__(self, journal: Journal, simulate: str) -> None:
        self._journal = journal
        self._simulate = simulate

    def frozen(self) -> Frozen | None:
        """Whether everything automatic is frozen."""
        for record in reversed(self._journal.records(CHAIN)):
            if record.kind in (FROZEN, RESUMED) and record.body["simulate"] == self._simulate:
                if record.kind == FROZEN:
                    return Frozen(record.at, record.body["why"])
                return None
        return None

    def frozen_or_spent(self, playbooks: Playbooks) -> str:
        """Why an incident must not start without a person; empty where it may.

        The first one over the budget freezes all that come after it. Whoever asks holds the right
        to open incidents, so that no two count at once.
        """
        if (frozen := self.frozen()) is not None:
            return (
                f"Everything automatic is frozen since {frozen.since:%Y-%m-%d %H:%M} UTC "
                f"({frozen.why}): this is proposed, and a person starts it. "
                "`clampdown resume-automatic` lifts it."
            )
        limit = playbooks.guardrails.budgets.automatic_isolations_per_hour
        started = self.started()
        if started < limit:
            return ""
        why = (
            f"{started} incidents were started automatically within the last hour and the limit "
            f"is {limit}"
        )
        self._journal.append(CHAIN, FROZEN, {"why": why, "simulate": self._simulate}, SYSTEM)
        return (
            f"{why}: everything automatic is frozen, and this is proposed. "
            "`clampdown resume-automatic` lifts it."
        )

    def lift(self, identity: Identity, why: str, playbooks: Playbooks) -> None:
        """Let things start automatically again. What was proposed meanwhile waits for people.

        Raises InvalidInput without a reason or where nothing is frozen, Refused for who is in no
        group of approvers.
        """
        if not why.strip():
            raise InvalidInput("Lifting the freeze needs a reason (--why).")
        if self.frozen() is None:
            raise InvalidInput("Nothing automatic is frozen; nothing was done.")
        if not groups_of(identity, playbooks.approvers):
            raise Refused(
                f"{identity.principal} is in no group of approvers, and only they lift a freeze.",
                advice="Nothing was done. `approvers` in playbooks.yaml says who they are.",
            )
        body = {"why": why, "simulate": self._simulate}
        self._journal.append(CHAIN, RESUMED, body, identity.actor)

    def started(self) -> int:
        """How many incidents have started without a person within the last hour, and since the last
        freeze was lifted: what the budget counts."""
        now = clock.now()
        since = now - _WINDOW
        for record in self._journal.records(CHAIN):
            if record.kind == RESUMED and record.body["simulate"] == self._simulate:
                # By a clock that was wrong it may be in the future: nothing would count until then.
                since = max(since, record.at) if record.at <= now else since
        return sum(
            record.body["simulate"] == self._simulate and bool(record.body["automatic"])
            for kind in ("incident.opened", "incident.asked")
            for record in self._journal.find(kind=kind, since=since)
        )
