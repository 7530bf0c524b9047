"""A fact: one aspect of a target that steps look at, with the permissions that reading it needs."""

from __future__ import annotations

from typing import ClassVar


class Fact:
    """Base of the facts of a target.

    ``permissions`` are the IAM actions that reading it needs.
    """

    permissions: ClassVar[tuple[str, ...]] = ()
