"""CloudFormation's templates: what is refused of them before anything is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from flows.gameday.aws.errors import cloudformation_error

_SUBSTITUTED = re.compile(r"\$\{([^!][^}]*)\}")
# CreateStack, Capabilities: the resource types that need CAPABILITY_IAM, and the properties with
# which one names them oneself, for which it is CAPABILITY_NAMED_IAM.
_IAM_TYPES = "AWS::IAM::"
_IAM_NAMES = ("RoleName", "InstanceProfileName", "UserName", "GroupName", "ManagedPolicyName")


def correct() -> None:
    """Have templates be validated as CloudFormation does it; moto has a linter do it, which takes
    seconds and objects to matters of taste."""
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.core.responses import ActionResult

    def validate_template(self: Any) -> Any:
        text, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        template = parsed(self._get_stack_from_s3_url(url) if url else text or "")
        _check_resources(template)
        needed = capability(template["Resources"])
        return ActionResult(
            {
                "Description": template.get("Description", ""),
                "Parameters": [
                    {
                        "ParameterKey": name,
                        "DefaultValue": item.get("Default"),
                        "NoEcho": str(item.get("NoEcho")).lower() == "true",
                        "Description": item.get("Description"),
                    }
                    for name, item in (template.get("Parameters") or {}).items()
                ],
                "Capabilities": [needed] if needed else [],
                "DeclaredTransforms": [],
            }
        )

    CloudFormationResponse.validate_template = validate_template


def check(text: str, parameters: Mapping[str, Any], capabilities: list[str] | None) -> None:
    """Raise what CreateStack itself raises; what fails later is told in the stack's events."""
    template = parsed(text)
    _check_parameters(template.get("Parameters") or {}, parameters)
    _check_resources(template)
    needed = capability(template["Resources"])
    enough = {"CAPABILITY_NAMED_IAM", needed}
    if needed and capabilities is not None and not enough & set(capabilities):
        raise cloudformation_error(
            "InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]"
        )


def _check_resources(template: Mapping[str, Any]) -> None:
    resources = template["Resources"]
    _check_types(resources)
    known = {*resources, *(template.get("Parameters") or {})}
    unknown = sorted(
        {name for item in resources.values() for name in needs(item)} - known - {"AWS"}
    )
    if unknown:
        raise cloudformation_error(
            "ValidationError",
            f"Template format error: Unresolved resource dependencies [{', '.join(unknown)}] in "
            "the Resources block of the template",
        )
    try:
        in_order(resources)
    except CycleError as error:
        raise cloudformation_error(
            "ValidationError",
            f"Circular dependency between resources: [{', '.join(error.args[1])}]",
        ) from None


def parsed(text: str) -> dict[str, Any]:
    """A template. Raises CloudFormation's ValidationError for what is none."""
    import yaml
    from moto.cloudformation.models import Stack

    try:
        # "CloudFormation supports … YAML … with the exception of … aliases, hash merges" (template
        # format).
        aliased = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        template = Stack.parse_template(text)
    except (yaml.YAMLError, ValueError) as error:
        raise cloudformation_error(
            "ValidationError", f"Template format error: YAML not well-formed. {error}"
        ) from None
    if aliased:
        raise cloudformation_error(
            "ValidationError",
            "Template error: YAML aliases are not allowed in CloudFormation templates",
        )
    if not isinstance(template, dict):
        raise cloudformation_error(
            "ValidationError", "Template format error: unsupported structure."
        )
    if not isinstance(template.get("Resources"), dict) or not template["Resources"]:
        raise cloudformation_error(
            "ValidationError",
            "Template format error: At least one Resources member must be defined.",
        )
    return template


def _check_types(resources: Mapping[str, Any]) -> None:
    from moto.cloudformation.parsing import NULL_MODELS, get_model_map

    kinds = {str(item.get("Type")) for item in resources.values()}
    unknown = sorted(
        kind
        for kind in kinds
        if kind not in get_model_map() and kind not in NULL_MODELS and not kind.startswith("Custom")
    )
    if unknown:
        raise cloudformation_error(
            "ValidationError",
            f"Template format error: Unrecognized resource types: [{', '.join(unknown)}] (or the "
            "simulated AWS doesn't have them)",
        )


def _check_parameters(declared: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise cloudformation_error(
            "ValidationError", f"Parameters: [{', '.join(unknown)}] do not exist in the template"
        )
    missing = sorted(n for n, item in declared.items() if "Default" not in item and n not in given)
    if missing:
        raise cloudformation_error(
            "ValidationError", f"Parameters: [{', '.join(missing)}] must have values"
        )
    for name, value in given.items():
        allowed = [str(item) for item in declared[name].get("AllowedValues", [])]
        if allowed and str(value) not in allowed:
            raise cloudformation_error(
                "ValidationError",
                f"Parameter '{name}' must be one of AllowedValues: {', '.join(allowed)}",
            )
        unmet = _unmet(declared[name], str(value))
        if unmet:
            raise cloudformation_error("ValidationError", f"Parameter '{name}' must {unmet}")


def _unmet(declared: Mapping[str, Any], value: str) -> str:
    """What a parameter's value would have to be; empty for one that is so."""
    pattern = declared.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return f"match pattern {pattern}"
    if not int(declared.get("MinLength", 0)) <= len(value) <= int(declared.get("MaxLength", 4096)):
        return "have another length"
    if declared.get("Type") != "Number":
        return ""
    try:
        number = float(value)
    except ValueError:
        return "be a number"
    if "MinValue" in declared and number < float(declared["MinValue"]):
        return f"be a number not less than {declared['MinValue']}"
    if "MaxValue" in declared and number > float(declared["MaxValue"]):
        return f"be a number not greater than {declared['MaxValue']}"
    return ""


def capability(resources: Mapping[str, Any]) -> str:
    """What it takes to make these resources, empty where it takes nothing."""
    iam = [item for item in resources.values() if str(item.get("Type")).startswith(_IAM_TYPES)]
    if any(name in (item.get("Properties") or {}) for item in iam for name in _IAM_NAMES):
        return "CAPABILITY_NAMED_IAM"
    return "CAPABILITY_IAM" if iam else ""


def in_order(resources: Mapping[str, Any]) -> list[str]:
    """The resources' names, each after those that it needs. Raises CycleError."""
    graph = {
        name: sorted(needs(item) & set(resources) - {name}) for name, item in resources.items()
    }
    return list(TopologicalSorter(graph).static_order())


def needs(value: Any) -> set[str]:
    """The names of parameters and resources to which a part of a template refers."""
    return set(_references(value)) - {""}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        match key:
            case "Ref":
                yield _head(item)
            case "Fn::GetAtt":
                yield _head(item if isinstance(item, str) else item[0])
            case "Fn::Sub":
                text, own = item if isinstance(item, list) else (item, {})
                named = {_head(name) for name in _SUBSTITUTED.findall(text)}
                yield from named - set(own)
                yield from _references(own)
            case "DependsOn":
                yield from [item] if isinstance(item, str) else item
            case _:
                yield from _references(item)


def _head(name: str) -> str:
    """``AWS`` of ``AWS::Region``, ``Vpc`` of ``Vpc.CidrBlock``."""
    return re.split(r"::|\.", str(name), maxsplit=1)[0].strip()
