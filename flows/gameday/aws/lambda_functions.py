"""Lambda: reserved and provisioned concurrency. No code runs: every function answers ``null``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from flows.gameday.aws import operations, simulated_time

# An account has 1,000 concurrent executions in a Region, of which 100 stay for functions without a
# reservation (Lambda quotas; Developer Guide, "Configuring reserved concurrency").
_CONCURRENCY = 1_000
_UNRESERVED = 100
_REQUESTED = "RequestedProvisionedConcurrentExecutions"


def correct() -> None:
    """Have reservations be respected, zero as well, and provisioned concurrency be there."""
    from moto.awslambda.models import LambdaFunction
    from moto.awslambda.responses import LambdaResponse

    # moto would start a container for it.
    LambdaFunction._invoke_lambda = lambda self, event=None: ("null", False, "")

    describe = LambdaFunction.get_code

    def get_code(self: Any) -> Any:
        answer = describe(self)
        # "Concurrency" of GetFunction; moto leaves a reservation of 0 out.
        if self.reserved_concurrency is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": self.reserved_concurrency}
        return answer

    LambdaFunction.get_code = get_code

    invoke = LambdaResponse.invoke

    def invoke_called(self: Any) -> Any:
        name = self.uri_match.get("FunctionName") or self.path.rsplit("/", 2)[-2]
        kind = self.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        # A function whose reserved concurrency is zero is throttled ("Configuring reserved
        # concurrency", Lambda Developer Guide). Events are accepted all the same, and wait.
        if kind == "RequestResponse" and _function(self, name).reserved_concurrency == 0:
            raise operations.error(
                "TooManyRequestsException",
                "Rate Exceeded.",
                Reason="ReservedFunctionConcurrentInvocationLimitExceeded",
            )
        return invoke(self)

    LambdaResponse.invoke = invoke_called

    operations.add(
        LambdaResponse,
        {
            "PutFunctionConcurrency": _put_function_concurrency,
            "GetFunctionConcurrency": _get_function_concurrency,
            "PutProvisionedConcurrencyConfig": _put_provisioned_concurrency_config,
            "GetProvisionedConcurrencyConfig": _get_provisioned_concurrency_config,
            "ListProvisionedConcurrencyConfigs": _list_provisioned_concurrency_configs,
            "DeleteProvisionedConcurrencyConfig": _delete_provisioned_concurrency_config,
        },
    )


def _put_function_concurrency(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    function = _function(response, asked["FunctionName"])
    wanted = int(asked["ReservedConcurrentExecutions"])
    others = sum(
        other.reserved_concurrency or 0
        for other in response.backend.list_functions()
        if other.function_name != function.function_name
    )
    if others + wanted > _CONCURRENCY - _UNRESERVED:
        raise _invalid(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{_UNRESERVED}]."
        )
    provisioned = _total(function)
    if provisioned > wanted:
        # Provisioned concurrency can't be more than what is reserved (Lambda Developer Guide,
        # "Configuring provisioned concurrency").
        raise _invalid(
            f"ReservedConcurrentExecutions {wanted} should not be lower than function's total "
            f"provisioned concurrency [{provisioned}]."
        )
    function.reserved_concurrency = wanted
    return {"ReservedConcurrentExecutions": wanted}


def _get_function_concurrency(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    reserved = _function(response, asked["FunctionName"]).reserved_concurrency
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


def _put_provisioned_concurrency_config(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    function, qualifier = _function(response, asked["FunctionName"]), asked["Qualifier"]
    wanted = int(asked["ProvisionedConcurrentExecutions"])
    if qualifier == "$LATEST":
        # The qualifier is "the version number or alias name".
        raise _invalid(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
    response.backend.get_function(asked["FunctionName"], qualifier)
    others = _total(function) - _provisioned(function).get(qualifier, {}).get(_REQUESTED, 0)
    reserved = function.reserved_concurrency
    if reserved is not None and others + wanted > reserved:
        raise _invalid(
            "Requested Provisioned Concurrency should not be greater than the "
            "reservedConcurrentExecution for function"
        )
    _provisioned(function)[qualifier] = {
        _REQUESTED: wanted,
        "AvailableProvisionedConcurrentExecutions": wanted,
        "AllocatedProvisionedConcurrentExecutions": wanted,
        "Status": "READY",
        "LastModified": simulated_time.now().strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }
    # The answer is from before anything is allocated.
    return {
        _REQUESTED: wanted,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": _provisioned(function)[qualifier]["LastModified"],
    }


def _get_provisioned_concurrency_config(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return _config(response, asked)


def _list_provisioned_concurrency_configs(
    response: Any, asked: dict[str, Any]
) -> Mapping[str, Any]:
    function = _function(response, asked["FunctionName"])
    unqualified = function.function_arn.removesuffix(":$LATEST")
    return {
        "ProvisionedConcurrencyConfigs": [
            {"FunctionArn": f"{unqualified}:{qualifier}", **config}
            for qualifier, config in _provisioned(function).items()
        ]
    }


def _delete_provisioned_concurrency_config(response: Any, asked: dict[str, Any]) -> None:
    _config(response, asked)
    del _provisioned(_function(response, asked["FunctionName"]))[asked["Qualifier"]]


def _config(response: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    configs = _provisioned(_function(response, asked["FunctionName"]))
    if asked["Qualifier"] not in configs:
        raise operations.error(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        )
    return configs[asked["Qualifier"]]


def _function(response: Any, name: str) -> Any:
    """The function itself, not one of its versions: it has the reservation."""
    # ARNs may be qualified.
    plain = unquote(name)
    if plain.startswith("arn:") and plain.count(":") > 6:
        plain = plain.rsplit(":", 1)[0]
    return response.backend.get_function(plain, None)


def _provisioned(function: Any) -> dict[str, dict[str, Any]]:
    """A function's provisioned concurrency by version or alias."""
    configs: dict[str, dict[str, Any]] = function.__dict__.setdefault(
        "provisioned_by_qualifier", {}
    )
    return configs


def _total(function: Any) -> int:
    return sum(config[_REQUESTED] for config in _provisioned(function).values())


def _invalid(message: str) -> Exception:
    return operations.error("InvalidParameterValueException", message)
