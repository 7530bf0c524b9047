"""Ids, timestamps and secrets in Slack's forms; which ones come next follows from a seed."""

from __future__ import annotations

import random
import string
import threading
import uuid

_CAPITALS = string.ascii_uppercase + string.digits
_LETTERS = string.ascii_letters + string.digits


class Ids:
    """A source of ids. Safe to use from several threads."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def new(self, kind: str) -> str:
        """An id like ``U0K3ZQ8M1XA``; ``kind`` is its first letters (``U``, ``C``, ``Ev``)."""
        return f"{kind}0{self._some(_CAPITALS, 9)}"

    def word(self, length: int) -> str:
        return self._some(_LETTERS, length)

    def digits(self, length: int) -> str:
        return self._some("123456789", 1) + self._some(string.digits, length - 1)

    def hexadecimal(self, length: int) -> str:
        return self._some("0123456789abcdef", length)

    def uuid(self) -> str:
        with self._lock:
            return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def pick(self, count: int) -> int:
        """One number of those from 0 up to, but not including, ``count``."""
        with self._lock:
            return self._random.randrange(count)

    def _some(self, alphabet: str, length: int) -> str:
        with self._lock:
            return "".join(self._random.choices(alphabet, k=length))
