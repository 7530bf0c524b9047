"""Instances and findings are picked out of whichever message an alert came as."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.slack.pick import Picked, pick

ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"
ARN = f"arn:aws:ec2:eu-west-1:123456789012:instance/{ONE}"
FINDING_ID = "a721ee754eca80687c8bab3e951de7e1"
DETECTOR = "d0c0ffee4eca80687c8bab3e951de7e1"
FINDING = f"arn:aws:guardduty:eu-west-1:123456789012:detector/{DETECTOR}/finding/{FINDING_ID}"


@pytest.mark.parametrize(
    ("message", "picked"),
    [
        ({"text": f"{ONE} talks to a miner"}, ((ONE,), ())),
        ({"text": f"`{TWO}`, {ONE} and {TWO}"}, ((TWO, ONE), ())),
        ({"text": f"{ONE}: see {ARN}"}, ((ARN,), ())),
        ({"text": "i-1234567a"}, (("i-1234567a",), ())),
        ({"text": "ami-0123456789abcdef0, hi-0123456789abcdef0, i-0123"}, ((), ())),
        ({"text": f"{ONE}f"}, ((), ())),
        ({"text": FINDING}, ((), (FINDING,))),
        # The finding's own id, next to its ARN, is the same finding.
        ({"text": f"finding {FINDING_ID} is {FINDING}"}, ((), (FINDING,))),
        ({"text": f"GuardDuty finding {FINDING_ID}"}, ((), (FINDING_ID,))),
        # What is no finding's id may look like one.
        ({"text": f"md5 {FINDING_ID}"}, ((), ())),
        ({"text": f"GuardDuty in detector/{DETECTOR}"}, ((), ())),
        (
            {
                "text": "<https://console.aws.amazon.com/guardduty/home?region=eu-west-1#/findings"
                f"?search=id%3D{FINDING_ID}&amp;x=1|open>"
            },
            ((), (FINDING_ID,)),
        ),
        (
            {
                "text": "",
                "attachments": [
                    {
                        "fallback": "alarm",
                        "fields": [{"title": "Instance", "value": ONE}],
                        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": TWO}}],
                    }
                ],
            },
            ((ONE, TWO), ()),
        ),
        (
            {
                "blocks": [
                    {
                        "type": "rich_text",
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [{"type": "text", "text": ONE}],
                            }
                        ],
                    }
                ]
            },
            ((ONE,), ()),
        ),
        ({}, ((), ())),
        ({"text": None, "blocks": "i-1234567b"}, (("i-1234567b",), ())),
    ],
)
def test_what_a_message_names(message: dict[str, Any], picked: tuple[Any, Any]) -> None:
    assert pick(message) == Picked(*picked)


def test_no_more_is_picked_than_anybody_reads() -> None:
    text = " ".join(f"i-{number:017x}" for number in range(50))
    assert len(pick({"text": text}).instances) == 10


def test_what_is_nested_beyond_reason_is_left() -> None:
    message: Any = {"text": ONE}
    for _ in range(5_000):
        message = {"blocks": [message]}
    assert pick(message) == Picked((), ())


@given(
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_message_can_be_read(value: Any) -> None:
    found = pick({"text": value})
    assert isinstance(found, Picked)
