"""One episode in a browser: series, pictures, the player, the keys, the address."""

import csv
import io
import re

import ml_dtypes
import numpy as np
import pytest
from page_serving import serving
from page_vaults import LENGTHS, rich_episodes

pytestmark = pytest.mark.heavy

PIXELS = """([leaf]) => {
    const canvas = document.querySelector(`[data-leaf="${leaf}"] canvas`);
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return { width, height, data: [...data] };
}"""


FOCUS = """() => {
    const e = document.activeElement;
    return [e.id || e.className || e.tagName, getComputedStyle(e).outlineStyle];
}"""


def saved(page, leaf: str) -> np.ndarray:
    """A leaf's values as the page saves them, `[T, values]` in float64."""
    panel = page.locator(f"details[data-leaf='{leaf}']")
    if panel.get_attribute("open") is None:
        panel.locator("summary").click()
    panel.locator(".csv").wait_for()
    with page.expect_download() as download:
        panel.locator(".csv").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text())))
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(len(rows) - 1)]
    return np.array([[float(value) for value in row[1:]] for row in rows[1:]])


@pytest.mark.parametrize("episode", [0, 2, 3])
def test_series_are_the_vaults_numbers(open_page, rich_url, episode):
    """Every number that is drawn is the vault's, in each dtype and codec, final rows behind the last step."""
    page = open_page(f"{rich_url}#episode={episode}").ready()
    wanted = rich_episodes()[episode]
    steps = wanted.steps
    for leaf in (
        "wide",
        "action",
        "reward",
        "float16",
        "bfloat16",
        "e4m3",
        "e5m2",
        "clock",
        "unsigned",
        "terminated",
    ):
        values = steps[leaf].astype(np.float64).reshape(LENGTHS[episode], -1)
        np.testing.assert_array_equal(saved(page, leaf), values)
    observation = np.concatenate([steps["observation"], wanted.final["observation"][None]])
    np.testing.assert_array_equal(saved(page, "observation"), observation.astype(np.float64))
    parts = steps["complex"].view(np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(saved(page, "complex"), parts.astype(np.float64))
    nested = steps["infos"]["café 100%"][:, None]
    np.testing.assert_array_equal(saved(page, "infos/caf%C3%A9 100%25"), nested)
    assert page.said == []


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "int4"])
def test_every_bit_pattern_is_decoded(open_page, tmp_path, dtype):
    """Each value that a small dtype can have is shown as what it is."""
    from strongbax.vault import Vault

    kind = np.dtype(dtype if dtype == "float16" else getattr(ml_dtypes, dtype))
    bits = np.arange(256, dtype=np.uint8) if kind.itemsize == 1 else np.arange(0, 65536, 7, dtype=np.uint16)
    if dtype == "int4":
        bits = bits[:16]
    values = bits.view(kind)
    with Vault.create(tmp_path / "bits.vault", steps={"bits": np.zeros((), kind)}) as vault:
        vault.extend({"bits": values})
    with serving(tmp_path / "bits.vault") as url:
        page = open_page(f"{url}#episode=0").ready()
        shown = saved(page, "bits")[:, 0]
    with np.errstate(invalid="ignore"):  # NumPy minds NaN in bfloat16
        wanted = values.astype(np.float64)
    np.testing.assert_array_equal(shown, wanted)


def test_return_to_date(open_page, rich_url):
    """The return up to the step that is looked at is the sum of the rewards so far."""
    page = open_page(f"{rich_url}#episode=0&step=17").ready()
    page.wait_text("[data-leaf=reward] .chip", "return to date")
    text = page.locator("[data-leaf=reward] .chip", has_text="return to date").locator("output").inner_text()
    assert float(text) == pytest.approx(rich_episodes()[0].steps["reward"][:18].sum(), rel=1e-3)


@pytest.mark.parametrize("step", [0, 31, 32, 39])
def test_colours_are_the_vaults(open_page, rich_url, step):
    """A picture's pixels are the vault's bytes, at the step that the address names."""
    page = open_page(f"{rich_url}#episode=0&step={step}").ready()
    page.wait_for_selector(f"[data-leaf=pixels] canvas[data-step='{step}']")
    got = page.evaluate(PIXELS, ["pixels"])
    image = np.array(got["data"], np.uint8).reshape(got["height"], got["width"], 4)
    np.testing.assert_array_equal(image[..., :3], rich_episodes()[0].steps["pixels"][step])
    assert (image[..., 3] == 255).all()


def test_stacks_and_depths(open_page, rich_url):
    """Frames of a stack stand side by side in their order; other numbers go from black to white."""
    page = open_page(f"{rich_url}#episode=1&step=5").ready()
    page.wait_for_selector("[data-leaf=stack] canvas[data-step='5']")
    got = page.evaluate(PIXELS, ["stack"])
    image = np.array(got["data"], np.uint8).reshape(got["height"], got["width"], 4)
    steps = rich_episodes()[1].steps
    for tile in range(4):
        part = image[:, tile * 21 : tile * 21 + 20, 0]
        np.testing.assert_array_equal(part, steps["stack"][5, tile])
    page.wait_for_selector("[data-leaf=depth] canvas[data-step='5']")
    got = page.evaluate(PIXELS, ["depth"])
    image = np.array(got["data"], np.float64).reshape(got["height"], got["width"], 4)[..., 0]
    depth = steps["depth"]
    wanted = (depth[5] - depth.min()) / (depth.max() - depth.min()) * 255
    np.testing.assert_allclose(image, wanted, atol=1)


def test_final_pictures(open_page, rich_url):
    """Behind the last step stands what the last action led to."""
    page = open_page(f"{rich_url}#episode=3&step=3").ready()
    page.wait_for_selector("[data-leaf=pixels] canvas[data-step='3']")
    got = page.evaluate(PIXELS, ["pixels"])
    image = np.array(got["data"], np.uint8).reshape(24, 32, 4)
    assert (image[..., :3] == 30).all()
    assert "final" in page.locator(".where").inner_text()
    assert page.locator("[data-leaf=observation] output").first.inner_text() == "3"


def test_the_scrubber_moves_everything(open_page, rich_url):
    """Slider, pictures, values and address are always at the same step."""
    page = open_page(f"{rich_url}#episode=2").ready()
    page.locator(".player input").fill("45")
    page.wait_for_selector("[data-leaf=pixels] canvas[data-step='45']")
    value = rich_episodes()[2].steps["observation"][45, 0]
    page.wait_for_function("() => location.hash.includes('step=45')")
    assert float(page.locator("[data-leaf=observation] output").first.inner_text()) == pytest.approx(
        value, rel=1e-3
    )
    chart = page.locator("[data-leaf=reward] .u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 20 / 75, box["y"] + 20)
    page.wait_for_selector("[data-leaf=pixels] canvas[data-step='20']")
    assert page.locator(".player input").input_value() == "20"


def test_playing(open_page, rich_url):
    """Play goes on by itself to the end and stops there; pause holds it."""
    page = open_page(f"{rich_url}#episode=4").ready()
    page.select_option(".player select", "10")
    page.click(".play")
    page.wait_for_function("() => document.querySelector('.player input').value > 3")
    page.click("[aria-label=Pause]")
    here = page.locator(".player input").input_value()
    page.wait_for_timeout(400)
    assert page.locator(".player input").input_value() == here
    page.select_option(".player select", "120")
    page.click(".play")
    page.wait_for_selector("[aria-label=Play]")
    assert page.locator(".where").inner_text().startswith("final")


def test_keys(open_page, rich_url):
    """Rows, steps, play and zoom are reached by the keyboard alone."""
    page = open_page(rich_url).ready()
    page.locator("[role=grid]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_text("#episode-title", "Episode 2")
    active = page.locator("[role=grid]").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    page.locator(".play").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_text(".where", "step 11")
    page.keyboard.press("End")
    page.wait_text(".where", "final")
    page.keyboard.press("ArrowLeft")
    page.wait_text(".where", "step 74")
    page.keyboard.press("Home")
    page.wait_text(".where", "step 0")
    page.keyboard.press("Space")
    page.wait_for_selector("[aria-label=Pause]")
    page.keyboard.press("Space")
    page.wait_for_selector("[aria-label=Play]")


def test_everything_is_reached_by_tab(open_page, rich_url):
    """The focus goes through the whole page and is always to be seen."""
    page = open_page(rich_url).ready()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUS))
    names = " ".join(name for name, _ in seen)
    for wanted in ("skip", "theme", "column", "filter", "grid-body", "play", "chip"):
        assert wanted in names
    assert all(style != "none" for name, style in seen if name != "BODY")


def test_zoom_is_shared(open_page, rich_url):
    """What is chosen in one chart is what all show; a double click shows all again."""
    page = open_page(f"{rich_url}#episode=2").ready(3)
    chart = page.locator("[data-leaf=reward] .u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 30, steps=4)
    page.mouse.up()
    marks = "[data-leaf=observation] .mark"
    page.locator(".player input").fill("10")
    page.wait_for_function("(marks) => document.querySelector(marks).hidden", arg=marks)
    page.locator(".player input").fill("37")
    page.wait_for_function("(marks) => !document.querySelector(marks).hidden", arg=marks)
    page.locator("[data-leaf=reward] .u-over").dblclick()
    page.locator(".player input").fill("10")
    page.wait_for_function("(marks) => !document.querySelector(marks).hidden", arg=marks)


def test_legend_and_choice_of_values(open_page, rich_url):
    """A leaf of many values shows some, those one chooses, and says what is no choice."""
    page = open_page(f"{rich_url}#episode=0&leaf=wide").ready()
    panel = page.locator("details[data-leaf=wide]")
    panel.locator(".chip").first.wait_for()
    assert panel.locator(".chip").count() == 8
    box = panel.locator(".choice input")
    box.fill("38-39, 3")
    box.press("Enter")
    panel.locator(".chip span", has_text=re.compile("^38$")).wait_for()
    assert [text.split("\n")[0] for text in panel.locator(".chip").all_inner_texts()] == ["38", "39", "3"]
    box.fill("40")
    box.press("Enter")
    assert "0 to 39" in panel.locator(".said").inner_text()
    chip = panel.locator(".chip").first
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"


def test_texts_and_dates(open_page, rich_url):
    """Texts are read as they were written, with the steps at which they change; dates as dates."""
    page = open_page(f"{rich_url}#episode=0&step=30").ready()
    page.wait_text("[data-leaf=say] li", "reach")
    lines = page.texts("[data-leaf=say] li")
    assert [re.sub(r"\s+", " ", line) for line in lines] == ["step 0 reach", "step 20 öffne <i>🚪</i>"]
    assert page.locator("[data-leaf=say] li[aria-current]").inner_text().startswith("step 20")
    page.locator("details[data-leaf=when] summary").click()
    page.wait_text("[data-leaf=when] li", "2026-11-23 12:00:00")
    assert page.locator("[data-leaf=when] li").count() == 4


def test_what_cannot_be_shown_is_told(open_page, rich_url):
    """A dtype that the page does not read says so, and nothing else breaks."""
    page = open_page(f"{rich_url}#episode=0&leaf=wide%20complex").ready()
    page.wait_text("details[data-leaf='wide complex']", "complex128 are not shown")
    assert page.said == []


def test_attributes(open_page, rich_url):
    """What was told of an episode is shown with it."""
    page = open_page(f"{rich_url}#episode=4").ready()
    page.wait_text(".attributes", "episode 4")
    assert "1, 2" in page.locator(".attributes").inner_text()


def test_addresses(open_page, rich_url):
    """An address opens the episode, step, leaf and filter that it names, and follows what one looks at."""
    page = open_page(f"{rich_url}#episode=5&leaf=wide&step=7&filter=truncated").ready()
    page.wait_text("#episode-title", "Episode 5")
    page.wait_text(".where", "step 7")
    assert page.column("id") == ["1", "3", "5"]
    assert page.locator("details[data-leaf=wide]").get_attribute("open") is not None
    page.click("#row-1")
    page.wait_text("#episode-title", "Episode 1")
    assert page.evaluate("location.hash") == "#episode=1&filter=truncated"
    page.evaluate("location.hash = '#episode=0&step=3'")
    page.wait_text("#episode-title", "Episode 0")
    page.wait_text(".where", "step 3")
    page.evaluate("location.hash = '#episode=999'")
    page.wait_text("#notices", "There is no episode 999")


def test_long_episodes_are_shown_in_stretches(open_page, tmp_path):
    """Of an episode of 50,000 steps the stretch with the step is drawn, and the others are a click away."""
    from strongbax.vault import Vault

    with Vault.create(tmp_path / "long.vault", steps={"value": np.float32(0)}) as vault:
        vault.extend({"value": np.arange(50_000, dtype=np.float32)})
    with serving(tmp_path / "long.vault") as url:
        page = open_page(f"{url}#episode=0&step=25000").ready()
        page.wait_text("[data-leaf=value] output", "25,000")
        page.wait_text(".pager", "20,000 to 39,999 of 50,000")
        page.click("[aria-label='Steps behind']")
        page.wait_text("[data-leaf=value] output", "40,000")
        page.wait_text(".pager", "40,000 to 49,999")
