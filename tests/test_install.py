"""The core as others get it: a wheel, installed into a fresh environment, used from elsewhere."""

import email
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

HOME = Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip"]


def run(*command, cwd, **options):
    """Without the variables of the tests, which would hide what an installed program lacks."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={"PATH": ""}, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    how = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run(*PIP, "wheel", *how, "--wheel-dir", str(folder), str(HOME), cwd=folder)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """The folder of `gradcam` and `python`, in an environment that sees this one's packages."""
    home = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(home, with_pip=False, symlinks=True)
    scripts = home / "bin"
    python = str(scripts / "python")
    how = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(*PIP, "--python", python, "install", *how, str(wheel), cwd=home)
    (own,) = home.glob("lib/*/site-packages")
    others = [folder for folder in sys.path if folder.endswith("site-packages")]
    (own / "others.pth").write_text("\n".join(others))
    return scripts


@pytest.fixture
def elsewhere(tmp_path, photos):
    """An empty folder, but for a photograph."""
    with Image.open(photos / "lion.jpg") as image:
        image.save(tmp_path / "photo.jpg")
    return tmp_path


def test_the_core_alone_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    core = {f"gradcam_core/{path.name}" for path in (HOME / "gradcam_core").glob("*.py")}
    weights = {f"gradcam_core/{name}.npz" for name in ("shapes_1", "shapes_2", "shapes_3")}
    assert names == core | weights | {"gradcam_core/py.typed"}


def test_what_the_wheel_says_of_itself(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        said = email.message_from_bytes(file.read(name))
    assert set(re.split("[<>=,]+", said["Requires-Python"])) == {"", "3.11", "3.14"}
    assert said["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in said.get_all("Classifier")
    needs = {}
    for line in said.get_all("Requires-Dist"):
        if "; extra ==" in line:
            continue
        package, floor = re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups()
        needs[package] = tuple(map(int, floor.split(".")))
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", (HOME / "requirements.txt").read_text(), re.M))
    assert needs.keys() == pins.keys() - {
        "gradio",
        "brotli",
        "starlette",
        "tensorflow-cpu",
        "segno",
    }
    for package, floor in needs.items():
        assert floor <= tuple(map(int, pins[package].split("."))), package
    text = said.get_payload()
    assert text.startswith("# Grad-CAM Lab\n\nOne forward")
    assert "sdk: gradio" not in text
    assert "![" not in text


@pytest.mark.slow
def test_the_command_in_an_empty_folder(scripts, elsewhere):
    listed = run(str(scripts / "gradcam"), "--list-layers", cwd=elsewhere)
    assert re.search(r"^top_activation · 7×7×1280 +best$", listed, re.M)
    figure = ["-i", "photo.jpg", "-o", "figure.png", "--colours", "inferno"]
    assert run(str(scripts / "gradcam"), *figure, cwd=elsewhere).startswith("lion (")
    with Image.open(elsewhere / "figure.png") as image:
        assert image.size == (1200, 600)


def test_the_command_goes_by_its_own_name(scripts, elsewhere):
    assert run(str(scripts / "gradcam"), "--help", cwd=elsewhere).startswith("usage: gradcam [")
    module = [str(scripts / "python"), "-m", "gradcam_core", "--help"]
    assert run(*module, cwd=elsewhere).startswith("usage: python -m gradcam_core [")


@pytest.mark.slow
def test_the_readmes_lines(scripts, elsewhere):
    readme = (HOME / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n## In Python\n")[1].split("\n## ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    assert lines[0] == "from gradcam_core import explain, survey"
    where = "import gradcam_core; print(gradcam_core.__file__); print(seen.label)"
    told = run(str(scripts / "python"), "-c", "\n".join([*lines, where]), cwd=elsewhere)
    file, label = told.splitlines()
    assert Path(file).is_relative_to(scripts.parent)
    assert label == "lion"
    assert (elsewhere / "figure.pdf").read_bytes().startswith(b"%PDF")


SCRIPT = """
from typing import assert_type
import numpy as np
from numpy.typing import NDArray
from gradcam_core import METHODS, MODELS, Target, UserError, explain, from_keras, read_rgb, survey
from gradcam_core.types import Method, ModelSpec

seen = explain("photo.jpg", target=Target(291))
assert_type(seen.label, str)
assert_type(seen.top(3), list[tuple[str, float]])
assert_type(seen.heatmaps["Grad-CAM"], NDArray[np.float32])
assert_type(survey(read_rgb("photo.jpg")).target, Target)
assert_type((METHODS["Grad-CAM"], MODELS["vgg19"]), tuple[Method, ModelSpec])
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_types(scripts, elsewhere):
    (elsewhere / "script.py").write_text(SCRIPT)
    python = ["--python-executable", str(scripts / "python"), "--cache-dir", str(elsewhere / "c")]
    run(sys.executable, "-m", "mypy", "--strict", *python, "script.py", cwd=elsewhere)
