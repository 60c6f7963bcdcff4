"""Measure how well a run's samples show the class that they were asked for.

    python benchmarks/label_accuracy.py --workdir runs/cvae_digits [--num 100] [--seed 0]

A support vector machine of scikit-learn, trained on the run's training images, classifies `--num`
samples of each class, and the held-out images. Also measured is whether the latents leave the class
to the label: the accuracy of a logistic regression from posterior means to classes, fitted to
training examples. Prints one JSON row.
"""

import argparse
import json

import jax
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from pipeline import build
from pipeline.build.trained import load_for_inference
from pipeline.evaluators import pictures


def examples(batches, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return up to `limit` images and labels of a stream of batches."""
    images, labels = [], []
    for batch in batches:
        keep = batch["mask"] > 0
        images.append(batch["image"][keep])
        labels.append(batch["label"][keep])
        if sum(map(len, labels)) >= limit:
            break
    return np.concatenate(images)[:limit], np.concatenate(labels)[:limit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--num", type=int, default=100, help="samples of each class")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    config, step, model = load_for_inference(given.workdir)
    data = build.dataset(config)
    limit = min(data.num_examples, 10_000)
    with data.train(limit, 0) as batches:
        images, labels = examples(batches, limit)
    with data.evaluate(256) as batches:
        held_out, held_out_labels = examples(batches, 10_000)
    flat = lambda x: x.reshape(len(x), -1) / 255  # noqa: E731
    classifier = SVC(C=10).fit(flat(images), labels)
    asked = np.repeat(np.arange(model.num_classes), given.num)
    draw = jax.random.key(given.seed)
    row = {"step": step, "num": len(asked)}
    for name, mean in (("samples", False), ("means", True)):
        shown = pictures.samples(model, len(asked), key=draw, mean=mean, label=asked)
        right = classifier.predict(flat(shown)) == asked
        row[f"accuracy_of_{name}"] = float(right.mean())
        row[f"worst_class_of_{name}"] = float(right.reshape(-1, given.num).mean(axis=1).min())
    row["accuracy_on_held_out"] = float(classifier.score(flat(held_out), held_out_labels))
    encode = jax.jit(lambda x, label: model.encode(x, label=label)[0].mean)
    probe = LogisticRegression(max_iter=1000).fit(encode(images, labels), labels)
    row["class_from_latents"] = float(
        probe.score(encode(held_out, held_out_labels), held_out_labels)
    )
    print(json.dumps(row))


if __name__ == "__main__":
    main()
