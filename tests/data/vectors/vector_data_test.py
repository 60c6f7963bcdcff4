"""Batches of vectors: functions of (seed, k), splits that are disjoint, and what is refused."""

import numpy as np
import pytest

from pipeline.build.data import check_dataset
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.sources import lognormal
from pipeline.data.vectors.vector_data import VectorData


def test_batches_are_functions_of_the_seed_and_the_number():
    data = VectorData("lognormal", num_features=3)
    with data.train(8, 1) as batches:
        first, second = next(batches), next(batches)
    with data.train(8, 1, start_step=1) as batches:
        again = next(batches)
    assert first["vector"].dtype == np.float32 and first["vector"].shape == (8, 3)
    np.testing.assert_array_equal(second["vector"], again["vector"])
    assert not np.array_equal(first["vector"], second["vector"])
    with data.evaluate(600, 1000) as batches:
        held_out = list(batches)
    assert [batch["mask"].sum() for batch in held_out] == [600, 400]


def test_the_source_has_the_moments_and_the_entropy_that_it_says():
    source = lognormal.Lognormal(3, "train")
    logs = np.log(source.gather(np.arange(len(source)))[0].astype(np.float64))
    np.testing.assert_allclose(logs.mean(axis=0), 0, atol=0.02)
    wanted = np.full((3, 3), lognormal.CORRELATION) + np.eye(3) * (1 - lognormal.CORRELATION)
    np.testing.assert_allclose(np.cov(logs.T), lognormal.DEVIATION**2 * wanted, atol=0.02)
    inverse, log_det = np.linalg.inv(wanted), np.linalg.slogdet(2 * np.pi * wanted)[1]
    log_density = -0.5 * (np.einsum("ni,ij,nj->n", logs, inverse, logs) + log_det) - logs.sum(1)
    assert abs(-log_density.mean() - lognormal.entropy(3)) < 0.03
    held_out = lognormal.Lognormal(3, "eval").gather(np.arange(2))[0]
    assert not np.isin(held_out, np.exp(logs).astype(np.float32)).any()


def test_files_hold_vectors(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(6, 2) / 4
    np.save(tmp_path / "a.npy", values)
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", header="x,y", comments="")
    for name in ("a.npy", "a.csv"):
        path = str(tmp_path / name)
        data = VectorData("vectors", path, num_features=2, eval_fraction=0.5)
        with data.train(3, 0) as train, data.evaluate(3) as held_out:
            found = np.concatenate([next(train)["vector"], next(held_out)["vector"]])
        np.testing.assert_array_equal(np.sort(found, axis=0), values)


@pytest.mark.parametrize(
    "content, message",
    [
        ("1,2\n3,inf\n", "vector 1 has a value that is not a finite"),
        ("1,2\n3\n", "cannot be read as vectors"),
        ("1,2\n3,x\n", "cannot be read as vectors"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        VectorData("vectors", str(tmp_path / "a.csv"), num_features=2)


def test_another_number_of_values_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 3)))
    with pytest.raises(ConfigError, match=r"num_features=2, but the vectors of .* have 3 values"):
        VectorData("vectors", str(tmp_path / "a.npy"), num_features=2)
    with pytest.raises(DataError, match="does not exist"):
        VectorData("vectors", str(tmp_path / "b.npy"), num_features=2)
    with pytest.raises(ConfigError, match="is a source of images, not vectors"):
        VectorData("digits", num_features=2)


def test_numbers_without_a_density_are_refused_at_the_start(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("1,2\n" * 30 + "1,-2\n" + "3,0\n" * 9)
    data = VectorData("vectors", str(path), num_features=2, eval_fraction=0.2)
    assert data.first_below(-2.0) == "" and data.first_below(0.0) == f"{path}[30]"
    model = dict(name="vector_vae.VectorVAE", num_features=2)
    config = dict(data={}, batch_size=4, eval=dict(every=1), model=model)
    check_dataset(config, data)  # a Gaussian has a density everywhere
    config["model"] = model | dict(likelihood="phase_type")
    with pytest.raises(DataError, match=r"numbers.csv\[30\] has a number below 0"):
        check_dataset(config, data)
