"""The steps there are. Explicit, so that nothing becomes a step by being imported."""

from __future__ import annotations

from runbooks.autoscaling.detach import DetachInstance
from runbooks.clean_room.create import CreateCleanRoom
from runbooks.ec2.contain_credentials import ContainCredentials
from runbooks.ec2.isolate import IsolateInstance
from runbooks.ec2.protect import ProtectInstance
from runbooks.ec2.snapshot import SnapshotVolumes
from runbooks.ec2.tag import TagInstance
from runbooks.elb.deregister import DeregisterInstance
from runbooks.evidence.wait import WaitForEvidence
from runbooks.step import AnyStep

_ALL: tuple[type[AnyStep], ...] = (
    ProtectInstance,
    SnapshotVolumes,
    DetachInstance,
    DeregisterInstance,
    IsolateInstance,
    ContainCredentials,
    TagInstance,
    WaitForEvidence,
    CreateCleanRoom,
)

STEPS: dict[str, type[AnyStep]] = {step.name: step for step in _ALL}
