"""RDS: snapshots that take their time, and with whom they can be shared."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws import rds, settings
from flows.gameday.aws.settings import Taking


def correct() -> None:
    """Have snapshots be creating before they are available, and be shared as AWS shares them."""
    _states()
    _uses()
    _sharing()
    _pages()


def _states() -> None:
    from moto.rds.models import DBSnapshot, RDSBackend

    make = DBSnapshot.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        self.taking = Taking.now(settings.SETTINGS.provision_seconds)
        make(self, *arguments, **named)
        group = getattr(self.database, "db_subnet_group", None)
        self.vpc_id = None if group is None else group.vpc_id
        self.availability_zone = self.database.availability_zone

    def status(self: Any) -> str:
        return "available" if self.taking.over else "creating"

    DBSnapshot.__init__ = __init__
    DBSnapshot.status = property(status, lambda snapshot, value: None)
    DBSnapshot.percent_progress = property(lambda snapshot: int(100 * snapshot.taking.share))

    create = RDSBackend.create_db_snapshot

    def create_db_snapshot(
        self: Any,
        db_instance_identifier: str,
        db_snapshot_identifier: str,
        snapshot_type: str = "manual",
        **more: Any,
    ) -> Any:
        database = self.databases.get(db_instance_identifier)
        # "The source DB instance must be in the available or storage-optimization state"
        # (CreateDBSnapshot).
        refused = database is not None and database.status != "available"
        if refused and db_snapshot_identifier not in self.database_snapshots:
            raise rds.error(
                "InvalidDBInstanceState",
                f"Cannot create a snapshot because the database instance {db_instance_identifier} "
                "is not currently in the available state.",
            )
        snapshot = create(
            self, db_instance_identifier, db_snapshot_identifier, snapshot_type, **more
        )
        if snapshot_type == "manual":
            # "backing-up: The DB instance is currently being backed up" (RDS User Guide).
            database.doing = rds.UnderWay.now("backing-up")
        return snapshot

    RDSBackend.create_db_snapshot = create_db_snapshot


def _uses() -> None:
    from moto.rds.models import RDSBackend

    copy, restore = RDSBackend.copy_db_snapshot, RDSBackend.restore_db_instance_from_db_snapshot

    # "The source DB snapshot must be in the available state" (CopyDBSnapshot).
    def copy_db_snapshot(
        self: Any, source_db_snapshot_identifier: str, *rest: Any, **more: Any
    ) -> Any:
        _require_available(self, source_db_snapshot_identifier)
        return copy(self, source_db_snapshot_identifier, *rest, **more)

    def restore_db_instance_from_db_snapshot(
        self: Any, from_snapshot_id: str, overrides: dict[str, Any]
    ) -> Any:
        _require_available(self, from_snapshot_id)
        return restore(self, from_snapshot_id, overrides)

    RDSBackend.copy_db_snapshot = copy_db_snapshot
    RDSBackend.restore_db_instance_from_db_snapshot = restore_db_instance_from_db_snapshot


def _require_available(backend: Any, identifier: str) -> None:
    snapshot = backend.database_snapshots.get(identifier.rsplit(":", 1)[-1].lower())
    if snapshot is not None and snapshot.status != "available":
        raise rds.error(
            "InvalidDBSnapshotState",
            f"The snapshot {snapshot.db_snapshot_identifier} is not in the available state.",
        )


def _sharing() -> None:
    from moto.rds.models import RDSBackend

    modify = RDSBackend.modify_db_snapshot_attribute

    def modify_db_snapshot_attribute(
        self: Any,
        db_snapshot_identifier: str,
        attribute_name: str,
        values_to_add: list[str] | None = None,
        values_to_remove: list[str] | None = None,
    ) -> Any:
        snapshot = self.describe_db_snapshots(None, db_snapshot_identifier)[0]
        _require_available(self, db_snapshot_identifier)
        if snapshot.encrypted and "all" in (values_to_add or ()):
            # "If the manual DB snapshot is encrypted, … you can't use all" (ModifyDBSnapshotAttribute).
            raise rds.error("InvalidParameterValue", "Encrypted snapshots can't be made public.")
        if snapshot.encrypted and values_to_add and rds.is_default_key(self, snapshot.kms_key_id):
            # "You can't share a snapshot that has been encrypted using the default KMS key" (RDS
            # User Guide, "Sharing a DB snapshot").
            raise rds.error(
                "InvalidParameterValue",
                "Snapshots encrypted with the default key of RDS can't be shared.",
            )
        # An account is on the list or not; moto lists it as often as it was added.
        known = snapshot.attributes.get(attribute_name, [])
        new = [value for value in values_to_add or [] if value not in known]
        return modify(self, db_snapshot_identifier, attribute_name, new, values_to_remove)

    RDSBackend.modify_db_snapshot_attribute = modify_db_snapshot_attribute


def _pages() -> None:
    from moto.core.responses import PaginatedResult
    from moto.core.utils import get_pagination_model
    from moto.rds.responses import RDSResponse

    # "This API action supports pagination" (DescribeDBSnapshots). moto's pages begin after the last
    # item's mark.
    get_pagination_model("rds")["DescribeDBSnapshots"]["unique_attribute"] = "resource_id"
    describe = RDSResponse.describe_db_snapshots

    def describe_db_snapshots(self: Any) -> Any:
        return PaginatedResult(describe(self).result)

    RDSResponse.describe_db_snapshots = describe_db_snapshots
