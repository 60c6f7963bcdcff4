"""What holds for every recipe, checked in its `:tiny` mode on noise."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from noise_batch import noise_batch
from tiny_step import run, run_with_a_break, settings

from pipeline import build
from pipeline.core import labels, modalities, parameters
from pipeline.pretrained.load import Codec


def assert_resumes(recipe: str, folder: pathlib.Path) -> None:
    """Check that a run restored from a checkpoint goes on bit for bit, with finite losses."""
    whole, metrics = run(recipe, 1, 3)
    wrong = [name for name, value in metrics.items() if not np.isfinite(value).all()]
    assert not wrong and int(whole.skipped) == 0
    jax.tree.map(np.testing.assert_array_equal, run_with_a_break(recipe, folder), whole)


def assert_same_on_devices(
    recipe: str, steps: int = 1, names: tuple[str, ...] = ("loss", "gradient_norm")
) -> None:
    """Check that one device and eight, over which the state is sharded, give the same."""
    (one, metrics), (eight, more) = run(recipe, 1, steps), run(recipe, 8, steps)
    for name in names:
        np.testing.assert_allclose(metrics[name], more[name], rtol=2e-4, err_msg=name)
    # Adam moves a parameter whose gradient is zero up to rounding by a whole step in either
    # direction, so that a few elements may differ by that much.
    differ = {
        name: ~np.isclose(array, eight.params[name], rtol=2e-3, atol=2e-4)
        for name, array in one.params.items()
    }
    assert sum(each.sum() for each in differ.values()) <= 1e-3 * sum(map(np.size, differ.values()))
    for name, array in one.params.items():
        np.testing.assert_allclose(array, eight.params[name], rtol=2e-3, atol=2e-3, err_msg=name)
    for name, array in one.model_state.items():
        np.testing.assert_allclose(
            array, eight.model_state[name], rtol=2e-3, atol=2e-4, err_msg=name
        )


def assert_codes_from_a_folder(recipe: str, folder: pathlib.Path) -> None:
    """Check that the codec of a trained state comes back from its folder, and codes noise."""
    config = settings(recipe)
    state, _ = run(recipe, 1, 1)
    modeldef, _, _ = parameters.abstract(lambda: build.model_factory(config)(nnx.Rngs(0)))
    batch = noise_batch(config)
    about = {"model": config["model"], "dtype": config["dtype"], "input": _input(config, modeldef)}
    codec = Codec.of(modeldef, dict(state.params) | dict(state.model_state), about)
    codec.save_pretrained(folder)
    again = Codec.from_pretrained(folder)
    if about["input"].get("modality") == "text":
        examples: Any = [codec.vocabulary.decode(row) or "a" for row in batch["text"]]
    else:
        examples = batch[modalities.of_batch(batch).name]
    condition = labels.of_batch(modeldef.skeleton(), batch)
    z, same = (each.encode(examples, **condition).mode() for each in (codec, again))
    jax.tree.map(np.testing.assert_array_equal, z, same)
    assert all(np.isfinite(each).all() for each in jax.tree.leaves(z))
    decoded = again.decode(z, **condition)
    if isinstance(decoded, list):
        assert len(decoded) == len(examples)
    else:
        assert decoded.shape == examples.shape and np.isfinite(decoded).all()


def _input(config: Mapping[str, Any], modeldef: parameters.ModelDef) -> dict[str, Any]:
    """Return `input` of the codec's config.json; the words of text are made up."""
    model = modeldef.skeleton()
    modality, shape = modalities.of_model(model), modalities.example_shape(model)
    if modality.has_pixels:
        return {"image_shape": list(shape[-3:]), "bits": config["data"].get("bits", 8)}
    found = {"modality": modality.name, "example_shape": list(shape)}
    if modality.name == "text":
        words = [f"w{number}" for number in range(model.vocabulary_size - modalities.SPECIAL)]
        found["vocabulary"] = {"kind": "words", "words": words}
    return found
