"""The one instance profile of an account that denies everything: made, made right, and unmade."""

from __future__ import annotations

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Found, Keep, Resource, Undo
from runbooks.ec2.denial import DENY_ALL, put_policy, trust_ec2
from runbooks.targets.evidence import INCIDENT_TAG
from runbooks.targets.instance import CONTAINED_PROFILE, ContainedProfile, Credentials, Ec2Instance
from runbooks.targets.reading import DENY_ALL_POLICY

# JMESPath: an association that ended stays in the answer for a while.
IN_FORCE = "(State=='associated' || State=='associating')"


def denies_everything(ours: ContainedProfile) -> bool:
    """Whether the profile holds its role, and the role may do nothing."""
    return ours.role == CONTAINED_PROFILE and ours.policies.get(DENY_ALL_POLICY) == DENY_ALL


def make_contained_profile(aws: Aws, target: Ec2Instance) -> None:
    """The account's one deny-all profile, with its role in it, whatever half of it is there.

    Its undo is that of the incident that made it, and waits for nobody to use it any more (in
    this Region: associations are regional, IAM is not). Where it goes too early all the same, an
    instance in another Region has a profile without a role, which is as contained.
    """
    ours = target.fact(Credentials).contained_profile
    iam = f"arn:{target.ref.partition}:iam::{aws.account}"
    role = Resource(f"{iam}:role/{CONTAINED_PROFILE}")
    profile = Resource(f"{iam}:instance-profile/{CONTAINED_PROFILE}")
    marks = [{"Key": key, "Value": value} for key, value in aws.incident.marks.items()]
    if not ours.role_exists:
        aws.change(
            Call(
                "iam",
                "create_role",
                RoleName=CONTAINED_PROFILE,
                AssumeRolePolicyDocument=trust_ec2(target.ref.partition),
                Description="Clampdown: may do nothing",
                Tags=marks,
            ),
            on=role,
            undo=_unmake_role(aws),
            why="make a role that may do nothing",
            accept=("EntityAlreadyExists",),
        )
    changes = []
    if ours.policies.get(DENY_ALL_POLICY) != DENY_ALL:
        call = put_policy(CONTAINED_PROFILE, DENY_ALL_POLICY, DENY_ALL)
        changes.append(
            Change(call, role, Keep("it goes with the role"), "deny the role everything")
        )
    if not ours.exists:
        changes.append(
            Change(
                Call(
                    "iam",
                    "create_instance_profile",
                    InstanceProfileName=CONTAINED_PROFILE,
                    Tags=marks,
                ),
                profile,
                _unmake_profile(aws),
                "make an instance profile for it",
                accept=("EntityAlreadyExists",),
            )
        )
    aws.change_all(changes)
    if ours.role != CONTAINED_PROFILE:
        _put_role_in(aws, ours, profile)


def _put_role_in(aws: Aws, ours: ContainedProfile, profile: Resource) -> None:
    def call(operation: str, role: str) -> Call:
        return Call("iam", operation, InstanceProfileName=CONTAINED_PROFILE, RoleName=role)

    if ours.role:
        aws.change(
            call("remove_role_from_instance_profile", ours.role),
            on=profile,
            undo=Keep("the profile is there to hold a role that may do nothing"),
            why=f"take {ours.role} out of {CONTAINED_PROFILE}",
            accept=("NoSuchEntity",),
        )
    aws.change(
        call("add_role_to_instance_profile", CONTAINED_PROFILE),
        on=profile,
        undo=Keep("it goes with the profile"),
        why="put the role into the profile",
        # The quota is one role: another incident has put it there just now.
        accept=("LimitExceeded",),
    )


def _unmake_profile(aws: Aws) -> tuple[Undo, ...]:
    """Delete the profile, if this incident made it and no instance of the Region has it."""
    by = Call("iam", "get_instance_profile", InstanceProfileName=CONTAINED_PROFILE)
    marked = _marked(aws)
    ours = f"ends_with(IamInstanceProfile.Arn, '/{CONTAINED_PROFILE}')"
    used = f"IamInstanceProfileAssociations[?{IN_FORCE} && {ours}]"
    associations = Call("ec2", "describe_iam_instance_profile_associations")
    return (
        Undo(
            Call(
                "iam",
                "remove_role_from_instance_profile",
                InstanceProfileName=Found(
                    associations, f"(!({used}) && '{CONTAINED_PROFILE}') || `null`"
                ),
                RoleName=Found(by, f"InstanceProfile | ({marked} && Roles[].RoleName) || `null`"),
            ),
            unless=("NoSuchEntity",),
        ),
        Undo(
            Call(
                "iam",
                "delete_instance_profile",
                InstanceProfileName=Found(
                    by, f"InstanceProfile | ({marked} && !Roles && InstanceProfileName) || `null`"
                ),
            ),
            unless=("DeleteConflict", "NoSuchEntity"),
        ),
    )


def _unmake_role(aws: Aws) -> tuple[Undo, ...]:
    """Delete the role, if this incident made it and the profile is gone."""
    marked = Found(
        Call("iam", "get_role", RoleName=CONTAINED_PROFILE),
        f"Role | ({_marked(aws)} && RoleName) || `null`",
    )
    no_profile = Found(
        Call("iam", "get_instance_profile", InstanceProfileName=CONTAINED_PROFILE),
        f"(!InstanceProfile && '{DENY_ALL_POLICY}') || `null`",
    )
    return (
        Undo(
            Call("iam", "delete_role_policy", RoleName=marked, PolicyName=no_profile),
            unless=("NoSuchEntity",),
        ),
        Undo(
            Call("iam", "delete_role", RoleName=marked),
            unless=("DeleteConflict", "NoSuchEntity"),
        ),
    )


def _marked(aws: Aws) -> str:
    return f"Tags[?Key=='{INCIDENT_TAG}' && Value=='{aws.incident.id}']"
