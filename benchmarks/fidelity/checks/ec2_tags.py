"""Tags of EC2's resources."""

from __future__ import annotations

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check


@check("ec2", "tags")
def _tags(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim
    ec2.create_tags(Resources=[victim], Tags=[_tag("ir:case", "c1")])
    seen.holds("a tag is seen at once", _tag("ir:case", "c1") in account.instance(victim)["Tags"])
    found = ec2.describe_instances(Filters=[{"Name": "tag:ir:case", "Values": ["c1"]}])
    seen.holds("instances are found by tag", len(found["Reservations"]) == 1)
    seen.refused(
        "a tag on an unknown instance",
        "InvalidInstanceID.NotFound",
        lambda: ec2.create_tags(Resources=["i-00000000000000000"], Tags=[_tag("a", "b")]),
    )
    seen.refused(
        "a key that begins with aws:",
        "InvalidParameterValue",
        lambda: ec2.create_tags(Resources=[victim], Tags=[_tag("aws:x", "b")]),
    )
    # "Maximum value length: 256 Unicode characters" (EC2 User Guide, "Tag restrictions").
    seen.refused(
        "a value of more than 256 characters",
        "InvalidParameterValue",
        lambda: ec2.create_tags(Resources=[victim], Tags=[_tag("a", "b" * 257)]),
    )
    seen.refused(
        "51 tags",
        "TagLimitExceeded",
        lambda: ec2.create_tags(
            Resources=[victim], Tags=[_tag(f"k{number}", "b") for number in range(51)]
        ),
    )
    ec2.delete_tags(Resources=[victim], Tags=[{"Key": "ir:case"}])
    seen.holds(
        "a tag is deleted by its key",
        all(tag["Key"] != "ir:case" for tag in account.instance(victim)["Tags"]),
    )


def _tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value}
