"""Processes that are killed, preempted, stopped, stuck, slow or missing."""

import random
import re
import time

from fault_injection.campaign import Campaign, Row
from fault_injection.cluster import LIMIT_S, STEPS
from fault_injection.patches import PATCHES


def kill_in_save(campaign: Campaign) -> list[Row]:
    """Kill both processes with -9 at random times, with a save after each step."""
    cluster = campaign.cluster("kills")
    generator, lost, seconds, kills = random.Random(0), [0], [0.0], 0
    flags = ("--config.checkpoint.every=1",)
    while kills < campaign.kills:
        if cluster.last_step() >= STEPS - 2 or (cluster.workdir / "DONE").exists():
            cluster.clear()
        before = cluster.steps()
        running = cluster.start(*flags, patch=PATCHES["slow"])
        deadline = time.monotonic() + LIMIT_S
        while cluster.steps() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 0.6))
        for process in running:
            process.kill()
        cluster.wait()
        kills += 1
        reached = cluster.last_step()
        again = cluster.start(*flags, patch=PATCHES["slow"])
        began = time.monotonic()
        # In a bucket a step is seen before it is complete: the first may not be there yet.
        while not re.search("resuming after step|from scratch", cluster.said()):
            time.sleep(0.05)
            assert time.monotonic() - began < LIMIT_S, cluster.said()
        seconds.append(time.monotonic() - began)
        lost.append(reached - cluster.resumed_after())
        for process in again:
            process.kill()
        cluster.wait()
        kills += 1
    last = cluster.run()
    same = last.codes == [0, 0] and cluster.digest() == campaign.reference
    seen = (
        f"{kills} kills, at most {max(lost)} steps lost; "
        f"in the end {'same state' if same else f'DIFFERS {last.codes}'}"
    )
    ok = same and max(lost) <= 3
    expected = "no step lost but those since the last save"
    return [Row("kill -9 while saving", expected, seen, ok, max(lost), max(seconds))]


def term(campaign: Campaign) -> list[Row]:
    """Send SIGTERM to one process in each phase."""
    rows = []
    for phase in ("restore", "compile", "step", "data", "evaluate", "pictures", "save"):
        cluster = campaign.cluster(f"term {phase}")
        patch = PATCHES["term in {phase}"].replace("{phase!r}", repr(phase)) + PATCHES["slow"]
        first = cluster.run(patch=patch)
        fault, expected = f"SIGTERM in phase {phase}", "exit 75 on both, the same step saved"
        rows.append(campaign.recover(cluster, fault, expected, first, first.codes == [75, 75]))
    return rows


def peer(campaign: Campaign) -> list[Row]:
    """Kill one process, or stop it: the other ends within the heartbeat."""
    rows = []
    for name, number in (
        ("kill -9 of one process", "signal.SIGKILL"),
        ("SIGSTOP of one process", "signal.SIGSTOP"),
    ):
        cluster = campaign.cluster(name)
        patch = PATCHES["kill at 25"].replace("SIGNAL", number)
        survivor, other = cluster.start("--heartbeat_timeout=10", patch=patch)
        survivor.wait(LIMIT_S)
        ended = time.monotonic() - cluster.began
        other.kill()
        first = cluster.wait()
        expected = "the other ends within the heartbeat of 10 s"
        row = campaign.recover(cluster, name, expected, first, first.codes[0] != 0)
        row.seen += f" (ended {ended:.0f} s after the start)"
        rows.append(row)
    return rows


def stuck(campaign: Campaign) -> list[Row]:
    """Hang one process: the watchdog ends it."""
    cluster = campaign.cluster("stuck")
    flags = ("--config.watchdog.minutes=0.15", "--config.eval.every=0", "--config.sample.every=0")
    first = cluster.run(*flags, patch=PATCHES["stuck"])
    named = "process 1 on" in first.said and "hung: " in first.said and "phase 'data'" in first.said
    hangs = cluster.workdir / "hangs"
    stacks = list(hangs.glob("process_*.txt")) if hangs.exists() else []
    expected = "exit 70, process and phase named, stacks on disk"
    ok = 70 in first.codes and named and bool(stacks)
    row = campaign.recover(cluster, "a process stuck in its data", expected, first, ok)
    row.seen += f"; {len(stacks)} files of stacks"
    return [row]


def straggler(campaign: Campaign) -> list[Row]:
    """Slow down the data of one process: the others wait, and the log names it."""
    cluster = campaign.cluster("straggler")
    first = cluster.run("--config.log.every=5", patch=PATCHES["slow data"])
    told = cluster.lines("incidents.jsonl")
    named = [
        each
        for each in told
        if "process 1 on" in each.get("what", "") and "'data'" in each.get("what", "")
    ]
    same = cluster.digest() == campaign.reference
    saves = sum("'save'" in each.get("what", "") for each in told)  # a bucket delays more than data
    others = len(told) - saves
    # On a busy machine a process may be delayed by something else, too.
    ok = first.codes == [0, 0] and len(named) > 2 and len(named) >= 0.6 * others and same
    seen = (
        f"exit {first.codes}, process 1 and its data in {len(named)} of {len(told)} lines, "
        f"{saves} are about saves"
    )
    return [Row("a process with slow data", "named in the log; nothing else changes", seen, ok)]


def missing(campaign: Campaign) -> list[Row]:
    """Leave out one host."""
    cluster = campaign.cluster("missing")
    first = cluster.run("--initialization_timeout=8", absent=(1,), limit_s=60)
    ok = first.codes == [70] and "missing: 1" in first.said
    expected = "exit 70 after the time-out, named"
    return [Row("a process missing at the start", expected, f"exit {first.codes}", ok)]
