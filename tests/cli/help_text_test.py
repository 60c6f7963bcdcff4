"""Help: every command has an example whose flags exist, and fits a terminal of 80 columns."""

import pathlib
import re
import shlex

import pytest

from pipeline.cli import COMMANDS, dispatch, help_text
from pipeline.cli import flags as cli_flags
from pipeline.cli.completion import nodes

ROOT = pathlib.Path(__file__).parents[2]
PATHS = sorted(
    {node.path for node in nodes()}
    | set(COMMANDS) - {"checkpoint"}  # each of its actions has the same help
)


def help_of(path: str, capsys) -> str:
    assert dispatch([*path.split(), "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("path", PATHS)
def test_the_example_of_each_help_text_parses(path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    shown = help_of(path, capsys)
    assert not [line for line in shown.splitlines() if len(line) > 80]
    example = re.search(r"^Example:\n  (strata .+)$", shown, re.MULTILINE)
    assert example, f"strata {path} --help has no example"
    program, *argv = shlex.split(example[1])
    assert program == "strata" and argv[0] == path.split()[0]
    parsed = []

    def parse_only(*arguments, **options):
        rest = parse(*arguments, **options)
        assert rest is not None
        parsed.append(rest)

    parse = cli_flags.parse
    monkeypatch.setattr(cli_flags, "parse", parse_only)
    assert dispatch(argv) == 0 and len(parsed) == 1
    assert not capsys.readouterr().err


def test_a_synopsis_is_folded_between_arguments():
    text = "strata a SRC --out DIR [--first N] [--second [--third X]]\nstrata b"
    assert help_text.reflowed(text, 40).splitlines() == [
        "strata a SRC --out DIR [--first N]",
        "    [--second [--third X]]",
        "strata b",
    ]


def test_the_start_page_names_commands_and_a_recipe_that_exist(capsys):
    assert dispatch([]) == 2
    shown = capsys.readouterr().err
    assert all(f"\n  {command} " in shown for command in COMMANDS)
    (recipe,) = re.findall(r"--config (\S+)", shown)
    assert (ROOT / recipe).is_file() and max(map(len, shown.splitlines())) <= 80
