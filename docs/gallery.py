"""The vault of the gallery, with its live page, put into the built site; mkdocs calls it.

It is the demo's recording of CartPole, with a picture of each step that is drawn here of the observation.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from strongbax.datasets.pages import FILE, page, write_page
from strongbax.datasets.recording import Plan, record
from strongbax.vault import Episode, Vault

PLACE = Path("gallery") / "cartpole"  # in the site, beside the page that links to it
KEPT = Path(__file__).parents[1] / "build" / PLACE
PLAN = Plan(streams=4, steps=2560)
HEIGHT, WIDTH = 60, 100  # pixels
METRES = 4.8  # that a picture is wide
POLE = 1.0  # metres
SKY, GROUND, CART, WOOD = (236, 240, 241), (120, 130, 135), (42, 96, 103), (214, 150, 62)
CARD = {
    "dataset_id": "demo/cartpole-v0",
    "description": (
        "CartPole-v1, played by linear policies while the best of them is searched for: the recording of "
        "`strongbax demo`, with a picture of each step. Early episodes fall soon; late ones stand."
    ),
    "licence": "CC0-1.0",
    "citation": (
        "@article{barto1983neuronlike,\n  title = {Neuronlike adaptive elements that can solve difficult "
        "learning control problems},\n  author = {Barto, Andrew G. and Sutton, Richard S. and Anderson, "
        "Charles W.},\n  journal = {IEEE Transactions on Systems, Man, and Cybernetics},\n  year = {1983},\n}"
    ),
    "author": ["The Strongbax developers"],
    "algorithm_name": "cross-entropy search of linear policies",
    "env_spec": {"kind": "gymnasium", "id": "CartPole-v1", "max_episode_steps": 500},
    "requirements": ["gymnasium>=1.0"],
    "horizon": 500,
    "ref_min_score": 22.0,
    "ref_max_score": 500.0,
}


def on_post_build(*, config: Any) -> None:
    """Puts the vault and its page into the site; what was made before is taken again."""
    if not (KEPT / FILE).is_file() or (KEPT / FILE).read_bytes() != page():
        make(KEPT)
    shutil.copytree(KEPT, Path(config["site_dir"]) / PLACE, dirs_exist_ok=True)


def make(folder: Path) -> None:
    """Makes the vault, packed and with its page; an older one is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        recorded, shown = Path(place) / "recorded.vault", Path(place) / "shown.vault"
        record(recorded, PLAN, lambda _: None)
        with Vault.open(recorded) as vault:
            with_pictures(vault, shown)
        with Vault.open(shown, mode="a") as vault:
            stats = {name: leaf.to_dict() for name, leaf in vault.stats(quantiles=()).items()}
            vault.write_card(CARD | {"stats": stats})
            vault.pack(folder, overwrite=True)
    write_page(folder)


def with_pictures(vault: Vault, path: Path) -> None:
    """Writes the episodes that ended anew, with a leaf `picture`, uint8 `[HEIGHT, WIDTH, 3]`."""
    first = vault[0].steps
    step = {name: np.zeros_like(leaf[0]) for name, leaf in first.items()}
    step["picture"] = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    with Vault.create(path, steps=step, finals=["observation", "picture"]) as made:
        for episode in map(vault.__getitem__, range(vault.num_episodes)):
            steps = episode.steps | {"picture": draw(episode.steps["observation"])}
            final = episode.final and {
                "observation": episode.final["observation"],
                "picture": draw(episode.final["observation"][None])[0],
            }
            made.append(
                Episode(steps, final=final, terminated=episode.terminated, truncated=episode.truncated)
            )


def draw(observations: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Draws carts and poles, uint8 `[T, HEIGHT, WIDTH, 3]`, of observations `[T, 4]`."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    metre = WIDTH / METRES
    rail = HEIGHT * 0.8
    pictures = np.empty((len(observations), HEIGHT, WIDTH, 3), np.uint8)
    for picture, (place, _, angle, _) in zip(pictures, observations, strict=True):
        middle = WIDTH / 2 + place * metre
        x, y = columns - middle, rail - 4 - rows  # from the pole's foot, upwards
        along = x * np.sin(angle) + y * np.cos(angle)
        across = x * np.cos(angle) - y * np.sin(angle)
        paint = np.full((HEIGHT, WIDTH, 3), SKY, np.float32)
        for colour, beyond in (
            (GROUND, np.abs(rows - rail) - 0.5),
            (CART, np.maximum(np.abs(x) - 8, np.abs(rows - rail + 2) - 4)),
            (WOOD, np.maximum(np.abs(across) - 1.3, np.abs(along - POLE * metre * 0.8) - POLE * metre * 0.8)),
        ):
            # How far a pixel lies beyond the edge of a shape says how much of it the shape covers.
            cover = np.clip(0.5 - beyond, 0, 1)[..., None]
            paint += cover * (np.array(colour, np.float32) - paint)
        picture[:] = paint
    return pictures
