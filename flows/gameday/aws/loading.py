"""How moto is loaded: each service when it is first asked for, and whoever corrects it is told."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

from flows.gameday.aws.shortcuts import shortened

Listener = Callable[[], None]

_loaded: set[str] = set()


def is_loaded(service: str) -> bool:
    """Whether all of a service is there, by the name of its package in moto."""
    return service in _loaded


def tell_of_services(listener: Listener) -> None:
    """Have the listener called for the services that are loaded, and whenever others have been.

    moto's services load each other in circles: the listener is called when the outermost import is
    over, as its last part, and everything that came along is whole. What the listener loads itself
    it isn't told of. moto is used by one thread at a time, the one that holds the simulated AWS's
    lock: another might see a service before the outermost import is over.
    """
    _loaded.update(_service(name) for name in tuple(sys.modules) if name.startswith("moto."))
    sys.meta_path.insert(0, _Finder(listener))
    listener()


class _Finder(MetaPathFinder):
    """Finds moto's modules where Python does."""

    def __init__(self, listener: Listener) -> None:
        self._imports = _Imports(listener)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("moto."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader, self._imports)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, found: SourceFileLoader, imports: _Imports) -> None:
        super().__init__(found.name, found.path)
        self._imports = imports

    def exec_module(self, module: ModuleType) -> None:
        with self._imports.of(_service(module.__name__)), shortened(module):
            super().exec_module(module)


class _Imports(threading.local):
    """The imports of moto's modules that are under way in a thread, one within the other."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._depth = 0
        self._services: set[str] = set()
        self._listening = False

    @contextmanager
    def of(self, service: str) -> Iterator[None]:
        self._depth += 1
        try:
            yield
            self._services.add(service)
        finally:
            self._depth -= 1
            if not self._depth:
                self._over()

    def _over(self) -> None:
        _loaded.update(self._services)
        self._services.clear()
        if self._listening:
            return
        self._listening = True
        try:
            self._listener()
        finally:
            self._listening = False


def _service(module: str) -> str:
    return module.split(".")[1]
