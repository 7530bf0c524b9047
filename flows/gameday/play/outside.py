"""The simulated AWS as whoever stands outside sees it: the drill itself, an intruder, an observer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from flows.gameday.worlds import WorldIds, client
from runbooks.errors import ClampdownError, InvalidInput

CALLER = "clampdown"
"""What the User-Agent of Clampdown's own calls contains; nobody else's does."""
_SECONDS = 60.0


class NotPossible(ClampdownError):
    """The simulated AWS can't do that, and says why."""


class Outside:
    """Asks the simulated AWS, and tells it what happens. Faults never meet these calls."""

    def __init__(self, world: WorldIds) -> None:
        self.world = world
        self.url = world.url
        self.region = world.region
        self.account = world.account

    def client(self, service: str) -> Any:
        """A boto3 client that is nobody's of Clampdown."""
        return client(self.url, self.region, service)

    def id_of(self, name: str) -> str:
        """The id of what the world calls by this name, in full or without its kind; what it calls
        nothing is taken for an id, or an address, itself."""
        ids = self.world.ids
        if name in ids:
            return ids[name]
        named = [value for key, value in ids.items() if key.partition("/")[2] == name]
        return named[0] if len(named) == 1 else name

    def instance(self, name: str) -> str:
        """The id of an instance of the world. Raises InvalidInput where it is none."""
        for known in (name, f"instances/{name}"):
            if (found := self.world.ids.get(known, "")).startswith("i-"):
                return found
        if name.startswith("i-"):
            return name
        there = ", ".join(key for key, value in self.world.ids.items() if value.startswith("i-"))
        raise InvalidInput(
            f"The world has no instance {name!r}.", advice=f"Its instances are: {there}."
        )

    def filled_in(self, value: Any) -> Any:
        """The same with ``${name}`` replaced by the id of what the world calls so."""
        if isinstance(value, Mapping):
            return {key: self.filled_in(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.filled_in(item) for item in value]
        if isinstance(value, str) and "${" in value:
            for name, identity in self.world.ids.items():
                value = value.replace(f"${{{name}}}", identity)
        return value

    def get(self, what: str) -> Any:
        """``GET /_clampdown/…``."""
        return ask(self.url, "GET", what)

    def post(self, what: str, document: Any) -> Any:
        """``POST /_clampdown/…``. Raises NotPossible."""
        return ask(self.url, "POST", what, document)

    def delete(self, what: str, document: Any) -> Any:
        """``DELETE /_clampdown/…``. Raises NotPossible."""
        return ask(self.url, "DELETE", what, document)


def ask(url: str, method: str, what: str, document: Any = None) -> Any:
    """What the simulated AWS answers to one of its own requests. Raises NotPossible."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_SECONDS)
    try:
        body = None if document is None else json.dumps(document, default=str)
        connection.request(method, f"/_clampdown/{what}", body)
        answer = connection.getresponse()
        said = json.loads(answer.read() or b"null")
    except (OSError, ValueError) as error:
        raise NotPossible(f"The simulated AWS does not answer: {error}.") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise NotPossible(str((said or {}).get("error", answer.reason)))
    return said


def all_of(ask_for: Callable[..., Any], member: str, **parameters: Any) -> list[Any]:
    """All items of a list that comes in pages."""
    found: list[Any] = []
    while True:
        answer = ask_for(**parameters)
        found += answer[member]
        if not answer.get("NextToken"):
            return found
        parameters = {**parameters, "NextToken": answer["NextToken"]}
