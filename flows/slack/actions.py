"""What can be clicked: the ids of buttons and modals, and the values they carry. Ids, nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks.errors import InvalidInput

APPROVE = "gate_approve"
DENY = "gate_deny"
BREAK_GLASS = "gate_break_glass"
REVIEW = "gate_review"
TASK_DONE = "task_done"
TASK_IMPOSSIBLE = "task_impossible"
SHOW_CALLS = "show_calls"
CALLS_BACK = "calls_back"
CALLS_ON = "calls_on"
SHOW_TIMELINE = "show_timeline"
TIMELINE_BACK = "timeline_back"
TIMELINE_ON = "timeline_on"
START = "incident_start"
RESUME = "incident_resume"
ABORT = "incident_abort"
UNDO = "incident_undo"
NEW = "incident_new"
AWAY = "away_set"
RESUME_AUTOMATIC = "automatic_resume"

# Modals, by their callback id. Those that ask for a decision are named as their buttons are.
TRIGGER = "trigger"
CODE = "gate_code"

_WHOLE = "-"
_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class GateValue:
    """What a button of a gate carries: which gate, and which request for it was shown."""

    incident: str
    gate: str
    nonce: str

    def __str__(self) -> str:
        return f"{self.incident} {self.gate} {self.nonce}"

    @classmethod
    def read(cls, value: str) -> GateValue:
        """Raises InvalidInput."""
        return cls(*_parts(value, 3))


@dataclass(frozen=True)
class TaskValue:
    """What a button of a task carries."""

    incident: str
    task: str

    def __str__(self) -> str:
        return f"{self.incident} {self.task}"

    @classmethod
    def read(cls, value: str) -> TaskValue:
        """Raises InvalidInput."""
        return cls(*_parts(value, 2))


@dataclass(frozen=True)
class PageValue:
    """What the buttons that show or turn pages carry. ``gate`` is empty for all of a plan."""

    incident: str
    page: int
    gate: str = ""

    def __str__(self) -> str:
        return f"{self.incident} {self.page} {self.gate or _WHOLE}"

    @classmethod
    def read(cls, value: str) -> PageValue:
        """An incident's id alone means its first page. Raises InvalidInput."""
        parts = _parts(value, 1, 3)
        if len(parts) == 1:
            return cls(parts[0], 0)
        incident, page, gate = parts
        return cls(incident, int(page) if page.isdecimal() else 0, "" if gate == _WHOLE else gate)


@dataclass(frozen=True)
class FreezeValue:
    """What the button that lifts a freeze carries: the number of the record that began it."""

    seq: int

    def __str__(self) -> str:
        return str(self.seq)

    @classmethod
    def read(cls, value: str) -> FreezeValue:
        """Raises InvalidInput."""
        (seq,) = _parts(value, 1)
        # 0 is no record's number.
        return cls(int(seq) if seq.isdecimal() else 0)


def _parts(value: str, *counts: int) -> list[str]:
    parts = value.split(" ")
    if len(parts) not in counts or not all(_VALUE.fullmatch(part) for part in parts):
        raise InvalidInput(
            "This button is none of Clampdown's as it is now; nothing was done.",
            advice="`/clampdown incidents` lists what there is.",
        )
    return parts
