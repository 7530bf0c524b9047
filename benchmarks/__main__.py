"""``make bench``: every benchmark, one after the other."""

from __future__ import annotations

import argparse
import json

from benchmarks import cold, fleet, gameday, isolation, journal, serve, simulator, startup
from benchmarks.fidelity import measure as fidelity


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    figures = {
        "startup": startup.measure(arguments.runs),
        "journal": journal.measure(),
        "isolation (warm)": isolation.measure(arguments.runs),
        "fleet plan": fleet.measure(),
        "cold": cold.measure(arguments.runs),
        "service": serve.measure(),
        "game days": gameday.measure(),
        "simulated AWS": simulator.measure(),
        "simulated AWS: rules of AWS that hold": fidelity.measure(),
    }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, rows in figures.items():
        print(f"\n{name}")
        for key, value in rows.items():
            print(f"  {key:58} {value}")


if __name__ == "__main__":
    main()
