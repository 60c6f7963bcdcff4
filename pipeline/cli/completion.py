"""Print completion of commands, flags, recipes and paths for a shell.

strata completion bash
strata completion zsh

The script is made from the commands' own flags: print it again after an upgrade.

  mkdir -p ~/.local/share/bash-completion/completions
  strata completion bash > ~/.local/share/bash-completion/completions/strata

  mkdir -p ~/.zfunc        # and in ~/.zshrc, before compinit: fpath+=~/.zfunc
  strata completion zsh > ~/.zfunc/_strata

Example:
  strata completion bash
"""

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any

from pipeline import cli
from pipeline.cli import flags as cli_flags
from pipeline.cli import help_text
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

SUBCOMMANDS = ("bash", "zsh")

# Files here that define a recipe.
_RECIPES = "grep -l '^def get_config' configs/*.py configs/*/*.py 2>/dev/null"

_BASH = """# bash completion of strata, printed by: strata completion bash
_strata() {{
    local IFS=$'\\n' cur=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD-1]}} path words
    if [[ $cur == "=" ]]; then cur=""
    elif [[ $flag == "=" ]]; then flag=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    path=${{COMP_WORDS[1]}}
    case "$path ${{COMP_WORDS[2]}}" in
        {subcommands}) [[ $COMP_CWORD -gt 2 ]] && path="$path ${{COMP_WORDS[2]}}" ;;
    esac
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$cur"))
        return
    fi
    case "$path $flag" in
        *" --config")
            COMPREPLY=($(compgen -W "$({recipes})" -- "$cur"))
            [[ $COMPREPLY ]] || COMPREPLY=($(compgen -f -- "$cur"))
            compopt -o filenames 2>/dev/null
            return ;;
{values}
    esac
    case "$path" in
{flags}
    esac
    if [[ $cur == -* || ( $COMP_CWORD -eq 2 && $words && $words != -* ) ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        return
    fi
    COMPREPLY=($(compgen -f -- "$cur"))
    compopt -o filenames 2>/dev/null
}}
complete -F _strata strata
"""

_ZSH = """#compdef strata
# zsh completion of strata, printed by: strata completion zsh
_strata_recipes() {{
    local -a found
    found=(${{(f)"$({recipes})"}})
    compadd -a found
    _files -g '*.py'
}}
_strata() {{
    local -a commands
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case "$words[2]" in
{cases}
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _strata "$@"; else compdef _strata strata; fi
"""


def run(argv: list[str]) -> int:
    """Run the command of the module's docstring."""
    values = cli_flags.new()
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    if len(rest) != 1 or rest[0] not in SUBCOMMANDS:
        known = nearest(rest[0], SUBCOMMANDS) if rest else "bash or zsh"
        raise ConfigError(f"strata completion takes the name of a shell: {known}")
    print({"bash": bash, "zsh": zsh}[rest[0]](), end="")
    return 0


@dataclasses.dataclass(frozen=True)
class Node:
    """A command or subcommand, as one types it, with its subcommands or else its flags."""

    path: str
    subcommands: tuple[str, ...]
    flags: tuple[Any, ...]


def nodes() -> Iterator[Node]:
    """Yield every command, followed by its subcommands."""
    for command, (name, _) in cli.COMMANDS.items():
        module = importlib.import_module(f"pipeline.cli.{name}")
        subcommands = getattr(module, "SUBCOMMANDS", ())
        if not subcommands:
            yield Node(command, (), tuple(help_text.flags_of(module.run, [])))
            continue
        yield Node(command, tuple(subcommands), ())
        for each in subcommands:
            yield Node(f"{command} {each}", (), tuple(help_text.flags_of(module.run, [each])))


def bash() -> str:
    """Return the script for bash."""
    found, values, flags = list(nodes()), [], []
    for node in found:
        names = [f"--{flag.name}" for flag in node.flags]
        names += [f"--no{flag.name}" for flag in node.flags if flag.boolean]
        words = "\\n".join(node.subcommands or [*names, "--help"])
        flags.append(f"        \"{node.path}\") words=$'{words}' ;;")
        for flag in node.flags:
            if known := help_text.choices(flag):
                words = "\\n".join(known)
                reply = f"COMPREPLY=($(compgen -W $'{words}' -- \"$cur\"))"
                values.append(f'        "{node.path} --{flag.name}") {reply}; return ;;')
    return _BASH.format(
        subcommands="|".join(f'"{node.path}"' for node in found if " " in node.path),
        commands="\n".join(cli.COMMANDS),
        recipes=_RECIPES,
        values="\n".join(values),
        flags="\n".join(flags),
    )


def zsh() -> str:
    """Return the script for zsh."""
    found = {node.path: node for node in nodes()}
    purposes = [f"        {_quoted(f'{name}:{text}')}" for name, (_, text) in cli.COMMANDS.items()]
    cases = []
    for node in found.values():
        if " " in node.path:
            continue
        cases.append(f"        {node.path})")
        if node.subcommands:
            cases += [
                f"            if (( CURRENT == 3 )); then compadd {' '.join(node.subcommands)}; "
                "return; fi",
                '            case "$words[3]" in',
            ]
            for each in node.subcommands:
                inner = _arguments(found[f"{node.path} {each}"], 2)
                cases += [f"                {each})", *(f"        {line}" for line in inner)]
            cases.append("            esac ;;")
        else:
            cases += _arguments(node, 1)
    return _ZSH.format(recipes=_RECIPES, commands="\n".join(purposes), cases="\n".join(cases))


def _arguments(node: Node, depth: int) -> list[str]:
    """Return the lines that complete a command's flags, after `depth` words before its name."""
    specs = [spec for flag in node.flags for spec in _specs(flag)]
    return [
        f"            shift {depth} words; (( CURRENT -= {depth} ))",
        "            _arguments \\",
        *(f"                {_quoted(spec)} \\" for spec in specs),
        "                '--help[show help]' '*:file:_files' ;;",
    ]


def _specs(flag: Any) -> Iterator[str]:
    """Yield what `_arguments` takes for a flag."""
    purpose = "".join(f"\\{each}" if each in "[]:\\" else each for each in flag.help or "")
    text = f"[{' '.join(purpose.split())}]"
    if flag.boolean:
        yield f"--{flag.name}{text}"
        yield f"--no{flag.name}{text}"
        return
    action = " "
    if flag.name == "config":
        action = "_strata_recipes"
    elif help_text.is_path(flag):
        action = "_files"
    elif known := help_text.choices(flag):
        action = f"({' '.join(known)})"
    yield f"--{flag.name}={text}:{flag.name}:{action}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
