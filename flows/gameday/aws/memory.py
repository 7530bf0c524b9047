"""The accounts of a simulated AWS as a whole: forgotten, remembered, and put back."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Memory:
    """All accounts at one moment, and which ids come next. moto's state is copied, not shared."""

    _backends: dict[tuple[int, str], dict[str, Any]]
    _services: tuple[Any, ...]
    _ids: Any

    @classmethod
    def of_now(cls) -> Memory:
        from moto.core.base_backend import BackendDict
        from moto.moto_api._internal import mock_random

        services = tuple(BackendDict._instances)
        backends = {
            (number, account): dict(regions)
            for number, service in enumerate(services)
            for account, regions in service.items()
        }
        return cls(_copied(backends, services), services, mock_random.getstate())

    def put_back(self) -> None:
        from moto.moto_api._internal import mock_random

        forget()
        for (number, account), regions in _copied(self._backends, self._services).items():
            dict.update(self._services[number][account], regions)
        mock_random.setstate(self._ids)


def forget() -> None:
    """Empty all accounts."""
    from moto.core.base_backend import BackendDict

    BackendDict.reset()


def seed(number: int) -> None:
    """Have the ids of resources follow from the number."""
    from moto.moto_api._internal import mock_random

    mock_random.seed(number)


def _copied(backends: dict[Any, Any], services: tuple[Any, ...]) -> dict[Any, Any]:
    # One copy of everything, so that what refers to each other still does; the services themselves
    # are there once in a process.
    return copy.deepcopy(backends, {id(service): service for service in services})
