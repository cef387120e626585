"""Things that are made when they are first asked for, and once, however many threads ask.

`functools.cache` makes a thing again for each thread that asks before the first is done, and keeps the last.
What the others were given is dropped then: fatal, where it is a map of a file whose address was noted.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Thing = TypeVar("Thing")


def once(make: Callable[[Key], Thing]) -> Callable[[Key], Thing]:
    """Gives a function that makes a thing a key, and keeps it as long as the function is there.

    Args:
      make: makes the thing of a key. Where it raises, it is asked again the next time.

    Example:
      >>> new = once(lambda key: [key])
      >>> new("a") is new("a"), new("a") is new("b")
      (True, False)
    """
    made: dict[Key, Thing] = {}
    lock = threading.Lock()

    def get(key: Key) -> Thing:
        if key not in made:
            with lock:
                if key not in made:
                    made[key] = make(key)
        return made[key]

    return get
