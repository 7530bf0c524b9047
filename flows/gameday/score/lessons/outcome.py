"""Rules about what came of it: objectives, decoys, what was left behind, and the trend."""

from __future__ import annotations

from collections.abc import Iterator

from flows.console.terminal import counted
from flows.gameday.assessment import Lesson
from flows.gameday.drills import DIFFERENCE
from flows.gameday.score.lessons.seen import Seen
from flows.gameday.score.reading import sources, words
from flows.gameday.score.safety import left_behind

_SLOWER = 1.5


def broke_off(seen: Seen) -> Iterator[Lesson]:
    ended = seen.played.drill.ended
    why = ended.body["why"] if ended else "its last record tells of no end"
    if why != "over":
        text = f"The drill did not come to its end ({why}): play it again before trusting figures."
        yield Lesson("drill-broke-off", text, "high", sources(ended or seen.played.drill.began))


def journal(seen: Seen) -> Iterator[Lesson]:
    if seen.journal["ok"] is False:
        problem = seen.journal["problems"][0]
        text = (
            f"The journal of this drill fails verification ({problem}): no figure can be trusted."
        )
        yield Lesson("journal-broken", text, "high", sources(seen.played.drill.began))


def objectives(seen: Seen) -> Iterator[Lesson]:
    for verdict in seen.verdicts:
        if verdict.level == "missed":
            text = f"“{verdict.title}” was missed. {verdict.reason}"
            yield Lesson("objective-missed", text, "high", verdict.sources)
        elif verdict.level == "partly":
            text = f"“{verdict.title}” was met in part. {verdict.reason}"
            yield Lesson("objective-partly", text, "medium", verdict.sources)


def decoys(seen: Seen) -> Iterator[Lesson]:
    for item in seen.quality["decoys_touched"]:
        text = f"{item['what']} was to be left alone: {item['text']}. Narrow the route or the gate."
        yield Lesson("decoy-touched", text, "high", item["sources"])


def findings(seen: Seen) -> Iterator[Lesson]:
    for item in seen.quality["missed_injects"]:
        text = f"The finding {item['what']} led to nothing: {item['text']}. Add a route for it."
        yield Lesson("finding-missed", text, "high", item["sources"])


def undo(seen: Seen) -> Iterator[Lesson]:
    undone = [
        record for record in seen.played.drill.of(DIFFERENCE) if record.body["when"] == "undone"
    ]
    if undone and (left := left_behind(undone[-1])):
        some = ", ".join(left[:3]) + (" …" if len(left) > 3 else "")
        text = f"Taking it back left {counted(len(left), 'difference')}: {some}."
        yield Lesson("not-taken-back", text, "high", sources(undone[-1]))


def slower(seen: Seen) -> Iterator[Lesson]:
    for timing in seen.timings:
        if timing.took is None or not timing.median:
            continue
        if timing.took > _SLOWER * timing.median:
            text = (
                f"“{timing.milestone}” took {words(timing.took)}, which is slower than before "
                f"(median {words(timing.median)}): what has changed?"
            )
            yield Lesson("slower-than-before", text, "medium", timing.sources)
