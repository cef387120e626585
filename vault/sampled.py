"""What a loader draws from: chosen episodes, and the arguments that say which windows and how."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from .choices import Choices
from .describe import treedef_of
from .dtypes import NpArray
from .selected import Selected
from .windows import Short

if TYPE_CHECKING:
    from .loader import Loader
    from .window_source import WindowSource


class Sampled(Choices):
    """Episodes that windows can be drawn of, straight from disk."""

    @property
    @abstractmethod
    def treedef(self) -> Any:
        """The containers of a step as JAX knows them, or None where only their names are known."""

    @abstractmethod
    def selected(self) -> Selected:
        """Gives all episodes that ended, end to end."""

    def loader(
        self,
        batch_size: int,
        window: int,
        *,
        short: Short = "drop",
        stride: int = 1,
        weights: Any = "windows",
        epochs: bool = False,
        seed: int = 0,
        shard: tuple[int, int] | Literal["process"] = (0, 1),
        next_observation: bool = False,
        return_to_go: float | None = None,
        leaves: Sequence[str] | None = None,
        prefetch: int = 2,
        device: Any = None,
        like: Any = None,
    ) -> "Loader":
        """Makes a loader of windows that never cross an episode's end, straight from disk.

        Args:
          batch_size: `N`, windows in a batch, over all shards.
          window: `W`, in steps.
          short: what becomes of a window that its episode's end cuts short. `"drop"`: it is none. `"pad"`,
            `"pad_left"`: zeros after or before its steps. `"shift"`: it begins earlier, so that it is full;
            an episode shorter than `W` gives one window, padded at its end.
          stride: between starts of windows, in steps.
          weights: what is how likely. `"windows"`: all alike. `"episodes"`: episodes alike, then their
            windows. `"length"`, `"return"`, numbers `[E]`, or a function as `make_episode_buffer` takes
            it: an episode by that, then its windows. Returns take one read of all rewards.
          epochs: draw without replacement, every window once an epoch.
          seed: from 0 to `2**32 - 1`.
          shard: `(i, n)`: of every batch the `i`-th of `n` parts, one for each process; `"process"`: by the
            number of the JAX process.
          next_observation: also give what each step led to.
          return_to_go: a discount, to also give the rewards from each step to its episode's end. Takes one
            read of all rewards, and 4 bytes of memory a step.
          leaves: names of leaves; all by default.
          prefetch: batches to prepare ahead, each by a thread.
          device: a JAX device or sharding; JAX's default by default. By a sharding, also over the devices of
            several processes, batches are global arrays, of which each process reads what it holds.
          like: an example of a step, for its container types.

        Raises:
          ValueError: if the arguments contradict each other, or there is no such window.

        Example:
          >>> from strongbax.vault.view import example
          >>> loader = example(lengths=[5, 1, 3]).loader(4, 3, short="pad", seed=1)
          >>> loader.batch(0).mask.shape, loader.num_windows
          ((4, 3), 9)
        """
        from .loader import Loader, Plan

        plan = Plan(
            batch_size,
            window,
            stride,
            short,
            weights,
            epochs,
            seed,
            shard,
            next_observation,
            return_to_go,
            leaves,
            prefetch,
            device,
        )
        return Loader(self.selected(), plan, self.treedef if like is None else treedef_of(like))

    def hindsight_goals(
        self,
        rng_key: Any,
        indices: Any,
        current: float = 0.2,
        future: float = 0.5,
        final: float = 0.0,
        random: float = 0.3,
        discount: float | None = 0.99,
    ) -> NpArray:
        """Draws a goal for each of some steps, from what was reached later.

        For a key they are the goals that `strongbax.buffer.hindsight_goals` draws of the view in memory.

        Args:
          rng_key: a JAX PRNG key, consumed.
          indices: int `[N]`, of steps: a sample's `indices`, and what is added to them for later steps.
          current: the share of goals that are the step itself.
          future: the share that are a later step of the same episode.
          final: the share that are the last step of the episode.
          random: the share that are any step of the view. The four shares sum to 1.
          discount: `g`: a later step lies `k` ahead with probability `(1 - g) g**(k - 1)`, the last step
            taking all that is beyond it. None: every later step is equally likely.

        Returns:
          int64 `[N]`, the goals' indices; `steps_at` reads the steps.

        Raises:
          IndexError: if there is no such step.
          ValueError: if the shares are not such, or the discount is not in `(0, 1)`.

        Example:
          >>> import jax
          >>> from strongbax.vault.view import example
          >>> view = example(lengths=[3, 2])
          >>> view.hindsight_goals(jax.random.key(0), [0, 4], 0.0, 0.0, final=1.0, random=0.0)
          array([2, 4])
        """
        from .goals import hindsight_goals

        shares = (current, future, final, random)
        return hindsight_goals(self.selected(), rng_key, indices, shares, discount)

    def steps_at(self, indices: Any, leaves: Sequence[str] | None = None) -> Any:
        """Reads single steps as NumPy, leaf by leaf in one go.

        Args:
          indices: int, of any shape: of steps, by their places in the stream that the episodes form.
          leaves: names of leaves; all by default.

        Returns:
          Leaves `[*indices.shape, ...]` in plain containers; `{name: leaf}` where `leaves` is given.

        Raises:
          IndexError: if there is no such step.

        Example:
          >>> from strongbax.vault.view import example
          >>> example(lengths=[3, 2]).steps_at([[2, 4]], ["terminated"])
          {'terminated': array([[ True,  True]])}
        """
        from .goals import read_steps

        selected = self.selected()
        names = selected.schema.names if leaves is None else tuple(leaves)
        values = {name: read_steps(selected, indices, name) for name in names}
        return values if leaves is not None else selected.schema.tree.rebuild(list(values.values()))

    def grain_source(
        self,
        window: int,
        *,
        short: Short = "drop",
        stride: int = 1,
        next_observation: bool = False,
        leaves: Sequence[str] | None = None,
    ) -> "WindowSource":
        """Makes a data source for Grain: every window by its number, several in one read.

        It goes to `grain.MapDataset.source`, and to worker processes. Grain shuffles, repeats, batches, keeps
        checkpoints. It reads a batch in one go where it batches numbers:
        `MapDataset.range(len(source)).shuffle(seed=0).repeat().batch(256).map(source.__getitem__)`.

        Args:
          window: `W`, in steps.
          short: what becomes of a window that its episode's end cuts short; as in `loader`.
          stride: between starts of windows, in steps.
          next_observation: also give what each step led to.
          leaves: names of leaves; all by default.

        Raises:
          ValueError: if the arguments contradict each other, or there is no such window.

        Example:
          >>> from strongbax.vault.view import example
          >>> len(example(lengths=[5, 1, 3]).grain_source(3, short="pad"))
          9
        """
        from .window_source import WindowPlan, WindowSource

        return WindowSource(self.selected(), WindowPlan(window, stride, short, next_observation, leaves))

    def torch_dataset(
        self,
        window: int,
        *,
        short: Short = "drop",
        stride: int = 1,
        next_observation: bool = False,
        leaves: Sequence[str] | None = None,
    ) -> "WindowSource":
        """Makes a map-style dataset for PyTorch: every window by its number, several in one read.

        It goes to `torch.utils.data.DataLoader`, and to worker processes. With `batch_size=None` and a
        sampler of lists of numbers, such as `BatchSampler`, a batch is read as one and nothing is stacked.

        Arguments and errors as in `grain_source`.

        Example:
          >>> from strongbax.vault.view import example
          >>> dataset = example(lengths=[5, 1, 3]).torch_dataset(2)
          >>> [element["indices"].item() for element in dataset.__getitems__([4, 0])]
          [6, 0]
        """
        return self.grain_source(
            window, short=short, stride=stride, next_observation=next_observation, leaves=leaves
        )
