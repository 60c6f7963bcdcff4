"""Metrics of factors: perfect and random codes, permutations, and values that are known."""

import numpy as np
import pytest

from pipeline.core.construct import modules_of
from pipeline.metrics import catalogue
from pipeline.metrics.functions import factors as package
from pipeline.metrics.functions.factors import dci, fixed_factor, mig

SIZES = (3, 4, 5)
COUNT = 450
CHANCE = np.mean([1 / size for size in SIZES])


@pytest.fixture(scope="module", autouse=True)
def few_groups():
    """Return after the test with the papers' number of groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed_factor, "NUM_TRAINING", 1000)
        patch.setattr(fixed_factor, "NUM_TEST", 500)
        yield


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(0)
    return np.column_stack([rng.integers(0, size, COUNT) for size in SIZES])


def scores_of(codes, factors):
    found = {
        name: function(codes, factors) for name, function in catalogue.metrics_of("factors").items()
    }
    return found | dci.dci(codes, factors)


@pytest.fixture(scope="module")
def perfect(factors):
    """Scores of codes that are the factors, scaled, shifted and with noise, and of one without."""
    rng = np.random.default_rng(1)
    codes = factors * [2.0, -1.0, 0.5] + [0.0, 3.0, 1.0] + 0.02 * rng.normal(size=factors.shape)
    return scores_of(np.column_stack([codes, 0.01 * rng.normal(size=COUNT)]), factors)


def test_every_metric_is_computed(perfect):
    declared = {each.name for each in catalogue.entries() if each.modality == "factors"}
    assert set(perfect) == declared
    assert set(modules_of(package.__name__)) == {
        "dci",
        "fixed_factor",
        "linear_probe",
        "mig",
        "sap",
    }


def test_perfect_codes_score_1(perfect):
    for name, score in perfect.items():
        # SAP's second code predicts by chance, and a linear machine on one code is no better at
        # the middle values of a factor. The information of noise in 20 intervals is above 0.
        assert {"sap": 0.25, "mig": 0.94}.get(name, 0.97) < score <= 1, name


def test_random_codes_score_0_or_chance(factors):
    codes = np.random.default_rng(2).normal(size=(COUNT, 4))
    for name, score in scores_of(codes, factors).items():
        by_chance = {
            "dci_informativeness": CHANCE,
            "linear_probe": CHANCE,
            "factor_vae_score": 1 / 3,
            "beta_vae_score": 1 / 3,
        }.get(name, 0.0)
        # Groups come from a few hundred examples, so that some chance patterns are learned.
        assert abs(score - by_chance) < 0.15, name


def test_the_order_of_codes_and_factors_does_not_matter(factors):
    rng = np.random.default_rng(3)
    codes = factors @ rng.normal(size=(3, 4)) + 0.1 * rng.normal(size=(COUNT, 4))
    for name, function in catalogue.metrics_of("factors").items():
        score, again = function(codes, factors), function(codes[:, ::-1], factors[:, [1, 2, 0]])
        drawn = name in ("factor_vae_score", "beta_vae_score")
        assert again == pytest.approx(score, abs=0.06 if drawn else 0.02), name


def test_the_gap_of_two_equal_codes_and_of_a_coarse_one_is_known():
    values = np.repeat(np.arange(4), 25)[:, None]
    both = np.column_stack([values, -values]).astype(float)
    assert mig.mig(both, values) == pytest.approx(0.0, abs=1e-12)
    coarse = np.column_stack([values[:, 0] // 2, np.zeros(100)]).astype(float)
    assert mig.mig(coarse, values) == pytest.approx(0.5), "one of two bits"
    assert mig.gaps(coarse[:, :1], values).tolist() == pytest.approx([0.5])


def test_disentanglement_of_known_importances():
    assert dci.disentanglement(np.eye(3)) == pytest.approx(1.0)
    assert dci.disentanglement(np.ones((3, 3))) == pytest.approx(0.0)
    # A code of weight 2/3 for one factor, and one of weight 1/3 for both.
    assert dci.disentanglement(np.array([[2.0, 0.0], [0.5, 0.5]])) == pytest.approx(2 / 3)


def test_collapsed_codes_score_0(factors):
    assert fixed_factor.factor_vae_score(np.full((COUNT, 2), 0.3), factors) == 0
    assert mig.mig(np.full((COUNT, 2), 0.3), factors) == 0
