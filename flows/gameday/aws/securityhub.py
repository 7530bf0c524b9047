"""Security Hub: findings that are imported, filtered and worked on, and their events."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from flows.gameday.aws import events, operations, simulated_time
from flows.gameday.aws.findings import epoch_milliseconds, sort_key, values_at
from flows.gameday.aws.loading import is_loaded
from flows.gameday.aws.operations import timestamp

_PAGE = 100
_SOURCE = "aws.securityhub"
_ACTION_ID = re.compile(r"[A-Za-z0-9]{1,20}")

# These are the customer's: BatchImportFindings "cannot be used to update" them.
_OF_THE_CUSTOMER = frozenset({"Note", "UserDefinedFields", "VerificationState", "Workflow"})
# What BatchUpdateFindings can update besides; once it did, an import leaves that alone as well.
_UPDATABLE = (
    "Confidence",
    "Criticality",
    "RelatedFindings",
    "Severity",
    "Types",
    "UserDefinedFields",
    "VerificationState",
    "Workflow",
)
# Severity's Label and Normalized follow from each other (ASFF, "Severity").
_NORMALIZED = {"INFORMATIONAL": 0, "LOW": 1, "MEDIUM": 40, "HIGH": 70, "CRITICAL": 90}

# Filters (AwsSecurityFindingFilters) by where in a finding they look; those that aren't here look
# at the field of their own name.
_PATHS = {
    "ComplianceSecurityControlId": "Compliance.SecurityControlId",
    "ComplianceStatus": "Compliance.Status",
    "FindingProviderFieldsSeverityLabel": "FindingProviderFields.Severity.Label",
    "FindingProviderFieldsSeverityOriginal": "FindingProviderFields.Severity.Original",
    "FindingProviderFieldsTypes": "FindingProviderFields.Types",
    "MalwareName": "Malware.Name",
    "NetworkDestinationDomain": "Network.DestinationDomain",
    "NetworkDestinationIpV4": "Network.DestinationIpV4",
    "NetworkDestinationIpV6": "Network.DestinationIpV6",
    "NetworkDestinationPort": "Network.DestinationPort",
    "NetworkDirection": "Network.Direction",
    "NetworkProtocol": "Network.Protocol",
    "NetworkSourceIpV4": "Network.SourceIpV4",
    "NetworkSourceIpV6": "Network.SourceIpV6",
    "NoteText": "Note.Text",
    "NoteUpdatedAt": "Note.UpdatedAt",
    "NoteUpdatedBy": "Note.UpdatedBy",
    "RecommendationText": "Remediation.Recommendation.Text",
    "RelatedFindingsId": "RelatedFindings.Id",
    "RelatedFindingsProductArn": "RelatedFindings.ProductArn",
    "ResourceAwsEc2InstanceImageId": "Resources.Details.AwsEc2Instance.ImageId",
    "ResourceAwsEc2InstanceIpV4Addresses": "Resources.Details.AwsEc2Instance.IpV4Addresses",
    "ResourceAwsEc2InstanceSubnetId": "Resources.Details.AwsEc2Instance.SubnetId",
    "ResourceAwsEc2InstanceType": "Resources.Details.AwsEc2Instance.Type",
    "ResourceAwsEc2InstanceVpcId": "Resources.Details.AwsEc2Instance.VpcId",
    "ResourceAwsIamAccessKeyPrincipalName": "Resources.Details.AwsIamAccessKey.PrincipalName",
    "ResourceAwsIamAccessKeyStatus": "Resources.Details.AwsIamAccessKey.Status",
    "ResourceAwsIamAccessKeyUserName": "Resources.Details.AwsIamAccessKey.UserName",
    "ResourceId": "Resources.Id",
    "ResourcePartition": "Resources.Partition",
    "ResourceRegion": "Resources.Region",
    "ResourceTags": "Resources.Tags",
    "ResourceType": "Resources.Type",
    "SeverityLabel": "Severity.Label",
    "SeverityNormalized": "Severity.Normalized",
    "SeverityProduct": "Severity.Product",
    "Type": "Types",
    "WorkflowStatus": "Workflow.Status",
}
_PLAIN = frozenset(
    {
        "AwsAccountId",
        "CompanyName",
        "Confidence",
        "CreatedAt",
        "Criticality",
        "Description",
        "FirstObservedAt",
        "GeneratorId",
        "Id",
        "LastObservedAt",
        "ProductArn",
        "ProductFields",
        "ProductName",
        "RecordState",
        "Region",
        "Sample",
        "SourceUrl",
        "Title",
        "UpdatedAt",
        "UserDefinedFields",
        "VerificationState",
        "WorkflowState",
    }
)
# What a comparison that refuses something looks for.
_POSITIVE = {
    "NOT_EQUALS": "EQUALS",
    "PREFIX_NOT_EQUALS": "PREFIX",
    "NOT_CONTAINS": "CONTAINS",
}


def correct() -> None:
    """Have findings be found by their fields and updated, and be events; and custom actions."""
    from moto.securityhub.responses import SecurityHubResponse

    operations.add(
        SecurityHubResponse,
        {
            "BatchImportFindings": _batch_import_findings,
            "GetFindings": _get_findings,
            "BatchUpdateFindings": _batch_update_findings,
            "CreateActionTarget": _create_action_target,
            "DescribeActionTargets": _describe_action_targets,
            "UpdateActionTarget": _update_action_target,
            "DeleteActionTarget": _delete_action_target,
        },
    )


def is_enabled(account: str, region: str) -> bool:
    """Whether an account has Security Hub in a Region."""
    if not is_loaded("securityhub"):
        return False
    from moto.securityhub.models import securityhub_backends

    return bool(securityhub_backends[account][region].enabled)


def receive(account: str, region: str, finding: dict[str, Any]) -> None:
    """Take a finding, in ASFF, of another AWS service, which has Security Hub's permission."""
    from moto.securityhub.models import securityhub_backends

    _import(securityhub_backends[account][region], finding)


def choose(action: str, finding_ids: Iterable[str]) -> int:
    """Have somebody choose a custom action, by its ARN, for findings in the console; how many.

    It is the event that EventBridge rules wait for. Raises ValueError where there is no such
    action, or no such finding.
    """
    from moto.securityhub.models import securityhub_backends

    parts = action.split(":")
    if len(parts) != 6 or parts[2] != "securityhub":
        raise ValueError(f"{action} is not the ARN of a custom action")
    backend = securityhub_backends[parts[4]][parts[3]]
    target = _actions(backend).get(action)
    if target is None:
        raise ValueError(f"there is no custom action {action}")
    wanted = set(finding_ids)
    chosen = [item.data for item in backend.findings if item.data["Id"] in wanted]
    if not chosen or wanted - {finding["Id"] for finding in chosen}:
        raise ValueError(f"not all of these findings are there: {', '.join(sorted(wanted))}")
    detail = {
        "actionName": target["Name"],
        "actionDescription": target["Description"],
        "findings": chosen,
    }
    _emit(backend, "Security Hub Findings - Custom Action", detail, [action])
    return len(chosen)


def _backend(response: Any) -> Any:
    backend = response.securityhub_backend
    if not backend.enabled:
        raise operations.error(
            "InvalidAccessException",
            f"Account {backend.account_id} is not subscribed to AWS Security Hub",
        )
    return backend


def _batch_import_findings(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    backend, failed = _backend(response), []
    for finding in asked["Findings"]:
        why = _unfit(backend, finding)
        if why:
            failed.append({"Id": finding["Id"], "ErrorCode": "InvalidInput", "ErrorMessage": why})
        else:
            _import(backend, finding)
    return {
        "FailedCount": len(failed),
        "SuccessCount": len(asked["Findings"]) - len(failed),
        "FailedFindings": failed,
    }


def _unfit(backend: Any, finding: Mapping[str, Any]) -> str:
    """Why a finding can't be imported, or empty text."""
    if finding["AwsAccountId"] != backend.account_id:
        # "the identifier of the account that you are calling BatchImportFindings from needs to be
        # the same as the AwsAccountId attribute for the finding".
        return "The account of the finding is not the one that imports it."
    if not finding["Resources"]:
        return "Finding does not adhere to Amazon Finding Format. data.Resources is empty."
    given = finding.get("Severity") or finding.get("FindingProviderFields", {}).get("Severity")
    if not given:
        return "Finding does not adhere to Amazon Finding Format. data.Severity is missing."
    return ""


def _import(backend: Any, finding: dict[str, Any]) -> None:
    from moto.securityhub.models import Finding

    provided = finding.get("FindingProviderFields", {})
    severity = _severity(finding.get("Severity") or provided["Severity"])
    types = finding.get("Types") or provided.get("Types", [])
    whole = {
        "ProductName": "Default",
        "CompanyName": "Personal",
        "Region": backend.region_name,
        "WorkflowState": "NEW",
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"},
        **finding,
        "Severity": severity,
        "Types": types,
        "FindingProviderFields": {"Severity": severity, "Types": types, **provided},
    }
    known = _find(backend, finding)
    if known is None:
        known = Finding(whole["Id"], whole)
        backend.findings.append(known)
    else:
        # Only a newer UpdatedAt is an update (Security Hub User Guide, "BatchImportFindings for
        # finding providers").
        before = known.data
        if (epoch_milliseconds(whole["UpdatedAt"]) or 0) <= (
            epoch_milliseconds(before["UpdatedAt"]) or 0
        ):
            return
        kept = _OF_THE_CUSTOMER | known.__dict__.get("updated_fields", set())
        known.data = {
            **{name: value for name, value in whole.items() if name not in kept},
            **{name: value for name, value in before.items() if name in kept},
        }
        if (before["RecordState"], whole["RecordState"]) == ("ARCHIVED", "ACTIVE"):
            # What is active again is to be looked at again (ASFF, "Workflow").
            known.data["Workflow"] = {"Status": "NEW"}
    _say_imported(backend, known.data)


def _severity(given: Mapping[str, Any]) -> dict[str, Any]:
    label, normalized = given.get("Label"), given.get("Normalized")
    if label is None and normalized is not None:
        label = max(
            (least, name) for name, least in _NORMALIZED.items() if least <= int(normalized)
        )[1]
    if normalized is None and label in _NORMALIZED:
        normalized = _NORMALIZED[label]
    return {**given, "Label": label, "Normalized": normalized}


def _find(backend: Any, named: Mapping[str, Any]) -> Any:
    """A finding by its ProductArn and Id, which are its identity together. None where it isn't."""
    for finding in backend.findings:
        if (finding.data["ProductArn"], finding.data["Id"]) == (named["ProductArn"], named["Id"]):
            return finding
    return None


def _say_imported(backend: Any, finding: Mapping[str, Any]) -> None:
    # All new findings and all updates are events, with one finding each (Security Hub User Guide,
    # "EventBridge event formats").
    arn = f"{finding['ProductArn']}/{finding['Id']}"
    detail = {"findings": [finding]}
    _emit(backend, "Security Hub Findings - Imported", detail, [arn])


def _emit(backend: Any, kind: str, detail: Mapping[str, Any], resources: list[str]) -> None:
    events.emit(backend.account_id, backend.region_name, _SOURCE, kind, detail, resources)


def _get_findings(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    backend, filters = _backend(response), asked.get("Filters") or {}
    unknown = sorted(set(filters) - set(_PATHS) - _PLAIN)
    if unknown:
        raise _invalid(f"Not simulated: the filters {', '.join(unknown)}.")
    found = [
        item.data
        for item in backend.findings
        if all(_holds(item.data, name, wanted) for name, wanted in filters.items())
    ]
    for criterion in reversed(asked.get("SortCriteria") or []):
        path = _PATHS.get(criterion["Field"], criterion["Field"])
        found.sort(
            key=lambda data: sort_key(next(iter(values_at(data, path)), None)),
            reverse=criterion.get("SortOrder") == "desc",
        )
    size = asked.get("MaxResults") or _PAGE
    if not 1 <= size <= _PAGE:
        raise _invalid("MaxResults must be a number between 1 and 100")
    page, following = operations.page(
        found, size, asked.get("NextToken"), bad_token=_invalid("Invalid NextToken")
    )
    return {"Findings": page, **({"NextToken": following} if following else {})}


def _holds(finding: Mapping[str, Any], name: str, wanted: list[Mapping[str, Any]]) -> bool:
    """Whether the conditions on one field hold: one of those that want something, and all of those
    that don't ("StringFilter", Comparison)."""
    values = values_at(finding, _PATHS.get(name, name))
    wants = [item for item in wanted if "NOT" not in item.get("Comparison", "")]
    refuses = [item for item in wanted if "NOT" in item.get("Comparison", "")]
    return (not wants or any(_meets(values, item) for item in wants)) and not any(
        _meets(values, {**item, "Comparison": _POSITIVE[item["Comparison"]]}) for item in refuses
    )


def _meets(values: list[Any], wanted: Mapping[str, Any]) -> bool:
    """Whether one of the values meets a StringFilter, MapFilter, NumberFilter, DateFilter, IpFilter
    or BooleanFilter."""
    if "Key" in wanted:
        values = [item.get(wanted["Key"]) for item in values if isinstance(item, Mapping)]
        return any(_compares(str(value), wanted) for value in values if value is not None)
    if "Cidr" in wanted:
        network = ipaddress.ip_network(wanted["Cidr"], strict=False)
        return any(ipaddress.ip_address(value) in network for value in values)
    if set(wanted) & {"Gte", "Gt", "Lte", "Lt", "Eq"}:
        return any(_is_between(float(value), wanted) for value in values)
    if set(wanted) & {"Start", "End", "DateRange"}:
        return any(_is_within(value, wanted) for value in values)
    if isinstance(wanted.get("Value"), bool):
        return (True in values) is wanted["Value"]
    return any(_compares(str(value), wanted) for value in values)


def _compares(value: str, wanted: Mapping[str, Any]) -> bool:
    text, how = wanted["Value"], wanted.get("Comparison", "EQUALS")
    if how == "EQUALS":
        return bool(value == text)
    if how == "PREFIX":
        return value.startswith(text)
    if how == "CONTAINS":
        return text in value
    if how == "CONTAINS_WORD":
        return re.search(rf"\b{re.escape(text)}\b", value) is not None
    raise _invalid(f"Invalid comparison {how}")


def _is_between(value: float, wanted: Mapping[str, Any]) -> bool:
    return (
        ("Gte" not in wanted or value >= wanted["Gte"])
        and ("Gt" not in wanted or value > wanted["Gt"])
        and ("Lte" not in wanted or value <= wanted["Lte"])
        and ("Lt" not in wanted or value < wanted["Lt"])
        and ("Eq" not in wanted or value == wanted["Eq"])
    )


def _is_within(value: Any, wanted: Mapping[str, Any]) -> bool:
    at = epoch_milliseconds(value)
    if at is None:
        return False
    if "DateRange" in wanted:
        days = timedelta(days=wanted["DateRange"]["Value"])
        return at >= (simulated_time.now() - days).timestamp() * 1000
    start, end = epoch_milliseconds(wanted.get("Start")), epoch_milliseconds(wanted.get("End"))
    return (start is None or at >= start) and (end is None or at <= end)


def _batch_update_findings(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    backend = _backend(response)
    processed, unprocessed = [], []
    for named in asked["FindingIdentifiers"]:
        finding = _find(backend, named)
        if finding is None:
            unprocessed.append(
                {
                    "FindingIdentifier": named,
                    "ErrorCode": "FindingNotFound",
                    "ErrorMessage": "Finding Not Found",
                }
            )
            continue
        _update(finding, asked)
        processed.append({"Id": named["Id"], "ProductArn": named["ProductArn"]})
        _say_imported(backend, finding.data)
    return {"ProcessedFindings": processed, "UnprocessedFindings": unprocessed}


def _update(finding: Any, asked: Mapping[str, Any]) -> None:
    # "your updates don't affect the value for the UpdatedAt field" (BatchUpdateFindings).
    changed = {name: asked[name] for name in _UPDATABLE if asked.get(name) is not None}
    if "Severity" in changed:
        changed["Severity"] = _severity(changed["Severity"])
    if asked.get("Note"):
        changed["Note"] = {**asked["Note"], "UpdatedAt": timestamp(simulated_time.now())}
    finding.data = {**finding.data, **changed}
    finding.__dict__.setdefault("updated_fields", set()).update(changed)


def _create_action_target(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    backend = _backend(response)
    if not _ACTION_ID.fullmatch(asked["Id"]):
        raise _invalid("Id: up to 20 alphanumeric characters.")
    arn = (
        f"arn:{backend.partition}:securityhub:{backend.region_name}:{backend.account_id}"
        f":action/custom/{asked['Id']}"
    )
    if arn in _actions(backend):
        raise operations.error("ResourceConflictException", f"{arn} already exists.")
    _actions(backend)[arn] = {
        "ActionTargetArn": arn,
        "Name": asked["Name"],
        "Description": asked["Description"],
    }
    return {"ActionTargetArn": arn}


def _describe_action_targets(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    known = _actions(_backend(response))
    named = asked.get("ActionTargetArns") or list(known)
    found = [_action(known, arn) for arn in named]
    page, following = operations.page(
        found,
        asked.get("MaxResults") or _PAGE,
        asked.get("NextToken"),
        bad_token=_invalid("Invalid NextToken"),
    )
    return {"ActionTargets": page, **({"NextToken": following} if following else {})}


def _update_action_target(response: Any, asked: dict[str, Any]) -> None:
    action = _action(_actions(_backend(response)), asked["ActionTargetArn"])
    for name in ("Name", "Description"):
        action[name] = asked.get(name) or action[name]


def _delete_action_target(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    known, arn = _actions(_backend(response)), asked["ActionTargetArn"]
    _action(known, arn)
    del known[arn]
    return {"ActionTargetArn": arn}


def _actions(backend: Any) -> dict[str, dict[str, Any]]:
    """The custom actions of an account and Region by ARN."""
    actions: dict[str, dict[str, Any]] = backend.__dict__.setdefault("actions_by_arn", {})
    return actions


def _action(known: Mapping[str, dict[str, Any]], arn: str) -> dict[str, Any]:
    if arn not in known:
        raise operations.error("ResourceNotFoundException", f"{arn} does not exist.")
    return known[arn]


def _invalid(message: str) -> Exception:
    return operations.error("InvalidInputException", message)
