"""The steps there are. Explicit, so that nothing becomes a step by being imported."""

from __future__ import annotations

from runbooks.ec2.isolate import IsolateInstance
from runbooks.ec2.protect import ProtectInstance
from runbooks.ec2.snapshot import SnapshotVolumes
from runbooks.ec2.tag import TagInstance
from runbooks.evidence.wait import WaitForEvidence
from runbooks.step import AnyStep

_ALL: tuple[type[AnyStep], ...] = (
    ProtectInstance,
    SnapshotVolumes,
    IsolateInstance,
    TagInstance,
    WaitForEvidence,
)

STEPS: dict[str, type[AnyStep]] = {step.name: step for step in _ALL}
