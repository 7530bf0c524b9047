"""A plan in words: for the Prefect run view, and for whatever shows plain text."""

from __future__ import annotations

import re

from runbooks.calls import Plan, PlannedStep


def plan_markdown(plan: Plan, title: str) -> str:
    """The plan as Markdown: what each step does, exactly, and how it is taken back."""
    lines = [
        f"# {_text(title)}",
        "",
        f"Playbook `{plan.playbook}` · digest `{plan.digest}`",
        "",
        "Targets: " + ", ".join(f"`{target}`" for target in plan.targets),
        "",
    ]
    gate = ""
    for step in plan.steps:
        if step.gate != gate:
            gate = step.gate
            lines += [f"## Behind the gate `{gate}`", ""]
        lines += _step(step)
    return "\n".join(lines)


def summary(plan: Plan) -> str:
    """One line: how much the plan changes, and where people are asked."""
    gates = [gate for gate in dict.fromkeys(step.gate for step in plan.steps) if gate]
    asks = f", with approval: {', '.join(gates)}" if gates else ", without approval"
    return f"{len(plan.changes)} changes on {len(plan.targets)} target(s){asks}"


def _step(step: PlannedStep) -> list[str]:
    if step.skipped:
        return [f"### {step.id}", "", f"Left out: {_text(step.skipped)}", ""]
    lines = [f"### {step.id}", ""]
    if not step.changes:
        lines += ["Nothing to change.", ""]
    for change in step.changes:
        lines.append(f"- {_text(change.why)}: `{_code(str(change.call))}`")
    for change in step.contingent:
        lines.append(f"- if needed: {_text(change.why)}: `{_code(str(change.call))}`")
    lines += [f"> {_text(warning)}" for warning in step.warnings]
    return [*lines, ""]


def _text(text: str) -> str:
    """Text as it is: names that somebody gave to resources are neither links nor HTML."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
