"""AWS: credentials, roles, GuardDuty and permissions, on the simulated AWS with IAM enforced."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from flows.doctor import accounts
from flows.doctor.check import ok
from flows.gameday.aws.faults import Fault
from runbooks.permissions import policy_for
from runbooks.registry import STEPS as ALL_STEPS
from tests.flows.doctor.clinic import Clinic, trust

OWN = "123456789012"
OTHER = "222222222222"
ROLE = f"arn:aws:iam::{OTHER}:role/clampdown"
NAME = f"{OTHER} (payments)"
GUARDDUTY = f"{NAME}, GuardDuty in eu-west-1"
LOOKING = ("sts:GetCallerIdentity", "guardduty:*", "iam:SimulatePrincipalPolicy")


class Payments:
    """The other account, in which there is a role for Clampdown and GuardDuty is on."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        how = f"name: payments, environment: test, role: {ROLE}, regions: [eu-west-1]"
        clinic.accounts = f'{{"{OTHER}": {{{how}}}}}'
        clinic.scene.aws.configure(enforce_iam=False)
        credentials = clinic.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{OTHER}:role/administrator", RoleSessionName="setting-up"
        )["Credentials"]
        self._session = boto3.Session(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            region_name="eu-west-1",
        )
        self.iam = self.client("iam")
        self.guardduty = self.client("guardduty")
        self.iam.create_role(RoleName="clampdown", AssumeRolePolicyDocument=trust(OWN))
        self.allow(*LOOKING)
        self.allow_playbooks("ec2.tag")
        self.detector = self.guardduty.create_detector(
            Enable=True, FindingPublishingFrequency="FIFTEEN_MINUTES"
        )["DetectorId"]
        clinic.scene.aws.calls.clear()

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self.clinic.scene.aws.url)

    def allow(self, *actions: str) -> None:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        self._put("looking", {"Version": "2012-10-17", "Statement": [statement]})

    def allow_playbooks(self, *steps: str) -> None:
        """The policy that `clampdown permissions` prints for these steps."""
        self._put("playbooks", policy_for({ALL_STEPS[step] for step in steps}, [ROLE]))

    def _put(self, name: str, policy: Any) -> None:
        self.iam.put_role_policy(
            RoleName="clampdown", PolicyName=name, PolicyDocument=json.dumps(policy)
        )

    def examine(self) -> Any:
        """With IAM enforced, as AWS does."""
        self.clinic.scene.aws.configure(enforce_iam=True)
        try:
            return self.clinic.examine(accounts.checks)
        finally:
            self.clinic.scene.aws.configure(enforce_iam=False)


@pytest.fixture
def payments(clinic: Clinic) -> Payments:
    return Payments(clinic)


def test_a_good_account_is_good_and_nothing_in_it_is_changed(payments: Payments) -> None:
    found = payments.examine()

    assert {name: result.status for name, result in found.items()} == {
        "credentials": "ok",
        "clock": "ok",
        NAME: "ok",
        GUARDDUTY: "ok",
        f"{NAME}, permissions": "ok",
    }, found
    assert ROLE in found[NAME].what
    assert "anew every 15 minutes" in found[GUARDDUTY].what
    assert payments.clinic.scene.aws.calls.changes == []


def test_a_role_that_is_gone_is_named(payments: Payments) -> None:
    payments.iam.delete_role_policy(RoleName="clampdown", PolicyName="looking")
    payments.iam.delete_role_policy(RoleName="clampdown", PolicyName="playbooks")
    payments.iam.delete_role(RoleName="clampdown")

    found = payments.examine()

    assert found[NAME].status == "problem"
    assert f"The role {ROLE} can't be assumed" in found[NAME].what
    assert found[NAME].meaning == "Nothing can be contained there."
    assert found[GUARDDUTY].status == "not looked at"
    assert found[f"{NAME}, permissions"].status == "not looked at"


def test_a_role_that_does_not_let_us_in_is_named(payments: Payments) -> None:
    payments.iam.update_assume_role_policy(
        RoleName="clampdown", PolicyDocument=trust("333333333333")
    )

    result = payments.examine()[NAME]

    assert result.status == "problem"
    assert "trust policy" in result.advice


def test_credentials_of_another_account_are_told(clinic: Clinic) -> None:
    clinic.accounts = f'{{"{OTHER}": {{name: payments, environment: test}}}}'

    result = clinic.examine(accounts.checks)[NAME]

    assert result.status == "problem"
    assert f"belong to account {OWN}" in result.what
    assert "Give it a `role`" in result.advice


def test_an_account_without_regions_is_entered_where_we_are(clinic: Clinic) -> None:
    clinic.accounts = f'{{"{OWN}": {{name: sandbox, environment: test}}}}'
    found = clinic.examine(accounts.checks)
    assert found[f"{OWN} (sandbox)"].status == "ok"
    assert f"{OWN} (sandbox), GuardDuty in eu-west-1" in found

    clinic.settings["region"] = ""
    found = clinic.examine(accounts.checks)
    assert found[f"{OWN} (sandbox)"].status == "not looked at"
    assert "gives no regions" in found[f"{OWN} (sandbox)"].what


def test_without_credentials_that_is_the_only_problem(payments: Payments) -> None:
    payments.clinic.scene.aws.fault(
        Fault(service="sts", effect="error", code="InvalidClientTokenId", status=403)
    )

    found = payments.examine()

    assert found["credentials"].status == "problem"
    others = {name: found[name].status for name in found if name not in {"credentials", "clock"}}
    assert set(others.values()) == {"not looked at"}


def test_no_detector_is_a_problem(payments: Payments) -> None:
    payments.guardduty.delete_detector(DetectorId=payments.detector)

    result = payments.examine()[GUARDDUTY]

    assert result.status == "problem"
    assert "no detector" in result.what
    assert "DeleteDetector" in result.advice


def test_a_detector_that_is_switched_off_is_a_problem(payments: Payments) -> None:
    payments.guardduty.update_detector(DetectorId=payments.detector, Enable=False)

    result = payments.examine()[GUARDDUTY]

    assert result.status == "problem"
    assert "switched off" in result.what
    assert "UpdateDetector" in result.advice


def test_findings_that_are_updated_hours_later_are_a_warning(payments: Payments) -> None:
    payments.guardduty.update_detector(
        DetectorId=payments.detector, FindingPublishingFrequency="SIX_HOURS"
    )

    result = payments.examine()[GUARDDUTY]

    assert result.status == "warning"
    assert "15 minutes" in result.advice


def test_suppression_rules_are_named(payments: Payments) -> None:
    for name, action in {"not-mine": "ARCHIVE", "view": "NOOP"}.items():
        payments.guardduty.create_filter(
            DetectorId=payments.detector,
            Name=name,
            Action=action,
            FindingCriteria={"Criterion": {"severity": {"Gte": 7}}},
        )

    result = payments.examine()[GUARDDUTY]

    assert result.status == "ok"
    assert "suppression rules keep findings away: not-mine." in result.what


def test_what_may_not_be_looked_at_is_said(payments: Payments) -> None:
    payments.allow("guardduty:ListDetectors")

    found = payments.examine()

    assert found[GUARDDUTY].status == "not looked at"
    assert "guardduty:GetDetector" in found[GUARDDUTY].what
    assert found[f"{NAME}, permissions"].status == "not looked at"
    assert "iam:SimulatePrincipalPolicy" in found[f"{NAME}, permissions"].what


def test_a_role_that_may_not_ask_for_findings_is_a_problem(payments: Payments) -> None:
    payments.allow("iam:SimulatePrincipalPolicy")

    result = payments.examine()[GUARDDUTY]

    assert result.status == "problem"
    assert "guardduty:ListDetectors" in result.what


def test_what_permissions_prints_is_enough_for_every_step(payments: Payments) -> None:
    payments.clinic.steps = "\n".join(
        ["- approve: {id: contain, by: oncall}", *(f"- {{step: {name}}}" for name in ALL_STEPS)]
    ).replace("{step: ec2.tag}", "{step: ec2.tag, with: {tags: {a: b}}}")
    payments.allow_playbooks(*ALL_STEPS)

    result = payments.examine()[f"{NAME}, permissions"]

    assert result == ok("The policy simulator allows all that the playbooks need.")


def test_permissions_that_were_taken_away_are_named(payments: Payments) -> None:
    payments.clinic.steps = "- approve: {id: contain, by: oncall}\n- {step: ec2.isolate}"

    result = payments.examine()[f"{NAME}, permissions"]

    assert result.status == "problem"
    assert "ec2:AuthorizeSecurityGroupEgress" in result.what
    assert "clampdown permissions" in result.advice
