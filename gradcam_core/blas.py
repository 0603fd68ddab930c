"""NumPy's own threads, held back while TensorFlow's have the cores."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside: list[Any] = []  # the limit that the first has set, once for each caller at work


@cache
def _linear_algebra() -> ThreadpoolController:
    """NumPy's and SciPy's, each with threads of its own. Looking for them takes milliseconds."""
    import scipy.linalg  # noqa: F401

    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_thread() -> Iterator[None]:
    """While this lasts, linear algebra takes one thread, in the whole process.

    On matrices as small as ours more threads gain nothing, and while they wait for work they take
    the cores from TensorFlow's: a pass then takes up to twice as long. What was set before comes
    back when the last of those who are here at the same moment leaves.
    """
    with _lock:
        _inside.append(_inside[0] if _inside else _linear_algebra().limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            limit = _inside.pop()
            if not _inside:
                limit.restore_original_limits()
