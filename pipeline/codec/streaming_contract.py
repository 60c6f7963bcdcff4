"""What a codec promises of a clip that is coded in pieces of time: one of four contracts.

A  Both directions are exact: any chunks give the latents, and the frames, of the whole clip.
B  The encoder is exact; frames depend on how latents are cut.
C  Neither is: latents and frames depend on how a clip is cut, and are its own if it is coded whole.
D  Fixed windows belong to the codec, which codes any clip in them, whole or in chunks.

config.json has the letter at codec.streaming, and the model card the sentence.
"""

from typing import Any

from pipeline.core.windows import Windows

_SENTENCES = {
    "A": (
        "Chunks of any number of frames give the same result as the whole clip, to 1e-5 when "
        "computed in float32."
    ),
    "B": (
        "Chunks of any number of frames give the latents of the whole clip, to 1e-5 when computed "
        "in float32. The decoder is not causal: chunks of latents give other frames than the whole."
    ),
    "C": "It is not causal: chunks of time give other results than the whole clip.",
    "D": (
        "It was trained in windows of {frames} frames{stride}, and codes every clip in these, in "
        "memory or as a stream: results do not depend on chunks, and other windows would give "
        "other latents."
    ),
}


def letter(model: Any) -> str:
    """Return the contract of a video model, by encoder_causal, decoder_causal and windows."""
    if getattr(model, "windows", None) is not None:
        return "D"
    if not model.encoder_causal:
        return "C"
    return "A" if model.decoder_causal else "B"


def facts(model: Any) -> dict[str, Any]:
    """Return what config.json says of a video model: the contract, and its windows in frames."""
    windows: Windows | None = getattr(model, "windows", None)
    found: dict[str, Any] = {"streaming": letter(model)}
    if windows is not None:
        found["windows"] = {"frames": windows.size, "stride": windows.stride}
        found["lengths"] = windows.lengths
    return found


def sentence(codec: dict[str, Any]) -> str:
    """Return the contract in words, from the "codec" of a config.json."""
    windows = codec.get("windows", {})
    frames, stride = windows.get("frames"), windows.get("stride")
    apart = f" that begin {stride} frames apart" if frames != stride else ""
    return _SENTENCES[codec["streaming"]].format(frames=frames, stride=apart)
