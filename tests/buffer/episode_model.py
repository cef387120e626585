"""What an episode buffer must do, said in plain Python: lists of steps, and loops over them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """One window: its stream, its first step's time, its length, and that step's place in its episode."""

    stream: int
    start: int
    length: int
    age: int


class Stream:
    """Every step that one environment ever gave, as the ends of its episodes."""

    def __init__(self):
        self.episodes = []  # [begin, length, ended]

    @property
    def time(self):
        return sum(length for _, length, _ in self.episodes)

    def add(self, last, first):
        if self.episodes and first:
            self.episodes[-1][2] = True
        if not self.episodes or self.episodes[-1][2]:
            self.episodes.append([self.time, 0, False])
        self.episodes[-1][1] += 1
        self.episodes[-1][2] = bool(last)


class Model:
    """The windows that can be drawn from a ring of this capacity."""

    def __init__(self, streams, capacity, length, period, short):
        self.streams = [Stream() for _ in range(streams)]
        self.capacity, self.length, self.period, self.short = capacity, length, period, short

    def add(self, last, first=None):
        for row, stream in enumerate(self.streams):
            for i in range(last.shape[1]):
                stream.add(last[row, i], first is not None and first[row, i])

    def ages(self, steps, ended):
        """How far into an episode of so many steps its windows begin."""
        length, period = self.length, self.period
        if self.short in {"pad", "pad_left"}:
            return list(range(0, steps, period))
        full = list(range(0, steps - length + 1, period))
        if self.short == "shift" and ended:
            flush = max(steps - length, 0)
            full += [] if flush in full else [flush]
        return full

    def by_episode(self):
        """The windows of every episode that has some."""
        found = []
        for row, stream in enumerate(self.streams):
            oldest = stream.time - self.capacity
            for begin, steps, ended in stream.episodes:
                windows = [
                    Window(row, begin + age, min(self.length, steps - age), age)
                    for age in self.ages(steps, ended)
                    if begin + age >= oldest
                ]
                found += [windows] if windows else []
        return found

    def windows(self):
        return [window for windows in self.by_episode() for window in windows]


def random_ends(generator, streams, steps, mean):
    """Flags of episodes that are this long on average, some very short and some very long."""
    chance = generator.choice([1 / mean, 1.0, 0.5, 0.02], p=[0.7, 0.05, 0.15, 0.1])
    return generator.random((streams, steps)) < chance


def experience(streams, first, steps, last):
    """Steps that say who and when they are, so that a sample shows where it comes from."""
    time = np.arange(first, first + steps)[None] + np.zeros((streams, 1), np.int64)
    stream = np.zeros((1, steps), np.int64) + np.arange(streams)[:, None]
    return {
        "time": time.astype(np.int32),
        "stream": stream.astype(np.int32) + 1,
        "terminated": np.asarray(last, bool),
    }
