"""Policies as the tests write them."""

from __future__ import annotations

import json
from typing import Any

ANYTHING: dict[str, Any] = {"Action": "*", "Resource": "*"}


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def trust(principal: Any, action: Any = "sts:AssumeRole", **more: Any) -> dict[str, Any]:
    named = principal if isinstance(principal, dict) else {"AWS": principal}
    return {"Effect": "Allow", "Principal": named, "Action": action, **more}
