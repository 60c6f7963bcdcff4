"""Feed hostile inputs to training's data path, packing and the commands, and count the outcomes.

    python benchmarks/hostile.py [--only KIND ...] [--most N] [--out FILE]

The inputs are images, videos, lists, weights and recipes with the faults of real files. Each
attempt knows its right outcome: the pixels, frames or exit code and words. It is

  right     the input was read as it means;
  refused   the input was refused with the right reason and exit code, in one line;
  wrong     anything else that was read, or refused;
  crashed   an error other than Strata's own;
  hung      no answer in time.

Prints the counts of each kind and what was bad, and exits with 1 if anything was.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers"), str(ROOT / "benchmarks")]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("SVT_LOG", "0")  # an encoder that prints its settings
# Programs run for milliseconds: as in the tests, most of the time goes into compiling them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

from hostile_inputs import (  # noqa: E402
    checkpoints,
    codecs,
    folders,
    images,
    lists,
    recipes,
    videos,
    weights,
)
from hostile_inputs.attempts import BAD, OUTCOMES, Attempt, Result, attempt  # noqa: E402
from hostile_inputs.corpus import Corpus, loaded_once  # noqa: E402

KINDS: dict[str, Callable[[Corpus], Iterator[Attempt]]] = {
    "images": images.attempts,
    "videos": videos.attempts,
    "coded-videos": videos.coded,
    "folders": folders.attempts,
    "lists": lists.attempts,
    "recipes": recipes.attempts,
    "codecs": codecs.attempts,
    "weights": weights.attempts,
    "checkpoints": checkpoints.attempts,
}


def run(
    folder: pathlib.Path,
    most: Mapping[str, int],
    report: Callable[[Result], None] = lambda result: None,
) -> tuple[dict[str, list[Result]], int]:
    """Run attempts of some kinds: at most so many of each, spread over all of them; 0 for all.

    Returns:
      the results by kind, and the number of hostile files.
    """
    corpus = Corpus(folder)
    results: dict[str, list[Result]] = {}
    with loaded_once():
        for kind, limit in most.items():
            results[kind] = []
            found = list(KINDS[kind](corpus))
            for one in found[:: max(1, -(-len(found) // limit)) if limit else 1]:
                results[kind].append(attempt(one))
                report(results[kind][-1])
    return results, corpus.num_files


def table(results: dict[str, list[Result]]) -> str:
    """Return the counts as a Markdown table."""
    lines = [f"| Inputs | tried | {' | '.join(OUTCOMES)} |", "|---" * (len(OUTCOMES) + 2) + "|"]
    for kind, found in [*results.items(), ("all", list(itertools.chain(*results.values())))]:
        counts = Counter(result.outcome for result in found)
        numbers = " | ".join(str(counts[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {kind} | {len(found)} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--most", type=int, default=0, help="attempts of each kind; 0 for all")
    parser.add_argument("--out", help="file for the counts and all results, as JSON")
    flags = parser.parse_args()

    def report(result: Result) -> None:
        if result.outcome in BAD:
            print(f"{result.outcome}: {result.name}: {result.detail}", flush=True)

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        results, num_files = run(
            pathlib.Path(folder), dict.fromkeys(flags.only, flags.most), report
        )
    if flags.out:
        content = {kind: [one._asdict() for one in found] for kind, found in results.items()}
        pathlib.Path(flags.out).write_text(json.dumps(content, indent=1) + "\n")
    print(table(results))
    print(f"{num_files} files in {time.monotonic() - began:.0f} s")
    sys.exit(any(one.outcome in BAD for found in results.values() for one in found))


if __name__ == "__main__":
    main()
