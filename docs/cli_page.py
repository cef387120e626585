"""Writes `docs/cli.md` from what `strongbax --help` says; `make docs` runs it.

A test holds that the page is current.
"""

from pathlib import Path
from typing import Any

import typer
from strongbax.__main__ import app
from strongbax.datasets.command_group import first_line, sections

PAGE = Path(__file__).with_name("cli.md")

# Commands whose example the tests of the pages pass over.
NOT_RUN = {
    "strongbax demo": "it has a test of its own",
    "strongbax fetch": "it needs the network",
    "strongbax publish": "it needs a card, and the network",
    "strongbax view": "it goes on until Ctrl-C",
}

HEAD = """\
# Command line

<!-- Made by docs/cli_page.py from the commands' own help: run `make docs` after a change. -->

`strongbax COMMAND --help` says the same in a terminal. What prints facts takes `--json`, and then
prints JSON to standard output and nothing else; progress and errors go to standard error. Where a command
looks at a vault, the vault is named by its folder, by its URL, or by the id of a dataset that was
[fetched](#strongbax-fetch).

| exit code | means |
|---|---|
| 0 | all is well |
| 1 | `verify` found a problem; `repair`, `convert --skip-bad` left out some; `describe --check` found a gap |
| 2 | it could not be done: one line says why, and the mend |
| 70 | a fault of ours, with its traceback: please report it |
| 130 | Ctrl-C; what was committed stays, nothing half-made is left under a vault's name |
| 141 | whoever read the output left early, as `head` does |

`strongbax --install-completion` teaches the shell you are in (bash, zsh or fish) to complete commands,
options, vaults, ids of datasets, formats and codecs; `--show-completion` prints what it would install.
"""


def commands(command: Any = None, path: tuple[str, ...] = ("strongbax",)) -> dict[str, Any]:
    """Every command by its full name, `strongbax list remote`, groups left out."""
    command = typer.main.get_command(app) if command is None else command
    if not hasattr(command, "commands"):
        return {" ".join(path): command}
    found: dict[str, Any] = {}
    for name, child in command.commands.items():
        found |= commands(child, (*path, name))
    return found


def render() -> str:
    """The page."""
    found = commands()
    shown = {name: command for name, command in found.items() if not command.hidden}
    parts = [_section(name, command) for name, command in sorted(shown.items())]
    return "\n".join([HEAD, _overview(shown), _aliases(found), *parts])


def _overview(found: dict[str, Any]) -> str:
    """What there is, section by section as in `strongbax --help`."""
    top = typer.main.get_command(app).commands
    lines = ["| | command | |", "|---|---|---|"]
    for title, names in sections(top).items():
        mine = [full for name in names for full in found if full.split()[1] == name]
        for full in mine:
            anchor = f"[`{full.removeprefix('strongbax ')}`](#{full.replace(' ', '-')})"
            lines.append(
                f"| {title if full == mine[0] else ''} | {anchor} | {first_line(found[full].help)} |"
            )
    return "\n".join([*lines, ""])


def _aliases(found: dict[str, Any]) -> str:
    """Other names of commands."""
    by_help = {command.help: name for name, command in found.items() if not command.hidden}
    pairs = [f"`{n}` is `{by_help[c.help]}`" for n, c in sorted(found.items()) if c.hidden]
    return f"Names that Minari's users know are taken too: {'; '.join(pairs)}.\n"


def _section(name: str, command: Any) -> str:
    text, *examples = [part.strip() for part in command.help.split("Example:")]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([name, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## {name}", "", text, "", "```text", usage, "```", ""]
    rows = [(f"`{_argument(p)}`", p.help) for p in arguments]
    rows += [(_names(p), p.help + _default(p)) for p in options]
    lines += ["| argument or option | means |", "|---|---|"]
    lines += [f"| {left.replace('|', chr(92) + '|')} | {right} |" for left, right in rows]
    lines += ["", *([f"<!-- not run: {NOT_RUN[name]} -->"] if name in NOT_RUN else [])]
    lines += ["```console", *(f"$ {example}" for example in examples), "```", ""]
    return "\n".join(lines)


def _argument(argument: Any) -> str:
    return argument.metavar + ("..." if argument.nargs == -1 else "")


def _names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {option.metavar}"
    return ", ".join(f"`{name}{value}`" for name in names)


def _default(option: Any) -> str:
    if option.default in (None, "") or option.is_flag:
        return " Required." if option.required else ""
    return f" Default: `{option.default}`."


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
