"""Who would have been asked at the gates of a playbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.execution import Planner
from runbooks.playbook import Approve, ApproverGroup, Playbook
from runbooks.targets.instance import Ec2Instance


def asked(
    planner: Planner,
    playbook: Playbook,
    targets: Sequence[Ec2Instance],
    approvers: Mapping[str, ApproverGroup],
) -> Iterator[dict[str, Any]]:
    """Each gate, whether it would have been needed and why, and the people that it asks."""
    for entry in playbook.steps:
        if not isinstance(entry, Approve):
            continue
        needed, why = planner.gate_needed(entry, targets, {})
        gate = entry.approve
        yield {
            "gate": gate.id,
            "needed": needed,
            "why": why,
            "asks": [
                {
                    "group": item.group,
                    "count": item.count,
                    "people": _people(approvers.get(item.group)),
                }
                for item in gate.alternatives
            ],
            "within_seconds": gate.within.total_seconds(),
            "otherwise": gate.otherwise,
            "escalate_to": gate.escalate_to,
            "step_up": gate.step_up,
        }


def _people(group: ApproverGroup | None) -> list[str]:
    if group is None:
        return []
    usergroup = [f"slack usergroup {group.slack_usergroup}"] if group.slack_usergroup else []
    return [
        *(f"local:{user}" for user in group.local_users),
        *(f"slack:{group.slack_team}/{user}" for user in group.slack_users),
        *usergroup,
    ]
