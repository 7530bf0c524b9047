"""Whether a drill was passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.gameday.assessment import Verdict
from flows.gameday.drills import Drill


def passed(drill: Drill, verdicts: Sequence[Verdict], journal: Mapping[str, Any]) -> bool:
    """It came to its end, its journal holds, no objective that was tested was missed or met only
    in part, and one at least was met."""
    over = drill.ended is not None and drill.ended.body["why"] == "over"
    levels = {verdict.level for verdict in verdicts}
    good = "met" in levels and levels <= {"met", "not tested"}
    return over and good and journal["ok"] is not False
