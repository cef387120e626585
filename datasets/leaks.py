"""Leaks: what must not be published with a dataset, looked for in its card and attributes.

Tokens, keys, URLs with a password or a signature, and paths of somebody's home. What is found is told by
its place and kind, never by its value: the message may end in a log.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..vault.tree import matches

if TYPE_CHECKING:
    from ..vault import EpisodeTable

_KINDS: dict[str, re.Pattern[str]] = {
    "a URL with a user's name or password": re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@]+@", re.IGNORECASE),
    "a signed URL": re.compile(
        r"[?&](?:X-Amz-Signature|X-Goog-Signature|Signature|sig|token|access_token|api_key|password)=",
        re.IGNORECASE,
    ),
    "a token of Hugging Face": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
    "a token of GitHub": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    "a token of GitLab": re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"),
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a key of Google": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "a token of Slack": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "an authorisation header": re.compile(r"\b(?:Bearer|Basic) [A-Za-z0-9+/_=.-]{16,}"),
    "a path of somebody's home": re.compile(
        r"(?:^|[\s\"'(=:,])(?:file://)?(?:/home/|/Users/|/root/|[A-Za-z]:\\Users\\)[^/\\\s]"
    ),
}
# A field that is called this holds a secret, whatever it looks like.
_NAMES = re.compile(
    r"(?:^|[_-])(?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)$", re.IGNORECASE
)


def check_no_leaks(facts: Mapping[str, Any], *, allow: Sequence[str] = ()) -> None:
    """Checks that nothing in facts looks like a secret or like somebody's home.

    Args:
      facts: JSON by name: `{"card": …, "attributes": …}`.
      allow: fields that may say what they say, `card/provenance/file` or all below `card/provenance`.

    Raises:
      ValueError: naming each field and what seems to stand in it.

    Example:
      >>> check_no_leaks({"card": {"author": "Ada", "code": "https://me:pw@example.org/x"}})
      Traceback (most recent call last):
      ...
      ValueError: What is published must hold no secrets and no private paths: `card/code` holds a URL ...
      >>> check_no_leaks({"card": {"made_in": "/home/ada/runs"}}, allow=["card/made_in"])
    """
    found = [leak for name, value in facts.items() for leak in _leaks(value, name)]
    told = [f"`{place}` holds {kind}" for place, kind in found if not _allowed(place, allow)]
    if told:
        more = f" and {len(told) - 10} more" if len(told) > 10 else ""
        raise ValueError(
            f"What is published must hold no secrets and no private paths: {'; '.join(told[:10])}{more}. "
            "Change it (`vault.write_card`), or name the field in `allow` if it may be read by everybody."
        )


def attributes_of(table: "EpisodeTable") -> dict[str, Any]:
    """Gives the attributes of those episodes in which something is suspicious, by `episode N`.

    Looks through all texts at once first: most tables hold nothing.
    """
    suspects: dict[str, Any] = {}
    for row, text in enumerate(table.texts()):
        said = text.decode(errors="replace")
        if len(said) > 2 and (_NAMES_INSIDE.search(said) or any(p.search(said) for p in _KINDS.values())):
            suspects[f"episode {row}"] = table.attributes(row)
    return suspects


_NAMES_INSIDE = re.compile(r"password|passwd|secret|api[_-]?key|token", re.IGNORECASE)


def _leaks(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Gives where something seems to leak, and what."""
    if isinstance(value, Mapping):
        for name, item in cast("Mapping[Any, Any]", value).items():
            below = f"{place}/{name}"
            if _NAMES.search(str(name)) and item not in (None, "", False):
                yield below, "what its name says is a secret"
            else:
                yield from _leaks(item, below)
                yield from ((f"{place} (a name in it)", kind) for kind in _kinds(str(name)))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(cast("Sequence[Any]", value)):
            yield from _leaks(item, f"{place}/{number}")
    elif isinstance(value, str):
        yield from ((place, kind) for kind in _kinds(value))


def _kinds(text: str) -> list[str]:
    return [kind for kind, pattern in _KINDS.items() if pattern.search(text)]


def _allowed(place: str, allow: Sequence[str]) -> bool:
    return any(matches(pattern.rstrip("/"), place) for pattern in allow)
