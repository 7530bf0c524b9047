"""CloudFormation: stacks that are deleted."""

from __future__ import annotations

import json

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.cloudformation_template import (
    NAME,
    WAITING,
    created,
    snapshot_of_the_data_volume,
    stack,
)
from benchmarks.fidelity.verdicts import Verdicts, check


@check("cfn", "a stack is deleted")
def _deleted(account: Account, seen: Verdicts) -> None:
    cloudformation, snapshot = account("cloudformation"), snapshot_of_the_data_volume(account)
    given = created(account, snapshot)
    stack_id = stack(account)["StackId"]
    seen.done("it can be deleted", lambda: cloudformation.delete_stack(StackName=NAME))
    seen.done(
        "a waiter sees when it is gone",
        lambda: cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=NAME, WaiterConfig=WAITING
        ),
    )
    seen.refused(
        "its name is nothing's",
        "ValidationError",
        lambda: cloudformation.describe_stacks(StackName=NAME),
    )
    status = seen.done("its id still tells of it", lambda: stack(account, stack_id)["StackStatus"])
    seen.holds("it is said to be deleted", status == "DELETE_COMPLETE", status)
    state = seen.done(
        "a terminated instance is still seen",
        lambda: account.instance(given["InstanceId"])["State"]["Name"],
    )
    seen.holds("its instance is terminated", state == "terminated", state)
    seen.refused(
        "its volume is deleted",
        "InvalidVolume.NotFound",
        lambda: account("ec2").describe_volumes(VolumeIds=[given["VolumeId"]]),
    )
    seen.refused(
        "its role is deleted",
        "NoSuchEntity",
        lambda: account("iam").get_role(RoleName=given["RoleArn"].rsplit("/", 1)[1]),
    )


@check("cfn", "what a deletion leaves")
def _retained(account: Account, seen: Verdicts) -> None:
    cloudformation = account("cloudformation")
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.91.0.0/16"}}

    def create_and_delete() -> None:
        body = json.dumps({"Resources": {"V": {**vpc, "DeletionPolicy": "Retain"}}})
        cloudformation.create_stack(StackName="ret", TemplateBody=body)
        cloudformation.delete_stack(StackName="ret")

    seen.done("a stack that keeps a resource can be deleted", create_and_delete)
    wanted = [{"Name": "cidr", "Values": ["10.91.0.0/16"]}]
    left = account("ec2").describe_vpcs(Filters=wanted)["Vpcs"]
    seen.holds("DeletionPolicy Retain keeps the VPC", len(left) == 1, "deleted")
    seen.done(
        "a stack set can be created",
        lambda: cloudformation.create_stack_set(
            StackSetName="ss", TemplateBody=json.dumps({"Resources": {"V": vpc}})
        ),
    )
