"""The list of all checks, in the order in which they are shown."""

from __future__ import annotations

from flows.doctor import accounts, journal, machine, playbooks, prefect, queues, slack
from flows.doctor.check import Check
from flows.doctor.setup import Setup

GROUPS = (
    playbooks.checks,
    machine.checks,
    journal.checks,
    accounts.checks,
    queues.checks,
    prefect.checks,
    slack.checks,
)


def checks(setup: Setup) -> list[Check]:
    """Everything that is to be looked at in this set-up. Nothing is looked at yet."""
    return [check for group in GROUPS for check in group(setup)]
