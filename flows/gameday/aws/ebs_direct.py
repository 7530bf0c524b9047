"""EBS direct APIs: the blocks of snapshots that were written with them, and no others."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws import operations


def correct() -> None:
    """Refuse to read or write the blocks of snapshots that have none."""
    from moto.ebs.models import EBSBackend

    for method in (
        "complete_snapshot",
        "get_snapshot_block",
        "list_snapshot_blocks",
        "put_snapshot_block",
    ):
        setattr(EBSBackend, method, _of_written(getattr(EBSBackend, method)))


def _of_written(method: Any) -> Any:
    def called(self: Any, snapshot_id: str, *rest: Any, **named: Any) -> Any:
        from moto.ec2.models import ec2_backends

        if snapshot_id in self.snapshots:
            return method(self, snapshot_id, *rest, **named)
        if snapshot_id in ec2_backends[self.account_id][self.region_name].snapshots:
            raise NotImplementedError("the volumes of the simulated AWS hold no data")
        # moto fails over a snapshot that there is not.
        raise operations.error(
            "ResourceNotFoundException", f"The snapshot '{snapshot_id}' does not exist."
        )

    return called
