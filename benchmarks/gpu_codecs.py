"""Time codecs on one accelerator: KL-f8 decoding, WF-VAE L encoding, a WF-VAE S training step.

    python benchmarks/gpu_codecs.py [--peer peer] \\
        [--only kl_f8_decode wf_vae_encode wf_vae_train_step]
    python benchmarks/gpu_codecs.py --tiny --image 32 --encode 5 16 --train 5 16 --repeats 2

The second form runs on any CPU.

kl_f8_decode: one image of 1024x1024 in bfloat16 (configs/kl_f8/sd.py). wf_vae_encode: one clip of
33x512x512 in float32 (configs/wf_vae/l_4ch.py); the paper has 0.0513 s and 7,170 MB on an H100.
wf_vae_train_step: one clip of 25x256x256 in `--dtype`, forward, backward and AdamW of the summed L1
and the KL (configs/wf_vae/s_4ch.py), without rematerialization unless --remat is given.

With `--peer`, a checkout of PKU-YuanGroup/WF-VAE, and a torch that sees a CUDA device, the authors'
code does the same under torch.compile: with autocast in bfloat16, with TensorFloat32 in float32,
like jax. Weights are random. Each measurement runs in a separate process to measure its peak
memory: the device's if it reports one, else the process's. Prints one JSON row for each: the median
of the repeats after a warm-up, in seconds. `--tiny` uses the networks of the recipes' :tiny mode.
"""

import argparse
import json
import pathlib
import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from peak_memory import peak_bytes

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OPERATIONS = ("kl_f8_decode", "wf_vae_encode", "wf_vae_train_step")
TORCH = "torch_train_step"


def main() -> None:
    flags = _flags()
    if flags.one:
        print(json.dumps(_measure(flags, flags.one)))
        return
    for operation in flags.only:
        row = {"benchmark": operation} | _child(operation)
        if operation == "wf_vae_train_step" and flags.peer:
            row["torch"] = _child(TORCH)
            if "seconds" in row and "seconds" in row["torch"]:
                row["ratio"] = round(row["seconds"] / row["torch"]["seconds"], 3)
        print(json.dumps(row), flush=True)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument(
        "--image", type=int, default=1024, help="pixels each way of the image that is decoded"
    )
    parser.add_argument(
        "--encode", type=int, nargs=2, default=[33, 512], help="frames, pixels each way"
    )
    parser.add_argument(
        "--train", type=int, nargs=2, default=[25, 256], help="frames, pixels each way"
    )
    parser.add_argument(
        "--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="of the training step"
    )
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument(
        "--one", choices=[*OPERATIONS, TORCH], help=argparse.SUPPRESS
    )  # in a process of its own
    return parser.parse_args()


def _child(operation: str) -> dict[str, Any]:
    """Return the measurement of a separate process, or the reason for its failure."""
    command = [sys.executable, *sys.argv, "--one", operation]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)  # its errors are seen
    if done.returncode:
        return {"error": f"exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def _measure(flags: argparse.Namespace, operation: str) -> dict[str, Any]:
    if operation == TORCH:
        import torch  # pyright: ignore[reportMissingImports]

        return (
            torch_train_step(flags, "cuda")
            if torch.cuda.is_available()
            else {"error": "torch sees no CUDA device"}
        )
    made = {
        "kl_f8_decode": _kl_f8_decode,
        "wf_vae_encode": _wf_vae_encode,
        "wf_vae_train_step": _wf_vae_train_step,
    }
    return made[operation](flags)


def _kl_f8_decode(flags: argparse.Namespace) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    modeldef, params = _model(flags, "kl_f8/sd.py", "bfloat16", image_size=flags.image)
    image = jax.ShapeDtypeStruct((1, flags.image, flags.image, 3), jnp.float32)
    z = jax.eval_shape(
        lambda params, x: modeldef.merge(params, {}).encode(x)[0].mean, params, image
    )
    z = jax.random.normal(jax.random.key(0), z.shape)
    decode = _compiled(lambda params, z: modeldef.merge(params, {}).decode((z,)).mean(), params, z)
    return _row(
        flags, decode, lambda: decode(params, z), params, shape=image.shape, dtype="bfloat16"
    )


def _wf_vae_encode(flags: argparse.Namespace) -> dict[str, Any]:
    frames, size = flags.encode
    modeldef, params = _model(
        flags, "wf_vae/l_4ch.py", "float32", image_size=size, num_frames=frames, remat=False
    )
    clip = _clip(frames, size)
    encode = _compiled(lambda params, x: modeldef.merge(params, {}).encode(x)[0].mean, params, clip)
    return _row(
        flags, encode, lambda: encode(params, clip), params, shape=clip.shape, dtype="float32"
    )


def _wf_vae_train_step(flags: argparse.Namespace) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp
    import optax

    frames, size = flags.train
    settings = dict(image_size=size, num_frames=frames, remat=flags.remat)
    modeldef, params = _model(flags, "wf_vae/s_4ch.py", flags.dtype, **settings)
    optimizer = optax.adamw(1e-5, weight_decay=1e-4)

    @jax.value_and_grad
    def loss_of(params: Any, x: Any) -> Any:
        outputs = modeldef.merge(params, {})({"video": x}, key=None, train=True)
        return jnp.abs(outputs.recon.mean() - x).sum() + 1e-6 * outputs.latents[0].kl.sum()

    def step(params: Any, state: Any, x: Any) -> Any:
        loss, gradients = loss_of(params, x)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    clip, state = _clip(frames, size), optimizer.init(params)
    program = _compiled(step, params, state, clip, donate_argnums=(0, 1))
    held = [params, state]

    def run() -> Any:
        held[0], held[1], loss = program(*held, clip)
        return loss, held

    about = dict(shape=clip.shape, dtype=flags.dtype, remat=flags.remat)
    return _row(flags, program, run, params, **about)


def torch_train_step(flags: argparse.Namespace, device: str) -> dict[str, Any]:
    """Time the authors' training step, compiled by torch."""
    import torch  # pyright: ignore[reportMissingImports]

    sys.path.insert(0, str(flags.peer))
    from causalvideovae.model.vae.modeling_wfvae import WFVAEModel  # pyright: ignore[reportMissingImports]

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    base = _recipe(flags, "wf_vae/s_4ch.py").model
    widths = {
        f"{side}_energy_flow_hidden_size": base.flow_channels for side in ("encoder", "decoder")
    }
    blocks = {f"{side}_num_resblocks": base.num_blocks for side in ("encoder", "decoder")}
    model = WFVAEModel(
        latent_dim=4,
        base_channels=base.base_channels,
        norm_type="layernorm",
        t_interpolation="nearest",
        **widths,
        **blocks,
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=1e-4)
    frames, size = flags.train
    x = torch.rand(1, 3, frames, size, size, device=device) * 2 - 1

    @torch.compile
    def loss_of(x: Any) -> Any:
        posterior = model.encode(x).latent_dist
        recon = model.decode(posterior.mode()).sample
        kl = 0.5 * (posterior.mean**2 + posterior.logvar.exp() - 1 - posterior.logvar).sum()
        return (recon - x).abs().sum() + 1e-6 * kl

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=flags.dtype == "bfloat16"):
            loss = loss_of(x)
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    began = time.perf_counter()
    run()
    row: dict[str, Any] = {"compile_s": round(time.perf_counter() - began, 1)} | _seconds(
        run, flags.repeats
    )
    if device == "cuda":
        row |= {
            "peak_bytes": torch.cuda.max_memory_allocated(),
            "device": torch.cuda.get_device_name(),
        }
    return row | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
    }


def _recipe(flags: argparse.Namespace, name: str) -> Any:
    return runpy.run_path(str(ROOT / "configs" / name))["get_config"]("tiny" if flags.tiny else "")


def _model(flags: argparse.Namespace, name: str, dtype: str, **settings: Any) -> tuple[Any, Any]:
    """Return the recipe's model, and random float32 weights for it."""
    import jax.numpy as jnp
    from flax import nnx

    from pipeline import models
    from pipeline.core import parameters

    recipe = _recipe(flags, name).model.to_dict() | settings
    model = models.create(recipe, rngs=nnx.Rngs(0), dtype=jnp.dtype(dtype))
    modeldef, params, _ = parameters.split(model)
    return modeldef, params


def _clip(frames: int, size: int) -> Any:
    import jax

    return jax.random.uniform(jax.random.key(1), (1, frames, size, size, 3), minval=-1, maxval=1)


def _compiled(function: Callable[..., Any], *inputs: Any, **settings: Any) -> Any:
    import jax

    from pipeline.backend.jit import compiler_options

    options = compiler_options(jax.default_backend())
    return jax.jit(function, compiler_options=options, **settings).lower(*inputs).compile()


def _row(
    flags: argparse.Namespace,
    program: Any,
    run: Callable[[], Any],
    params: Any,
    *,
    shape: Any,
    **about: Any,
) -> dict[str, Any]:
    import jax

    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    row = _seconds(lambda: jax.block_until_ready(run()), flags.repeats)
    device = jax.devices()[0]
    plan = program.memory_analysis()
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    row |= {"peak_bytes": peak or peak_bytes(), "peak_of": "device" if peak else "process"}
    row["temp_bytes"] = getattr(plan, "temp_size_in_bytes", None)
    row |= {"parameters": sum(sizes), "shape": list(shape), **about}
    return row | {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}


def _seconds(run: Callable[[], Any], repeats: int) -> dict[str, Any]:
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return {
        "seconds": round(statistics.median(seconds), 5),
        "least_s": round(min(seconds), 5),
        "repeats": repeats,
    }


if __name__ == "__main__":
    main()
