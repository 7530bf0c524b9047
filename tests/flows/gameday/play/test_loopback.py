"""A drill's process reaches nothing but this machine, whatever is in it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def tried(code: str) -> str:
    """What becomes of code in a process that stays on this machine."""
    program = f"""
from flows.gameday.play.loopback import stay_on_this_machine
watch = stay_on_this_machine()
import socket
try:
{textwrap.indent(textwrap.dedent(code).strip(), "    ")}
except Exception as error:
    print("refused" if watch.refused else type(error).__name__, watch.refused)
else:
    print("done")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return ended.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_connection(('192.0.2.1', 80), 1)",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket().connect_ex(('169.254.169.254', 80))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 5))",
        "socket.getaddrinfo('sts.amazonaws.com', 443)",
        "socket.gethostbyname('sts.amazonaws.com')",
        "socket.create_server(('0.0.0.0', 0))",
        """
        import boto3
        boto3.client('sts', region_name='eu-west-1', aws_access_key_id='a',
                     aws_secret_access_key='b').get_caller_identity()
        """,
        """
        import subprocess
        subprocess.run(['curl', 'http://192.0.2.1'])
        """,
        "import os; os.system('true')",
    ],
)
def test_what_is_elsewhere_is_refused_and_written_down(code: str) -> None:
    assert tried(code).startswith("refused [")


@pytest.mark.parametrize(
    "code",
    [
        """
        server = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(server.getsockname(), 1).close()
        """,
        """
        server = socket.create_server(("localhost", 0))
        socket.create_connection(("localhost", server.getsockname()[1]), 1).close()
        """,
        "a, b = socket.socketpair(); a.sendall(b'x')",
    ],
)
def test_this_machine_is_reached(code: str) -> None:
    assert tried(code) == "done"
