"""Visitors' files: in a folder of this run's own, gone within the hour, and so much of each.

Of a photograph the picture alone is kept.
"""

import os
import secrets
import shutil
import stat
import tempfile
import time
from collections import deque
from pathlib import Path

from gradcam_core import bare
from gradcam_core.image import MAX_BYTES

LIFE = 3000  # seconds that a file stays
SWEEP = 600  # seconds from one look to the next: together an hour
RUN = "gradcam-lab-"  # of the folders of all runs
TOO_MANY = "So many pictures came in this hour that no more are taken; please try again later."


FULL_DISK = "There is no room left for pictures; please tell whoever runs this page."
SPARE = 1e8  # bytes of the disk that visitors' files leave


def belongs(folder: Path, user: int) -> bool:
    """Whether it is a folder of that user's, and no link to one: anybody may put links there."""
    try:
        about = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == user


class Folder:
    """Where Gradio puts what visitors send. Raises OSError.

    It lies in GRADIO_TEMP_DIR, if that is set, beside those of other runs.
    """

    def __init__(self) -> None:
        base = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
        os.makedirs(base, exist_ok=True)
        self.base = Path(os.path.realpath(base))
        self.path = Path(tempfile.mkdtemp(prefix=RUN, dir=self.base))
        os.environ["GRADIO_TEMP_DIR"] = str(self.path)

    def sweep(self) -> int:
        """What is too old goes, also of runs that were killed; how many files those were."""
        os.utime(self.path)  # this run still wants it
        gone, old = 0, time.time() - LIFE
        mine = self.path.lstat().st_uid
        runs = [run for run in self.base.glob(f"{RUN}*") if belongs(run, mine)]
        files = (file for run in runs for file in run.glob("**/*"))
        for file in sorted(files, reverse=True):  # the deepest first
            try:
                about = file.lstat()
                if stat.S_ISDIR(about.st_mode):
                    if about.st_mtime < old:
                        file.rmdir()
                elif about.st_ctime < old:
                    file.unlink()
                    gone += 1
                    if file.parent != self.path:
                        file.parent.rmdir()
            except OSError:  # not empty, or another's
                continue
        for run in runs:
            try:
                if run != self.path and run.lstat().st_mtime < old:
                    run.rmdir()
            except OSError:
                continue
        return gone

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def strip(path: Path) -> None:
    """What a photograph says of itself leaves its file, or the file itself. Raises OSError.

    One that is too large to be read is refused for that: it keeps its size, and nothing else.
    """
    with path.open("rb") as file:
        start = file.read(16)
        if not bare.is_known(start):
            return
        data = start + file.read(MAX_BYTES)
    size = path.stat().st_size
    if size > MAX_BYTES:
        os.truncate(path, len(start))
        os.truncate(path, size)
        return
    picture = bare.picture_alone(data)
    if picture != data:
        part = path.with_name(f"{secrets.token_hex(8)}.part")
        try:
            part.write_bytes(picture)
            part.replace(path)
        except OSError:
            path.unlink()
            raise
        finally:
            part.unlink(missing_ok=True)


def has_room(size: float) -> bool:
    """Whether the disk that takes visitors' files takes so many bytes more."""
    folder = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    return shutil.disk_usage(folder).free >= size + SPARE


class Quota:
    """How many bytes come within an hour, from one address and from all."""

    def __init__(self, each: float = 1e9, every: float = 4e9, least: float = 1e5):
        self.each, self.every, self.least = each, every, least
        self.taken: deque[tuple[float, str, float]] = deque()

    def take(self, address: str, size: float, now: float) -> bool:
        """Whether that much may come; it is counted if so. now: seconds of any clock."""
        while self.taken and self.taken[0][0] <= now - LIFE - SWEEP:
            self.taken.popleft()
        size = max(size, self.least)
        of_all = sum(had for _, _, had in self.taken)
        of_this = sum(had for _, who, had in self.taken if who == address)
        if of_all + size > self.every or of_this + size > self.each:
            return False
        self.taken.append((now, address, size))
        return True
