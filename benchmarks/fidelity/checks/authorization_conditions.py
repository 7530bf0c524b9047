"""IAM's enforcement: conditions."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.fidelity.account import REGION, Account
from benchmarks.fidelity.checks.authorization_people import Statement, allow, deny, user
from benchmarks.fidelity.verdicts import Verdicts, check


def _if(statement: Statement, operator: str, key: str, value: Any) -> Statement:
    return {**statement, "Condition": {operator: {key: value}}}


_TAGGING, _ALL = allow("ec2:CreateTags"), allow("ec2:*")
_OF_ITS_TAG, _ELSEWHERE = "ec2:ResourceTag/env", "aws:RequestedRegion"
_ALLOWED = {
    "what is allowed on instances with the tag that it has": [
        _if(_TAGGING, "StringEquals", _OF_ITS_TAG, "prod")
    ],
    "what is denied in other Regions": [
        _ALL,
        _if(deny("ec2:*"), "StringNotEquals", _ELSEWHERE, REGION),
    ],
    "what is denied to tokens issued long ago, for a user's key that is no token": [
        _ALL,
        _if(deny("*"), "DateLessThan", "aws:TokenIssueTime", "2020-01-01T00:00:00Z"),
    ],
    "what is allowed from the caller's address": [
        _if(_ALL, "IpAddress", "aws:SourceIp", "127.0.0.0/8")
    ],
    "what is allowed with tags whose keys are all among these": [
        _if(_TAGGING, "ForAllValues:StringLike", "aws:TagKeys", ["ir:*"])
    ],
}
_REFUSED = {
    "what is allowed on instances with another tag": [
        _if(_TAGGING, "StringEquals", _OF_ITS_TAG, "dev")
    ],
    "what is denied without MFA": [
        _ALL,
        _if(deny("ec2:*"), "BoolIfExists", "aws:MultiFactorAuthPresent", "false"),
    ],
}


@check("enforce", "conditions")
def _conditions(account: Account, seen: Verdicts) -> None:
    victim = account.ids.victim
    account("ec2").create_tags(Resources=[victim], Tags=[{"Key": "env", "Value": "prod"}])
    people = {
        rule: user(account, f"c{number}", *statements)
        for number, (rule, statements) in enumerate({**_ALLOWED, **_REFUSED}.items())
    }
    account.enforce()

    def tag(rule: str) -> Any:
        return account("ec2", credentials=people[rule]).create_tags(
            Resources=[victim], Tags=[{"Key": "ir:a", "Value": "b"}]
        )

    for rule in _ALLOWED:
        seen.done(rule, partial(tag, rule))
    for rule in _REFUSED:
        seen.refused(rule, "UnauthorizedOperation", partial(tag, rule))
