"""CloudTrail: the event history, looked up in the record of the calls that were made."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from flows.gameday.aws import operations, settings, simulated_time
from flows.gameday.aws.identities import Identity
from flows.gameday.aws.recording import RecordedCall

_PAGE = 50
_EVENTS = uuid.UUID("7c6f1e0c-55f7-5c3c-9d52-0d1ce3b7f6a1")
_ATTRIBUTES = frozenset(
    {
        "AccessKeyId",
        "EventId",
        "EventName",
        "EventSource",
        "ReadOnly",
        "ResourceName",
        "ResourceType",
        "Username",
    }
)

# "LookupEvents … management events": what works on the data in a resource is a data event
# ("Logging data events", CloudTrail User Guide), and in no history.
_DATA = (
    "cloudwatch:PutMetricData",
    "dynamodb:*Item*",
    "dynamodb:Query",
    "dynamodb:Scan",
    "events:PutEvents",
    "lambda:Invoke*",
    "logs:PutLogEvents",
    "s3:*MultipartUpload*",
    "s3:*Object",
    "s3:*ObjectAcl",
    "s3:*ObjectAttributes",
    "s3:*ObjectLegalHold",
    "s3:*ObjectRetention",
    "s3:*ObjectTagging",
    "s3:DeleteObjects",
    "s3:HeadBucket",
    "s3:ListObject*",
    "s3:ListParts",
    "s3:UploadPart*",
    "sns:Publish*",
    "sqs:*Message*",
)
# The names of S3's events that aren't those of its API ("Amazon S3 CloudTrail events").
_EVENT_NAMES = {
    "s3:GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "s3:PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "s3:DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
}
# Services whose source isn't the name that boto3 gives them.
_SOURCES = {
    "cloudwatch": "monitoring",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "ses": "email",
    "stepfunctions": "states",
}
# IAM's are recorded in us-east-1, "global service events".
_GLOBAL = {"iam": "us-east-1"}

_RESOURCES_BY_ID = {
    "acl": "AWS::EC2::NetworkAcl",
    "ami": "AWS::EC2::Ami",
    "eni": "AWS::EC2::NetworkInterface",
    "i": "AWS::EC2::Instance",
    "igw": "AWS::EC2::InternetGateway",
    "rtb": "AWS::EC2::RouteTable",
    "sg": "AWS::EC2::SecurityGroup",
    "snap": "AWS::EC2::Snapshot",
    "subnet": "AWS::EC2::Subnet",
    "vol": "AWS::EC2::Volume",
    "vpc": "AWS::EC2::VPC",
}
_RESOURCES_BY_NAME = {
    "accesskeyid": "AWS::IAM::AccessKey",
    "autoscalinggroupname": "AWS::AutoScaling::AutoScalingGroup",
    "bucket": "AWS::S3::Bucket",
    "functionname": "AWS::Lambda::Function",
    "instanceprofilename": "AWS::IAM::InstanceProfile",
    "keyid": "AWS::KMS::Key",
    "loadbalancerarn": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "policyarn": "AWS::IAM::Policy",
    "rolearn": "AWS::IAM::Role",
    "rolename": "AWS::IAM::Role",
    "stackname": "AWS::CloudFormation::Stack",
    "targetgrouparn": "AWS::ElasticLoadBalancingV2::TargetGroup",
    "username": "AWS::IAM::User",
}
_ID = re.compile(rf"({'|'.join(_RESOURCES_BY_ID)})-[0-9a-f]{{8,17}}")

_history: Sequence[RecordedCall] = ()


def correct() -> None:
    """Have CloudTrail look up events."""
    from moto.cloudtrail.responses import CloudTrailResponse

    operations.add(CloudTrailResponse, {"LookupEvents": _lookup_events})


def look_up_in(history: Sequence[RecordedCall]) -> None:
    """Have this record be the event history, of all accounts and Regions."""
    global _history
    _history = history


@dataclass(frozen=True)
class _Event:
    """An event of one account's history; ``call`` is the one that it is of."""

    call: RecordedCall
    number: int
    account: str

    @property
    def identity(self) -> Identity:
        assert self.call.identity is not None
        return self.call.identity

    @property
    def id(self) -> str:
        return str(uuid.uuid5(_EVENTS, f"{self.number} {self.account} {self.call.at.isoformat()}"))

    @property
    def name(self) -> str:
        return _EVENT_NAMES.get(self.call.name, self.call.operation)

    @property
    def source(self) -> str:
        return f"{_SOURCES.get(self.call.service, self.call.service)}.amazonaws.com"

    @property
    def region(self) -> str:
        return _GLOBAL.get(self.call.service, self.call.region)

    @property
    def read_only(self) -> bool:
        # Also of a call that changes nothing because it is a dry run.
        return not replace(self.call, parameters={}).changes

    @property
    def resources(self) -> list[dict[str, str]]:
        # A look-up names what it looks for, and touches nothing.
        named = {} if self.call.operation == "LookupEvents" else self.call.parameters
        found = dict.fromkeys(_resources("", named))
        return [{"ResourceType": kind, "ResourceName": name} for kind, name in found]

    def to_answer(self) -> dict[str, Any]:
        """As LookupEvents has it."""
        return {
            "EventId": self.id,
            "EventName": self.name,
            "ReadOnly": str(self.read_only).lower(),
            "AccessKeyId": self.identity.access_key,
            # "EventTime" has whole seconds.
            "EventTime": self.call.at.replace(microsecond=0),
            "EventSource": self.source,
            "Username": self.identity.name,
            "Resources": self.resources,
            "CloudTrailEvent": json.dumps(self._record(), default=str),
        }

    def _record(self) -> dict[str, Any]:
        """The event itself ("CloudTrail record contents"). ``responseElements`` is null: answers are
        not recorded. ``requestParameters`` are those of the API, in camelCase."""
        call, identity = self.call, self.identity.to_json()
        if self.account != self.identity.account:
            # Another account's caller is an AWSAccount ("CloudTrail userIdentity element").
            identity = {
                "type": "AWSAccount",
                "principalId": self.identity.principal_id,
                "accountId": self.identity.account,
            }
        record: dict[str, Any] = {
            "eventVersion": "1.11",
            "userIdentity": identity,
            "eventTime": call.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": self.source,
            "eventName": self.name,
            "awsRegion": self.region,
            "sourceIPAddress": call.source_address,
            "userAgent": call.user_agent,
            "requestParameters": _camel(call.parameters) or None,
            "responseElements": None,
            "requestID": str(uuid.uuid5(_EVENTS, f"{self.number} request")),
            "eventID": self.id,
            "readOnly": self.read_only,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": self.account,
            "eventCategory": "Management",
        }
        if call.error:
            # EC2's are told from each other as "Client." and "Server." ones.
            of_ec2 = f"{'Server' if call.status >= 500 else 'Client'}.{call.error}"
            record["errorCode"] = of_ec2 if call.service == "ec2" else call.error
        return record

    def matches(self, key: str, value: str) -> bool:
        """Whether it has this value of a lookup attribute."""
        if key in ("ResourceName", "ResourceType"):
            return any(resource[key] == value for resource in self.resources)
        known = {
            "AccessKeyId": self.identity.access_key,
            "EventId": self.id,
            "EventName": self.name,
            "EventSource": self.source,
            "ReadOnly": str(self.read_only).lower(),
            "Username": self.identity.name,
        }
        return known[key] == value


def _lookup_events(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    key, value = _attribute(asked.get("LookupAttributes") or [])
    start, end = _time(asked.get("StartTime")), _time(asked.get("EndTime"))
    if start is not None and end is not None and start > end:
        raise operations.error("InvalidTimeRangeException", "The start time is after the end time.")
    size = asked.get("MaxResults") or _PAGE
    if not 1 <= size <= _PAGE:
        raise operations.error("InvalidMaxResultsException", "Specify a value from 1 to 50.")
    # An event takes some minutes to be there (CloudTrail User Guide, "How CloudTrail works").
    delivered = simulated_time.now() - timedelta(seconds=settings.SETTINGS.trail_seconds)
    found = [
        event
        for event in _events(response.current_account, response.region)
        if event.call.at <= delivered
        and (start is None or event.call.at.replace(microsecond=0) >= start)
        and (end is None or event.call.at.replace(microsecond=0) <= end)
        and (key is None or event.matches(key, value))
    ]
    # The token counts from the oldest on, so that what is recorded meanwhile moves no page.
    found.reverse()
    newest = len(found) if asked.get("NextToken") is None else _position(asked["NextToken"], found)
    page = found[max(0, newest - size) : newest][::-1]
    left = newest - len(page)
    return {
        "Events": [event.to_answer() for event in page],
        **({"NextToken": str(left)} if left else {}),
    }


def _attribute(wanted: list[Mapping[str, str]]) -> tuple[str | None, str]:
    if not wanted:
        return None, ""
    # "Currently the list can contain only one item" (LookupAttributes).
    if len(wanted) > 1 or wanted[0].get("AttributeKey") not in _ATTRIBUTES:
        raise operations.error(
            "InvalidLookupAttributesException", "You can only look up one attribute at a time."
        )
    return wanted[0]["AttributeKey"], wanted[0]["AttributeValue"]


def _position(token: str, found: Sequence[object]) -> int:
    if not token.isdecimal() or not 0 < int(token) <= len(found):
        raise operations.error("InvalidNextTokenException", "The token is not valid.")
    return int(token)


def _time(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(value), UTC)


def _events(account: str, region: str) -> Iterator[_Event]:
    """The events of an account and Region, newest first."""
    calls = list(_history)
    for number in range(len(calls) - 1, -1, -1):
        call = calls[number]
        if not _is_management(call):
            continue
        for recipient in _recipients(call):
            event = _Event(call, number, recipient)
            if recipient == account and event.region == region:
                yield event


def _is_management(call: RecordedCall) -> bool:
    """Whether a call arrived, was one that AWS knows, and is no data event."""
    return (
        call.identity is not None
        and call.status not in (0, 501)
        and " " not in call.operation
        and not any(fnmatchcase(call.name, pattern) for pattern in _DATA)
    )


def _recipients(call: RecordedCall) -> Iterable[str]:
    """The accounts in whose history it is: the assumed role's too."""
    assumed = str(call.parameters.get("RoleArn", "")).split(":")
    if call.operation == "AssumeRole" and len(assumed) > 5 and not call.error:
        return dict.fromkeys((call.account, assumed[4]))
    return (call.account,)


def _resources(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The types and names of the resources that parameters name."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _resources(str(key), member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _resources(name, item)
    elif isinstance(value, str):
        known = _ID.fullmatch(value)
        kind = _RESOURCES_BY_ID[known[1]] if known else _RESOURCES_BY_NAME.get(name.lower())
        if kind is not None:
            yield kind, value


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key[:1].lower() + key[1:]: _camel(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(item) for item in value]
    return value
