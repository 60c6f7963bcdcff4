"""Damaged JSON files are set aside and reported, and nothing else is lost."""

import json

import pytest

from pipeline.storage import small_files

DAMAGE = {
    "empty": b"",
    "cut off": b'{"a": [1, 2',
    "zeros": b"\0" * 300,
    "a list": b"[1]",
    "null": b"null",
    "no text": b"\xff\xfe\x00\x01\x80",
    "deep": b"[" * 100_000,
}


def is_right(content) -> bool:
    return isinstance(content, dict) and "a" in content


@pytest.mark.parametrize("content", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_file_is_kept_aside_and_reported(tmp_path, capsys, content):
    path = tmp_path / "record.json"
    for number in ("", "2"):
        path.write_bytes(content)
        assert small_files.content_of(path, is_right) is None and path.exists()
        assert small_files.mend(path, is_right, "it starts over")
        (said,) = capsys.readouterr().err.splitlines()
        assert f"kept as record.json.damaged{number}: it starts over" in said
        assert (tmp_path / f"record.json.damaged{number}").read_bytes() == content
        assert not path.exists()


def test_a_good_file_and_none_stay_as_they_are(tmp_path, capsys):
    path = tmp_path / "record.json"
    assert not small_files.mend(path, is_right, "")
    path.write_text('{"a": 1}')
    assert not small_files.mend(path, is_right, "")
    assert small_files.content_of(path, is_right) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["record.json"]
    assert capsys.readouterr().err == ""


def test_a_folder_in_the_place_of_a_file_is_set_aside(tmp_path, capsys):
    for name, keep in (("record.json", False), ("config.json", True)):
        (tmp_path / name).mkdir()
        assert small_files.content_of(tmp_path / name, is_right) is None
        assert small_files.mend(tmp_path / name, is_right, "it starts over", keep=keep)
        assert f"{name} is damaged (a folder), and kept as" in capsys.readouterr().err
    (tmp_path / "lines.jsonl").mkdir()
    small_files.mend_lines(tmp_path / "lines.jsonl", is_right)
    assert "is a folder, and kept as lines.jsonl.damaged" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"{name}.damaged" for name in ("config.json", "lines.jsonl", "record.json")
    ]


def test_damaged_lines_are_set_aside_and_the_others_stay(tmp_path, capsys):
    path = tmp_path / "lines.jsonl"
    good = [json.dumps({"a": number}).encode() + b"\n" for number in range(3)]
    path.write_bytes(good[0] + b"\0\0\n" + good[1] + b"[]\n" + b"\xff\n" + good[2] + b'{"a": 4')
    small_files.mend_lines(path, is_right, keep=lambda entry: entry["a"] != 1)
    assert path.read_bytes() == good[0] + good[2]
    aside = (tmp_path / "lines.jsonl.damaged").read_bytes()
    assert aside == b'\0\0\n[]\n\xff\n{"a": 4\n'
    (said,) = capsys.readouterr().err.splitlines()
    assert "4 lines could not be read, kept in lines.jsonl.damaged" in said
    before = path.stat().st_mtime_ns
    small_files.mend_lines(path, is_right)
    assert path.stat().st_mtime_ns == before and capsys.readouterr().err == ""
    path.write_bytes(good[0][:-1])  # the end of the line is missing, not its content
    small_files.mend_lines(path, is_right)
    assert path.read_bytes() == good[0] and capsys.readouterr().err == ""
