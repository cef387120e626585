"""The live page of the docs' gallery."""

import sys
from pathlib import Path

import pytest
from page_serving import serving

pytestmark = pytest.mark.heavy

DOCS = Path(__file__).parents[2] / "docs"


def test_the_gallery_shows_cartpole(open_page, tmp_path, monkeypatch):
    """What the docs put into the site opens, and its pictures are drawn of its observations."""
    pytest.importorskip("gymnasium")
    monkeypatch.syspath_prepend(DOCS)
    import gallery
    from strongbax.vault import Vault

    gallery.make(tmp_path / "cartpole")
    monkeypatch.delitem(sys.modules, "gallery")
    with Vault.open(tmp_path / "cartpole") as vault:
        observations, rows = vault[3].steps["observation"], vault.num_episodes
    wanted = gallery.draw(observations)[4]
    with serving(tmp_path / "cartpole") as url:
        page = open_page(f"{url}#episode=3&step=4").ready()
        page.wait_for_selector("[data-leaf=picture] canvas[data-step='4']")
        got = page.evaluate(
            "() => [...document.querySelector('[data-leaf=picture] canvas').getContext('2d')"
            ".getImageData(0, 0, 100, 60).data]"
        )
        assert page.locator("[role=grid]").get_attribute("aria-rowcount") == str(rows + 1)
        assert page.said == []
    assert [value for place, value in enumerate(got) if place % 4 < 3] == wanted.ravel().tolist()
