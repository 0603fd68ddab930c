"""Raw values -> a question, or a sentence."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from visitor import refused

from demo.question import EXAMPLES_DIR, NO_PICTURE, NOT_UPLOADED, own_file

pytestmark = pytest.mark.usefixtures("uploads")

# ---- the path of a picture ---------------------------------------------------------------------


def test_an_upload_and_an_example_may_be_looked_at(put: Callable[..., str]) -> None:
    assert own_file(put()) == os.path.realpath(put())
    example = str(EXAMPLES_DIR / "lion.jpg")
    assert own_file(example) == os.path.realpath(example)


@pytest.mark.parametrize(
    "path",
    [
        None, "", 3, 3.5, True, [], ["a"], {}, b"x", "a\0b", "x" * 5000,
        "/etc/passwd", "../../../../etc/passwd", "http://example.com/a.jpg",
        "data:image/png;base64,AAAA", "file:///etc/passwd", "~/a.jpg",
        str(EXAMPLES_DIR / ".." / "handlers.py"), str(EXAMPLES_DIR) + "x/a.jpg",
    ],
    ids=lambda path: str(path)[:20].encode("ascii", "backslashreplace").decode(),
)  # fmt: skip
def test_any_other_path_gets_a_sentence(path: Any) -> None:
    assert refused(lambda: own_file(path)) in (NO_PICTURE, NOT_UPLOADED)


def test_no_way_leads_out_of_the_upload_folder(uploads: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    shutil.copy(EXAMPLES_DIR / "lion.jpg", secret)
    (uploads / "link.jpg").symlink_to(secret)
    beside = Path(f"{uploads}-beside")
    beside.mkdir()
    shutil.copy(secret, beside)
    for path in (
        uploads / "link.jpg", uploads / ".." / "secret.jpg", beside / "secret.jpg", secret,
    ):  # fmt: skip
        assert refused(lambda path=path: own_file(str(path))) == NOT_UPLOADED
