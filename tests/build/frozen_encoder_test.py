"""The weights of a frozen encoder that is a part of the model come from a file, or not at all."""

import numpy as np
import pytest
import safetensors.numpy
import tiny_encoders

from pipeline.build.init import frozen_encoder
from pipeline.core.errors import CheckpointError, ConfigError, DataError
from pipeline.formats.fingerprint import fingerprint_of

NETWORK = dict(
    width=16, depth=2, heads=2, hidden=32, patch=4, side=4, affine=False, registers=4, masks=True
)


def config(**init):
    encoder = dict(name="rae.Encoder", family="dinov2", network=NETWORK)
    return {"model": {"encoder": encoder}, "init": init}


def names():
    """Return the names of a model's parameters."""
    from flax import nnx

    from pipeline.core.construct import construct
    from pipeline.core.parameters import abstract

    part = config()["model"]["encoder"]
    channels = dict(in_channels=3, out_channels=16)
    _, params, _ = abstract(
        lambda: construct("pipeline.networks", part, where="", **channels, rngs=nnx.Rngs(0))
    )
    return {f"encoder.{name}": shape for name, shape in params.items()}


def test_arrays_of_a_file_without_the_last_scale_and_shift(tmp_path):
    file = tiny_encoders.dinov2(tmp_path, registers=4)
    wanted = names()
    found = frozen_encoder.arrays(config(encoder=file), wanted)
    assert found.keys() == wanted.keys()
    assert all(found[name].shape == wanted[name].shape for name in wanted)
    tensors = safetensors.numpy.load_file(file)
    np.testing.assert_array_equal(
        found["encoder.network.mask_token.vectors"], tensors["mask_token"]
    )
    origin = frozen_encoder.origin(config(encoder=file))
    assert origin is not None and origin["encoder"] == "dinov2.safetensors"
    inner = {name.removeprefix("encoder.network."): array for name, array in found.items()}
    assert origin["fingerprint"] == fingerprint_of(inner)


def test_no_file_is_an_error_with_its_remedy(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"config.init.encoder is empty.*facebook/dinov2-base"):
        frozen_encoder.arrays(config(), {})
    with pytest.raises(DataError, match=r"no such file.*weights of dinov2"):
        frozen_encoder.arrays(config(encoder=str(tmp_path / "absent.pth")), {})
    file = tiny_encoders.dinov2(tmp_path, width=32, registers=4)
    with pytest.raises(CheckpointError, match=r"config.model.encoder.network"):
        frozen_encoder.arrays(config(encoder=file), {})
    assert frozen_encoder.arrays(config(encoder="untrained"), {}) == {}
    assert "is untrained" in capsys.readouterr().err
    assert frozen_encoder.arrays(config(codec="codec/"), {}) == {}


def test_other_models_have_none():
    other = {"model": {"encoder": {"name": "ldm.Encoder"}}, "init": {}}
    assert frozen_encoder.arrays(other, {}) == {} and frozen_encoder.origin(other) is None
    with pytest.raises(ConfigError, match="is not a frozen encoder"):
        frozen_encoder.arrays(other | {"init": {"encoder": "file.pth"}}, {})
