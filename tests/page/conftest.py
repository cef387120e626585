"""The page in a browser: Debian's Chromium, driven by Playwright; `make browser` sets both up."""

import shutil
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # what lies beside the tests is importable

from page_serving import serving
from page_vaults import write_many, write_plain, write_rich

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Generator[Any]:
    """One browser for all tests; each opens a window of its own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: run `make browser`")
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: run `make browser`")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A window, and what happened in it."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def ready(self, charts: int = 1) -> "Opened":
        """Waits until the vault is shown, with so many charts."""
        self.page.wait_for_function(
            "(charts) => !document.querySelector('#main[aria-busy]') &&"
            " document.querySelectorAll('.u-wrap').length >= charts",
            arg=charts,
            timeout=30_000,
        )
        return self

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def column(self, name: str) -> list[str]:
        """The cells of a column that are in sight, from the top."""
        place = self.texts("[role=columnheader]").index(name) + 1
        return self.texts(f".layer .row .cell:nth-child({place})")

    def wait_text(self, selector: str, text: str) -> None:
        self.page.wait_for_function(
            "([selector, text]) =>"
            " [...document.querySelectorAll(selector)].some((e) => e.innerText.includes(text))",
            arg=[selector, text],
            timeout=20_000,
        )


@pytest.fixture
def open_page(browser) -> Generator[Callable[..., Opened]]:
    """Opens an address in a window of its own, and closes it at the end."""
    contexts = []

    def go(url: str, **options: Any) -> Opened:
        options = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | options
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(url)
        return opened

    yield go
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def rich(tmp_path_factory) -> Path:
    """A packed vault with a leaf of every kind and every codec."""
    return write_rich(tmp_path_factory.mktemp("rich") / "rich.vault")


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """A vault of several streams, closed, with episodes that still run, and without a card."""
    return write_plain(tmp_path_factory.mktemp("plain") / "plain.vault")


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Path:
    """A packed vault of 100,000 episodes."""
    return write_many(tmp_path_factory.mktemp("many") / "many.vault")


@pytest.fixture(scope="session")
def rich_url(rich) -> Generator[str]:
    with serving(rich) as url:
        yield url


@pytest.fixture(scope="session")
def plain_url(plain) -> Generator[str]:
    with serving(plain) as url:
        yield url


@pytest.fixture(scope="session")
def many_url(many) -> Generator[str]:
    with serving(many) as url:
        yield url
