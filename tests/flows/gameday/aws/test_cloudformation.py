from __future__ import annotations

import json
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until
from tests.flows.gameday.aws.stacks import Resources, Stacks, endpoints, network, ref, role


@pytest.fixture
def stacks(aws: Any, world: WorldIds) -> Stacks:
    return Stacks(aws, world)


def a_failing_room(stacks: Stacks) -> Resources:
    room = stacks.room()
    room["Workstation"]["Properties"]["ImageId"] = "ami-00000000000000000"
    return room


def what_there_is(ec2: Any, aws: Any) -> list[int]:
    running = [
        item
        for reservation in ec2.describe_instances()["Reservations"]
        for item in reservation["Instances"]
        if item["State"]["Name"] != "terminated"
    ]
    return [
        len(running),
        len(ec2.describe_vpcs()["Vpcs"]),
        len(ec2.describe_subnets()["Subnets"]),
        len(ec2.describe_network_interfaces()["NetworkInterfaces"]),
        len(ec2.describe_security_groups()["SecurityGroups"]),
        len(ec2.describe_route_tables()["RouteTables"]),
        len(ec2.describe_vpc_endpoints()["VpcEndpoints"]),
        len(ec2.describe_volumes()["Volumes"]),
        len(aws("iam").list_roles()["Roles"]),
        len(aws("iam").list_instance_profiles()["InstanceProfiles"]),
    ]


def test_a_stack_is_in_progress_first(stacks: Stacks, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(stack_seconds=0.4)
    room = stacks.room()
    room_with_output = json.dumps(
        {"Resources": room, "Outputs": {"Instance": {"Value": ref("Workstation")}}}
    )

    stacks.create({}, TemplateBody=room_with_output)

    assert stacks.status() == "CREATE_IN_PROGRESS"
    assert "Outputs" not in stacks.stack()
    until(lambda: stacks.status() == "CREATE_COMPLETE")
    [output] = stacks.stack()["Outputs"]
    assert output["OutputValue"] == stacks.resources()["Workstation"]


def test_resources_are_made_as_their_properties_say(
    stacks: Stacks, ec2: Any, world: WorldIds
) -> None:
    stacks.create(stacks.room())
    made = stacks.resources()

    [volume] = ec2.describe_volumes(VolumeIds=[made["Volume"]])["Volumes"]
    assert (volume["Size"], volume["VolumeType"]) == (20, "gp3")
    assert (volume["Encrypted"], volume["KmsKeyId"]) == (True, world.ids["key"])
    assert volume["Attachments"][0]["InstanceId"] == made["Workstation"]
    workstation = instance(ec2, made["Workstation"])
    assert [item["GroupId"] for item in workstation["SecurityGroups"]] == [made["Group"]]
    assert workstation["MetadataOptions"]["HttpTokens"] == "required"
    assert workstation["IamInstanceProfile"]["Arn"].endswith(made["Profile"])
    [group] = ec2.describe_security_groups(GroupIds=[made["Group"]])["SecurityGroups"]
    [egress] = group["IpPermissionsEgress"]
    assert egress["IpRanges"] == [{"CidrIp": "127.0.0.1/32"}]


def test_endpoints_are_made_of_both_kinds(stacks: Stacks, ec2: Any) -> None:
    stacks.create({**network(), **endpoints()})
    made = stacks.resources()

    found = {item["VpcEndpointId"]: item for item in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    interface, gateway = found[made["Ssm"]], found[made["S3"]]
    assert (interface["VpcEndpointType"], interface["SubnetIds"]) == (
        "Interface",
        [made["Subnet"]],
    )
    assert [item["GroupId"] for item in interface["Groups"]] == [made["Group"]]
    assert (gateway["VpcEndpointType"], gateway["RouteTableIds"]) == ("Gateway", [made["Routes"]])
    assert json.loads(gateway["PolicyDocument"])["Statement"] == []


def test_tags_of_the_stack_are_on_its_resources(stacks: Stacks, ec2: Any) -> None:
    stack = stacks.create(stacks.room(), Tags=[{"Key": "case", "Value": "7"}])

    tags = {
        item["Key"]: item["Value"]
        for item in instance(ec2, stacks.resources()["Workstation"])["Tags"]
    }
    assert tags["case"] == "7"
    assert tags["aws:cloudformation:stack-name"] == "clean-room-7"
    assert tags["aws:cloudformation:stack-id"] == stack
    assert tags["aws:cloudformation:logical-id"] == "Workstation"


def test_what_fails_is_told_in_events_and_rolled_back(stacks: Stacks, ec2: Any, aws: Any) -> None:
    room = a_failing_room(stacks)
    before = what_there_is(ec2, aws)

    stacks.create(room)

    assert stacks.status() == "ROLLBACK_COMPLETE"
    [failed] = [item for item in stacks.events() if item["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "Workstation"
    assert "InvalidAMIID.NotFound" in failed["ResourceStatusReason"]
    [rollback] = [i for i in stacks.events() if i["ResourceStatus"] == "ROLLBACK_IN_PROGRESS"]
    assert "[Workstation]" in rollback["ResourceStatusReason"]
    assert what_there_is(ec2, aws) == before


def test_a_type_without_capacity_fails_the_stack(
    stacks: Stacks, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(no_capacity=["m5.large"])

    stacks.create(stacks.room())

    [failed] = [item for item in stacks.events() if item["ResourceStatus"] == "CREATE_FAILED"]
    assert "InsufficientInstanceCapacity" in failed["ResourceStatusReason"]


def test_a_rolled_back_stack_keeps_its_name_until_it_is_deleted(stacks: Stacks) -> None:
    stacks.create(a_failing_room(stacks))

    with refused("AlreadyExistsException"):
        stacks.create(stacks.room())
    stacks.api.delete_stack(StackName="clean-room-7")
    stacks.create(stacks.room())

    assert stacks.status() == "CREATE_COMPLETE"


@pytest.mark.parametrize(
    ("choice", "status", "vpcs"),
    [
        ({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED", 1),
        ({"DisableRollback": True}, "CREATE_FAILED", 1),
        ({"OnFailure": "ROLLBACK"}, "ROLLBACK_COMPLETE", 0),
    ],
)
def test_what_becomes_of_a_failed_stack_can_be_chosen(
    stacks: Stacks, ec2: Any, choice: dict[str, Any], status: str, vpcs: int
) -> None:
    stacks.create(a_failing_room(stacks), **choice)

    assert stacks.status() == status
    left = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.99.0.0/24"]}])["Vpcs"]
    assert len(left) == vpcs


def test_a_stack_that_fails_can_be_deleted_at_once(stacks: Stacks) -> None:
    stack = stacks.create(a_failing_room(stacks), OnFailure="DELETE")

    with refused("ValidationError", "does not exist"):
        stacks.stack()
    assert stacks.status(stack) == "DELETE_COMPLETE"


def test_the_same_request_again_is_the_same_stack(stacks: Stacks) -> None:
    first = stacks.create(network(), ClientRequestToken="incident-7")

    assert stacks.create(network(), ClientRequestToken="incident-7") == first
    with refused("TokenAlreadyExistsException"):
        stacks.create(network(), name="another", ClientRequestToken="incident-7")
    assert {item["ClientRequestToken"] for item in stacks.events()} == {"incident-7"}


@pytest.mark.parametrize(
    ("named", "needed"), [(False, "CAPABILITY_IAM"), (True, "CAPABILITY_NAMED_IAM")]
)
def test_roles_need_a_capability(stacks: Stacks, named: bool, needed: str) -> None:
    resources = role()
    if named:
        resources["Role"]["Properties"]["RoleName"] = "responder"

    weaker = [] if not named else ["CAPABILITY_IAM"]
    with refused("InsufficientCapabilitiesException", needed):
        stacks.create(resources, Capabilities=weaker)
    stacks.create(resources, Capabilities=[needed])


def test_a_deleted_stack_takes_everything_with_it(stacks: Stacks, ec2: Any, aws: Any) -> None:
    room = stacks.room()
    before = what_there_is(ec2, aws)
    stack = stacks.create(room)
    assert what_there_is(ec2, aws) != before

    stacks.api.delete_stack(StackName="clean-room-7")

    assert what_there_is(ec2, aws) == before
    assert stacks.status(stack) == "DELETE_COMPLETE"
    with refused("ValidationError", "does not exist"):
        stacks.stack()


def test_a_deletion_takes_its_time(stacks: Stacks, simulated_aws: SimulatedAws) -> None:
    stack = stacks.create(network())
    simulated_aws.configure(stack_seconds=0.3)

    stacks.api.delete_stack(StackName="clean-room-7")

    assert stacks.status() == "DELETE_IN_PROGRESS"
    with refused("AlreadyExistsException"):
        stacks.create(network())
    until(lambda: stacks.status(stack) == "DELETE_COMPLETE")


def test_what_cannot_be_deleted_is_told_and_can_be_tried_again(stacks: Stacks, ec2: Any) -> None:
    stacks.create(stacks.room())
    workstation = stacks.resources()["Workstation"]
    ec2.modify_instance_attribute(InstanceId=workstation, DisableApiTermination={"Value": True})

    stacks.api.delete_stack(StackName="clean-room-7")

    found = stacks.stack()
    assert found["StackStatus"] == "DELETE_FAILED"
    assert "[Workstation]" in found["StackStatusReason"]
    failed = [item for item in stacks.events() if item["ResourceStatus"] == "DELETE_FAILED"]
    assert "OperationNotPermitted" in failed[0]["ResourceStatusReason"]
    ec2.describe_subnets(SubnetIds=[stacks.resources()["Subnet"]])

    ec2.modify_instance_attribute(InstanceId=workstation, DisableApiTermination={"Value": False})
    stacks.api.delete_stack(StackName="clean-room-7")
    with refused("ValidationError"):
        stacks.stack()


def test_a_resource_in_use_by_others_is_in_the_way_of_a_deletion(stacks: Stacks, ec2: Any) -> None:
    stacks.create(network())
    ec2.create_network_interface(SubnetId=stacks.resources()["Subnet"])

    stacks.api.delete_stack(StackName="clean-room-7")

    assert stacks.status() == "DELETE_FAILED"
    [failed] = [
        item
        for item in stacks.events()
        if item["ResourceStatus"] == "DELETE_FAILED" and item["LogicalResourceId"] == "Subnet"
    ]
    assert "DependencyViolation" in failed["ResourceStatusReason"]


def test_a_resource_can_be_retained(stacks: Stacks, ec2: Any) -> None:
    volume = {
        "Type": "AWS::EC2::Volume",
        "DeletionPolicy": "Retain",
        "Properties": {"Size": 1, "AvailabilityZone": "eu-west-1a"},
    }
    stacks.create({"Volume": volume})
    made = stacks.resources()["Volume"]

    stacks.api.delete_stack(StackName="clean-room-7")

    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available"


def test_a_protected_stack_is_not_deleted(stacks: Stacks) -> None:
    stacks.create(network(), EnableTerminationProtection=True)

    with refused("ValidationError", "TerminationProtection"):
        stacks.api.delete_stack(StackName="clean-room-7")

    stacks.api.update_termination_protection(
        StackName="clean-room-7", EnableTerminationProtection=False
    )
    stacks.api.delete_stack(StackName="clean-room-7")
    with refused("ValidationError", "does not exist"):
        stacks.stack()


def test_deleting_a_stack_that_is_not_there_succeeds(stacks: Stacks) -> None:
    stacks.api.delete_stack(StackName="gone")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not well-formed"),
        ("Resources: {}", "At least one Resources member"),
        ("Resources: {Thing: {Type: 'AWS::No::Such'}}", "Unrecognized resource types"),
        (
            "Resources: {Vpc: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: {Ref: Cidr}}}}",
            "Unresolved resource dependencies [Cidr]",
        ),
        (
            "Parameters: {Cidr: {Type: String}}\n"
            "Resources: {Vpc: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: {Ref: Cidr}}}}",
            "Parameters: [Cidr] must have values",
        ),
        (
            "Resources:\n  One: &one {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 10.0.0.0/24}}"
            "\n  Two: *one",
            "YAML aliases",
        ),
        (
            "Resources:\n"
            "  One: {Type: 'AWS::EC2::VPC', DependsOn: Two}\n"
            "  Two: {Type: 'AWS::EC2::VPC', DependsOn: One}",
            "Circular dependency",
        ),
    ],
)
def test_a_wrong_template_is_refused_before_anything_is_made(
    stacks: Stacks, body: str, why: str
) -> None:
    with refused("ValidationError", why):
        stacks.create({}, TemplateBody=body)
    with refused("ValidationError", "does not exist"):
        stacks.stack()


def test_a_template_in_the_request_has_at_most_51200_bytes(stacks: Stacks) -> None:
    with refused("ValidationError", "51200"):
        stacks.create(network(), TemplateBody="#" * 51_201)


def test_every_resource_can_be_asked_for_by_its_name(stacks: Stacks) -> None:
    stacks.create(network())

    detail = stacks.api.describe_stack_resource(StackName="clean-room-7", LogicalResourceId="Vpc")[
        "StackResourceDetail"
    ]
    assert detail["PhysicalResourceId"].startswith("vpc-")
    assert detail["ResourceStatus"] == "CREATE_COMPLETE"
    summaries = stacks.api.list_stack_resources(StackName="clean-room-7")
    assert {item["LogicalResourceId"] for item in summaries["StackResourceSummaries"]} == set(
        network()
    )


def test_a_role_of_a_stack_has_its_policies(stacks: Stacks, aws: Any) -> None:
    iam, resources = aws("iam"), role()
    may_upload = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [may_upload]}
    resources["Role"]["Properties"]["Policies"] = [
        {"PolicyName": "upload", "PolicyDocument": document}
    ]

    stacks.create(resources)

    name = stacks.resources()["Role"]
    arn = iam.get_role(RoleName=name)["Role"]["Arn"]
    asked = ["s3:PutObject", "s3:GetObject"]
    results = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=asked)
    decisions = [item["EvalDecision"] for item in results["EvaluationResults"]]
    assert decisions == ["allowed", "implicitDeny"]
    [found] = [
        item
        for item in iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
        if item["RoleName"] == name
    ]
    [policy] = found["RolePolicyList"]
    assert policy["PolicyDocument"] == document
