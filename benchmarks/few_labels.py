"""Compare a semi-supervised run with classifiers that see the same few labels and nothing else.

    python benchmarks/few_labels.py --workdir runs/m2_digits

The run's classification error on all held-out examples, next to those of scikit-learn's logistic
regression, nearest neighbor, support vector machine and network of one hidden layer, each trained
on the run's labelled examples alone. The classifiers see grey values; a run with data.binarize sees
black and white. Prints one JSON row.
"""

import argparse
import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from pipeline import build
from pipeline.build.trained import load_for_inference
from pipeline.evaluators import classification

CLASSIFIERS = {
    "logistic_regression": lambda: LogisticRegression(max_iter=1000),
    "nearest_neighbor": lambda: KNeighborsClassifier(1),
    "support_vectors": lambda: SVC(C=10),
    "network": lambda: MLPClassifier((500,), max_iter=2000, random_state=0),
}


def examples(batches, wanted) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, flat and in [0, 1], and labels of the rows that `wanted` takes."""
    found = [(batch["image"][wanted(batch)], batch["label"][wanted(batch)]) for batch in batches]
    images, labels = (np.concatenate(part) for part in zip(*found))
    return images.reshape(len(images), -1) / 255, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    given = parser.parse_args()
    config, step, model = load_for_inference(given.workdir)
    data = build.dataset(config)
    with data.evaluate(500) as batches:
        error = classification.evaluate(model, batches)["classification_error"]
    config["data"]["binarize"] = False
    grey = build.dataset(config)
    with grey.train(grey.num_examples, 0) as batches:
        train = examples([next(batches)], lambda batch: batch["label"] >= 0)
    with grey.evaluate(500) as batches:
        held_out = examples(batches, lambda batch: (batch["mask"] > 0) & (batch["label"] >= 0))
    row = {"step": step, "num_labelled": len(train[1]), "num_held_out": len(held_out[1])}
    row["run"] = error
    for name, create in CLASSIFIERS.items():
        row[name] = float(1 - create().fit(*train).score(*held_out))
    print(json.dumps({key: round(each, 4) for key, each in row.items()}))


if __name__ == "__main__":
    main()
