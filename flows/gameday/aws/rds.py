"""RDS: databases that take their time, and refuse what AWS refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.settings import Taking

_DEFAULT_KEY = "alias/aws/rds"
_RESOURCE_ID = 26


def correct() -> None:
    """Have databases be created, modified and stopped before they are available again."""
    _states()
    _creation()
    _modification()


@dataclass(frozen=True)
class UnderWay:
    """What is being done with a database: its status meanwhile, and which groups it replaces."""

    status: str
    taking: Taking
    groups_before: tuple[str, ...] | None = None
    resets_password: bool = False

    @classmethod
    def now(cls, status: str, **more: Any) -> UnderWay:
        return cls(status, Taking.now(settings.SETTINGS.provision_seconds), **more)


def under_way(database: Any) -> UnderWay | None:
    """What is being done with it now, if anything."""
    doing: UnderWay | None = database.doing
    return None if doing is None or doing.taking.over else doing


def error(code: str, message: str) -> Exception:
    """An error of RDS."""
    from moto.rds.exceptions import RDSClientError

    refusal: Exception = RDSClientError(code, message)
    return refusal


def _states() -> None:
    from moto.rds.models import DBInstance, RDSBackend

    DBInstance.doing = None

    def status(self: Any) -> str:
        doing = under_way(self)
        return str(self._status if doing is None else doing.status)

    def set_status(self: Any, value: str) -> None:
        self._status = value

    # The statuses are those of "Viewing Amazon RDS DB instance status" (RDS User Guide).
    DBInstance.status = property(status, set_status)

    endpoint = DBInstance.endpoint.fget

    def known_endpoint(self: Any) -> Any:
        # "The endpoint might not be shown for instances with the status of creating" (DBInstance).
        return None if self.status == "creating" else endpoint(self)

    DBInstance.endpoint = property(known_endpoint)

    def stopping(operation: str, meanwhile: str) -> Any:
        carry_out = getattr(RDSBackend, operation)

        def carried_out(self: Any, *arguments: Any, **named: Any) -> Any:
            database = carry_out(self, *arguments, **named)
            database.doing = UnderWay.now(meanwhile)
            return database

        return carried_out

    RDSBackend.stop_db_instance = stopping("stop_db_instance", "stopping")
    RDSBackend.start_db_instance = stopping("start_db_instance", "starting")
    RDSBackend.reboot_db_instance = stopping("reboot_db_instance", "rebooting")


def _creation() -> None:
    from moto.moto_api._internal import mock_random
    from moto.rds.models import DBInstance, RDSBackend

    make = DBInstance.__init__

    def __init__(self: Any, backend: Any, *arguments: Any, **named: Any) -> None:
        make(self, backend, *arguments, **named)
        # "DbiResourceId: The Amazon Web Services Region-unique, immutable identifier for the DB
        # instance" (DBInstance); moto's are all the same.
        self.dbi_resource_id = "db-" + mock_random.get_random_string(_RESOURCE_ID).upper()
        if self.db_cluster_identifier is None and self.kms_key_id == "default_kms_key_id":
            # "If StorageEncrypted is enabled, and you do not specify a value for the KmsKeyId
            # parameter, then Amazon RDS uses your default KMS key" (CreateDBInstance).
            self.kms_key_id = _default_key(backend.kms).arn

    DBInstance.__init__ = __init__

    create = RDSBackend.create_db_instance

    def create_db_instance(self: Any, db_kwargs: Any) -> Any:
        if db_kwargs.get("db_cluster_identifier") is None:
            vpc_id = _vpc(self, db_kwargs.get("db_subnet_group_name"))
            if db_kwargs.get("vpc_security_group_ids"):
                _require_groups(self, db_kwargs["vpc_security_group_ids"], vpc_id)
            else:
                # "Default: The default EC2 VPC security group for the DB subnet group's VPC"
                # (CreateDBInstance, VpcSecurityGroupIds).
                group = _ec2(self).get_default_security_group(vpc_id)
                db_kwargs["vpc_security_group_ids"] = [group.id]
            if db_kwargs.get("kms_key_id"):
                db_kwargs["kms_key_id"] = self._validate_kms_key(db_kwargs["kms_key_id"])
        database = create(self, db_kwargs)
        database.doing = UnderWay.now("creating")
        return database

    RDSBackend.create_db_instance = create_db_instance


def _default_key(kms: Any) -> Any:
    if not kms.alias_exists(_DEFAULT_KEY):
        key = kms.create_key(
            policy="",
            key_usage="ENCRYPT_DECRYPT",
            key_spec="SYMMETRIC_DEFAULT",
            description="Default key that protects my RDS database volumes",
            tags=None,
        )
        kms.create_alias(key.id, _DEFAULT_KEY)
    return kms.describe_key(_DEFAULT_KEY)


def is_default_key(backend: Any, arn: str | None) -> bool:
    """Whether it is the account's own ``aws/rds``."""
    return bool(backend.kms.alias_exists(_DEFAULT_KEY)) and _default_key(backend.kms).arn == arn


def _vpc(backend: Any, subnet_group: str | None) -> str:
    """The VPC of a database with this subnet group, the default one where it has none."""
    if subnet_group:
        return str(backend.describe_db_subnet_groups(subnet_group)[0].vpc_id)
    default = _ec2(backend).get_default_vpc()
    if default is None:
        raise error("InvalidSubnet", "No default subnet detected in VPC.")
    return str(default.id)


def _require_groups(backend: Any, group_ids: list[str], vpc_id: str) -> None:
    """ "If supplied, must match existing VPC security group IDs" (ModifyDBInstance)."""
    for group_id in group_ids:
        group = _ec2(backend).get_security_group_from_id(group_id)
        if group is None:
            raise error(
                "InvalidParameterValue",
                f"Invalid security group , groupId= {group_id}, groupName=.",
            )
        if group.vpc_id != vpc_id:
            raise error(
                "InvalidParameterCombination",
                "The DB instance and EC2 security group are in different VPCs. The DB instance is "
                f"in {vpc_id} and the EC2 security group is in {group.vpc_id}",
            )


def _ec2(backend: Any) -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[backend.account_id][backend.region_name]


def _modification() -> None:
    from moto.rds.models import DBInstance, RDSBackend

    modify = RDSBackend.modify_db_instance

    def modify_db_instance(self: Any, db_instance_identifier: str, db_kwargs: Any) -> Any:
        database = self.describe_db_instances(db_instance_identifier)[0]
        wanted = db_kwargs.get("vpc_security_group_ids")
        if database.status != "available":
            raise error("InvalidDBInstanceState", "Database instance is not in available state.")
        if wanted and database.db_cluster_identifier is not None:
            # "The associated list of EC2 VPC security groups is managed by the DB cluster"
            # (ModifyDBInstance, VpcSecurityGroupIds).
            raise error(
                "InvalidParameterCombination",
                "The specified DB Instance is a member of a cluster. Modify vpc security group for "
                "the DB Cluster using the ModifyDbCluster API",
            )
        if wanted:
            _require_groups(self, wanted, database.db_subnet_group_vpc)
        before = tuple(database.vpc_security_group_ids)
        modify(self, db_instance_identifier, db_kwargs)
        resets = db_kwargs.get("master_user_password") is not None
        database.doing = UnderWay.now(
            "resetting-master-credentials" if resets else "modifying",
            groups_before=before,
            resets_password=resets,
        )
        return database

    RDSBackend.modify_db_instance = modify_db_instance

    def db_subnet_group_vpc(self: Any) -> str:
        return _vpc(self.backend, self._db_subnet_group_name)

    def memberships(self: Any) -> list[dict[str, str]]:
        # The change "is asynchronously applied as soon as possible" (ModifyDBInstance): meanwhile
        # groups are being added and removed.
        doing, now = under_way(self), self.vpc_security_group_ids
        before = now if doing is None or doing.groups_before is None else doing.groups_before
        known = {name: "active" if name in before else "adding" for name in now}
        known.update({name: "removing" for name in before if name not in now})
        return [{"VpcSecurityGroupId": name, "Status": state} for name, state in known.items()]

    def pending(self: Any) -> dict[str, str]:
        # "Between the time of the request and the completion of the request, the
        # MasterUserPassword element exists in the PendingModifiedValues" (ModifyDBInstance).
        doing = under_way(self)
        resets = doing is not None and doing.resets_password
        return {"MasterUserPassword": "****"} if resets else {}

    DBInstance.db_subnet_group_vpc = property(db_subnet_group_vpc)
    DBInstance.vpc_security_group_membership_list = property(memberships)
    DBInstance.pending_modified_values = property(pending)
