"""Findings for tests: our own samples, changed in one place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from flows.intake.finding import Finding, FindingRejected
from flows.intake.parse import parse

SAMPLES = Path(__file__).parents[3] / "samples" / "findings"
BITCOIN = "eventbridge-cryptocurrency-ec2-bitcointool.json"


def sample(name: str = BITCOIN) -> dict[str, Any]:
    """A sample as JSON, to be changed freely."""
    value: dict[str, Any] = json.loads((SAMPLES / name).read_text())
    return value


def detail(name: str = BITCOIN) -> dict[str, Any]:
    """The finding within the sample's event."""
    value: dict[str, Any] = sample(name)["detail"]
    return value


def changed(document: Any, path: str, value: Any) -> Any:
    """A copy with one value set: ``detail.resource.tags.0``; the parents must be there."""
    result = copy.deepcopy(document)
    *parents, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place = result
    for word in parents:
        place = place[word]
    place[last] = value
    return result


def without(document: Any, path: str) -> Any:
    """A copy without one member."""
    result = copy.deepcopy(document)
    *parents, last = path.split(".")
    place = result
    for word in parents:
        place = place[word]
    del place[last]
    return result


def as_sdk(value: Any) -> Any:
    """The same in the spelling of SDKs and of the AWS CLI."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: as_sdk(member) for key, member in value.items()}
    return [as_sdk(item) for item in value] if isinstance(value, list) else value


def read(document: Any) -> Finding:
    """The only finding of a JSON value."""
    [finding] = parse(json.dumps(document).encode())
    return finding


def rejection(document: Any) -> FindingRejected:
    """Why a document, bytes or a JSON value, is rejected."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(FindingRejected) as rejected:
        parse(raw)
    return rejected.value
