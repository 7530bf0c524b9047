"""What was decided about each finding: one chain of the journal for each, a record for each version.

GuardDuty sends a finding again as it goes on, queues deliver twice and out of order, and the same
finding comes on several ways. What is newer only adds; what is the same, or older, changes nothing.
Only what is sure decides which version is the newest: a forged one, from next year, would else keep
all real ones from being looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flows.intake.finding import Finding
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record

Outcome = Literal[
    "contained",  # an incident was opened, or gone on with, and is being carried out
    "proposed",  # an incident was opened that a person has to start
    "shadowed",  # nothing was done, but for judging what would have been
    "unrouted",  # no route leads anywhere
    "resolved",  # archived, suppressed or resolved: somebody has dealt with it
    "sample",  # one of GuardDuty's samples, where AWS is live
    "unconfirmed",  # GuardDuty does not have it
    "refused",  # a rule forbids it, or people have stopped it before
    "older",  # a newer version of it was decided about already
]
_KIND = "finding.decided"
PREFIX = "fnd-"
"""How the chains of findings begin."""


@dataclass(frozen=True)
class Decided:
    """What was decided about one version of a finding, and why."""

    updated_at: datetime
    outcome: Outcome
    incident: str
    why: tuple[str, ...]


class FindingLog:
    """The decisions about findings, in the journal."""

    def __init__(self, journal: Journal, actor: Actor, simulate: str) -> None:
        self._journal = journal
        self._actor = actor
        self._simulate = simulate

    def newest(self, finding: Finding) -> Decided | None:
        """What was decided about the newest version that is sure, or about this very one."""
        known = [
            _decided(record)
            for record in self._journal.records(chain_of(finding))
            if record.body["simulate"] == self._simulate and _counts(record, finding)
        ]
        return max(known, key=lambda decided: decided.updated_at, default=None)

    def decide(
        self,
        finding: Finding,
        via: str,
        outcome: Outcome,
        incident: str,
        why: Sequence[str],
        *,
        sure: bool,
    ) -> None:
        """Write down what was decided, durably. ``sure`` is whether GuardDuty has confirmed it, or
        whether nobody can be asked."""
        body = {
            "source": finding.source,
            "id": finding.id,
            "account": finding.account,
            "region": finding.region,
            "type": finding.type,
            "severity": finding.severity,
            "updated_at": finding.updated_at.isoformat(),
            "raw_sha256": finding.raw_sha256,
            "via": via,
            "outcome": outcome,
            "incident": incident,
            "why": list(why),
            "sure": sure,
            "custom_action": finding.custom_action,
            "simulate": self._simulate,
        }
        self._journal.append(chain_of(finding), _KIND, body, self._actor)


def chain_of(finding: Finding) -> str:
    """The chain of a finding: by account, Region and id, whichever way it came."""
    return PREFIX + hashlib.sha256("\n".join(finding.key).encode()).hexdigest()[:24]


def is_finding(chain: str) -> bool:
    """Whether a chain of the journal is a finding's."""
    return chain.startswith(PREFIX)


def _counts(record: Record, finding: Finding) -> bool:
    body = record.body
    if body["outcome"] in {"older", "unconfirmed"}:
        return False
    if finding.custom_action and body["custom_action"] != finding.custom_action:
        # Somebody in Security Hub wants something to be done about a version that is known.
        return False
    return bool(body["sure"]) or body["raw_sha256"] == finding.raw_sha256


def _decided(record: Record) -> Decided:
    body = record.body
    return Decided(
        datetime.fromisoformat(body["updated_at"]),
        body["outcome"],
        body["incident"],
        tuple(body["why"]),
    )
