"""Who a recorded call was made by, as CloudTrail's userIdentity says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Identity:
    """Who signed a call ("CloudTrail userIdentity element", CloudTrail User Guide).

    ``name`` is that of the user, or of the session; ``issuer`` is the ARN of the session's role.
    """

    kind: Literal["Root", "IAMUser", "AssumedRole"]
    principal_id: str
    arn: str
    account: str
    access_key: str
    name: str
    issuer: str = ""
    issuer_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``userIdentity`` of an event."""
        said: dict[str, Any] = {
            "type": self.kind,
            "principalId": self.principal_id,
            "arn": self.arn,
            "accountId": self.account,
            "accessKeyId": self.access_key,
        }
        if self.kind == "IAMUser":
            said["userName"] = self.name
        if self.kind == "AssumedRole":
            said["sessionContext"] = {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": self.issuer_id,
                    "arn": self.issuer,
                    "accountId": self.account,
                    "userName": self.issuer.rsplit("/", 1)[-1],
                },
                "attributes": {"mfaAuthenticated": "false"},
            }
        return said


def identity_of(access_key: str, account: str) -> Identity:
    """Who has this access key. Keys that were never given out are those of the root user of
    ``account``, the administrator that worlds are built with."""
    from moto.iam.models import iam_backends

    from flows.gameday.aws.authorization import sessions

    home = sessions.account_of(access_key) or account
    session = sessions.find(access_key, home)
    if session is not None and session.role:
        return Identity(
            "AssumedRole",
            f"{session.role_id}:{session.name}",
            session.arn,
            home,
            access_key,
            session.name,
            session.role,
            session.role_id,
        )
    iam = iam_backends[home]["aws"]
    key = iam.access_keys.get(access_key)
    name = session.user if session is not None else key.user_name if key is not None else None
    user = iam.users.get(name) if name else None
    if user is not None:
        return Identity("IAMUser", user.id, user.arn, home, access_key, user.name)
    return Identity("Root", home, f"arn:aws:iam::{home}:root", home, access_key, "root")
