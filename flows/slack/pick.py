"""Instances and findings out of a message of whichever tool: for the shortcut on an alert."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

_INSTANCE_ARN = re.compile(
    r"arn:aws(?:-cn|-us-gov)?:ec2:[a-z]{2}(?:-[a-z]+)+-\d:\d{12}:instance/"
    r"(i-(?:[0-9a-f]{17}|[0-9a-f]{8}))(?![0-9A-Za-z])",
    re.ASCII,
)
_INSTANCE = re.compile(r"(?<![0-9A-Za-z-])i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![0-9A-Za-z])", re.ASCII)
_FINDING_ARN = re.compile(
    r"arn:aws(?:-cn|-us-gov)?:guardduty:[a-z]{2}(?:-[a-z]+)+-\d:\d{12}:detector/[0-9a-f]{32}"
    r"/finding/[0-9a-f]{32}(?![0-9A-Za-z])",
    re.ASCII,
)
# Ids of findings are 32 digits, as those of detectors, and as many other things are.
_ID = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])", re.ASCII)
_DETECTOR = re.compile(r"detector/[0-9a-f]{32}", re.ASCII)
_ABOUT_FINDINGS = re.compile(r"guard ?duty|finding", re.IGNORECASE)
_DEEPEST = 20
_LONGEST = 100_000
_MOST = 10


@dataclass(frozen=True)
class Picked:
    """What a message names, in its order and each once.

    ``instances`` are ARNs, where the message has them, and ids. ``findings`` are ARNs and ids of
    GuardDuty's findings.
    """

    instances: tuple[str, ...]
    findings: tuple[str, ...]


def pick(message: Mapping[str, Any]) -> Picked:
    """Read a Slack message: its text, blocks and attachments, whatever they consist of."""
    whole = _readable("\n".join(_texts(message))[:_LONGEST])
    arns = {match[1]: match[0] for match in _INSTANCE_ARN.finditer(whole)}
    instances = [arns.get(match[0], match[0]) for match in _instances(whole)]
    findings = [match[0] for match in _FINDING_ARN.finditer(whole)]
    if _ABOUT_FINDINGS.search(whole):
        known = {arn.rsplit("/", 1)[1] for arn in findings}
        rest = _DETECTOR.sub(" ", whole)
        findings += [match[0] for match in _ID.finditer(rest) if match[0] not in known]
    return Picked(_first_of_each(instances), _first_of_each(findings))


def _instances(text: str) -> Iterator[re.Match[str]]:
    return _INSTANCE.finditer(text)


def _first_of_each(items: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))[:_MOST]


def _readable(text: str) -> str:
    """Without Slack's escapes, and with what stands encoded in links to the console."""
    return unquote(html.unescape(text))


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text in it: a block may stand in a block, and an attachment has fields."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ("metadata", "bot_profile", "user", "team", "client_msg_id"):
                yield from _texts(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
