"""What a drill came to, from the records of its journal alone: every figure names its records."""

from flows.gameday.score.assess import assess
from flows.gameday.score.trend import coverage, pasts

__all__ = ["assess", "coverage", "pasts"]
