"""GuardDuty's finding types as Security Hub spells them, back in GuardDuty's own spelling.

Security Hub puts a path in front of a type and changes its slash, and with some more
("Interpreting GuardDuty finding names in AWS Security Hub", GuardDuty User Guide):
``TTPs/Discovery/Recon:IAMUser-UserPermissions``, ``TTPs/Discovery/IAMUser-AnomalousBehavior``,
``TTPs/Discovery/RDS-TorIPCaller``, ``TTPs/AnomalousBehavior/Execution:Kubernetes-ExecInPod``,
``TTPs/DefenseEvasion/EC2:Unusual-DoH-Activity``. Older ones have a dot for the slash.
"""

from __future__ import annotations

import re

_WHOLE = re.compile(r"(?:(.*)/)?([^/:]+):([A-Za-z0-9]+)[-./](.+)", re.DOTALL)
"""The path, and the type's threat purpose, resource and the rest."""
_WITHOUT_PURPOSE = re.compile(r"TTPs/([A-Za-z ]+)/([A-Za-z0-9]+)-([^/:]+)")
"""The purpose only stands in the path, perhaps in two words (``Credential Access``)."""
_IN_WORDS = re.compile(r"TTPs/([A-Za-z ]+)/(EC2):([A-Za-z-]+)")
"""As before, with the rest taken apart into words."""

_ANOMALOUS = "AnomalousBehavior"
"""Stands in the path of Kubernetes' types, instead of within them."""


def guardduty_type(text: str) -> str | None:
    """GuardDuty's own spelling of its type, or None where the text is none."""
    if match := _IN_WORDS.fullmatch(text):
        return _spelled(match[1], match[2], match[3].replace("-", ""))
    if match := _WHOLE.fullmatch(text):
        path, purpose, resource, rest = match.groups()
        anomalous = (path or "").rpartition("/")[2] == _ANOMALOUS
        if anomalous and not rest.startswith(_ANOMALOUS):
            rest = f"{_ANOMALOUS}.{rest}"
        return f"{purpose}:{resource}/{rest}"
    if match := _WITHOUT_PURPOSE.fullmatch(text):
        return _spelled(match[1], match[2], match[3])
    return None


def _spelled(purpose: str, resource: str, rest: str) -> str:
    return f"{purpose.replace(' ', '')}:{resource}/{rest}"
