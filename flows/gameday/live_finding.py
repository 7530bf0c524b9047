"""The finding of a live drill: in GuardDuty's shape, and about the real instance."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.intake.finding import Finding
from flows.intake.parse import parse
from runbooks.aws import Reader, Where
from runbooks.calls import Call
from runbooks.connections import Connections
from runbooks.errors import ClampdownError, InvalidInput
from runbooks.targets.instance import Credentials, Ec2Instance

KIND = "Backdoor:EC2/C&CActivity.B"
# A documentation address (RFC 5737), so that nobody is denied by a drill.
_REMOTE = "203.0.113.80"
_THERE_WITHIN = timedelta(seconds=60)
_LOOK_EVERY = timedelta(seconds=2)


def written_finding(target: Ec2Instance, identity: str, kind: str = KIND) -> Finding:
    """A finding of our own, in the shape of GetFindings. ``identity`` are 32 hexadecimal digits."""
    now = _text(datetime.now(UTC))
    document = {
        "SchemaVersion": "2.0",
        "AccountId": target.ref.account,
        "Region": target.ref.region,
        "Partition": target.ref.partition,
        "Id": identity,
        "Arn": _arn(target, identity),
        "Type": kind,
        "Resource": _resource(target),
        "Service": {
            "ServiceName": "guardduty",
            "DetectorId": "0" * 32,
            "Action": {
                "ActionType": "NETWORK_CONNECTION",
                "NetworkConnectionAction": {
                    "Blocked": False,
                    "ConnectionDirection": "OUTBOUND",
                    "Protocol": "TCP",
                    "RemoteIpDetails": {"IpAddressV4": _REMOTE},
                    "RemotePortDetails": {"Port": 443, "PortName": "HTTPS"},
                },
            },
            "ResourceRole": "ACTOR",
            "EventFirstSeen": now,
            "EventLastSeen": now,
            "Archived": False,
            "Count": 1,
        },
        "Severity": 8.0,
        "CreatedAt": now,
        "UpdatedAt": now,
        "Title": f"DRILL: {target.id} talks to a command and control server.",
        "Description": "A drill: GuardDuty has found nothing. Clampdown has written this finding.",
    }
    return _read(document)


def generated_finding(
    target: Ec2Instance, connections: Connections, kind: str = KIND
) -> tuple[Finding, str]:
    """GuardDuty's own sample (CreateSampleFindings), its made-up instance replaced by the real one;
    and the id of the detector.

    The sample itself goes the way of every finding; services ignore samples where AWS is live.

    Raises InvalidInput where GuardDuty is not on, ClampdownError where no sample comes.
    """
    reader = Reader(connections, Where(target.ref.account, target.ref.region))
    detectors = reader.read(Call("guardduty", "list_detectors")).get("DetectorIds", [])
    if not detectors:
        raise InvalidInput(
            f"GuardDuty is not on in {target.ref.account}, {target.ref.region}.",
            advice="Without --create-sample-findings the finding is written by Clampdown.",
        )
    detector = str(detectors[0])
    asked = datetime.now(UTC)
    client = connections.client("guardduty", target.ref.account, target.ref.region)
    client.create_sample_findings(DetectorId=detector, FindingTypes=[kind])
    document = _wait_for(reader, detector, kind, asked)
    document = {
        **document,
        "Title": f"DRILL: {document.get('Title', kind)}",
        "Resource": _resource(target),
        "Service": {**document["Service"], "ResourceRole": "ACTOR"},
    }
    # A sample never acts on a live account. This one is about an instance that is there for drills.
    return _read(document).model_copy(update={"sample": False}), detector


def _wait_for(reader: Reader, detector: str, kind: str, since: datetime) -> dict[str, Any]:
    """The newest sample of the type. GuardDuty updates the one that it has made before."""
    criteria = {
        "Criterion": {
            "type": {"Equals": [kind]},
            # GuardDuty's clock is another one than ours.
            "updatedAt": {
                "GreaterThanOrEqual": int((since - timedelta(minutes=1)).timestamp() * 1000)
            },
        }
    }
    listing = Call("guardduty", "list_findings", DetectorId=detector, FindingCriteria=criteria)
    ends = time.monotonic() + _THERE_WITHIN.total_seconds()
    while time.monotonic() < ends:
        if ids := reader.read(listing).get("FindingIds", [])[:50]:
            call = Call("guardduty", "get_findings", DetectorId=detector, FindingIds=ids)
            for found in reader.read(call)["Findings"]:
                if str(found.get("Title", "")).startswith("[SAMPLE]"):
                    return dict(found)
        time.sleep(_LOOK_EVERY.total_seconds())
    raise ClampdownError(
        f"GuardDuty has shown no sample of {kind} within {_THERE_WITHIN.total_seconds():g} s.",
        advice="Nothing was contained. Try again, or leave --create-sample-findings out.",
    )


def _resource(target: Ec2Instance) -> dict[str, Any]:
    credentials = target.fact(Credentials)
    return {
        "ResourceType": "Instance",
        "InstanceDetails": {
            "InstanceId": target.id,
            "InstanceType": target.instance_type,
            "InstanceState": target.state,
            "ImageId": target.image_id,
            "AvailabilityZone": target.zone,
            **(
                {"IamInstanceProfile": {"Arn": credentials.profile_arn}}
                if credentials.profile_arn
                else {}
            ),
            "NetworkInterfaces": [
                {
                    "NetworkInterfaceId": eni.id,
                    "PrivateIpAddress": eni.addresses[0],
                    "SubnetId": eni.subnet_id,
                    "VpcId": eni.vpc_id,
                    "SecurityGroups": [{"GroupId": group} for group in eni.groups],
                }
                for eni in target.network_interfaces
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in target.tags.items()],
        },
    }


def _read(document: Mapping[str, Any]) -> Finding:
    (found,) = parse(json.dumps({"Findings": [document]}, default=_json).encode())
    return found


def _json(value: Any) -> str:
    if isinstance(value, datetime):
        return _text(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _arn(target: Ec2Instance, identity: str) -> str:
    ref = target.ref
    detector = "0" * 32
    return (
        f"arn:{ref.partition}:guardduty:{ref.region}:{ref.account}:detector/{detector}"
        f"/finding/{identity}"
    )
