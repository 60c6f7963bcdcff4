"""What all faults share: clusters, the state of an undisturbed run, and rows of the table."""

import dataclasses
import pathlib
from typing import Any

from fault_injection.cluster import EVERY, Cluster, Outcome

from pipeline.storage.paths import Path, is_remote, sizes
from pipeline.training.checkpoints.newest_step import newest_step


@dataclasses.dataclass
class Row:
    """A row of the table."""

    fault: str
    expected: str
    seen: str
    ok: bool
    steps_lost: int | None = None
    recovery_s: float | None = None


class Campaign:
    """Where faults are injected, and the digest of the state of an undisturbed run.

    Args:
      folder: a local folder for recipes and output, and for the runs unless `place` is given.
      place: a folder in a bucket for the runs.
      proxy: what answers for the bucket's emulator, and can make it fail; None for a real bucket.
      kills: how many times to kill while saving.
    """

    def __init__(self, folder: pathlib.Path, place: str, proxy: Any, kills: int):
        self.folder, self.place, self.proxy, self.kills = folder, place, proxy, kills
        self._reference = ""

    @property
    def reference(self) -> str:
        """The sha256 of the state that an undisturbed run on a disk ends in."""
        if not self._reference:
            cluster = Cluster(self.folder / "reference")
            outcome = cluster.run()
            assert outcome.codes == [0, 0], outcome.said
            self._reference = cluster.digest()
        return self._reference

    def cluster(self, name: str) -> Cluster:
        """Return a new cluster with a run of its own."""
        name = name.replace(" ", "_")
        return Cluster(self.folder / name, place=f"{self.place}/{name}" if self.place else "")

    def recover(self, cluster: Cluster, fault: str, expected: str, first: Outcome, ok: bool) -> Row:
        """Run the command again, undisturbed: it must end in the reference state."""
        before = max(cluster.last_step(), newest_step(cluster.workdir))
        again = cluster.run()
        resumed = cluster.resumed_after()
        same = again.codes == [0, 0] and cluster.digest() == self.reference
        seen = (
            f"exit {first.codes}, then resumed after {resumed}: "
            f"{'same state' if same else f'DIFFERS {again.codes}'}"
        )
        lost = max(0, before - resumed)
        # A save in progress is lost; these steps are so short that an interval passes during it.
        bounded = lost <= 2 * EVERY
        return Row(
            fault, expected, seen, ok and same and bounded and not first.hung, lost, again.seconds
        )


class Snapshot:
    """The files of a folder, kept in memory."""

    def __init__(self, folder: Path):
        self.files = {name: (folder / name).read_bytes() for name in sizes(folder)}

    def put(self, folder: Path, harmed: str = "") -> None:
        """Make the folder hold these files; in a bucket, only `harmed` has another content."""
        there: set[str] = set()
        if is_remote(folder):
            there = set(sizes(folder)) - {harmed}
        elif folder.exists():
            folder.rmtree()
        for name in sorted(there - self.files.keys()):
            (folder / name).unlink()
        for name in sorted(self.files.keys() - there):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(self.files[name])
