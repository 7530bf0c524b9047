from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.stacks import network, role

_PARAMETERS = {
    "Used": {"Type": "String", "Default": "10.99.0.0/24"},
    "Unused": {"Type": "String", "NoEcho": True, "Description": "nobody asks for it"},
}


@pytest.fixture
def cloudformation(aws: Any) -> Any:
    return aws("cloudformation")


def test_a_template_is_validated(cloudformation: Any) -> None:
    body = json.dumps(
        {"Description": "a room", "Parameters": _PARAMETERS, "Resources": network() | role()}
    )

    answer = cloudformation.validate_template(TemplateBody=body)

    assert answer["Description"] == "a room"
    assert answer["Capabilities"] == ["CAPABILITY_IAM"]
    used, unused = answer["Parameters"]
    assert (used["ParameterKey"], used["DefaultValue"]) == ("Used", "10.99.0.0/24")
    assert (unused["ParameterKey"], unused["NoEcho"]) == ("Unused", True)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"Resources": {"Vpc": {"Type": "AWS::EC2::VPC"}}', "not well-formed"),
        ("Description: nothing", "At least one Resources member"),
        ("Resources: {Thing: {Type: 'AWS::No::Such'}}", "Unrecognized resource types"),
        (
            "Resources: {Vpc: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: {Ref: Cidr}}}}",
            "Unresolved resource dependencies [Cidr]",
        ),
    ],
)
def test_a_wrong_template_is_not_valid(cloudformation: Any, body: str, why: str) -> None:
    with refused("ValidationError", why):
        cloudformation.validate_template(TemplateBody=body)
