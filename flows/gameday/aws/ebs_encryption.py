"""The KMS keys of EBS volumes and snapshots: which one it is, and whether it can be used."""

from __future__ import annotations

import json
from typing import Any

from flows.gameday.aws.authorization import enforce
from flows.gameday.aws.authorization.actions import Need
from flows.gameday.aws.authorization.resources import kms_resource

_DEFAULT_KEY = "alias/aws/ebs"
# "You must grant users permission to call the following actions in order to use EBS encryption"
# (EBS User Guide, "Requirements for Amazon EBS encryption").
_ACTIONS = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


def find_key(arn: str | None) -> Any:
    """The key with this ARN, of any account and Region; None where there is none."""
    from moto.kms.models import kms_backends

    parts = str(arn).split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("key/"):
        return None
    return kms_backends[parts[4]][parts[3]].keys.get(parts[5].removeprefix("key/"))


def key_arn(backend: Any, given: str | None) -> str | None:
    """The ARN of the key that a call names by id, alias or ARN, in the Region of the call; that of
    the account's default key for EBS where it names none. None where there is no such key."""
    from moto.kms.models import kms_backends

    kms = kms_backends[backend.account_id][backend.region_name]
    if not given:
        return str(backend.default_kms_key_id or backend._create_default_encryption_key())
    arn = f"arn:{backend.partition}:kms:{backend.region_name}:{backend.account_id}:key/{given}"
    if given.startswith("alias/") or ":alias/" in given:
        arn = str(getattr(kms.keys.get(kms.any_id_to_key_id(given)), "arn", ""))
    elif given.startswith("arn:"):
        arn = given
    usable = find_key(arn) is not None and arn.split(":")[3] == backend.region_name
    return arn if usable else None


def is_default_key(backend: Any, arn: str | None) -> bool:
    """Whether it is the account's own ``aws/ebs``."""
    from moto.kms.models import kms_backends

    key = find_key(arn)
    kms = kms_backends[backend.account_id][backend.region_name]
    return key is not None and kms.alias_exists(_DEFAULT_KEY) and _DEFAULT_KEY in key.aliases


def is_enabled(arn: str | None) -> bool:
    """Whether there is such a key, and it isn't disabled or about to be deleted."""
    key = find_key(arn)
    return key is not None and key.key_state == "Enabled"


def may_use(backend: Any, arn: str | None) -> bool:
    """Whether who calls EC2 now can use the key for volumes and snapshots.

    Everybody in the account can use its ``aws/ebs`` (KMS Developer Guide, "AWS managed keys").
    Other keys take a grant, or what IAM and the key policy allow. Where IAM isn't enforced, an
    account can use its own keys, and others' where the key policy or a grant names it (EBS User
    Guide, "Share the KMS key used to encrypt a shared Amazon EBS snapshot").
    """
    if not is_enabled(arn):
        return False
    key, authority = find_key(arn), enforce.current()
    if is_default_key(backend, arn):
        return True
    grantees = [grant.grantee_principal for grant in key.list_grants(None)]
    if authority is None:
        account = backend.account_id
        return key.account_id == account or any(
            name == "*" or account in name for name in grantees + _named(key)
        )
    caller = authority.caller.principal
    if {caller.arn, caller.role, f"arn:aws:iam::{caller.account}:root"} & set(grantees):
        return True
    about = {
        "kms:calleraccount": (backend.account_id,),
        "kms:grantisforawsresource": ("true",),
        "kms:viaservice": (f"ec2.{backend.region_name}.amazonaws.com",),
    }
    resources = [kms_resource(str(arn), authority.place)]
    try:
        authority.through("ec2.amazonaws.com").require(
            [Need(action, resources) for action in _ACTIONS], about
        )
    except enforce.Refused:
        return False
    return True


def _named(key: Any) -> list[str]:
    """Whom the key policy allows anything; an account is in each of their ARNs."""
    principals: list[str] = []
    statements = json.loads(key.policy or "{}").get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        named = statement.get("Principal", {})
        named = named.get("AWS", []) if isinstance(named, dict) else named
        if statement.get("Effect") == "Allow":
            principals += named if isinstance(named, list) else [named]
    return principals
