"""Lists of videos are read strictly: one line with file and line number for every fault."""

import pytest

from pipeline.core.errors import DataError
from pipeline.data import list_file
from pipeline.data.sources.video_list import KEYS, VideoList

FAULTS = [
    ("csv", 'path,label\n"a.mp4,x\nb.mp4,y\n', 2, "a quoted field goes on|a quote is not closed"),
    ("csv", 'path,label\n"a.mp4,x\nb.mp4,"y"\n', 2, "quot"),
    ("csv", 'path\na.mp4\n"a"b.mp4\n', 3, "wrong quoting"),
    ("csv", "path,label\na.mp4,x,y\n", 2, "3 fields, and the first line names 2 columns"),
    ("csv", "path,label\na.mp4,x\nb.mp4\n", 3, "1 fields"),
    ("csv", "path,label,path\na.mp4,x,b.mp4\n", 1, "'path' twice"),
    ("csv", "path;label\na.mp4;x\n", 1, "semicolons: commas are right"),
    ("csv", "path\tlabel\na.mp4\tx\n", 1, "tabs: commas are right"),
    ("csv", "path,,\na.mp4,,\n", 1, "a column without a name"),
    ("csv", "a.mp4,cat\nb.mp4,dog\n", 1, "names the columns, and 'a.mp4' is not known"),
    ("csv", "path\na.mp4\nb\0.mp4\n", 3, "a NUL byte"),
    ("csv", b"path\na.mp4\n\xff\xfe.mp4\n", 3, "not text in UTF-8"),
    ("csv", "label\nx\n", 2, "has no 'path'"),
    ("csv", "path,end\na.mp4,0\n", 2, "before end=0"),
    ("csv", "path,begin\na.mp4,1_0\n", 2, "begin='1_0' must be a number"),
    ("csv", "path,begin\na.mp4,nan\n", 2, "begin=nan must be"),
    ("jsonl", '{"path": "a.mp4"}\n{"path": \n', 2, "is not JSON"),
    ("jsonl", '{"path": "a.mp4", "path": "b.mp4"}\n', 1, "'path' is there twice"),
    ("jsonl", '["a.mp4"]\n', 1, "is not an object"),
    ("jsonl", "[" * 100_000 + "\n", 1, "is not JSON"),
    ("jsonl", '{"path": "a.mp4", "end": NaN}\n', 1, "NaN is no number"),
    ("jsonl", '{"path": "a.mp4", "end": 0}\n', 1, "before end=0"),
    ("jsonl", '{"path": "a.mp4", "begin": false}\n', 1, "begin=False must be a number"),
    ("jsonl", '{"path": "a.mp4", "begin": [1]}\n', 1, "begin=.1. must be a number"),
    ("jsonl", '{"path": "a.mp4", "end": 1' + "0" * 400 + "}\n", 1, "must be a number of seconds"),
    ("jsonl", '{"path": "a.mp4", "label": ["x"]}\n', 1, "label=..x.. must be a name"),
    ("jsonl", '{"path": "a.mp4", "label": true}\n', 1, "label=True must be a name"),
    ("jsonl", '{"path": 7}\n', 1, "path=7 must be the name of a file"),
    ("jsonl", '{"path": ["a.mp4"]}\n', 1, "must be the name of a file"),
    ("jsonl", '{"path": "\\u0000.mp4"}\n', 1, "must be the name of a file"),
    ("jsonl", '{"path": "\\ud800.mp4"}\n', 1, "must be the name of a file"),
    ("jsonl", '{"path": ""}\n', 1, "has no 'path'"),
    ("jsonl", '{"path": "a.mp4", "fps": 3}\n', 1, "'fps' is not known"),
]


@pytest.mark.parametrize("suffix, content, line, message", FAULTS)
def test_a_fault_is_one_line_with_file_and_line(tmp_path, suffix, content, line, message):
    path = tmp_path / f"list.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rf"{path}, line {line}\b.*({message})") as error:
        VideoList(str(path))
    assert "\n" not in str(error.value)


def test_zero_is_a_label_and_null_is_none(tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a.mp4", "label": 0}\n{"path": "b.mp4", "label": null, "end": 2}\n')
    found = VideoList(str(path))
    assert found.classes == ("0",) and [found[i].label for i in range(2)] == [0, -1]
    assert found[1].end == 2


def test_quotes_blank_lines_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes('\ufeffpath,label\r\n"a, b.mp4","say ""hi"""\r\n\r\nc.mp4,\r\n'.encode())
    assert list(list_file.rows(str(path), KEYS, path=str(path))) == [
        (2, {"path": "a, b.mp4", "label": 'say "hi"'}),
        (4, {"path": "c.mp4"}),
    ]
