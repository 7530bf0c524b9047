"""Apps for the simulated Slack to talk to: the simplest there are, over WebSockets and over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from slack_sdk import WebClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from flows.gameday.slack.server import SimulatedSlack

Answer = Callable[[Mapping[str, Any]], Any]
SILENCE = object()


def button(action_id: str, text: str = "Approve", **more: Any) -> dict[str, Any]:
    label = {"type": "plain_text", "text": text}
    return {"type": "button", "action_id": action_id, "text": label, **more}


def section(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def actions(*elements: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements), **more}


def text_input(block_id: str, label: str, **more: Any) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": f"{block_id}_value", **more}
    return {
        "type": "input",
        "block_id": block_id,
        "label": {"type": "plain_text", "text": label},
        "element": element,
    }


def modal(*blocks: Mapping[str, Any], submit: str = "Send", **more: Any) -> dict[str, Any]:
    given = {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Contain"},
        "blocks": list(blocks),
        **more,
    }
    return given | ({"submit": {"type": "plain_text", "text": submit}} if submit else {})


class SocketApp:
    """An app on one WebSocket. ``answer`` gives the payload of each acknowledgement from the
    envelope, or SILENCE; ``told`` are the envelopes, ``said`` the rest of what Slack said."""

    def __init__(self, slack: SimulatedSlack, answer: Answer = lambda envelope: None) -> None:
        client = WebClient(base_url=slack.api_url)
        url = client.apps_connections_open(app_token=slack.installation.app_token)["url"]
        self.url: str = url
        self.answer = answer
        self.told: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []
        self.over = threading.Event()
        self.connection: ClientConnection = connect(url)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        slack.until(lambda: any(m["type"] in ("hello", "disconnect") for m in self.said))

    def __enter__(self) -> SocketApp:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()
        self._thread.join()

    def _listen(self) -> None:
        try:
            for text in self.connection:
                message = json.loads(text)
                if "envelope_id" not in message:
                    self.said.append(message)
                    continue
                self.told.append(message)
                answer = self.answer(message)
                if answer is SILENCE:
                    continue
                payload = {} if answer is None else {"payload": answer}
                ack = {"envelope_id": message["envelope_id"], **payload}
                self.connection.send(json.dumps(ack))
        except ConnectionClosed:
            pass
        self.over.set()


class HttpApp:
    """An app at an address. ``answers`` are used up in order, as (status, body, headers); after
    them it answers 200 and nothing. ``told`` are the requests' headers and raw bodies."""

    def __init__(self, *answers: tuple[int, str, Mapping[str, str]]) -> None:
        self.answers = list(answers)
        self.told: list[tuple[Mapping[str, str], bytes]] = []
        self.delay = 0.0
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, text, headers = app._answer({**self.headers}, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: Any) -> None:
                """Nothing is said of it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/slack/events"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> HttpApp:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def payload(self, number: int = -1) -> dict[str, Any]:
        """What it was told, read as apps read it."""
        headers, body = self.told[number]
        if headers["Content-Type"] == "application/json":
            told: dict[str, Any] = json.loads(body)
            return told
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return json.loads(form["payload"]) if "payload" in form else form

    def _answer(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str, Mapping[str, str]]:
        self.told.append((headers, body))
        if b'"url_verification"' in body:
            challenge = json.loads(body)["challenge"]
            return 200, json.dumps({"challenge": challenge}), {"Content-Type": "application/json"}
        threading.Event().wait(self.delay)
        return self.answers.pop(0) if self.answers else (200, "", {})
