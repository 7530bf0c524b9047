"""What moto does over and over, or before anybody asks, is done once, and when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

_OFFERINGS = "ec2/resources/instance_type_offerings"


def look_once() -> None:
    """Have moto look through its own folders and classes once, not in each call: that is half of
    the time that a call takes. And through botocore's once, not for each service."""
    import moto.backends
    import moto.core.responses
    import moto.core.utils
    from moto.core.base_backend import AccountSpecificBackend

    modules = tuple(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: iter(modules)
    moto.core.responses.method_names_from_class = cache(moto.core.utils.method_names_from_class)
    moto.core.utils.create_loader = cache(moto.core.utils.create_loader)
    AccountSpecificBackend.get_session = staticmethod(_session)


def shortened(module: ModuleType) -> AbstractContextManager[None]:
    """Within this, a module of moto takes less time to be executed."""
    match module.__name__:
        case "moto.ec2.models.availability_zones_and_regions":
            return _one_session()
        case "moto.ec2.models.instance_types":
            return _offerings_later(module)
    return nullcontext()


@cache
def _session() -> Any:
    import boto3
    from botocore.session import Session
    from moto.core.utils import get_service_model

    class OfRegions(Session):  # type: ignore[misc]
        """Knows the Regions of a service by the model that moto has read anyway."""

        def get_service_data(self, service_name: str, api_version: str | None = None) -> Any:
            return {"metadata": get_service_model(service_name).metadata}

    return boto3.Session(botocore_session=OfRegions())


@contextmanager
def _one_session() -> Iterator[None]:
    """moto begins three sessions for the Regions of EC2."""
    import boto3

    begin = boto3.Session
    # Another thread may begin a session meanwhile, with credentials of its own.
    boto3.Session = lambda *given, **named: begin(*given, **named) if given or named else _session()
    try:
        yield
    finally:
        boto3.Session = begin


@contextmanager
def _offerings_later(module: Any) -> Iterator[None]:
    """moto reads 90 files of which instance types are offered where."""
    from moto.utilities import utils

    load = utils.load_resource
    utils.load_resource = lambda path: [] if path.startswith(_OFFERINGS) else load(path)
    try:
        yield
    finally:
        utils.load_resource = load
    for kind, regions in module.INSTANCE_TYPE_OFFERINGS.items():
        module.INSTANCE_TYPE_OFFERINGS[kind] = _Offerings(kind, tuple(regions))


class _Offerings(Mapping[str, list[dict[str, str]]]):
    """What is offered in a kind of location, by Region."""

    def __init__(self, kind: str, regions: tuple[str, ...]) -> None:
        self._kind = kind
        self._regions = regions

    def __getitem__(self, region: str) -> list[dict[str, str]]:
        if region not in self._regions:
            raise KeyError(region)
        return _offered(self._kind, region)

    def __iter__(self) -> Iterator[str]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)


@cache
def _offered(kind: str, region: str) -> list[dict[str, str]]:
    from moto.utilities.utils import load_resource

    offered: list[dict[str, str]] = load_resource(f"{_OFFERINGS}/{kind}/{region}.json")
    for offering in offered:
        offering["LocationType"] = kind
    return offered
