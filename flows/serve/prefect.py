"""Prefect's embedded server for as long as the service runs, started again should it die."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path

from flows.prefect_server import EmbeddedServer, NoAnswer, embed_prefect, require_answer
from flows.serve.periodic import Periodic

_LOOK_EVERY = timedelta(seconds=3)
READY = timedelta(seconds=60)
_LOG = logging.getLogger(__name__)


class PrefectHome:
    """The Prefect that shows this process's runs: the user's own server, or an embedded one.

    It never keeps a containment waiting: what can't be shown is contained all the same.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        embed_prefect(home)
        self._server: EmbeddedServer | None = None
        self._looking: Periodic | None = None
        if os.environ.get("PREFECT_API_URL"):
            self.url = os.environ["PREFECT_API_URL"]
            return
        self._server = EmbeddedServer(home, ui=True)
        self.url = os.environ["PREFECT_API_URL"] = self._server.url
        self._looking = Periodic("prefect", _LOOK_EVERY, self._look)
        self._looking.start()

    @property
    def embedded(self) -> bool:
        """Whether the server is this process's own."""
        return self._server is not None

    def load(self) -> None:
        """Load Prefect and wait for its server now, not when the first incident is shown."""
        from flows import respond

        del respond
        try:
            require_answer(self.url, READY)
        except NoAnswer as error:
            _LOG.warning("%s; incidents are contained all the same.", error)

    def stop(self) -> None:
        """End the embedded server."""
        if self._looking:
            self._looking.stop()
        if self._server:
            self._server.stop()
            del os.environ["PREFECT_API_URL"]

    def _look(self) -> None:
        if self._server and not self._server.running:
            _LOG.warning("Prefect's server has ended; it is started again.")
            self._server = EmbeddedServer(self._home, ui=True, port=self._server.port)
