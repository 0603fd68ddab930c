"""What all tests share: one thread for OpenBLAS, a dice, photographs, and what a sentence is."""

import gc
import os

from gradcam_core import SETTINGS

os.environ |= SETTINGS | os.environ

import re
import shutil
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.hookimpl(tryfirst=True)  # before the marks choose
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the cases of a test with `many` a third stays where it is, a third comes one step later
    and a third two: fast, slow, longest."""
    seen = Counter[str]()
    for item in items:
        if item.get_closest_marker("many"):
            name = item.nodeid.partition("[")[0]
            if later := seen[name] % 3:
                is_last = later == 2 or item.get_closest_marker("slow")
                item.add_marker("longest" if is_last else "slow")
            seen[name] += 1


def pytest_collection_finish() -> None:
    """What was imported stays: no test looks through all of TensorFlow for what is garbage."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what was not tested."""
    for reason in {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}:
        terminalreporter.write_sep("!", reason, red=True, bold=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder with the photographs that Gradio brings along."""
    spec = find_spec("gradio")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "media_assets" / "images"


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .keras file of a network that nobody trained: 24x24, three classes."""
    import keras
    from nets import save

    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((24, 24, 3)),
        keras.layers.Conv2D(4, 3, activation="relu", name="edges"),
        keras.layers.Conv2D(6, 3, activation="relu", name="shapes"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return save(keras.Sequential(layers), tmp_path_factory.mktemp("model") / "mine.keras")


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An upload folder for one test: no answer of another test is kept under its paths."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def put(uploads: Path) -> Callable[..., str]:
    """A copy of an example, as if somebody had uploaded it."""
    from demo.question import EXAMPLES_DIR

    def copy(name: str = "lion.jpg", as_name: str = "") -> str:
        return str(shutil.copy(EXAMPLES_DIR / name, uploads / (as_name or name)))

    return copy


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """A network that nobody trained in the list: 25x25, cat, dog and lion, and its like at 50x50.

    Layers: edges, norm (23, 23, 4) before the activation, relu (23, 23, 4), shapes (11, 11, 6).
    """
    from nets import grown

    from gradcam_core import models

    spec = models.from_keras(grown(), ["cat", "dog", "lion"], "scale01", size=25, title="Tiny")
    monkeypatch.setitem(models.MODELS, "tiny", spec)
    return "tiny"


@pytest.fixture(scope="session")
def sentence() -> Callable[[object], str]:
    """Fails unless the text is one sentence for a visitor: no code, no path, no class of Python."""

    def check(text: object) -> str:
        said = str(text).strip()
        assert re.fullmatch(r"[A-Z].*\.", said), said  # one line, from a capital to a full stop
        path = r"/tmp|/root|/home|site-packages|\.py\b"
        assert not re.search(rf"[.!?] |Error|Traceback|<class|File \"|np\.|tf\.|{path}", said), said
        assert len(said) < 400
        return said

    return check
