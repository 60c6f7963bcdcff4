"""An outline has the sizes of a recipe's stages without opening its data."""

import numpy as np
import tiny_gan

from pipeline import build


def test_an_outline_has_the_sizes_of_each_stage():
    config = tiny_gan.recipe()
    config.data.path = "/nowhere"
    config.stages = [dict(num_steps=6), {"num_steps": 14, "data.image_size": 12, "batch_size": 16}]
    outline = build.run_outline(build.complete(config))
    assert (outline.model, outline.dtype) == ("tiny_codec.TinyCodec", "float32")
    assert (outline.num_steps, outline.checkpoint_every) == (20, 10)
    first, second = outline.stages
    assert (first.num_steps, second.num_steps, second.end) == (6, 14, 20)
    assert first.batch["image"] == ((8, 8, 8, 3), np.uint8)
    assert second.batch["image"] == ((16, 12, 12, 3), np.uint8)
    assert second.batch["mask"] == ((16,), np.float32)
    assert first.remat is None, "the model has no such setting"


def test_clips_are_batches_of_videos():
    config = tiny_gan.recipe()
    config.data.source, config.data.num_frames = "moving_crops", 5
    (stage,) = build.run_outline(build.complete(config)).stages
    assert stage.batch["video"] == ((8, 5, 8, 8, 3), np.uint8) and "image" not in stage.batch


def test_a_stage_can_be_planned_with_whole_batches():
    config = tiny_gan.recipe()
    config.grad_accum_steps = 4
    (stage,) = build.run_outline(build.complete(config)).stages
    whole = stage.with_whole_batches()
    assert stage.grad_accum_steps == 4
    assert whole.grad_accum_steps == whole.config["grad_accum_steps"] == 1
