"""Visitors' files: where they lie, and when they leave."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import test_bare
from browser.lab import serve
from visitor import answered

from demo import disk, engine, handlers
from demo.disk import FULL_DISK, TOO_MANY, Folder, Quota
from demo.question import EXAMPLES_DIR
from gradcam_core import bare, models

HOUR = 3600


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "all"))
    return Folder()


def put(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"a picture")
    return [folder / name for name in names]


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = disk.time.time()
    monkeypatch.setattr(disk.time, "time", lambda: now + seconds)


def test_each_run_has_a_folder_of_its_own(folder: Folder, tmp_path: Path) -> None:
    """That nobody else can read, and that Gradio uses."""
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder.path)
    assert folder.path.parent == tmp_path / "all"
    assert folder.path.stat().st_mode & 0o077 == 0
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path / "all")
    assert Folder().path != folder.path


def test_without_a_setting_it_is_where_the_system_puts_such_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setattr(disk.tempfile, "gettempdir", lambda: str(tmp_path))
    assert Folder().path.parent == tmp_path


def test_everything_leaves_within_the_hour(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, what was made of them, folders that are empty; not this run's own."""
    put(folder.path, "a/lion.jpg", "a/lion.jpg.still.png", "b/overlay.png", "loose")
    (folder.path / "c" / "d").mkdir(parents=True)
    assert folder.sweep() == 0
    later(HOUR - disk.SWEEP - 60, monkeypatch)
    assert folder.sweep() == 0
    assert len(list(folder.path.rglob("*"))) == 8
    later(HOUR - disk.SWEEP + 1, monkeypatch)
    assert disk.LIFE + disk.SWEEP <= HOUR
    assert folder.sweep() == 4
    assert list(folder.path.rglob("*")) == []
    assert folder.path.is_dir()


def test_what_a_killed_run_left_leaves_too(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, other = tmp_path / "all" / "gradcam-lab-killed", tmp_path / "all" / "not-ours"
    put(old, "a/lion.jpg")
    put(other, "a/lion.jpg")
    later(2 * HOUR, monkeypatch)
    (fresh,) = put(tmp_path / "all" / "gradcam-lab-alive", "b/new.jpg")
    os.utime(fresh)
    assert folder.sweep() == 2
    later(2 * HOUR, monkeypatch)
    folder.sweep()
    assert not old.exists()
    assert (other / "a" / "lion.jpg").exists()


def test_links_are_removed_and_not_followed(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = put(tmp_path / "elsewhere", "kept.jpg")
    (folder.path / "there").symlink_to(kept.parent)
    (folder.path / "it").symlink_to(kept)
    later(HOUR, monkeypatch)
    assert folder.sweep() == 2
    assert kept.exists()
    assert list(folder.path.iterdir()) == []


def test_a_link_that_is_named_like_a_run_is_not_followed(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = put(tmp_path / "elsewhere", "kept.jpg")
    (folder.base / f"{disk.RUN}x").symlink_to(kept.parent)
    later(HOUR, monkeypatch)
    assert folder.sweep() == 0
    assert kept.exists()


def test_a_run_that_ends_takes_its_folder_with_it(folder: Folder) -> None:
    put(folder.path, "a/lion.jpg")
    folder.remove()
    assert not folder.path.exists()
    folder.remove()


def test_nothing_stays_in_memory_of_what_left(put: Callable[..., str], tiny: str) -> None:
    def of(path: str) -> list[int]:
        keys = [engine._surveys._entries, handlers._answers._entries]
        pictures = [[at.question.picture for at in kept] for kept in keys]
        return [kept.count(path) for kept in (*pictures, list(engine._pictures._entries))]

    gone, stays = put("lion.jpg"), put("cheetah.jpg")
    answered(gone, tiny)
    answered(stays, tiny)
    assert of(gone) == of(stays) == [1, 1, 1]
    os.remove(gone)
    handlers.forget_gone()
    assert of(gone) == [0, 0, 0]
    assert of(stays) == [1, 1, 1]


def test_of_a_photograph_that_is_too_large_only_its_size_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused for that, and for nothing else."""
    photo = test_bare.FILES["JPEG"]
    monkeypatch.setattr(disk, "MAX_BYTES", len(photo) - 1)
    (tmp_path / "anna.jpg").write_bytes(photo)
    disk.strip(tmp_path / "anna.jpg")
    assert (tmp_path / "anna.jpg").read_bytes() == photo[:16].ljust(len(photo), b"\0")
    assert list(tmp_path.iterdir()) == [tmp_path / "anna.jpg"]


@pytest.mark.parametrize("fails", ["write_bytes", "replace"])
def test_where_the_disk_is_full_nothing_of_a_photograph_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Least of all the one that says where it was taken; half of the other neither."""
    (tmp_path / "anna.jpg").write_bytes(test_bare.FILES["JPEG"])

    def full(path: Path, *_: object) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, fails, full)
    with pytest.raises(OSError, match="No space"):
        disk.strip(tmp_path / "anna.jpg")
    assert list(tmp_path.iterdir()) == []


# ---- how much ----------------------------------------------------------------------------------


def test_a_quota_of_each_and_of_all() -> None:
    quota = Quota(each=10, every=25, least=2)
    taken = [
        ("a", 6, 0, True), ("a", 5, 1, False), ("a", 4, 1, True), ("a", 0, 2, False),
        ("b", 1, 3, True), ("b", 1, 3, True), ("b", 7, 3, False), ("b", 6, 3, True),
        ("c", 5, 4, True), ("d", 1, 5, False),
        ("a", 6, 3599, False), ("a", 6, 3600, True), ("a", 1, 3600, False), ("a", 4, 3601, True),
    ]  # fmt: skip
    for address, size, now, expected in taken:
        assert quota.take(address, size, now) is expected, (address, size, now)


def test_the_refusals_are_sentences(sentence: Callable[[object], str]) -> None:
    sentence(TOO_MANY)
    sentence(FULL_DISK)


# ---- the program -------------------------------------------------------------------------------


@pytest.mark.slow
def test_when_it_is_told_to_end_nothing_stays(tmp_path: Path) -> None:
    """Though a page is open; and what an earlier run left leaves at the start."""
    asleep = """
from demo import disk, ui
ui.warm = lambda *_: None
disk.LIFE = 0
"""
    killed = tmp_path / "uploads" / "gradcam-lab-killed" / "a"
    killed.mkdir(parents=True)
    shutil.copy(EXAMPLES_DIR / "lion.jpg", killed)
    running = serve(tmp_path, first=asleep)
    server = running.__enter__()
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        picture = {"files": ("anna.jpg", test_bare.FILES["JPEG"])}
        (path,) = client.post("gradio_api/upload", files=picture).json()
        assert Path(path).is_relative_to(server.uploads)
        assert Path(path).exists()
        assert client.get(f"gradio_api/file={path}").content == bare.picture_alone(
            picture["files"][1]
        )
        assert "no longer here" in asked_about(client, Path(path).with_name("berta.jpg"))
        assert not (killed / "lion.jpg").exists()
        with client.stream("GET", "gradio_api/heartbeat/somebody") as beat:
            assert next(beat.iter_lines()) == "data: ALIVE"
            running.__exit__(None, None, None)
    assert not server.uploads.exists()
    log = server.log.read_text()
    for trace in ("FATAL", "Traceback", "anna", "berta", server.uploads.name):
        assert trace not in log


def asked_about(client: httpx.Client, path: Path) -> str:
    """What the page hears when it asks about a file."""
    events = client.get("config").json()["dependencies"]
    look = next(event["id"] for event in events if event["api_name"] == "look")
    file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    widgets = [file, models.DEFAULT, "", "", False, None, None, ""]
    body = {"data": widgets, "fn_index": look, "session_hash": "x"}
    client.post("gradio_api/queue/join", json=body).raise_for_status()
    return client.get("gradio_api/queue/data", params={"session_hash": "x"}).text
