"""A process that can reach nothing but this machine, whatever it is told to do."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

_WITH_ADDRESS = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.bind": 1}
_WITH_HOST = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}
# Another program would not be watched.
_OTHER_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn")


class NotThisMachine(PermissionError):
    """A drill has tried to reach something else than this machine."""


class Watch:
    """What was refused, in words. An audit hook stays until the process ends (PEP 578)."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._names: tuple[str, ...] = ()
        self._addresses: set[str] = set()

    def let_reach(self, *names: str) -> None:
        """Let hosts of these names, and of names below them, be reached from now on, too."""
        look_up = socket.getaddrinfo
        self._names = names

        def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
            found = look_up(host, *more, **options)
            if self._is_let(host):
                self._addresses.update(str(address[0]) for *_, address in found)
            return found

        socket.getaddrinfo = getaddrinfo

    def _is_let(self, host: Any) -> bool:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
        return any(name == known or name.endswith(f".{known}") for known in self._names)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _WITH_ADDRESS:
            address = arguments[_WITH_ADDRESS[event]]
            # A socket of this machine's file system has a path; what has no address is connected.
            if (
                isinstance(address, tuple)
                and not _here(address[0])
                and address[0] not in self._addresses
            ):
                self._refuse(f"{event} {address[0]} {address[1]}")
        elif event in _WITH_HOST:
            host = arguments[_WITH_HOST[event]]
            if not _here(host[0] if isinstance(host, tuple) else host) and not self._is_let(host):
                self._refuse(f"{event} {host}")
        elif event in _OTHER_PROGRAMS:
            self._refuse(f"{event} {arguments[0]}")

    def _refuse(self, what: str) -> None:
        self.refused.append(what)
        raise NotThisMachine(f"A drill reaches nothing but this machine; refused: {what}")


def stay_on_this_machine() -> Watch:
    """From now on, for the rest of this process's life, nothing but loopback addresses is reached.

    Looking a name up leaves the machine as well, and so is refused; ``localhost`` is none of those.
    """
    watch = Watch()
    sys.addaudithook(watch)
    return watch


def _here(host: Any) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False
