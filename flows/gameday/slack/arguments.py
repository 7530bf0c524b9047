"""The arguments of a call of the Web API, however they were sent: form, JSON or query."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from flows.gameday.slack.workspace import Refusal


class Arguments(Mapping[str, Any]):
    """The arguments by name. In a form, what has structure is JSON in a string."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = {name: value for name, value in given.items() if value is not None}

    @classmethod
    def read(cls, query: str, content_type: str, body: bytes) -> Arguments:
        """The arguments of a request. Raises Refusal where they can't be read."""
        given: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        kind = content_type.partition(";")[0].strip().lower()
        if not body:
            return cls(given)
        if kind == "application/json":
            try:
                sent = json.loads(body)
            except ValueError as error:
                raise Refusal("invalid_json") from error
            if not isinstance(sent, dict):
                raise Refusal("json_not_object")
            return cls(given | sent)
        if kind == "application/x-www-form-urlencoded":
            try:
                return cls(given | dict(parse_qsl(body.decode(), keep_blank_values=True)))
            except UnicodeDecodeError as error:
                raise Refusal("invalid_form_data") from error
        raise Refusal("invalid_post_type" if kind else "missing_post_type")

    def __getitem__(self, name: str) -> Any:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def text(self, name: str, default: str = "") -> str:
        return str(self._given.get(name, default))

    def needed(self, name: str) -> str:
        """The argument. Raises Refusal where it is missing."""
        if not self._given.get(name):
            raise Refusal(
                "invalid_arguments",
                response_metadata={"messages": [f"[ERROR] missing required field: {name}"]},
            )
        return str(self._given[name])

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in ("1", "true")

    def number(self, name: str, default: int, most: int) -> int:
        """The argument as a whole number from 1 to ``most``. Raises Refusal."""
        try:
            given = int(self.text(name) or default)
        except ValueError:
            given = 0
        if not 1 <= given <= most:
            raise Refusal("invalid_limit")
        return given

    def listed(self, name: str) -> list[str]:
        """The items of a list that is given as such, or with commas."""
        given = self._given.get(name, "")
        items = given if isinstance(given, list) else str(given).split(",")
        return [str(item).strip() for item in items if str(item).strip()]

    def structure(self, name: str, wrong: str) -> Any:
        """What is sent as JSON; None where it isn't there. Raises Refusal with the code ``wrong``
        where it is no JSON."""
        given = self._given.get(name)
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given) if given else None
        except ValueError as error:
            raise Refusal(wrong) from error
