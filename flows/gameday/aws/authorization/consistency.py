"""IAM as it counts: what was changed a moment ago isn't in force yet.

"Changes that you make in IAM … are eventually consistent: … it takes time to become visible from
all possible endpoints" (IAM User Guide, "Troubleshooting IAM: changes that I make are not always
immediately visible").
"""

from __future__ import annotations

import copy
from typing import Any

from flows.gameday.aws import settings, simulated_time

# The accounts' IAM from before each change that doesn't count yet; kept by STS, so that it is
# forgotten and remembered with everything else.
_HISTORY = "iam_before_changes"


def iam_in_force(account: str, partition: str = "aws") -> Any:
    """An account's IAM as authorization sees it: without the changes of the last
    ``iam_consistency_seconds``."""
    from moto.iam.models import iam_backends

    for changed, before in _history(account, partition):
        if changed > simulated_time.monotonic() - settings.SETTINGS.iam_consistency_seconds:
            return before
    return iam_backends[account][partition]


def before_change(account: str, partition: str = "aws") -> None:
    """Keep the account's IAM as it is, because it may be changed now."""
    from moto.iam.models import iam_backends

    seconds = settings.SETTINGS.iam_consistency_seconds
    history = _history(account, partition)
    now = simulated_time.monotonic()
    history[:] = [item for item in history if item[0] > now - seconds]
    if seconds > 0:
        history.append((now, copy.deepcopy(iam_backends[account][partition])))


def _history(account: str, partition: str) -> list[tuple[float, Any]]:
    from moto.sts.models import sts_backends

    known: list[tuple[float, Any]] = sts_backends[account][partition].__dict__.setdefault(
        _HISTORY, []
    )
    return known
