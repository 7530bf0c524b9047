from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused, until


class Databases:
    """RDS in the world's VPC."""

    def __init__(self, aws: Callable[[str], Any], world: WorldIds) -> None:
        self.rds, self.world = aws("rds"), world
        subnets = aws("ec2").describe_subnets(
            Filters=[{"Name": "vpc-id", "Values": [world.ids["vpc"]]}]
        )["Subnets"]
        self.rds.create_db_subnet_group(
            DBSubnetGroupName="payments",
            DBSubnetGroupDescription="payments",
            SubnetIds=[item["SubnetId"] for item in subnets],
        )

    def create(self, name: str = "db", **more: Any) -> dict[str, Any]:
        created: dict[str, Any] = self.rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            MasterUsername="u",
            MasterUserPassword="passw0rd!",
            **{"DBSubnetGroupName": "payments", **more},
        )["DBInstance"]
        return created

    def described(self, name: str = "db") -> dict[str, Any]:
        found = self.rds.describe_db_instances(DBInstanceIdentifier=name)
        described: dict[str, Any] = found["DBInstances"][0]
        return described

    def status(self) -> str:
        return str(self.described()["DBInstanceStatus"])

    def modify(self, **changes: Any) -> Any:
        return self.rds.modify_db_instance(
            DBInstanceIdentifier="db", ApplyImmediately=True, **changes
        )["DBInstance"]

    def snapshot(self, name: str = "s1") -> dict[str, Any]:
        taken: dict[str, Any] = self.rds.create_db_snapshot(
            DBSnapshotIdentifier=name, DBInstanceIdentifier="db"
        )["DBSnapshot"]
        return taken

    def share(self, *accounts: str) -> list[str]:
        answer = self.rds.modify_db_snapshot_attribute(
            DBSnapshotIdentifier="s1", AttributeName="restore", ValuesToAdd=list(accounts)
        )
        [attribute] = answer["DBSnapshotAttributesResult"]["DBSnapshotAttributes"]
        return list(attribute["AttributeValues"])


@pytest.fixture
def databases(aws: Callable[[str], Any], world: WorldIds) -> Databases:
    return Databases(aws, world)


def groups(database: dict[str, Any]) -> dict[str, str]:
    return {item["VpcSecurityGroupId"]: item["Status"] for item in database["VpcSecurityGroups"]}


def test_nothing_takes_time_unless_it_is_told_to(databases: Databases) -> None:
    created = databases.create()

    assert created["DBInstanceStatus"] == "available"
    assert databases.snapshot()["Status"] == "available"
    assert databases.status() == "available"


def test_a_database_without_groups_has_its_vpcs_default_group(
    databases: Databases, ec2: Any
) -> None:
    [default] = ec2.describe_security_groups(
        Filters=[
            {"Name": "vpc-id", "Values": [databases.world.ids["vpc"]]},
            {"Name": "group-name", "Values": ["default"]},
        ]
    )["SecurityGroups"]

    assert groups(databases.create()) == {default["GroupId"]: "active"}


def test_a_database_is_created_before_it_is_available(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(provision_seconds=60)

    created = databases.create()

    assert (created["DBInstanceStatus"], "Endpoint" in created) == ("creating", False)
    with refused("InvalidDBInstanceState"):
        databases.modify(PubliclyAccessible=False)
    with refused("InvalidDBInstanceState"):
        databases.snapshot()


def test_a_created_database_becomes_available(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(provision_seconds=0.05)

    databases.create()

    until(lambda: databases.status() == "available")
    assert databases.described()["Endpoint"]["Port"] == 5432


def test_groups_are_replaced_in_their_time(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    web, balancer = (databases.world.ids[name] for name in ("web_group", "balancer_group"))
    databases.create(VpcSecurityGroupIds=[web])
    simulated_aws.configure(provision_seconds=60)

    databases.modify(VpcSecurityGroupIds=[balancer])

    assert databases.status() == "modifying"
    assert groups(databases.described()) == {balancer: "adding", web: "removing"}


def test_replaced_groups_are_gone_in_the_end(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    web, balancer = (databases.world.ids[name] for name in ("web_group", "balancer_group"))
    databases.create(VpcSecurityGroupIds=[web])
    simulated_aws.configure(provision_seconds=0.05)

    databases.modify(VpcSecurityGroupIds=[balancer])

    until(lambda: databases.status() == "available")
    assert groups(databases.described()) == {balancer: "active"}


def test_groups_that_can_not_be_used_are_refused_and_change_nothing(
    databases: Databases, ec2: Any
) -> None:
    before = groups(databases.create(VpcSecurityGroupIds=[databases.world.ids["web_group"]]))
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_security_group(GroupName="f", Description="f", VpcId=vpc)["GroupId"]

    with refused("InvalidParameterValue", "sg-00000000000000000"):
        databases.modify(VpcSecurityGroupIds=["sg-00000000000000000"])
    with refused("InvalidParameterCombination", vpc):
        databases.modify(VpcSecurityGroupIds=[foreign])
    with refused("InvalidParameterCombination", vpc):
        databases.create("other", VpcSecurityGroupIds=[foreign])

    assert groups(databases.described()) == before


def test_a_new_password_is_pending_until_it_counts(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    databases.create()
    simulated_aws.configure(provision_seconds=0.1)

    changed = databases.modify(MasterUserPassword="newpass1!")

    assert changed["DBInstanceStatus"] == "resetting-master-credentials"
    assert changed["PendingModifiedValues"] == {"MasterUserPassword": "****"}
    until(lambda: databases.described()["PendingModifiedValues"] == {})


def test_a_database_is_not_modified_while_it_is_backed_up(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    databases.create()
    simulated_aws.configure(provision_seconds=60)

    databases.snapshot()

    assert databases.status() == "backing-up"
    with refused("InvalidDBInstanceState"):
        databases.modify(PubliclyAccessible=False)


def test_a_snapshot_is_shared_once_it_is_available(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    databases.create(StorageEncrypted=True, KmsKeyId=databases.world.ids["key"])
    simulated_aws.configure(provision_seconds=60)

    taken = databases.snapshot()

    assert (taken["Status"], taken["VpcId"]) == ("creating", databases.world.ids["vpc"])
    assert taken["PercentProgress"] < 100
    with refused("InvalidDBSnapshotState"):
        databases.share("222222222222")


def test_a_snapshot_is_shared_with_accounts_but_not_with_all(databases: Databases) -> None:
    databases.create(StorageEncrypted=True, KmsKeyId=databases.world.ids["key"])
    databases.snapshot()

    assert databases.share("222222222222") == ["222222222222"]
    assert databases.share("222222222222", "333333333333") == ["222222222222", "333333333333"]
    with refused("InvalidParameterValue"):
        databases.share("all")


def test_what_the_default_key_encrypts_is_not_shared(databases: Databases) -> None:
    created = databases.create(StorageEncrypted=True)
    assert created["KmsKeyId"].startswith("arn:aws:kms:")
    databases.snapshot()

    with refused("InvalidParameterValue"):
        databases.share("222222222222")


def test_snapshots_come_in_pages(databases: Databases) -> None:
    databases.create()
    for number in range(21):
        databases.snapshot(f"s{number}")

    page = databases.rds.describe_db_snapshots(SnapshotType="manual", MaxRecords=20)
    assert len(page["DBSnapshots"]) == 20
    rest = databases.rds.describe_db_snapshots(SnapshotType="manual", Marker=page["Marker"])
    assert len(rest["DBSnapshots"]) == 1


def test_a_restored_database_is_another_one(databases: Databases) -> None:
    databases.create()
    databases.snapshot()

    databases.rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="forensic", DBSnapshotIdentifier="s1"
    )

    ids = {databases.described(name)["DbiResourceId"] for name in ("db", "forensic")}
    assert len(ids) == 2


def test_stopping_and_starting_take_their_time(
    databases: Databases, simulated_aws: SimulatedAws
) -> None:
    databases.create()
    simulated_aws.configure(provision_seconds=0.1)

    stopped = databases.rds.stop_db_instance(DBInstanceIdentifier="db")
    assert stopped["DBInstance"]["DBInstanceStatus"] == "stopping"
    until(lambda: databases.status() == "stopped")
    started = databases.rds.start_db_instance(DBInstanceIdentifier="db")
    assert started["DBInstance"]["DBInstanceStatus"] == "starting"
    until(lambda: databases.status() == "available")
