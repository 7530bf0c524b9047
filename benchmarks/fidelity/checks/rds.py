"""RDS: a database is isolated, a snapshot of it is taken and shared."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check
from benchmarks.fidelity.waiting import LONG, SHORT, until

_OTHER_ACCOUNT = "222222222222"


class _Database:
    """A PostgreSQL database in the account's subnets, encrypted with its key."""

    def __init__(self, account: Account, name: str = "db", **more: Any) -> None:
        self.rds, self._id = account("rds"), name
        self.rds.create_db_subnet_group(
            DBSubnetGroupName=f"{name}-subnets",
            DBSubnetGroupDescription=name,
            SubnetIds=list(account.ids.subnets),
        )
        self.created = self.rds.create_db_instance(
            DBInstanceIdentifier=self._id,
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="u",
            MasterUserPassword="passw0rd!",
            DBSubnetGroupName=f"{name}-subnets",
            **{
                "VpcSecurityGroupIds": [account.ids.app_group],
                "StorageEncrypted": True,
                "KmsKeyId": account.ids.key,
                **more,
            },
        )["DBInstance"]

    @property
    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.rds.describe_db_instances(DBInstanceIdentifier=self._id)
        described: dict[str, Any] = found["DBInstances"][0]
        return described

    @property
    def status(self) -> str:
        return str(self.described["DBInstanceStatus"])

    @property
    def groups(self) -> dict[str, str]:
        """What is said of its security groups, by their ids."""
        groups = self.described["VpcSecurityGroups"]
        return {item["VpcSecurityGroupId"]: item["Status"] for item in groups}

    def available(self) -> bool:
        return until(lambda: self.status == "available")

    def modify(self, **changes: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.rds.modify_db_instance(
            DBInstanceIdentifier=self._id, ApplyImmediately=True, **changes
        )["DBInstance"]
        return changed

    def snapshot(self, name: str) -> dict[str, Any]:
        taken: dict[str, Any] = self.rds.create_db_snapshot(
            DBSnapshotIdentifier=name, DBInstanceIdentifier=self._id
        )["DBSnapshot"]
        return taken

    def share(self, name: str, account: str = _OTHER_ACCOUNT) -> Any:
        return self.rds.modify_db_snapshot_attribute(
            DBSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=[account]
        )


@check("rds", "a database's security groups and password")
def _modified(account: Account, seen: Verdicts) -> None:
    account.configure(provision_seconds=LONG)
    slow, ids = _Database(account, "slow"), account.ids
    created = slow.created["DBInstanceStatus"]
    seen.holds("a database is created", created == "creating", created)
    seen.refused(
        "a change before it is available",
        "InvalidDBInstanceState",
        lambda: slow.modify(PubliclyAccessible=False),
    )
    account.configure(provision_seconds=SHORT)
    database = _Database(account)
    seen.holds("then it is available", database.available(), database.status)
    account.configure(provision_seconds=LONG)
    database.modify(VpcSecurityGroupIds=[ids.web_group], PubliclyAccessible=False)
    seen.holds("it is being modified", database.status == "modifying", database.status)
    seen.holds(
        "meanwhile its groups are being replaced",
        database.groups == {ids.web_group: "adding", ids.app_group: "removing"},
        database.groups,
    )
    seen.holds("it isn't public any more", database.described["PubliclyAccessible"] is False)

    account.configure(provision_seconds=SHORT)
    database = _Database(account, "quick")
    database.available()
    database.modify(VpcSecurityGroupIds=[ids.web_group])
    seen.holds("then it is available again", database.available(), database.status)
    seen.holds(
        "its groups are replaced", database.groups == {ids.web_group: "active"}, database.groups
    )
    seen.refused(
        "an unknown security group",
        ("InvalidVPCNetworkStateFault", "InvalidParameterValue"),
        lambda: database.modify(VpcSecurityGroupIds=["sg-00000000000000000"]),
    )
    elsewhere = account("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    foreign = account("ec2").create_security_group(
        GroupName="foreign", Description="of another VPC", VpcId=elsewhere
    )["GroupId"]
    seen.refused(
        "a security group of another VPC",
        "InvalidParameterCombination",
        lambda: database.modify(VpcSecurityGroupIds=[foreign]),
    )
    account.configure(provision_seconds=LONG)
    changed = seen.done(
        "the master password is changed", lambda: database.modify(MasterUserPassword="newpass1!")
    )
    pending = (changed or {}).get("PendingModifiedValues", {})
    seen.holds("the new password is pending", pending.keys() == {"MasterUserPassword"}, pending)
    seen.refused(
        "an unknown database",
        "DBInstanceNotFound",
        lambda: database.rds.describe_db_instances(DBInstanceIdentifier="gone"),
    )


@check("rds", "snapshots of a database")
def _snapshots(account: Account, seen: Verdicts) -> None:
    account.configure(provision_seconds=LONG)
    slow, ids = _Database(account, "slow"), account.ids
    seen.refused(
        "a snapshot before the database is available",
        "InvalidDBInstanceState",
        lambda: slow.snapshot("early"),
    )
    account.configure(provision_seconds=0)
    database, other = _Database(account), _Database(account, "other")
    rds = database.rds
    account.configure(provision_seconds=LONG)
    taken = other.snapshot("long")
    seen.holds("a snapshot is created", taken["Status"] == "creating", taken["Status"])
    seen.holds("it has the database's key", taken.get("KmsKeyId") == ids.key, taken.get("KmsKeyId"))
    seen.holds("the database is being backed up", other.status == "backing-up", other.status)
    seen.refused(
        "sharing it before it is available", "InvalidDBSnapshotState", lambda: other.share("long")
    )
    account.configure(provision_seconds=SHORT)
    database.snapshot("s1")
    seen.done(
        "the waiter sees that it is available",
        lambda: rds.get_waiter("db_snapshot_available").wait(
            DBSnapshotIdentifier="s1", WaiterConfig={"Delay": SHORT, "MaxAttempts": 60}
        ),
    )
    (described,) = rds.describe_db_snapshots(DBSnapshotIdentifier="s1")["DBSnapshots"]
    seen.holds("its progress is complete", described.get("PercentProgress") == 100, described)
    seen.refused(
        "a second snapshot of that name",
        "DBSnapshotAlreadyExists",
        lambda: database.snapshot("s1"),
    )
    seen.refused(
        "an unknown snapshot",
        "DBSnapshotNotFound",
        lambda: rds.describe_db_snapshots(DBSnapshotIdentifier="gone"),
    )
    seen.done("it is shared with another account", lambda: database.share("s1"))
    attributes = rds.describe_db_snapshot_attributes(DBSnapshotIdentifier="s1")
    (shared,) = attributes["DBSnapshotAttributesResult"]["DBSnapshotAttributes"]
    seen.holds("the account is listed", shared["AttributeValues"] == [_OTHER_ACCOUNT], shared)
    seen.refused(
        "an encrypted snapshot for everybody",
        ("InvalidParameterValue", "InvalidParameterCombination"),
        lambda: database.share("s1", "all"),
    )
    seen.done(
        "it is copied",
        lambda: rds.copy_db_snapshot(
            SourceDBSnapshotIdentifier="s1", TargetDBSnapshotIdentifier="s2"
        ),
    )
    restored = seen.done(
        "a database is restored from it",
        lambda: rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier="db2", DBSnapshotIdentifier="s1"
        )["DBInstance"],
    )
    restored_id = (restored or {}).get("DbiResourceId")
    seen.holds(
        "it is another database",
        restored_id != database.described["DbiResourceId"],
        restored_id,
    )
    database.available()
    stopped = seen.done(
        "the database is stopped", lambda: rds.stop_db_instance(DBInstanceIdentifier="db")
    )
    state = (stopped or {}).get("DBInstance", {}).get("DBInstanceStatus")
    seen.holds("stopping takes its time", state == "stopping", state)
    seen.holds("then it is stopped", until(lambda: database.status == "stopped"), database.status)


@check("rds", "the default key of RDS")
def _default_key(account: Account, seen: Verdicts) -> None:
    database = _Database(account, KmsKeyId="alias/aws/rds")
    key = database.described["KmsKeyId"]
    seen.holds("it is named by its ARN", key.startswith("arn:aws:kms:"), key)
    database.snapshot("s1")
    seen.refused(
        "sharing a snapshot that is encrypted with it",
        ("InvalidParameterValue", "InvalidParameterCombination", "InvalidDBSnapshotState"),
        lambda: database.share("s1"),
    )
