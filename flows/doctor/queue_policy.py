"""A queue's policy: whom it lets in who should not be, and which rules it is made for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# What says who somebody is, or where they come from (IAM User Guide, "AWS global condition context
# keys"); others, such as aws:SecureTransport, are met by anybody.
_WHO = {
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceip",
    "aws:vpcsourceip",
    "aws:userid",
}


def open_to(policy: str) -> tuple[list[str], list[str]]:
    """To whom a queue is open: what anybody may do, and the AWS services that do it for anybody.

    A service that may send to the queue, whoever asks it to, sends what a stranger's rule says (IAM
    User Guide, "The confused deputy problem").
    """
    anybody: list[str] = []
    services: list[str] = []
    for statement in _allowing(policy):
        if _narrowed(statement):
            continue
        principal = statement.get("Principal")
        if "NotPrincipal" in statement or _is_anybody(principal):
            anybody += _texts(statement.get("Action", "all but some actions"))
        elif isinstance(principal, Mapping):
            services += _texts(principal.get("Service", []))
    return anybody, services


def rules_of(policy: str) -> list[str]:
    """The ARNs of the EventBridge rules that the policy names as those that may send."""
    found: list[str] = []
    for statement in _allowing(policy):
        for _, keys in _conditions(statement):
            found += [
                arn
                for key, values in keys.items()
                if key.lower() == "aws:sourcearn"
                for arn in _texts(values)
                if arn.split(":")[2:3] == ["events"] and "*" not in arn
            ]
    return list(dict.fromkeys(found))


def _allowing(policy: str) -> Iterator[Mapping[str, Any]]:
    try:
        statements = json.loads(policy or "{}").get("Statement", [])
    except (AttributeError, ValueError):
        return
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, Mapping) and statement.get("Effect") == "Allow":
            yield statement


def _is_anybody(principal: Any) -> bool:
    named = principal.get("AWS", []) if isinstance(principal, Mapping) else principal
    return "*" in _texts(named or [])


def _narrowed(statement: Mapping[str, Any]) -> bool:
    """Whether a condition says who it is for."""
    for operator, keys in _conditions(statement):
        # A key that is missing meets the first, and nearly everything meets the others.
        if operator.endswith("IfExists") or "Not" in operator or operator == "Null":
            continue
        for key, values in keys.items():
            anything = {"*", "arn:*", "0.0.0.0/0", "::/0"} & set(_texts(values))
            if key.lower() in _WHO and not anything:
                return True
    return False


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for operator, keys in (statement.get("Condition") or {}).items():
        if isinstance(keys, Mapping):
            yield operator, keys


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
