"""Fit a sample finding to an instance of a sandbox, so that a drill starts where real work does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from flows.intake.document import Node, read_documents
from flows.intake.finding import FindingRejected
from flows.intake.parse import parse

_ARN = re.compile(r"arn:aws:([a-z0-9-]+):([a-z0-9-]*):([0-9]{12}):(.+)", re.DOTALL)


def write_sample(
    path_in: Path,
    *,
    instance_id: str,
    account: str,
    region: str,
    private_ip: str,
    network_interface_id: str,
) -> dict[str, JsonValue]:
    """The sample event, about another instance.

    The sample is an event of GuardDuty with one instance and one network interface. Identities are
    replaced by whole values, in the fields that hold them and where they stand within ARNs and the
    title and description; the sample's file stays as it is.

    Raises FindingRejected where the sample, or what came of it, is not a finding.
    """
    [document] = read_documents(path_in.read_bytes())
    if isinstance(document, FindingRejected):
        raise document
    instance = document.at("detail", "resource", "instanceDetails")
    interfaces = instance.at("networkInterfaces").each()
    if len(interfaces) != 1:
        raise instance.at("networkInterfaces").rejected(
            "a sample to fit has exactly one network interface"
        )
    [interface] = interfaces
    old_instance = instance.at("instanceId").required_text("instance id")
    named = re.compile(rf"(?<![a-z]){re.escape(old_instance)}\b")  # not the end of an ami-…
    old_account = document.at("account").required_text("account")
    old_region = document.at("region").required_text("Region")
    exact = {
        old_instance: instance_id,
        interface.at("networkInterfaceId").required_text("interface"): network_interface_id,
        interface.at("privateIpAddress").required_text("private address"): private_ip,
        old_account: account,
        old_region: region,
    }

    def fitted(value: object, key: str = "") -> JsonValue:
        if isinstance(value, dict):
            return {name: fitted(member, name) for name, member in value.items()}
        if isinstance(value, list):
            return [fitted(item, key) for item in value]
        if not isinstance(value, str):
            return cast(JsonValue, value)
        if key == "availabilityZone":
            return region + value.removeprefix(old_region)
        if key in ("title", "description"):
            return named.sub(lambda _: instance_id, value)
        if arn := _ARN.fullmatch(value):
            service, of_region, of_account, resource = arn.groups()
            words = "/".join(exact.get(word, word) for word in resource.split("/"))
            return (
                f"arn:aws:{service}:{exact.get(of_region, of_region)}:"
                f"{exact.get(of_account, of_account)}:{words}"
            )
        return exact.get(value, value)

    event = fitted(document.value)
    if not isinstance(event, dict):
        raise Node(event).rejected("must be an object")
    parse(json.dumps(event).encode())  # a drill must not begin with a broken finding
    return event
