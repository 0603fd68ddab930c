"""Values made once each, however many ask at the same moment, and what they weigh."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(eq=False)
class _Entry(Generic[V]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: list[V] = field(default_factory=list)  # the value, once there is one
    cost: float = 0.0


class Cache(Generic[K, V]):
    """Values by key, the one unused for longest leaves. Safe under threads.

    limit: how much is kept, in what `cost` of a value says.
    """

    def __init__(self, limit: float, cost: Callable[[V], float] = lambda _value: 1):
        self._limit, self._cost = limit, cost
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of this key, made where there is none. What `make` raises is raised here."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if not entry.made:
                try:
                    value = make()
                except BaseException:
                    with self._lock:
                        self._entries.pop(key, None)  # or what fails would pile up
                    raise
                entry.cost = self._cost(value)
                entry.made.append(value)
                self._keep(key, entry)
            return entry.made[0]

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def made(self, key: K) -> bool:
        """Whether the value is there, so that nobody need wait for it."""
        entry = self._entries.get(key)
        return entry is not None and bool(entry.made)

    def forget(self, which: Callable[[K], bool]) -> None:
        """Drop the values of these keys."""
        with self._lock:
            for key in [key for key, entry in self._entries.items() if entry.made and which(key)]:
                del self._entries[key]

    def _keep(self, newest: K, entry: _Entry[V]) -> None:
        with self._lock:
            self._entries[newest] = entry  # it is not there where another thread's attempt failed
            total = sum(entry.cost for entry in self._entries.values())
            for key, old in list(self._entries.items()):
                if total <= self._limit:
                    return
                if key != newest and old.made:
                    del self._entries[key]
                    total -= old.cost


def weight(kept: Any) -> float:
    """The bytes that something keeps in memory, with all that it holds; what it holds twice, once.

    A part of an array keeps the whole.
    """
    total, seen, left = 0, set(), [kept]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        base = getattr(one, "base", None)
        total += sys.getsizeof(one) if base is None else 0
        if isinstance(one, memoryview):
            total += one.nbytes
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            left += one
        elif base is not None:
            left.append(base)
        else:
            left += getattr(one, "__dict__", {}).values()
    return total
