"""Which of moto's services answers a request, by the host that its signature stands for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def correct() -> None:
    """Have a service that moto lacks be said to be lacking, and the others be found once."""
    import moto.backends
    from moto.backend_index import backend_url_patterns
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

    @lru_cache(maxsize=256)
    def service_of(host: str) -> str:
        if host == "moto_api" or host in moto.backends.list_of_moto_modules():
            return host
        for service, pattern in backend_url_patterns:
            if pattern.match(f"http://{host}"):
                return str(service)
        # moto goes on without a service, and fails over that.
        raise NotImplementedError("moto has no such service")

    def get_backend_for_host(self: Any, host: str | None) -> str | None:
        return None if host is None else service_of(host)

    DomainDispatcherApplication.get_backend_for_host = get_backend_for_host
