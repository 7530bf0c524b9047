"""What the tests of the simulated AWS look for in its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError


@contextmanager
def refused(code: str, text: str = "") -> Iterator[None]:
    """AWS refuses what is done here, with this code and a message that contains the text."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text in error["Message"]


def until(look: Callable[[], Any], seconds: float = 5.0) -> Any:
    """What the look finds as soon as it finds something; fails where it never does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing was found within {seconds} s")


def instance(ec2: Any, instance_id: str) -> dict[str, Any]:
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
    return found


def interface(ec2: Any, interface_id: str) -> dict[str, Any]:
    answer = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
    found: dict[str, Any] = answer["NetworkInterfaces"][0]
    return found


def groups_of(ec2: Any, interface_id: str) -> list[str]:
    return sorted(group["GroupId"] for group in interface(ec2, interface_id)["Groups"])
