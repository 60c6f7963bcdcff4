"""DINOv3, SigLIP 2, MAE and CLIP agree with transformers' on random weights.

The images have the grid of patches that positions were trained for, and another one.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
pytest.importorskip("transformers", reason="parity with transformers needs it: make parity")

import jax  # noqa: E402
import vision_models  # noqa: E402

pytestmark = pytest.mark.parity

_WIDE = dict(intermediate_size=48, image_size=28)
# name: (our family, class, config, settings, arguments of a call)
FORMS = {
    "dinov3": ("dinov3", "DINOv3ViTModel", "DINOv3ViTConfig", dict(num_register_tokens=4), {}),
    "dinov3 gated": (
        "dinov3",
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        dict(num_register_tokens=4, use_gated_mlp=True, hidden_act="silu"),
        {},
    ),
    "siglip2": (
        "siglip2",
        "SiglipVisionModel",
        "SiglipVisionConfig",
        {},
        dict(interpolate_pos_encoding=True),
    ),
    "mae": (
        "mae",
        "ViTMAEModel",
        "ViTMAEConfig",
        dict(mask_ratio=0.0),
        dict(interpolate_pos_encoding=True),
    ),
    "clip": (
        "clip",
        "CLIPVisionModelWithProjection",
        "CLIPVisionConfig",
        dict(projection_dim=16),
        dict(interpolate_pos_encoding=True),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_features_as_transformers(form, tmp_path):
    name, kind, config, settings, arguments = FORMS[form]
    model = vision_models.create(kind, config, **_WIDE, **settings)
    found, weights = vision_models.frozen(model, tmp_path, name)
    program = jax.jit(lambda weights, x: found(weights, x, layers=(0, 1)))
    for shape in ((4, 4), (3, 5)):
        x = vision_models.images(*(7 * side for side in shape))
        if name == "mae":  # masks nothing, and keeps the order
            order = torch.arange(shape[0] * shape[1]).expand(2, -1)
            arguments = {**arguments, "noise": order.float()}
        with torch.no_grad():
            values = vision_models.pixel_values(found, x)
            theirs = model(values, output_hidden_states=True, **arguments)
        ours = program(weights, x)
        last = vision_models.as_map(theirs.last_hidden_state, *shape)
        vision_models.check_close(ours.patches, last)
        for number in (0, 1):
            layer = vision_models.as_map(theirs.hidden_states[number], *shape)
            vision_models.check_close(ours.layers[number], layer)
        if name == "mae":
            pooled = theirs.last_hidden_state[:, 0]
        else:
            pooled = theirs.image_embeds if name == "clip" else theirs.pooler_output
        vision_models.check_close(ours.pooled, pooled)
    # The class's own names of tensors, which are not those of its files, give the same weights.
    torch.save(model.state_dict(), tmp_path / "modules.pth")
    _, same = vision_models.encoder.create(name=name, weights=str(tmp_path / "modules.pth"))
    assert all((same[key] == weights[key]).all() for key in weights)
