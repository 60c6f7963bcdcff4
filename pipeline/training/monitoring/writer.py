"""Metrics and pictures of a run: metrics.jsonl, and TensorBoard and a log through CLU."""

import concurrent.futures
import contextlib
import importlib.util
import json
import logging
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.core import grids
from pipeline.core.errors import one_line
from pipeline.storage import small_files


class MetricWriter:
    """Writer of scalars and images by step, on the first process only (`enabled`).

    metrics.jsonl has one object per line, {"step": 50, "train": {...}}, and is cut back to the step
    that a run resumes from, so an interrupted run leaves the same file as an uninterrupted one.
    Values measured with a clock, which never repeat exactly, are in speed.jsonl.

    A file that cannot be written (a full disk) is reported once on standard error and skipped: the
    run continues without its log. TensorBoard stays off after a failure until the next start.
    """

    def __init__(self, workdir: pathlib.Path, *, resume_step: int, enabled: bool = True):
        self._enabled = enabled
        self._workdir = workdir
        self._clu: concurrent.futures.Future | None = None
        self._torn: set[str] = set()  # files whose last line may be incomplete
        if not enabled:
            return
        self._files = {}
        for name in ("metrics", "speed"):
            path = workdir / f"{name}.jsonl"
            _cut_back(path, resume_step)
            self._files[name] = path.open("a")
        small_files.mend_lines(workdir / "incidents.jsonl", _has_step)
        # CLU imports tensorflow, which takes seconds: meanwhile the training step is compiled.
        opener = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="clu")
        self._clu = opener.submit(_clu_writer, workdir)
        opener.shutdown(wait=False)

    def scalars(self, step: int, group: str, values: Mapping[str, Any]) -> None:
        """Write a line of metrics.jsonl, and to TensorBoard.

        Vectors become lists in the file, and one scalar per entry in TensorBoard.
        """
        self._write("metrics", step, group, values)

    def timings(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line of speed.jsonl, and to TensorBoard."""
        self._write("speed", step, "speed", values)

    def _write(self, name: str, step: int, group: str, values: Mapping[str, Any]) -> None:
        if not self._enabled:
            return
        plain = {name: np.asarray(value, np.float64).tolist() for name, value in values.items()}
        # JSON has no NaN or infinity: a reader gets null, and the step's log line says which it
        # was.
        plain = {name: _finite(value) for name, value in plain.items()}
        line = json.dumps({"step": step, group: plain}) + "\n"
        with self._reporting_failures(f"{name}.jsonl"):
            self._files[name].write("\n" + line if name in self._torn else line)
            self._files[name].flush()
            self._torn.discard(name)
        self._to_clu("write_scalars", step, dict(_flat_scalars(group, plain)))

    def incident(self, step: int, kind: str, **details: Any) -> None:
        """Append a problem, and the reaction to it, to incidents.jsonl."""
        if self._enabled:
            with (
                self._reporting_failures("incidents.jsonl"),
                (self._workdir / "incidents.jsonl").open("a") as file,
            ):
                file.write(json.dumps({"step": step, "kind": kind} | details) + "\n")

    def cut_back(self, step: int) -> None:
        """Drop everything after `step`, to which the run returns."""
        if not self._enabled:
            return
        for name, file in self._files.items():
            file.close()
            _cut_back(self._workdir / f"{name}.jsonl", step)
            self._files[name] = (self._workdir / f"{name}.jsonl").open("a")

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a uint8 picture [h w 3] as samples/<name>_<step>.png and to TensorBoard."""
        if not self._enabled:
            return
        with self._reporting_failures(f"samples/{name}"):
            grids.save(self._workdir / "samples" / f"{name}_{step:08d}.png", image)
        self._to_clu("write_images", step, {name: image[None]})

    def flush(self) -> None:
        """Write everything so far to disk."""
        if self._enabled:
            for file in self._files.values():
                with self._reporting_failures(file.name):
                    os.fsync(file.fileno())
        self._to_clu("flush")

    def close(self) -> None:
        """Flush and close; the writer cannot be used after that."""
        self.flush()
        if self._enabled:
            for file in self._files.values():
                with self._reporting_failures(file.name):
                    file.close()
        self._to_clu("close")

    def _to_clu(self, method: str, *arguments: Any) -> None:
        if self._clu is None:
            return
        try:
            writer = self._clu.result()
            if writer is not None:
                getattr(writer, method)(*arguments)
        except Exception as error:  # raised in one of its threads, by any library
            self._clu = None
            reason = one_line(error)[:300]
            print(
                f"strata: TensorBoard and train.log end here: {reason}; the run continues",
                file=sys.stderr,
                flush=True,
            )

    @contextlib.contextmanager
    def _reporting_failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name = what.removesuffix(".jsonl")
            if name not in self._torn:
                print(
                    f"strata: {what} cannot be written: {error.strerror}; the run continues",
                    file=sys.stderr,
                    flush=True,
                )
            self._torn.add(name)


def _clu_writer(workdir: pathlib.Path) -> Any:
    """Return CLU's writers for TensorBoard (tb/) and the log (train.log), in a thread of their own.

    Returns None without CLU, or without tensorflow and tensorboard, which it needs.
    """
    if any(
        importlib.util.find_spec(package) is None
        for package in ("clu", "tensorflow", "tensorboard")
    ):
        return None
    # Tensorflow only writes event files here; these keep its startup messages off the console.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    from clu import metric_writers

    _log_to(workdir / "train.log")
    summaries = metric_writers.SummaryWriter(str(workdir / "tb"))
    return metric_writers.AsyncMultiWriter([summaries, metric_writers.LoggingWriter()])


def _log_to(path: pathlib.Path) -> None:
    """Send absl's log, which CLU uses, to the file only, and warnings to standard error too."""
    logger = logging.getLogger("absl")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    file, warnings = logging.FileHandler(path), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    warnings.setLevel(logging.WARNING)
    # CLU logs the traceback of a failure in its thread and then raises it; we report it in one
    # line.
    warnings.addFilter(lambda record: "asynclib" not in record.pathname)
    logger.addHandler(file)
    logger.addHandler(warnings)


def _cut_back(path: pathlib.Path, step: int) -> None:
    """Drop lines after `step`, and set aside what is no line, such as one that a kill cut off."""
    small_files.mend_lines(path, _has_step, keep=lambda entry: entry["step"] <= step)


def _has_step(entry: Any) -> bool:
    return isinstance(entry, dict) and type(entry.get("step")) is int


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value if np.isfinite(value) else None


def _flat_scalars(group: str, values: Mapping[str, Any]):
    for name, value in values.items():
        if isinstance(value, list):
            yield from (
                (f"{group}/{name}/{index}", entry)
                for index, entry in enumerate(value)
                if entry is not None
            )
        elif value is not None:
            yield f"{group}/{name}", value
