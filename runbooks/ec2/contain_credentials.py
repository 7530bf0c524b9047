"""``ec2.contain_credentials``: make the AWS credentials of an instance worthless."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal

from runbooks.aws import Aws
from runbooks.calls import Call, Found, Undo
from runbooks.ec2.contained_profile import IN_FORCE, denies_everything, make_contained_profile
from runbooks.ec2.denial import (
    instance_denial,
    is_revocation,
    put_policy,
    revocation,
    statement_id,
)
from runbooks.errors import AwsRefused, NotContained, ProtectedResource
from runbooks.step import Permissions, Step, StepParams
from runbooks.targets.instance import (
    CONTAINED_PROFILE,
    FORMER_PROFILE_TAG,
    Credentials,
    Ec2Instance,
    Role,
)
from runbooks.targets.reading import ROLE_POLICY, instance_policy

_TAGS_A_RESOURCE = 50
_QUOTA = "IAM's quota of 10,240 characters for the inline policies of a role"
# EC2 API Reference, "Error codes".
_NOT_RUNNING = ("IncorrectInstanceState", "IncorrectState")
_NO_INSTANCE = "InvalidInstanceID.NotFound"
_NO_ASSOCIATION = ("InvalidAssociationID.NotFound", "NoSuchAssociation")


# "Changes … might take several seconds to become visible" (IAM User Guide, "Changes that I make are
# not always immediately visible"); 3 to 4 s have been measured for denials.
PROPAGATION = timedelta(seconds=10)


class CredentialContainment(StepParams):
    """How credentials are contained.

    ``profile``: whether the instance profile is replaced by one that may do nothing.
    ``disable_imds``: switch the instance metadata service, which hands credentials out, off.
    ``scope``: whose sessions are denied; ``role`` denies every session of the role that was issued
    until now, also those of healthy instances and of everybody else, besides the instance's own.
    """

    profile: Literal["replace", "keep"] = "replace"
    disable_imds: bool = False
    scope: Literal["instance", "role"] = "instance"


class ContainCredentials(Step[Ec2Instance, CredentialContainment]):
    """Take the instance's profile away, then deny the sessions that it still holds.

    Credentials that were issued live on for up to six hours, whatever becomes of the profile. So
    first their source goes: the profile is replaced by one that denies everything (or, on an
    instance that isn't running, taken away, because ReplaceIamInstanceProfileAssociation takes
    running ones only), or the metadata service is switched off. Then an inline policy of the role
    denies the sessions of this instance, by ``ec2:SourceInstanceARN`` and by ``aws:userid``. There
    is no time in it: a session that begins between the two, or while IAM spreads the policy, which
    takes seconds to minutes, is denied like those before.

    ``scope: role`` adds the policy with which the IAM console revokes sessions (IAM User Guide,
    "Revoke IAM role temporary security credentials"): a denial by ``aws:TokenIssueTime``, in UTC.
    Its time is ten seconds after the call: what is issued while IAM takes the policy everywhere is
    denied as well. One that an earlier incident left gets the new time, and its own
    back with the undo.

    An instance tag keeps the name of the profile that was taken away, because nothing in EC2 tells
    it afterwards. Whoever is on the instance sees the new profile in the metadata anyway.

    Not ended, and said in the plan: sessions got in other roles with these credentials, and with
    ``scope: role`` those that begin after the call. The role with which Clampdown itself acts is
    never denied; roles through which it got there are for ``guardrails.protected`` to name.
    """

    name = "ec2.contain_credentials"
    facts = (Credentials,)
    permissions = Permissions(
        read=("ec2:DescribeInstances", "iam:ListInstanceProfilesForRole"),
        change=(
            "ec2:AssociateIamInstanceProfile",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:DisassociateIamInstanceProfile",
            "ec2:ModifyInstanceMetadataOptions",
            "ec2:ReplaceIamInstanceProfileAssociation",
            "iam:AddRoleToInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:CreateRole",
            "iam:DeleteInstanceProfile",
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:PassRole",
            "iam:PutRolePolicy",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:TagInstanceProfile",
            "iam:TagRole",
        ),
    )
    Params = CredentialContainment
    disruptive = True

    def contain(
        self, aws: Aws, target: Ec2Instance, params: CredentialContainment
    ) -> Mapping[str, Any]:
        credentials = target.fact(Credentials)
        _refuse_own_role(target, params)
        _warn(aws, target)
        if params.disable_imds:
            _switch_metadata_off(aws, target)
        if params.profile == "replace" and credentials.profile_name:
            aws.once(
                ("contained profile", aws.account), lambda: make_contained_profile(aws, target)
            )
            _take_profile_away(aws, target, credentials)
        role = credentials.role
        if role and not role.of_aws:
            _deny_instance(aws, target, role)
            if params.scope == "role":
                aws.once(
                    ("revoked", role.resource.arn), lambda: _revoke_sessions(aws, target, role)
                )
                _warn_of_others(aws, target, role)
        return {"role": role.name if role else ""}

    def verify(self, aws: Aws, target: Ec2Instance, params: CredentialContainment) -> None:
        credentials = target.fact(Credentials)
        lacking = [
            *_source_left(target, credentials, params),
            *(_sessions_left(target, credentials.role, params) if credentials.role else []),
        ]
        if lacking:
            raise NotContained(f"{target.id}: {'; '.join(lacking)}.")


# The source of credentials


def _switch_metadata_off(aws: Aws, target: Ec2Instance) -> None:
    if target.metadata_endpoint == "disabled":
        return

    def modify(endpoint: str) -> Call:
        return Call(
            "ec2",
            "modify_instance_metadata_options",
            InstanceId=target.id,
            HttpEndpoint=endpoint,
        )

    aws.change(
        modify("disabled"),
        on=target.resource,
        undo=Undo(modify(target.metadata_endpoint), unless=(_NO_INSTANCE,)),
        why="switch the instance metadata service off",
    )


def _take_profile_away(aws: Aws, target: Ec2Instance, credentials: Credentials) -> None:
    name = credentials.profile_name
    if name is None or credentials.contained:
        return
    if credentials.association_id is None:
        raise NotContained(
            f"{target.id} has the profile {name}, and EC2 shows no association that could be "
            "replaced.",
            advice="Was it launched a moment ago? `clampdown resume` looks again.",
        )
    _remember(aws, target, name)
    if target.state == "running":
        operation = "replace_iam_instance_profile_association"
        by_ours: dict[str, Any] = {"IamInstanceProfile": {"Name": CONTAINED_PROFILE}}
    else:
        operation, by_ours = "disassociate_iam_instance_profile", {}
    aws.change(
        Call("ec2", operation, AssociationId=credentials.association_id, **by_ours),
        on=target.resource,
        undo=_give_profile_back(target, name),
        why=f"replace the profile {name} by {CONTAINED_PROFILE}"
        if by_ours
        else f"take the profile {name} away from the {target.state} instance",
    )


def _give_profile_back(target: Ec2Instance, name: str) -> tuple[Undo, ...]:
    """Put the profile in the place of whichever the instance has, or where it has none.

    A replacement is refused for an instance that was stopped meanwhile: then one after the other.
    """
    by = Call(
        "ec2",
        "describe_iam_instance_profile_associations",
        Filters=[{"Name": "instance-id", "Values": [target.id]}],
    )
    in_force = f"IamInstanceProfileAssociations[?{IN_FORCE}]"
    other = Found(
        by, f"{in_force} | [?!ends_with(IamInstanceProfile.Arn, '/{name}')].AssociationId"
    )
    without = Found(by, f"(!({in_force}) && '{target.id}') || `null`")
    profile = {"Name": name}
    return (
        Undo(
            Call(
                "ec2",
                "replace_iam_instance_profile_association",
                AssociationId=other,
                IamInstanceProfile=profile,
            ),
            unless=(*_NOT_RUNNING, *_NO_ASSOCIATION, _NO_INSTANCE),
        ),
        Undo(
            Call("ec2", "disassociate_iam_instance_profile", AssociationId=other),
            unless=(*_NO_ASSOCIATION, _NO_INSTANCE),
        ),
        Undo(
            Call(
                "ec2",
                "associate_iam_instance_profile",
                InstanceId=without,
                IamInstanceProfile=profile,
            ),
            unless=(_NO_INSTANCE,),
        ),
    )


def _remember(aws: Aws, target: Ec2Instance, name: str) -> None:
    """Tag the instance with its profile, so that its role is found after the profile is gone."""
    before = target.tags.get(FORMER_PROFILE_TAG)
    if before == name:
        return
    own = {key for key in target.tags if not key.startswith("aws:")}
    if before is None and len(own) >= _TAGS_A_RESOURCE:
        aws.warn(
            f"{target.id} has all {_TAGS_A_RESOURCE} tags that AWS allows, so its profile {name} "
            "can't be noted on it: after an interruption, and in a verification, its role is not "
            "looked at."
        )
        return

    def tag(operation: str, value: str) -> Call:
        tags = [{"Key": FORMER_PROFILE_TAG, "Value": value}]
        return Call("ec2", operation, Resources=[target.id], Tags=tags)

    aws.change(
        tag("create_tags", name),
        on=target.resource,
        undo=Undo(
            tag("create_tags", before) if before is not None else tag("delete_tags", name),
            unless=(_NO_INSTANCE,),
        ),
        why=f"note on the instance that its profile is {name}",
    )


# The sessions that were issued


def _deny_instance(aws: Aws, target: Ec2Instance, role: Role) -> None:
    name, wanted = instance_policy(target.id), instance_denial(target, role)
    before = role.inline_policies.get(name)
    if before == wanted:
        return
    undo = (
        put_policy(role.name, name, before)
        if before
        else Call("iam", "delete_role_policy", RoleName=role.name, PolicyName=name)
    )
    _put_on_role(
        aws,
        target,
        role,
        put_policy(role.name, name, wanted),
        undo=Undo(undo, unless=("NoSuchEntity",)),
        why=f"deny {role.name}'s sessions of {target.id}, and nobody else's",
    )


def _revoke_sessions(aws: Aws, target: Ec2Instance, role: Role) -> None:
    before = role.inline_policies.get(ROLE_POLICY)
    sid = statement_id(aws.incident.id)
    if is_revocation(before, sid):
        return
    # A later incident may have put a later time there, which then is its own to take back.
    still_ours = Found(
        Call("iam", "get_role_policy", RoleName=role.name, PolicyName=ROLE_POLICY),
        f"(PolicyDocument.Statement[?Sid=='{sid}'] && PolicyName) || `null`",
    )
    call = (
        Call(
            "iam",
            "put_role_policy",
            RoleName=role.name,
            PolicyName=still_ours,
            PolicyDocument=before,
        )
        if before
        else Call("iam", "delete_role_policy", RoleName=role.name, PolicyName=still_ours)
    )
    _put_on_role(
        aws,
        target,
        role,
        put_policy(role.name, ROLE_POLICY, revocation(sid, aws.moment(after=PROPAGATION))),
        undo=Undo(call, unless=("NoSuchEntity",)),
        why=f"deny every session of {role.name} that was issued until now",
    )


def _put_on_role(
    aws: Aws, target: Ec2Instance, role: Role, call: Call, *, undo: Undo, why: str
) -> None:
    try:
        aws.change(call, on=role.resource, undo=undo, why=why)
    except AwsRefused as refusal:
        if refusal.code != "LimitExceeded":
            raise
        raise AwsRefused(
            f"{target.id}: {role.name} has no room for another policy ({_QUOTA}). What was done "
            f"before stays, and the sessions that were issued are not denied: {refusal.what}",
            code=refusal.code,
            advice=f"Move an inline policy of {role.name} into a managed one, then "
            "`clampdown resume`.",
        ) from refusal


def _refuse_own_role(target: Ec2Instance, params: CredentialContainment) -> None:
    credentials = target.fact(Credentials)
    role = credentials.role
    if role is None:
        return
    own_role = credentials.caller.startswith(f"{role.id}:")
    if credentials.caller == f"{role.id}:{target.id}" or (own_role and params.scope == "role"):
        raise ProtectedResource(
            f"{role.resource.arn} is the role with which Clampdown acts here; denied its sessions, "
            f"it could contain nothing more. The credentials of {target.id} were left alone.",
            advice="Run Clampdown from elsewhere, or use `scope: instance`.",
        )


# What the plan says


def _warn(aws: Aws, target: Ec2Instance) -> None:
    credentials = target.fact(Credentials)
    role = credentials.role
    if credentials.profile_name is None and role is None:
        return
    if role is None:
        aws.warn(
            f"{target.id}: no role is known behind {credentials.profile_name}, so sessions that "
            "were issued are not denied. They live for up to six hours: CloudTrail shows them "
            f"under the session name {target.id}."
        )
        return
    if role.of_aws:
        aws.warn(
            f"{role.resource.arn} belongs to AWS, which refuses changes to it: its sessions are not "
            "denied. Change a role of IAM Identity Center through its permission set."
        )
        return
    aws.warn(
        f"{target.id} loses every permission at AWS, and with them the SSM agent: memory can't be "
        "captured through it any more."
    )
    aws.warn(
        f"Sessions that were got with these credentials in other roles or accounts go on: look for "
        f"AssumeRole by {role.id}:{target.id} in CloudTrail, and contain each."
    )


def _warn_of_others(aws: Aws, target: Ec2Instance, role: Role) -> None:
    """Who else is hit when all sessions of a role are revoked."""
    others = list(_other_instances(aws, target, role))
    aws.warn(
        f"Every session of {role.name} that was issued until now is denied, whoever holds it. "
        f"Other instances with this role in {aws.region}: {', '.join(others) or 'none'}. They get "
        "the same revoked credentials from their metadata service for up to six hours, unless "
        "their profile is associated anew, or they are stopped and started."
    )
    aws.warn(
        f"Besides EC2, {role.name} may be assumed by: {', '.join(role.trusted) or 'nobody'}. "
        "Functions, tasks and people with sessions from there are denied as well. Sessions that "
        "begin after the call are not: where the intruder can assume the role again, change its "
        "trust policy."
    )


def _other_instances(aws: Aws, target: Ec2Instance, role: Role) -> Iterator[str]:
    answer = aws.read(Call("iam", "list_instance_profiles_for_role", RoleName=role.name))
    arns = [profile["Arn"] for profile in answer["InstanceProfiles"]]
    if not arns:
        return
    by_profile = [{"Name": "iam-instance-profile.arn", "Values": arns}]
    answer = aws.read(Call("ec2", "describe_instances", Filters=by_profile))
    for reservation in answer["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["InstanceId"] != target.id and instance["State"]["Name"] != "terminated":
                tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                name = f" ({tags['Name']})" if tags.get("Name") else ""
                yield f"{instance['InstanceId']}{name}"


# What verification looks for


def _source_left(
    target: Ec2Instance, credentials: Credentials, params: CredentialContainment
) -> Iterator[str]:
    if params.disable_imds and target.metadata_endpoint != "disabled":
        yield "the instance metadata service is still on"
    if params.profile == "keep" or credentials.profile_name is None:
        return
    if not credentials.contained:
        yield f"it still has the profile {credentials.profile_name}"
    elif not denies_everything(credentials.contained_profile):
        yield f"its profile {CONTAINED_PROFILE} does not deny everything"


def _sessions_left(target: Ec2Instance, role: Role, params: CredentialContainment) -> Iterator[str]:
    if role.of_aws:
        return
    if role.inline_policies.get(instance_policy(target.id)) != instance_denial(target, role):
        yield f"{role.name} does not deny its sessions"
    if params.scope == "role" and not is_revocation(role.inline_policies.get(ROLE_POLICY)):
        yield f"{role.name} does not deny the sessions that were issued before"
