"""EBS snapshots of other accounts and Regions: who sees them, and what a copy of one is."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flows.gameday.aws import ebs_encryption
from flows.gameday.aws.errors import ec2_error

_ARBITRARY_VOLUME = "vol-ffffffff"
_ACCOUNT = re.compile(r"\d{12}")
_BLOCKING = ("block-all-sharing", "block-new-sharing")
_OPEN = "unblocked"


def correct() -> None:
    """Have shared snapshots be seen where they are shared, and copies be what AWS makes."""
    _seen()
    _shared()
    _copied()
    _public_access()


def _seen() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.models import EC2Backend
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore
    from moto.ec2.utils import generic_filter

    # "The snapshots available to you include public snapshots, private snapshots that you own, and
    # private snapshots owned by other Amazon Web Services accounts for which you have explicit
    # create volume permissions" (DescribeSnapshots).
    def describe(
        self: Any, snapshot_ids: list[str] | None = None, filters: Any = None
    ) -> list[Any]:
        available = [*self.snapshots.values(), *_shared_with(self)]
        if snapshot_ids:
            available = [item for item in available if item.id in set(snapshot_ids)]
            missing = set(snapshot_ids) - {item.id for item in available}
            if missing:
                raise _not_found(min(missing))
        return list(generic_filter(filters, available)) if filters else available

    EC2Backend.describe_snapshots = describe

    def get_snapshot(self: Any, snapshot_id: str) -> Any:
        if snapshot_id in self.snapshots:
            return self.snapshots[snapshot_id]
        for snapshot in _shared_with(self):
            if snapshot.id == snapshot_id:
                return snapshot
        raise _not_found(snapshot_id)

    EC2Backend.get_snapshot = get_snapshot

    called = ElasticBlockStore.describe_snapshots

    def describe_snapshots(self: Any) -> Any:
        restorable_by = self._get_param("RestorableByUserIds", [])
        answer = called(self)
        if not restorable_by:
            return answer
        own = self.ec2_backend.account_id
        users = {own if user == "self" else user for user in restorable_by}
        found = [
            item
            for item in answer.result["Snapshots"]
            if item.owner_id in users
            or users & item.create_volume_permission_userids
            or users & item.create_volume_permission_groups
        ]
        return ActionResult({**answer.result, "Snapshots": found})

    ElasticBlockStore.describe_snapshots = describe_snapshots

    # What only the owner may do. AWS documents no error of its own for the others.
    for method in (
        "describe_snapshot_attribute",
        "modify_snapshot_attribute",
        "modify_snapshot_tier",
        "restore_snapshot_tier",
        "delete_snapshot",
        "lock_snapshot",
        "unlock_snapshot",
    ):
        setattr(ElasticBlockStore, method, _by_the_owner(getattr(ElasticBlockStore, method)))


def _by_the_owner(method: Any) -> Any:
    def called(self: Any) -> Any:
        snapshot_id = self._get_param("SnapshotId")
        if any(item.id == snapshot_id for item in _shared_with(self.ec2_backend)):
            raise ec2_error(
                "UnauthorizedOperation", "You are not authorized to perform this operation."
            )
        return method(self)

    return called


def _shared_with(backend: Any) -> Iterator[Any]:
    """The snapshots of others that an account sees in a Region. Their tags are those that it gave
    them itself: an owner's tags are not shared (EBS User Guide, "Share a snapshot")."""
    from moto.ec2.models import ec2_backends

    for account, regions in list(ec2_backends.items()):
        other = dict(regions).get(backend.region_name)
        if account == backend.account_id or other is None:
            continue
        public = _public_state(other) != "block-all-sharing"
        for snapshot in other.snapshots.values():
            by_group = public and "all" in snapshot.create_volume_permission_groups
            if by_group or backend.account_id in snapshot.create_volume_permission_userids:
                seen = copy.copy(snapshot)
                seen.ec2_backend = backend
                yield seen


def _not_found(snapshot_id: str) -> Exception:
    return ec2_error("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")


def _shared() -> None:
    from moto.core.responses import EmptyResult
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    def modify_snapshot_attribute(self: Any) -> Any:
        snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
        adding, removing = _permissions(self, "add"), _permissions(self, "remove")
        if (adding["users"] or adding["groups"]) and (removing["users"] or removing["groups"]):
            # "you cannot do both in a single operation" (ModifySnapshotAttribute).
            raise ec2_error(
                "InvalidParameterCombination", "Permissions can't be added and removed at once."
            )
        _refuse_sharing(self.ec2_backend, snapshot, adding)
        snapshot.create_volume_permission_userids |= adding["users"]
        snapshot.create_volume_permission_groups |= adding["groups"]
        snapshot.create_volume_permission_userids -= removing["users"]
        snapshot.create_volume_permission_groups -= removing["groups"]
        return EmptyResult()

    def reset_snapshot_attribute(self: Any) -> Any:
        snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
        snapshot.create_volume_permission_userids = set()
        snapshot.create_volume_permission_groups = set()
        return EmptyResult()

    ElasticBlockStore.modify_snapshot_attribute = _by_the_owner(modify_snapshot_attribute)
    ElasticBlockStore.reset_snapshot_attribute = _by_the_owner(reset_snapshot_attribute)


def _permissions(response: Any, operation: str) -> dict[str, set[str]]:
    """The accounts and groups that a ModifySnapshotAttribute adds or removes: it has two ways."""
    structured = response._get_param("CreateVolumePermission", {}).get(operation.capitalize(), [])
    users = {item["UserId"] for item in structured if item.get("UserId")}
    groups = {item["Group"] for item in structured if item.get("Group")}
    if response._get_param("OperationType") == operation:
        users |= set(response._get_param("UserIds", []))
        groups |= set(response._get_param("GroupNames", []))
    for user in users:
        if not _ACCOUNT.fullmatch(user):
            raise ec2_error("InvalidUserID.Malformed", f'Invalid user id: "{user}"')
    if groups - {"all"}:
        raise ec2_error("InvalidAMIAttributeItemValue", f"Invalid group: {', '.join(groups)}")
    return {"users": users, "groups": groups}


def _refuse_sharing(backend: Any, snapshot: Any, adding: Mapping[str, set[str]]) -> None:
    # "Encrypted snapshots … cannot be made public. Snapshots encrypted with your default KMS key
    # cannot be shared with other accounts" (ModifySnapshotAttribute).
    if not adding["users"] and not adding["groups"]:
        return
    if snapshot.encrypted and adding["groups"]:
        raise ec2_error("OperationNotPermitted", "Encrypted snapshots cannot be made public")
    if snapshot.encrypted and ebs_encryption.is_default_key(backend, snapshot.kms_key_id):
        raise ec2_error(
            "OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared"
        )
    if adding["groups"] and _public_state(backend) in _BLOCKING:
        # "users … can no longer request public sharing" (EnableSnapshotBlockPublicAccess).
        raise ec2_error(
            "OperationNotPermitted", "Block public access for snapshots is enabled in the Region."
        )


def _copied() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.elastic_block_store import Snapshot
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore
    from moto.ec2.utils import random_snapshot_id

    def copy_snapshot(self: Any) -> Any:
        backend = self.ec2_backend
        home = ec2_backends[backend.account_id][self._get_param("SourceRegion")]
        source = home.get_snapshot(self._get_param("SourceSnapshotId"))
        if source.status != "completed":
            # Only completed snapshots can be copied (EBS User Guide, "Copy an Amazon EBS snapshot").
            raise ec2_error(
                "IncorrectState", f"Snapshot '{source.id}' is in invalid state '{source.status}'."
            )
        key, encrypted = self._get_param("KmsKeyId"), _is_true(self._get_param("Encrypted"))
        if key and not encrypted and not source.encrypted:
            # "If KmsKeyId is specified, the encrypted state must be true" (CopySnapshot).
            raise ec2_error(
                "InvalidParameterDependency",
                "The parameter KmsKeyId requires the parameter Encrypted to be set.",
            )
        encrypted = encrypted or source.encrypted
        # "If this parameter is not specified, your KMS key for Amazon EBS is used", also for the
        # copy of a snapshot that has another key.
        arn = ebs_encryption.key_arn(backend, key) if encrypted else None
        made = Snapshot(
            backend,
            random_snapshot_id(),
            volume=source.volume,
            description=self._get_param("Description", ""),
            encrypted=encrypted,
            kms_key_id=arn or key,
        )
        made.encrypted, made.kms_key_id = encrypted, (arn or key) if encrypted else None
        # "Snapshots copies have an arbitrary source volume ID."
        made.of_volume, made.of_size = _ARBITRARY_VOLUME, source.volume_size
        # AWS "authenticates the KMS key asynchronously", so that "the action can appear to complete,
        # but eventually fails": for want of the key that is given, or of access to the source's.
        needed = [arn] if encrypted else []
        needed += [source.kms_key_id] if source.encrypted else []
        made.fails = made.fails or not all(ebs_encryption.may_use(backend, key) for key in needed)
        backend.snapshots[made.id] = made
        # "User-defined tags … are not copied" unless they are given (EBS User Guide).
        made.add_tags(self._parse_tag_specification().get("snapshot", {}))
        return ActionResult({"SnapshotId": made.id, "Tags": made.tag_set})

    ElasticBlockStore.copy_snapshot = copy_snapshot


def _public_access() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    def enable_snapshot_block_public_access(self: Any) -> Any:
        state = self._get_param("State")
        if state not in _BLOCKING:
            # "unblocked is not a valid value for EnableSnapshotBlockPublicAccess".
            raise ec2_error("InvalidParameterValue", f"Invalid value '{state}' for State.")
        self.ec2_backend.snapshots_public_access = state
        return ActionResult({"State": state})

    def disable_snapshot_block_public_access(self: Any) -> Any:
        self.ec2_backend.snapshots_public_access = _OPEN
        return ActionResult({"State": _OPEN})

    def get_snapshot_block_public_access_state(self: Any) -> Any:
        return ActionResult({"State": _public_state(self.ec2_backend), "ManagedBy": "account"})

    ElasticBlockStore.enable_snapshot_block_public_access = enable_snapshot_block_public_access
    ElasticBlockStore.disable_snapshot_block_public_access = disable_snapshot_block_public_access
    ElasticBlockStore.get_snapshot_block_public_access_state = (
        get_snapshot_block_public_access_state
    )


def _public_state(backend: Any) -> str:
    return str(backend.__dict__.get("snapshots_public_access", _OPEN))


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
