"""The AWS side, deployed: findings reach their queue, and nobody else does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint_file

from flows.doctor import accounts, queues
from flows.doctor.examination import examine
from flows.doctor.setup import Setup
from flows.gameday.aws.authorization.policy import Asked, read_policy
from flows.gameday.aws.authorization.principals import administrator as root
from flows.gameday.aws.server import ACCOUNT
from flows.intake.events import ALARM_STATES, EXPOSED_KEYS, UNDERSTOOD
from flows.intake.fetch import READS
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.connections import Connections
from runbooks.connections import _Credentials as Credentials
from runbooks.loader import load
from runbooks.permissions import MANAGED_POLICY_CHARACTERS, characters_of, policy_for
from runbooks.registry import STEPS
from tests.conftest import ROOT
from tests.deployments.stacks import (
    EXTERNAL_ID,
    MEMBER,
    MEMBER_ACCOUNT,
    MEMBER_ROLE,
    QUEUES,
    REGION,
    SECURITY,
    SERVICE_ROLE,
    Deployment,
    Keys,
    policies_of,
    policy_of,
)
from tests.flows.gameday.aws.answers import refused

EVIDENCE = f"clampdown-evidence-{ACCOUNT}-{REGION}"
_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"
INCIDENT = "inc-20260101-abcdef"


@pytest.mark.parametrize("template", [SECURITY, MEMBER], ids=lambda path: path.stem)
def test_the_linter_finds_nothing(template: Path) -> None:
    assert [str(match) for match in lint_file(template)] == []


# Which events come


def find(deployment: Deployment, severity: float) -> str:
    return deployment.aws.find(
        {
            "Type": "Backdoor:EC2/C&CActivity.B",
            "Severity": severity,
            "Region": REGION,
            "Resource": {"ResourceType": "Instance"},
        }
    )


@pytest.mark.parametrize(
    ("severity", "queue"), [(8.9, "urgent"), (7, "urgent"), (6.9, "ordinary"), (0.1, "ordinary")]
)
def test_a_finding_of_guardduty_reaches_the_queue_of_its_severity(
    deployment: Deployment, severity: float, queue: str
) -> None:
    finding = find(deployment, severity)

    there = {name: deployment.taken(name) for name in QUEUES}
    assert [event["detail"]["id"] for event in there.pop(queue)] == [finding]
    assert set(map(len, there.values())) == {0}


def test_the_rules_take_all_that_is_understood_and_nothing_else(deployment: Deployment) -> None:
    rules = deployment.rules()
    taken = [
        (source, kind)
        for rule in rules.values()
        for source in rule["pattern"]["source"]
        for kind in rule["pattern"]["detail-type"]
    ]
    assert set(taken) == UNDERSTOOD
    # GuardDuty's are divided between two.
    assert len(taken) == len(UNDERSTOOD) + 1

    health = rules["clampdown-health-risk"]["pattern"]["detail"]
    assert set(health["eventTypeCode"]) == set(EXPOSED_KEYS)
    alarms = rules["clampdown-alarm-change"]["pattern"]["detail"]
    assert tuple(alarms["state"]["value"]) == ALARM_STATES


def test_what_cannot_be_delivered_is_tried_for_a_day_and_then_kept(deployment: Deployment) -> None:
    for name in deployment.rules():
        target = deployment.target(name)
        assert target["RetryPolicy"] == {
            "MaximumRetryAttempts": 185,
            "MaximumEventAgeInSeconds": 86_400,
        }
        assert target["DeadLetterConfig"]["Arn"].endswith(":clampdown-dead-letters")


def test_what_is_not_wanted_is_turned_off(deployment: Deployment) -> None:
    off = {name for name, rule in deployment.rules().items() if rule["State"] == "DISABLED"}
    assert off == {"clampdown-config-compliance", "clampdown-inspector", "clampdown-alarm-change"}


def test_another_region_has_queues_and_rules_of_its_own_and_the_first_ones_role(
    deployment: Deployment,
) -> None:
    outputs = deployment.deploy(
        SECURITY,
        region="us-east-1",
        ServiceRoleArn=SERVICE_ROLE,
        AlarmPrefix="security-",
        SecurityHubActionArn=f"arn:aws:securityhub:us-east-1:{ACCOUNT}:action/custom/contain",
    )

    assert outputs["ServiceRoleArn"] == SERVICE_ROLE
    assert "EvidenceBucket" not in outputs
    events = deployment.client("events", region="us-east-1")
    alarms = events.describe_rule(Name="clampdown-alarm-change")
    assert alarms["State"] == "ENABLED"
    assert '{"prefix": "security-"}' in alarms["EventPattern"]
    chosen = events.describe_rule(Name="clampdown-securityhub-action")["EventPattern"]
    assert ":action/custom/contain" in chosen


# Who may send


def send(deployment: Deployment, queue: str, keys: Keys | None = None) -> None:
    sqs = deployment.client("sqs", keys)
    sqs.send_message(QueueUrl=deployment.queue(queue), MessageBody="{}")


@pytest.mark.parametrize("queue", QUEUES)
def test_nobody_sends_to_the_queues_not_even_who_may_do_everything(
    deployment: Deployment, queue: str
) -> None:
    stranger = deployment.session(f"arn:aws:iam::{MEMBER_ACCOUNT}:role/administrator")
    insider = administrator(deployment)
    deployment.aws.configure(enforce_iam=True)

    for keys in (stranger, insider):
        with refused("AccessDenied"):
            send(deployment, queue, keys)
    assert deployment.taken(queue) == []


def administrator(deployment: Deployment) -> Keys:
    """A user of the security account itself who may do everything."""
    iam = deployment.client("iam")
    iam.create_user(UserName="admin")
    policy = policy_of({"Effect": "Allow", "Action": "*", "Resource": "*"})
    iam.put_user_policy(UserName="admin", PolicyName="all", PolicyDocument=policy)
    made = iam.create_access_key(UserName="admin")["AccessKey"]
    return Keys(made["AccessKeyId"], made["SecretAccessKey"])


def test_another_rule_of_the_account_does_not_reach_the_queues(deployment: Deployment) -> None:
    events = deployment.client("events")
    events.put_rule(Name="forged", EventPattern='{"source": ["my.app"]}')
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:clampdown-urgent"
    events.put_targets(Rule="forged", Targets=[{"Id": "1", "Arn": arn}])

    entry = {"Source": "my.app", "DetailType": "GuardDuty Finding", "Detail": "{}"}
    events.put_events(Entries=[entry])

    assert deployment.taken("urgent") == []


def test_what_is_tried_in_vain_too_often_is_a_dead_letter(deployment: Deployment) -> None:
    sqs, queue = deployment.client("sqs"), deployment.queue("urgent")
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])
    fewer = policy["Attributes"]["RedrivePolicy"].replace("1000", "1")
    assert fewer != policy["Attributes"]["RedrivePolicy"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": fewer})
    finding = find(deployment, 8)

    assert sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"]
    assert deployment.taken("urgent") == []
    assert [event["detail"]["id"] for event in deployment.taken("dead-letters")] == [finding]


@pytest.mark.parametrize(
    ("alarm", "metric"),
    [
        ("clampdown-dead-letters", "ApproximateNumberOfMessagesVisible"),
        ("clampdown-urgent-waits", "ApproximateAgeOfOldestMessage"),
        ("clampdown-ordinary-waits", "ApproximateAgeOfOldestMessage"),
    ],
)
def test_an_alarm_says_that_findings_are_left_lying(
    deployment: Deployment, alarm: str, metric: str
) -> None:
    cloudwatch = deployment.client("cloudwatch")
    (found,) = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    queue = found["Dimensions"][0]["Value"]
    assert alarm.startswith(queue)
    assert (found["Namespace"], found["MetricName"]) == ("AWS/SQS", metric)


# What the service may do


def test_the_service_receives_findings_and_puts_dead_letters(deployment: Deployment) -> None:
    finding = find(deployment, 8)
    keys = deployment.as_the_service()
    sqs, queue = deployment.client("sqs", keys), deployment.queue("urgent")

    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert finding in message["Body"]
    handle = message["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=5)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
    sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
    send(deployment, "dead-letters", keys)

    with refused("AccessDenied"):
        send(deployment, "urgent", keys)
    with refused("AccessDenied"):
        sqs.purge_queue(QueueUrl=queue)


def test_the_service_enters_a_member_account_for_an_incident_only(deployment: Deployment) -> None:
    service = deployment.as_the_service()
    enter = partial(deployment.session, MEMBER_ROLE, service)

    entered = enter(ExternalId=EXTERNAL_ID, SourceIdentity=INCIDENT)
    deployment.client("ec2", entered).describe_instances()
    deployment.client("guardduty", entered).list_detectors()
    with refused("AccessDenied"):
        deployment.client("iam", entered).delete_role_policy(
            RoleName="clampdown", PolicyName="none"
        )
    wrong: list[dict[str, Any]] = [
        {},
        {"SourceIdentity": INCIDENT},
        {"ExternalId": EXTERNAL_ID},
        {"ExternalId": EXTERNAL_ID, "SourceIdentity": "somebody"},
        {"ExternalId": "another-random-value-00", "SourceIdentity": INCIDENT},
    ]
    for more in wrong:
        with refused("AccessDenied"):
            enter(**more)
    with refused("AccessDenied"):
        deployment.session(MEMBER_ROLE, ExternalId=EXTERNAL_ID, SourceIdentity=INCIDENT)


PLAYBOOKS = f"""\
version: 1
accounts:
  "{MEMBER_ACCOUNT}":
    name: payments
    environment: production
    role: {MEMBER_ROLE}
    external_id: {EXTERNAL_ID}
    regions: [{REGION}]
playbooks:
  tag-it: {{title: a test, target: ec2.instance, steps: [{{step: ec2.tag, with: {{tags: {{a: b}}}}}}]}}
"""


def test_the_doctor_finds_nothing_wrong_with_it(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = deployment.session(f"arn:aws:iam::{MEMBER_ACCOUNT}:role/administrator")
    deployment.client("guardduty", member).create_detector(
        Enable=True, FindingPublishingFrequency="FIFTEEN_MINUTES"
    )
    (tmp_path / "playbooks.yaml").write_text(PLAYBOOKS)
    playbooks = load(tmp_path / "playbooks.yaml")
    settings = Settings(home=tmp_path, simulate=deployment.aws.url, region=REGION)
    serve = ServeSettings(
        queues=(deployment.queue("urgent"), deployment.queue("ordinary")),
        dead_letters=deployment.queue("dead-letters"),
    )
    # In a simulation anybody is the administrator; here it is the service, with its own role.
    service = Credentials(*deployment.as_the_service(), None)
    monkeypatch.setattr(Connections, "_own_credentials", lambda self: service)

    setup = Setup(settings, serve, playbooks)
    found = examine([*accounts.checks(setup), *queues.checks(setup)]).found

    assert {result.what for _, result in found if result.status != "ok"} == set()
    assert len(found) >= 12


def test_the_role_in_a_member_account_may_do_what_the_command_prints(
    deployment: Deployment,
) -> None:
    playbooks = load(ROOT / "playbooks.yaml", STEPS).playbooks.values()
    steps = {entry.step: STEPS[entry.step] for item in playbooks for entry in item.run_steps()}
    own = [MEMBER_ROLE, SERVICE_ROLE]
    printed = policy_for(steps.values(), own, finding_reads=READS)

    member = deployment.session(f"arn:aws:iam::{MEMBER_ACCOUNT}:role/administrator")
    policies = policies_of(partial(deployment.client, keys=member), "clampdown")
    statements = {
        statement["Sid"]: _spelled_out(statement)
        for policy in policies
        for statement in policy["Statement"]
    }

    # What only `clampdown doctor` asks, which contains nothing.
    del statements["DoctorLooks"], statements["DoctorAsksWhatIsAllowed"]
    assert statements == {item["Sid"]: _spelled_out(item) for item in printed["Statement"]}
    assert max(map(characters_of, policies)) <= MANAGED_POLICY_CHARACTERS


def _spelled_out(statement: dict[str, Any]) -> dict[str, Any]:
    """A statement with lists where one value may stand for itself."""
    listed = {key: [value] if isinstance(value, str) else value for key, value in statement.items()}
    return {**listed, "Resource": sorted(listed["Resource"])}


# Evidence


def test_evidence_is_encrypted_versioned_locked_and_not_public(deployment: Deployment) -> None:
    s3 = deployment.client("s3")
    lock = s3.get_object_lock_configuration(Bucket=EVIDENCE)["ObjectLockConfiguration"]
    kept = lock["Rule"]["DefaultRetention"]
    assert (kept["Mode"], kept["Days"]) == ("GOVERNANCE", 90)
    assert s3.get_bucket_versioning(Bucket=EVIDENCE)["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket=EVIDENCE)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    encryption = s3.get_bucket_encryption(Bucket=EVIDENCE)["ServerSideEncryptionConfiguration"]
    default = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert default["SSEAlgorithm"] == "aws:kms"


@pytest.mark.parametrize(
    ("context", "denied"), [({}, False), ({_KEY: ("other",)}, True), ({_KEY: ("",)}, True)]
)
def test_evidence_is_encrypted_with_no_other_key(
    deployment: Deployment, context: dict[str, tuple[str, ...]], denied: bool
) -> None:
    # The simulated S3 has no context keys of its own.
    policy = read_policy(deployment.client("s3").get_bucket_policy(Bucket=EVIDENCE)["Policy"])
    assert policy.denies(asked("s3:PutObject", f"arn:aws:s3:::{EVIDENCE}/x", **context)) is denied


@pytest.mark.parametrize(("tls", "denied"), [("true", False), ("false", True)])
def test_nothing_goes_to_queues_or_evidence_in_the_clear(
    deployment: Deployment, tls: str, denied: bool
) -> None:
    sqs = deployment.client("sqs")
    for name in QUEUES:
        answer = sqs.get_queue_attributes(
            QueueUrl=deployment.queue(name), AttributeNames=["Policy", "QueueArn"]
        )["Attributes"]
        receive = asked("sqs:ReceiveMessage", answer["QueueArn"], **{"aws:securetransport": (tls,)})
        assert read_policy(answer["Policy"]).denies(receive) is denied
    policy = read_policy(deployment.client("s3").get_bucket_policy(Bucket=EVIDENCE)["Policy"])
    get = asked("s3:GetObject", f"arn:aws:s3:::{EVIDENCE}/x", **{"aws:securetransport": (tls,)})
    assert policy.denies(get) is denied


def asked(action: str, resource: str, **context: tuple[str, ...]) -> Asked:
    return Asked(action, resource, root(ACCOUNT).principal, context)


def test_the_service_adds_evidence_and_never_takes_it_away(deployment: Deployment) -> None:
    s3 = deployment.client("s3", deployment.as_the_service())

    version = s3.put_object(Bucket=EVIDENCE, Key="memory.lime", Body=b"0")["VersionId"]

    at = {"Bucket": EVIDENCE, "Key": "memory.lime", "VersionId": version}
    with refused("AccessDenied"):
        s3.delete_object(**at, BypassGovernanceRetention=True)
    with refused("AccessDenied"):
        s3.put_object_retention(**at, Retention={"Mode": "GOVERNANCE"})
    with refused("AccessDenied"):
        s3.put_bucket_lifecycle_configuration(Bucket=EVIDENCE, LifecycleConfiguration={"Rules": []})
