"""Rotation of secrets: with what it is done, and what is new afterwards."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
SECRET = "database"


@pytest.fixture
def secrets(aws: Client) -> Any:
    client = aws("secretsmanager")
    client.create_secret(
        Name=SECRET, SecretString=json.dumps({"username": "admin", "password": "stolen"})
    )
    return client


def _function(aws: Client, world: WorldIds, name: str = "rotator", *, open_: bool = True) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", "def handle(event, context): pass")
    functions, iam = aws("lambda"), aws("iam")
    if not iam.list_roles(PathPrefix="/rotation/")["Roles"]:
        iam.create_role(Path="/rotation/", RoleName="rotation", AssumeRolePolicyDocument="{}")
    arn = functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=f"arn:aws:iam::{world.account}:role/rotation/rotation",
        Handler="f.handle",
        Code={"ZipFile": packed.getvalue()},
    )["FunctionArn"]
    if open_:
        functions.add_permission(
            FunctionName=name,
            StatementId="rotation",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
        )
    return str(arn)


def _value(secrets: Any, stage: str = "AWSCURRENT") -> dict[str, str]:
    text = secrets.get_secret_value(SecretId=SECRET, VersionStage=stage)["SecretString"]
    value: dict[str, str] = json.loads(text)
    return value


def test_a_rotation_replaces_the_password_and_keeps_the_one_before(
    secrets: Any, aws: Client, world: WorldIds
) -> None:
    function = _function(aws, world)

    answer = secrets.rotate_secret(
        SecretId=SECRET,
        RotationLambdaARN=function,
        RotationRules={"ScheduleExpression": "rate(30 days)"},
    )

    new = _value(secrets)
    assert new["username"] == "admin"
    assert new["password"] != "stolen"
    assert _value(secrets, "AWSPREVIOUS")["password"] == "stolen"
    described = secrets.describe_secret(SecretId=SECRET)
    assert described["RotationEnabled"] is True
    assert described["RotationLambdaARN"] == function
    assert described["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
    assert described["LastRotatedDate"]
    assert described["VersionIdsToStages"][answer["VersionId"]] == ["AWSCURRENT"]


def test_a_secret_is_rotated_again_by_the_function_that_it_has(
    secrets: Any, aws: Client, world: WorldIds
) -> None:
    function = _function(aws, world)
    rules = {"AutomaticallyAfterDays": 30}
    secrets.rotate_secret(SecretId=SECRET, RotationLambdaARN=function, RotationRules=rules)
    first = _value(secrets)

    secrets.rotate_secret(SecretId=SECRET)

    assert _value(secrets) != first
    assert _value(secrets, "AWSPREVIOUS") == first
    described = secrets.describe_secret(SecretId=SECRET)
    assert (described["RotationLambdaARN"], described["RotationRules"]) == (function, rules)


def test_a_rotation_can_be_set_up_for_later(secrets: Any, aws: Client, world: WorldIds) -> None:
    secrets.rotate_secret(
        SecretId=SECRET,
        RotationLambdaARN=_function(aws, world),
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )

    assert _value(secrets)["password"] == "stolen"
    assert secrets.describe_secret(SecretId=SECRET)["RotationEnabled"] is True


def test_what_is_no_secret_of_a_database_is_new_as_a_whole(
    secrets: Any, aws: Client, world: WorldIds
) -> None:
    function = _function(aws, world)
    secrets.create_secret(Name="token", SecretString="stolen")

    secrets.rotate_secret(SecretId="token", RotationLambdaARN=function)

    assert secrets.get_secret_value(SecretId="token")["SecretString"] != "stolen"


def test_a_rotation_takes_a_function_that_may_be_called(
    secrets: Any, aws: Client, world: WorldIds
) -> None:
    with refused("InvalidRequestException", "No Lambda rotation function"):
        secrets.rotate_secret(SecretId=SECRET)
    gone = f"arn:aws:lambda:{world.region}:{world.account}:function:gone"
    with refused("AccessDeniedException", "cannot invoke"):
        secrets.rotate_secret(SecretId=SECRET, RotationLambdaARN=gone)
    closed = _function(aws, world, "closed", open_=False)
    with refused("AccessDeniedException", "cannot invoke"):
        secrets.rotate_secret(SecretId=SECRET, RotationLambdaARN=closed)
    with refused("InvalidParameterException"):
        secrets.rotate_secret(
            SecretId=SECRET,
            RotationLambdaARN=_function(aws, world),
            RotationRules={"AutomaticallyAfterDays": 1_001},
        )

    assert _value(secrets)["password"] == "stolen"


def test_a_secret_that_is_not_there_is_not_rotated(secrets: Any) -> None:
    with refused("ResourceNotFoundException"):
        secrets.rotate_secret(SecretId="unknown")
    secrets.delete_secret(SecretId=SECRET)
    with refused("InvalidRequestException", "marked for deletion"):
        secrets.rotate_secret(SecretId=SECRET)
