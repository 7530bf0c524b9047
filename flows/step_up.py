"""A second proof of identity at a gate: time-based one-time passwords (RFC 6238)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from pathlib import Path

from flows.identity import Identity
from runbooks import clock
from runbooks.errors import ApprovalRefused

_PERIOD = 30
_DIGITS = 6
_FORBIDDEN_MODE = 0o077
# Shorter secrets are guessed; authenticator apps make 80 bits at least.
_SHORTEST_SECRET = 10


class TotpStepUp:
    """Checks the code of an authenticator app.

    ``directory`` has a file per principal, named as the principal with ``:`` and ``/`` as ``_``,
    holding its secret in base32 and readable by its owner only.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def verify(self, identity: Identity, code: str) -> int:
        """The time step for which the code is valid: a number that is used up by the decision.

        Raises ApprovalRefused for a wrong code, and where no secret is set up: without the means
        to check, the answer is no.
        """
        secret = self._secret(identity)
        now = int(clock.now().timestamp()) // _PERIOD
        for step in (now, now - 1, now + 1):
            if hmac.compare_digest(one_time_password(secret, step).encode(), code.strip().encode()):
                return step
        raise ApprovalRefused(
            "This gate asks for the code of your authenticator (--code), and this one is wrong.",
            advice="Codes hold for 30 seconds; is the clock right?",
        )

    def _secret(self, identity: Identity) -> bytes:
        path = self._directory / identity.principal.replace(":", "_").replace("/", "_")
        try:
            if path.stat().st_mode & _FORBIDDEN_MODE:
                raise ApprovalRefused(f"{path} can be read by others; `chmod 600` it first.")
            text = path.read_text(encoding="ascii").strip().replace(" ", "").upper()
            secret = base64.b32decode(text + "=" * (-len(text) % 8))
        except (OSError, UnicodeDecodeError, binascii.Error) as error:
            raise ApprovalRefused(
                f"{identity.principal} has no second factor set up here, and this gate asks for one.",
                advice=f"Put the authenticator's base32 secret into {path} (mode 600).",
            ) from error
        if len(secret) < _SHORTEST_SECRET:
            raise ApprovalRefused(
                f"The second factor in {path} is too short to prove anything.",
                advice=f"It has {_SHORTEST_SECRET} bytes at least, which is 16 base32 letters.",
            )
        return secret


def one_time_password(secret: bytes, step: int) -> str:
    """The password of a time step (RFC 6238 with SHA-1 and six digits, as all apps have it)."""
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"
