"""Options of a format: that it has them, and that their values are of the kind its function takes."""

import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Union, get_args, get_origin

_KINDS: dict[Any, str] = {bool: "true or false", int: "a whole number", str: "a text", Mapping: "an object"}


def check_options(
    format_name: str, function: Callable[..., Any], known: Sequence[str], options: Mapping[str, Any]
) -> None:
    """Checks options before anything is read or written.

    Args:
      format_name: what the user calls the format.
      function: that takes the options by keyword; their annotations say of what kind they are.
      known: names of the options that it has for users.
      options: that were given, by name.

    Raises:
      ValueError: if there is no such option, or its value is of another kind.

    Example:
      >>> def read(path: str, *, skip: Sequence[str] = ()) -> None: ...
      >>> check_options("toy", read, ("skip",), {"skip": ["infos"]})
      >>> check_options("toy", read, ("skip",), {"skip": 3})
      Traceback (most recent call last):
      ...
      ValueError: The option `skip` of the format toy must be a list, each item a text: got 3.
    """
    for name, value in options.items():
        if name not in known:
            has = ", ".join(f"`{other}`" for other in known) or "none"
            raise ValueError(f"`{name}` is no option of the format {format_name}; it has {has}.")
        kinds = _alternatives(function.__annotations__.get(name, Any))
        if not any(_fits(value, kind) for kind in kinds):
            wanted = " or ".join(_said(kind) for kind in kinds if kind is not types.NoneType)
            raise ValueError(
                f"The option `{name}` of the format {format_name} must be {wanted}: got {value!r}."
            )


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if origin is Sequence:
        (item,) = get_args(kind) or (Any,)
        return isinstance(value, list | tuple) and all(_fits(one, item) for one in value)
    if origin is int:
        return not isinstance(value, bool) and isinstance(value, Integral)
    if origin in (bool, str, Mapping, types.NoneType):
        return isinstance(value, origin)
    return True  # of another kind: the format itself looks at it


def _said(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Sequence:
        return f"a list, each item {_said((get_args(kind) or (Any,))[0])}"
    return _KINDS.get(origin, "what its page says")
