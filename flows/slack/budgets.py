"""How much may still be done, by the journal: what the guardrails leave for the next hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flows.journal.record import Record
from runbooks.playbook import Playbooks


@dataclass(frozen=True)
class Budgets:
    """What was spent within the last hour, and how much there is for an hour."""

    changes: Mapping[str, int]
    changes_limit: int
    automatic: int
    automatic_limit: int


def budgets(
    playbooks: Playbooks, intents: Iterable[Record], automatic: int, simulate: str
) -> Budgets:
    """The budgets of the live side, or, with ``simulate``, of that simulated AWS.

    ``intents`` are the last hour's ``change.intent`` records, of which those count that do in
    :mod:`flows.ledger`. ``automatic`` is how many incidents count by :mod:`flows.automatic`.
    """
    mode = "simulated" if simulate else "live"
    spent = Counter(
        record.body["target"]["account"]
        for record in intents
        if record.body["mode"] == mode and record.body["undoes"] is None
    )
    limits = playbooks.guardrails.budgets
    return Budgets(
        changes={account: spent[account] for account in playbooks.accounts},
        changes_limit=limits.changes_per_account_per_hour,
        automatic=automatic,
        automatic_limit=limits.automatic_isolations_per_hour,
    )
