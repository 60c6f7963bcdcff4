"""One-class detection on MNIST: a VAE is trained on each digit alone, and must find the others.

    python benchmarks/one_class_auroc.py --mnist mnist.npz [--steps 600] [--digits 0,1]

The file holds `images` [n 28 28] uint8 and `labels` [n]. The last 10,000 images are held out, and
`--num_examples` of them are scored with `strata eval --anomaly`. The recipe is
configs/vae/mnist.py.
Prints one JSON row with the areas under the ROC curves for each digit, and their means.
"""

import argparse
import json
import pathlib
import tempfile
import time

import numpy as np

from pipeline.cli import dispatch

RECIPE = pathlib.Path(__file__).parents[1] / "configs" / "vae" / "mnist.py"
HELD_OUT = 10_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mnist", required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--num_examples", type=int, default=2_000)
    parser.add_argument("--importance_samples", type=int, default=8)
    parser.add_argument("--digits", default="0,1,2,3,4,5,6,7,8,9")
    given = parser.parse_args()
    with np.load(given.mnist) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        held_out = root / "held_out.npz"
        np.savez(held_out, images=images[-HELD_OUT:], labels=labels[-HELD_OUT:])
        areas = {}
        for digit in map(int, given.digits.split(",")):
            chosen = images[:-HELD_OUT][labels[:-HELD_OUT] == digit]
            np.savez(root / "normal.npz", images=chosen)
            areas[digit] = areas_of(digit, root, held_out, given)
            print(json.dumps({"digit": digit, **areas[digit]}), flush=True)
    means = {
        name: round(float(np.mean([each[name] for each in areas.values()])), 4)
        for name in next(iter(areas.values()))
    }
    about = dict(vars(given), mnist=pathlib.Path(given.mnist).name)
    print(json.dumps({"mean": means, **about, "seconds": round(time.monotonic() - began)}))


def areas_of(
    digit: int, root: pathlib.Path, held_out: pathlib.Path, given: argparse.Namespace
) -> dict[str, float]:
    """Train on the digit of normal.npz and return the area of each score."""
    workdir, out = root / str(digit), root / "eval.json"
    train = ["train", "--config", str(RECIPE), "--workdir", str(workdir)]
    train += [f"--config.data.path={root / 'normal.npz'}", f"--config.data.eval_path={held_out}"]
    train += [f"--config.num_steps={given.steps}", "--config.ema=0.99"]
    train += [f"--config.{part}.every=0" for part in ("eval", "sample")]
    assert dispatch([*train, "--config.mesh.fsdp=1"]) == 0
    evaluate = ["eval", "--workdir", str(workdir), "--json", str(out), "--anomaly"]
    evaluate += [f"--normal_labels={digit}", f"--num_examples={given.num_examples}"]
    evaluate += [f"--num_importance_samples={given.importance_samples}", "--batch_size=200"]
    assert dispatch(evaluate) == 0
    report = json.loads(out.read_text())["anomaly"]
    return {name: round(value, 4) for name, value in report.items() if name.startswith("auroc")}


if __name__ == "__main__":
    main()
