"""Prefect for as long as a process runs: looked at, and where it is embedded, started again."""

from __future__ import annotations

import logging
import os
import threading
from datetime import timedelta
from pathlib import Path

from flows.prefect_server import EmbeddedServer, NoAnswer, embed_prefect, require_answer
from flows.serve.backoff import Backoff
from flows.serve.periodic import Periodic
from flows.serve.sparing_log import SparingLog

_LOOK_EVERY = timedelta(seconds=3)
READY = timedelta(seconds=60)
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=2)
_LOG = logging.getLogger(__name__)


class PrefectHome:
    """The Prefect that shows this process's runs: the user's own server, or an embedded one.

    It never keeps a containment waiting: what can't be shown is contained all the same.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = SparingLog(_LOG)
        self._enough = threading.Event()
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, self._enough)
        embed_prefect(home)
        self._server: EmbeddedServer | None = None
        if not os.environ.get("PREFECT_API_URL"):
            self._server = EmbeddedServer(home, ui=True)
            os.environ["PREFECT_API_URL"] = self._server.url
        self.url = os.environ["PREFECT_API_URL"]
        self._looking = Periodic("prefect", _LOOK_EVERY, self._look, at_once=True)
        self._looking.start()

    def load(self) -> None:
        """Load Prefect now, not when the first incident is shown."""
        from flows import respond

        del respond

    def stop(self) -> None:
        """Look at it no more, and end the embedded server."""
        self._enough.set()
        self._looking.stop()
        if self._server:
            self._server.stop()
            del os.environ["PREFECT_API_URL"]

    def _look(self) -> None:
        if self._server and not self._server.running:
            self._start_again(self._server)
            return
        try:
            require_answer(self.url, READY)
        except NoAnswer as error:
            if not self._enough.is_set():
                self._log.warn("no answer", f"{error}; incidents are contained all the same.")
        else:
            self._backoff.succeeded()

    def _start_again(self, ended: EmbeddedServer) -> None:
        """One that ends before it has answered is started again later and later."""
        self._log.warn("ended", "Prefect's server has ended; it is started again.")
        self._backoff.failed("it has ended")
        self._backoff.wait()
        if self._enough.is_set():
            return
        try:
            self._server = EmbeddedServer(self._home, ui=True, port=ended.port)
        except OSError as error:
            self._log.warn("start", f"Prefect's server can't be started: {error}.")
