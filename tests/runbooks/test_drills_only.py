"""What a live drill may change: what is tagged for it, its own, and what belongs to its target."""

from __future__ import annotations

import pytest

from runbooks.aws import Where
from runbooks.calls import Call, Change, Keep, Resource
from runbooks.errors import NotForDrills, Refused
from runbooks.guardrails import DrillsOnly, Guardrails
from runbooks.targets.instance import Ec2Instance
from tests.runbooks.instances import instance, interface, volume

INCIDENT = "inc-20261123-abcdef"
DRILL = {"clampdown:drill": "true"}
GROUP = "arn:aws:ec2:eu-west-1:123456789012:security-group/sg-0123456789abcdef0"


def tagged(**tags: str) -> Ec2Instance:
    return instance(volumes=[volume()], interfaces=[interface()], tags=tags)


def rule(*targets: Ec2Instance, made: set[str] | None = None) -> DrillsOnly:
    return DrillsOnly(INCIDENT, lambda: targets, lambda: made or set())


def change(arn: str, operation: str = "create_tags", **tags: str) -> Change:
    return Change(Call("ec2", operation), Resource(arn, tags), Keep("-"), "change it")


def test_what_is_tagged_for_drills_may_be_changed() -> None:
    rule().check(change("arn:aws:iam::123456789012:role/drill", **DRILL))


def test_what_belongs_to_a_tagged_target_may_be_changed() -> None:
    target = tagged(**DRILL)
    belongings = [*target.network_interfaces, *target.volumes]
    assert belongings
    for item in belongings:
        rule(target).check(change(item.resource.arn))


def test_what_belongs_to_a_target_that_is_not_tagged_may_not() -> None:
    target = tagged(environment="production")
    for item in (*target.network_interfaces, *target.volumes):
        with pytest.raises(NotForDrills, match="CreateTags was not sent"):
            rule(target).check(change(item.resource.arn))


@pytest.mark.parametrize("made", [{GROUP}, {"sg-0123456789abcdef0"}])
def test_what_the_incident_has_made_may_be_changed(made: set[str]) -> None:
    rule(made=made).check(change(GROUP))
    with pytest.raises(NotForDrills):
        rule(made={"sg-0"}).check(change(GROUP))


def test_the_mark_of_this_incident_counts_and_that_of_another_does_not() -> None:
    rule().check(change(GROUP, **{"clampdown:incident": INCIDENT}))
    with pytest.raises(NotForDrills):
        rule().check(change(GROUP, **{"clampdown:incident": "inc-20261123-000000"}))


@pytest.mark.parametrize("value", ["True", "yes", "1", ""])
def test_only_true_is_true(value: str) -> None:
    with pytest.raises(NotForDrills):
        rule().check(change(GROUP, **{"clampdown:drill": value}))


def test_something_new_may_be_made_as_long_as_every_target_is_tagged() -> None:
    making = change("arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-1", "create_security_group")
    rule(tagged(**DRILL)).check(making)
    for targets in ((), (tagged(),), (tagged(**DRILL), tagged())):
        with pytest.raises(NotForDrills):
            rule(*targets).check(making)


def test_a_network_acl_entry_is_nothing_new_but_a_change_of_the_acl() -> None:
    acl = "arn:aws:ec2:eu-west-1:123456789012:network-acl/acl-1"
    with pytest.raises(NotForDrills):
        rule(tagged(**DRILL)).check(change(acl, "create_network_acl_entry"))


def test_it_is_refused_before_the_budget_is_spent_and_says_what_to_do() -> None:
    def spent(account: str) -> int:
        raise AssertionError("nothing was to be spent")

    guard = Guardrails([], 10, spent, rule(tagged(**DRILL)))
    with pytest.raises(Refused, match="Tag it if it may be changed in drills") as refused:
        guard.check(change(GROUP), Where("123456789012", "eu-west-1"))
    assert refused.value.exit_code == 3


def test_a_target_itself_must_be_tagged() -> None:
    guard = Guardrails([], 10, lambda account: 0, rule())
    guard.check_target(tagged(**DRILL).resource, "Nothing was done.")
    with pytest.raises(NotForDrills, match="Nothing was done"):
        guard.check_target(tagged().resource, "Nothing was done.")
    # Without a drill, any target may be contained.
    Guardrails([], 10, lambda account: 0).check_target(tagged().resource, "")
