"""``make demo``: the whole of an incident in front of the reader's eyes, on a simulated AWS.

It runs the same commands that a person would type, each in a process of its own, and prints them.
Nothing is reached but this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flows.identity import local_identity
from flows.intake.sample import write_sample

SAMPLE = Path("samples/findings/eventbridge-backdoor-ec2-cactivity.json")
REPORT = Path(tempfile.gettempdir()) / "clampdown-drill.html"
_SANDBOX_SECONDS = 30


def main() -> int:
    """Run the demo; returns the exit code of the first command that failed, or 0."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clampdown-demo-") as directory:
        home = Path(directory)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CLAMPDOWN_"))},
            "CLAMPDOWN_HOME": str(home / "state"),
            "PYTHONUNBUFFERED": "1",
        }
        demo = _Demo(home, environment)
        try:
            demo.play()
        except subprocess.CalledProcessError as failure:
            print(f"\nThe demo stopped: {failure}", file=sys.stderr)
            return failure.returncode or 1
    print(f"\nThat took {time.monotonic() - started:.0f} s. The drill's report: {REPORT}")
    return 0


class _Demo:
    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.environment = environment

    def play(self) -> None:
        self.playbooks()
        with self.sandbox() as world:
            self.environment["CLAMPDOWN_SIMULATE"] = world["url"]
            self.environment["AWS_REGION"] = world["region"]
            finding = self.finding(world)
            victim = world["ids"]["victim"]
            self.say("1. A GuardDuty finding has come in: an instance talks to a C&C server.")
            self.say("2. What would be done about it? Only reads are sent.")
            self.clampdown("plan", "ec2-compromise", "--target", victim)
            self.say("3. Respond. Harmless steps run at once; the rest waits for an approval.")
            incident = self.respond(finding)
            self.say("4. Where it stands, and everything that happened.")
            self.clampdown("status", incident)
            self.clampdown("timeline", incident)
            self.say("5. The journal proves that nobody has edited it.")
            self.clampdown("journal", "verify")
            self.say("6. It was a false alarm: take everything back. Evidence stays.")
            self.clampdown("undo", incident)
            self.clampdown("journal", "verify")
        self.say(
            "7. Practise before it counts: half an hour of an incident, with people stood in for."
        )
        self.clampdown("gameday", "run", "crypto-mining", "--seed", "1", "--html", str(REPORT))

    def playbooks(self) -> None:
        """The shipped playbooks with the reader as approver, who may approve their own incident."""
        data = yaml.safe_load(Path("playbooks.yaml").read_text(encoding="utf-8"))
        me = local_identity().id
        for group in data["approvers"].values():
            group["local_users"] = [me]
        for playbook in data["playbooks"].values():
            for entry in playbook["steps"]:
                if "approve" in entry:
                    entry["approve"]["distinct_from"] = []
        file = self.home / "playbooks.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        self.environment["CLAMPDOWN_PLAYBOOKS"] = str(file)

    @contextmanager
    def sandbox(self) -> Iterator[dict[str, Any]]:
        """A simulated AWS in a process of its own, as ``clampdown sandbox`` starts it."""
        print("$ clampdown sandbox &")
        command = [*_clampdown(), "sandbox", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=self.environment, text=True)
        assert process.stdout is not None
        try:
            world = _first_document(process.stdout)
            print(
                f"  simulated AWS at {world['url']}, account {world['account']}, {world['region']}"
            )
            yield world
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=10)

    def finding(self, world: Mapping[str, Any]) -> Path:
        ids = world["ids"]
        document = write_sample(
            SAMPLE,
            instance_id=ids["victim"],
            account=world["account"],
            region=world["region"],
            private_ip=ids["victim_ip"],
            network_interface_id=ids["victim_eni"],
        )
        path = self.home / "finding.json"
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
        return path

    def respond(self, finding: Path) -> str:
        """Respond to the finding; when the gate asks, approve it from another process."""
        command = ["respond", "--finding", str(finding)]
        print(f"\n$ clampdown {' '.join(command)}", flush=True)
        process = subprocess.Popen(
            [*_clampdown(), *command], stdout=subprocess.PIPE, env=self.environment, text=True
        )
        assert process.stdout is not None
        incident = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            words = line.split()
            if "approve" in words and "clampdown" in words and not incident:
                incident, gate = words[words.index("approve") + 1 :][:2]
                threading.Thread(target=self.approve, args=(incident, gate)).start()
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        return incident

    def approve(self, incident: str, gate: str) -> None:
        time.sleep(1.0)
        done = subprocess.run(
            [*_clampdown(), "approve", incident, gate, "--why", "confirmed with the owner"],
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        print(f"\n  (another terminal) $ clampdown approve {incident} {gate}")
        print(f"  {(done.stdout or done.stderr).strip()}\n", flush=True)

    def clampdown(self, *arguments: str) -> None:
        print(f"\n$ clampdown {' '.join(arguments)}", flush=True)
        subprocess.run([*_clampdown(), *arguments], env=self.environment, check=True)

    def say(self, text: str) -> None:
        bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
        print(f"\n{bold}{text}{plain}", flush=True)


def _clampdown() -> Sequence[str]:
    return (sys.executable, "-m", "flows.cli")


def _first_document(lines: Any) -> dict[str, Any]:
    """The first JSON document that the sandbox prints, which may span lines."""
    text = ""
    deadline = time.monotonic() + _SANDBOX_SECONDS
    for line in lines:
        text += line
        try:
            document: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError:
            if time.monotonic() > deadline:
                break
            continue
        return document
    raise subprocess.CalledProcessError(1, "clampdown sandbox", output=text)


if __name__ == "__main__":
    sys.exit(main())
