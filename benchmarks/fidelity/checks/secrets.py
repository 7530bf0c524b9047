"""Secrets Manager."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account
from benchmarks.fidelity.checks.lambda_functions import function
from benchmarks.fidelity.verdicts import Verdicts, check


@check("secretsmanager", "secrets")
def _secrets(account: Account, seen: Verdicts) -> None:
    secrets = account("secretsmanager")
    arn = secrets.create_secret(Name="key", SecretString="1")["ARN"]
    secrets.put_secret_value(SecretId="key", SecretString="2")

    def value(**more: Any) -> Any:
        return secrets.get_secret_value(SecretId="key", **more)["SecretString"]

    seen.holds("the newest value is current", value() == "2")
    seen.holds("the one before is kept", value(VersionStage="AWSPREVIOUS") == "1")
    seen.done(
        "a secret has a policy",
        lambda: secrets.put_resource_policy(
            SecretId=arn, ResourcePolicy='{"Version": "2012-10-17", "Statement": []}'
        ),
    )
    secrets.delete_secret(SecretId="key")
    seen.refused("the value of a deleted secret", "InvalidRequestException", value)


@check("secretsmanager", "rotation")
def _rotation(account: Account, seen: Verdicts) -> None:
    secrets = account("secretsmanager")
    secrets.create_secret(Name="key", SecretString="1")

    def rotate(**more: Any) -> Any:
        return secrets.rotate_secret(SecretId="key", **more)

    seen.refused("rotating without a function", "InvalidRequestException", rotate)
    seen.refused(
        "a function that isn't there",
        ("AccessDeniedException", "ResourceNotFoundException"),
        lambda: rotate(
            RotationLambdaARN=f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:gone",
            RotationRules={"AutomaticallyAfterDays": 1},
        ),
    )
    rotator = function(account, "rotator")
    account("lambda").add_permission(
        FunctionName="rotator",
        StatementId="rotation",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )
    seen.done(
        "rotation is begun",
        lambda: rotate(RotationLambdaARN=rotator, RotationRules={"AutomaticallyAfterDays": 1}),
    )
    described = secrets.describe_secret(SecretId="key")
    said = described.get("RotationEnabled"), described.get("RotationLambdaARN")
    seen.holds("a secret says that it is rotated, and by what", said == (True, rotator), said)
    seen.done("it is rotated at once by the same function", rotate)
