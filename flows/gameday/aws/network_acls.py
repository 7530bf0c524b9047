"""EC2 network ACLs: entries by number and direction, and how many there may be."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import ec2_error

# "Rules per network ACL: 20", of each direction, the last one not counted (Amazon VPC quotas).
ENTRIES = 20
_LAST = 32767


def correct() -> None:
    """Have every ACL end in a deny, and unknown entries and associations be errors."""
    from moto.ec2.models import EC2Backend

    create = EC2Backend.create_network_acl

    def create_network_acl(self: Any, vpc_id: str, tags: Any = None, default: bool = False) -> Any:
        acl = create(self, vpc_id, tags, default)
        if not default:
            # "Each network ACL also includes a rule whose rule number is an asterisk", which
            # denies (VPC User Guide); a new one has nothing else.
            for egress in (False, True):
                _entry(self, acl.id, _LAST, "deny", egress)
        return acl

    EC2Backend.create_network_acl = create_network_acl

    add = EC2Backend.create_network_acl_entry

    def create_network_acl_entry(
        self: Any, network_acl_id: str, rule_number: int, *rest: Any, **named: Any
    ) -> Any:
        acl = self.get_network_acl(network_acl_id)
        if rule_number != _LAST and not 1 <= int(rule_number) < _LAST:
            # "Constraints: Positive integer from 1 to 32766" (CreateNetworkAclEntry).
            raise ec2_error(
                "InvalidParameterValue",
                f"Value ({rule_number}) for parameter ruleNumber is invalid.",
            )
        egress = named["egress"] if "egress" in named else rest[2]
        same_way = [
            entry
            for entry in acl.network_acl_entries
            if entry.egress == egress and entry.rule_number != _LAST
        ]
        if rule_number != _LAST and len(same_way) >= ENTRIES:
            raise ec2_error(
                "NetworkAclEntryLimitExceeded",
                f"The maximum number of network ACL entries of '{network_acl_id}' is reached.",
            )
        return add(self, network_acl_id, rule_number, *rest, **named)

    EC2Backend.create_network_acl_entry = create_network_acl_entry

    delete = EC2Backend.delete_network_acl_entry

    def delete_network_acl_entry(
        self: Any, network_acl_id: str, rule_number: int, egress: bool
    ) -> Any:
        acl = self.get_network_acl(network_acl_id)
        if not any(
            entry.egress == egress and entry.rule_number == rule_number
            for entry in acl.network_acl_entries
        ):
            raise ec2_error(
                "InvalidNetworkAclEntry.NotFound",
                f"The network acl entry identified by {rule_number} does not exist.",
            )
        return delete(self, network_acl_id, rule_number, egress)

    EC2Backend.delete_network_acl_entry = delete_network_acl_entry

    replace = EC2Backend.replace_network_acl_association

    def replace_network_acl_association(self: Any, association_id: str, network_acl_id: str) -> Any:
        self.get_network_acl(network_acl_id)
        if not any(association_id in acl._associations for acl in self.network_acls.values()):
            raise ec2_error(
                "InvalidAssociationID.NotFound",
                f"The association ID '{association_id}' does not exist",
            )
        return replace(self, association_id, network_acl_id)

    EC2Backend.replace_network_acl_association = replace_network_acl_association

    describe = EC2Backend.describe_network_acls

    def describe_network_acls(self: Any, network_acl_ids: Any = None, filters: Any = None) -> Any:
        for network_acl_id in network_acl_ids or []:
            self.get_network_acl(network_acl_id)
        return describe(self, network_acl_ids, filters)

    EC2Backend.describe_network_acls = describe_network_acls
    _types_of_icmp()


def _types_of_icmp() -> None:
    """Have an entry for ICMP keep its type and code (CreateNetworkAclEntry, IcmpTypeCode)."""
    from moto.ec2.responses.network_acls import NetworkACLs

    def keeping(change: Any) -> Any:
        def changed(self: Any) -> Any:
            answer = change(self)
            given = self._get_param("IcmpTypeCode") or {}
            way = self._get_param("RuleNumber"), self._get_param("Egress")
            acl = self.ec2_backend.get_network_acl(self._get_param("NetworkAclId"))
            for entry in acl.network_acl_entries:
                if (entry.rule_number, entry.egress) == way:
                    entry.icmp_type, entry.icmp_code = given.get("Type"), given.get("Code")
            return answer

        return changed

    NetworkACLs.create_network_acl_entry = keeping(NetworkACLs.create_network_acl_entry)
    NetworkACLs.replace_network_acl_entry = keeping(NetworkACLs.replace_network_acl_entry)


def _entry(backend: Any, acl: str, number: int, action: str, egress: bool) -> None:
    backend.create_network_acl_entry(
        network_acl_id=acl,
        rule_number=number,
        protocol="-1",
        rule_action=action,
        egress=egress,
        cidr_block="0.0.0.0/0",
        icmp_code=None,
        icmp_type=None,
        port_range_from=None,
        port_range_to=None,
        ipv6_cidr_block=None,
    )
