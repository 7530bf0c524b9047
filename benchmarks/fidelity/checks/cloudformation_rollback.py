"""CloudFormation: stacks that fail."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import WaiterError

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.cloudformation_template import WAITING, stack
from benchmarks.fidelity.verdicts import Verdicts, check


def _with_vpc(cidr: str, **more: Any) -> str:
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": cidr}}
    return json.dumps({"Resources": {"V": vpc, **more}})


def _of(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"Type": kind, "DependsOn": "V", "Properties": properties}


@check("cfn", "a stack fails and is rolled back")
def _rolled_back(account: Account, seen: Verdicts) -> None:
    cloudformation, ec2 = account("cloudformation"), account("ec2")
    volume = {"SnapshotId": "snap-00000000000000000", "AvailabilityZone": "us-east-1a"}
    seen.done(
        "CreateStack takes a template with an unknown snapshot",
        lambda: cloudformation.create_stack(
            StackName="bad1",
            TemplateBody=_with_vpc("10.88.0.0/16", Vol=_of("AWS::EC2::Volume", volume)),
        ),
    )
    status = seen.done(
        "a stack whose volume failed is there", lambda: stack(account, "bad1")["StackStatus"]
    )
    seen.holds(
        "a volume that fails has the stack rolled back", status == "ROLLBACK_COMPLETE", status
    )
    instance = {
        "ImageId": account.ids.image,
        "SubnetId": "subnet-00000000000000000",
        "InstanceType": "t3.micro",
    }
    seen.done(
        "CreateStack takes a template with an unknown subnet",
        lambda: cloudformation.create_stack(
            StackName="bad2",
            TemplateBody=_with_vpc("10.89.0.0/16", I=_of("AWS::EC2::Instance", instance)),
        ),
    )
    status = seen.done(
        "a stack whose instance failed is there", lambda: stack(account, "bad2")["StackStatus"]
    )
    seen.holds(
        "an instance that fails has the stack rolled back", status == "ROLLBACK_COMPLETE", status
    )
    left = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.89.0.0/16"]}])["Vpcs"]
    seen.holds("what was made before is deleted again", not left, "the VPC is left behind")
    seen.holds("a waiter says that the stack failed", _fails(account, "bad2"))


@check("cfn", "stacks that are refused, and what becomes of those that fail")
def _chosen(account: Account, seen: Verdicts) -> None:
    cloudformation = account("cloudformation")
    unknown = {"Resources": {"X": {"Type": "AWS::Nonsense::Thing", "Properties": {}}}}
    seen.refused(
        "an unknown type of resource",
        "ValidationError",
        lambda: cloudformation.create_stack(StackName="bad3", TemplateBody=json.dumps(unknown)),
    )
    seen.done(
        "a stack that fails can be deleted at once",
        lambda: cloudformation.create_stack(
            StackName="ok1", TemplateBody=_with_vpc("10.88.0.0/16"), OnFailure="DELETE"
        ),
    )


def _fails(account: Account, name: str) -> bool:
    waiter = account("cloudformation").get_waiter("stack_create_complete")
    try:
        waiter.wait(StackName=name, WaiterConfig=WAITING)
    except WaiterError:
        return True
    return False
