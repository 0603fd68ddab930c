"""What stands round the code: the front matter that Spaces read, the pins, the map of files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gradcam_core.image import MAX_BYTES

HOME = Path(__file__).parent.parent
README = (HOME / "README.md").read_text(encoding="utf-8")
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
FIELDS = {  # of the Spaces configuration reference
    "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file",
    "app_port", "base_path", "short_description", "license", "tags", "models", "datasets", "pinned",
    "thumbnail", "header", "fullWidth", "disable_embedding", "startup_duration_timeout",
    "suggested_hardware", "suggested_storage", "custom_headers", "preload_from_hub",
}  # fmt: skip


def pins() -> dict[str, str]:
    lines = (HOME / "requirements.txt").read_text().splitlines()
    return dict(line.split(";")[0].strip().split("==") for line in lines if line.strip())


@pytest.fixture(scope="module")
def front() -> dict[str, object]:
    found = re.match(r"---\n(.*?)\n---\n", README, re.DOTALL)
    assert found, "the README must begin with the front matter"
    return dict(yaml.safe_load(found[1]))


def test_front_matter_is_what_spaces_accept(front):
    assert set(front) <= FIELDS
    assert {"title", "sdk", "sdk_version", "app_file", "license"} <= set(front)
    assert front["sdk"] == "gradio"
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS
    assert len(front["short_description"]) <= 60
    assert front["license"] == "apache-2.0"
    assert front["python_version"] == "3.11"  # the default, 3.10, is too old for Keras 3.15
    assert front["suggested_hardware"] == "cpu-basic"
    assert re.fullmatch(r"\d+[mh]", front["startup_duration_timeout"])
    assert isinstance(front["tags"], list)
    assert isinstance(front["models"], list)
    assert (HOME / front["app_file"]).is_file()


def test_spaces_and_requirements_name_the_same_gradio(front):
    assert front["sdk_version"] == pins()["gradio"]


def test_everything_is_pinned():
    for name, version in pins().items():
        assert re.fullmatch(r"\d+(\.\d+)+", version), name


def test_every_file_of_the_map_exists_and_every_room_is_on_it():
    named = set(re.findall(r"^\|[^|]*`([\w/.]+)` \|", README, re.MULTILINE))
    folders = [HOME, HOME / "gradcam_core", HOME / "demo"]
    for name in named:
        assert any((folder / name).exists() for folder in folders), name
    rooms = {path.name for path in (HOME / "gradcam_core").glob("*.py")} - {"__init__.py"}
    assert rooms <= named


def test_the_readmes_picture_is_there():
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (HOME / path).is_file()


def test_the_hosts_guide_names_what_there_is():
    guide = (HOME / "docs" / "hosting.md").read_text(encoding="utf-8")
    code = "".join(path.read_text() for path in [HOME / "app.py", *HOME.glob("*/*.py")])
    settings = set(re.findall(r"GRADCAM_\w+", guide))
    options = set(re.findall(r"--(?:allow|model|replicas)[\w-]*", guide))
    assert len(settings) == 2
    assert len(options) == 4
    for name in settings | options:
        assert f'"{name}"' in code, name
    steps = (HOME / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\S+)", steps, re.MULTILINE)
    assert copied == ["requirements.txt", "app.py", "demo", "gradcam_core"]
    assert all((HOME / name).exists() for name in copied)
    (file,) = re.findall(r"client_max_body_size (\d+)m;", guide)
    assert int(file) * 2**20 > MAX_BYTES  # and what is said round the picture


def test_the_citation_is_whole():
    cited = yaml.safe_load((HOME / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what the format demands
    assert cited["license"] == "Apache-2.0"
    assert cited["references"][0]["url"].endswith("/1610.02391")


def test_the_workflow_runs_what_ci_runs():
    flow = yaml.safe_load((HOME / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert flow["jobs"]["all"]["steps"][-1] == {"run": ".ci/run"}
    assert os.access(HOME / ".ci/run", os.X_OK)


@pytest.mark.parametrize(
    ("version", "fits"),
    [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False), ((4, 0), False)],
)
def test_make_refuses_a_python_without_tensorflow_before_it_installs(version, fits, tmp_path):
    """A stand-in for python3 says it is another version, and makes no environment."""
    shutil.copy(HOME / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").touch()
    lie = f"import sys; sys.version_info = {(*version, 0)}; exec(sys.argv[1])"
    python = tmp_path / "python3"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{lie}" "$2"\necho "$@"; exit 9\n'
    )
    python.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "run"], cwd=tmp_path, capture_output=True, text=True, env={"PATH": path}
    )
    assert done.returncode
    assert ("-m venv .venv" in done.stdout) == fits
    said = done.stderr.splitlines()[0]
    number = "{}.{}".format(*version)
    assert fits or said == (
        f"TensorFlow needs Python 3.11, 3.12 or 3.13, and python3 is {number}; "
        "name another one: make PYTHON=python3.13"
    )


def test_make_help_names_every_target():
    done = subprocess.run(["make", "help"], cwd=HOME, capture_output=True, text=True, check=True)
    named = re.findall(r"^  make (\w+)\t\w", done.stdout, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.*)", (HOME / "Makefile").read_text(), re.MULTILINE)
    assert named == phony.split()
    assert named[0] == "run"  # which make does when it is asked for nothing
