"""Prefect's clients share the certificate authorities that one of them has read."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from flows.prefect_client import share_certificates


def test_certificates_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client import orchestration
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    read: list[Any] = []
    create = ssl.create_default_context

    def counted(*arguments: Any, **more: Any) -> ssl.SSLContext:
        read.append(more)
        return create(*arguments, **more)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    monkeypatch.setattr(orchestration, "ssl", ssl)
    share_certificates()
    with temporary_settings({PREFECT_API_URL: "https://prefect.example/api"}):
        contexts = {
            id(get_client(sync_client=sync)._client._transport._pool._ssl_context)
            for sync in (True, False, True)
        }
    assert len(read) == 1
    assert len(contexts) == 1
