"""Values made once each: under threads, with failures, up to a limit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcam_core.cache import Cache, weight


def test_makes_a_value_once_however_many_ask():
    cache, made, start = Cache(3), [], threading.Barrier(8)
    done = threading.Event()

    def make():
        made.append(1)
        done.wait(0.2)  # the others arrive meanwhile
        return "value"

    def ask(_):
        start.wait(timeout=60)
        return cache.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["value"] * 8
    assert len(made) == 1


def test_lets_others_in_meanwhile():
    cache, inside, go = Cache(3), threading.Event(), threading.Event()

    def slow():
        inside.set()
        assert go.wait(timeout=60)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, "slow", slow)
        assert inside.wait(timeout=60)
        assert cache.get("quick", lambda: "quick") == "quick"
        go.set()
        assert first.result(timeout=60) == "slow"


def test_forgets_the_least_used():
    cache, made = Cache(2), []

    def get(key):
        return cache.get(key, lambda: made.append(key) or key)

    for key in "abacab":  # c puts b out; a was used since
        get(key)
    assert made == ["a", "b", "c", "b"]
    for key in range(100):
        get(key)
    assert len(cache._entries) == 2


def test_counts_what_values_cost():
    cache, made = Cache(10, cost=len), []

    def get(key, size):
        return cache.get(key, lambda: made.append(key) or "x" * size)

    get("a", 4), get("b", 6)
    assert set(cache._entries) == {"a", "b"}  # 10 is allowed
    get("c", 1)
    assert set(cache._entries) == {"b", "c"}
    assert len(get("d", 99)) == 99  # too large for all: the newest stays, alone
    assert set(cache._entries) == {"d"}


def test_forgets_failures():
    cache: Cache[Any, Any] = Cache(2)
    for key in range(100):
        with pytest.raises(ZeroDivisionError):
            cache.get(key, lambda: 1 / 0)
    assert not cache._entries
    assert cache.get(1, lambda: "second try") == "second try"


def test_keeps_what_a_second_attempt_made():
    """The first to ask fails while another waits: what that one makes is made once."""
    cache, made, waiting = Cache(2), [], threading.Event()

    def fail():
        assert waiting.wait(timeout=60)
        raise ZeroDivisionError

    def ask():
        return cache.get("key", lambda: made.append(1) or "value")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "key", fail)
        while "key" not in cache:
            pass
        second = pool.submit(ask)
        waiting.set()
        assert second.result(timeout=60) == "value"
        with pytest.raises(ZeroDivisionError):
            first.result(timeout=60)
    assert ask() == "value"
    assert len(made) == 1


def within(kept: Any, least: float, more: float = 300) -> bool:
    """Whether it weighs its numbers and letters, and some bytes that Python adds."""
    return least <= weight(kept) <= least + more


def test_weighs_what_is_held():
    a, b = np.zeros((30, 5), np.float32), np.zeros((20, 20, 3), np.uint8)
    assert within(a, 600)
    assert within(b"x" * 1000, 1000)
    assert within({"a": a, ("b", 1): [b]}, 600 + 1200, 900)
    assert within(SimpleNamespace(of=SimpleNamespace(it=a)), 600, 1200)


def test_weighs_nothing_twice():
    a = np.zeros(1000, np.float32)
    assert within([a, {"again": a}, [a]], 4000, 900)
    going_round = [a]
    going_round.append(going_round)
    assert within(going_round, 4000, 500)


def test_a_part_of_an_array_keeps_the_whole():
    whole = np.zeros((100, 25), np.float32)
    assert within(whole[3:4], 10_000, 500)
    assert within([whole[3], whole[:, 1]], 10_000, 700)
    assert within(np.asarray(memoryview(whole)), 10_000, 700)


def test_text_outside_of_english():
    assert weight("é" * 1000) >= 1000
    assert weight("學" * 1000) >= 2000
