"""A journal with 1,000 incidents in it: what looking at one, and starting the service, take then."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from benchmarks import playbooks
from benchmarks.rig import Rig, rig
from benchmarks.service_process import CLAMPDOWN
from benchmarks.timing import seconds
from flows.identity import local_identity
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.responder import Responder
from flows.settings import Settings
from runbooks.loader import load
from runbooks.registry import STEPS

_RECORDS, _RUNS = 100, 3


def measure(incidents: int = 1_000) -> dict[str, str]:
    """Against a journal with one incident in it; a warm-up of each isn't counted."""
    with rig(1) as bed:
        records = _contained(bed)
        few, many = (f"sqlite:///{bed.directory / name}.db" for name in ("few", "many"))
        _fill(few, records, range(1))
        _fill(many, records, range(incidents))

        def status(journal: str) -> float:
            command = [*CLAMPDOWN, "status", _id(0), "--json"]
            return seconds(command, bed.settings(CLAMPDOWN_JOURNAL=journal))

        def start(journal: str) -> float:
            began = time.perf_counter()
            with bed.serving(CLAMPDOWN_JOURNAL=journal):
                return time.perf_counter() - began

        what = f"{incidents} incidents of {len(records)} records in the journal / one"
        return {
            f"{what}: clampdown status": _compared(status, many, few),
            f"{what}: clampdown serve until it is ready": _compared(start, many, few),
        }


def _compared(measured: Callable[[str], float], many: str, few: str) -> str:
    pairs = [(measured(many), measured(few)) for _ in range(_RUNS + 1)][1:]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return f"{ratio:.2f} ({ours:.2f} s / {theirs:.2f} s; goal: about 1)"


def _contained(bed: Rig) -> list[Record]:
    """The records of an incident that was contained, and gone on with until there are enough."""
    path = bed.directory / "playbooks.yaml"
    settings = Settings(
        home=bed.directory / "home", simulate=bed.url, region=bed.fleet.region, playbooks=path
    )
    responder = Responder(settings, load(path, STEPS))
    target = f"arn:aws:ec2:{bed.fleet.region}:{bed.fleet.account}:instance/{bed.fleet.ids[0]}"
    with closing(responder.journal) as journal:
        records: list[Record] = []
        while len(records) < _RECORDS:
            started = responder.run(playbooks.NAME, [target], local_identity(), prefect=False)
            records = journal.records(started.incident.id)
    return records


def _fill(url: str, records: Sequence[Record], numbers: range) -> None:
    """Write the incident down so often, each time about another instance."""
    known = records[0].incident
    instance = records[0].body["targets"][0]["id"]
    texts = [json.dumps(record.body) for record in records]
    with closing(Journal.open(url)) as journal:
        for number in numbers:
            for record, text in zip(records, texts, strict=True):
                text = text.replace(known, _id(number)).replace(instance, f"i-{number:017x}")
                body = json.loads(text)
                journal.append(_id(number), record.kind, body, record.actor, at=record.at)


def _id(number: int) -> str:
    return f"inc-20260101-{number:06x}"


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
