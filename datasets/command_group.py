"""The group of all commands: its help has sections, and a reader that leaves early stops it quietly."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

CLOSED_PIPE = 141  # what a shell reports of a program that SIGPIPE ended

# Where a command stands in the help, and in which order. One that is named nowhere stands at the end.
SECTIONS = {
    "Look": ("list", "show", "head", "stats", "plot", "view"),
    "Bring in, take out": ("fetch", "convert", "export", "describe", "publish"),
    "Make others of it": ("filter", "split", "merge", "pack", "delete"),
    "Keep it whole": ("verify", "repair", "upgrade"),
    "Try": ("demo",),
}
OTHERS = "Others"


class CommandGroup(TyperGroup):
    """A group whose help is in sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class's
        """Writes the commands, section by section, each with its whole first sentence."""
        for title, names in sections(self.commands).items():
            with formatter.section(title):
                formatter.write_dl([(name, first_line(self.commands[name].help)) for name in names])

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's
        """Returns the names of all commands, as the help has them; those that are hidden at the end."""
        shown = [name for names in sections(self.commands).values() for name in names]
        return [*shown, *(name for name in self.commands if name not in shown)]

    def invoke(self, ctx: Any) -> Any:
        """Runs a command.

        Raises:
          typer.Exit: with 141, if whoever reads the output has left.
        """
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still to be written goes nowhere, or Python would tell of it when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(CLOSED_PIPE) from None
        return answer


def sections(commands: Any) -> dict[str, list[str]]:
    """Returns the names of the commands that are shown, by section.

    Args:
      commands: by name, with an attribute `hidden` each.

    Example:
      >>> from types import SimpleNamespace
      >>> sections({name: SimpleNamespace(hidden=False) for name in ("pack", "show", "sing")})
      {'Look': ['show'], 'Make others of it': ['pack'], 'Others': ['sing']}
    """
    shown = [name for name, command in commands.items() if not command.hidden]
    placed = {name for names in SECTIONS.values() for name in names}
    everything = SECTIONS | {OTHERS: tuple(name for name in shown if name not in placed)}
    found = {title: [name for name in names if name in shown] for title, names in everything.items()}
    return {title: names for title, names in found.items() if names}


def first_line(text: str | None) -> str:
    """Returns the first paragraph of a help text, on one line.

    Example:
      >>> first_line(typer.Typer.__call__.__doc__), first_line("Shows it.")
      ('', 'Shows it.')
    """
    return " ".join((text or "").split("\n\n")[0].split())
