"""DINOv2 agrees with transformers' on random weights, and off its grid with the authors' rule."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
pytest.importorskip("transformers", reason="parity with transformers needs it: make parity")

import jax  # noqa: E402
import vision_models  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from pipeline.frozen import encoder  # noqa: E402

pytestmark = pytest.mark.parity

# (class, its settings): plain, with registers, and with gated feed-forward layers as the giant.
FORMS = {
    "plain": ("Dinov2", {}),
    "registers": ("Dinov2WithRegisters", {}),
    "gated": ("Dinov2", dict(use_swiglu_ffn=True)),
}


@pytest.fixture(scope="module", params=FORMS)
def pair(request, tmp_path_factory):
    name, settings = FORMS[request.param]
    model = vision_models.create(f"{name}Model", f"{name}Config", image_size=28, **settings)
    folder = tmp_path_factory.mktemp("dinov2")
    return model, *vision_models.frozen(model, folder, "dinov2"), request.param


def authors_positions(self, embeddings, height, width):
    """Return the positions as the authors of DINOv2 resize them, for a grid of another size."""
    table, patch = self.position_embeddings, self.patch_size
    side = round((table.shape[1] - 1) ** 0.5)
    grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scales = tuple((each // patch + 0.1) / side for each in (height, width))
    grid = F.interpolate(grid, scale_factor=scales, mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
def test_features_as_transformers(pair, shape, monkeypatch):
    model, found, weights, form = pair
    x = vision_models.images(*(7 * side for side in shape))
    if shape != (4, 4) and form != "registers":
        monkeypatch.setattr(type(model.embeddings), "interpolate_pos_encoding", authors_positions)
    with torch.no_grad():
        theirs = model(vision_models.pixel_values(found, x), output_hidden_states=True)
    ours = jax.jit(lambda weights, x: found(weights, x, layers=(0, 1)))(weights, x)
    vision_models.check_close(ours.patches, vision_models.as_map(theirs.last_hidden_state, *shape))
    vision_models.check_close(ours.pooled, theirs.pooler_output)
    for number in (0, 1):
        layer = vision_models.as_map(theirs.hidden_states[number], *shape)
        vision_models.check_close(ours.layers[number], layer)


def test_the_authors_file_gives_the_same_weights(pair, tmp_path):
    model, _, weights, _ = pair
    torch.save(as_authors(model.state_dict()), tmp_path / "dinov2.pth")
    # A file without config.json: heads have 64 channels, which the tiny model's have not.
    _, same = encoder.create(name="dinov2", weights=str(tmp_path / "dinov2.pth"))
    assert same.keys() == weights.keys()
    assert all((same[name] == weights[name]).all() for name in same)


def as_authors(tensors):
    """Return a state dict of transformers' modules by the authors' names."""
    found = {"mask_token": torch.zeros(1, tensors["layernorm.bias"].shape[0])}
    whole = {
        "embeddings.cls_token": "cls_token",
        "embeddings.register_tokens": "register_tokens",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
        "layernorm.weight": "norm.weight",
        "layernorm.bias": "norm.bias",
    }
    parts = [
        ("attention.o_proj", "attn.proj"),
        ("layer_scale1.lambda1", "ls1.gamma"),
        ("layer_scale2.lambda1", "ls2.gamma"),
        ("mlp.down_proj", "mlp.w3"),
    ]
    for name, tensor in tensors.items():
        if name in whole:
            found[whole[name]] = tensor
        if not name.startswith("encoder.layer."):
            continue
        name = name.replace("encoder.layer.", "blocks.")
        for theirs, ours in parts:
            name = name.replace(theirs, ours)
        if "q_proj" in name:
            own = [
                tensors["encoder.layer" + name[6:].replace("q_", each)]
                for each in ("q_", "k_", "v_")
            ]
            found[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(own)
        elif "gate_proj" in name:
            other = tensors["encoder.layer" + name[6:].replace("gate", "up")]
            found[name.replace("gate_proj", "w12")] = torch.cat([tensor, other])
        elif not any(each in name for each in ("k_proj", "v_proj", "up_proj")):
            found[name] = tensor
    return found
