"""What the simulated AWS can be told: how long things take, and how much there may be of them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from flows.gameday.aws import simulated_time


class Settings(BaseModel):
    """Settings of a simulated AWS. Changed while it runs, they hold for what comes after.

    ``latency_seconds`` is added to every call; calls made side by side wait side by side.
    ``snapshot_seconds`` is how long a snapshot is pending, ``drain_seconds`` how long a target
    drains after its deregistration, ``stack_seconds`` how long a CloudFormation stack is in
    progress. ``health_seconds`` is how long a load balancer can't reach an instance before its
    Auto Scaling group terminates and replaces it; with 0 that never happens. ``grace_seconds`` is
    what is left of a group's health check grace period for its new members, at most.
    ``register_seconds`` is how long a target, or an instance of a classic load balancer, is being
    registered. ``provision_seconds`` is how long RDS, ECS and EKS take to make, to change or to
    stop something. ``instance_seconds`` is how long an instance is pending, stopping or shutting
    down; what Auto Scaling launches is running at once.

    ``snapshots_fail`` has the snapshots that are taken from now on end in ``error``, and
    ``no_capacity`` are the instance types of which none can be launched.
    ``groups_per_vpc`` is the quota of security groups in a VPC. ``seed`` makes the ids of
    resources the same in every run; it counts from the next reset on.

    ``untrack_seconds`` is how long the rules of security groups have to leave a connection untracked
    before it is (:data:`flows.gameday.network.connections.UNTRACKED_AFTER`).

    With ``enforce_iam`` nobody may do what IAM doesn't allow them; access keys that begin with
    AKIASIMULATED are the administrator's. ``iam_consistency_seconds`` is how long a change of IAM takes
    to count. ``trail_seconds`` is how long CloudTrail takes to know of a call.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    latency_seconds: float = Field(default=0.0, ge=0)
    snapshot_seconds: float = Field(default=0.0, ge=0)
    drain_seconds: float = Field(default=0.0, ge=0)
    stack_seconds: float = Field(default=0.0, ge=0)
    health_seconds: float = Field(default=0.0, ge=0)
    grace_seconds: float = Field(default=0.0, ge=0)
    register_seconds: float = Field(default=0.0, ge=0)
    provision_seconds: float = Field(default=0.0, ge=0)
    instance_seconds: float = Field(default=0.0, ge=0)
    snapshots_fail: bool = False
    no_capacity: tuple[str, ...] = ()
    # "VPC security groups per Region: 2,500" is the quota closest to one per VPC (Amazon VPC
    # quotas); a test lowers it.
    groups_per_vpc: int = Field(default=2500, ge=1)
    seed: int = 0
    untrack_seconds: float = Field(default=60.0, ge=0)
    enforce_iam: bool = False
    iam_consistency_seconds: float = Field(default=0.0, ge=0)
    trail_seconds: float = Field(default=0.0, ge=0)


# moto's state is global to the process, and so are the settings of what corrects it.
SETTINGS = Settings()


def configure(**values: object) -> None:
    """Change settings; those not named stay. Raises ValidationError for unknown names."""
    checked = Settings.model_validate({**SETTINGS.model_dump(), **values})
    for name in Settings.model_fields:
        setattr(SETTINGS, name, getattr(checked, name))


@dataclass(frozen=True)
class Taking:
    """Something that was begun and takes its time."""

    began: float
    seconds: float

    @classmethod
    def now(cls, seconds: float) -> Taking:
        return cls(simulated_time.monotonic(), seconds)

    @property
    def share(self) -> float:
        """How much of it has passed, 0 to 1."""
        if self.seconds <= 0:
            return 1.0
        return min(1.0, (simulated_time.monotonic() - self.began) / self.seconds)

    @property
    def over(self) -> bool:
        return self.share >= 1.0
