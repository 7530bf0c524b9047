"""Assessing a drill: everything that its report shows, made from the records of its journal."""

from __future__ import annotations

from collections.abc import Sequence

from flows.gameday.assessment import Assessment, Coverage, Past
from flows.gameday.drills import Drill
from flows.gameday.score.decisions import decisions, quality
from flows.gameday.score.evidence import evidence, journal_of
from flows.gameday.score.faults import calls, faults
from flows.gameday.score.fidelity import fidelity
from flows.gameday.score.lessons import Seen, lessons
from flows.gameday.score.passing import passed
from flows.gameday.score.phases import people_share, phases
from flows.gameday.score.reading import Played, read
from flows.gameday.score.safety import differences, in_words, safety
from flows.gameday.score.timeline import moments
from flows.gameday.score.trend import earlier, played_at, timings
from flows.gameday.score.untested import not_tested
from flows.gameday.score.verdicts import score, verdicts
from runbooks.playbook import Playbooks


def assess(
    drill: Drill,
    playbooks: Playbooks,
    past: Sequence[Past] = (),
    coverage: Sequence[Coverage] = (),
) -> Assessment:
    """What a drill came to.

    ``playbooks`` are those of today: what of them never ran is told. Of ``past``, the drills of the
    same scenario before this one are compared.

    Raises InvalidInput where the drill's scenario is not understood.
    """
    played = read(drill)
    about = drill.about
    judged = verdicts(played)
    number, formula = score(judged)
    bars = phases(played)
    share = people_share(played, bars)
    decided = decisions(played)
    good = quality(played, decided)
    safe = safety(played)
    followed = fidelity(played)
    injected = faults(played)
    before = earlier(played, past)
    times = timings(played, before)
    journal = journal_of(played)
    seen = Seen(
        played, judged, bars, share, decided, good, safe, followed, injected, times, journal
    )
    return Assessment(
        drill=drill.id,
        scenario=about["scenario"],
        title=played.scenario.title,
        purpose=played.scenario.purpose,
        mode=about["mode"],
        seed=about["seed"],
        people=str(about["people"]),
        began=drill.at,
        lasted=played.lasted,
        header=_header(played),
        techniques=played.scenario.techniques,
        score=number,
        formula=formula,
        passed=passed(drill, judged, journal),
        verdicts=judged,
        phases=bars,
        moments=moments(played),
        timings=times,
        people_share=share,
        fidelity=followed,
        decisions=decided,
        quality=good,
        safety=safe,
        evidence=evidence(played),
        journal=journal,
        faults=injected,
        calls=calls(played),
        differences=differences(played),
        not_tested=not_tested(played, playbooks, judged, injected),
        lessons=lessons(seen),
        past=before,
        coverage=tuple(coverage),
        in_words=in_words(played),
    )


def _header(played: Played) -> dict[str, str]:
    about = played.drill.about
    roles = (
        f"{name} ({', '.join(person.groups) or 'no approver'})"
        for name, person in played.scenario.people.items()
    )
    incidents = (f"{told.id} ({told.incident.status})" for told in played.incidents)
    return {
        "Drill": played.drill.id,
        "Scenario": f"{about['scenario']}, version {about['digest'][:12]}",
        "Mode": about["mode"],
        "Seed": str(about["seed"]),
        "Played": f"{played_at(played.drill):%Y-%m-%d %H:%M} UTC",
        "Playbook": f"{played.scenario.playbook}, playbooks.yaml {about['playbooks_digest'][:12]}",
        "Clampdown": about["tool"],
        "Account": f"{about['account']} in {about['region']}",
        "People": f"{about['people']}: {', '.join(roles) or 'nobody'}",
        "Incidents": ", ".join(incidents) or "none",
    }
