"""Files: sent to the address that was asked for, and shared in a message."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient

from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.conftest import refused


def sent(url: str, content: bytes) -> str:
    with urlopen(Request(url, content), timeout=5) as answer:
        told: bytes = answer.read()
        return told.decode()


def test_the_sdk_uploads_a_file_into_a_thread(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    root = web.chat_postMessage(channel=channel.id, text="x")["ts"]
    answer = web.files_upload_v2(
        channel=channel.id,
        thread_ts=root,
        content="# Report\n",
        filename="inc-1.md",
        title="Report of inc-1",
        initial_comment="The report.",
    )
    [file] = answer["files"]
    assert (file["name"], file["title"], file["size"]) == ("inc-1.md", "Report of inc-1", 9)
    assert slack.workspace.files[file["id"]].content == b"# Report\n"
    message = slack.messages(channel)[-1]
    assert (message.text, message.thread_ts) == ("The report.", root)
    [shown] = web.conversations_replies(channel=channel.id, ts=root)["messages"][1]["files"]
    assert shown["id"] == file["id"]


def test_a_file_needs_a_name_and_content(web: WebClient) -> None:
    for wrong in ({"filename": "", "length": 3}, {"filename": "x", "length": 0}):
        assert refused(web.files_getUploadURLExternal, **wrong) == "missing_argument"


def test_a_file_is_sent_once_and_whole(web: WebClient) -> None:
    url = web.files_getUploadURLExternal(filename="x.md", length=3)["upload_url"]
    with pytest.raises(HTTPError) as error:
        sent(url, b"too long")
    assert error.value.code == 400
    assert sent(url, b"abc") == "OK - 3"
    for address in (url, url + "x"):
        with pytest.raises(HTTPError) as error:
            sent(address, b"abc")
        assert error.value.code == 404


def test_only_what_was_sent_is_shared_and_only_once(web: WebClient, channel: Channel) -> None:
    asked = web.files_getUploadURLExternal(filename="x.md", length=3)
    files: list[dict[str, Any]] = [{"id": asked["file_id"], "title": "X"}]
    complete = web.files_completeUploadExternal
    assert refused(complete, files=files, channel_id=channel.id) == "file_not_found"
    sent(asked["upload_url"], b"abc")
    assert refused(complete, files=files, channel_id="C0NOSUCH") == "invalid_channel"
    assert refused(complete, files=[], channel_id=channel.id) == "invalid_arguments"
    assert complete(files=files, channel_id=channel.id)["ok"]
    assert refused(complete, files=files, channel_id=channel.id) == "file_not_found"
