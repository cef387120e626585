"""A vault served as `strongbax view` serves it, in a thread of this process."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from strongbax.datasets.serving import make_server, url_of


@contextmanager
def serving(path: Path) -> Generator[str]:
    """Serves a vault as `strongbax view` does; gives the address."""
    server = make_server(path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield url_of(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
