import json, shutil, time
from pathlib import Path
from tests.flows.scene import Scene
from tests.flows.slack.incidents import write, BEFORE, BEHIND, TASK, gate, finding, ANA
from flows.journal.journal import Journal
from flows.journal.record import Actor

def test_build(scene: Scene) -> None:
    write(scene, *BEFORE, gate(), *BEHIND, TASK)
    scene.decides(ANA)
    started = scene.run(playbook="contain-it", finding=finding(scene))
    recs = scene.records(started.incident)
    print(started.incident.status, len(recs), sum(len(json.dumps(dict(r.body))) for r in recs))
    out = Path("/tmp/helperI/big"); shutil.rmtree(out, ignore_errors=True); out.mkdir()
    (out/"playbooks.yaml").write_text(scene.file.read_text())
    j = Journal.open(f"sqlite:///{out/'journal.db'}")
    import flows.journal.journal as jj
    t=time.time()
    with j._engine.connect() as c: pass
    conn = None
    from sqlalchemy import text
    for i in range(1000):
        inc = f"inc-20260101-{i:06x}"
        digests = {}
        for r in recs:
            j.append(inc, r.kind, r.body, r.actor, at=r.at)
        for k in range(6):
            j.append(inc, "slack.posted", {"key": f"k{k}", "channel": "C0INCIDENT", "ts": f"17000{i}.{k:06d}", "digest": "0"*64}, Actor("system","clampdown","slack"), at=recs[-1].at)
            digests[f"k{k}"]="0"*64
        j.append(inc, "slack.told", {"digests": digests}, Actor("system","clampdown","slack"), at=recs[-1].at)
    print("built", time.time()-t)
