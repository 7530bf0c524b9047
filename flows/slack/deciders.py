"""Who may decide a gate, who has, and what happens when nobody does."""

from __future__ import annotations

from datetime import timedelta

from flows.approvals import GateState
from flows.console.terminal import counted
from flows.slack.away import pings
from flows.slack.text import code, safe, span, when, who
from flows.slack.told import Told

_ANSWERS = {"approve": "✅ approved", "deny": "⛔ denied", "more_info": "❔ asked for more"}
_MOST_VOTES = 6


def deciding(gate: GateState) -> list[str]:
    """The groups whose votes count, each once."""
    groups = [item["group"] for item in gate.request["any_of"]]
    escalated = [gate.request["escalate_to"]] if gate.escalated else []
    return list(dict.fromkeys([*groups, *escalated]))


def pings_of(told: Told, group: str) -> list[str]:
    """What pings a group by its name; empty where nobody of it is in Slack."""
    known = told.playbooks.approvers.get(group)
    return pings(known, told.away) if known else []


def groups_line(told: Told, gate: GateState) -> str:
    """Who may decide: how many of each group are there, of how many that are needed."""
    request = gate.request
    needed = [
        f"{got} of {code(group, 80)}{_elsewhere(told, group)}" for got, group in _alternatives(gate)
    ]
    lines = [f"{' *or* '.join(needed)} must approve. {_denying(request['deny_at'])}"]
    if "requester" in request["distinct_from"]:
        lines.append(f"Not {who(told.incident.requester.id)}, who asked for this.")
    if "author" in request["distinct_from"]:
        lines.append("Not who wrote the playbook.")
    if request["break_glass"]:
        within = span(timedelta(seconds=request["review_seconds"]))
        lines.append(
            f"In an emergency one of {code(request['break_glass'], 80)} alone may break the glass, "
            f"with a reason; others are paged, and review it within {within}."
        )
    return "\n".join(lines)


def votes_lines(gate: GateState) -> list[str]:
    """What those have said whose votes count."""
    return [
        f"{'🔨 broke the glass' if vote.break_glass else _ANSWERS[vote.answer]}: "
        f"{who(vote.principal)}, {when(vote.at)}" + (f": {safe(vote.why, 300)}" if vote.why else "")
        for vote in gate.votes[-_MOST_VOTES:]
    ]


def otherwise_line(gate: GateState) -> str:
    """What happens when the time is over."""
    if gate.request["otherwise"] == "escalate" and not gate.escalated:
        return f"Then {code(gate.request['escalate_to'], 80)} is asked."
    return "No answer means *no*: nothing behind it is done."


def escalation_line(gate: GateState) -> str:
    """Who else was asked in vain; empty where nobody was."""
    if not gate.escalated:
        return ""
    return f"{code(gate.request['escalate_to'], 80)} was asked as well. What stood before it stays done."


def _alternatives(gate: GateState) -> list[tuple[str, str]]:
    """``1/2`` and the group, for each alternative."""
    counts = [(item["group"], item["count"]) for item in gate.request["any_of"]]
    if gate.escalated:
        counts.append((gate.request["escalate_to"], 1))
    approving = [vote for vote in gate.votes if vote.answer == "approve"]
    return [
        (f"{sum(group in vote.groups for vote in approving)}/{count}", group)
        for group, count in counts
    ]


def _elsewhere(told: Told, group: str) -> str:
    known = told.playbooks.approvers.get(group)
    in_slack = known is not None and bool(known.slack_users or known.slack_usergroup)
    return "" if in_slack else " (not in Slack: at a terminal)"


def _denying(deny_at: int) -> str:
    return (
        "One denial is enough to stop it."
        if deny_at == 1
        else (f"It takes {counted(deny_at, 'denial')} to stop it.")
    )
