"""CloudFormation's resources of other services than EC2: queues, rules, buckets, keys, alarms.

moto leaves some of these types out, and of the others most properties.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class _Place:
    account: str
    region: str


@dataclass
class _Made:
    """A resource that moto doesn't have: by its id, with what ``Fn::GetAtt`` finds of it."""

    physical_resource_id: str
    given: Properties
    attributes: Mapping[str, str] = field(default_factory=dict)

    has_cfn_attr = classmethod(lambda cls, name: True)

    def get_cfn_attribute(self, name: str) -> str:
        from moto.cloudformation.exceptions import UnformattedGetAttTemplateException

        if name not in self.attributes:
            raise UnformattedGetAttTemplateException
        return self.attributes[name]


@dataclass(frozen=True)
class _Type:
    """A resource type that moto lacks. ``named_by`` is the property that names it, if any."""

    named_by: str
    make: Callable[[_Place, str, Properties], _Made]
    delete: Callable[[_Place, _Made], None]


def correct() -> None:
    """Have these resources be made as their properties say, and be deleted with their stacks."""
    from moto.cloudformation.parsing import get_model_map, get_name_type_map

    for name, kind in _TYPES.items():
        get_model_map()[name] = _model(kind)
        get_name_type_map()[name] = kind.named_by
    _queues()
    _buckets()
    _keys()
    _policies()


def _model(kind: _Type) -> Any:
    class Model(_Made):
        """What is made of this type."""

        @classmethod
        def create_from_cloudformation_json(
            cls, name: str, resource: Any, account_id: str, region_name: str, **_: Any
        ) -> Any:
            made = kind.make(_Place(account_id, region_name), name, resource["Properties"])
            return cls(made.physical_resource_id, made.given, made.attributes)

        @classmethod
        def update_from_cloudformation_json(
            cls,
            *,
            original_resource: Any,
            cloudformation_json: Any,
            account_id: str,
            region_name: str,
            **_: Any,
        ) -> Any:
            place, given = _Place(account_id, region_name), cloudformation_json["Properties"]
            name = given.get(kind.named_by, original_resource.physical_resource_id)
            kind.delete(place, original_resource)
            made = kind.make(place, name, given)
            return cls(made.physical_resource_id, made.given, made.attributes)

        def delete(self, account_id: str, region_name: str) -> None:
            kind.delete(_Place(account_id, region_name), self)

    return Model


# Types that moto lacks


def _queue_policy(place: _Place, name: str, given: Properties) -> _Made:
    _set_queue_policies(place, given, _document(given["PolicyDocument"]))
    return _Made(name, given)


def _delete_queue_policy(place: _Place, made: _Made) -> None:
    _set_queue_policies(place, made.given, "")


def _set_queue_policies(place: _Place, given: Properties, policy: str) -> None:
    from moto.sqs.models import sqs_backends

    backend = sqs_backends[place.account][place.region]
    for url in given["Queues"]:
        # A queue that was deleted before had its policy with it.
        if policy or url.rsplit("/", 1)[-1] in backend.queues:
            backend.set_queue_attributes(url.rsplit("/", 1)[-1], {"Policy": policy})


def _topic_policy(place: _Place, name: str, given: Properties) -> _Made:
    from moto.sns.models import sns_backends

    backend = sns_backends[place.account][place.region]
    for arn in given["Topics"]:
        backend.get_topic(arn).policy = _document(given["PolicyDocument"])
    return _Made(name, given)


def _delete_topic_policy(place: _Place, made: _Made) -> None:
    """A topic's policy can't be taken away: it keeps the last one (DeleteTopic takes it along)."""


def _bucket_policy(place: _Place, name: str, given: Properties) -> _Made:
    from moto.s3.models import s3_backends

    policy = _document(given["PolicyDocument"]).encode()
    s3_backends[place.account]["aws"].put_bucket_policy(given["Bucket"], policy)
    return _Made(given["Bucket"], given)


def _delete_bucket_policy(place: _Place, made: _Made) -> None:
    from moto.s3.models import s3_backends

    s3_backends[place.account]["aws"].delete_bucket_policy(made.given["Bucket"])


def _alarm(place: _Place, name: str, given: Properties) -> _Made:
    from moto.cloudwatch.models import cloudwatch_backends

    alarm = cloudwatch_backends[place.account][place.region].put_metric_alarm(
        name,
        given["Namespace"],
        given["MetricName"],
        given["ComparisonOperator"],
        int(given["EvaluationPeriods"]),
        int(given["Period"]),
        float(given["Threshold"]),
        given.get("Statistic"),
        given.get("AlarmDescription", ""),
        list(given.get("Dimensions", [])),
        list(given.get("AlarmActions", [])),
        datapoints_to_alarm=given.get("DatapointsToAlarm"),
        extended_statistic=given.get("ExtendedStatistic"),
        ok_actions=list(given.get("OKActions", [])),
        insufficient_data_actions=list(given.get("InsufficientDataActions", [])),
        unit=given.get("Unit"),
        actions_enabled=_true(given.get("ActionsEnabled", True)),
        treat_missing_data=given.get("TreatMissingData"),
    )
    return _Made(alarm.name, given, {"Arn": alarm.alarm_arn})


def _delete_alarm(place: _Place, made: _Made) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    cloudwatch_backends[place.account][place.region].delete_alarms([made.physical_resource_id])


_TYPES: Mapping[str, _Type] = {
    "AWS::CloudWatch::Alarm": _Type("AlarmName", _alarm, _delete_alarm),
    "AWS::S3::BucketPolicy": _Type("", _bucket_policy, _delete_bucket_policy),
    "AWS::SNS::TopicPolicy": _Type("", _topic_policy, _delete_topic_policy),
    "AWS::SQS::QueuePolicy": _Type("", _queue_policy, _delete_queue_policy),
}


# Types of which moto leaves properties out


def _queues() -> None:
    from moto.sqs.models import Queue

    def update(
        cls: Any,
        /,
        *,
        original_resource: Any,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Any:
        from moto.sqs.models import sqs_backends

        changed = {
            name: value
            for name, value in cloudformation_json["Properties"].items()
            if name not in ("QueueName", "FifoQueue", "Tags")
        }
        backend = sqs_backends[account_id][region_name]
        return backend.set_queue_attributes(original_resource.name, changed)

    Queue.update_from_cloudformation_json = classmethod(update)

    known = Queue.get_cfn_attribute

    def get_cfn_attribute(self: Any, name: str) -> Any:
        return self.physical_resource_id if name == "QueueUrl" else known(self, name)

    Queue.get_cfn_attribute = get_cfn_attribute
    Queue.has_cfn_attr = classmethod(lambda cls, name: name in ("Arn", "QueueName", "QueueUrl"))


def _buckets() -> None:
    from moto.s3.models import FakeBucket

    make, change = (
        getattr(FakeBucket, f"{verb}_from_cloudformation_json").__func__
        for verb in ("create", "update")
    )

    def create(
        cls: Any, /, name: str, resource: Any, account_id: str, region_name: str, **more: Any
    ) -> Any:
        bucket = make(cls, name, resource, account_id, region_name, **more)
        _set_up_bucket(account_id, bucket, resource["Properties"])
        return bucket

    def update(
        cls: Any,
        /,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        bucket = change(
            cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
        )
        _set_up_bucket(account_id, bucket, cloudformation_json["Properties"])
        return bucket

    FakeBucket.create_from_cloudformation_json = classmethod(create)
    FakeBucket.update_from_cloudformation_json = classmethod(update)


def _set_up_bucket(account: str, bucket: Any, given: Properties) -> None:
    from moto.s3.models import PublicAccessBlock, s3_backends

    s3, name = s3_backends[account]["aws"], bucket.name
    if "VersioningConfiguration" in given:
        s3.put_bucket_versioning(name, given["VersioningConfiguration"]["Status"])
    if _true(given.get("ObjectLockEnabled")):
        # "Enabling Object Lock … automatically enables versioning" (S3 User Guide).
        bucket.object_lock_enabled = True
        bucket.versioning_status = "Enabled"
    locked = given.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    if locked:
        days, years = int(locked.get("Days", 0)), int(locked.get("Years", 0))
        s3.put_object_lock_configuration(name, True, locked["Mode"], days, years)
    for rule in given.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", []):
        wanted = rule.get("ServerSideEncryptionByDefault", {})
        s3.put_bucket_encryption(
            name,
            {
                "Rule": {
                    "ApplyServerSideEncryptionByDefault": dict(wanted),
                    "BucketKeyEnabled": str(_true(rule.get("BucketKeyEnabled"))).lower(),
                }
            },
        )
    if "PublicAccessBlockConfiguration" in given:
        blocked = given["PublicAccessBlockConfiguration"]
        order = (
            "BlockPublicAcls",
            "IgnorePublicAcls",
            "BlockPublicPolicy",
            "RestrictPublicBuckets",
        )
        bucket.public_access_block = PublicAccessBlock(
            *(str(_true(blocked.get(key))).lower() for key in order)
        )
    for rule in given.get("OwnershipControls", {}).get("Rules", []):
        s3.put_bucket_ownership_controls(name, rule["ObjectOwnership"])
    if "LifecycleConfiguration" in given:
        rules = given["LifecycleConfiguration"]["Rules"]
        s3.put_bucket_lifecycle_configuration(name, [_lifecycle_rule(rule) for rule in rules])


def _lifecycle_rule(given: Properties) -> dict[str, Any]:
    """A rule as the API has it."""
    rule: dict[str, Any] = {"Filter": {"Prefix": given.get("Prefix", "")}}
    rule |= {"ID": given["Id"]} if "Id" in given else {}
    rule["Status"] = given["Status"]
    for name in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if name in given:
            rule[name] = dict(given[name])
    if "ExpirationInDays" in given:
        rule["Expiration"] = {"Days": given["ExpirationInDays"]}
    return rule


def _keys() -> None:
    from moto.kms.models import Key, kms_backends

    def create(
        cls: Any, /, name: str, resource: Any, account_id: str, region_name: str, **_: Any
    ) -> Any:
        given = resource["Properties"]
        key = kms_backends[account_id][region_name].create_key(
            policy=_document(given["KeyPolicy"]) if "KeyPolicy" in given else None,
            key_usage=given.get("KeyUsage", "ENCRYPT_DECRYPT"),
            key_spec=given.get("KeySpec", "SYMMETRIC_DEFAULT"),
            description=given.get("Description", ""),
            tags=[
                {"TagKey": tag["Key"], "TagValue": str(tag["Value"])}
                for tag in given.get("Tags", [])
            ],
            multi_region=_true(given.get("MultiRegion")),
        )
        key.key_rotation_status = _true(given.get("EnableKeyRotation"))
        key.enabled = _true(given.get("Enabled", True))
        key.pending_window = int(given.get("PendingWindowInDays", 30))
        return key

    def delete(self: Any, account_id: str, region_name: str) -> None:
        # "When you delete the stack, … KMS deletes the KMS key when this waiting period ends"
        # (AWS::KMS::Key, PendingWindowInDays).
        kms_backends[account_id][region_name].schedule_key_deletion(self.id, self.pending_window)

    Key.create_from_cloudformation_json = classmethod(create)
    Key.delete = delete
    known = Key.get_cfn_attribute
    Key.has_cfn_attr = classmethod(lambda cls, name: name in ("Arn", "KeyId"))
    Key.get_cfn_attribute = lambda self, name: self.id if name == "KeyId" else known(self, name)


def _policies() -> None:
    from moto.iam.models import ManagedPolicy, iam_backends

    make = ManagedPolicy.create_from_cloudformation_json.__func__

    def create(
        cls: Any, /, name: str, resource: Any, account_id: str, region_name: str, **more: Any
    ) -> Any:
        given = dict(resource["Properties"])
        given.setdefault("Path", "/")
        # In YAML a policy's version is a date, unless it is quoted.
        given["PolicyDocument"] = json.loads(_document(given["PolicyDocument"]))
        return make(cls, name, {**resource, "Properties": given}, account_id, region_name, **more)

    def delete(self: Any, account_id: str, region_name: str) -> None:
        iam_backends[account_id]["aws"].delete_policy(self.arn)

    ManagedPolicy.create_from_cloudformation_json = classmethod(create)
    ManagedPolicy.delete = delete


def _document(policy: Any) -> str:
    """A policy as a text, as which a template may have it, too. In YAML its version is a date."""
    return policy if isinstance(policy, str) else json.dumps(policy, default=str)


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
