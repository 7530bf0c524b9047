"""What the values in findings must look like: times, severities, accounts, ARNs, addresses."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from flows.intake.document import Node, shown
from runbooks.targets.reference import partition_of

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]")
_PARTITION = re.compile(r"aws(?:-[a-z]+)*")
_INSTANCE_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_SERVICE = re.compile(r"[a-z0-9-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_INSPECTOR = re.compile(
    r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}),? (\d{1,2}):(\d\d):(\d\d)[ \u202f](AM|PM)", re.ASCII
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 1e11
"""Seconds since 1970 reach this in the year 5138, milliseconds reached it in 1973."""

UNRATED = 4.0
"""The severity of what its source doesn't rate: where GuardDuty's medium begins."""

HOME_OF_IAM = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""The Region in which IAM's own events are (IAM User Guide, "Logging IAM and AWS STS API calls")."""

_LOCAL = tuple(
    ipaddress.ip_network(network)
    # Not ipaddress.is_private: that also takes in the ranges for documentation, which GuardDuty's
    # samples use for remote addresses.
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "::/127", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Arn:
    """The parts of an ARN. ``region`` and ``account`` are empty where the service has none."""

    partition: str
    service: str
    region: str
    account: str
    resource: str


def account(node: Node) -> str:
    """An account id: text of twelve digits (a number would have lost leading zeros)."""
    text = node.required_text("account")
    if not _ACCOUNT.fullmatch(text):
        raise node.rejected(f"{shown(text)} is not an account id of twelve digits")
    return text


def region(node: Node) -> str:
    text = node.required_text("Region")
    if not _REGION.fullmatch(text):
        raise node.rejected(f"{shown(text)} is not a Region")
    return text


def partition(node: Node, region: str) -> str:
    """The partition; where it is absent, the Region's. They may not contradict each other."""
    text = node.some_text() or partition_of(region)
    if text != partition_of(region):
        raise node.rejected(f"the partition {shown(text)} does not have the Region {region}")
    return text


def identifier(node: Node, what: str) -> str:
    """An id: one line of at most 2048 characters."""
    text = node.required_text(what)
    if len(text) > 2048:
        raise node.rejected(f"the {what} has {len(text)} characters")
    if _CONTROL.search(text):
        raise node.rejected(f"the {what} {shown(text)} has control characters in it")
    return text


def instance_id(node: Node) -> str:
    """``i-`` and 8 or 17 hexadecimal digits: goes into AWS calls, so nothing else passes."""
    text = node.required_text("instance id")
    if not _INSTANCE_ID.fullmatch(text):
        raise node.rejected(f"{shown(text)} is not an instance id (i- and 8 or 17 hex digits)")
    return text


def is_instance_id(node: Node) -> bool:
    """Whether ``instance_id`` would take it. Raises FindingRejected for what isn't text."""
    return _INSTANCE_ID.fullmatch(node.text() or "") is not None


def arn(node: Node) -> Arn:
    """An ARN's parts.

    Raises FindingRejected where the text is not an ARN.
    """
    text = node.required_text("ARN")
    parts = text.split(":", 5)
    if (
        len(parts) != 6
        or parts[0] != "arn"
        or not _PARTITION.fullmatch(parts[1])
        or not _SERVICE.fullmatch(parts[2])
        or (parts[3] and not _REGION.fullmatch(parts[3]))
        # "aws" stands for policies and AMIs of AWS's own.
        or (parts[4] and parts[4] != "aws" and not _ACCOUNT.fullmatch(parts[4]))
        or not parts[5]
        or _CONTROL.search(text)
        or len(text) > 2048
    ):
        raise node.rejected(f"{shown(text)} is not an ARN")
    return Arn(*parts[1:])


def moment(node: Node) -> datetime | None:
    """A time, aware, in UTC; None where it is absent.

    ISO 8601 with a T or a space and up to nine decimals, seconds or milliseconds since 1970
    (number or text), Inspector's ``Mar 20, 2023, 6:08:05 PM`` and Health's RFC 1123. A time
    without an offset is UTC: AWS writes no other.

    Raises FindingRejected where it is none of these, or before 2010 or after 2099.
    """
    if node.value is None or node.value == "":
        return None
    try:
        found = _moment(node)
    except (ValueError, OverflowError, TypeError, IndexError):
        found = None
    if found is None or not _EARLIEST <= found < _LATEST:
        raise node.rejected(f"{shown(node.value)} is not a time")
    return found


def span(created: Node, *updated: Node) -> tuple[datetime, datetime]:
    """When a finding was made and last updated; where one is absent, the other.

    Raises FindingRejected where both are absent, or the update is earlier.
    """
    made = moment(created)
    changed = next((found for node in updated if (found := moment(node)) is not None), made)
    made = made or changed
    if made is None or changed is None:
        raise created.rejected("there is no time")
    if changed < made:
        raise updated[0].rejected("the update is earlier than the finding itself")
    return made, changed


def severity(node: Node) -> float:
    """GuardDuty's severity, 0 to 10."""
    number = node.number()
    if number is None:
        raise node.rejected("there is no severity")
    if not 0 <= number <= 10:
        raise node.rejected(f"the severity {shown(node.value)} is not between 0 and 10")
    return number


def whole_number(node: Node, *, default: int) -> int:
    """A count: a whole number that isn't negative."""
    number = node.number()
    if number is None:
        return default
    if number < 0 or number != int(number):
        raise node.rejected(f"{shown(node.value)} is not a count")
    return int(number)


def public_address(node: Node) -> str | None:
    """An address outside of private networks in its usual spelling; None where it isn't public.

    Raises FindingRejected where the text is not an IPv4 or IPv6 address.
    """
    text = node.some_text()
    if text is None:
        return None
    try:
        if "%" in text:  # a zone can be any text
            raise ValueError
        address = ipaddress.ip_address(text)
    except ValueError:
        raise node.rejected(f"{shown(text)} is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return None if any(address in network for network in _LOCAL) else str(address)


def _moment(node: Node) -> datetime | None:
    if isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return _since_epoch(float(node.value))
    text = node.text() or ""
    if match := _ISO.fullmatch(text):
        day, time, decimals, offset = match.groups()
        decimals = (decimals or "0")[:6].ljust(6, "0")
        offset = "+00:00" if offset in (None, "Z") else offset
        return datetime.fromisoformat(f"{day}T{time}.{decimals}{offset}").astimezone(UTC)
    if match := _INSPECTOR.fullmatch(text):
        month, day, year, hour, minute, second, half = match.groups()
        if not 1 <= int(hour) <= 12:
            return None
        return datetime(
            int(year), _MONTHS.index(month) + 1, int(day),
            int(hour) % 12 + (12 if half == "PM" else 0), int(minute), int(second), tzinfo=UTC,
        )  # fmt: skip
    if re.fullmatch(r"\d[\d.eE+]{0,30}", text, re.ASCII):
        return _since_epoch(float(text))
    found = parsedate_to_datetime(text[:64])
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _since_epoch(number: float) -> datetime:
    milliseconds = number if number >= _MILLISECONDS_FROM else number * 1000
    return _EPOCH + timedelta(milliseconds=milliseconds)
