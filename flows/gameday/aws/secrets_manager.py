"""Secrets Manager: rotation, which takes a function that Secrets Manager may call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations, simulated_time
from flows.gameday.aws.deliveries import Sender

_DAY = 86_400


def correct() -> None:
    """Have secrets be rotated by their functions, and keep those."""
    from moto.secretsmanager.models import FakeSecret
    from moto.secretsmanager.responses import SecretsManagerResponse

    operations.add(SecretsManagerResponse, {"RotateSecret": _rotate_secret})
    describe = FakeSecret.to_dict

    def to_dict(self: Any) -> dict[str, Any]:
        described = dict(describe(self))
        # moto knows one of the rules.
        if "RotationRules" in described:
            described["RotationRules"] = _rules(self)
        return described

    FakeSecret.to_dict = to_dict


def _rotate_secret(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    secret = _secret(response, asked["SecretId"])
    # "If you don't include the configuration parameters, the operation starts a rotation with the
    # values already stored in the secret" (RotateSecret); moto forgets the function.
    function = asked.get("RotationLambdaARN") or secret.rotation_lambda_arn
    # What a service owns (RDS), that rotates by itself ("Managed rotation").
    if not function and secret.owning_service is None:
        raise operations.error(
            "InvalidRequestException",
            "No Lambda rotation function ARN is associated with this secret.",
        )
    if asked.get("RotationLambdaARN"):
        _require_callable(secret, function)
    rules = asked.get("RotationRules") or _rules(secret)
    days = rules.get("AutomaticallyAfterDays")
    if days is not None and not 1 <= days <= 1_000:
        raise operations.error(
            "InvalidParameterException", "AutomaticallyAfterDays must be between 1 and 1000."
        )
    secret.rotation_requested = secret.rotation_enabled = True
    secret.rotation_lambda_arn = function
    secret.__dict__["rotation_rules"] = dict(rules)
    if days is not None:
        secret.next_rotation_date = int(simulated_time.now().timestamp()) + days * _DAY
    if asked.get("RotateImmediately", True) and secret.versions:
        _rotate(secret, asked.get("ClientRequestToken"))
    return {"ARN": secret.arn, "Name": secret.name, "VersionId": secret.default_version_id}


def _require_callable(secret: Any, function: str) -> None:
    """The function must be there, and its policy let Secrets Manager call it (Secrets Manager User
    Guide, "Permissions for rotation")."""
    from moto.secretsmanager.exceptions import SecretsManagerClientError

    sender = Sender("secretsmanager.amazonaws.com", secret.arn)
    if not sender.may("lambda:InvokeFunction", function):
        # The API's model doesn't list this error.
        raise SecretsManagerClientError(
            "AccessDeniedException",
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function "
            "policy grants access to the principal secretsmanager.amazonaws.com.",
        )


def _rotate(secret: Any, token: str | None) -> None:
    """What a rotation function does, in one: no code runs here.

    A new version gets a new value, and the label AWSCURRENT; the one before gets AWSPREVIOUS (Secrets
    Manager User Guide, "Lambda rotation functions").
    """
    from moto.moto_api._internal import mock_random

    now = int(simulated_time.now().timestamp())
    version_id = token or str(mock_random.uuid4())
    before = secret.versions.get(secret.default_version_id, {})
    version = {"createdate": now, "version_id": version_id, "version_stages": ["AWSCURRENT"]}
    fresh = mock_random.get_random_hex(32)
    if before.get("secret_binary"):
        version["secret_binary"] = fresh
    else:
        version["secret_string"] = _with_new_password(before.get("secret_string", ""), fresh)
    secret.reset_default_version(version, version_id)
    secret.last_rotation_date = secret.last_changed_date = now


def _with_new_password(text: str, password: str) -> str:
    """The secret of a database is JSON with its ``password`` (Secrets Manager User Guide, "JSON
    structure of a secret"); of any other, all is new."""
    try:
        members = json.loads(text)
    except ValueError:
        return password
    if not isinstance(members, dict) or "password" not in members:
        return password
    return json.dumps({**members, "password": password})


def _rules(secret: Any) -> Mapping[str, Any]:
    rules: Mapping[str, Any] = secret.__dict__.get("rotation_rules", {})
    return rules


def _secret(response: Any, secret_id: str) -> Any:
    from moto.secretsmanager.exceptions import OperationNotPermittedOnReplica
    from moto.secretsmanager.models import ReplicaSecret

    backend = response.backend
    if not backend._is_valid_identifier(secret_id):
        raise operations.error(
            "ResourceNotFoundException", "Secrets Manager can't find the specified secret."
        )
    secret = backend.secrets[secret_id]
    if isinstance(secret, ReplicaSecret):
        raise OperationNotPermittedOnReplica
    if secret.is_deleted():
        raise operations.error(
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        )
    return secret
