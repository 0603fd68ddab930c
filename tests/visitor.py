"""What tests of the page ask, and how they read what it says."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from demo import handlers
from demo.question import EXAMPLES_DIR, Chosen
from demo.wire import View
from gradcam_core import models
from gradcam_core.types import F32, UserError

MODEL = models.DEFAULT
SPEC = models.find(MODEL)
CHEETAH, LION, TABBY = 293, 291, 281  # ImageNet
MEGABYTE = "x" * 2**20
PICTURE = str(EXAMPLES_DIR / "lion.jpg")


def look(
    path: Any,
    model: Any = MODEL,
    target: Any = "",
    rival: Any = "",
    detail: Any = False,
    **wanted: Any,
) -> View:
    """The viewer's value for what the widgets say; wanted: a wire.Wanted."""
    chosen = Chosen(path, model, target, rival, detail)
    return handlers.view_at(chosen, wanted) if wanted else handlers.view_of(chosen)


def answered(*question: Any, **wanted: Any) -> dict[str, Any]:
    view = look(*question, **wanted)
    assert view.error == ""
    assert view.answer is not None
    return view.answer


def sent(answer: Mapping[str, Any]) -> dict[tuple[str, str, str], F32]:
    """The bytes read back as the viewer reads them: (layer, band, method) -> (h, w)."""
    data = np.frombuffer(base64.b64decode(answer["bytes"]), np.int8).astype(np.float32)
    maps, used = {}, 0
    for row in answer["layers"]:
        for key, about in row["maps"].items():
            h, w = about["sent"]
            part = data[about["at"] : about["at"] + h * w].reshape(h, w)
            maps[(row["name"], *key.split("/"))] = (
                part * np.where(part > 0, about["top"], about["bottom"]) / 127
            )
            used += h * w
    assert used == len(data), "no byte is sent twice or in vain"
    return maps


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        act()
    return str(caught.value)


def is_a_sentence(text: str) -> bool:
    """One sentence for a visitor: short, and nothing of the machinery."""
    hints = ("Traceback", "Error", "Exception", ".py", "/tmp", "uploads", "\n", "None", "{")
    return (
        10 < len(text) < 700
        and text[0].isupper()
        and text[-1] == "."
        and not any(hint in text for hint in hints)
    )
