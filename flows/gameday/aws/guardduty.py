"""GuardDuty: findings, real and sample, and the events that say of each that it is there."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from flows.gameday.aws import events, operations, securityhub, simulated_time
from flows.gameday.aws.findings import epoch_milliseconds, sort_key, values_at
from flows.gameday.aws.guardduty_asff import in_asff
from flows.gameday.aws.operations import timestamp
from flows.gameday.aws.sample_findings import SAMPLE_TYPES, sample_finding

_TYPE = re.compile(r"[A-Za-z]+:[A-Za-z0-9]+/[\w.&!-]+")
_PAGE = 50
_MOST_IDS = 50
_ACCOUNT = "123456789012"
_REGION = "us-east-1"

# A Condition's members; those without "…than" in their names are deprecated spellings of them.
_LEAST: Mapping[str, tuple[bool, bool]] = {
    "GreaterThan": (True, False),
    "Gt": (True, False),
    "GreaterThanOrEqual": (True, True),
    "Gte": (True, True),
    "LessThan": (False, False),
    "Lt": (False, False),
    "LessThanOrEqual": (False, True),
    "Lte": (False, True),
}


def correct() -> None:
    """Have GuardDuty have findings, and one detector in a Region."""
    from moto.guardduty.models import GuardDutyBackend
    from moto.guardduty.responses import GuardDutyResponse

    create = GuardDutyBackend.create_detector

    def create_detector(self: Any, *arguments: Any, **named: Any) -> str:
        # "You can have only one detector per account per Region" (CreateDetector).
        if self.detectors:
            raise _refused("a detector already exists for the current account.")
        return str(create(self, *arguments, **named))

    GuardDutyBackend.create_detector = create_detector

    operations.add(
        GuardDutyResponse,
        {
            "ListDetectors": _list_detectors,
            "ListFilters": _list_filters,
            "CreateSampleFindings": _create_sample_findings,
            "ListFindings": _list_findings,
            "GetFindings": _get_findings,
            "GetFindingsStatistics": _get_findings_statistics,
            "ArchiveFindings": _archive_findings,
            "UnarchiveFindings": _unarchive_findings,
            "UpdateFindingsFeedback": _update_findings_feedback,
        },
    )


def inject(finding: Mapping[str, Any], *, publish: bool = True) -> str:
    """Have GuardDuty find something; its id is returned.

    ``finding`` is an item of GetFindings' answer. ``Type`` and ``Resource`` must be there; what
    else is missing is filled in. It belongs to ``AccountId`` (123456789012) and ``Region``
    (us-east-1); GuardDuty is turned on there where it isn't. A finding whose id is known is that
    finding, seen again; where it says an ``UpdatedAt`` before the one that is known, it is what
    GuardDuty said before: an event that comes late, of which nothing is kept.

    Without ``publish``, GuardDuty has the finding, and no event says so.

    Raises ValueError for what isn't a finding.
    """
    kind, resource = finding.get("Type"), finding.get("Resource")
    if not _TYPE.fullmatch(str(kind)) or not isinstance(resource, Mapping):
        raise ValueError("a finding has a Type, like Backdoor:EC2/C&CActivity.B, and a Resource")
    account, region = str(finding.get("AccountId", _ACCOUNT)), str(finding.get("Region", _REGION))
    backend, detector = turned_on(account, region)
    return _found(backend, detector, copy.deepcopy(dict(finding)), publish=publish)


def turned_on(account: str, region: str) -> tuple[Any, Any]:
    """GuardDuty of an account and Region, and its detector; it is turned on where it isn't."""
    from moto.guardduty.models import guardduty_backends

    backend = guardduty_backends[account][region]
    if not backend.detectors:
        backend.create_detector(
            enable=True,
            finding_publishing_frequency="SIX_HOURS",
            data_sources={},
            tags={},
            features=[],
        )
    [detector] = backend.detectors.values()
    return backend, detector


def _found(backend: Any, detector: Any, finding: dict[str, Any], *, publish: bool = True) -> str:
    """Keep a finding, and send its event."""
    from moto.moto_api._internal import mock_random

    identity = str(finding.get("Id") or mock_random.get_random_hex(32))
    known = _findings(detector).get(identity)
    whole = _whole(backend, detector, identity, finding, known)
    suppressed = any(
        rule.action == "ARCHIVE" and _meets(whole, _criterion(rule.finding_criteria))
        for rule in detector.filters.values()
    )
    whole["Service"]["Archived"] = suppressed or whole["Service"]["Archived"]
    late = known is not None and _updated(whole) < _updated(known)
    if not late:
        _findings(detector)[identity] = whole
        detector.listed = None
    # What is suppressed is archived and sent nowhere (GuardDuty User Guide, "Suppression rules").
    if publish and not suppressed:
        _say(backend, whole, to_security_hub=not late)
    return identity


def _whole(
    backend: Any,
    detector: Any,
    identity: str,
    finding: Mapping[str, Any],
    known: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The finding with all that it says where it says nothing else. An updated finding keeps its
    id, and counts (Service, Count; GuardDuty User Guide, "GuardDuty finding aggregation")."""
    account, region = backend.account_id, backend.region_name
    now = timestamp(simulated_time.now())
    at = finding.get("UpdatedAt", now)
    before = {} if known is None else known["Service"]
    arn = f"arn:{backend.partition}:guardduty:{region}:{account}:detector/{detector.id}"
    return {
        "SchemaVersion": "2.0",
        "Partition": backend.partition,
        "Severity": 5.0,
        "Title": finding["Type"],
        "Description": finding["Type"],
        "UpdatedAt": at,
        **finding,
        "CreatedAt": at if known is None else known["CreatedAt"],
        **({"CreatedAt": finding["CreatedAt"]} if "CreatedAt" in finding else {}),
        "AccountId": account,
        "Region": region,
        "Id": identity,
        "Arn": f"{arn}/finding/{identity}",
        "Service": {
            "ServiceName": "guardduty",
            "DetectorId": detector.id,
            "Archived": False,
            "Count": before.get("Count", 0) + 1,
            "EventFirstSeen": before.get("EventFirstSeen", at),
            "EventLastSeen": at,
            "ResourceRole": "TARGET",
            **finding.get("Service", {}),
        },
    }


def _updated(finding: Mapping[str, Any]) -> float:
    return epoch_milliseconds(finding["UpdatedAt"]) or 0.0


def _say(backend: Any, finding: Mapping[str, Any], *, to_security_hub: bool) -> None:
    """Send the event of a finding."""
    account, region = backend.account_id, backend.region_name
    detail = event_detail(finding)
    events.emit(account, region, "aws.guardduty", "GuardDuty Finding", detail)
    # "Once you enable GuardDuty and Security Hub CSPM in the same account within the same AWS
    # Region, GuardDuty starts sending all the generated findings" (GuardDuty User Guide,
    # "Integrating with AWS Security Hub CSPM"): new ones and updates, but not what is archived
    # or unarchived by hand.
    if to_security_hub and securityhub.is_enabled(account, region):
        securityhub.receive(account, region, in_asff(finding, detail["service"]))


def event_detail(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding as its event says it: the names of the API in camelCase."""
    detail: dict[str, Any] = _as_on_the_wire(finding, _shape())
    more = detail["service"].get("additionalInfo")
    if isinstance(more, dict) and isinstance(more.get("value"), str):
        # The event says what the value says once more, as members beside it.
        detail["service"]["additionalInfo"] = {**json.loads(more["value"]), **more}
    return detail


@cache
def _shape() -> Any:
    from moto.core.utils import get_service_model

    model: Any = get_service_model("guardduty")
    return model.shape_for("Finding")


def _as_on_the_wire(value: Any, shape: Any) -> Any:
    kind = None if shape is None else shape.type_name
    if isinstance(value, Mapping) and kind == "structure":
        return {
            _wire_name(shape, name): _as_on_the_wire(member, shape.members.get(name))
            for name, member in value.items()
        }
    if isinstance(value, list) and kind == "list":
        return [_as_on_the_wire(item, shape.member) for item in value]
    return value


@cache
def _wire_name(shape: Any, name: str) -> str:
    member = shape.members.get(name)
    known = None if member is None else member.serialization.get("name")
    return str(known or name[:1].lower() + name[1:])


def _list_detectors(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return {"DetectorIds": list(response.guardduty_backend.detectors)}


def _list_filters(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return {"FilterNames": list(_detector(response, asked).filters)}


def _create_sample_findings(response: Any, asked: dict[str, Any]) -> None:
    backend, detector = response.guardduty_backend, _detector(response, asked)
    # "If 'NULL' is specified for findingTypes, the API generates sample findings of all supported
    # finding types" (CreateSampleFindings).
    kinds = asked.get("FindingTypes") or SAMPLE_TYPES
    unknown = [kind for kind in kinds if not _TYPE.fullmatch(kind)]
    if unknown:
        raise _refused("the parameter findingTypes has an invalid value.")
    for kind in kinds:
        _found(backend, detector, sample_finding(kind))


def _list_findings(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    size = asked.get("MaxResults") or _PAGE
    if not 1 <= size <= _PAGE:
        raise _refused("the parameter maxResults has an invalid value.")
    found, following = operations.page(
        _ids(_detector(response, asked), asked),
        size,
        asked.get("NextToken"),
        bad_token=_refused("the parameter nextToken has an invalid value."),
    )
    # The last page's token is empty text, not left out.
    return {"FindingIds": found, "NextToken": following or ""}


def _ids(detector: Any, asked: Mapping[str, Any]) -> list[str]:
    """The ids that are asked for, in order; they are remembered for the pages that follow."""
    wanted = json.dumps([asked.get("FindingCriteria"), asked.get("SortCriteria")], default=str)
    known: tuple[str, list[str]] | None = detector.__dict__.get("listed")
    if known is None or known[0] != wanted:
        findings = _sorted(_selected(detector, asked), asked.get("SortCriteria"))
        known = (wanted, [finding["Id"] for finding in findings])
        detector.listed = known
    return known[1]


def _get_findings(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return {"Findings": _sorted(_named(response, asked), asked.get("SortCriteria"))}


def _get_findings_statistics(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    counts: dict[str, int] = {}
    for finding in _selected(_detector(response, asked), asked):
        severity = str(float(finding["Severity"]))
        counts[severity] = counts.get(severity, 0) + 1
    return {"FindingStatistics": {"CountBySeverity": counts}}


def _archive_findings(response: Any, asked: dict[str, Any]) -> None:
    for finding in _changing(response, asked):
        finding["Service"]["Archived"] = True


def _unarchive_findings(response: Any, asked: dict[str, Any]) -> None:
    for finding in _changing(response, asked):
        finding["Service"]["Archived"] = False


def _update_findings_feedback(response: Any, asked: dict[str, Any]) -> None:
    if asked["Feedback"] not in ("USEFUL", "NOT_USEFUL"):
        raise _refused("the parameter feedback has an invalid value.")
    for finding in _changing(response, asked):
        finding["Service"]["UserFeedback"] = asked["Feedback"]


def _detector(response: Any, asked: Mapping[str, Any]) -> Any:
    return response.guardduty_backend.get_detector(asked["DetectorId"])


def _findings(detector: Any) -> dict[str, dict[str, Any]]:
    """The findings of a detector by id, in the shape of GetFindings; they go where it goes."""
    findings: dict[str, dict[str, Any]] = detector.__dict__.setdefault("findings", {})
    return findings


def _changing(response: Any, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The findings that the call names, and changes."""
    _detector(response, asked).listed = None
    return _named(response, asked)


def _named(response: Any, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The findings that the call names; ids that aren't there are passed over."""
    detector, ids = _detector(response, asked), asked["FindingIds"]
    if len(ids) > _MOST_IDS:
        raise _refused("the number of findingIds is out of range.")
    known = _findings(detector)
    return [known[identity] for identity in dict.fromkeys(ids) if identity in known]


def _selected(detector: Any, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    criterion = _criterion(asked.get("FindingCriteria"))
    return [finding for finding in _findings(detector).values() if _meets(finding, criterion)]


def _criterion(criteria: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The conditions by field. Filters keep them as they came, in camelCase."""
    by_field = (criteria or {}).get("Criterion") or (criteria or {}).get("criterion") or {}
    return {
        field: {name[:1].upper() + name[1:]: wanted for name, wanted in condition.items()}
        for field, condition in by_field.items()
    }


def _meets(finding: Mapping[str, Any], criterion: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(
        _holds(field, condition, values_at(finding, field))
        for field, condition in criterion.items()
    )


def _holds(field: str, condition: Mapping[str, Any], values: list[Any]) -> bool:
    texts = {_text(value) for value in values}
    for name, wanted in condition.items():
        if wanted is None:
            continue
        if name in ("Equals", "Eq"):
            if not texts & set(map(_text, wanted)):
                return False
        elif name in ("NotEquals", "Neq"):
            if texts & set(map(_text, wanted)):
                return False
        elif name in _LEAST:
            if not _compares(field, values, wanted, *_LEAST[name]):
                return False
        else:
            raise _refused(f"the parameter findingCriteria has an invalid condition {name}.")
    return True


def _compares(field: str, values: Iterable[Any], wanted: Any, above: bool, equal: bool) -> bool:
    # "updatedAt … Type: Timestamp in Unix Epoch millisecond format" (ListFindings).
    as_time = field.lower().endswith(("at", "seen"))
    for value in values:
        number = epoch_milliseconds(value) if as_time else float(value)
        if number is None:
            continue
        if equal and number == float(wanted):
            return True
        if number > float(wanted) if above else number < float(wanted):
            return True
    return False


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _sorted(
    findings: list[dict[str, Any]], criteria: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    field = (criteria or {}).get("AttributeName")
    if not field:
        return findings
    return sorted(
        findings,
        key=lambda finding: sort_key(next(iter(values_at(finding, field)), None)),
        reverse=(criteria or {}).get("OrderBy") == "DESC",
    )


def _refused(why: str) -> Exception:
    return operations.error("BadRequestException", f"The request is rejected because {why}")
