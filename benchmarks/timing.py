"""Whole processes and their times: medians of several runs, taken in turn with what they're held against."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence


def seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """The wall time of a whole process. Raises CalledProcessError where it fails."""
    started = time.perf_counter()
    subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    return time.perf_counter() - started


def side_by_side(
    ours: Sequence[str],
    theirs: Sequence[str],
    runs: int,
    environment: Mapping[str, str] | None = None,
) -> tuple[float, float, float]:
    """Medians of both, and the median of the pairs' ratios; a warm-up of each isn't counted."""
    seconds(theirs, environment)
    seconds(ours, environment)
    pairs = [(seconds(ours, environment), seconds(theirs, environment)) for _ in range(runs)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )
