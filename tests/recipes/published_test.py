"""Recipes of published codecs state the published number of parameters.

full_size_test.py builds each recipe and compares it with what its docstring states.
"""

import ast
import pathlib

import pytest

from pipeline.cli.list import stated_parameters

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
# Learnable parameters of the class or of the authors' file.
PUBLISHED = {
    "allegro/vae": 174_955_751,
    "cogvideox/vae": 215_583_907,
    "cosmos/cv4x8x8": 104_669_888,
    "cosmos/cv8x16x16": 110_898_624,
    "cosmos/cv8x8x8": 105_653_696,
    "dc_ae/f128c512": 1_120_682_252,
    "dc_ae/f32c32": 323_356_460,
    "dc_ae/f64c128": 676_896_140,
    "hunyuan_video/v10": 246_478_803,
    "hunyuan_video/v15": 1_260_634_115,
    "iv_vae/z16_d64": 107_798_550,
    "iv_vae/z16_d96": 241_854_742,
    "iv_vae/z4_d64": 107_170_842,
    "kl/f16_d16": 69_610_963,
    "kl/f32_d64": 103_880_131,
    "kl/f4": 55_312_063,
    "ltx_video/ltx2": 1_222_479_601,
    "ltx_video/ltx23": 726_105_969,
    "ltx_video/v090": 419_193_649,
    "ltx_video/v091": 934_976_434,
    "ltx_video/v095": 1_246_913_522,
    "magvit/easyanimate": 244_375_507,
    "mochi/vae": 459_748_611,
    "qwen_image/vae": 126_892_531,
    "rae/dinov2_b": 86_582_016 + 415_056_640,
    "taehv/base": 1_470_928 + 9_844_611,
    "va_vae/f16d32": 69_836_067,
    "vidtok/fsq_32768": 157_424_012,
    "vidtok/kl_16ch": 157_949_351,
    "vidtok/kl_4ch": 157_451_663,
    "vidtok/kl_8ch": 157_617_559,
    "wan/wan21": 126_892_531,
    "wan/wan22": 704_688_668,
}


@pytest.mark.parametrize("recipe, count", PUBLISHED.items())
def test_a_recipe_has_the_published_number_of_parameters(recipe, count):
    text = ast.get_docstring(ast.parse((CONFIGS / f"{recipe}.py").read_text())) or ""
    assert stated_parameters(text) == f"{count:,}"
