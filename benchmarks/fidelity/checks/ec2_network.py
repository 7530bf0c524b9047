"""Network ACLs, with which a subnet is cut off."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check


@check("ec2", "network ACLs as a quarantine")
def _quarantine(account: Account, seen: Verdicts) -> None:
    ec2, subnet = account("ec2"), account.ids.subnets[1]
    made = ec2.create_network_acl(VpcId=account.ids.vpc)["NetworkAcl"]
    acl = made["NetworkAclId"]
    denied = [entry["RuleAction"] for entry in made["Entries"]]
    seen.holds("a new ACL denies everything both ways", denied == ["deny", "deny"], denied)

    def deny(*, egress: bool) -> Any:
        return ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=1,
            Protocol="-1",
            RuleAction="deny",
            Egress=egress,
            CidrBlock="0.0.0.0/0",
        )

    def current() -> Any:
        return ec2.describe_network_acls(
            Filters=[{"Name": "association.subnet-id", "Values": [subnet]}]
        )["NetworkAcls"]

    for egress in (True, False):
        deny(egress=egress)
    seen.refused(
        "two entries of one number", "NetworkAclEntryAlreadyExists", lambda: deny(egress=True)
    )
    before = current()
    seen.holds("a subnet has one ACL", len(before) == 1, len(before))
    [old] = [
        association["NetworkAclAssociationId"]
        for association in before[0]["Associations"]
        if association["SubnetId"] == subnet
    ]
    new = ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl)[
        "NewAssociationId"
    ]
    now = [item["NetworkAclId"] for item in current()]
    seen.holds("a subnet's ACL is replaced by another", now == [acl], now)
    seen.refused(
        "replacing an association that has been replaced",
        "InvalidAssociationID.NotFound",
        lambda: ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl),
    )
    seen.refused(
        "deleting an ACL in use",
        "DependencyViolation",
        lambda: ec2.delete_network_acl(NetworkAclId=acl),
    )
    ec2.replace_network_acl_association(AssociationId=new, NetworkAclId=before[0]["NetworkAclId"])
    seen.done(
        "an entry is replaced",
        lambda: ec2.replace_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=1,
            Protocol="-1",
            RuleAction="allow",
            Egress=True,
            CidrBlock="0.0.0.0/0",
        ),
    )
    seen.done("an ACL without subnets is deleted", lambda: ec2.delete_network_acl(NetworkAclId=acl))
