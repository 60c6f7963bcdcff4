"""State dicts are read without torch, and damaged files are reported."""

import numpy as np
import pytest
import torch_zip
from released_weights import burgess_tensors

from pipeline.core.errors import DataError
from pipeline.formats import state_dict


def test_files_of_torch_are_checked(tmp_path, monkeypatch):
    tensors = burgess_tensors()
    torch_zip.save(
        {f"module.{name}": array for name, array in tensors.items()}, tmp_path / "x.pt", monkeypatch
    )
    loaded = state_dict.load(str(tmp_path / "x.pt"))
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded[name], array)
    whole = (tmp_path / "x.pt").read_bytes()
    for length in range(0, len(whole), len(whole) // 20):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            state_dict.load(str(tmp_path / "cut.pt"))
    torch_zip.save([1, 2], tmp_path / "list.pt", monkeypatch)
    torch_zip.save({"a": 1}, tmp_path / "number.pt", monkeypatch)
    for name, message in (
        ("absent.pt", "no such file"),
        ("list.pt", "not a state dict"),
        ("number.pt", "tensors by name"),
    ):
        with pytest.raises(DataError, match=message):
            state_dict.load(str(tmp_path / name))


def test_weights_within_a_trainers_checkpoint(tmp_path, monkeypatch):
    one, other = np.ones((2, 3), np.float32), np.zeros(4, np.float32)
    trainer = {"epoch": 3, "optimizer": [{"lr": 0.1}], "state_dict": {"gen": {"w": one}}, "ema": {}}
    torch_zip.save(trainer, tmp_path / "x.ckpt", monkeypatch)
    loaded = state_dict.load(str(tmp_path / "x.ckpt"), within=[("ema",), ("state_dict", "gen")])
    np.testing.assert_array_equal(loaded["w"], one)
    torch_zip.save({"w": other}, tmp_path / "bare.ckpt", monkeypatch)
    assert state_dict.load(str(tmp_path / "bare.ckpt"), within=[("ema",)])["w"].shape == (4,)
