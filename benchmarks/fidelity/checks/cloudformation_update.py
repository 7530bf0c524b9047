"""CloudFormation: stacks that are updated, and templates that are looked at."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.cloudformation_template import (
    CAPABILITIES,
    NAME,
    TEMPLATE,
    changed,
    created,
    outputs,
    parameters,
    snapshot_of_the_data_volume,
    stack,
)
from benchmarks.fidelity.verdicts import Known, Verdicts, check

# The room with one more security group.
_LARGER = json.dumps(changed(Sg2=TEMPLATE["Resources"]["Sg"]))
_AS_BEFORE = [{"ParameterKey": name, "UsePreviousValue": True} for name in ("Snap", "Ami")]
_STACK_POLICY = json.dumps(
    {"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}
)


@check("cfn", "a stack is updated by a change set")
def _change_set(account: Account, seen: Verdicts) -> None:
    cloudformation, snapshot = account("cloudformation"), snapshot_of_the_data_volume(account)
    before = created(account, snapshot)
    wanted: dict[str, Any] = {
        "StackName": NAME,
        "TemplateBody": _LARGER,
        "Capabilities": CAPABILITIES,
    }
    seen.done(
        "a change set can take the parameters as they are",
        lambda: cloudformation.create_change_set(
            ChangeSetName="cs0", Parameters=_AS_BEFORE, **wanted
        ),
    )
    seen.done(
        "a change set can be given parameters",
        lambda: cloudformation.create_change_set(
            ChangeSetName="cs",
            ChangeSetType="UPDATE",
            Parameters=parameters(account, snapshot),
            **wanted,
        ),
    )
    described = seen.done(
        "a change set can be looked at",
        lambda: cloudformation.describe_change_set(ChangeSetName="cs", StackName=NAME),
    )
    changes = [
        (item["ResourceChange"]["Action"], item["ResourceChange"]["LogicalResourceId"])
        for item in (described or {}).get("Changes", [])
    ]
    seen.holds("it says what will change", changes == [("Add", "Sg2")], changes)
    seen.done(
        "a change set can be executed",
        lambda: cloudformation.execute_change_set(ChangeSetName="cs", StackName=NAME),
    )
    status = stack(account)["StackStatus"]
    seen.holds("the stack is updated", status == "UPDATE_COMPLETE", status)
    after = outputs(account)
    seen.holds(
        "what is not changed stays: the instance is the same",
        after.get("InstanceId") == before["InstanceId"],
        after,
    )
    seen.refused(
        "an update that changes nothing",
        "ValidationError",
        lambda: cloudformation.update_stack(Parameters=_AS_BEFORE, **wanted),
    )


@check(
    "cfn",
    "a stack that stands",
    known={
        "its drift can be looked for": Known(
            "cloudformation:DetectStackDrift",
            "what a resource was made with isn't kept to compare it with",
        )
    },
)
def _standing(account: Account, seen: Verdicts) -> None:
    cloudformation, snapshot = account("cloudformation"), snapshot_of_the_data_volume(account)
    created(account, snapshot)
    seen.done(
        "its drift can be looked for", lambda: cloudformation.detect_stack_drift(StackName=NAME)
    )
    seen.refused(
        "to cancel an update where there is none",
        "ValidationError",
        lambda: cloudformation.cancel_update_stack(StackName=NAME),
    )
    seen.done(
        "it can have a stack policy",
        lambda: cloudformation.set_stack_policy(StackName=NAME, StackPolicyBody=_STACK_POLICY),
    )


@check("cfn", "templates are validated")
def _validated(account: Account, seen: Verdicts) -> None:
    cloudformation = account("cloudformation")
    seen.done(
        "a template may have parameters that it doesn't use",
        lambda: cloudformation.validate_template(TemplateBody=json.dumps(TEMPLATE)),
    )
    seen.refused(
        "JSON that isn't closed",
        "ValidationError",
        lambda: cloudformation.validate_template(
            TemplateBody='{"Resources":{"X":{"Type":"AWS::EC2::VPC","Propertiess":{}}}'
        ),
    )
