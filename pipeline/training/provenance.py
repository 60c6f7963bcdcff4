"""The origin of a run: its config, data and frozen networks, as written into checkpoints."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.training import workdir


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Properties of a run that must be the same when it resumes.

    Attributes:
      config: the complete recipe; here it is only saved and compared.
      dataset: "source", "path", "num_examples" and "fingerprint".
      frozen: fingerprints of the frozen networks of the objective, or None if there are none.
      teacher: the same of the codec that the run learns from, or None.
      origin: what identifies the codec that the run starts from (pipeline.build.init), or None.
    """

    config: Mapping[str, Any]
    dataset: Mapping[str, Any]
    frozen: list[str] | None
    origin: Mapping[str, Any] | None = None
    teacher: Mapping[str, Any] | None = None

    def metadata(self, skipped_batches: Sequence[int]) -> dict[str, Any]:
        """Return the JSON that a checkpoint holds besides its arrays."""
        return {
            "config": json.loads(json.dumps(self.config)),
            "dataset": dict(self.dataset),
            "skipped_batches": list(skipped_batches),
            "frozen": self.frozen,
            "origin": None if self.origin is None else dict(self.origin),
            "teacher": None if self.teacher is None else dict(self.teacher),
        }

    def check_same(self, saved: Mapping[str, Any], where: str, *, force: bool) -> None:
        """Compare with the metadata of a checkpoint, which is called `where` in messages.

        Raises:
          ConfigError: a difference makes this another run, and `force` is not set.
        """
        workdir.refuse_changes(saved["config"], self.config, where=where, force=force)
        old, new = saved["dataset"], self.dataset
        if old.get("fingerprint") not in (None, new["fingerprint"]) and not force:
            changes = "; ".join(
                f"{key}: {old[key]} -> {new[key]}" for key in new if old.get(key) != new[key]
            )
            raise ConfigError(
                f"the dataset differs from that of {where}: {changes} (--force_config goes on with "
                "the new one)"
            )
        if saved.get("frozen") not in (None, self.frozen) and not force:
            keys = ", ".join(workdir.network_paths())
            raise ConfigError(
                f"the frozen networks ({keys}) have other weights than in {where} "
                "(--force_config goes on with the new ones)"
            )
        began = saved.get("origin") or {}
        now = (self.origin or {}).get("fingerprint")
        if began.get("fingerprint") not in (None, now) and not force:
            raise ConfigError(
                f"the codec of config.init has other weights than the one that the run of {where} "
                "started from (--force_config goes on nevertheless)"
            )
