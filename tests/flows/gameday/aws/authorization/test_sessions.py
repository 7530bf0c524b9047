"""Sessions of roles and users (AWS STS API reference), and what an instance is given."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError

import pytest

from flows.gameday.aws.authorization import sessions
from flows.gameday.aws.authorization.sessions import NoInstanceCredentials
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.authorization.conftest import ACCOUNT, Iam, Keys
from tests.flows.gameday.aws.authorization.documents import allow, deny, document, trust

OTHER = "999999999999"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
EVE = f"arn:aws:iam::{ACCOUNT}:user/eve"


def describe(iam: Iam, keys: Keys) -> Any:
    return iam.client("ec2", keys).describe_instances()


# Who may assume a role


@pytest.mark.parametrize(
    ("trusted", "own", "allowed"),
    [
        (EVE, False, True),
        (ROOT, True, True),
        (ROOT, False, False),
        (ACCOUNT, True, True),
        (f"arn:aws:iam::{ACCOUNT}:user/adam", True, False),
        (f"arn:aws:iam::{OTHER}:root", True, False),
        ({"Service": "ec2.amazonaws.com"}, True, False),
    ],
)
def test_a_role_is_assumed_by_whom_it_trusts(
    iam: Iam, trusted: Any, own: bool, allowed: bool
) -> None:
    eve = iam.user("eve", *([allow("sts:AssumeRole")] if own else []))
    iam.iam.create_user(UserName="adam")
    role = iam.role("responder", trust(trusted), allow("ec2:Describe*"))

    if allowed:
        describe(iam, iam.assume(role, eve))
    else:
        with refused("AccessDenied", f"sts:AssumeRole on resource: {role}"):
            iam.assume(role, eve)


def test_a_denial_of_ones_own_keeps_one_from_a_role_that_trusts(iam: Iam) -> None:
    eve = iam.user("eve", deny("sts:AssumeRole"))
    role = iam.role("responder", trust(EVE))

    with refused("AccessDenied", "with an explicit deny in an identity-based policy"):
        iam.assume(role, eve)


def test_the_external_id_must_be_the_agreed_one(iam: Iam) -> None:
    eve = iam.user("eve")
    agreed = {"StringEquals": {"sts:ExternalId": "case-7"}}
    role = iam.role("responder", trust(EVE, Condition=agreed))

    iam.assume(role, eve, ExternalId="case-7")
    for more in ({}, {"ExternalId": "case-8"}):
        with refused("AccessDenied", "no role trust policy allows"):
            iam.assume(role, eve, **more)


def test_a_role_that_does_not_exist_is_assumed_by_nobody(iam: Iam) -> None:
    eve = iam.user("eve", allow())

    for keys in (eve, None):
        with refused("AccessDenied"):
            iam.assume(f"arn:aws:iam::{ACCOUNT}:role/none", keys)


def test_tags_and_a_source_identity_need_to_be_trusted_too(iam: Iam) -> None:
    eve = iam.user("eve")
    plain = iam.role("plain", trust(EVE))
    trusting = iam.role(
        "trusting", trust(EVE, ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    )
    tags = {"Tags": [{"Key": "case", "Value": "7"}]}

    with refused("AccessDenied", "sts:TagSession"):
        iam.assume(plain, eve, **tags)
    with refused("AccessDenied", "sts:SetSourceIdentity"):
        iam.assume(plain, eve, SourceIdentity="eve")
    iam.assume(trusting, eve, SourceIdentity="eve", **tags)


def test_another_accounts_role_needs_both_sides(iam: Iam, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(enforce_iam=False)
    builder = iam.assume(f"arn:aws:iam::{OTHER}:role/builder")
    theirs = iam.client("iam", builder)

    def role(name: str, trusted: str) -> str:
        made = theirs.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust(trusted)))
        theirs.put_role_policy(
            RoleName=name, PolicyName="p", PolicyDocument=document(allow("ec2:Describe*"))
        )
        return str(made["Role"]["Arn"])

    trusting, naming, closed = (
        role("a", ROOT),
        role("b", EVE),
        role("c", f"arn:aws:iam::{OTHER}:root"),
    )
    may = iam.user("eve", allow("sts:AssumeRole"))
    iam.iam.create_user(UserName="adam")
    simulated_aws.configure(enforce_iam=True)

    for arn in (trusting, naming):
        keys = iam.assume(arn, may)
        describe(iam, keys)
        assert iam.client("sts", keys).get_caller_identity()["Account"] == OTHER
        with refused("UnauthorizedOperation"):
            iam.client("ec2", keys).create_vpc(CidrBlock="10.9.0.0/16")
    with refused("AccessDenied", "no role trust policy allows"):
        iam.assume(closed, may)
    iam.allow_user("eve", allow("ec2:*"))
    with refused("AccessDenied", "no identity-based policy allows"):
        iam.assume(naming, may)


# What a session may do


def test_a_session_may_do_what_its_role_and_its_session_policies_allow(iam: Iam) -> None:
    eve = iam.user("eve")
    role = iam.role("responder", trust(EVE), allow("ec2:*"))
    managed = iam.policy("vpcs", allow("ec2:DescribeVpcs"))
    inline = document(allow("ec2:DescribeInstances"))
    narrowed = iam.assume(role, eve, Policy=inline)
    both = iam.assume(role, eve, Policy=inline, PolicyArns=[{"arn": managed}])

    describe(iam, narrowed)
    with refused("UnauthorizedOperation", "because no session policy allows"):
        iam.client("ec2", narrowed).describe_vpcs()
    describe(iam, both)
    iam.client("ec2", both).describe_vpcs()
    with refused("UnauthorizedOperation"):
        iam.client("ec2", both).describe_subnets()
    with refused("MalformedPolicyDocument"):
        iam.assume(role, eve, Policy="{")


def test_policies_see_the_sessions_tags_and_source_identity(iam: Iam, world: WorldIds) -> None:
    eve = iam.user("eve")
    role = iam.role(
        "responder",
        trust(EVE, "sts:*"),
        allow("ec2:Describe*", Condition={"StringEquals": {"aws:PrincipalTag/team": "ir"}}),
        allow("ec2:CreateTags", Condition={"StringEquals": {"aws:SourceIdentity": "eve"}}),
        Tags=[{"Key": "team", "Value": "web"}],
    )
    plain = iam.assume(role, eve)
    special = iam.assume(role, eve, Tags=[{"Key": "Team", "Value": "ir"}], SourceIdentity="eve")

    with refused("UnauthorizedOperation"):
        describe(iam, plain)
    describe(iam, special)
    tag = {"Resources": [world.victim], "Tags": [{"Key": "a", "Value": "b"}]}
    with refused("UnauthorizedOperation"):
        iam.client("ec2", plain).create_tags(**tag)
    iam.client("ec2", special).create_tags(**tag)


def test_transitive_tags_and_the_source_identity_go_down_a_chain(iam: Iam) -> None:
    eve = iam.user("eve")
    first = iam.role("first", trust(EVE, "sts:*"), allow("sts:*"))
    tagged = allow("ec2:*", Condition={"StringEquals": {"aws:PrincipalTag/case": "7"}})
    second = iam.role("second", trust(first, "sts:*"), tagged)
    kept = iam.assume(
        first,
        eve,
        Tags=[{"Key": "case", "Value": "7"}],
        TransitiveTagKeys=["case"],
        SourceIdentity="eve",
    )

    describe(iam, iam.assume(second, kept))
    with refused("InvalidParameterValue"):
        iam.assume(second, kept, Tags=[{"Key": "case", "Value": "8"}])
    with refused("AccessDenied"):
        iam.assume(second, kept, SourceIdentity="adam")
    iam.iam.update_assume_role_policy(
        RoleName="second", PolicyDocument=document(trust(first, "sts:AssumeRole"))
    )
    with refused("AccessDenied", "sts:SetSourceIdentity"):
        iam.assume(second, kept)


def test_a_session_lasts_as_long_as_its_role_allows(iam: Iam) -> None:
    eve = iam.user("eve", allow("sts:AssumeRole"))
    short = iam.role("short", trust(EVE))
    long = iam.role("long", trust(EVE), allow("sts:*"), MaxSessionDuration=43_200)
    last = iam.role("last", trust(long), MaxSessionDuration=43_200)

    with refused("ValidationError", "MaxSessionDuration"):
        iam.assume(short, eve, DurationSeconds=3_601)
    unchecked = iam.client("sts", eve, parameter_validation=False)
    with refused("ValidationError", "greater than or equal to 900"):
        unchecked.assume_role(RoleArn=short, RoleSessionName="case-7", DurationSeconds=899)
    keys = iam.assume(long, eve, DurationSeconds=43_200)
    iam.assume(last, keys, DurationSeconds=3_600)
    with refused("ValidationError", "1 hour"):
        iam.assume(last, keys, DurationSeconds=3_601)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_instances", "RequestExpired"),
        ("iam", "list_users", "ExpiredToken"),
        ("sts", "get_caller_identity", "ExpiredToken"),
        ("s3", "list_buckets", "ExpiredToken"),
        ("kms", "list_keys", "ExpiredTokenException"),
        ("guardduty", "list_detectors", "ExpiredTokenException"),
    ],
)
def test_an_expired_session_is_refused(
    iam: Iam, monkeypatch: pytest.MonkeyPatch, service: str, call: str, code: str
) -> None:
    eve = iam.user("eve")
    role = iam.role("responder", trust(EVE), allow())
    keys = iam.assume(role, eve, DurationSeconds=900)
    [session] = [
        item for item in sessions._sessions(ACCOUNT).values() if item.access_key == keys[0]
    ]

    getattr(iam.client(service, keys), call)()
    object.__setattr__(session, "expires", datetime.now(UTC) - timedelta(seconds=1))
    with refused(code):
        getattr(iam.client(service, keys), call)()


def test_a_session_needs_its_own_token(iam: Iam) -> None:
    eve = iam.user("eve", allow())
    role = iam.role("responder", trust(EVE), allow())
    keys = iam.assume(role, eve)

    for token in (None, "another"):
        with refused("AuthFailure"):
            describe(iam, keys._replace(token=token))
    with refused("AuthFailure"):
        describe(iam, eve._replace(token=keys.token))


def test_a_deleted_roles_sessions_may_do_nothing_even_if_there_is_a_new_one(iam: Iam) -> None:
    eve = iam.user("eve")
    role = iam.role("responder", trust(EVE), allow())
    keys = iam.assume(role, eve)
    iam.iam.delete_role_policy(RoleName="responder", PolicyName="own")
    iam.iam.delete_role(RoleName="responder")
    iam.role("responder", trust(EVE), allow())

    with refused("UnauthorizedOperation"):
        describe(iam, keys)
    describe(iam, iam.assume(role, eve))


def test_a_users_session_may_do_what_the_user_may(iam: Iam) -> None:
    eve = iam.user("eve", allow("ec2:Describe*"))
    answer = iam.client("sts", eve).get_session_token(DurationSeconds=900)["Credentials"]
    keys = Keys.of(answer)

    assert iam.client("sts", keys).get_caller_identity()["Arn"] == EVE
    describe(iam, keys)
    with refused("UnauthorizedOperation"):
        iam.client("ec2", keys).create_vpc(CidrBlock="10.9.0.0/16")
    iam.allow_user("eve", deny("ec2:*"))
    with refused("UnauthorizedOperation"):
        describe(iam, keys)


def test_a_federated_user_may_do_what_the_user_and_the_policy_allow(iam: Iam) -> None:
    eve = iam.user("eve", allow("ec2:Describe*"), allow("sts:GetFederationToken"))
    sts = iam.client("sts", eve)
    only = document(allow(["ec2:DescribeInstances", "ec2:CreateVpc"]))
    answer = sts.get_federation_token(Name="guest", Policy=only)
    keys = Keys.of(answer["Credentials"])
    nothing = Keys.of(sts.get_federation_token(Name="guest")["Credentials"])

    identity = iam.client("sts", keys).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/guest"
    describe(iam, keys)
    with refused("UnauthorizedOperation", "no identity-based policy allows"):
        iam.client("ec2", keys).create_vpc(CidrBlock="10.9.0.0/16")
    with refused("UnauthorizedOperation", "no session policy allows"):
        iam.client("ec2", keys).describe_vpcs()
    with refused("UnauthorizedOperation"):
        describe(iam, nothing)


def test_a_session_begins_no_users_session(iam: Iam, world: WorldIds) -> None:
    iam.allow_role(world.ids["role"], allow())
    sts = iam.client("sts", iam.on_instance(world.victim))

    with refused("AccessDenied", "Cannot call GetSessionToken with session credentials"):
        sts.get_session_token()
    with refused("AccessDenied", "Cannot call GetFederationToken with session credentials"):
        sts.get_federation_token(Name="guest")


# What an instance is given


def test_an_instance_gets_credentials_of_the_role_in_its_profile(iam: Iam, world: WorldIds) -> None:
    role = world.ids["role"]
    iam.allow_role(role, allow("ec2:Describe*"))
    served = iam.aws.instance_credentials(world.victim)
    keys = Keys.of(served)
    role_id = iam.iam.get_role(RoleName=role)["Role"]["RoleId"]

    identity = iam.client("sts", keys).get_caller_identity()

    assert identity["UserId"] == f"{role_id}:{world.victim}"
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{world.victim}"
    assert served["Code"] == "Success"
    left = datetime.fromisoformat(served["Expiration"]) - datetime.now(UTC)
    assert timedelta(hours=5, minutes=59) < left <= timedelta(hours=6)
    describe(iam, keys)
    with refused("UnauthorizedOperation"):
        iam.client("ec2", keys).create_vpc(CidrBlock="10.9.0.0/16")


def test_they_are_served_over_http_too(iam: Iam, world: WorldIds) -> None:
    def ask(instance: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{iam.aws.url}/_clampdown/instance-credentials",
            json.dumps({"instance": instance}).encode(),
        )
        with urllib.request.urlopen(request) as answer:
            served: dict[str, Any] = json.load(answer)
        return served

    assert ask(world.victim) == iam.aws.instance_credentials(world.victim)
    with pytest.raises(HTTPError, match="400"):
        ask("i-00000000000000000")


def test_an_instance_without_metadata_profile_or_role_gets_none(iam: Iam, world: WorldIds) -> None:
    ec2, standalone = iam.client("ec2"), world.ids["standalone"]

    def none(instance: str, why: str) -> None:
        with pytest.raises(NoInstanceCredentials, match=why):
            iam.aws.instance_credentials(instance)

    none("i-00000000000000000", "no instance")
    profile = {"Name": world.ids["profile"]}
    for association in ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [standalone]}]
    )["IamInstanceProfileAssociations"]:
        ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    none(standalone, "no instance profile")
    ec2.associate_iam_instance_profile(InstanceId=standalone, IamInstanceProfile=profile)
    ec2.modify_instance_metadata_options(InstanceId=standalone, HttpEndpoint="disabled")
    none(standalone, "disabled")
    ec2.modify_instance_metadata_options(InstanceId=standalone, HttpEndpoint="enabled")
    iam.aws.instance_credentials(standalone)
    ec2.stop_instances(InstanceIds=[standalone])
    none(standalone, "stopp")
    iam.iam.remove_role_from_instance_profile(
        InstanceProfileName=world.ids["profile"], RoleName=world.ids["role"]
    )
    ec2.start_instances(InstanceIds=[standalone])
    none(standalone, "no role")


def test_what_was_given_out_is_served_again_until_the_profile_is_another(
    iam: Iam, world: WorldIds
) -> None:
    ec2 = iam.client("ec2")
    iam.allow_role(world.ids["role"], allow())
    first = iam.on_instance(world.victim)
    iam.iam.remove_role_from_instance_profile(
        InstanceProfileName=world.ids["profile"], RoleName=world.ids["role"]
    )
    assert iam.on_instance(world.victim) == first
    iam.role("contained", trust({"Service": "ec2.amazonaws.com"}), deny())
    iam.iam.create_instance_profile(InstanceProfileName="contained")
    iam.iam.add_role_to_instance_profile(InstanceProfileName="contained", RoleName="contained")
    [association] = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [world.victim]}]
    )["IamInstanceProfileAssociations"]
    ec2.replace_iam_instance_profile_association(
        AssociationId=association["AssociationId"], IamInstanceProfile={"Name": "contained"}
    )
    second = iam.on_instance(world.victim)

    assert second != first
    with refused("UnauthorizedOperation", "with an explicit deny"):
        describe(iam, second)
    describe(iam, first)


def test_there_is_no_encoded_message_to_decode(iam: Iam) -> None:
    asking = iam.client("sts", iam.user("mallory", allow("sts:DecodeAuthorizationMessage")))

    with refused("InvalidAuthorizationMessageException"):
        asking.decode_authorization_message(EncodedMessage="nothing that STS encoded")
    with refused("AccessDenied"):
        iam.client("sts", iam.user("eve")).decode_authorization_message(EncodedMessage="x")
