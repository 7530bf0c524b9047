"""The console of an EC2 instance: its latest output, and a picture of its screen."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations
from flows.gameday.aws.errors import ec2_error

# A grey square of 8 pixels in baseline JPEG (ITU-T T.81, annex B): a quantization table, a frame
# of one component, a Huffman table each for DC and AC with one code of one bit, and the scan, whose
# two bits are "no difference" and "end of block".
_SCREEN = b"".join(
    (
        bytes.fromhex("ffd8 ffdb 0043 00"),
        b"\x10" * 64,
        bytes.fromhex("ffc0 000b 08 0008 0008 01 01 11 00"),
        bytes.fromhex("ffc4 0014 00 01") + bytes(15) + b"\x00",
        bytes.fromhex("ffc4 0014 10 01") + bytes(15) + b"\x00",
        bytes.fromhex("ffda 0008 01 01 00 00 3f 00 3f ffd9"),
    )
)


def correct() -> None:
    """Have a console's latest output and its screen be there where they are in AWS."""
    from moto.ec2.responses import EC2Response
    from moto.ec2.responses.general import General

    operations.add(EC2Response, {"GetConsoleScreenshot": _screenshot})

    output = General.get_console_output

    def get_console_output(self: Any) -> Any:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        latest = str(self._get_param("Latest")).lower() == "true"
        if latest and _type(instance).get("Hypervisor") != "nitro":
            # "Supported on all instances built on the AWS Nitro System" (EC2 User Guide, "Instance
            # console output").
            raise ec2_error(
                "UnsupportedOperation",
                "This instance type does not support retrieving the latest console logs.",
            )
        return output(self)

    General.get_console_output = get_console_output


def _screenshot(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    instance = response.ec2_backend.get_instance(asked["InstanceId"])
    # "Retrieve a JPG-format screenshot of a running instance" (GetConsoleScreenshot).
    if instance.state != "running":
        raise ec2_error(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'running' state."
        )
    known = _type(instance)
    architectures = known.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    if known.get("BareMetal") or "arm64" in architectures:
        # "… is not supported for bare metal instances … instances powered by Arm-based Graviton
        # processors" (EC2 User Guide, "Troubleshoot an unreachable instance").
        raise ec2_error(
            "UnsupportedOperation",
            f"The instance type '{instance.instance_type}' does not support screenshots.",
        )
    return {"InstanceId": instance.id, "ImageData": base64.b64encode(_SCREEN).decode()}


def _type(instance: Any) -> Mapping[str, Any]:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    found: Mapping[str, Any] = INSTANCE_TYPES.get(instance.instance_type, {})
    return found
