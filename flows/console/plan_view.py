"""A plan as people read it before they let it happen."""

from __future__ import annotations

from rich.console import Console

from flows.console.terminal import counted, shown
from runbooks.calls import Change, Keep, Plan, PlannedStep


def show_plan(out: Console, plan: Plan, title: str, *, calls: bool) -> None:
    """Print a plan; with ``calls`` every call and its undo, without them a line per change."""
    out.print(shown(f"{title} ({plan.playbook})", "bold"))
    for target in plan.targets:
        out.print(shown(f"  target  {target}"))
    out.print(shown(f"  digest  {plan.digest}", "dim"))
    gate: str | None = ""
    for step in plan.steps:
        if step.gate != gate:
            gate = step.gate
            out.print(shown(f"\n  ── behind the gate {gate} ──", "yellow"))
        _show_step(out, step, many=len(plan.targets) > 1, calls=calls)
    out.print()
    if calls:
        out.print(shown("Long values are cut here (…); --json has all of every call.", "dim"))
    if not plan.changes:
        out.print(shown("Already contained: there is nothing to change.", "green"))


def _show_step(out: Console, step: PlannedStep, *, many: bool, calls: bool) -> None:
    where = f" on {step.target.rsplit('/', 1)[-1]}" if many else ""
    if step.skipped:
        out.print(shown(f"\n  {step.id}{where}: left out, {step.skipped}", "dim"))
        return
    amount = counted(len(step.changes), "change") if step.changes else "nothing to change"
    out.print(shown(f"\n  {step.id}{where}: {amount}", "bold"))
    for change in step.changes:
        _show_change(out, change, "", calls=calls)
    for change in step.contingent:
        _show_change(out, change, "if needed: ", calls=calls)
    for warning in step.warnings:
        out.print(shown(f"    ! {warning}", "yellow"))


def _show_change(out: Console, change: Change, prefix: str, *, calls: bool) -> None:
    out.print(shown(f"    • {prefix}{change.why}"))
    if not calls:
        return
    out.print(shown(f"        {change.call}", "cyan"))
    if isinstance(change.undo, Keep):
        out.print(shown(f"        stays: {change.undo.reason}", "dim"))
    for undo in change.undos:
        out.print(shown(f"        undo: {undo.call}", "dim"))
