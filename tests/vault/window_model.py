"""The windows of a list of episodes, by the words of the documentation."""

import numpy as np
from vault_rings import SHAPES
from view_model import Known


def starts(length, window, stride, short):
    """Gives the first steps of an episode's windows, by the words of the documentation."""
    every = list(range(0, length, stride))
    if short == "drop":
        return [first for first in every if first + window <= length]
    if short == "shift":
        full = [first for first in every if first + window <= length]
        end = max(0, length - window)
        return full if full and full[-1] == end else [*full, end]
    return every


def expected(known: list[Known], window, stride, short):
    """Gives every window as ({leaf: [W, ...]}, mask, step in episode, index, next observation, its mask)."""
    begin = 0
    for episode in known:
        rows = episode.steps["observation"]
        final = np.full((1, 2), np.nan, np.float32) if episode.final is None else episode.final[None]
        after = np.concatenate([rows[1:], final])
        for first in starts(episode.length, window, stride, short):
            steps = min(window, episode.length - first)
            lead = window - steps if short == "pad_left" else 0
            place = np.arange(window) - lead
            mask = (place >= 0) & (place < steps)
            at = np.where(mask, first + place, 0)
            leaves = {name: _zeroed(episode.steps[name][at], mask) for name in SHAPES}
            known_next = mask & ~((at == episode.length - 1) & (episode.final is None))
            yield leaves, mask, at.astype(np.int32), begin + first, _zeroed(after[at], known_next), known_next
        begin += episode.length


def _zeroed(rows, mask):
    rows = rows.copy()
    rows[~mask] = 0
    return rows
