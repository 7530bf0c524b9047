"""Twins: the real account around a target, read once, kept in a file, and rebuilt in the simulation.

Only reading calls are sent; :func:`twin_permissions` is all that they need. A twin's file is a world
file with a header of comments that says of what and when it was taken.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from flows.gameday.worlds import ACCOUNT, AccountWorld, export, parse_account
from flows.gameday.worlds.account import LIMITS
from runbooks.aws import Reader, Where
from runbooks.calls import Call
from runbooks.connections import AccountAccess
from runbooks.errors import AccessDenied, InvalidInput
from runbooks.permissions import Limit
from runbooks.playbook import Account, Playbooks, ProtectedArn, Route
from runbooks.reading_connections import ReadingConnections
from runbooks.targets.reference import TargetRef
from runbooks.yaml_source import read_file

READS = (
    "autoscaling:DescribeAutoScalingGroups",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeManagedPrefixLists",
    "ec2:DescribeNatGateways",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ec2:GetManagedPrefixListEntries",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "iam:GetInstanceProfile",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "kms:DescribeKey",
)
"""Every IAM action that taking a twin needs; GetCallerIdentity, which it begins with, needs none."""

_SESSION = "clampdown-twin"
_FIRST_LINE = "# A twin for `clampdown gameday`: an account as it was, to rehearse in."
_FIELD = re.compile(r"# ([a-z_]+): (\".*\")")
_FIELDS = ("account", "name", "environment", "region", "instance", "target", "taken_at")
_LEFT_OUT = "left_out"
# What people put into tags and policies all the same.
_SECRET_NAME = re.compile(r"passw|secret|token|credential|api[-_. ]?key|private[-_. ]?key", re.I)
_SECRET_VALUE = re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY")
_TAGS = ("tags", "instance_tags")


@dataclass(frozen=True)
class Twin:
    """The account around an instance as it was at a time.

    ``target`` is what the world calls the instance, which in AWS was ``instance``. ``name`` and
    ``environment`` are those of the account in playbooks.yaml. ``left_out`` says what is not as it
    is in the account, a sentence each.
    """

    world: AccountWorld
    account: str
    name: str
    environment: str
    region: str
    instance: str
    target: str
    taken_at: datetime
    left_out: tuple[str, ...]

    def to_yaml(self) -> str:
        """The twin's file."""
        fields = [(name, str(getattr(self, name))) for name in _FIELDS[:-1]]
        fields.append((_FIELDS[-1], self.taken_at.isoformat(timespec="seconds")))
        fields += [(_LEFT_OUT, text) for text in self.left_out]
        header = [f"# {name}: {json.dumps(text)}" for name, text in fields]
        return "\n".join([_FIRST_LINE, *header, self.world.to_yaml()])

    def save(self, path: Path) -> None:
        """Write the file, for nobody else to read: it says how an account is built.

        Raises InvalidInput where it can't be written.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.to_yaml())
        except OSError as error:
            raise InvalidInput(f"The twin can't be written to {path}: {error.strerror}.") from error


def twin_permissions() -> dict[str, Any]:
    """The IAM policy that is enough to take a twin: it allows nothing but reading."""
    return {"Version": "2012-10-17", "Statement": [Limit("ReadTwin").allow(READS)]}


def take_twin(
    playbooks: Playbooks,
    target: TargetRef,
    *,
    simulate: str | None = None,
    now: datetime | None = None,
) -> Twin:
    """Read the account around an instance. Nothing but reads can be sent.

    ``simulate`` is the URL of a simulated AWS that is read instead of the real one.

    Raises InvalidInput (no such instance), WrongAccount, NoCredentials, Redirected, AwsUnreachable,
    and AwsRefused and its kinds.
    """
    accounts = {
        key: AccountAccess(account.role, account.external_id)
        for key, account in playbooks.accounts.items()
    }
    connections = ReadingConnections(accounts, session_name=_SESSION, simulate=simulate)
    try:
        connections.require_account(target.account, target.region, "Nothing was read.")
        reader = Reader(connections, Where(target.account, target.region))
        found = export(partial(_Service, reader), target.region, around=target.id)
    finally:
        connections.close()
    account = playbooks.accounts[target.account]
    names = {identity: key.partition("/")[2] for key, identity in found.ids.items()}
    world, secrets = without_secrets(_renumbered(found.world, target.account))
    return Twin(
        world,
        target.account,
        account.name,
        account.environment,
        target.region,
        target.id,
        names[target.id].replace(target.account, ACCOUNT),
        now or datetime.now(UTC),
        (*found.left_out, *secrets),
    )


def read_twin(path: Path) -> Twin:
    """The twin of a file. Raises InvalidInput, with the line of what is wrong."""
    try:
        document = read_file(path, LIMITS)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise InvalidInput(f"The twin {path} can't be read: {reason}.") from error
    world = parse_account(document, path.name)
    return _with_header(world, document.decode("utf-8"), path.name)


def playbooks_of_twin(playbooks: Playbooks, twin: Twin) -> Playbooks:
    """The playbooks as :func:`in_the_simulation` has them, for the twin's account."""
    known = playbooks.accounts.get(twin.account)
    like = known or Account(name=twin.name, environment=twin.environment)
    return in_the_simulation(playbooks, twin.account, twin.region, like)


def in_the_simulation(playbooks: Playbooks, account: str, region: str, like: Account) -> Playbooks:
    """The playbooks as they are where the simulated account stands for a real one.

    It has the real account's name and environment, so that the same routes match and the same gates
    stand; protected ARNs and routes of the real account are its own.
    """
    protected = tuple(
        ProtectedArn(arn=item.arn.replace(account, ACCOUNT))
        if isinstance(item, ProtectedArn)
        else item
        for item in playbooks.guardrails.protected
    )
    stands_for = Account(name=like.name, environment=like.environment, regions=(region,))
    return playbooks.model_copy(
        update={
            "accounts": {ACCOUNT: stands_for},
            "guardrails": playbooks.guardrails.model_copy(update={"protected": protected}),
            "routes": tuple(_of_account(route, account) for route in playbooks.routes),
        }
    )


def without_secrets(world: AccountWorld) -> tuple[AccountWorld, tuple[str, ...]]:
    """The world without tags that look like secrets, and a sentence for each that is left out."""
    left_out: list[str] = []
    data = _cleaned(world.model_dump(), (), left_out)
    return AccountWorld.model_validate(data), tuple(left_out)


def _renumbered(world: AccountWorld, account: str) -> AccountWorld:
    """Where the account names itself, in ARNs of policies above all, the simulated one does."""
    return AccountWorld.model_validate_json(world.model_dump_json().replace(account, ACCOUNT))


def _of_account(route: Route, account: str) -> Route:
    accounts = tuple(ACCOUNT if item == account else item for item in route.match.account)
    match = route.match.model_copy(update={"account": accounts})
    return route.model_copy(update={"match": match})


def _cleaned(value: Any, path: tuple[str, ...], left_out: list[str]) -> Any:
    if isinstance(value, Mapping):
        kept = {}
        for key, item in value.items():
            if path[-1:] and path[-1] in _TAGS and _looks_secret(key, item):
                left_out.append(f"{'/'.join(path[:2])}: the tag {key!r}, which may be a secret")
            else:
                kept[key] = _cleaned(item, (*path, str(key)), left_out)
        return kept
    if isinstance(value, list | tuple):
        if path[-1:] == ("tags",):
            return [item for item in value if not _is_secret_tag(item, path, left_out)]
        return [_cleaned(item, path, left_out) for item in value]
    return value


def _is_secret_tag(tag: Mapping[str, Any], path: tuple[str, ...], left_out: list[str]) -> bool:
    """Of an Auto Scaling group, whose tags are a list."""
    if not _looks_secret(tag["key"], tag["value"]):
        return False
    left_out.append(f"{'/'.join(path[:2])}: the tag {tag['key']!r}, which may be a secret")
    return True


def _looks_secret(key: str, value: Any) -> bool:
    return bool(_SECRET_NAME.search(key) or _SECRET_VALUE.search(str(value)))


def _with_header(world: AccountWorld, text: str, name: str) -> Twin:
    fields: dict[str, str] = {}
    left_out: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#"):
            break
        if match := _FIELD.fullmatch(line):
            try:
                value = str(json.loads(match[2]))
            except ValueError:
                raise InvalidInput(f"{name}:{number}: {match[1]}: this is no JSON text.") from None
            if match[1] == _LEFT_OUT:
                left_out.append(value)
            else:
                fields[match[1]] = value
    if missing := [field for field in _FIELDS if field not in fields]:
        raise InvalidInput(
            f"{name}:1: this is no twin: its header does not say {', '.join(missing)}.",
            advice='A line for each, such as `# account: "111122223333"`, comes before the world.',
        )
    try:
        taken_at = datetime.fromisoformat(fields.pop("taken_at"))
    except ValueError:
        raise InvalidInput(f"{name}:1: taken_at is not a time.") from None
    if fields["target"] not in world.instances:
        raise InvalidInput(f"{name}:1: its target {fields['target']!r} is no instance of it.")
    known = {key: fields[key] for key in _FIELDS[:-1]}
    return Twin(world=world, taken_at=taken_at, left_out=tuple(left_out), **known)


class _Service:
    """A service's reads by their boto3 names, through a reader that has patience and explains."""

    def __init__(self, reader: Reader, service: str) -> None:
        self._reader = reader
        self._service = service

    def can_paginate(self, operation: str) -> bool:
        """The reader reads all pages itself."""
        return False

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def read(**parameters: Any) -> dict[str, Any]:
            call = Call(self._service, operation, **parameters)
            try:
                return self._reader.read(call)
            except AccessDenied as denied:
                raise AccessDenied(
                    denied.what,
                    code=denied.code,
                    advice=f"Nothing was kept. Allow {call.action}, which a twin needs.",
                ) from denied

        return read
