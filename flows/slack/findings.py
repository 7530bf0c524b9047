"""What an incident's thread says of findings that join it, and of those that somebody has resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flows.console.terminal import counted
from flows.incident import finding_key
from flows.slack.blocks import section
from flows.slack.message import TASK_URGENCY, Message
from flows.slack.opening import severity_of
from flows.slack.text import code, plain, safe
from flows.slack.told import Told

# A flood of findings about one target must not bury what people are asked.
_APART = 20


@dataclass(frozen=True)
class _News:
    """What has become of a finding, and how many there are by then. ``seq`` is the record's."""

    seq: int
    what: Literal["joined", "resolved", "again"]
    finding: Mapping[str, Any]
    findings: int
    all_resolved: bool


def finding_messages(told: Told) -> Iterator[tuple[int, Message]]:
    """A message for each piece of news about findings; what is too much for that in one more.

    That a known finding goes on is no news.
    """
    news = list(_news(told))
    for item in news[:_APART]:
        yield item.seq, _message(told, item)
    if rest := news[_APART:]:
        yield rest[0].seq, _rest(told, rest)
    for record in told.records:
        if record.kind == "incident.asked" and record.body["automatic"]:
            yield record.seq, _started(told, record.seq, record.body["reason"])


def _news(told: Told) -> Iterator[_News]:
    resolved: dict[tuple[str, ...], bool] = {}
    if told.finding:
        resolved[finding_key(told.finding)] = False
    for record in told.records:
        if record.kind not in ("finding.joined", "finding.resolved"):
            continue
        finding = record.body["finding"]
        before = resolved.get(finding_key(finding))
        now = record.kind == "finding.resolved"
        resolved[finding_key(finding)] = now
        if before is not now:
            what: Literal["joined", "resolved", "again"] = (
                "resolved" if now else "joined" if before is None else "again"
            )
            yield _News(record.seq, what, finding, len(resolved), all(resolved.values()))


def _message(told: Told, news: _News) -> Message:
    kind = str(news.finding.get("type", ""))
    named = f"{code(kind, 120)} {severity_of(news.finding)}".rstrip()
    title = safe(news.finding.get("title", ""), 300)
    identity = f"Finding {code(news.finding.get('id', ''), 120)}"
    if news.what == "resolved":
        every = " None of its findings is open any more." if news.all_resolved else ""
        lines = [
            f"☑️ *Archived or resolved* where it came from: {named}.{every}",
            f"{identity}. That takes nothing back: `clampdown undo {told.id}` does.",
        ]
        said = f"Resolved where it came from: {kind}"
    else:
        how = "Another finding" if news.what == "joined" else "Open again, a finding"
        total = counted(news.findings, "finding")
        lines = [
            f"➕ *{how}* about {safe(told.short_targets(), 60)}: {named} {title}".rstrip(),
            f"{identity}. {total} by now.",
        ]
        said = f"{how} about {told.short_targets()}: {kind}"
    blocks = (section("\n".join(lines)),)
    return Message(f"finding:{news.seq}", plain(said, 300), blocks, TASK_URGENCY)


def _rest(told: Told, news: Sequence[_News]) -> Message:
    joined = sum(item.what != "resolved" for item in news)
    last = code(news[-1].finding.get("type", ""), 120)
    said = f"{joined} more joined, {len(news) - joined} more resolved"
    text = f"➕ *Findings* about {safe(told.short_targets(), 60)}: {said}. The last: {last}."
    blocks = (section(f"{text} `clampdown status {told.id}` shows all."),)
    return Message("findings", plain(f"Findings: {said}", 300), blocks, TASK_URGENCY)


def _started(told: Told, seq: int, reason: str) -> Message:
    said = "What was only proposed starts by itself now"
    why = f": {safe(reason, 300)}" if reason else ""
    blocks = (section(f"▶️ *{said}*, by a route of playbooks.yaml{why}"),)
    text = plain(f"{told.mark} {told.short_targets()}: {said}", 300)
    return Message(f"asked:{seq}", text, blocks, TASK_URGENCY)
