"""What RL Unplugged's records are made of: six kinds, told apart by their keys.

```
#                    rows of a record            step t                              last row
# atari transitions  one: o_t, a_t, … o_tp1      the record                          o_tp1
# atari episodes     o0 o1 o2, a0 a1 a2, r0 …    o[t], a[t], r[t], discount[t + 1]   an observation
# control episodes   o0 o1 o2, a0 a1 a2, - r0 …  o[t], a[t], r[t + 1], discount[…]   an observation
# real-world RL      o0 o1 o2, -  a0 a1,  - r0 … o[t], a[t + 1], r[t + 1], …         an observation
# sequences          o0 o1 …,  a0 a1 …,  r0 …    o[t], a[t], r[t], discount[t]       a step, unless it is LAST
# DeepMind Lab       the same                                                        a step
```
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TRANSITIONS = "atari transitions"
FIRST, LAST = 0, 2  # of dm_env's step_type


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Attributes:
      name: as the card says it.
      needs: keys that all such records have.
      names: the leaves of its keys, where they are not the keys themselves.
      late: leaves whose row `t + 1` belongs to step `t`: what stands in row 0 is of no step.
      final: the last row holds what the last action led to, and is no step.
      swapped: its pictures were encoded with red and blue the other way round, as OpenCV has them.
    """

    name: str
    needs: frozenset[str]
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    late: frozenset[str] = frozenset()
    final: bool = False
    swapped: bool = False

    def leaf(self, key: str) -> str:
        """Names the leaf of a key.

        Example:
          >>> KINDS[1].leaf("unclipped_rewards"), KINDS[3].leaf("observation:joint:angles")
          ('reward', 'observation/joint/angles')
        """
        return self.names.get(key) or key.replace(":", "/")


KINDS = (
    Kind(
        TRANSITIONS,
        frozenset({"o_t", "o_tp1", "a_t", "r_t", "d_t"}),
        {"o_t": "observation", "a_t": "action", "r_t": "reward", "d_t": "discount", "a_tp1": "next_action"},
    ),
    Kind(
        "atari episodes",
        frozenset({"observations", "actions", "discounts"}),
        {
            "observations": "observation",
            "actions": "action",
            "unclipped_rewards": "reward",
            "clipped_rewards": "clipped_reward",
            "discounts": "discount",
        },
        late=frozenset({"discount"}),
        final=True,
    ),
    Kind(
        "DeepMind Lab",
        frozenset({"observations_pixels", "actions", "rewards", "discounts"}),
        {
            "observations_pixels": "observation/pixels",
            "observations_reward": "observation/last_reward",
            "observations_action": "observation/last_action",
            "actions": "action",
            "rewards": "reward",
            "discounts": "discount",
            "discounted_rewards": "discounted_reward",
        },
        swapped=True,
    ),
    Kind(
        "real-world RL",
        frozenset({"action", "reward", "discount", ":"}),
        late=frozenset({"action", "reward", "discount"}),
        final=True,
    ),
    Kind(
        "control episodes",
        frozenset({"action", "reward", "discount", "episode_id"}),
        late=frozenset({"reward", "discount"}),
        final=True,
    ),
    Kind("sequences", frozenset({"action", "reward", "discount"})),
)

# Keys that are one number a record, and columns of the episode table.
COLUMNS = {
    "checkpoint_idx": "checkpoint",
    "episode_idx": "episode",
    "episode_return": "episode_return",
    "clipped_episode_return": "clipped_episode_return",
    "episode_id": "episode_id",
    "start_idx": "start_index",
    "timestamp": "timestamp",
}
SCALARS = frozenset(
    {"reward", "discount", "step_type", "episodic_reward", "clipped_reward", "discounted_reward"}
    | {"observation/last_reward", "next_action"}
)


def find_kind(keys: Iterable[str]) -> Kind | None:
    """Returns the kind of a record by its keys, or None.

    Example:
      >>> find_kind(["action", "reward", "discount", "observation:position"]).name
      'real-world RL'
      >>> find_kind(["image", "label"]) is None
      True
    """
    found = set(keys)
    if any(key.startswith("observation:") for key in found):
        found.add(":")
    return next((kind for kind in KINDS if kind.needs <= found), None)
