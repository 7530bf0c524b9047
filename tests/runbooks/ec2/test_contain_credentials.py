"""``ec2.contain_credentials``: the source goes first, then the sessions, and nobody else's."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from flows.gameday.aws.faults import Fault
from runbooks.aws import Once
from runbooks.calls import Call, Resource
from runbooks.ec2.contain_credentials import (
    PROPAGATION,
    ContainCredentials,
    CredentialContainment,
)
from runbooks.errors import AccessDenied, AwsRefused, NotContained, ProtectedResource
from runbooks.guardrails import Protected
from runbooks.targets.instance import (
    CONTAINED_PROFILE,
    FORMER_PROFILE_TAG,
    ContainedProfile,
    Credentials,
    Ec2Instance,
    Role,
)
from runbooks.targets.reading import DENY_ALL_POLICY, ROLE_POLICY, instance_policy, policy_text
from tests.runbooks.driver import ACCOUNT, REGION, Incident, MemoryLedger
from tests.runbooks.instances import INSTANCE, Plan, instance
from tests.runbooks.stage import Stage

ROLE = "payments-app"
PROFILE = "payments-app-profile"
ROLE_ID = "AROA0123456789EXAMPLE"
DENY_ALL = policy_text(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "ClampdownDenyAll", "Effect": "Deny", "Action": "*", "Resource": "*"}
        ],
    }
)
THERE = ContainedProfile(True, CONTAINED_PROFILE, True, {DENY_ALL_POLICY: DENY_ALL})
NOTHING_THERE = ContainedProfile(False, None, False, {})


# By facts alone


def role(path: str = "/app/", **policies: str) -> Role:
    return Role(Resource(f"arn:aws:iam::{ACCOUNT}:role{path}{ROLE}"), ROLE, ROLE_ID, path, policies)


def target(
    profile: str | None = PROFILE,
    *,
    of: Role | None = None,
    association: str | None = "iip-assoc-1",
    contained: ContainedProfile = THERE,
    caller: str = "AROAOTHER:clampdown",
    state: str = "running",
    tags: dict[str, str] | None = None,
    without_role: bool = False,
) -> Ec2Instance:
    facts = Credentials(
        association if profile else None,
        f"arn:aws:iam::{ACCOUNT}:instance-profile/app/{profile}" if profile else None,
        profile,
        None if without_role else of or role(),
        contained,
        caller,
    )
    return replace(instance(facts=[facts], tags=tags), state=state)


def plan(of: Ec2Instance, **params: Any) -> Plan:
    return Plan(ContainCredentials, of, params)


def operations(plan: Plan) -> list[str]:
    return [call.operation for call in plan.calls]


def document(call: Call) -> Any:
    return json.loads(call.params["PolicyDocument"])


def test_the_profile_goes_first_and_then_the_sessions_are_denied() -> None:
    assert operations(plan(target())) == [
        "create_tags",
        "replace_iam_instance_profile_association",
        "put_role_policy",
    ]


def test_only_this_instance_is_denied_by_its_arn_or_by_the_name_of_its_sessions() -> None:
    policy = plan(target()).calls[-1]

    assert policy.params["RoleName"] == ROLE
    assert policy.params["PolicyName"] == f"clampdown-deny-{INSTANCE}"
    statements = document(policy)["Statement"]
    assert [statement["Condition"] for statement in statements] == [
        {"ArnEquals": {"ec2:SourceInstanceARN": target().ref.arn}},
        {"StringLike": {"aws:userid": f"{ROLE_ID}:{INSTANCE}"}},
    ]
    assert {(s["Effect"], s["Action"], s["Resource"]) for s in statements} == {("Deny", "*", "*")}
    assert "nobody else's" in plan(target()).changes[-1].why


def test_an_instance_without_a_profile_is_left_alone() -> None:
    bare = target(None, without_role=True)

    assert plan(bare).calls == []
    assert not plan(bare).warnings
    verify(bare)


def test_an_instance_that_is_contained_is_left_alone() -> None:
    denied = json.dumps(document(plan(target()).calls[-1]), sort_keys=True, separators=(",", ":"))
    contained = target(CONTAINED_PROFILE, of=role(**{instance_policy(INSTANCE): denied}))

    assert plan(contained).calls == []
    verify(contained)


def test_the_metadata_service_can_be_switched_off_instead() -> None:
    assert operations(plan(target(), profile="keep", disable_imds=True)) == [
        "modify_instance_metadata_options",
        "put_role_policy",
    ]


def test_an_instance_that_does_not_run_loses_its_profile_because_it_cannot_be_replaced() -> None:
    assert operations(plan(target(state="stopped"))) == [
        "create_tags",
        "disassociate_iam_instance_profile",
        "put_role_policy",
    ]


def test_the_sessions_are_denied_although_the_profile_is_gone_already() -> None:
    assert operations(plan(target(None))) == ["put_role_policy"]


def test_a_profile_without_an_association_is_not_taken_for_contained() -> None:
    with pytest.raises(NotContained, match="no association"):
        plan(target(association=None))


def test_what_is_half_made_of_the_deny_all_profile_is_completed() -> None:
    def made(there: ContainedProfile) -> list[str]:
        return [name for name in operations(plan(target(contained=there))) if "tags" not in name][
            :-2
        ]

    role_only = ContainedProfile(False, None, True, {})
    without_role = ContainedProfile(True, None, True, {DENY_ALL_POLICY: DENY_ALL})
    assert made(NOTHING_THERE) == [
        "create_role",
        "put_role_policy",
        "create_instance_profile",
        "add_role_to_instance_profile",
    ]
    assert made(role_only) == [
        "put_role_policy",
        "create_instance_profile",
        "add_role_to_instance_profile",
    ]
    assert made(without_role) == ["add_role_to_instance_profile"]
    assert made(THERE) == []


def test_a_deny_all_profile_that_somebody_has_opened_is_closed_again() -> None:
    opened = replace(THERE, role="admin", policies={DENY_ALL_POLICY: "{}"})

    calls = plan(target(CONTAINED_PROFILE, contained=opened)).calls

    assert [(call.operation, call.params["RoleName"]) for call in calls[:3]] == [
        ("put_role_policy", CONTAINED_PROFILE),
        ("remove_role_from_instance_profile", "admin"),
        ("add_role_to_instance_profile", CONTAINED_PROFILE),
    ]
    with pytest.raises(NotContained, match="does not deny everything"):
        verify(target(CONTAINED_PROFILE, contained=opened))


@pytest.mark.parametrize(
    "path", ["/aws-service-role/spot.amazonaws.com/", "/aws-reserved/sso.amazonaws.com/"]
)
def test_a_role_that_belongs_to_aws_is_named_and_the_profile_still_replaced(path: str) -> None:
    of_aws = plan(target(of=role(path)), scope="role")

    assert operations(of_aws) == ["create_tags", "replace_iam_instance_profile_association"]
    assert "belongs to AWS" in of_aws.warnings
    verify(target(CONTAINED_PROFILE, of=role(path)))


def test_a_profile_without_a_role_is_replaced_and_the_plan_says_what_it_cannot_deny() -> None:
    empty = plan(target(without_role=True))

    assert operations(empty) == ["create_tags", "replace_iam_instance_profile_association"]
    assert "no role is known" in empty.warnings


def test_the_plan_says_that_the_ssm_agent_goes_and_that_other_sessions_stay() -> None:
    said = plan(target()).warnings

    assert "SSM agent" in said
    assert f"AssumeRole by {ROLE_ID}:{INSTANCE}" in said


def test_the_profile_is_noted_on_the_instance_and_the_undo_takes_the_note_away() -> None:
    note = plan(target()).changes[0]
    tag = [{"Key": FORMER_PROFILE_TAG, "Value": PROFILE}]

    assert note.call == Call("ec2", "create_tags", Resources=[INSTANCE], Tags=tag)
    assert [undo.call for undo in note.undos] == [
        Call("ec2", "delete_tags", Resources=[INSTANCE], Tags=tag)
    ]


def test_an_instance_full_of_tags_is_contained_without_the_note() -> None:
    full = plan(target(tags={f"key-{number}": "" for number in range(50)}))

    assert operations(full) == ["replace_iam_instance_profile_association", "put_role_policy"]
    assert "can't be noted" in full.warnings


def test_clampdown_does_not_deny_the_role_with_which_it_acts() -> None:
    with pytest.raises(ProtectedResource, match="with which Clampdown acts"):
        plan(target(caller=f"{ROLE_ID}:clampdown"), scope="role")
    with pytest.raises(ProtectedResource, match="with which Clampdown acts"):
        plan(target(caller=f"{ROLE_ID}:{INSTANCE}"))


def test_another_instance_of_the_responders_own_role_can_be_contained() -> None:
    assert "put_role_policy" in operations(plan(target(caller=f"{ROLE_ID}:i-0fedcba9876543210")))


@pytest.mark.parametrize(
    ("left", "of", "params"),
    [
        ("still has the profile", target(), {}),
        ("metadata service", target(None, without_role=True), {"disable_imds": True}),
        ("does not deny its sessions", target(CONTAINED_PROFILE), {}),
        (
            "issued before",
            target(CONTAINED_PROFILE, of=role(**{ROLE_POLICY: "{}"})),
            {"scope": "role"},
        ),
    ],
)
def test_verify_names_what_is_left(left: str, of: Ec2Instance, params: dict[str, Any]) -> None:
    with pytest.raises(NotContained, match=left):
        verify(of, **params)


def verify(of: Ec2Instance, **params: Any) -> None:
    # It looks at facts only, so there is no AWS to give.
    step, values = ContainCredentials(), CredentialContainment.model_validate(params)
    step.verify(None, of, values)  # type: ignore[arg-type]


def test_a_scope_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError):
        CredentialContainment.model_validate({"scope": "account"})


# On the simulated AWS


def run(incident: Incident, name: str, stage: Stage, **params: Any) -> MemoryLedger:
    return incident.run(ContainCredentials, stage.world.ids[name], params)


def profile_of(stage: Stage, name: str) -> str | None:
    arn = stage.state()["profiles"].get(stage.world.ids[name])
    return arn.rsplit("/", 1)[1] if arn else None


def policies(stage: Stage) -> dict[str, Any]:
    with stage.unrecorded():
        iam = stage.client("iam")
        names = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
        return {
            name: iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]
            for name in names
        }


def revoked_before(stage: Stage) -> datetime:
    (statement,) = policies(stage)[ROLE_POLICY]["Statement"]
    text = statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"]
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def test_the_role_is_found_through_the_profile_whatever_their_names_and_paths(
    stage: Stage, incident: Incident
) -> None:
    run(incident, "victim", stage)

    assert profile_of(stage, "victim") == CONTAINED_PROFILE
    assert list(policies(stage)) == [instance_policy(stage.world.victim)]


def test_nobody_else_with_the_role_is_touched(stage: Stage, incident: Incident) -> None:
    before = stage.state()["profiles"]

    run(incident, "victim", stage)

    after = stage.state()["profiles"]
    others = set(before) - {stage.world.victim}
    assert {key: after[key] for key in others} == {key: before[key] for key in others}


def test_a_standalone_instance_without_a_profile_gets_no_calls(
    stage: Stage, incident: Incident
) -> None:
    assert run(incident, "standalone", stage).intents == []
    assert stage.changes() == []


def test_a_denied_policy_leaves_the_profile_replaced(stage: Stage, incident: Incident) -> None:
    run(incident, "member_1", stage)
    stage.deny("iam:PutRolePolicy")

    with pytest.raises(AccessDenied, match="iam:PutRolePolicy"):
        run(incident, "victim", stage)

    assert profile_of(stage, "victim") == CONTAINED_PROFILE


def test_a_profile_that_ec2_does_not_know_yet_is_waited_for(
    stage: Stage, incident: Incident
) -> None:
    stage.aws.fault(
        Fault(
            service="ec2",
            operation="ReplaceIamInstanceProfileAssociation",
            code="InvalidParameterValue",
            message="Value (clampdown-contained) for parameter iamInstanceProfile.name is invalid."
            " Invalid IAM Instance Profile name",
            times=3,
        )
    )

    ledger = run(incident, "victim", stage)

    assert set(ledger.outcomes.values()) == {"done"}
    assert profile_of(stage, "victim") == CONTAINED_PROFILE


def test_a_stopped_instance_loses_its_profile_and_gets_it_back(
    stage: Stage, incident: Incident
) -> None:
    stage.client("ec2").stop_instances(InstanceIds=[stage.world.ids["bystander"]])
    before = stage.state()

    ledger = run(incident, "bystander", stage)

    assert profile_of(stage, "bystander") is None
    incident.undo(ledger)
    assert stage.state() == before


def test_an_instance_that_was_stopped_meanwhile_gets_its_profile_back(
    stage: Stage, incident: Incident
) -> None:
    ledger = run(incident, "bystander", stage)
    stage.client("ec2").stop_instances(InstanceIds=[stage.world.ids["bystander"]])

    incident.undo(ledger)

    assert profile_of(stage, "bystander") == PROFILE
    assert policies(stage) == {}


def test_the_profile_from_before_the_incident_comes_back_whatever_an_intruder_put_there(
    stage: Stage, incident: Incident
) -> None:
    ledger = MemoryLedger()
    victim = stage.world.victim
    incident.run(ContainCredentials, victim, ledger=ledger)
    _associate(stage, victim, "evil")

    with pytest.raises(NotContained, match="still has the profile evil"):
        incident.verify(ContainCredentials, victim)
    incident.run(ContainCredentials, victim, ledger=ledger)

    assert profile_of(stage, "victim") == CONTAINED_PROFILE
    incident.undo(ledger)
    assert profile_of(stage, "victim") == PROFILE


def _associate(stage: Stage, instance_id: str, name: str) -> None:
    iam, ec2 = stage.client("iam"), stage.client("ec2")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    (association,) = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance_id]}]
    )["IamInstanceProfileAssociations"]
    ec2.replace_iam_instance_profile_association(
        AssociationId=association["AssociationId"], IamInstanceProfile={"Name": name}
    )


def test_the_deny_all_profile_stays_as_long_as_another_incident_needs_it(stage: Stage) -> None:
    first, second = Incident(stage.url), Incident(stage.url, id="inc-20260102-fedcba")
    made = run(first, "victim", stage)
    used = run(second, "bystander", stage)

    first.undo(made)

    assert profile_of(stage, "victim") == PROFILE
    assert stage.state()["iam"]["profiles"][CONTAINED_PROFILE] == [CONTAINED_PROFILE]
    assert stage.state()["iam"]["roles"][CONTAINED_PROFILE] == [DENY_ALL_POLICY]
    second.verify(ContainCredentials, stage.world.ids["bystander"])
    second.undo(used)
    # Who made it takes it away, once nobody uses it any more.
    first.undo(made)
    assert CONTAINED_PROFILE not in stage.state()["iam"]["profiles"]
    assert CONTAINED_PROFILE not in stage.state()["iam"]["roles"]


def test_undo_of_creations_that_were_never_sent_leaves_what_another_incident_made(
    stage: Stage, incident: Incident
) -> None:
    planned = [
        change
        for change in incident.plan(ContainCredentials, stage.world.victim).changes
        if change.call.operation in {"create_role", "create_instance_profile"}
    ]
    iam, theirs = stage.client("iam"), [{"Key": "clampdown:incident", "Value": "inc-other"}]
    iam.create_role(
        RoleName=CONTAINED_PROFILE,
        AssumeRolePolicyDocument=planned[0].call.params["AssumeRolePolicyDocument"],
        Tags=theirs,
    )
    incident.undo(MemoryLedger(intents=planned))
    iam.create_instance_profile(InstanceProfileName=CONTAINED_PROFILE, Tags=theirs)
    incident.undo(MemoryLedger(intents=planned))
    iam.add_role_to_instance_profile(
        InstanceProfileName=CONTAINED_PROFILE, RoleName=CONTAINED_PROFILE
    )
    incident.undo(MemoryLedger(intents=planned))

    assert len(planned) == 2
    assert stage.state()["iam"]["profiles"][CONTAINED_PROFILE] == [CONTAINED_PROFILE]


def test_undo_leaves_a_deny_all_profile_that_was_there_before(stage: Stage) -> None:
    first, second = Incident(stage.url), Incident(stage.url, id="inc-20260102-fedcba")
    run(first, "victim", stage)

    second.undo(run(second, "bystander", stage))

    assert stage.state()["iam"]["profiles"][CONTAINED_PROFILE] == [CONTAINED_PROFILE]


def test_the_role_of_a_contained_instance_is_still_known_and_verified(
    stage: Stage, incident: Incident
) -> None:
    run(incident, "victim", stage)
    stage.client("iam").delete_role_policy(
        RoleName=ROLE, PolicyName=instance_policy(stage.world.victim)
    )

    with pytest.raises(NotContained, match="payments-app does not deny its sessions"):
        incident.verify(ContainCredentials, stage.world.victim)
    assert [change.call.operation for change in run(incident, "victim", stage).intents] == [
        "put_role_policy"
    ]


@pytest.mark.parametrize("value", ["no such profile", "x" * 200, "gone-profile", ""])
def test_a_note_that_leads_nowhere_keeps_nothing_from_being_contained(
    stage: Stage, incident: Incident, value: str
) -> None:
    standalone = stage.world.ids["standalone"]
    stage.client("ec2").create_tags(
        Resources=[standalone], Tags=[{"Key": FORMER_PROFILE_TAG, "Value": value}]
    )

    assert run(incident, "standalone", stage).intents == []
    # IAM answers a name that can't be one with an error (ValidationError).
    asked = {
        call.parameters["InstanceProfileName"]
        for call in stage.aws.calls
        if call.operation == "GetInstanceProfile"
    }
    assert asked <= {CONTAINED_PROFILE, "gone-profile"}


def test_a_forged_note_does_not_hide_the_profile_that_the_instance_has(
    stage: Stage, incident: Incident
) -> None:
    before = {"Key": FORMER_PROFILE_TAG, "Value": "another-profile"}
    stage.client("ec2").create_tags(Resources=[stage.world.victim], Tags=[before])
    state = stage.state()

    ledger = run(incident, "victim", stage)

    assert list(policies(stage)) == [instance_policy(stage.world.victim)]
    incident.undo(ledger)
    assert stage.state() == state


def test_the_whole_role_is_revoked_as_of_now_in_utc_wherever_the_responder_is(
    stage: Stage, incident: Incident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    time.tzset()
    try:
        began = datetime.now(UTC).replace(microsecond=0)
        run(incident, "victim", stage, scope="role")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert began <= revoked_before(stage) - PROPAGATION <= datetime.now(UTC)
    assert set(policies(stage)) == {ROLE_POLICY, instance_policy(stage.world.victim)}


def test_the_time_is_stamped_after_the_profile_was_replaced(
    stage: Stage, incident: Incident
) -> None:
    ledger = run(incident, "victim", stage, scope="role")

    made = [change.call.operation for change in ledger.intents]
    swapped = made.index("replace_iam_instance_profile_association")
    assert made[swapped + 1 :] == ["put_role_policy", "put_role_policy"]
    assert ledger.intents[-1].call.params["PolicyName"] == ROLE_POLICY


def test_the_plan_names_everybody_who_loses_sessions_with_the_role(
    stage: Stage, incident: Incident
) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"],
                    "AWS": "arn:aws:iam::210987654321:root",
                },
                "Action": "sts:AssumeRole",
            }
        ],
    }
    stage.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(trust))

    said = " ".join(
        incident.plan(ContainCredentials, stage.world.victim, {"scope": "role"}).warnings
    )

    ids = stage.world.ids
    for name in ("member_1", "member_2", "bystander"):
        assert ids[name] in said
    assert "(bystander)" in said
    assert ids["standalone"] not in said
    assert "lambda.amazonaws.com" in said
    assert "210987654321" in said
    assert "six hours" in said
    assert "begin after the call are not" in said


def test_only_the_scope_role_asks_who_else_uses_it(stage: Stage, incident: Incident) -> None:
    planned = incident.plan(ContainCredentials, stage.world.victim)

    assert stage.world.ids["bystander"] not in " ".join(planned.warnings)
    assert "iam:ListInstanceProfilesForRole" not in stage.actions()


def test_targets_that_share_a_role_revoke_it_once_and_are_each_denied(
    stage: Stage, incident: Incident
) -> None:
    once, names = Once(), ("victim", "member_1")
    planned = [
        incident.plan(ContainCredentials, stage.world.ids[name], {"scope": "role"}, once=once)
        for name in names
    ]

    put = [
        change.call.params["PolicyName"]
        for step in planned
        for change in step.changes
        if change.call.operation == "put_role_policy"
    ]
    assert sorted(put) == sorted(
        [
            DENY_ALL_POLICY,
            ROLE_POLICY,
            *(instance_policy(stage.world.ids[name]) for name in names),
        ]
    )


def test_a_later_incident_stamps_anew_and_its_undo_gives_the_earlier_time_back(
    stage: Stage,
) -> None:
    first, second = Incident(stage.url), Incident(stage.url, id="inc-20260102-fedcba")
    run(first, "victim", stage, scope="role")
    earlier = policies(stage)[ROLE_POLICY]
    assert run(first, "victim", stage, scope="role").intents == []

    later = run(second, "bystander", stage, scope="role")

    assert policies(stage)[ROLE_POLICY] != earlier
    second.undo(later)
    assert policies(stage)[ROLE_POLICY] == earlier


def test_undo_does_not_take_a_later_incidents_time_away(stage: Stage) -> None:
    first, second = Incident(stage.url), Incident(stage.url, id="inc-20260102-fedcba")
    earlier = run(first, "victim", stage, scope="role")
    run(second, "bystander", stage, scope="role")
    later = policies(stage)[ROLE_POLICY]

    first.undo(earlier)

    assert policies(stage)[ROLE_POLICY] == later


def test_a_policy_of_that_name_that_was_there_before_comes_back(
    stage: Stage, incident: Incident
) -> None:
    theirs = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}],
    }
    names = (ROLE_POLICY, instance_policy(stage.world.victim))
    for name in names:
        stage.client("iam").put_role_policy(
            RoleName=ROLE, PolicyName=name, PolicyDocument=json.dumps(theirs)
        )

    ledger = run(incident, "victim", stage, scope="role")

    assert all(policies(stage)[name] != theirs for name in names)
    incident.undo(ledger)
    assert policies(stage) == dict.fromkeys(names, theirs)


def test_a_role_full_of_policies_is_said_to_be_full(stage: Stage, incident: Incident) -> None:
    bulky = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::" + "b" * 10_000}
        ],
    }
    stage.client("iam").put_role_policy(
        RoleName=ROLE, PolicyName="theirs", PolicyDocument=json.dumps(bulky)
    )

    with pytest.raises(AwsRefused, match="10,240 characters") as caught:
        run(incident, "victim", stage)

    assert caught.value.code == "LimitExceeded"
    assert ROLE in str(caught.value)
    assert "resume" in caught.value.advice
    assert profile_of(stage, "victim") == CONTAINED_PROFILE


def test_a_protected_role_is_not_denied_although_only_its_tag_says_so(
    stage: Stage, incident: Incident
) -> None:
    stage.client("iam").tag_role(
        RoleName=ROLE, Tags=[{"Key": "clampdown:protected", "Value": "true"}]
    )
    incident.protected = [Protected(tags={"clampdown:protected": "true"})]

    with pytest.raises(ProtectedResource, match=ROLE):
        run(incident, "victim", stage)

    assert policies(stage) == {}


def test_what_is_created_carries_the_incidents_mark(stage: Stage, incident: Incident) -> None:
    run(incident, "victim", stage)

    iam = stage.client("iam")
    mark = {"Key": "clampdown:incident", "Value": incident.id}
    profile = iam.get_instance_profile(InstanceProfileName=CONTAINED_PROFILE)["InstanceProfile"]
    assert mark in iam.get_role(RoleName=CONTAINED_PROFILE)["Role"]["Tags"]
    assert mark in profile["Tags"]
    assert REGION not in profile["Arn"]
