"""Security groups: what is in them, what is taken out, and how much there may be."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.verdicts import Verdicts, check

_UNKNOWN = "sg-00000000000000000"
_EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@check("ec2", "security groups")
def _groups(account: Account, seen: Verdicts) -> None:
    ec2, vpc = account("ec2"), account.ids.vpc
    tagged = {
        "ResourceType": "security-group",
        "Tags": [{"Key": "case", "Value": "1"}],
    }
    made = _made(account, "q1", TagSpecifications=[tagged])
    group = _described(ec2, made)
    seen.holds(
        "a new group lets nothing in, and out everything",
        group["IpPermissions"] == [] and len(group["IpPermissionsEgress"]) == 1,
        group,
    )
    seen.holds(
        "a group is tagged as it is made", group.get("Tags") == tagged["Tags"], group.get("Tags")
    )
    seen.refused(
        "a second group of a name in a VPC", "InvalidGroup.Duplicate", lambda: _made(account, "q1")
    )
    found = ec2.describe_security_groups(
        Filters=[{"Name": "tag:case", "Values": ["1"]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    seen.holds("groups are found by tag and VPC", len(found) == 1, len(found))
    seen.refused(
        "an unknown group",
        "InvalidGroup.NotFound",
        lambda: ec2.describe_security_groups(GroupIds=[_UNKNOWN]),
    )
    seen.refused(
        "a filter of an unknown name",
        "InvalidParameterValue",
        lambda: ec2.describe_security_groups(Filters=[{"Name": "no-such-filter", "Values": ["x"]}]),
    )


@check("ec2", "the default security group")
def _default(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    [group] = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
        "SecurityGroups"
    ]
    seen.holds("a new VPC has one", group["GroupName"] == "default", group)
    # VPC User Guide, "Default security groups for your VPCs".
    let_in = [
        pair["GroupId"]
        for permission in group["IpPermissions"]
        for pair in permission["UserIdGroupPairs"]
    ]
    seen.holds(
        "it lets in what comes from itself, and nothing else",
        let_in == [group["GroupId"]] and len(group["IpPermissions"]) == 1,
        group["IpPermissions"],
    )
    [out] = group["IpPermissionsEgress"]
    seen.holds(
        "it lets out everything",
        (out["IpProtocol"], out["IpRanges"]) == ("-1", [{"CidrIp": "0.0.0.0/0"}]),
        out,
    )


@check("ec2", "rules of security groups")
def _rules(account: Account, seen: Verdicts) -> None:
    ec2, web = account("ec2"), account.ids.web_group
    group = _made(account, "q2")
    answer = ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_EVERYTHING])
    left = _described(ec2, group)["IpPermissionsEgress"]
    seen.holds("a revoked rule is gone", left == [], left)
    revoked = answer.get("RevokedSecurityGroupRules", [])
    seen.holds("the answer names the rules that were revoked", len(revoked) == 1, answer)
    seen.refused(
        "to revoke a rule that isn't there",
        "InvalidPermission.NotFound",
        lambda: ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_EVERYTHING]),
    )
    rules = _rules_of(ec2, web)
    seen.holds(
        "rules are listed, each with an id",
        len(rules) == 2 and all(rule["SecurityGroupRuleId"].startswith("sgr-") for rule in rules),
        rules,
    )
    [let_in] = [rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]]
    changed = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "CidrIpv4": "0.0.0.0/0",
        "Description": "x",
    }
    seen.done(
        "a rule is modified",
        lambda: ec2.modify_security_group_rules(
            GroupId=web,
            SecurityGroupRules=[{"SecurityGroupRuleId": let_in, "SecurityGroupRule": changed}],
        ),
    )
    other = _made(account, "q3")
    [rule] = _rules_of(ec2, other)
    seen.done(
        "a rule is revoked by its id",
        lambda: ec2.revoke_security_group_egress(
            GroupId=other, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
        ),
    )
    left = _described(ec2, other)["IpPermissionsEgress"]
    seen.holds("then it is gone", left == [], left)


@check("ec2", "security groups that refer to each other")
def _references(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    source, group = _made(account, "ra"), _made(account, "rb")
    from_source = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "UserIdGroupPairs": [{"GroupId": source, "Description": "forensics"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[from_source])
    [pair] = _described(ec2, group)["IpPermissions"][0]["UserIdGroupPairs"]
    seen.holds(
        "a rule names the group that it lets in, and its account",
        (pair["GroupId"], pair.get("UserId")) == (source, ACCOUNT_ID),
        pair,
    )
    seen.refused(
        "a rule that is there",
        "InvalidPermission.Duplicate",
        lambda: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[from_source]),
    )
    seen.refused(
        "to delete a group that another's rule names",
        "DependencyViolation",
        lambda: ec2.delete_security_group(GroupId=source),
    )
    used = _made(account, "inuse")
    ec2.create_network_interface(SubnetId=account.ids.subnets[0], Groups=[used])
    seen.refused(
        "to delete a group of an interface",
        "DependencyViolation",
        lambda: ec2.delete_security_group(GroupId=used),
    )


@check("ec2", "how many security groups, and of which VPC")
def _limits(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    group = _made(account, "rb")
    ranges = [{"CidrIp": f"10.9.{number}.0/24"} for number in range(70)]
    # "Inbound or outbound rules per security group: 60" (Amazon VPC quotas).
    seen.refused(
        "more than 60 rules in a group",
        "RulesPerSecurityGroupLimitExceeded",
        lambda: ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": ranges}],
        ),
    )
    interface = ec2.create_network_interface(SubnetId=account.ids.subnets[0])["NetworkInterface"][
        "NetworkInterfaceId"
    ]

    def put_on(*groups: str) -> None:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=list(groups))

    many = [_made(account, f"many{number}") for number in range(7)]
    # "Security groups per network interface: 5" (Amazon VPC quotas).
    seen.refused(
        "more than 5 groups on an interface",
        "SecurityGroupsPerInterfaceLimitExceeded",
        lambda: put_on(*many),
    )
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    foreign = _made(account, "o", VpcId=vpc)
    seen.refused(
        "a group of another VPC on an interface", "InvalidGroup.NotFound", lambda: put_on(foreign)
    )
    seen.refused(
        "an unknown group on an interface", "InvalidGroup.NotFound", lambda: put_on(_UNKNOWN)
    )


def _made(account: Account, name: str, **more: Any) -> str:
    wanted = {"GroupName": name, "Description": "q", "VpcId": account.ids.vpc, **more}
    group: str = account("ec2").create_security_group(**wanted)["GroupId"]
    return group


def _described(ec2: Any, group: str) -> Any:
    return ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]


def _rules_of(ec2: Any, group: str) -> Any:
    return ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])[
        "SecurityGroupRules"
    ]
