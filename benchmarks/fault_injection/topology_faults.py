"""Runs that lose each of three processes in turn and go on with two."""

import signal
import time

from fault_injection.campaign import Campaign, Row
from fault_injection.cluster import LIMIT_S, Cluster

# A batch for three processes and for two; evaluations would only take time.
FLAGS = ("--config.batch_size=6", "--config.eval.every=0")


def fewer_processes(campaign: Campaign) -> list[Row]:
    """Kill each of three processes in turn, and end with two, as an undisturbed local run does."""
    undisturbed = Cluster(campaign.folder / "three_local", 3)
    _end_with_two(undisturbed, campaign)
    cluster = campaign.cluster("three")
    cluster.processes = 3
    killed_at = [_kill(cluster, victim) for victim in range(3)]
    codes = _end_with_two(cluster, campaign)
    same = cluster.digest() == undisturbed.digest()
    seen = f"killed at steps {killed_at}, exit {codes}: {'same state' if same else 'DIFFERS'}"
    fault = "kill -9 of each of three processes in turn; the last 20 steps by two processes"
    ok = same and not any(codes) and all(killed_at)
    return [Row(fault, "the state of an undisturbed run on a disk", seen, ok)]


def _kill(cluster: Cluster, victim: int) -> int:
    """Kill one process some steps after the start; return the step."""
    running = cluster.start(*FLAGS, "--config.num_steps=20")
    began = time.monotonic()
    while cluster.last_step() < 3 + 4 * victim and time.monotonic() - began < LIMIT_S:
        time.sleep(0.2)
    step = cluster.last_step()
    running[victim].send_signal(signal.SIGKILL)
    cluster.wait()
    return step


def _end_with_two(cluster: Cluster, campaign: Campaign) -> list[int]:
    """Train to step 20 with three processes and to 40 with two; return all exit codes."""
    codes = list(cluster.run(*FLAGS, "--config.num_steps=20").codes)
    two = Cluster(campaign.folder / f"{cluster.folder.name}_two", 2)
    two.workdir = cluster.workdir
    return codes + list(two.run(*FLAGS, "--config.num_steps=40").codes)
