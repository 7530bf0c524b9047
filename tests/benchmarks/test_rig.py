"""What the service's figures are read from: the calls that the simulated AWS has recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.burst import Burst, Fleet
from benchmarks.rig import Recording

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_FLEET = Fleet(
    "http://127.0.0.1:9",
    "123456789012",
    "eu-west-1",
    "detector",
    tuple(
        {
            "InstanceId": f"i-{name}",
            "NetworkInterfaces": [{"NetworkInterfaceId": f"eni-{name}"}],
            "BlockDeviceMappings": [{"Ebs": {"VolumeId": f"vol-{name}"}}],
        }
        for name in "ab"
    ),
)
_EVENT = json.dumps({"detail": {"resource": {"instanceDetails": {"instanceId": "i-a"}}}})
_SPOILT = json.dumps({"detail": {"resource": {"instanceDetails": {"instanceId": "i-a"}}}, "x": 1})
_BURST = Burst((_SPOILT, _EVENT), (), frozenset(), frozenset({_SPOILT}))


def _call(at: float, service: str, operation: str, error: str = "", **parameters: Any) -> Any:
    return {
        "at": (_BEGAN + timedelta(seconds=at)).isoformat(),
        "seconds": 0.5,
        "service": service,
        "operation": operation,
        "changes": not operation.startswith("Describe"),
        "error": error,
        "parameters": parameters,
    }


def _read(*calls: Any) -> Recording:
    return Recording.read(_FLEET, _BURST, calls)


def test_a_message_is_sent_when_it_is_stored_and_one_that_is_spoilt_says_nothing() -> None:
    recording = _read(
        _call(1, "sqs", "SendMessage", MessageBody=_SPOILT),
        _call(2, "sqs", "SendMessageBatch", Entries=[{"MessageBody": _EVENT}]),
        _call(3, "sqs", "SendMessage", MessageBody=_EVENT),
    )
    assert recording.sent == {"i-a": _BEGAN + timedelta(seconds=2)}


def test_the_first_change_is_of_the_instance_or_of_what_belongs_to_it() -> None:
    recording = _read(
        _call(2, "sqs", "SendMessage", MessageBody=_EVENT),
        _call(3, "ec2", "DescribeInstances", InstanceIds=["i-a"]),
        _call(4, "ec2", "CreateSnapshot", error="InvalidVolume.NotFound", VolumeId="vol-a"),
        _call(5, "ec2", "CreateSnapshot", VolumeId="vol-b"),
        _call(6, "ec2", "CreateSnapshot", VolumeId="vol-a"),
        _call(7, "ec2", "ModifyInstanceAttribute", InstanceId="i-a"),
    )
    assert recording.to_change(["i-a"]) == [4.0]


def test_every_isolation_of_an_interface_counts_and_ends_with_its_answer() -> None:
    modify = "ModifyNetworkInterfaceAttribute"
    attachment = {"AttachmentId": "eni-attach-a", "DeleteOnTermination": False}
    recording = _read(
        _call(2, "sqs", "SendMessage", MessageBody=_EVENT),
        _call(3, "ec2", modify, NetworkInterfaceId="eni-a", Attachment=attachment),
        _call(4, "ec2", modify, NetworkInterfaceId="eni-a", Groups=["sg-1"]),
        _call(8, "ec2", modify, NetworkInterfaceId="eni-a", Groups=["sg-1"]),
    )
    assert len(recording.isolated["i-a"]) == 2
    assert recording.to_isolation(["i-a"]) == [2.5]
