"""Players: Gymnasium environments side by side, each played by a candidate of a search.

Every stream plays one candidate for one episode, then draws the next; a generation's returns
improve the search. What they yield is plain steps, with the weights that acted among them, so the
dataset says which policy made it and a search can be taken up from its episodes.

Letters: `B` streams, `T` steps, `O` observation, `A` outputs, `D` weights.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..vault.errors import MissingExtraError
from .search import F32, Search, begin, draw, improve, outputs

GENERATION = 32  # episodes between two improvements


class Players:
    """Plays `B` environments in lockstep.

    Args:
      environment: a Gymnasium id; it observes a vector, and acts by a choice or a vector.
      streams: `B`.
      seed: of the environments and of the candidates.

    Raises:
      MissingExtraError: if Gymnasium, or the simulator of the environment, is not installed.
      ValueError: if the environment is unknown or its spaces are of another kind.

    Example:
      >>> players = Players("CartPole-v1", streams=2, seed=0)
      >>> {name: leaf.shape for name, leaf in players.play(8).items()}["observation"]
      (2, 8, 4)
    """

    def __init__(self, environment: str, streams: int, seed: int) -> None:
        self._environments = [make_environment(environment) for _ in range(streams)]
        self._space = self._environments[0].action_space
        self._outputs = _count_outputs(self._environments[0])
        self._generator = np.random.default_rng(seed)
        first = [env.reset(seed=seed + place)[0] for place, env in enumerate(self._environments)]
        self._observations = np.stack(first).astype(np.float32)
        self._weights = (self._observations.shape[1] + 1) * self._outputs
        self._returns = np.zeros(streams)
        self._is_first = np.ones(streams, np.bool_)
        self._generation: list[tuple[F32, float]] = []
        self.take_up(begin(self._weights))

    def take_up(self, search: Search) -> None:
        """Goes on with another search: every stream draws a new candidate from it."""
        self._search = search
        drawn = [draw(search, self._generator) for _ in self._environments]
        self._candidates = np.stack(drawn)

    def step(self) -> dict[str, NDArray[Any]]:
        """Returns one step with zeros: the example that buffers and vaults are made from."""
        return {
            "observation": np.zeros(self._observations.shape[1:], np.float32),
            "action": np.zeros(self._space.shape, self._action_dtype),
            "reward": np.zeros((), np.float32),
            "terminated": np.zeros((), np.bool_),
            "truncated": np.zeros((), np.bool_),
            "is_first": np.zeros((), np.bool_),
            "policy": np.zeros(self._weights, np.float32),
        }

    def play(self, steps: int) -> dict[str, NDArray[Any]]:
        """Plays on for `steps` steps; leaves `[B, T, ...]`."""
        streams = len(self._environments)
        block = {
            name: np.empty((streams, steps, *leaf.shape), leaf.dtype) for name, leaf in self.step().items()
        }
        for time in range(steps):
            block["observation"][:, time] = self._observations
            block["policy"][:, time] = self._candidates
            block["is_first"][:, time] = self._is_first
            block["action"][:, time] = self._act()
            for stream in range(streams):
                self._advance(block, stream, time)
        return block

    @property
    def _action_dtype(self) -> type[np.generic]:
        return np.int32 if _is_discrete(self._space) else np.float32

    def _act(self) -> NDArray[Any]:
        said = outputs(self._candidates, self._observations, self._outputs)
        if _is_discrete(self._space):
            return said.argmax(axis=1).astype(np.int32)
        return np.clip(said, self._space.low, self._space.high).astype(np.float32)

    def _advance(self, block: dict[str, NDArray[Any]], stream: int, time: int) -> None:
        environment = self._environments[stream]
        action = block["action"][stream, time]
        observation, reward, terminated, truncated, _ = environment.step(action)
        block["reward"][stream, time] = reward
        block["terminated"][stream, time] = terminated
        block["truncated"][stream, time] = truncated
        self._returns[stream] += float(reward)
        if terminated or truncated:
            observation, _ = environment.reset()
            self._finish(stream)
        self._observations[stream] = observation
        self._is_first[stream] = terminated or truncated

    def _finish(self, stream: int) -> None:
        played = (self._candidates[stream].copy(), float(self._returns[stream]))
        self._generation.append(played)
        if len(self._generation) == GENERATION:
            candidates, returns = zip(*self._generation, strict=True)
            self._search = improve(np.stack(candidates), np.array(returns))
            self._generation.clear()
        self._returns[stream] = 0.0
        self._candidates[stream] = draw(self._search, self._generator)


def make_environment(name: str) -> Any:
    """Returns a Gymnasium environment.

    Raises:
      MissingExtraError: if Gymnasium, or the environment's simulator, is not installed.
      ValueError: if no environment has that name.
    """
    try:
        import gymnasium
    except ImportError:
        raise MissingExtraError(
            "Recording needs Gymnasium, which is not installed: `pip install 'strongbax[demo]'`."
        ) from None
    try:
        return gymnasium.make(name)
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingExtraError(f"`environment` {name!r} needs a simulator: {error}") from None
    except gymnasium.error.Error as error:
        raise ValueError(
            f"`environment` must be a Gymnasium id such as CartPole-v1; got {name!r}. {error}"
        ) from None


def _is_discrete(space: Any) -> bool:
    return hasattr(space, "n")


def _count_outputs(environment: Any) -> int:
    observed, space = environment.observation_space, environment.action_space
    if len(observed.shape or ()) != 1 or not (_is_discrete(space) or len(space.shape or ()) == 1):
        raise ValueError(
            "`environment` must observe a vector and act by a discrete choice or a vector; got "
            f"observations {observed} and actions {space}. "
            "Take CartPole-v1, Pendulum-v1 or Hopper-v5."
        )
    return int(space.n) if _is_discrete(space) else int(space.shape[0])
