from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
NAME = "exfiltrate"


@pytest.fixture
def functions(aws: Client, world: WorldIds) -> Any:
    """A client of Lambda, where there is a function with one version."""
    client, archive = aws("lambda"), io.BytesIO()
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    aws("iam").create_role(
        RoleName="functions",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("handler.py", "def handle(event, context): return None")
    _create(client, world, NAME, archive.getvalue())
    _create(client, world, "other", archive.getvalue())
    client.publish_version(FunctionName=NAME)
    return client


def _create(client: Any, world: WorldIds, name: str, code: bytes) -> None:
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=f"arn:aws:iam::{world.account}:role/functions",
        Handler="handler.handle",
        Code={"ZipFile": code},
    )


def _reserve(functions: Any, number: int, name: str = NAME) -> None:
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=number)


def _provision(functions: Any, number: int, qualifier: str = "1") -> dict[str, Any]:
    answer: dict[str, Any] = functions.put_provisioned_concurrency_config(
        FunctionName=NAME, Qualifier=qualifier, ProvisionedConcurrentExecutions=number
    )
    return answer


def test_a_function_with_a_reservation_of_zero_is_throttled(functions: Any) -> None:
    assert functions.invoke(FunctionName=NAME, Payload=b"{}")["StatusCode"] == 200

    _reserve(functions, 0)

    for called in (NAME, functions.get_function(FunctionName=NAME)["Configuration"]["FunctionArn"]):
        with pytest.raises(ClientError) as caught:
            functions.invoke(FunctionName=called, Payload=b"{}")
        answer = caught.value.response
        assert answer["Error"]["Code"] == "TooManyRequestsException"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert functions.invoke(FunctionName="other")["StatusCode"] == 200


def test_events_are_accepted_while_a_function_is_throttled(functions: Any) -> None:
    _reserve(functions, 0)

    answer = functions.invoke(FunctionName=NAME, InvocationType="Event", Payload=b"{}")

    assert answer["StatusCode"] == 202


def test_zero_is_a_reservation_and_none_is_not(functions: Any) -> None:
    assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(
        FunctionName=NAME
    )
    assert "Concurrency" not in functions.get_function(FunctionName=NAME)

    _reserve(functions, 0)

    reserved = functions.get_function_concurrency(FunctionName=NAME)
    assert reserved["ReservedConcurrentExecutions"] == 0
    function = functions.get_function(FunctionName=NAME)
    assert function["Concurrency"] == {"ReservedConcurrentExecutions": 0}


def test_a_function_runs_again_without_its_reservation(functions: Any) -> None:
    _reserve(functions, 0)

    functions.delete_function_concurrency(FunctionName=NAME)

    payload = functions.invoke(FunctionName=NAME, Payload=b"{}")["Payload"]
    assert json.loads(payload.read()) is None


def test_some_of_the_account_s_concurrency_can_not_be_reserved(functions: Any) -> None:
    _reserve(functions, 500, "other")

    with refused("InvalidParameterValueException", "[100]"):
        _reserve(functions, 401)
    _reserve(functions, 400)


def test_a_reservation_can_not_be_below_what_is_provisioned(functions: Any) -> None:
    assert _provision(functions, 5)["Status"] == "IN_PROGRESS"

    with refused("InvalidParameterValueException", "provisioned"):
        _reserve(functions, 0)

    functions.delete_provisioned_concurrency_config(FunctionName=NAME, Qualifier="1")
    _reserve(functions, 0)


def test_what_is_provisioned_can_not_be_above_the_reservation(functions: Any) -> None:
    _reserve(functions, 4)

    with refused("InvalidParameterValueException"):
        _provision(functions, 5)
    _provision(functions, 4)


def test_provisioned_concurrency_is_read_and_listed(functions: Any) -> None:
    with refused("ProvisionedConcurrencyConfigNotFoundException"):
        functions.get_provisioned_concurrency_config(FunctionName=NAME, Qualifier="1")

    _provision(functions, 3)

    config = functions.get_provisioned_concurrency_config(FunctionName=NAME, Qualifier="1")
    assert (config["Status"], config["AllocatedProvisionedConcurrentExecutions"]) == ("READY", 3)
    listed = functions.list_provisioned_concurrency_configs(FunctionName=NAME)
    [known] = listed["ProvisionedConcurrencyConfigs"]
    assert known["FunctionArn"].endswith(f":{NAME}:1")


def test_only_versions_and_aliases_have_provisioned_concurrency(functions: Any) -> None:
    with refused("InvalidParameterValueException"):
        _provision(functions, 1, "$LATEST")
    with refused("ResourceNotFoundException"):
        _provision(functions, 1, "7")


def test_reservations_come_back_with_what_is_remembered(
    functions: Any, simulated_aws: SimulatedAws
) -> None:
    _provision(functions, 2)
    memory = simulated_aws.remember()
    functions.delete_provisioned_concurrency_config(FunctionName=NAME, Qualifier="1")
    _reserve(functions, 0)

    simulated_aws.recall(memory)

    assert functions.invoke(FunctionName=NAME, Payload=b"{}")["StatusCode"] == 200
    config = functions.get_provisioned_concurrency_config(FunctionName=NAME, Qualifier="1")
    assert config["RequestedProvisionedConcurrentExecutions"] == 2
