"""The card: what one should know about a dataset before one uses it.

A vault's card is JSON that may hold anything. The fields here have a meaning, Minari's attributes among them;
what has another name is kept as it is, in `more`. What is not known is None or empty, never a guess.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, cast

from .card_fields import (
    Baseline,
    bad,
    parse_baselines,
    parse_count,
    parse_dataset_id,
    parse_environment,
    parse_provenance,
    parse_score,
    parse_text,
    parse_texts,
)


@dataclass(frozen=True)
class Card:
    """Describes a dataset.

    Attributes:
      dataset_id: `namespace/name-vN`.
      description: a few sentences; Markdown.
      licence: SPDX identifier of the data's licence.
      citation: the work to cite when the data is used.
      author: names.
      author_email: their addresses.
      algorithm_name: what acted.
      code_permalink: URL of the code that made the data.
      env_spec: of the environment, with `kind`: gymnasium, brax, gymnax, jumanji or custom; the rest is
        the kind's own.
      eval_env_spec: of the environment that agents are evaluated in, where it is another.
      requirements: packages that the environment needs, as pip names them.
      horizon: steps after which the environment stops an episode.
      ref_min_score: return of a random policy.
      ref_max_score: return of an expert.
      num_episodes_average_score: episodes that the reference scores are means of.
      baselines: what others reached.
      provenance: of what the vault was made: file, URL, sha256, converter; see docs/converters.md.
      more: all other facts.
    """

    dataset_id: str | None = None
    description: str | None = None
    licence: str | None = None
    citation: str | None = None
    author: tuple[str, ...] = ()
    author_email: tuple[str, ...] = ()
    algorithm_name: str | None = None
    code_permalink: str | None = None
    env_spec: Mapping[str, Any] | None = None
    eval_env_spec: Mapping[str, Any] | None = None
    requirements: tuple[str, ...] = ()
    horizon: int | None = None
    ref_min_score: float | None = None
    ref_max_score: float | None = None
    num_episodes_average_score: int | None = None
    baselines: tuple[Baseline, ...] = ()
    provenance: Mapping[str, Any] | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Card":
        """Reads a card, such as `vault.card`.

        Args:
          data: a JSON object.

        Raises:
          ValueError: if a field that has a meaning is not what it should be.

        Example:
          >>> card = Card.from_dict({"licence": "CC-BY-4.0", "colour": "red"})
          >>> card.licence, card.more
          ('CC-BY-4.0', {'colour': 'red'})
        """
        known = {name: parse(data.get(name)) for name, parse in _PARSERS.items()}
        card = cls(**known, more={name: fact for name, fact in data.items() if name not in _PARSERS})
        low, high = card.ref_min_score, card.ref_max_score
        if low is not None and high is not None and low >= high:
            raise bad("ref_max_score", f"above `ref_min_score`, {low}", high)
        return card

    def to_dict(self) -> dict[str, Any]:
        """Returns the card as a JSON object, unknown facts left out: `vault.write_card` takes it.

        Example:
          >>> Card(licence="MIT", author=("Ada",)).to_dict()
          {'licence': 'MIT', 'author': ['Ada']}
        """
        known = {name: _json(getattr(self, name)) for name in _PARSERS}
        return {name: fact for name, fact in known.items() if fact not in (None, [], {})} | dict(self.more)

    def missing(self) -> tuple[str, ...]:
        """Returns the fields without which a dataset is not to be published.

        Example:
          >>> Card(licence="MIT").missing()
          ('dataset_id', 'citation')
        """
        return tuple(name for name in ("dataset_id", "licence", "citation") if getattr(self, name) is None)

    def check_publishable(self) -> None:
        """Checks that the card has what a published dataset must have.

        Raises:
          ValueError: if it has no id, licence or citation.

        Example:
          >>> Card("toy/walk-v0", licence="MIT", citation="Ada, 1843").check_publishable()
        """
        missing = self.missing()
        if missing:
            raise ValueError(
                f"`card` must say {', '.join(f'`{name}`' for name in missing)} before it is published. "
                'Add it: `vault.write_card(vault.card | {"licence": …})`.'
            )


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [vars(one) if isinstance(one, Baseline) else one for one in cast("tuple[Any, ...]", value)]
    return value


_PARSERS: dict[str, Callable[[object], Any]] = {
    "dataset_id": parse_dataset_id,
    "description": partial(parse_text, "description"),
    "licence": partial(parse_text, "licence"),
    "citation": partial(parse_text, "citation"),
    "author": partial(parse_texts, "author"),
    "author_email": partial(parse_texts, "author_email"),
    "algorithm_name": partial(parse_text, "algorithm_name"),
    "code_permalink": partial(parse_text, "code_permalink"),
    "env_spec": partial(parse_environment, "env_spec"),
    "eval_env_spec": partial(parse_environment, "eval_env_spec"),
    "requirements": partial(parse_texts, "requirements"),
    "horizon": partial(parse_count, "horizon"),
    "ref_min_score": partial(parse_score, "ref_min_score"),
    "ref_max_score": partial(parse_score, "ref_max_score"),
    "num_episodes_average_score": partial(parse_count, "num_episodes_average_score"),
    "baselines": parse_baselines,
    "provenance": parse_provenance,
}
assert set(_PARSERS) == {one.name for one in fields(Card)} - {"more"}
