"""What stands round the code: the front matter that Spaces read, the pins, the map of files."""

import re
from pathlib import Path

import pytest
import yaml

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
