"""A playbook in words: what it does, in which order, who is asked, and which permissions it needs."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from flows.console.terminal import shown
from runbooks.errors import InvalidInput
from runbooks.lint import notes
from runbooks.permissions import actions_of
from runbooks.playbook import Approve, Entry, Manual, Parallel, Playbooks, RunStep
from runbooks.registry import STEPS


def playbook_document(playbooks: Playbooks, name: str) -> dict[str, Any]:
    """The playbook as data. Raises InvalidInput where there is none of that name."""
    if name not in playbooks.playbooks:
        there = ", ".join(sorted(playbooks.playbooks)) or "none"
        raise InvalidInput(f"There is no playbook {name!r}.", advice=f"There are: {there}.")
    playbook = playbooks.playbooks[name]
    return {
        "name": name,
        "title": playbook.title,
        "target": playbook.target,
        "version": playbook.version,
        "steps": [_entry(entry) for entry in playbook.steps],
        "notes": [note for note in notes(playbooks, STEPS) if note.startswith(f"{name}:")],
        "permissions": actions_of({STEPS[step.step] for step in playbook.run_steps()}),
    }


def show_playbook(out: Console, document: dict[str, Any]) -> None:
    out.print(shown(f"{document['title']} ({document['name']})", "bold"))
    out.print(shown(f"  for {document['target']}, version {document['version'][:12]}\n"))
    for entry in document["steps"]:
        _show_entry(out, entry, "  ")
    for note in document["notes"]:
        out.print(shown(f"\n! {note}", "yellow"))
    out.print(shown(f"\n{len(document['permissions'])} IAM actions:", "bold"))
    out.print(shown("  " + ", ".join(document["permissions"])))
    out.print(shown(f"\n`clampdown permissions {document['name']}` prints the policy."))


def _show_entry(out: Console, entry: dict[str, Any], indent: str) -> None:
    condition = f"  (when {entry['when']})" if entry.get("when") else ""
    if entry["kind"] == "step":
        out.print(shown(f"{indent}{entry['id']}", "bold") + shown(f"  {entry['title']}{condition}"))
        for key, value in entry["with"].items():
            out.print(shown(f"{indent}    {key}: {value}", "dim"))
    elif entry["kind"] == "gate":
        asks = " or ".join(f"{item['count']} of {item['group']}" for item in entry["any_of"])
        text = f"── gate {entry['id']}: {asks} within {entry['within']}, otherwise {entry['otherwise']}"
        out.print(shown(f"{indent}{text}{condition}", "yellow"))
    elif entry["kind"] == "parallel":
        out.print(shown(f"{indent}side by side:"))
        for step in entry["steps"]:
            _show_entry(out, step, indent + "  ")
    else:
        out.print(shown(f"{indent}people ({entry['by']}): {entry['text']}"))


def _entry(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Approve):
        gate = entry.approve
        return {
            "kind": "gate",
            "id": gate.id,
            "when": entry.when,
            "any_of": [{"group": item.group, "count": item.count} for item in gate.alternatives],
            "within": str(gate.within),
            "otherwise": gate.otherwise,
            "escalate_to": gate.escalate_to,
        }
    if isinstance(entry, Parallel):
        return {"kind": "parallel", "steps": [_step(step) for step in entry.parallel]}
    if isinstance(entry, Manual):
        return {
            "kind": "manual",
            "id": entry.manual.id,
            "text": entry.manual.text,
            "by": entry.manual.by,
        }
    return _step(entry)


def _step(entry: RunStep) -> dict[str, Any]:
    step = STEPS[entry.step]
    return {
        "kind": "step",
        "id": entry.id,
        "step": entry.step,
        "title": step.title(),
        "with": dict(entry.with_),
        "when": entry.when,
        "on_failure": entry.on_failure_or_default(step),
        "disruptive": step.disruptive,
    }
