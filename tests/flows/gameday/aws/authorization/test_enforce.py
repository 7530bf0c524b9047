"""IAM in front of the simulated AWS, over HTTP, with the errors that AWS's SDKs see."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.authorization.conftest import ACCOUNT, Iam, Keys
from tests.flows.gameday.aws.authorization.documents import allow, deny, document

TAG = [{"Key": "case", "Value": "7"}]


def arn(world: WorldIds, resource: str) -> str:
    return f"arn:aws:ec2:{world.region}:{ACCOUNT}:{resource}"


def tag(iam: Iam, keys: Keys, *resources: str, tags: Any = TAG) -> None:
    iam.client("ec2", keys).create_tags(Resources=list(resources), Tags=tags)


def test_nothing_is_enforced_until_it_is_asked_for(
    simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    iam = Iam(simulated_aws, world.region)
    nobody = iam.user("nobody")

    tag(iam, nobody, world.victim)
    simulated_aws.configure(enforce_iam=True)
    with refused("UnauthorizedOperation"):
        tag(iam, nobody, world.victim)
    simulated_aws.reset()
    client(world.url, world.region, "ec2").describe_instances()


def test_the_keys_that_build_worlds_are_the_administrators(iam: Iam, world: WorldIds) -> None:
    tag(iam, Keys("AKIASIMULATED0000001", "x"), world.victim)
    with refused("AuthFailure"):
        tag(iam, Keys("AKIAINVENTED00000000", "x"), world.victim)

    assert iam.client("ec2").describe_instances()["Reservations"]


@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("ec2", "describe_instances", "UnauthorizedOperation", 403),
        ("autoscaling", "describe_auto_scaling_groups", "AccessDenied", 403),
        ("cloudformation", "list_stacks", "AccessDenied", 403),
        ("elb", "describe_load_balancers", "AccessDenied", 403),
        ("elbv2", "describe_load_balancers", "AccessDenied", 403),
        ("cloudwatch", "list_metrics", "AccessDenied", 403),
        ("route53", "list_hosted_zones", "AccessDenied", 403),
        ("iam", "list_users", "AccessDenied", 403),
        ("s3", "list_buckets", "AccessDenied", 403),
        ("sns", "list_topics", "AuthorizationError", 403),
        ("sqs", "list_queues", "AccessDenied", 403),
        ("kms", "list_keys", "AccessDeniedException", 400),
        ("ssm", "describe_parameters", "AccessDeniedException", 400),
        ("events", "list_rules", "AccessDeniedException", 400),
        ("logs", "describe_log_groups", "AccessDeniedException", 400),
        ("dynamodb", "list_tables", "AccessDeniedException", 400),
        ("cloudtrail", "describe_trails", "AccessDeniedException", 400),
        ("secretsmanager", "list_secrets", "AccessDeniedException", 400),
        ("guardduty", "list_detectors", "AccessDeniedException", 403),
        ("lambda", "list_functions", "AccessDeniedException", 403),
    ],
)
def test_each_service_refuses_with_its_own_code(
    iam: Iam, service: str, call: str, code: str, status: int
) -> None:
    everything, nothing = iam.user("all", allow()), iam.user("none")

    getattr(iam.client(service, everything), call)()
    with pytest.raises(ClientError) as caught:
        getattr(iam.client(service, nothing), call)()

    error, metadata = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    assert (error["Code"], metadata["HTTPStatusCode"]) == (code, status)
    assert f"arn:aws:iam::{ACCOUNT}:user/none is not authorized to perform: " in error["Message"]


def test_a_dry_run_says_whether_it_would_be_allowed(iam: Iam, world: WorldIds) -> None:
    may, may_not = iam.user("may", allow("ec2:StopInstances")), iam.user("may-not")

    for keys, code in ((may, "DryRunOperation"), (may_not, "UnauthorizedOperation")):
        with refused(code):
            iam.client("ec2", keys).stop_instances(InstanceIds=[world.victim], DryRun=True)


def test_who_one_is_may_always_be_asked(iam: Iam) -> None:
    keys = iam.user("eve", deny())

    identity = iam.client("sts", keys).get_caller_identity()

    assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/eve"


def test_policies_come_from_the_user_their_groups_and_what_is_attached(
    iam: Iam, world: WorldIds
) -> None:
    keys = iam.user("eve")
    iam.iam.create_group(GroupName="staff")
    iam.iam.put_group_policy(
        GroupName="staff", PolicyName="own", PolicyDocument=document(allow("ec2:Describe*"))
    )
    ec2 = iam.client("ec2", keys)

    with refused("UnauthorizedOperation"):
        ec2.describe_instances()
    iam.iam.add_user_to_group(GroupName="staff", UserName="eve")
    ec2.describe_instances()
    with refused("UnauthorizedOperation"):
        tag(iam, keys, world.victim)
    arn_of_policy = iam.policy("tagging", allow("ec2:CreateTags"))
    iam.iam.attach_user_policy(UserName="eve", PolicyArn=arn_of_policy)
    tag(iam, keys, world.victim)
    iam.iam.create_policy_version(
        PolicyArn=arn_of_policy,
        PolicyDocument=document(deny("ec2:CreateTags")),
        SetAsDefault=True,
    )
    with refused("UnauthorizedOperation", "with an explicit deny in an identity-based policy"):
        tag(iam, keys, world.victim)


def test_a_user_can_be_allowed_to_look_after_their_own_keys(iam: Iam) -> None:
    own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    keys = iam.user("eve", allow("iam:*AccessKey*", own))
    iam.iam.create_user(UserName="adam")

    iam.client("iam", keys).create_access_key()
    iam.client("iam", keys).list_access_keys(UserName="eve")
    with refused("AccessDenied", f"on resource: arn:aws:iam::{ACCOUNT}:user/adam"):
        iam.client("iam", keys).create_access_key(UserName="adam")


# Keys


def test_an_inactive_key_is_nobodys(iam: Iam) -> None:
    keys = iam.user("eve", allow())
    iam.iam.update_access_key(UserName="eve", AccessKeyId=keys.access_key, Status="Inactive")

    with refused("AuthFailure"):
        iam.client("ec2", keys).describe_instances()
    with refused("InvalidClientTokenId"):
        iam.client("sts", keys).get_caller_identity()
    with refused("UnrecognizedClientException"):
        iam.client("kms", keys).list_keys()
    with refused("InvalidAccessKeyId"):
        iam.client("s3", keys).list_buckets()
    iam.iam.update_access_key(UserName="eve", AccessKeyId=keys.access_key, Status="Active")
    iam.client("ec2", keys).describe_instances()


def test_a_deleted_key_is_nobodys_and_not_the_administrators(iam: Iam) -> None:
    keys = iam.user("eve", allow())
    iam.iam.delete_access_key(UserName="eve", AccessKeyId=keys.access_key)

    with refused("AuthFailure"):
        iam.client("ec2", keys).describe_instances()


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_instances", "AuthFailure"),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
        ("kms", "list_keys", "InvalidSignatureException"),
        ("guardduty", "list_detectors", "InvalidSignatureException"),
    ],
)
def test_a_request_must_be_signed_with_the_keys_secret(
    iam: Iam, service: str, call: str, code: str
) -> None:
    keys = iam.user("eve", allow())

    getattr(iam.client(service, keys), call)()
    with refused(code):
        getattr(iam.client(service, keys._replace(secret="another")), call)()


# Resources


def test_a_policy_can_be_about_one_instance(iam: Iam, world: WorldIds) -> None:
    other, own = world.ids["standalone"], arn(world, f"instance/{world.victim}")
    only = iam.user("only", allow("ec2:CreateTags", own))
    but = iam.user("but", {"Effect": "Allow", "Action": "ec2:*", "NotResource": own})

    tag(iam, only, world.victim)
    with refused("UnauthorizedOperation", arn(world, f"instance/{other}")):
        tag(iam, only, other)
    with refused("UnauthorizedOperation"):
        tag(iam, only, world.victim, other)
    tag(iam, but, other)
    with refused("UnauthorizedOperation"):
        tag(iam, but, world.victim)


def test_a_policy_can_ask_for_tags_of_the_resource_and_the_request(
    iam: Iam, world: WorldIds
) -> None:
    tag(
        iam, Keys("AKIASIMULATED0000001", "x"), world.victim, tags=[{"Key": "Env", "Value": "prod"}]
    )
    on_prod = {"StringEquals": {"ec2:ResourceTag/env": "prod"}}
    own_tags = {"ForAllValues:StringLike": {"aws:TagKeys": "ir:*"}}
    value = {"StringEquals": {"aws:RequestTag/ir:case": "7"}}
    resource = iam.user("r", allow("ec2:CreateTags", Condition=on_prod))
    keys = iam.user("k", allow("ec2:CreateTags", Condition=own_tags))
    values = iam.user("v", allow("ec2:CreateTags", Condition=value))
    ir = [{"Key": "ir:case", "Value": "7"}]

    tag(iam, resource, world.victim)
    with refused("UnauthorizedOperation"):
        tag(iam, resource, world.ids["standalone"])
    tag(iam, keys, world.victim, tags=ir)
    with refused("UnauthorizedOperation"):
        tag(iam, keys, world.victim, tags=[*ir, *TAG])
    tag(iam, values, world.victim, tags=ir)
    with refused("UnauthorizedOperation"):
        tag(iam, values, world.victim, tags=[{"Key": "ir:case", "Value": "8"}])


def test_a_policy_can_ask_where_and_from_where(iam: Iam, world: WorldIds) -> None:
    here = {"StringEquals": {"aws:RequestedRegion": world.region}}
    home = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    region = iam.user("region", allow(Condition=here))
    address = iam.user("address", allow(Condition=home))

    iam.client("ec2", region).describe_instances()
    iam.region = "us-east-1"
    with refused("UnauthorizedOperation"):
        iam.client("ec2", region).describe_instances()
    ec2 = iam.client("ec2", address)
    ec2.describe_instances()
    ec2.meta.events.register(
        "before-send",
        lambda request, **_: request.headers.__setitem__("X-Forwarded-For", "198.51.100.7"),
    )
    with refused("UnauthorizedOperation"):
        ec2.describe_instances()


def test_without_mfa_is_false_for_sessions_and_absent_for_keys(iam: Iam) -> None:
    no_mfa = {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
    really = {"Bool": {"aws:MultiFactorAuthPresent": "false"}}
    if_exists = iam.user("a", allow(), deny("ec2:*", Condition=no_mfa))
    present = iam.user("b", allow(), deny("ec2:*", Condition=really))

    with refused("UnauthorizedOperation"):
        iam.client("ec2", if_exists).describe_instances()
    iam.client("ec2", present).describe_instances()
    session = Keys.of(iam.client("sts", present).get_session_token()["Credentials"])
    with refused("UnauthorizedOperation"):
        iam.client("ec2", session).describe_instances()


def test_other_services_have_resources_too(iam: Iam, world: WorldIds) -> None:
    group = iam.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    targets = world.ids["alb_targets"]
    role, key = world.ids["role"], world.ids["key"]
    queue = iam.client("sqs").create_queue(QueueName="findings")["QueueUrl"]
    other_queue = iam.client("sqs").create_queue(QueueName="others")["QueueUrl"]
    name = group["AutoScalingGroupName"]
    role_arn = iam.iam.get_role(RoleName=role)["Role"]["Arn"]
    keys = iam.user(
        "eve",
        allow("autoscaling:SuspendProcesses", group["AutoScalingGroupARN"]),
        allow("elasticloadbalancing:ModifyTargetGroupAttributes", targets),
        allow("iam:PutRolePolicy", role_arn),
        allow("kms:Encrypt", key),
        allow("sqs:SendMessage", f"arn:aws:sqs:{world.region}:{ACCOUNT}:findings"),
    )
    other_key = iam.client("kms").create_key()["KeyMetadata"]["Arn"]
    iam.iam.create_role(RoleName="other", AssumeRolePolicyDocument=document())
    attributes = [{"Key": "deregistration_delay.timeout_seconds", "Value": "1"}]
    put = {"PolicyName": "p", "PolicyDocument": document(deny())}
    calls: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        (
            "elbv2",
            "modify_target_group_attributes",
            {"TargetGroupArn": targets, "Attributes": attributes},
            {"TargetGroupArn": world.ids["ports_targets"], "Attributes": attributes},
        ),
        ("iam", "put_role_policy", {"RoleName": role, **put}, {"RoleName": "other", **put}),
        (
            "kms",
            "encrypt",
            {"KeyId": key, "Plaintext": b"x"},
            {"KeyId": other_key, "Plaintext": b"x"},
        ),
        (
            "sqs",
            "send_message",
            {"QueueUrl": queue, "MessageBody": "x"},
            {"QueueUrl": other_queue, "MessageBody": "x"},
        ),
    ]

    iam.client("autoscaling", keys).suspend_processes(AutoScalingGroupName=name)
    for service, operation, allowed, not_allowed in calls:
        call: Callable[..., Any] = getattr(iam.client(service, keys), operation)
        call(**allowed)
        with pytest.raises(ClientError, match="is not authorized to perform"):
            call(**not_allowed)


# What comes with an action


def test_tagging_what_one_makes_needs_create_tags_for_that(iam: Iam, world: WorldIds) -> None:
    only = {"StringEquals": {"ec2:CreateAction": "CreateSnapshot"}}
    make = allow(["ec2:CreateSnapshot", "ec2:CreateVolume"])
    without, with_it = (
        iam.user("a", make),
        iam.user("b", make, allow("ec2:CreateTags", Condition=only)),
    )
    tagged = {"TagSpecifications": [{"ResourceType": "snapshot", "Tags": TAG}]}
    volume = {"VolumeId": world.ids["volume_1"]}

    iam.client("ec2", without).create_snapshot(**volume)
    with refused("UnauthorizedOperation", "ec2:CreateTags"):
        iam.client("ec2", without).create_snapshot(**volume, **tagged)
    iam.client("ec2", with_it).create_snapshot(**volume, **tagged)
    with refused("UnauthorizedOperation", "ec2:CreateTags"):
        tag(iam, with_it, world.victim)


def test_giving_an_instance_a_role_needs_pass_role(iam: Iam, world: WorldIds) -> None:
    role_arn = iam.iam.get_role(RoleName=world.ids["role"])["Role"]["Arn"]
    to = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    to_lambda = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    may = iam.user("a", allow("ec2:*"), allow("iam:PassRole", role_arn, Condition=to))
    wrong = iam.user("b", allow("ec2:*"), allow("iam:PassRole", role_arn, Condition=to_lambda))
    may_not = iam.user("c", allow("ec2:*"))

    def launch(keys: Keys) -> None:
        iam.client("ec2", keys).run_instances(
            ImageId=world.ids["image"],
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": world.ids["profile"]},
        )

    launch(may)
    for keys in (wrong, may_not):
        with refused("UnauthorizedOperation", f"iam:PassRole on resource: {role_arn}"):
            launch(keys)


def test_a_boundary_of_a_user_or_role_limits_them(iam: Iam, world: WorldIds) -> None:
    boundary = iam.policy("boundary", allow("ec2:Describe*"))
    user = iam.user("eve", allow(), PermissionsBoundary=boundary)

    iam.client("ec2", user).describe_instances()
    with refused("UnauthorizedOperation", "because no permissions boundary allows"):
        tag(iam, user, world.victim)
    found = iam.iam.get_user(UserName="eve")["User"]["PermissionsBoundary"]
    assert found["PermissionsBoundaryArn"] == boundary
    iam.iam.delete_user_permissions_boundary(UserName="eve")
    tag(iam, user, world.victim)
    iam.iam.put_user_permissions_boundary(UserName="eve", PermissionsBoundary=boundary)
    with refused("UnauthorizedOperation"):
        tag(iam, user, world.victim)
    iam.iam.put_role_permissions_boundary(RoleName=world.ids["role"], PermissionsBoundary=boundary)
    iam.allow_role(world.ids["role"], allow())
    with refused("UnauthorizedOperation", "because no permissions boundary allows"):
        tag(iam, iam.on_instance(world.victim), world.victim)


# S3


@pytest.fixture
def bucket(iam: Iam) -> str:
    s3 = iam.client("s3")
    s3.create_bucket(
        Bucket="evidence", CreateBucketConfiguration={"LocationConstraint": iam.region}
    )
    s3.put_object(Bucket="evidence", Key="case/memory", Body=b"x")
    return "evidence"


def test_actions_of_s3_have_their_own_names(iam: Iam, bucket: str) -> None:
    list_only = iam.user("a", allow("s3:ListBucket", f"arn:aws:s3:::{bucket}"))
    get_only = iam.user("b", allow("s3:GetObject", f"arn:aws:s3:::{bucket}/case/*"))

    lists, gets = iam.client("s3", list_only), iam.client("s3", get_only)
    assert lists.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    with refused("AccessDenied", "s3:GetObject"):
        lists.get_object(Bucket=bucket, Key="case/memory")
    with refused("403"):
        lists.head_object(Bucket=bucket, Key="case/memory")
    gets.head_object(Bucket=bucket, Key="case/memory")
    gets.get_object(Bucket=bucket, Key="case/memory")
    with refused("AccessDenied", "s3:ListBucket"):
        gets.list_objects_v2(Bucket=bucket)
    with refused("AccessDenied", "s3:PutObject"):
        gets.copy_object(Bucket=bucket, Key="case/2", CopySource=f"{bucket}/case/memory")


def test_a_bucket_policy_gives_and_takes(iam: Iam, bucket: str) -> None:
    named, other = iam.user("named"), iam.user("other", allow("s3:*"))
    resource = f"arn:aws:s3:::{bucket}/*"
    iam.client("s3").put_bucket_policy(
        Bucket=bucket,
        Policy=document(
            {
                **allow("s3:GetObject", resource),
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/named"},
            },
            {
                **deny("s3:GetObject", resource),
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/other"},
            },
        ),
    )

    iam.client("s3", named).get_object(Bucket=bucket, Key="case/memory")
    with refused("AccessDenied", "with an explicit deny in a resource-based policy"):
        iam.client("s3", other).get_object(Bucket=bucket, Key="case/memory")


def test_without_a_signature_one_gets_what_is_public(iam: Iam, bucket: str) -> None:
    anonymous = iam.client("s3", signature_version=UNSIGNED)
    with refused("AccessDenied"):
        anonymous.get_object(Bucket=bucket, Key="case/memory")
    iam.client("s3").delete_public_access_block(Bucket=bucket)
    iam.client("s3").put_bucket_policy(
        Bucket=bucket,
        Policy=document({**allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), "Principal": "*"}),
    )

    assert anonymous.get_object(Bucket=bucket, Key="case/memory")["Body"].read() == b"x"
    with refused("AccessDenied"):
        anonymous.list_objects_v2(Bucket=bucket)
    with refused("MissingAuthenticationToken"):
        iam.client("ec2", signature_version=UNSIGNED).describe_instances()


def test_a_key_policy_decides_about_its_key(iam: Iam, world: WorldIds) -> None:
    keys = iam.user("eve", allow("kms:*"))
    kms, key = iam.client("kms", keys), world.ids["key"]

    kms.encrypt(KeyId=key, Plaintext=b"x")
    iam.client("kms").put_key_policy(
        KeyId=key,
        PolicyName="default",
        Policy=document(
            {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/other"}}
        ),
    )
    with refused("AccessDeniedException", "because no resource-based policy allows"):
        kms.encrypt(KeyId=key, Plaintext=b"x")


# Organizations


def test_a_service_control_policy_holds_for_the_members_of_an_organization(
    iam: Iam, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    simulated_aws.configure(enforce_iam=False)
    organizations = iam.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    member = organizations.create_account(AccountName="m", Email="m@example.com")
    account = member["CreateAccountStatus"]["AccountId"]
    admin = iam.assume(f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole")
    theirs = iam.client("iam", admin)
    theirs.create_user(UserName="eve")
    theirs.put_user_policy(UserName="eve", PolicyName="p", PolicyDocument=document(allow()))
    keys = Keys.of(theirs.create_access_key(UserName="eve")["AccessKey"])
    scp = organizations.create_policy(
        Name="no-tags",
        Description="d",
        Type="SERVICE_CONTROL_POLICY",
        Content=document(deny("ec2:CreateVpc")),
    )["Policy"]["PolicySummary"]["Id"]
    simulated_aws.configure(enforce_iam=True)
    ec2 = iam.client("ec2", keys)

    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    organizations.attach_policy(PolicyId=scp, TargetId=account)
    with refused("UnauthorizedOperation", "with an explicit deny in a service control policy"):
        ec2.create_vpc(CidrBlock="10.9.0.0/16")


def test_a_refused_call_changes_nothing_and_is_recorded(
    iam: Iam, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    keys = iam.user("eve", allow("ec2:Describe*"))
    simulated_aws.calls.clear()

    with refused("UnauthorizedOperation"):
        iam.client("ec2", keys).terminate_instances(InstanceIds=[world.victim])

    [call] = simulated_aws.calls
    assert (call.name, call.error, call.status) == (
        "ec2:TerminateInstances",
        "UnauthorizedOperation",
        403,
    )
    state = iam.client("ec2").describe_instances(InstanceIds=[world.victim])
    assert state["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    assert json.dumps(call.to_json())
