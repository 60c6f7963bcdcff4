"""What a model card says of a codec that takes images or clips of any size."""

from collections.abc import Mapping
from typing import Any


def summary(config: Mapping[str, Any]) -> str:
    """How much smaller its latents are."""
    codec = config["codec"]
    space, time, channels = (
        codec["spatial_factor"],
        codec["temporal_factor"],
        codec["latent_channels"],
    )
    ratio = 3 * space**2 * time / channels
    what = (
        f"clips: {time}x{space}x{space} pixels"
        if codec["is_video"]
        else f"images: {space}x{space} pixels"
    )
    return f"""# {config["model"]["name"].split(".")[-1]} codec

A variational autoencoder of {what} become one latent of {channels} numbers, {ratio:g} times fewer.
{config.get("num_parameters", 0):,} parameters.
"""


def usage(config: Mapping[str, Any]) -> str:
    """How to load it, and to code long clips and large frames."""
    loading = """## Use

```python
from pipeline import Codec

codec = Codec.from_pretrained("path/to/this/folder")
"""
    if config["codec"]["is_video"]:
        return (
            loading
            + """z = codec.encode(video, chunk=8, tile=256).mode()     # video [b t h w 3], uint8, or float in [-1, 1]
video = codec.decode(z, chunk=2, tile=256)            # uint8
for frame in codec.decode_frames(codec.encode_frames(frames)):
    ...                                               # any length, in constant memory
```

Files: `strata reconstruct --codec path/to/this/folder film.mp4 --out DIR`.
"""
        )
    return (
        loading
        + """z = codec.encode(images, tile=512).mode()     # images [b h w 3], uint8, or float in [-1, 1]
images = codec.decode(z, tile=512)            # uint8
```

Files: `strata reconstruct --codec path/to/this/folder photo.jpg --out DIR`.
"""
    )


def limits(config: Mapping[str, Any]) -> str:
    """What it cannot do."""
    codec = config["codec"]
    factor, frames = codec["spatial_factor"], codec["temporal_factor"]
    lines = [f"Heights and widths are padded to multiples of {factor}, and cut back."]
    if codec["is_video"]:
        lines += [
            f"Lengths are padded to 1 + {frames}k frames by repeating the last one, and cut back."
        ]
        lines += [_chunks(codec["encoder_causal"], codec["decoder_causal"])]
    lines += [
        "Tiles are blended where they overlap; they give slightly other results than whole frames."
    ]
    lines += ["It was made for pictures like those of its training; others come out worse."]
    lines += ["Latents are float32 numbers, not a compressed bit stream."]
    return "\n".join(["## Limits", "", *(f"- {line}" for line in lines), ""])


def _chunks(encoder: bool, decoder: bool) -> str:
    if encoder and decoder:
        return "Any chunks of time give what the whole clip gives, to 1e-5 where it computes in float32."
    if encoder:
        return (
            "Any chunks of time give the latents of the whole clip, to 1e-5 where it computes in float32. The decoder "
            "is not causal: chunks of latents give other frames than the whole."
        )
    return "It is not causal: chunks of time give other results than the whole clip."
