"""A report shows what commands have left in the folders of runs."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from tiny_video_codec import write_video

from pipeline import cli
from pipeline.reporting import captions, sections


@pytest.fixture
def runs(tmp_path):
    """Two folders like those of runs: digits with samples, film with a picture and a clip."""
    for name in ("digits", "film"):
        folder = tmp_path / "runs" / name
        (folder / "eval").mkdir(parents=True)
        (folder / "config.json").write_text(
            json.dumps({"model": {"name": "vae.VAE"}, "data": {"source": name}})
        )
        (folder / "eval" / "9.json").write_text(json.dumps({"step": 9, "psnr": 1.0}))
        (folder / "eval" / "10.json").write_text(
            json.dumps({"step": 10, "num_examples": 3, "psnr": 31.25, "protocol": "p"})
        )
        lines = [{"step": n, "train": {"loss": 5.0 - n}} for n in range(4)]
        (folder / "metrics.jsonl").write_text(
            "\n".join(map(json.dumps, lines)) + '\n{"step": 4, "tr'
        )
    digits, film = tmp_path / "runs/digits", tmp_path / "runs/film"
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(noise).save(digits / "grid.png")
    found = {"num": 9, "what": "samples", "recognized": 6, "held_out": 0.98}
    (digits / "samples.json").write_text(json.dumps({"out": "moved/grid.png", **found}))
    (film / "out").mkdir()
    write_video(film / "out/a&b.mp4", 6)
    Image.fromarray(noise).save(film / "out/photo.png")
    files = [
        {"out": "runs/film/out/a&b.mp4", "psnr": 30.0, "whole_clip_difference": 0},
        {"out": "runs/film/out/photo.png", "psnr": 20.5, "values_per_latent": 12.0},
        {"out": "runs/film/out/deleted.png", "psnr": 20.5},
    ]
    (film / "reconstruct.json").write_text(json.dumps({"files": files}))
    return digits, film


def test_a_report_is_one_page_and_one_picture(runs, tmp_path):
    command = ["report", *map(str, runs), "--out", str(tmp_path / "page"), "--title", "<My> runs"]
    assert cli.dispatch(command) == 0
    page = (tmp_path / "page/index.html").read_text()
    assert "&lt;My&gt; runs" in page and "<My>" not in page
    assert page.count("data:image/png;base64,") == 2 and page.count("data:video/mp4;base64,") == 1
    assert "9 samples, 67% recognized (of held-out images 98%)" in page
    assert "a&amp;b.mp4: PSNR 30.00 dB, in chunks = whole within 0 of 255" in page
    assert "training loss, 5 to 2 in 3 steps" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is loaded from elsewhere
    with Image.open(tmp_path / "page/overview.png") as picture:
        assert picture.width == 1280 and picture.height > 800
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 500  # the pictures are in it


def test_the_newest_evaluation_and_the_files_that_are_there_are_shown(runs):
    digits, film = map(sections.read, runs)
    assert digits.facts[:2] == [("model", "vae.VAE"), ("data", "digits")]
    assert ("PSNR", "31.25 dB") in digits.facts and ("steps", "10") in digits.facts
    assert [picture.path.name for picture in film.pictures] == ["a&b.mp4", "photo.png"]
    assert digits.losses == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0)]


def test_a_run_that_no_command_has_evaluated_shows_its_own_evaluation(runs):
    digits, _ = runs
    for file in (digits / "eval").iterdir():
        file.unlink()
    with (digits / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 7, "eval": {"psnr": 24.5, "num_examples": 179.0}}\n')
    facts = sections.read(digits).facts
    expected = [("steps", "7"), ("held-out examples", "179"), ("PSNR", "24.50 dB")]
    assert facts[2:] == expected


def test_captions_name_metrics_as_the_catalogue_does():
    result = {"psnr": 31.2, "values_per_latent": 12.0, "path": "x", "remarks": []}
    assert captions.of_reconstruction(result) == "PSNR 31.20 dB, 12 pixel values per latent value"


def test_a_folder_without_a_run_is_an_error_in_one_line(tmp_path, capsys):
    out = str(tmp_path / "page")
    assert cli.dispatch(["report", str(tmp_path), "--out", out]) == 2
    assert f"{tmp_path} holds no run" in capsys.readouterr().err
    assert cli.dispatch(["report", "--out", out]) == 2
    assert "strata report RUN... --out DIR" in capsys.readouterr().err


ODD_LINES = [
    {"train": {"loss": 1.0}},
    {"step": "x", "train": {"loss": 1.0}},
    {"step": 5, "train": {"loss": None}},  # it was not finite
    {"step": 6, "train": {"loss": "x"}},
    {"step": 7, "train": 3},
    {"step": 8, "eval": {"psnr": "x", "num_examples": []}},
]
ODD_RESULTS = [
    {"files": [3, None, {"out": 3}, {"out": "grid.png", "psnr": "x", "values_per_latent": []}]},
    {"what": "samples", "out": "grid.png"},
    {"what": "samples", "out": "grid.png", "num": 0, "recognized": 1, "held_out": 1.0},
    {"what": [], "out": "grid.png", "num": {}},
]


def test_files_of_another_shape_are_left_out(runs):
    digits, _ = runs
    (digits / "metrics.jsonl").write_text("\n".join(map(json.dumps, ODD_LINES)))
    (digits / "eval/10.json").write_text(json.dumps({"step": [], "psnr": {}, "ssim": "x"}))
    (digits / "eval/²7.json").write_text("{}")
    (digits / "samples.json").unlink()
    (digits / "samples.json").mkdir()
    for number, result in enumerate(ODD_RESULTS):
        (digits / f"odd{number}.json").write_text(json.dumps(result))
    section = sections.read(digits)
    assert section.losses == []
    assert section.facts[2:] == [("steps", "[]"), ("held-out examples", "?")]
    assert [each.caption for each in section.pictures] == ["grid.png: ", "", "", "{} []"]
    (digits / "eval").rename(digits / "elsewhere")
    assert sections.read(digits).facts[2:] == [("steps", "8"), ("held-out examples", "?")]


@pytest.mark.parametrize("content", ['{"model": 3}', '{"model": {}, "data": null}'])
def test_a_config_of_another_shape_is_no_traceback(runs, content, capsys):
    (runs[0] / "config.json").write_text(content)
    code = cli.dispatch(["report", str(runs[0]), "--out", str(runs[0] / "page")])
    assert code == (2 if "3" in content else 0)
    assert ("holds no run" in capsys.readouterr().err) == (code == 2)
