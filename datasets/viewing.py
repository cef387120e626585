"""The command that shows a vault in a browser: `strongbax view`; `add_to` gives it to the command line."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .arguments import VaultPath

if TYPE_CHECKING:
    from ..vault.location import Location


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("view")(view)


def view(
    path: VaultPath,
    *,
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=65535, help="Port to listen at; 0: one that is free.")
    ] = 0,
    browse: Annotated[
        bool, typer.Option("--open/--no-open", help="Open a browser, or only print the address.")
    ] = True,
) -> None:
    """Shows a vault in a browser, until Ctrl-C: card, episodes, series and pictures.

    Nobody but this machine can reach the page. Of a vault that is being written it shows what is committed
    when the page is loaded.

    Example: strongbax view hopper.vault --no-open
    """
    import webbrowser

    from .serving import make_server, url_of

    _check(path)
    with make_server(path, port) as server:
        url = url_of(server)
        console.print_line(f"{path} is shown at {url} until Ctrl-C.")
        if browse:
            webbrowser.open(url)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            console.print_line("Stopped.")


def _check(path: "Location") -> None:
    """Says at once, and here, what the page could only say in the browser."""
    from .arguments import open_vault

    open_vault(path).close()
