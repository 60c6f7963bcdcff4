"""Compare WF-VAE with the authors' torch code on the same weights and clips: parity and time.

    git clone https://github.com/PKU-YuanGroup/WF-VAE peer
    python benchmarks/wf_vae_vs_torch.py --peer peer [--size 64] [--pairs 3] [--base 128] \\
        [--parity] [--nearest]
    python benchmarks/wf_vae_vs_torch.py --peer peer --memory [--size 64]

Needs torch and what the authors import (diffusers, einops). Clips are 17 frames of size x size,
float32, on as many threads as there are cores. The training step is forward and backward of the
summed L1 and the KL, without an optimizer. `--nearest` uses the causal doubling of frames, in the
authors' code t_interpolation="nearest". Prints one JSON row: seconds and the ratio ours / theirs by
wall clock, medians over alternating pairs; with --parity the largest differences over the largest
value; with --memory the peak resident memory of a separate process for each side and operation, run
twice with arbitrary weights. Ours finds its program in the compilation cache, so that compiling is
not included.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from peak_memory import peak_bytes  # noqa: E402

from pipeline import models  # noqa: E402
from pipeline.backend.jit import compiler_options, jit  # noqa: E402
from pipeline.core import parameters  # noqa: E402
from pipeline.importers.wf_vae import convert  # noqa: E402
from pipeline.training.runtime import malloc  # noqa: E402

OPERATIONS = ("encode", "decode", "forward_and_backward")


def main() -> None:
    flags = _flags()
    if flags.one:
        _run_one(flags, *flags.one)
        return
    if flags.memory:
        print(json.dumps({"size": flags.size, "base_channels": flags.base, "peak_mib": _peaks()}))
        return
    theirs = _theirs(flags)
    ours = _ours(flags, theirs)
    clip = (
        np.random.default_rng(0)
        .uniform(-1, 1, (1, 17, flags.size, flags.size, 3))
        .astype(np.float32)
    )
    work = _work(ours, theirs, clip)
    row: dict[str, Any] = {
        "size": flags.size,
        "base_channels": flags.base,
        "threads": os.cpu_count(),
    }
    if flags.parity:
        row["parity"] = {name: _difference(mine(), other()) for name, (mine, other) in work.items()}
    else:
        for name, (mine, other) in work.items():
            row[name] = _timed(mine, other, flags.pairs)
    print(json.dumps(row))


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=pathlib.Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--base", type=int, default=128)
    parser.add_argument("--parity", action="store_true")
    parser.add_argument("--nearest", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument(
        "--one", nargs=2, help=argparse.SUPPRESS
    )  # side, operation: in a process of its own
    return parser.parse_args()


def _peaks() -> dict[str, dict[str, int]]:
    """Return the peak MiB of each operation and side."""
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        for operation in OPERATIONS:
            for side in ("ours", "ours", "theirs"):  # once more, when it is compiled
                command = [sys.executable, *sys.argv, "--one", side, operation]
                done = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=environment
                )
                found.setdefault(operation, {})[side] = int(done.stdout.split()[-1])
    return found


def _run_one(flags: argparse.Namespace, side: str, operation: str) -> None:
    shape = (1, 17, flags.size, flags.size, 3)
    clip = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    z = np.zeros((1, 5, flags.size // 8, flags.size // 8, 4), np.float32)
    if side == "ours":
        modeldef, shapes, _ = parameters.abstract(
            lambda: models.create(_recipe(flags), rngs=nnx.Rngs(0))
        )
        params = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in shapes.items()}
        run = _our_work((modeldef, params), jnp.asarray(clip), jnp.asarray(z))[operation]
    else:
        run = _their_work(_theirs(flags), clip, z)[operation]
    run(), run()
    print(peak_bytes() // 2**20)


def _theirs(flags: argparse.Namespace) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    sys.path.insert(0, str(flags.peer))
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    from causalvideovae.model.vae.modeling_wfvae import (  # pyright: ignore[reportMissingImports]
        WFVAEModel,
    )

    return WFVAEModel(
        latent_dim=4,
        base_channels=flags.base,
        encoder_energy_flow_hidden_size=128,
        decoder_energy_flow_hidden_size=128,
        norm_type="layernorm",
        t_interpolation="nearest" if flags.nearest else "trilinear",
    ).eval()


def _recipe(flags: argparse.Namespace) -> dict[str, Any]:
    same = dict(base_channels=flags.base, authors_wavelets=True)
    interpolation = "nearest" if flags.nearest else "linear"
    return dict(
        name="autoencoder.Autoencoder",
        latent_channels=4,
        num_frames=25,
        encoder=dict(name="wf_vae.Encoder", **same),
        bottleneck=dict(name="gaussian.Gaussian"),
        decoder=dict(name="wf_vae.Decoder", time_interpolation=interpolation, **same),
    )


def _ours(
    flags: argparse.Namespace, theirs: Any
) -> tuple[parameters.ModelDef, dict[str, jax.Array]]:
    modeldef, shapes, _ = parameters.abstract(
        lambda: models.create(_recipe(flags), rngs=nnx.Rngs(0))
    )
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    return modeldef, jax.device_put(convert(tensors, shapes, path="the peer"))


def _work(ours: Any, theirs: Any, clip: np.ndarray) -> dict[str, tuple[Any, Any]]:
    modeldef, params = ours
    x = jnp.asarray(clip)
    z = jit(lambda params, x: modeldef.merge(params, {}).encode(x)[0].mean)(params, x)
    mine, others = _our_work(ours, x, z), _their_work(theirs, clip, np.asarray(z))
    return {name: (mine[name], others[name]) for name in OPERATIONS}


def _our_work(ours: Any, x: Any, z: Any) -> dict[str, Any]:
    modeldef, params = ours

    @jit
    def encode(params: Any, x: Any) -> Any:
        (latent,) = modeldef.merge(params, {}).encode(x)
        return jnp.concatenate([latent.mean, latent.logvar], axis=-1)

    @jit
    def decode(params: Any, z: Any) -> Any:
        return modeldef.merge(params, {}).decode((z,)).mean()

    @jax.value_and_grad
    def step(params: Any, x: Any) -> Any:
        outputs = modeldef.merge(params, {})({"video": x}, key=None, train=True)
        return jnp.abs(outputs.recon.mean() - x).sum() + 1e-6 * outputs.latents[0].kl.sum()

    @functools.cache
    def program() -> Any:  # compiled as a run compiles it
        found = (
            jax.jit(step, compiler_options=compiler_options(jax.default_backend()))
            .lower(params, x)
            .compile()
        )
        malloc.trim()
        return found

    def forward_and_backward() -> np.ndarray:
        _, grads = program()(params, x)
        return np.array([float(jnp.sqrt(sum(jnp.square(g).sum() for g in grads.values())))])

    works = (
        lambda: np.asarray(encode(params, x)),
        lambda: np.asarray(decode(params, z)),
        forward_and_backward,
    )
    return dict(zip(OPERATIONS, works))


def _their_work(theirs: Any, clip: np.ndarray, z: np.ndarray) -> dict[str, Any]:
    import torch  # pyright: ignore[reportMissingImports]

    tx, tz = (torch.tensor(array.transpose(0, 4, 1, 2, 3).copy()) for array in (clip, z))

    @torch.no_grad()
    def encode() -> np.ndarray:
        posterior = theirs.encode(tx).latent_dist
        return _last(torch.cat([posterior.mean, posterior.logvar], dim=1))

    @torch.no_grad()
    def decode() -> np.ndarray:
        return _last(theirs.decode(tz).sample)

    def forward_and_backward() -> np.ndarray:
        theirs.zero_grad()
        posterior = theirs.encode(tx).latent_dist
        recon = theirs.decode(posterior.mode()).sample
        kl = 0.5 * (posterior.mean**2 + posterior.logvar.exp() - 1 - posterior.logvar).sum()
        ((recon - tx).abs().sum() + 1e-6 * kl).backward()
        grads = [p.grad for p in theirs.parameters() if p.grad is not None]
        return np.array([float(torch.sqrt(sum((g.double() ** 2).sum() for g in grads)))])

    return dict(zip(OPERATIONS, (encode, decode, forward_and_backward)))


def _last(tensor: Any) -> np.ndarray:
    return tensor.permute(0, 2, 3, 4, 1).numpy()


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _timed(ours: Any, theirs: Any, pairs: int) -> dict[str, Any]:
    ours(), theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for function, into in zip((ours, theirs), seconds):
            began = time.perf_counter()
            function()
            into.append(time.perf_counter() - began)
    ratios = [round(a / b, 3) for a, b in zip(*seconds)]
    mine, other = (round(statistics.median(values), 3) for values in seconds)
    return {"ours_s": mine, "theirs_s": other, "ratio": statistics.median(ratios), "ratios": ratios}


if __name__ == "__main__":
    main()
