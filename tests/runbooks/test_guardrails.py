"""Guardrails: what is protected stays, and no sequence of changes exceeds the budget."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.aws import Where
from runbooks.calls import Call, Change, Keep, Resource
from runbooks.errors import BudgetExceeded, ProtectedResource
from runbooks.guardrails import Guardrails, Protected

HERE = Where("123456789012", "eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/break-glass-admin"


def change(arn: str = "arn:aws:ec2:::instance/i-1", **tags: str) -> Change:
    return Change(Call("ec2", "create_tags"), Resource(arn, tags), Keep("-"), "tag")


class Counting:
    """What an account has spent: so much already, and every change that is asked about."""

    def __init__(self, before: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self.before = before

    def __call__(self, account: str) -> int:
        self.counts[account] += 1
        return self.before + self.counts[account] - 1


def guardrails(*protected: Protected, budget: int = 10, spent: int = 0) -> Guardrails:
    return Guardrails(protected, budget, Counting(spent))


@pytest.mark.parametrize(
    ("rule", "on"),
    [
        (Protected(arn=ROLE), change(ROLE)),
        (Protected(arn="arn:aws:iam::*:role/break-glass*"), change(ROLE)),
        (Protected(arn="arn:aws*:iam::*:role/break-glass*"), change(ROLE)),
        (Protected(tags={"protected": "true"}), change(protected="true", other="x")),
    ],
)
def test_a_protected_resource_is_refused(rule: Protected, on: Change) -> None:
    with pytest.raises(ProtectedResource, match="CreateTags was not sent") as caught:
        guardrails(rule).check(on, HERE)

    assert str(rule) in caught.value.what
    assert on.on.arn in caught.value.what


@pytest.mark.parametrize(
    "rule",
    [
        Protected(arn="arn:aws:iam::*:role/BREAK-GLASS*"),
        Protected(arn="break-glass"),
        Protected(tags={"protected": "true", "and": "more"}),
        Protected(tags={"protected": "True"}),
        Protected(tags={}),
        Protected(),
    ],
)
def test_what_no_rule_covers_may_be_changed(rule: Protected) -> None:
    guardrails(rule).check(change(ROLE, protected="true"), HERE)


def test_all_tags_of_a_rule_must_be_there_and_any_rule_is_enough() -> None:
    rules = (Protected(tags={"a": "1", "b": "2"}), Protected(tags={"c": "3"}))

    guardrails(*rules).check(change(a="1"), HERE)
    for tags in ({"a": "1", "b": "2"}, {"c": "3"}):
        with pytest.raises(ProtectedResource):
            guardrails(*rules).check(change(**tags), HERE)


def test_protection_is_told_before_the_budget_is_spent() -> None:
    spent = Counting()

    with pytest.raises(ProtectedResource):
        Guardrails([Protected(arn="*")], 10, spent).check(change(), HERE)

    assert not spent.counts


def test_an_exhausted_budget_says_how_much_and_where_to_raise_it() -> None:
    with pytest.raises(BudgetExceeded, match="10 changes") as caught:
        guardrails(spent=10).check(change(), HERE)

    assert HERE.account in caught.value.what
    assert "changes_per_account_per_hour" in caught.value.advice
    assert caught.value.exit_code == 3


@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.lists(st.sampled_from(["111111111111", "222222222222"]), max_size=40),
)
def test_no_sequence_of_changes_exceeds_the_budget(
    budget: int, before: int, accounts: list[str]
) -> None:
    guard = guardrails(budget=budget, spent=before)
    made: Counter[str] = Counter()

    for account in accounts:
        try:
            guard.check(change(), Where(account, "eu-west-1"))
        except BudgetExceeded:
            continue
        made[account] += 1

    asked = Counter(accounts)
    for account, count in asked.items():
        assert made[account] == min(count, max(0, budget - before))


@given(st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_no_number_of_threads_exceeds_the_budget(budget: int) -> None:
    guard = guardrails(budget=budget)
    together = threading.Barrier(8)

    def many(_: int) -> int:
        together.wait()
        made = 0
        for _ in range(5):
            try:
                guard.check(change(), HERE)
            except BudgetExceeded:
                continue
            made += 1
        return made

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(many, range(8))) == min(budget, 40)
