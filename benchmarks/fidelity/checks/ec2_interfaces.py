"""Network interfaces: whose security groups are whose, and how interfaces are found."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account
from benchmarks.fidelity.verdicts import Verdicts, check


@check("ec2", "security groups of an instance")
def _of_instance(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids

    def put_on(instance: str, group: str) -> None:
        ec2.modify_instance_attribute(InstanceId=instance, Groups=[group])

    one = account.launch(second_interface=False)
    put_on(one, ids.web_group)
    instance = account.instance(one)
    groups = _ids(instance["SecurityGroups"])
    seen.holds("an instance's groups are replaced", groups == [ids.web_group], groups)
    [interface] = instance["NetworkInterfaces"]
    groups = _ids(interface["Groups"])
    seen.holds("so are those of its interface", groups == [ids.web_group], groups)
    [described] = ec2.describe_network_interfaces(
        NetworkInterfaceIds=[interface["NetworkInterfaceId"]]
    )["NetworkInterfaces"]
    groups = _ids(described["Groups"])
    seen.holds("DescribeNetworkInterfaces says the same", groups == [ids.web_group], groups)
    seen.refused(
        "to replace the groups of an instance with several interfaces",
        "InvalidInstanceID",
        lambda: put_on(ids.victim, ids.web_group),
    )
    seen.refused(
        "an unknown group on an instance",
        "InvalidGroup.NotFound",
        lambda: put_on(one, "sg-00000000000000000"),
    )


@check("ec2", "security groups of every interface")
def _of_interfaces(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    for interface in account.instance(ids.victim)["NetworkInterfaces"]:
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[ids.web_group]
        )
    instance = account.instance(ids.victim)
    groups = [_ids(interface["Groups"]) for interface in instance["NetworkInterfaces"]]
    seen.holds("every interface has the groups put on it", groups == [[ids.web_group]] * 2, groups)
    groups = _ids(instance["SecurityGroups"])
    seen.holds(
        "the instance's groups are those of its primary interface",
        groups == [ids.web_group],
        groups,
    )
    answer = seen.done(
        "DescribeInstanceAttribute knows groupSet",
        lambda: ec2.describe_instance_attribute(InstanceId=ids.victim, Attribute="groupSet"),
    )
    groups = _ids((answer or {}).get("Groups", []))
    seen.holds("groupSet says the same", groups == [ids.web_group], groups)
    second = next(
        interface
        for interface in instance["NetworkInterfaces"]
        if interface["Attachment"]["DeviceIndex"] == 1
    )
    deleted = {
        "AttachmentId": second["Attachment"]["AttachmentId"],
        "DeleteOnTermination": True,
    }
    for rule, attribute in {
        "an interface is deleted with its instance": {"Attachment": deleted},
        "an interface gets another description": {"Description": {"Value": "q"}},
    }.items():
        seen.done(
            rule,
            lambda attribute=attribute: ec2.modify_network_interface_attribute(
                NetworkInterfaceId=second["NetworkInterfaceId"], **attribute
            ),
        )


@check("ec2", "how network interfaces are found")
def _found(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    primary = account.instance(ids.victim)["NetworkInterfaces"][0]
    address = primary["PrivateIpAddress"]
    # How many there are, or None where the account holds more of them.
    for name, value, count in (
        ("attachment.instance-id", ids.victim, 2),
        ("group-id", ids.app_group, None),
        ("private-ip-address", address, 1),
        ("addresses.private-ip-address", address, 1),
        ("subnet-id", ids.subnets[0], None),
        ("vpc-id", ids.vpc, None),
        ("status", "in-use", None),
        ("network-interface-id", primary["NetworkInterfaceId"], 1),
        ("attachment.device-index", "1", None),
        ("attachment.status", "attached", None),
        ("mac-address", primary.get("MacAddress", ""), 1),
        ("availability-zone", f"{REGION}a", None),
        ("interface-type", "interface", None),
        ("description", "", None),
        ("requester-managed", "false", None),
        ("owner-id", ACCOUNT_ID, None),
    ):
        filters = [{"Name": name, "Values": [value]}]
        answer = seen.done(
            f"there is a filter {name}",
            lambda filters=filters: ec2.describe_network_interfaces(Filters=filters),
        )
        found = len((answer or {}).get("NetworkInterfaces", []))
        seen.holds(
            f"{name} finds {'some' if count is None else count}",
            found > 0 if count is None else found == count,
            found,
        )


def _ids(groups: Any) -> list[str]:
    return [group["GroupId"] for group in groups]
