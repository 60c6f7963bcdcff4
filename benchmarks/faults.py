"""Inject the faults of a cluster into runs of two processes; report what was lost and the time.

    python benchmarks/faults.py [--only NAME ...] [--kills 30] [--workdir gs://] [--out FILE]

A fault hits a small run of two processes on this machine, and the same command is run again until
it is done. The final state must equal, bit for bit, the state of an undisturbed run on a disk; if
batches were skipped or devices changed, it must be finite and complete. Nothing may take longer
than its limit. Prints a table, and exits with 1 if a row is not as expected.

With `--workdir gs://` or `--workdir s3://`, the runs are in a bucket of an emulator that is started
on this machine; with `--workdir gs://BUCKET/FOLDER`, in a bucket that exists, whose answers are
then left alone.
"""

import argparse
import contextlib
import pathlib
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from fault_injection import (  # noqa: E402
    bucket_faults,
    input_faults,
    process_faults,
    storage_faults,
    topology_faults,
)
from fault_injection.campaign import Campaign, Row  # noqa: E402

FAULTS: dict[str, Callable[[Campaign], list[Row]]] = {
    fault.__name__: fault
    for fault in (
        process_faults.kill_in_save,
        storage_faults.damage,
        storage_faults.disk_full,
        bucket_faults.outage,
        bucket_faults.ten_minutes,
        bucket_faults.replaced,
        topology_faults.fewer_processes,
        process_faults.term,
        process_faults.peer,
        process_faults.stuck,
        process_faults.straggler,
        process_faults.missing,
        input_faults.poison,
        input_faults.corrupt_record,
        input_faults.changed,
        input_faults.disagreement,
    )
}


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| Fault | Expected | Seen | Steps lost | Seconds to recover | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lost = "" if row.steps_lost is None else str(row.steps_lost)
        recovery = "" if row.recovery_s is None else f"{row.recovery_s:.0f}"
        verdict = "as expected" if row.ok else "**NOT as expected**"
        lines.append(
            f"| {row.fault} | {row.expected} | {row.seen} | {lost} | {recovery} | {verdict} |"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def bucket(workdir: str) -> Iterator[tuple[str, Any]]:
    """Give the folder for the runs, "" for a local one, and the emulator's proxy or None."""
    scheme, _, name = workdir.partition("://")
    if not workdir or name:
        yield workdir.rstrip("/"), None
        return
    import bucket_servers

    with bucket_servers.running() as servers:
        yield f"{scheme}://{bucket_servers.BUCKET}/faults", servers.proxies[scheme]


def run(flags: argparse.Namespace, campaign: Campaign) -> list[Row]:
    """Inject the faults in turn; print each row as it is known."""
    rows: list[Row] = []
    for name in flags.only:
        began = time.monotonic()
        try:
            new = FAULTS[name](campaign)
        except Exception as error:  # The others must run all the same.
            new = [Row(name, "", f"{type(error).__name__}: {str(error)[-300:]!r}", False)]
        rows += new
        for row in new:
            print(f"{'ok  ' if row.ok else 'FAIL'} {row.fault}: {row.seen}", flush=True)
        print(f"     {name}: {time.monotonic() - began:.0f} s", flush=True)
        if flags.out:
            pathlib.Path(flags.out).write_text(table(rows) + "\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--kills", type=int, default=30, help="how many times to kill while saving")
    parser.add_argument("--workdir", default="", help="gs://, s3://, or a folder in a bucket")
    parser.add_argument("--logs", help="folder for recipes and output, which is then kept")
    parser.add_argument("--out", help="file for the table; standard output has it anyway")
    flags = parser.parse_args()
    if flags.workdir and not flags.workdir.startswith(("gs://", "s3://")):
        parser.error(f"--workdir {flags.workdir}: give gs://, s3:// or a folder in a bucket")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # aborted processes must not leave core files
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with tempfile.TemporaryDirectory() as folder, bucket(flags.workdir) as (place, proxy):
        logs = pathlib.Path(flags.logs or folder)
        rows = run(flags, Campaign(logs, place, proxy, flags.kills))
    print(table(rows))
    sys.exit(0 if all(row.ok for row in rows) else 1)


if __name__ == "__main__":
    main()
