"""Tests that finished files are skipped unless something that they depend on has changed."""

import json
import os

import pytest

from pipeline.codec.media import journal as journal_module
from pipeline.codec.media.journal import NAME, Journal


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_text(name)
    return tmp_path


def run(folder, **settings) -> list[str]:
    """Run over both files, and return the names of those processed."""
    journal, worked = Journal(folder / "out", **({"codec": "x"} | settings)), []
    for name in ("a", "b"):

        def work(name=name):
            worked.append(name)
            target = folder / "out" / f"{name}.mp4"
            target.parent.mkdir(exist_ok=True)
            target.write_text("done")
            return {"out": str(target), "psnr": 30.5}

        result = journal.once(folder / f"{name}.png", name, work)
        assert result["psnr"] == 30.5 and result["out"] == str(folder / "out" / f"{name}.mp4")
        assert result.get("done_before", False) == (name not in worked)
    return worked


def test_only_changed_files_are_processed_again(folder):
    assert run(folder) == ["a", "b"] and run(folder) == []
    (folder / "a.png").write_text("longer than before")
    assert run(folder) == ["a"]
    os.utime(folder / "b.png", (1, 1))  # as long as before, and of another time
    assert run(folder) == ["b"]
    (folder / "out" / "a.mp4").unlink()
    assert run(folder) == ["a"] and run(folder) == []


def test_another_codec_or_setting_invalidates_results_and_those_it_replaced(folder):
    assert run(folder) == ["a", "b"]
    assert run(folder, codec="y") == ["a", "b"]
    assert run(folder, codec="y", tile=16) == ["a", "b"]
    assert run(folder) == ["a", "b"]  # done once, but replaced since
    assert run(folder) == []


def test_a_folder_that_was_moved_keeps_its_journal(folder):
    run(folder)
    (folder / "out").rename(folder / "elsewhere")
    result = Journal(folder / "elsewhere", codec="x").once(folder / "a.png", "a", dict)
    assert result == {"out": str(folder / "elsewhere" / "a.mp4"), "psnr": 30.5, "done_before": True}


def test_a_damaged_journal_costs_the_damaged_lines_only(folder):
    run(folder)
    journal = folder / "out" / NAME
    first, second = journal.read_bytes().splitlines(keepends=True)
    for damaged in (
        first + second[:40],  # cut short
        b"\xff\xfe\x00 no text\n"
        + first
        + b'{"key": "\xe4"}\n[1]\n{"key": 1, "place": "x", "result": 2}\n\n',
    ):
        journal.write_bytes(damaged)
        assert run(folder) == ["b"]
        assert run(folder) == []  # the line written after the damaged one is whole
    assert json.loads(journal.read_bytes().splitlines()[-1])["place"] == "b.mp4"


def test_a_folder_in_place_of_the_journal_is_set_aside(folder, capsys):
    (folder / "out" / NAME / "kept").mkdir(parents=True)
    assert run(folder) == ["a", "b"] and run(folder) == []
    assert f"{NAME} is a folder, and kept as {NAME}.damaged" in capsys.readouterr().err
    assert (folder / "out" / f"{NAME}.damaged" / "kept").is_dir()


def test_a_journal_in_a_bucket_is_shared_by_processes(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "_LINES", 1)  # a file for each line
    (remote / "in/a.png").write_text("a")
    (tmp_path / "b.png").write_text("b")
    worked = []

    def run(journal, source):
        def work():
            worked.append(source.name)
            target = remote / "out" / f"{source.name}.mp4"
            target.write_text("done")
            return {"out": str(target)}

        return journal.once(source, source.name, work)

    first, second = (Journal(remote / "out", codec="x") for _ in range(2))
    run(first, remote / "in/a.png"), run(second, tmp_path / "b.png"), run(first, tmp_path / "b.png")
    assert worked == ["a.png", "b.png", "b.png"]  # they do not see each other while they run
    third = Journal(remote / "out", codec="x")
    assert run(third, remote / "in/a.png")["done_before"]
    assert run(third, tmp_path / "b.png")["done_before"]
    (remote / "in/a.png").write_text("c")  # as long as before
    (remote / "out/b.png.mp4").unlink()
    fourth = Journal(remote / "out", codec="x")
    run(fourth, remote / "in/a.png"), run(fourth, tmp_path / "b.png")
    assert worked[3:] == ["a.png", "b.png"]
