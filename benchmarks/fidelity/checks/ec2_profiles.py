"""Instance profiles of EC2 instances."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account, trusted
from benchmarks.fidelity.verdicts import Verdicts, check


@check("ec2", "associations of instance profiles")
def _profiles(account: Account, seen: Verdicts) -> None:
    ec2, iam, victim = account("ec2"), account("iam"), account.ids.victim

    def associations() -> Any:
        return ec2.describe_iam_instance_profile_associations(
            Filters=[{"Name": "instance-id", "Values": [victim]}]
        )["IamInstanceProfileAssociations"]

    launched = associations()
    seen.holds(
        "an instance launched with a profile has an association",
        [item["State"] for item in launched] == ["associated"],
        launched,
    )
    first = launched[0]["AssociationId"]
    answer = ec2.disassociate_iam_instance_profile(AssociationId=first)
    state = answer["IamInstanceProfileAssociation"]["State"]
    seen.holds(
        "DisassociateIamInstanceProfile answers disassociating", state == "disassociating", state
    )
    seen.holds("an association that is ended is gone", associations() == [], associations())
    seen.holds(
        "the instance shows no profile any more",
        not account.instance(victim).get("IamInstanceProfile"),
        account.instance(victim).get("IamInstanceProfile"),
    )
    seen.refused(
        "ending an association twice",
        "InvalidAssociationID.NotFound",
        lambda: ec2.disassociate_iam_instance_profile(AssociationId=first),
    )
    profile = {"Name": "app-prof"}
    ec2.associate_iam_instance_profile(IamInstanceProfile=profile, InstanceId=victim)
    seen.refused(
        "a second profile for an instance",
        "IncorrectState",
        lambda: ec2.associate_iam_instance_profile(IamInstanceProfile=profile, InstanceId=victim),
    )
    iam.create_role(RoleName="denied", AssumeRolePolicyDocument=trusted("ec2.amazonaws.com"))
    iam.create_instance_profile(InstanceProfileName="denied")
    iam.add_role_to_instance_profile(InstanceProfileName="denied", RoleName="denied")
    seen.done(
        "a profile is replaced by another",
        lambda: ec2.replace_iam_instance_profile_association(
            AssociationId=associations()[0]["AssociationId"], IamInstanceProfile={"Name": "denied"}
        ),
    )
    seen.holds(
        "the instance shows the other profile",
        account.instance(victim)["IamInstanceProfile"]["Arn"].endswith("/denied"),
        account.instance(victim)["IamInstanceProfile"],
    )
