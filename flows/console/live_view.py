"""A run as it happens: a line for each thing that has happened, as its record is written."""

from __future__ import annotations

import threading
import time

from rich.console import Console

from flows.approvals import SYSTEM
from flows.console.plan_view import show_plan
from flows.console.sentences import sentence
from flows.console.terminal import counted, shown
from flows.journal.record import Record
from runbooks.aws import Progress
from runbooks.calls import Plan

_QUIET = {
    "change.outcome",
    "change.undone",
    "incident.started",
    "slack.posted",
    "slack.told",
    "step.started",
    "verify.passed",
}
_PROGRESS_EVERY = 2.0


class LiveView:
    """Prints records and progress. ``calls`` prints each call as well."""

    def __init__(self, out: Console, *, calls: bool = False) -> None:
        self._out = out
        self._calls = calls
        self._lock = threading.Lock()
        self._start: float | None = None
        self._changes: dict[tuple[str, str], int] = {}
        self._verified: list[str] = []
        self._said: dict[str, float] = {}
        self._plans = 0

    def record(self, record: Record) -> None:
        """Show a record."""
        with self._lock:
            if self._start is None:
                self._start = time.monotonic()
            self._show(record)

    def progress(self, what: str, progress: Progress) -> None:
        """Show how far something is that AWS takes its time for."""
        with self._lock:
            now = time.monotonic()
            if progress.done or now - self._said.get(what, 0.0) >= _PROGRESS_EVERY:
                self._said[what] = now
                share = f" {progress.share:4.0%}" if progress.share else ""
                self._line("…", f"{what}: {progress.text}{share}", "dim")

    def _show(self, record: Record) -> None:
        body = record.body
        if record.kind == "change.intent":
            key = (body["step"], body["target"]["id"])
            self._changes[key] = self._changes.get(key, 0) + 1
            if self._calls or body["undoes"] is not None:
                self._line("·", sentence(record), "dim")
        elif record.kind == "change.outcome" and body["status"] in {"failed", "unknown"}:
            self._line("!", f"{body['status']}: {body['error']}", "red")
        elif record.kind == "verify.passed":
            self._line("✓", f"{body['step']}: verified", "green")
        elif record.kind == "plan.made":
            self._plans += 1
            if self._plans == 1:
                show_plan(self._out, Plan.from_json(body["plan"]), "Plan", calls=self._calls)
            else:
                self._line("·", sentence(record), "")
        elif record.kind == "step.finished":
            self._finished(record)
        elif record.kind == "gate.requested":
            self._gate(record)
        elif record.kind not in _QUIET:
            if record.actor.id == SYSTEM.id:
                self._line("·", sentence(record), "")
            else:
                self._line("▸", f"{record.actor.id}: {sentence(record)}", "bold")

    def _finished(self, record: Record) -> None:
        body = record.body
        target = body["target"].rsplit("/", 1)[-1]
        count = self._changes.get((body["step"], target), 0)
        if body["status"] == "failed":
            self._line("✗", f"{body['step']} on {target}: {body['error']}", "red")
        elif body["status"] == "interrupted":
            self._line("!", f"{body['step']} on {target}: stopped, {body['error']}", "yellow")
        elif body["status"] == "skipped":
            self._line("-", f"{body['step']} on {target}: left out, {body['error']}", "dim")
        else:
            done = counted(count, "change") if count else "nothing to change"
            self._line("✓", f"{body['step']} on {target}: {done}", "green")

    def _gate(self, record: Record) -> None:
        body = record.body
        self._line("?", sentence(record), "bold yellow")
        for line in body["gone"]:
            self._line(" ", f"no longer: {line}", "yellow")
        for line in body["added"]:
            self._line(" ", f"new: {line}", "yellow")
        for verb in ("approve", "deny --why …"):
            word, _, rest = verb.partition(" ")
            command = f"clampdown {word} {record.incident} {body['gate']} {rest}".rstrip()
            self._line(" ", command, "cyan")

    def _line(self, mark: str, text: str, style: str) -> None:
        seconds = time.monotonic() - (self._start or time.monotonic())
        self._out.print(shown(f"{seconds:8.2f} {mark} ", "dim") + shown(text, style))
