"""The clean room's template: nothing leads in or out, and volumes are only ever copies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runbooks.clean_room.create import AMAZON_LINUX
from runbooks.clean_room.template import BY_CLOUDFORMATION, DEVICES, Copy, room_template

TWO = [
    Copy("vol-1", "/dev/xvda", "/dev/sdf", 8, None),
    Copy("vol-2", "/dev/sdf", "/dev/sdg", 40, None),
]
# CloudFormation quotas, "Maximum size of a template body that you can pass in a request", and
# "Maximum number of parameters".
BODY_BYTES, PARAMETERS = 51_200, 200


@pytest.fixture
def template() -> dict[str, Any]:
    return room_template(TWO, AMAZON_LINUX)


def of_type(template: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        name: item["Properties"]
        for name, item in template["Resources"].items()
        if item["Type"] == kind
    }


def rules(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        rule
        for group in of_type(template, "AWS::EC2::SecurityGroup").values()
        for direction in ("SecurityGroupIngress", "SecurityGroupEgress")
        for rule in group.get(direction, [])
    ]


def statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    [role] = of_type(template, "AWS::IAM::Role").values()
    [policy] = role["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def test_no_gateway_leads_out_of_the_room(template: dict[str, Any]) -> None:
    kinds = {item["Type"] for item in template["Resources"].values()}

    assert not {kind for kind in kinds if "Gateway" in kind or "Peering" in kind}
    assert not {kind for kind in kinds if kind in {"AWS::EC2::Route", "AWS::EC2::EIP"}}


def test_no_rule_lets_the_world_in_or_out(template: dict[str, Any]) -> None:
    assert rules(template)
    for rule in rules(template):
        assert "CidrIpv6" not in rule
        assert rule.get("CidrIp") in (None, {"Ref": "Cidr"}, "127.0.0.1/32")


def test_every_group_replaces_the_rule_that_lets_everything_out(template: dict[str, Any]) -> None:
    groups = of_type(template, "AWS::EC2::SecurityGroup")

    assert all(group["SecurityGroupEgress"] for group in groups.values())


def test_the_workstation_reaches_nothing_but_the_endpoints(template: dict[str, Any]) -> None:
    group = of_type(template, "AWS::EC2::SecurityGroup")["WorkstationGroup"]

    assert "SecurityGroupIngress" not in group
    assert [
        {key: value for key, value in rule.items() if key.startswith("Destination")}
        for rule in group["SecurityGroupEgress"]
    ] == [
        {"DestinationSecurityGroupId": {"Fn::GetAtt": ["EndpointGroup", "GroupId"]}},
        {"DestinationPrefixListId": {"Ref": "S3PrefixList"}},
    ]


def test_names_outside_aws_are_not_resolved(template: dict[str, Any]) -> None:
    lists = of_type(template, "AWS::Route53Resolver::FirewallDomainList")
    [firewall] = of_type(template, "AWS::Route53Resolver::FirewallRuleGroup").values()
    [association] = of_type(template, "AWS::Route53Resolver::FirewallRuleGroupAssociation").values()

    first, last = sorted(firewall["FirewallRules"], key=lambda rule: rule["Priority"])
    assert (first["Action"], last["Action"]) == ("ALLOW", "BLOCK")
    assert lists[first["FirewallDomainListId"]["Ref"]]["Domains"] == [
        {"Fn::Sub": "*.${AWS::URLSuffix}"}
    ]
    assert lists[last["FirewallDomainListId"]["Ref"]]["Domains"] == ["*"]
    assert association["VpcId"] == {"Ref": "Vpc"}


def test_there_are_endpoints_for_session_manager_and_s3(template: dict[str, Any]) -> None:
    endpoints = of_type(template, "AWS::EC2::VPCEndpoint").values()

    assert sorted((e["VpcEndpointType"], e["ServiceName"]["Fn::Sub"]) for e in endpoints) == [
        ("Gateway", "com.amazonaws.${AWS::Region}.s3"),
        ("Interface", "com.amazonaws.${AWS::Region}.ec2messages"),
        ("Interface", "com.amazonaws.${AWS::Region}.ssm"),
        ("Interface", "com.amazonaws.${AWS::Region}.ssmmessages"),
    ]


def test_interface_endpoints_take_nobodys_credentials_but_the_workstations(
    template: dict[str, Any],
) -> None:
    for endpoint in of_type(template, "AWS::EC2::VPCEndpoint").values():
        if endpoint["VpcEndpointType"] == "Interface":
            [statement] = endpoint["PolicyDocument"]["Statement"]
            assert statement["Condition"] == {
                "ArnEquals": {"aws:PrincipalArn": {"Fn::GetAtt": ["Role", "Arn"]}}
            }


def test_nothing_can_be_written_to_s3_and_no_bucket_is_left_open(template: dict[str, Any]) -> None:
    endpoint = of_type(template, "AWS::EC2::VPCEndpoint")["S3Endpoint"]

    [statement] = endpoint["PolicyDocument"]["Statement"]
    assert statement["Action"] == "s3:GetObject"
    for resource in statement["Resource"]:
        bucket, _, key = resource["Fn::Sub"].rpartition(":")[2].partition("/")
        assert "*" not in bucket
        assert key == "*"


def test_the_workstations_role_has_no_right_in_the_account(template: dict[str, Any]) -> None:
    [statement] = statements(template)

    services = {action.split(":")[0] for action in statement["Action"]}
    assert services == {"ssm", "ssmmessages", "ec2messages"}
    assert [a for a in statement["Action"] if a.startswith("ssm:")] == [
        "ssm:UpdateInstanceInformation"
    ]
    assert not [action for action in statement["Action"] if "*" in action]


def test_the_workstations_credentials_are_worth_nothing_outside_the_room(
    template: dict[str, Any],
) -> None:
    [statement] = statements(template)

    assert statement["Condition"] == {"StringEquals": {"aws:SourceVpc": {"Ref": "Vpc"}}}


def test_the_workstation_has_no_key_pair_no_public_address_and_an_encrypted_disk(
    template: dict[str, Any],
) -> None:
    [workstation] = of_type(template, "AWS::EC2::Instance").values()
    [subnet] = of_type(template, "AWS::EC2::Subnet").values()

    assert "KeyName" not in workstation
    assert "NetworkInterfaces" not in workstation
    assert subnet["MapPublicIpOnLaunch"] is False
    [disk] = workstation["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True


def test_the_metadata_service_answers_the_machine_itself_only(template: dict[str, Any]) -> None:
    [workstation] = of_type(template, "AWS::EC2::Instance").values()

    assert workstation["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "InstanceMetadataTags": "disabled",
    }


def test_every_copy_is_encrypted_in_the_zone_of_the_workstation(template: dict[str, Any]) -> None:
    volumes = of_type(template, "AWS::EC2::Volume")
    [subnet] = of_type(template, "AWS::EC2::Subnet").values()

    assert [volume["SnapshotId"] for volume in volumes.values()] == [
        {"Ref": "Snapshot1"},
        {"Ref": "Snapshot2"},
    ]
    for volume in volumes.values():
        assert volume["Encrypted"] is True
        assert "KmsKeyId" not in volume
        assert volume["AvailabilityZone"] == subnet["AvailabilityZone"] == {"Ref": "Zone"}


def test_copies_say_of_what_they_are(template: dict[str, Any]) -> None:
    assert [volume["Tags"] for volume in of_type(template, "AWS::EC2::Volume").values()] == [
        [{"Key": "Name", "Value": "copy of vol-1 (/dev/xvda)"}],
        [{"Key": "Name", "Value": "copy of vol-2 (/dev/sdf)"}],
    ]


def test_copies_are_attached_once_the_workstation_has_started_from_its_own_disk(
    template: dict[str, Any],
) -> None:
    resources = template["Resources"]

    assert resources["DnsClosed"]["DependsOn"] == ["Workstation"]
    for number, device in ((1, "/dev/sdf"), (2, "/dev/sdg")):
        attachment = resources[f"Attachment{number}"]
        assert attachment["DependsOn"] == ["DnsClosed"]
        assert attachment["Properties"]["Device"] == device


def test_deletion_terminates_the_workstation_before_it_deletes_the_copies(
    template: dict[str, Any],
) -> None:
    resources = template["Resources"]

    assert {"Volume1", "Volume2"} <= set(resources["Workstation"]["DependsOn"])
    for number in (1, 2):
        assert resources[f"Attachment{number}"]["DeletionPolicy"] == "Retain"
        assert resources[f"Volume{number}"]["DeletionPolicy"] == "Delete"


def test_nothing_but_the_attachments_outlives_the_stack(template: dict[str, Any]) -> None:
    retained = {
        item["Type"]
        for item in template["Resources"].values()
        if item.get("DeletionPolicy", "Delete") != "Delete"
    }

    assert retained == {"AWS::EC2::VolumeAttachment"}


def test_an_image_is_given_by_its_id_or_by_a_parameter() -> None:
    by_id = room_template(TWO, "ami-0123456789abcdef0")["Parameters"]["Image"]["Type"]
    by_parameter = room_template(TWO, AMAZON_LINUX)["Parameters"]["Image"]["Type"]

    assert by_id == "AWS::EC2::Image::Id"
    assert by_parameter == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"


def test_a_room_with_as_many_volumes_as_fit_keeps_within_cloudformations_limits() -> None:
    many = [
        Copy(f"vol-{n:017x}", "/dev/xvdba", device, 1, None) for n, device in enumerate(DEVICES)
    ]

    template = room_template(many, AMAZON_LINUX)

    assert len(json.dumps(template, separators=(",", ":"))) < BODY_BYTES
    assert len(template["Parameters"]) < PARAMETERS
    assert len(set(DEVICES)) == len(DEVICES)


def test_one_room_does_not_change_the_next() -> None:
    room_template(TWO, AMAZON_LINUX)

    [workstation] = [
        item
        for item in room_template(TWO[:1], AMAZON_LINUX)["Resources"].values()
        if item["Type"] == "AWS::EC2::Instance"
    ]
    assert workstation["DependsOn"].count("Volume1") == 1
    assert "Volume2" not in workstation["DependsOn"]


def test_no_permission_of_cloudformation_is_named_twice() -> None:
    assert list(BY_CLOUDFORMATION) == sorted(set(BY_CLOUDFORMATION))
