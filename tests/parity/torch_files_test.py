"""Files written by torch.save are read without torch.

Covers every type of number, views, both file formats and a trainer's checkpoint.
"""

import numpy as np
import pytest

from pipeline.formats import state_dict, torch_pickle

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("zipped", [True, False])
def test_numbers_and_views(zipped, tmp_path):
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "whole": whole,
        "part": whole[1, :, 1:3],
        "turned": whole.permute(2, 0, 1),
        "scalar": torch.tensor(2.5),
    }
    tensors |= {
        str(kind): torch.tensor([1, 0, 3]).to(kind)
        for kind in (torch.float64, torch.float16, torch.bfloat16)
    }
    tensors |= {
        "int": torch.tensor([2**40]),
        "bool": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }
    tensors["parameter"] = torch.nn.Parameter(whole[0])
    torch.save(tensors, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    loaded = state_dict.load(str(tmp_path / "x.pt"))
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        expected = tensor.detach().float() if tensor.is_floating_point() else tensor
        assert loaded[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(loaded[name], expected.numpy())


def test_a_trainers_checkpoint(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 1,
        "optimizer": optimizer.state_dict(),
        "state_dict": {"gen_model": model.state_dict()},
    }
    torch.save(content, tmp_path / "x.ckpt")
    loaded = state_dict.load(str(tmp_path / "x.ckpt"), within=[("state_dict", "gen_model")])
    np.testing.assert_array_equal(loaded["weight"], model.state_dict()["weight"].numpy())


def test_what_would_run_is_refused(tmp_path):
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "x.pt")
    with pytest.raises(torch_pickle.ERRORS, match=r"torch\.nn"):
        torch_pickle.read(str(tmp_path / "x.pt"))
