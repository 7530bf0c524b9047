"""Carrying out what a scenario has happen: findings, faults, intruders and connections."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from botocore.exceptions import ClientError

from flows.gameday.aws.faults import Fault
from flows.gameday.play.before import Before
from flows.gameday.play.mailbox import Mailbox
from flows.gameday.play.outside import CALLER, NotPossible, Outside, all_of
from flows.gameday.scenario import (
    AttackerInject,
    ConnectionInject,
    FaultInject,
    FindingInject,
)
from runbooks.calls import sha256

Detail = dict[str, Any]


class Injects:
    """Has things happen in the simulated AWS. Each returns what it was, in words and in detail.

    ``known`` maps the ids that the scenario gives findings to GuardDuty's.
    """

    def __init__(
        self, outside: Outside, mailbox: Mailbox, before: Before, known: Mapping[str, str]
    ) -> None:
        self._outside = outside
        self._mailbox = mailbox
        self._before = before
        self._known = dict(known)
        self._attacks: dict[str, Callable[[str], Detail]] = {
            "puts_groups_back": self._puts_groups_back,
            "attaches_interface": self._attaches_interface,
            "opens_isolation_group": self._opens_isolation_group,
            "terminates": self._terminates,
        }

    def finding(self, inject: FindingInject, now: datetime) -> tuple[str, Detail]:
        """GuardDuty finds something, and says so; or somebody says so in its name."""
        detail: Detail = {
            "id": inject.id,
            "type": inject.type,
            "severity": inject.severity,
            "confirmed": inject.confirmed,
        }
        about = inject.resource.get("ResourceType", "a resource")
        if inject.on:
            detail["instance"] = self._outside.instance(inject.on)
            about = f"{inject.on} ({detail['instance']})"
        if not inject.confirmed:
            detail["finding_id"] = self._forge(inject, detail.get("instance", ""), now)
            text = f"somebody forges GuardDuty's finding {inject.type} on {about}"
            return text, detail
        known = [self._known.get(inject.id, ""), *[""] * (inject.copies - 1)]
        items = [self._item(inject, detail.get("instance", ""), identity) for identity in known]
        found = self._outside.post("findings", items)["ids"]
        update = self._known.get(inject.id) == found[0]
        self._known[inject.id] = found[0]
        if inject.delivered > 1:
            self._mailbox.repeat(inject.delivered - 1, *found)
        detail |= {"finding_id": found[0], "update": update, "delivered": inject.delivered}
        if inject.copies > 1:
            detail["finding_ids"] = found
        text = f"GuardDuty {'updates' if update else 'finds'} {inject.type} on {about}"
        for holds, more in (
            (inject.copies > 1, f"{inject.copies} times over"),
            (inject.delivered > 1, f"delivered {inject.delivered} times"),
            (inject.archived, "archived"),
            (inject.sample, "a sample"),
        ):
            text += f", {more}" if holds else ""
        return text, detail

    def fault(self, inject: FaultInject) -> tuple[str, Detail]:
        """From now on Clampdown's own calls meet the fault."""
        self._outside.post("faults", [own(inject.fault).model_dump()])
        fault = inject.fault
        which = f"{fault.service}:{fault.operation}"
        share = f", {fault.probability:.0%} of the calls" if fault.probability < 1 else ""
        long = f" for {inject.lasts}" if inject.lasts else ""
        detail = {"fault": fault.model_dump(mode="json", exclude_defaults=True)}
        return f"AWS: {fault.effect.replace('_', ' ')} on {which}{share}{long}", detail

    def end_fault(self, fault: Fault) -> None:
        self._outside.delete("faults", [own(fault).model_dump()])

    def attacker(self, inject: AttackerInject) -> tuple[str, Detail]:
        """An intruder acts with rights of their own; AWS may refuse it."""
        instance = self._outside.instance(inject.to)
        detail: Detail = {"does": inject.does, "instance": instance}
        try:
            detail |= self._attacks[inject.does](instance)
        except ClientError as error:
            detail["refused"] = error.response["Error"]["Code"]
        words = inject.does.replace("_", " ")
        refused = f"; not done: {detail['refused']}" if detail.get("refused") else ""
        return f"the intruder {words}: {inject.to}{refused}", detail

    def connection(self, inject: ConnectionInject) -> tuple[str, Detail]:
        """A connection is established, or does not come about."""
        wanted = {
            "from": self._outside.id_of(inject.source),
            "to": self._outside.id_of(inject.destination),
            "port": inject.port,
            "protocol": inject.protocol,
        }
        text = f"a connection {inject.id} from {inject.source} to {inject.destination}"
        detail: Detail = {"id": inject.id, **wanted}
        try:
            detail["connection"] = self._outside.post("connections", wanted)["id"]
        except NotPossible as refused:
            detail["refused"] = refused.what
            text += f", which does not pass: {refused.what}"
        return text, detail

    # Findings

    def _item(self, inject: FindingInject, instance: str, known: str) -> Detail:
        """What GuardDuty is told that it finds."""
        if instance and not inject.sample:
            return {
                "instance": instance,
                "type": inject.type,
                "severity": inject.severity,
                "role": inject.role,
                "remote": inject.remote,
                "archived": inject.archived,
                "id": known,
            }
        resource = self._outside.filled_in(inject.resource) or {
            "ResourceType": "Instance",
            "InstanceDetails": {"InstanceId": instance, "NetworkInterfaces": [], "Tags": []},
        }
        service: Detail = {"ResourceRole": inject.role, "Archived": inject.archived}
        if inject.sample:
            value = json.dumps({"sample": True})
            service["AdditionalInfo"] = {"Value": value, "Type": "default"}
        return {
            "AccountId": self._outside.account,
            "Region": self._outside.region,
            "Type": inject.type,
            "Severity": float(inject.severity),
            "Title": f"[SAMPLE] {inject.type}" if inject.sample else inject.type,
            "Resource": resource,
            "Service": service,
            **({"Id": known} if known else {}),
        }

    def _forge(self, inject: FindingInject, instance: str, now: datetime) -> str:
        """An event as EventBridge delivers it, of a finding that GuardDuty does not have."""
        account, region = self._outside.account, self._outside.region
        identity = UUID(int=_number_of(inject.id, inject.type)).hex
        at = now.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        item = self._item(inject.model_copy(update={"sample": True}), instance, "")
        arn = f"arn:aws:guardduty:{region}:{account}:detector/{identity}/finding/{identity}"
        detail = {
            "schemaVersion": "2.0",
            "accountId": account,
            "region": region,
            "partition": "aws",
            "id": identity,
            "arn": arn,
            "type": inject.type,
            "severity": float(inject.severity),
            "createdAt": at,
            "updatedAt": at,
            "title": inject.type,
            "description": inject.type,
            "resource": _in_camel_case(item["Resource"]),
            "service": {
                "serviceName": "guardduty",
                "detectorId": identity,
                "resourceRole": inject.role,
                "archived": inject.archived,
                "count": 1,
                "eventFirstSeen": at,
                "eventLastSeen": at,
            },
        }
        event = {
            "version": "0",
            "id": str(UUID(hex=identity)),
            "detail-type": "GuardDuty Finding",
            "source": "aws.guardduty",
            "account": account,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": region,
            "resources": [],
            "detail": detail,
        }
        for _ in range(inject.delivered):
            self._mailbox.put(json.dumps(event))
        return identity

    # The intruder

    def _puts_groups_back(self, instance: str) -> Detail:
        ec2, put_back = self._outside.client("ec2"), []
        for eni in self._interfaces(instance):
            before = self._before.groups(eni["NetworkInterfaceId"])
            now = sorted(group["GroupId"] for group in eni["Groups"])
            if before and now != before:
                ec2.modify_network_interface_attribute(
                    NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=before
                )
                put_back.append(eni["NetworkInterfaceId"])
        return {"interfaces": put_back}

    def _attaches_interface(self, instance: str) -> Detail:
        ec2, interfaces = self._outside.client("ec2"), self._interfaces(instance)
        if not interfaces:
            return {"refused": "it has no network interface any more"}
        first = min(interfaces, key=lambda eni: eni["Attachment"]["DeviceIndex"])
        made = ec2.create_network_interface(
            SubnetId=first["SubnetId"], Groups=self._before.groups(first["NetworkInterfaceId"])
        )["NetworkInterface"]["NetworkInterfaceId"]
        taken = [eni["Attachment"]["DeviceIndex"] for eni in interfaces]
        ec2.attach_network_interface(
            NetworkInterfaceId=made, InstanceId=instance, DeviceIndex=max(taken) + 1
        )
        return {"interfaces": [made]}

    def _opens_isolation_group(self, instance: str) -> Detail:
        """Only groups that the instance was not in before: those are Clampdown's."""
        ec2, opened = self._outside.client("ec2"), set()
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        for eni in self._interfaces(instance):
            before = self._before.groups(eni["NetworkInterfaceId"])
            opened |= {group["GroupId"] for group in eni["Groups"]} - set(before)
        for group in sorted(opened):
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everything)
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everything)
        return {"groups": sorted(opened)}

    def _terminates(self, instance: str) -> Detail:
        self._outside.client("ec2").terminate_instances(InstanceIds=[instance])
        return {}

    def _interfaces(self, instance: str) -> list[Any]:
        return all_of(
            self._outside.client("ec2").describe_network_interfaces,
            "NetworkInterfaces",
            Filters=[{"Name": "attachment.instance-id", "Values": [instance]}],
        )


def own(fault: Fault) -> Fault:
    """The fault as Clampdown alone meets it: who looks from outside is spared."""
    return fault.model_copy(update={"caller": fault.caller or CALLER})


def _number_of(*texts: str) -> int:
    """A number of 120 bits that is the same every time for the same texts."""
    return int(sha256(list(texts))[:30], 16)


def _in_camel_case(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key[:1].lower() + key[1:]: _in_camel_case(item) for key, item in value.items()}
    return [_in_camel_case(item) for item in value] if isinstance(value, list) else value
