"""CloudFormation: stacks that take time, say what failed, roll back, and are deleted as a whole."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flows.gameday.aws import cloudformation_resources, settings, simulated_time
from flows.gameday.aws import cloudformation_templates as templates
from flows.gameday.aws.authorization import handlers
from flows.gameday.aws.errors import cloudformation_error, said
from flows.gameday.aws.settings import Taking

_STACK = "AWS::CloudFormation::Stack"
# "The maximum size of a template body that you can pass in a request: 51,200 bytes"
# (CloudFormation quotas).
_BODY_BYTES = 51_200
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")


def correct() -> None:
    """Have stacks be in progress first, roll back what fails, and say in events what happened."""
    cloudformation_resources.correct()
    templates.correct()
    _statuses()
    _created()
    _deleted()
    _described()


@dataclass
class Operation:
    """What an operation on a stack does, event by event, spread over the time that it takes."""

    stack: Any
    token: str | None
    events: list[Any] = field(default_factory=list)

    def say(
        self, status: str, reason: str | None = None, *, resource: str = "", physical: str = ""
    ) -> None:
        """An event of the stack, or of the resource of that logical name."""
        from moto.cloudformation.models import Event

        stack = self.stack
        kind = stack.template_dict["Resources"][resource]["Type"] if resource else _STACK
        event: Any = Event(
            stack_id=stack.stack_id,
            stack_name=stack.name,
            logical_resource_id=resource or stack.name,
            physical_resource_id=physical if resource else stack.stack_id,
            resource_type=kind,
            resource_status=status,
            resource_status_reason=reason,
            resource_properties=None,
        )
        # "All events triggered by a given stack operation are assigned the same client request
        # token" (CreateStack).
        event.client_request_token = self.token
        self.events.append(event)

    def over(self) -> None:
        """Spread the events over ``stack_seconds``, the first one now, the last one at the end."""
        taking, now = Taking.now(settings.SETTINGS.stack_seconds), simulated_time.now()
        for number, event in enumerate(self.events):
            share = number / max(1, len(self.events) - 1)
            event.happens = (taking, share)
            event.timestamp = now + timedelta(seconds=taking.seconds * share)
        self.stack.events = [*_happened(self.stack), *self.events]


def _happened(stack: Any) -> list[Any]:
    """The events that have happened by now."""
    return [event for event in stack.events if _has_happened(event)]


def _has_happened(event: Any) -> bool:
    taking, share = getattr(event, "happens", (None, 0.0))
    return taking is None or taking.share >= share


def _last(stack: Any) -> Any:
    """The last event of the stack itself."""
    own = [event for event in _happened(stack) if event.resource_type == _STACK]
    return own[-1] if own else None


def _statuses() -> None:
    from moto.cloudformation.models import Stack

    # A stack's status is what its last own event says (CloudFormation User Guide, "Stack status
    # codes").
    def status(stack: Any) -> str:
        last = _last(stack)
        return str(last.resource_status if last is not None else stack.__dict__["said"])

    def reason(stack: Any) -> str | None:
        last = _last(stack)
        return None if last is None else last.resource_status_reason

    Stack.status = property(status, lambda stack, value: stack.__dict__.update(said=value))
    Stack.stack_status_reason = property(reason)

    outputs = Stack.outputs.fget

    def outputs_when_made(stack: Any) -> Any:
        # Outputs are there once the stack is; moto would make resources anew to answer.
        return outputs(stack) if stack.status in _STANDING else None

    Stack.outputs = property(outputs_when_made)
    # moto would make every resource of the template that isn't there.
    Stack.stack_resources = property(
        lambda stack: [stack.resource_map._parsed_resources[name] for name in made(stack)]
    )


_STANDING = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})


def made(stack: Any) -> list[str]:
    """The logical names of what the stack has made, in the order in which it was made."""
    resources = stack.resource_map
    return [name for name in resources._parsed_resources if name in resources._resource_json_map]


def _created() -> None:
    from moto.cloudformation.models import CloudFormationBackend
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.core.responses import ActionResult

    def create_stack_called(self: Any) -> Any:
        body, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        if (body is None) == (url is None):
            raise cloudformation_error(
                "ValidationError", "Either Template URL or Template Body must be specified."
            )
        if body is not None and len(body.encode()) > _BODY_BYTES:
            raise cloudformation_error(
                "ValidationError",
                f"1 validation error detected: Value at 'templateBody' failed to satisfy "
                f"constraint: Member must have length less than or equal to {_BODY_BYTES}",
            )
        backend, token = self.cloudformation_backend, self._get_param("ClientRequestToken")
        asked = json.dumps(self.params, sort_keys=True, default=str)
        known = backend.__dict__.setdefault("stacks_by_token", {})
        if token and token in known:
            before, stack_id = known[token]
            # "A client request token already exists" (TokenAlreadyExistsException), unless the
            # very same request is made again.
            if before != asked:
                raise cloudformation_error(
                    "TokenAlreadyExistsException", f"The token {token} is used already."
                )
            return ActionResult({"StackId": stack_id})
        stack = self.cloudformation_backend.create_stack(
            name=self._get_param("StackName"),
            template=body if url is None else self._get_stack_from_s3_url(url),
            parameters=self._get_params_from_list(self._get_param("Parameters", [])),
            notification_arns=self._get_param("NotificationARNs", []),
            tags={item["Key"]: item["Value"] for item in self._get_param("Tags", [])},
            role_arn=self._get_param("RoleARN"),
            enable_termination_protection=self._get_param("EnableTerminationProtection"),
            timeout_in_mins=self._get_param("TimeoutInMinutes"),
            stack_policy_body=self._get_param("StackPolicyBody"),
            capabilities=self._get_param("Capabilities", []),
            on_failure=_on_failure(self),
            token=token,
        )
        if token:
            known[token] = (asked, stack.stack_id)
        return ActionResult({"StackId": stack.stack_id})

    CloudFormationResponse.create_stack = create_stack_called

    def create_stack(
        self: Any,
        name: str,
        template: str,
        parameters: dict[str, Any],
        *,
        capabilities: list[str] | None = None,
        on_failure: str = "ROLLBACK",
        token: str | None = None,
        **named: Any,
    ) -> Any:
        from moto.cloudformation.models import Stack
        from moto.cloudformation.utils import generate_stack_id

        _require_free(self, name)
        templates.check(template, parameters, capabilities)
        stack = Stack(
            stack_id=generate_stack_id(name, self.region_name, self.account_id),
            name=name,
            template=template,
            parameters=parameters,
            account_id=self.account_id,
            region_name=self.region_name,
            cross_stack_resources=self.exports,
            **named,
        )
        stack.capabilities = capabilities or []
        stack.disable_rollback = on_failure == "DO_NOTHING"
        self.stacks[stack.stack_id] = stack
        _make(self, stack, on_failure, token)
        return stack

    CloudFormationBackend.create_stack = create_stack


def _on_failure(response: Any) -> str:
    """CreateStack: "You can specify either OnFailure or DisableRollback, but not both"."""
    chosen = response._get_param("OnFailure")
    disabled = str(response._get_param("DisableRollback")).lower() == "true"
    if chosen and response._get_param("DisableRollback") is not None:
        raise cloudformation_error(
            "ValidationError", "Either OnFailure or DisableRollback can be specified, not both."
        )
    return str(chosen or ("DO_NOTHING" if disabled else "ROLLBACK"))


def _require_free(backend: Any, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise cloudformation_error(
            "ValidationError",
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
        )
    # A stack keeps its name until it is deleted: also when it was rolled back, or could not be
    # deleted ("The stack with the name specified already exists", AlreadyExistsException).
    if any(stack.name == name for stack in backend.stacks.values()):
        raise cloudformation_error("AlreadyExistsException", f"Stack [{name}] already exists")


def _make(backend: Any, stack: Any, on_failure: str, token: str | None) -> None:
    operation = Operation(stack, token)
    operation.say("CREATE_IN_PROGRESS", "User Initiated")
    failed = ""
    for name in templates.in_order(stack.template_dict["Resources"]):
        try:
            _make_one(stack, name, operation)
        except Exception as error:
            operation.say("CREATE_FAILED", said(error), resource=name)
            failed = name
            break
    if not failed:
        for export in stack.exports:
            backend.exports[export.name] = export
        operation.say("CREATE_COMPLETE")
    else:
        _undo(backend, stack, on_failure, failed, operation)
    operation.over()


def _undo(backend: Any, stack: Any, on_failure: str, failed: str, operation: Operation) -> None:
    reason = f"The following resource(s) failed to create: [{failed}]. "
    if on_failure == "DO_NOTHING":
        operation.say("CREATE_FAILED", reason)
        return
    verb = "DELETE" if on_failure == "DELETE" else "ROLLBACK"
    operation.say(f"{verb}_IN_PROGRESS", f"{reason}Rollback requested by user.")
    left = _remove(stack, operation, rollback=True)
    operation.say(f"{verb}_{'FAILED' if left else 'COMPLETE'}", _not_removed(left))


def _make_one(stack: Any, name: str, operation: Operation) -> None:
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.core import TaggedEC2Resource

    resources = stack.resource_map
    condition = stack.template_dict["Resources"][name].get("Condition")
    if condition and not resources.lazy_condition_map[condition]:
        return
    operation.say("CREATE_IN_PROGRESS", resource=name)
    handlers.require(stack, name, "create")
    resource = resources[name]
    physical = str(getattr(resource, "physical_resource_id", None) or name)
    # "All stack-level tags, including automatically created tags, are propagated to resources that
    # CloudFormation supports" (User Guide, resource tags).
    if isinstance(resource, TaggedEC2Resource):
        ec2_backends[stack.account_id][stack.region_name].create_tags(
            [physical],
            {
                **stack.tags,
                "aws:cloudformation:stack-name": stack.name,
                "aws:cloudformation:stack-id": stack.stack_id,
                "aws:cloudformation:logical-id": name,
            },
        )
    operation.say("CREATE_COMPLETE", resource=name, physical=physical)


def _remove(
    stack: Any, operation: Operation, *, rollback: bool = False, retain: list[str] | None = None
) -> list[str]:
    """Delete what the stack made, last things first. The names of what could not be deleted."""
    resources = stack.template_dict["Resources"]
    parsed = stack.resource_map._parsed_resources
    failed: list[str] = []
    left: list[str] = []
    for name in reversed(made(stack)):
        policy = resources[name].get("DeletionPolicy", "Delete")
        # "RetainExceptOnCreate behaves like Retain …, except for the stack operation that initially
        # creates the resource" (DeletionPolicy attribute).
        kept = policy == "Retain" or (policy == "RetainExceptOnCreate" and not rollback)
        if kept or name in (retain or []):
            operation.say("DELETE_SKIPPED", resource=name, physical=physical_id(parsed.pop(name)))
            continue
        # What is needed by something that is still there isn't tried.
        if any(name in templates.needs(resources[other]) for other in left):
            left.append(name)
            continue
        physical = physical_id(parsed[name])
        operation.say("DELETE_IN_PROGRESS", resource=name, physical=physical)
        try:
            handlers.require(stack, name, "delete", physical)
            cloudformation_resources.delete(stack, name, policy)
        except Exception as error:
            failed.append(name)
            left.append(name)
            operation.say("DELETE_FAILED", said(error), resource=name, physical=physical)
        else:
            del parsed[name]
            operation.say("DELETE_COMPLETE", resource=name, physical=physical)
    return failed


def physical_id(resource: Any) -> str:
    return str(getattr(resource, "physical_resource_id", None) or "")


def _not_removed(names: list[str]) -> str | None:
    if not names:
        return None
    return f"The following resource(s) failed to delete: [{', '.join(sorted(names))}]. "


def _deleted() -> None:
    from moto.cloudformation.models import CloudFormationBackend
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.core.responses import ActionResult, EmptyResult

    def delete_stack(
        self: Any,
        name_or_stack_id: str,
        retain: list[str] | None = None,
        token: str | None = None,
    ) -> None:
        stack = _find(self, name_or_stack_id)
        if stack is None or stack.status == "DELETE_IN_PROGRESS":
            return
        if stack.enable_termination_protection:
            raise cloudformation_error(
                "ValidationError",
                f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled",
            )
        # "For stacks in the DELETE_FAILED state, a list of resource logical IDs … to retain"
        # (DeleteStack).
        if retain and stack.status != "DELETE_FAILED":
            raise cloudformation_error(
                "ValidationError",
                f"Invalid operation on stack [{stack.stack_id}]. When the stack is in "
                f"{stack.status} state, RetainResources can't be specified.",
            )
        operation = Operation(stack, token)
        operation.say("DELETE_IN_PROGRESS", "User Initiated")
        left = _remove(stack, operation, retain=retain)
        operation.say("DELETE_FAILED" if left else "DELETE_COMPLETE", _not_removed(left))
        operation.over()
        for name, export in list(self.exports.items()):
            if export.exporting_stack_id == stack.stack_id and not left:
                del self.exports[name]

    CloudFormationBackend.delete_stack = delete_stack

    def delete_stack_called(self: Any) -> Any:
        self.cloudformation_backend.delete_stack(
            self._get_param("StackName"),
            self._get_param("RetainResources", []),
            self._get_param("ClientRequestToken"),
        )
        return EmptyResult()

    CloudFormationResponse.delete_stack = delete_stack_called

    def update_termination_protection(self: Any) -> Any:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        wanted = self._get_param("EnableTerminationProtection")
        stack.enable_termination_protection = str(wanted).lower() == "true"
        return ActionResult({"StackId": stack.stack_id})

    CloudFormationResponse.update_termination_protection = update_termination_protection

    def backend(self: Any) -> Any:
        from moto.cloudformation.models import cloudformation_backends

        found = cloudformation_backends[self.current_account][self.region]
        _settle(found)
        return found

    CloudFormationResponse.cloudformation_backend = property(backend)


def _settle(backend: Any) -> None:
    """A stack whose deletion is over has lost its name, and is found by its id only."""
    for stack_id, stack in list(backend.stacks.items()):
        if stack.status == "DELETE_COMPLETE":
            backend.deleted_stacks[stack_id] = backend.stacks.pop(stack_id)


def _find(backend: Any, name_or_id: str) -> Any:
    for stack in backend.stacks.values():
        if name_or_id in (stack.name, stack.stack_id):
            return stack
    return None


def _described() -> None:
    from moto.cloudformation.models import CloudFormationBackend
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.core.responses import ActionResult

    CloudFormationBackend.describe_stack_events = lambda self, name: _happened(self.get_stack(name))

    def describe_stack_resources(self: Any) -> Any:
        wanted = self._get_param("LogicalResourceId")
        physical = self._get_param("PhysicalResourceId")
        backend = self.cloudformation_backend
        if self._get_param("StackName"):
            stacks = [backend.get_stack(self._get_param("StackName"))]
        else:
            stacks = list(backend.stacks.values())
        found = [
            item
            for stack in stacks
            for item in _resources(stack)
            if wanted in (None, item["LogicalResourceId"])
            and physical in (None, item["PhysicalResourceId"])
        ]
        return ActionResult({"StackResources": found})

    def describe_stack_resource(self: Any) -> Any:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        wanted = self._get_param("LogicalResourceId")
        for item in _resources(stack):
            if item["LogicalResourceId"] == wanted:
                detail = {**item, "LastUpdatedTimestamp": item["Timestamp"]}
                return ActionResult({"StackResourceDetail": detail})
        raise cloudformation_error(
            "ValidationError", f"Resource {wanted} does not exist for stack {stack.name}"
        )

    def list_stack_resources(self: Any) -> Any:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        summaries = [{**i, "LastUpdatedTimestamp": i["Timestamp"]} for i in _resources(stack)]
        return ActionResult({"StackResourceSummaries": summaries})

    CloudFormationResponse.describe_stack_resources = describe_stack_resources
    CloudFormationResponse.describe_stack_resource = describe_stack_resource
    CloudFormationResponse.list_stack_resources = list_stack_resources


def _resources(stack: Any) -> list[dict[str, Any]]:
    """A stack's resources, each as its last event left it."""
    found: dict[str, dict[str, Any]] = {}
    for event in _happened(stack):
        if event.resource_type == _STACK and event.logical_resource_id == stack.name:
            continue
        known = found.get(event.logical_resource_id, {})
        found[event.logical_resource_id] = {
            "StackId": stack.stack_id,
            "StackName": stack.name,
            "LogicalResourceId": event.logical_resource_id,
            "PhysicalResourceId": event.physical_resource_id or known.get("PhysicalResourceId"),
            "ResourceType": event.resource_type,
            "ResourceStatus": event.resource_status,
            "ResourceStatusReason": event.resource_status_reason,
            "Timestamp": event.timestamp,
        }
    return list(found.values())
