"""CloudFormation: stacks that are changed, at once or by a change set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.gameday.aws import cloudformation_templates as templates
from flows.gameday.aws import operations
from flows.gameday.aws.cloudformation import Operation, made, physical_id
from flows.gameday.aws.errors import cloudformation_error


def correct() -> None:
    """Have updates be told in events, and refuse those that change nothing."""
    from moto.cloudformation.responses import CloudFormationResponse

    _updated()
    _change_sets()
    _nothing_to_do()
    operations.add(CloudFormationResponse, {"CancelUpdateStack": _cancel_update})


def _change(
    stack: Any, template: str, parameters: Mapping[str, Any] | None, verb: str = "UPDATE"
) -> None:
    """Bring the stack to this template. Raises what a resource raises; it isn't rolled back."""
    operation, resources = Operation(stack, None), stack.resource_map
    wanted = templates.parsed(template)["Resources"]
    operation.say(f"{verb}_IN_PROGRESS", "User Initiated")
    before = {name: physical_id(resources._parsed_resources[name]) for name in made(stack)}
    for name in before.keys() - wanted.keys():
        operation.say("DELETE_COMPLETE", resource=name, physical=before[name])
    stack.template = template
    stack._parse_template()
    resources.update(stack.template_dict, parameters)
    for name in made(stack):
        physical = physical_id(resources._parsed_resources[name])
        if name not in before:
            operation.say("CREATE_COMPLETE", resource=name, physical=physical)
        elif physical != before[name]:
            operation.say("UPDATE_COMPLETE", resource=name, physical=physical)
    stack.parameters = dict(resources.input_parameters)
    stack.output_map = stack._create_output_map()
    stack.description = stack.template_dict.get("Description")
    operation.say(f"{verb}_COMPLETE")
    operation.over()


def _updated() -> None:
    from moto.cloudformation.models import Stack

    def update(
        self: Any,
        template: str,
        role_arn: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        _change(self, template, parameters)
        self.role_arn = role_arn
        self.tags = self.tags if tags is None else tags

    Stack.update = update


def _change_sets() -> None:
    from moto.cloudformation.models import CloudFormationBackend
    from moto.cloudformation.responses import CloudFormationResponse

    create = CloudFormationResponse.create_change_set

    def create_change_set(self: Any) -> Any:
        # "By default, CloudFormation specifies UPDATE" (CreateChangeSet, ChangeSetType).
        self.params.setdefault("ChangeSetType", "UPDATE")
        return create(self)

    def execute_change_set(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
        change_set = self.describe_change_set(change_set_name)
        stack = self.stacks[change_set.stack_id]
        _change(stack, change_set.template, change_set.parameters, change_set.change_set_type)
        change_set.execution_status = "EXECUTE_COMPLETE"
        # "CloudFormation deletes all other change sets associated with the stack because they
        # aren't valid for the updated stack" (ExecuteChangeSet).
        for other_id, other in list(self.change_sets.items()):
            if other.stack_id == stack.stack_id and other is not change_set:
                del self.change_sets[other_id]

    CloudFormationResponse.create_change_set = create_change_set
    CloudFormationBackend.execute_change_set = execute_change_set


def _nothing_to_do() -> None:
    from moto.cloudformation.responses import CloudFormationResponse

    def validate_different_update(
        self: Any, incoming_params: Sequence[Mapping[str, Any]], stack_body: str, old_stack: Any
    ) -> None:
        # A change set that changes nothing is created, and FAILED ("The submitted information
        # didn't contain changes", CreateChangeSet).
        if self._get_action() == "CreateChangeSet":
            return
        known = old_stack.stack_parameters
        given = self._get_param_values(incoming_params, {**known, **old_stack.parameters})
        defaults = {
            name: item.get("Default")
            for name, item in (old_stack.template_dict.get("Parameters") or {}).items()
        }
        same = {**defaults, **given} == {**defaults, **old_stack.parameters}
        tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags", [])}
        if same and old_stack.has_template(stack_body) and tags in ({}, old_stack.tags):
            raise cloudformation_error("ValidationError", "No updates are to be performed.")

    CloudFormationResponse._validate_different_update = validate_different_update


def _cancel_update(response: Any, asked: Mapping[str, Any]) -> None:
    """ "You can cancel only stacks that are in the UPDATE_IN_PROGRESS state"; here what an update
    does is done when the call is answered, and can't be cancelled."""
    response.cloudformation_backend.get_stack(asked["StackName"])
    raise cloudformation_error(
        "ValidationError", "CancelUpdateStack cannot be called from current stack status"
    )
