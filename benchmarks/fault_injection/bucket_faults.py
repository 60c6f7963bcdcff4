"""Buckets that fail for a while, and two starts of one run in a bucket."""

import random
import re
import signal
import time

from fault_injection.campaign import Campaign, Row
from fault_injection.cluster import LIMIT_S, Cluster
from fault_injection.patches import PATCHES

OUTAGE_S = 15
TEN_MINUTES_S = 600


def outage(campaign: Campaign) -> list[Row]:
    """Make single requests fail all the time, and all requests for a while, during a save."""
    if campaign.proxy is None:
        return []
    return [_noise(campaign), _short(campaign), _long(campaign)]


def _noise(campaign: Campaign) -> Row:
    """Make one request in twenty fail, or wait for a second."""
    cluster, generator, faults = campaign.cluster("noise"), random.Random(0), campaign.proxy.faults
    kinds = [429, 500, 503, "reset", 1.0]
    plan = [generator.choice(kinds) if generator.random() < 0.05 else None for _ in range(100_000)]
    faults.extend(plan)
    first = cluster.run(patch=PATCHES["slow"])
    count = sum(each is not None for each in plan[: len(plan) - len(faults)])
    faults.clear()
    fault = f"1 request in 20 ({count}) answered by 429, 500, 503, a reset or after 1 s"
    return _undisturbed(campaign, cluster, fault, first)


def _short(campaign: Campaign) -> Row:
    """Answer 503 to everything for a time that retries bridge."""
    cluster = campaign.cluster("short outage")
    cluster.start(patch=PATCHES["slow"])
    cluster.wait_for_step(15)
    campaign.proxy.down = True
    time.sleep(OUTAGE_S)
    campaign.proxy.down = False
    return _undisturbed(campaign, cluster, f"the bucket down for {OUTAGE_S} s", cluster.wait())


def _long(campaign: Campaign) -> Row:
    """Answer 503 to everything until a save is given up."""
    cluster = campaign.cluster("long outage")
    cluster.start(patch=PATCHES["slow"])
    cluster.wait_for_step(15)
    campaign.proxy.down = True
    began = time.monotonic()
    while time.monotonic() - began < LIMIT_S and "was not written" not in cluster.said():
        if all(process.poll() is not None for process in cluster.running):
            break
        time.sleep(0.2)
    lasted = time.monotonic() - began
    campaign.proxy.down = False
    first = cluster.wait()
    row = _undisturbed(campaign, cluster, f"the bucket down for {lasted:.0f} s", first)
    row.expected = "the save is given up and reported, later saves succeed"
    row.ok = row.ok and "was not written" in first.said
    return row


def ten_minutes(campaign: Campaign) -> list[Row]:
    """Answer 503 to everything for ten minutes of a run that saves every 20 seconds."""
    if campaign.proxy is None:
        return []
    cluster = campaign.cluster("ten minutes")
    slow = PATCHES["slow"].replace("0.05", "10")
    cluster.start("--config.checkpoint.every=2", patch=slow)
    cluster.wait_for_step(4)
    began = cluster.last_step()
    campaign.proxy.down = True
    time.sleep(TEN_MINUTES_S)
    campaign.proxy.down = False
    steps = cluster.last_step() - began
    first = cluster.wait()
    failed = len(re.findall("was not written", cluster.said()))
    row = _undisturbed(campaign, cluster, f"the bucket down for {TEN_MINUTES_S} s", first)
    row.expected = "training goes on, saves are given up and reported, later ones succeed"
    row.seen = f"{steps} steps meanwhile, {failed} lines of failed saves; {row.seen}"
    row.ok = row.ok and steps > 5
    return [row]


def _undisturbed(campaign: Campaign, cluster: Cluster, fault: str, first) -> Row:
    same = cluster.digest() == campaign.reference
    seen = (
        f"exit {first.codes}, checkpoints {cluster.steps()}, {'same state' if same else 'DIFFERS'}"
    )
    ok = first.codes == [0, 0] and same
    return Row(fault, "exit 0, same state", seen, ok, 0)


def replaced(campaign: Campaign) -> list[Row]:
    """Stop a run, start it again elsewhere, and let the first one go on: it must not write."""
    if not campaign.place:
        return []
    old = campaign.cluster("replaced")
    old.start(patch=PATCHES["slow"])
    old.wait_for_step(12)
    for process in old.running:
        process.send_signal(signal.SIGSTOP)
    new = campaign.cluster("replacement")
    new.workdir = old.workdir
    second = new.run()
    for process in old.running:
        process.send_signal(signal.SIGCONT)
    first = old.wait()
    same = second.codes == [0, 0] and new.digest() == campaign.reference
    told = "belongs to a run that started later" in first.said
    steps = [line["step"] for line in new.lines("metrics.jsonl") if "train" in line]
    once = steps == sorted(set(steps))
    seen = (
        f"exit {first.codes} of the old one{', told' if told else ''}, {second.codes} of the new "
        f"one; {'same state' if same else 'DIFFERS'}, "
        f"{'every step once' if once else 'steps twice'} in metrics.jsonl"
    )
    ok = same and once and 0 not in first.codes and not first.hung
    fault = "a run that was replaced while it was stopped goes on"
    return [Row(fault, "it ends and writes nothing", seen, ok)]
