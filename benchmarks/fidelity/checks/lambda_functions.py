"""Lambda: reserved concurrency, permissions and configurations of functions."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.checks.queues import Queue
from benchmarks.fidelity.verdicts import Verdicts, check

_NAME = "respond"


def function(account: Account, name: str = _NAME) -> str:
    """Create a function; its ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", "def handle(event, context): return {}")
    created = account("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=f"arn:aws:iam::{ACCOUNT_ID}:role/app-role",
        Handler="f.handle",
        Code={"ZipFile": packed.getvalue()},
    )
    return str(created["FunctionArn"])


@check("lambda", "reserved concurrency")
def _concurrency(account: Account, seen: Verdicts) -> None:
    api: Any = account("lambda")
    function(account)
    reserved = "ReservedConcurrentExecutions"
    answer = api.put_function_concurrency(FunctionName=_NAME, **{reserved: 0})
    seen.holds("0 can be reserved", answer[reserved] == 0, answer)
    said = api.get_function(FunctionName=_NAME).get("Concurrency", {})
    seen.holds("GetFunction says so", said.get(reserved) == 0, said)
    said = api.get_function_concurrency(FunctionName=_NAME)
    seen.holds("GetFunctionConcurrency says so", said.get(reserved) == 0, said)
    seen.refused(
        "invoking a function for which 0 is reserved",
        "TooManyRequestsException",
        lambda: api.invoke(FunctionName=_NAME),
    )
    api.delete_function_concurrency(FunctionName=_NAME)
    said = api.get_function_concurrency(FunctionName=_NAME)
    seen.holds("without a reservation none is said", reserved not in said, said)
    seen.done(
        "then it can be invoked",
        lambda: api.invoke(FunctionName=_NAME, Payload=b"{}")["Payload"].read(),
    )


@check("lambda", "permissions and configurations")
def _configuration(account: Account, seen: Verdicts) -> None:
    api: Any = account("lambda")
    function(account)
    api.add_permission(
        FunctionName=_NAME, StatementId="s", Action="lambda:InvokeFunction", Principal="*"
    )
    seen.done("a function's policy is read", lambda: api.get_policy(FunctionName=_NAME))
    updated = seen.done(
        "its environment is changed",
        lambda: api.update_function_configuration(
            FunctionName=_NAME, Environment={"Variables": {"A": "1"}}
        ),
    )
    said = (updated or {}).get("Environment", {}).get("Variables")
    seen.holds("and the answer says it", said == {"A": "1"}, said)
    queue = Queue(account, "jobs")

    def disabled() -> Any:
        mapping = api.create_event_source_mapping(EventSourceArn=queue.arn, FunctionName=_NAME)
        return api.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)

    seen.done("an event source mapping is disabled", disabled)
