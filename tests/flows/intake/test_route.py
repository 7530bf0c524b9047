from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from flows.intake.finding import Finding
from flows.intake.route import Routed, Unrouted, check_severity, choose
from runbooks.errors import InvalidInput
from tests.flows.intake.documents import changed, read, sample

KINDS = {"ec2-compromise": "ec2.instance", "iam-compromise": "iam.principal", "s3": "s3.bucket"}


@dataclass(frozen=True)
class Match:
    source: str | None = None
    type: tuple[str, ...] = ()
    severity: str | None = None
    resource_role: Literal["ACTOR", "TARGET"] | None = None
    account: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    match: Match = field(default_factory=Match)
    playbook: str = "ec2-compromise"
    mode: Literal["automatic", "propose"] = "automatic"


@dataclass(frozen=True)
class Account:
    name: str = "payments"
    environment: str | None = "production"


def bitcoin() -> Finding:
    return read(sample())


def decide(
    *routes: Route,
    finding: Finding | None = None,
    account: Account | None = Account(),
    tags: Mapping[str, Mapping[str, str]] | None = None,
    live: bool = True,
) -> Routed | Unrouted:
    return choose(routes, finding or bitcoin(), account, tags or {}, target_kinds=KINDS, live=live)


def test_the_first_route_that_matches_wins() -> None:
    decision = decide(
        Route(Match(type=("Backdoor:EC2/*",))),
        Route(Match(type=("Trojan:*", "CryptoCurrency:EC2/*"), severity=">= 7")),
        Route(playbook="iam-compromise"),
    )
    assert isinstance(decision, Routed)
    assert (decision.playbook, decision.mode, decision.route) == ("ec2-compromise", "automatic", 1)
    assert [target.id for target in decision.targets] == ["i-0123456789abcdef0"]
    assert decision.why == (
        "Route 1 (ec2-compromise) does not match: the type 'CryptoCurrency:EC2/BitcoinTool.B' is "
        "none of Backdoor:EC2/*.",
        "Route 2 (ec2-compromise) matches.",
    )


@pytest.mark.parametrize(
    ("match", "why"),
    [
        (Match(source="securityhub"), "it is for securityhub, the finding is guardduty's"),
        (Match(type=("cryptocurrency:ec2/*",)), "is none of cryptocurrency:ec2/*"),
        (Match(severity="> 8"), "the severity 8 is not > 8"),
        (Match(severity="< 4"), "the severity 8 is not < 4"),
        (Match(resource_role="TARGET"), "resources that are TARGET, here the role is ACTOR"),
        (
            Match(account=("shop", "999999999999")),
            "account 123456789012 (payments) is none of shop",
        ),
        (Match(environment=("test", "staging")), "environment is production, not test or staging"),
        (Match(tags={"environment": "test"}), "is 'production', not 'test'"),
        (Match(tags={"owner": "a"}), "the tag owner of i-0123456789abcdef0 is not there, not 'a'"),
    ],
)
def test_a_condition_that_does_not_hold_is_named(match: Match, why: str) -> None:
    decision = decide(Route(match))
    assert isinstance(decision, Unrouted)
    assert why in decision.why[0]
    assert decision.why[-1].startswith("No route matches")


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(source="guardduty"),
        Match(severity="== 8"),
        Match(severity="<=8.0"),
        Match(resource_role="ACTOR"),
        Match(account=("payments",)),
        Match(account=("123456789012",)),
        Match(environment=("production", "test")),
        Match(tags={"environment": "production", "Name": "shop-web-1"}),
    ],
)
def test_conditions_that_hold_let_the_route_match(match: Match) -> None:
    assert isinstance(decide(Route(match)), Routed)


def test_tags_read_now_count_more_than_those_of_the_finding() -> None:
    route = Route(Match(tags={"environment": "test"}))
    assert isinstance(decide(route, tags={"i-0123456789abcdef0": {"environment": "test"}}), Routed)
    route = Route(Match(tags={"environment": "production"}))
    assert isinstance(decide(route, tags={"i-0123456789abcdef0": {}}), Unrouted)


def test_a_target_of_an_attack_is_never_contained_without_a_person() -> None:
    decision = decide(Route(), finding=read(sample("ssh-bruteforce-target.json")))
    assert isinstance(decision, Routed)
    assert decision.mode == "propose"
    assert "TARGET" in decision.why[-1]


def test_an_unknown_role_is_never_contained_without_a_person() -> None:
    finding = read(changed(sample(), "detail.service.resourceRole", "BYSTANDER"))
    decision = decide(Route(), finding=finding)
    assert isinstance(decision, Routed)
    assert decision.mode == "propose"
    assert "doesn't say" in decision.why[-1]


def test_a_proposal_stays_one() -> None:
    decision = decide(Route(mode="propose"))
    assert isinstance(decision, Routed)
    assert decision.mode == "propose"


def test_samples_are_for_rehearsal_only() -> None:
    finding = read(sample("sample-finding.json"))
    decision = decide(Route(), finding=finding)
    assert isinstance(decision, Unrouted)
    assert "sample" in decision.why[0]
    assert isinstance(decide(Route(), finding=finding, live=False), Routed)


def test_archived_findings_are_left_alone() -> None:
    finding = read(changed(sample(), "detail.service.archived", True))
    decision = decide(Route(), finding=finding)
    assert isinstance(decision, Unrouted)
    assert "archived" in decision.why[0]


def test_an_account_that_is_not_listed_is_left_alone() -> None:
    decision = decide(Route(), account=None)
    assert decision == Unrouted(
        (
            "Account 123456789012 is not in playbooks.yaml, and nothing is done in accounts that "
            "aren't listed there.",
        )
    )


def test_a_finding_without_the_playbooks_kind_of_resource_is_unrouted() -> None:
    decision = decide(Route(playbook="s3"), Route())
    assert isinstance(decision, Unrouted)
    assert decision.why == (
        "Route 1 (s3) matches, but its playbook is for s3.bucket, and the finding names only "
        "ec2.instance. Nothing is done.",
    )
    nothing = read(changed(sample(), "detail.resource", {}))
    assert "names no resource" in decide(Route(), finding=nothing).why[0]


def test_all_instances_of_a_sequence_are_targets() -> None:
    decision = decide(Route(), finding=read(sample("attack-sequence.json")))
    assert isinstance(decision, Routed)
    assert [target.id for target in decision.targets] == [
        "i-0123456789abcdef0",
        "i-0aaaaaaaaaaaaaaa1",
    ]
    assert decision.why[-1] == (
        "The finding names 2 targets: i-0123456789abcdef0, i-0aaaaaaaaaaaaaaa1."
    )


def test_a_tag_must_be_on_every_target() -> None:
    finding = read(sample("attack-sequence.json"))
    route = Route(Match(tags={"environment": "production"}))
    assert isinstance(decide(route, finding=finding), Routed)
    assert isinstance(decide(route, finding=finding, tags={"i-0aaaaaaaaaaaaaaa1": {}}), Unrouted)


def test_no_routes_lead_nowhere() -> None:
    assert isinstance(decide(), Unrouted)


def test_sentences_do_not_carry_control_characters() -> None:
    finding = read(changed(sample(), "detail.type", "Backdoor:EC2/\u202ex"))
    assert "\u202e" not in "".join(decide(Route(Match(type=("x",))), finding=finding).why)


@pytest.mark.parametrize("condition", ["7", ">= high", ">= 11", "=> 7", ">= 7 or 1", "", ">= -1"])
def test_a_severity_that_is_no_comparison_is_refused(condition: str) -> None:
    with pytest.raises(InvalidInput):
        check_severity(condition)
    with pytest.raises(InvalidInput):
        decide(Route(Match(severity=condition)))


def test_a_route_to_a_playbook_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput, match="doesn't exist"):
        decide(Route(playbook="absent"))
