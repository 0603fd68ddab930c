"""The code of the browser: its own tests, and that it computes what Python computes."""

import base64
import json
import re
import subprocess
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import pytest
import test_bare as photographs
from playwright._impl._driver import compute_driver_executable

from demo import ui, wire, words
from demo.wire import Packing
from gradcam_core import bare, heatmap
from gradcam_core.types import F32, Placement

HERE = Path(__file__).parent / "js"
NODE, _ = compute_driver_executable()  # the Node that Playwright brings
SHAPES = [(7, 7), (5, 9), (9, 5), (1, 6), (6, 1), (1, 1), (14, 13)]  # of grids: most not square


def node(*arguments: Any, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NODE, *map(str, arguments)], input=given, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.js")), ids=lambda file: file.stem)
def test_the_tests_of_a_room(file: Path) -> None:
    done = node("--test", "--test-isolation=none", "--test-reporter=spec", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nℹ skipped 0\n" in done.stdout


# ---- modules, and the scripts they are joined to -------------------------------------------------

VIEWER = Path(ui.__file__).parent / "viewer"
MODULES = {path.stem: path.read_text("utf-8") for path in VIEWER.glob("*.js")}
TABS = ["viewer", "lesson", "trust", "later"]
STARTS = [*TABS, *ui.FETCHED]  # what a script is joined for
GIVEN = "element", "trigger", "props", "server", "upload", "watch"  # what Gradio hands to a script
DECLARED = re.compile(r"^export (?:async )?(?:function|const) (\$*\w*)", re.MULTILINE)
IMPORTED = re.compile(r"^import \{([^}]*)\} from '\./(\w+)\.js';$", re.MULTILINE)


def imports(module: str) -> dict[str, str]:
    """Name -> the module it comes from."""
    return {
        name.strip(): other
        for names, other in IMPORTED.findall(MODULES[module])
        for name in names.split(",")
        if name.strip()
    }


def code(module: str) -> str:
    """Without comments, imports, plain strings, and the three dots of a spread."""
    text = re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", MODULES[module], flags=re.DOTALL)
    return re.sub(r"'[^'\n]*'", "''", IMPORTED.sub("", text)).replace("...", " ")


def test_modules_are_joined_in_the_order_of_their_imports(tmp_path: Path) -> None:
    for name, text in {
        "top": "import { b, c } from './left.js';\nimport {\n  d,\n} from './base.js';\nb(c, d);\n",
        "left": "import { d } from './base.js';\nexport const c = d;\nexport async function b() {}",
        "base": "// exports: export it\nexport const d = 'import this';\n",
        "stranger": "nobody imports this",
    }.items():
        (tmp_path / f"{name}.js").write_text(text)
    assert ui.joined(tmp_path, "top") == (
        "\"use strict\";\nconst d = 'import this';\nconst c = d;\nasync function b() {}b(c, d);\n"
    )


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_is_one_script_in_which_no_name_is_twice(tab: str) -> None:
    """In a block of strict code a second function of the same name is an error, as in a module."""
    script = ui.joined(VIEWER, tab)
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    program = "new Function(...process.argv.slice(1), require('fs').readFileSync(0, 'utf8'))"
    for text in (script, f'"use strict"; {{ {script} }}'):
        done = node("-e", program, *GIVEN, given=text)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ui.FETCHED)
def test_what_is_fetched_later_is_a_module(name: str) -> None:
    script = ui.module(name)
    assert re.findall(r"^export (?:async )?function (\w+)", script, re.MULTILINE)
    assert not re.search(r"^import\b", script, re.MULTILINE)
    done = node("--input-type=module", "-", given=script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_what_it_calls_and_uses_what_it_imports(module: str) -> None:
    """Joined, a name that was not imported would be found all the same."""
    own, text = imports(module), code(module)
    for name, other in own.items():
        assert name in DECLARED.findall(MODULES[other]), f"{other} has no {name}"
        assert re.search(rf"(?<![\w$.]){re.escape(name)}(?![\w$])", text), f"{name} is not used"
    home = re.findall(r"(?:function|const|let) (\w+)", text)
    for other in set(MODULES) - {module, *STARTS}:
        for name in set(DECLARED.findall(MODULES[other])) - {*own, *home}:
            called = re.search(rf"(?<![\w$.]){re.escape(name)}\(", text)
            assert not called, f"{name} is not imported from {other}"


def test_the_pure_modules_know_no_page() -> None:
    for module in (
        "maps",
        "words",
        "store",
        "address",
        "python",
        "facts",
        "script",
        "scenes",
        "paper",
    ):
        free = re.findall(r"(?<![\w.])(document|window|element|props|server)[.\[]", code(module))
        assert free == [], module
        assert not re.findall(r"^let ", code(module), re.MULTILINE), f"{module} has a state"
    assert code("wire").split() == ["export", "{};"], "types only"


def test_every_module_is_part_of_a_tab_or_only_types() -> None:
    reached, todo = set(), [*STARTS]
    while todo:
        module = todo.pop()
        reached.add(module)
        todo += set(imports(module).values()) - reached
    assert set(MODULES) - reached == {"wire"}


@pytest.mark.parametrize(
    "path", [*sorted(VIEWER.glob("*")), *sorted(HERE.glob("*.js"))], ids=lambda path: path.name
)
def test_lines_can_be_read(path: Path) -> None:
    lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
    assert [number for number, line in lines if len(line) > 120] == []


# ---- what both languages compute ---------------------------------------------------------------


def computed(room: str, name: str, cases: list[tuple[Any, ...]]) -> list[Any]:
    """What a function of the browser's makes of each case."""
    calls = [{"room": room, "name": name, "given": case} for case in cases]
    done = node(HERE / "compute.js", given=json.dumps(calls))
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    assert len(results) == len(cases) > 0
    return results


def floats(array: F32) -> dict[str, list[float]]:
    return {"float": array.astype(np.float32).ravel().tolist()}


def colour_bytes(name: str) -> dict[str, str]:
    return {"bytes": base64.b64encode(heatmap.palette(name).tobytes()).decode()}


def grids(rng: np.random.Generator) -> list[F32]:
    """Signed maps: of both signs, unequal ones, of one sign only, with ties, and empty ones."""
    made = []
    for shape in SHAPES:
        plain = rng.normal(size=shape).astype(np.float32)
        made += [
            plain,
            np.where(plain > 0, plain, plain / 1000),
            -np.abs(plain),
            np.abs(plain) * np.float32(1e-9),
            np.rint(2 * plain).astype(np.float32),
            np.zeros(shape, np.float32),
        ]
    return made


def sent(signed: F32, limit: int = 448) -> dict[str, Any]:
    """A map as the browser has it: its grid, its ends, its bytes."""
    packing = Packing(limit)
    about = packing.put(signed)
    h, w = about["sent"]
    return about | {"h": h, "w": w, "q": {"signed": packing.text()}}


def test_a_photograph_loses_the_same_in_both_languages() -> None:
    """All that it says, and what lies behind its end; not which way up. Of a damaged one, too."""
    whole, scans = photographs.jpeg(), photographs.jpeg(progressive=True)
    files = [photographs.encode("JPEG"), whole, scans, whole + b"\xff", scans[:-2] + b"\xff"]
    files += [photographs.encode("JPEG", exif=photographs.exif(way)) for way in range(10)]
    files += [photographs.encode("JPEG", restart_marker_blocks=1) + photographs.SECRET]
    files += [files[0][:2] + photographs.segment(0xEE, b"Adobe\0d") + files[0][2:]]
    files += [whole[:length] for length in (2, 3, 5, 20, 21, 300, len(whole) // 3)]
    little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    files += [
        b"\xff\xd8" + photographs.segment(0xE1, b"Exif\0\0" + exif) + files[0][2:]
        for exif in (little, little[:20], b"")
    ]
    cases = [({"bytes": base64.b64encode(file).decode()},) for file in files]
    for file, pieces in zip(files, computed("shrink", "bareJpeg", cases), strict=True):
        assert b"".join(map(bytes, pieces)) == bare.picture_alone(file)
    assert photographs.SECRET not in bare.picture_alone(whole)


def borders() -> list[float]:
    """Shares where `percent` changes its form or its last digit, and their next neighbours."""
    steps = [*(n / 2e6 for n in range(0, 400, 7)), *(n / 2e5 for n in range(2_000))]
    steps += [*(n / 2e4 for n in range(2_001)), *(n / 2000 for n in range(1_901, 2_001))]
    steps += [n / 2**k for k in range(1, 12) for n in range(2**k + 1)]
    steps += [1e-4, 0.01, 0.0995, 0.995, 0.9999, 5e-324, 0.0, 1.0]
    near = [np.nextafter(step, to) for step in steps for to in (0, 1)]
    return sorted({float(p) for p in [*steps, *near]})


def test_percent_says_the_same_in_both_languages() -> None:
    cases = borders()
    said = computed("words", "percent", [(p,) for p in cases])
    plain = [text.replace("\N{NO-BREAK SPACE}", " ") for text in said]
    told = [words.percent(p).replace("\N{NO-BREAK SPACE}", " ") for p in cases]
    differ = [(p, js, py) for p, js, py in zip(cases, plain, told, strict=True) if js != py]
    assert differ == []


def test_how_likely_a_class_is_in_both_languages(rng: np.random.Generator) -> None:
    """Of a network that gives numbers each language has its own way to print three digits."""
    outputs = [0.0, 1.0, 12.0, *(rng.normal(size=50) * 10.0 ** rng.integers(-5, 4, 50)).tolist()]
    heads = [("softmax", 0.25), ("sigmoid", 0.996), *(("linear", p) for p in outputs)]
    said = computed("words", "chance", [({"p": p}, head != "linear") for head, p in heads])
    for (head, p), js in zip(heads, said, strict=True):
        py = words.told(p, head != "linear")
        if head == "linear":
            assert float(js.replace("\N{MINUS SIGN}", "-")) == pytest.approx(float(py), rel=6e-3)
        else:
            assert js.replace("\N{NO-BREAK SPACE}", " ") == py.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("limit", [448, 5], ids=["whole", "averages"])
def test_bytes_become_the_values_they_came_from(rng: np.random.Generator, limit: int) -> None:
    """Within half a step of their own sign; the largest, the smallest and zero exactly."""
    all_grids = grids(rng)
    wired = [sent(grid, limit) for grid in all_grids]
    got = computed("maps", "valuesOf", [({**map_, "numbers": None}, map_["q"]) for map_ in wired])
    for grid, values in zip(all_grids, got, strict=True):
        small = heatmap.shrink(grid, limit)
        back = np.array(values).reshape(small.shape)
        top, bottom = max(small.max(), 0), max(-small.min(), 0)
        step = np.where(small > 0, top, bottom) / 127
        assert (np.abs(back - small) <= 0.5001 * step).all()
        assert max(back.max(), 0) == pytest.approx(top)
        assert max(-back.min(), 0) == pytest.approx(bottom)
        assert (back[small == 0] == 0).all()


@pytest.mark.parametrize("sign", heatmap.SIGNS)
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_map_becomes_the_same_shares_of_its_scale(
    rng: np.random.Generator, sign: str, shared: bool
) -> None:
    """Of a map whose bytes are exact: whole steps of its ends, here 127 and 254."""
    cases, expected = [], []
    for shape in SHAPES:
        for ends in ((127, 254), (127, 0), (0, 254), (0, 0)):
            steps = rng.integers(-127, 128, shape)
            steps.flat[:2] = [127, -127][: steps.size]
            signed = np.where(steps > 0, steps * ends[0] / 127, steps * ends[1] / 127)
            grid = signed.astype(np.float32)
            wired = sent(grid)
            own = {"for": wired["top"], "against": wired["bottom"]}.get(
                sign, max(wired["top"], wired["bottom"])
            )
            top = 300.0 if shared else own
            cases.append((wired, sign, top))
            expected.append(heatmap.signed_to_unit(grid, sign, top))
    for got, unit in zip(computed("maps", "toUnit", cases), expected, strict=True):
        assert got == pytest.approx(unit.ravel().tolist(), abs=1e-6)


@pytest.mark.parametrize("size", [(31, 57), (57, 31), (13, 13), (7, 9), (3, 2)])
def test_grids_are_scaled_up_alike(rng: np.random.Generator, size: tuple[int, int]) -> None:
    all_grids = grids(rng)
    cases = [(floats(grid), *grid.shape, *size) for grid in all_grids]
    for grid, got in zip(all_grids, computed("maps", "upsample", cases), strict=True):
        wanted = heatmap.upsample(grid, size)
        assert np.array(got).reshape(size) == pytest.approx(
            wanted, abs=2e-6 * float(np.abs(grid).max())
        )


def placements(rng: np.random.Generator) -> list[Placement]:
    """Crops and rims, each as it is, mirrored, and turned; and some askew."""
    found = []
    for _ in range(4):
        (a, e), (c, f) = rng.uniform(0.3, 1.6, 2), rng.uniform(-0.3, 0.6, 2)
        found += [Placement((a, 0, c), (0, e, f)), Placement((a, 0, c), (0, -e, f + e))]
        found += [Placement((0, a, c), (e, 0, f)), Placement((0, -a, c + a), (e, 0, f))]
        b, d = rng.uniform(-0.3, 0.3, 2)
        found.append(Placement((a, b, c), (d, e, f)))
    return found


@pytest.mark.many
@pytest.mark.parametrize("size", [(31, 57), (57, 31), (7, 9)])
@pytest.mark.parametrize("outside", [0, 0.5])
def test_grids_are_drawn_where_they_lie_alike(
    rng: np.random.Generator, size: tuple[int, int], outside: float
) -> None:
    everything = [(grid, where) for grid in grids(rng) for where in placements(rng)]
    cases, wanted = [], []
    for grid, where in everything:
        h, w = grid.shape
        cases.append(
            (floats(grid), {"h": h, "w": w, "placement": wire.six_numbers(where)}, *size, outside)
        )
        wanted.append(heatmap.project(grid, size, where, outside))
    for (grid, _), heat, got in zip(
        everything, wanted, computed("maps", "project", cases), strict=True
    ):
        step = 2e-6 * float(np.abs(grid).max())
        assert np.abs(np.array(got).reshape(size) - heat).max() <= step
    assert any((heat == outside).any() and (heat != outside).any() for heat in wanted)


def test_the_same_pixels_have_no_map(rng: np.random.Generator) -> None:
    grid, found = rng.random((5, 9)).astype(np.float32), placements(rng)
    lattices = [{"h": 5, "w": 9, "placement": wire.six_numbers(where)} for where in found]
    cases = [(floats(grid), lattice, 31, 57, "NaN") for lattice in lattices]  # JSON has no NaN
    for where, got in zip(found, computed("maps", "project", cases), strict=True):
        none = np.isnan(heatmap.project(grid, (31, 57), where, heatmap.NO_MAP))
        assert [value is None for value in got] == none.ravel().tolist()


def test_evidence_beyond_the_picture_is_counted_alike(rng: np.random.Generator) -> None:
    signed, found = rng.integers(-127, 128, (6, 7)).astype(np.int8), placements(rng)
    map_ = {"h": 6, "w": 7, "top": 127, "bottom": 127}
    q = {"signed": base64.b64encode(signed.tobytes()).decode()}
    cases = [({**map_, "q": q, "placement": wire.six_numbers(where)}, "for") for where in found]
    wanted = [heatmap.share_beyond(signed.astype(np.float32), where) for where in found]
    assert computed("maps", "shareBeyond", cases) == pytest.approx(wanted)
    assert 0 < max(wanted) > min(wanted)


@pytest.mark.parametrize("name", [*heatmap.COLOURS, heatmap.DIVERGING])
def test_the_colours_are_the_same(rng: np.random.Generator, name: str) -> None:
    """Every one of the 256, what lies outside, and all between but where it is halfway."""
    heat = np.concatenate([np.arange(256) / 255, [-0.5, -0.0, 1.5, 0.5], rng.random(2000)])
    heat = heat.astype(np.float32)
    clear = np.abs(heat * 255 % 1 - 0.5) > 1e-3
    clear[259] = True  # the white middle of two signs is halfway, and is meant
    heat = heat[clear]
    (got,) = computed("maps", "coloured", [(floats(heat), colour_bytes(name))])
    pixels = np.array(got).reshape(-1, 4)
    assert (pixels[:, :3] == heatmap.paint(heat, name)).all()
    assert (pixels[:, 3] == 255).all()


@pytest.mark.parametrize("name", list(heatmap.LIT))
@pytest.mark.parametrize("opacity", [0.3, 0.95])
def test_a_muted_picture_is_lit_the_same(
    rng: np.random.Generator, name: str, opacity: float
) -> None:
    """Within a few of 255: Python knows the heat and the greys exactly, JavaScript 256 of each."""
    image = rng.integers(0, 256, (40, 30, 3), np.uint8)
    heat = rng.random((40, 30)).astype(np.float32)
    opaque = np.dstack([image, np.full((40, 30), 255, np.uint8)])
    photo = {"bytes": base64.b64encode(opaque.tobytes()).decode()}
    round_ = name not in heatmap.COLOURS
    (got,) = computed("maps", "lit", [(photo, floats(heat), colour_bytes(name), opacity, round_)])
    pixels = np.array(got).reshape(40, 30, 4)
    wanted = heatmap.lit(image, heat, name, opacity).astype(int)
    assert np.abs(pixels[..., :3] - wanted).max() <= 5
    assert np.abs(pixels[..., :3] - wanted).mean() < 0.6
    assert (pixels[..., 3] == 255).all()


def test_the_box_is_the_same_to_the_pixel(rng: np.random.Generator) -> None:
    cases, expected = [], []
    for grid in grids(rng):
        for size in ((31, 45), (20, 9)):
            heat = heatmap.upsample(heatmap.normalise(grid), size)
            coarse = (np.rint(heat * 4) / 4).astype(np.float32)  # parts as large, levels hit
            tenths = (np.rint(heat * 10) / 10).astype(np.float32)
            for map_, share in ((heat, 0.15), (heat, 0.8), (coarse, 0.5), (coarse, 0.75)):
                cases.append((floats(map_), *size, share))
                expected.append(heatmap.box(map_, share))
            for share in (0.1, 0.3, 0.6, 0.7):  # of which float32 has no exact number
                cases.append((floats(tenths), *size, share))
                expected.append(heatmap.box(tenths, share))
    for case, box, got in zip(cases, expected, computed("maps", "boxOf", cases), strict=True):
        assert (box is None) == (got is None)
        if box is not None:
            h, w = case[1:3]
            assert [got[0] * w, got[1] * h, got[2] * w, got[3] * h] == pytest.approx(box, abs=1e-9)
    assert any(box is None for box in expected)
    assert any(box is not None for box in expected)


def test_the_lines_of_python_take_a_visitor_s_model_as_the_page_saves_it() -> None:
    """That file says how its pixels are scaled and cropped, whatever way was taken of it."""
    about = {"key": "k", "title": "Mug, Plant"}
    answer = {"target": 1, "rival": None, "detail": False, "classes": [{"index": 1}]}
    seen = {"layer": "out_relu", "method": "Grad-CAM", "band": "target"}
    cases = [
        ({"answer": answer | {"model": about | {"own": own, "brought": brought}}} | seen, "a.jpg")
        for own, brought in ((True, True), (True, False), (False, False))
    ]
    brought, hosts, listed = computed("python", "pythonOf", cases)
    for lines in (brought, hosts, listed):
        compile(lines, "copied", "exec")
    button = "Save this model as .keras"
    assert f'gr.Button("{button}"' in Path(ui.__file__).read_text("utf-8")
    assert f'"{button}" gives; it says how its pixels are scaled and cropped' in brought
    assert button not in hosts + listed
    assert [lines.count('model = load_file("model.keras")') for lines in (brought, hosts)] == [1, 1]
    assert "load_file" not in listed


# ---- the contract: demo/wire.py and viewer/wire.js say the same ----------------------------------


def in_js(hint: Any) -> str:
    """A type of Python's as JSDoc writes it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " | ".join("null" if part is NoneType else in_js(part) for part in parts)
    if origin is Literal:
        return " | ".join(f"'{part}'" for part in parts)
    if origin is dict:
        return f"Record<string, {in_js(parts[1])}>"
    if origin is list or (origin is tuple and len(set(parts)) == 1):
        return f"{in_js(parts[0])}[]"
    if origin is tuple:
        return f"[{', '.join(map(in_js, parts))}]"
    plain = {str: "string", int: "number", float: "number", bool: "boolean"}
    return plain.get(hint) or str(hint.__name__)


def test_types_are_written_as_jsdoc_writes_them() -> None:
    hints = [
        list[wire.Row], dict[str, float], int | None, tuple[int, int, int], tuple[str, int],
        Literal["for", "both"], list[list[float] | None],
    ]  # fmt: skip
    assert [in_js(hint) for hint in hints] == [
        "Row[]", "Record<string, number>", "number | null", "number[]", "[string, number]",
        "'for' | 'both'", "number[] | null[]",
    ]  # fmt: skip


def test_the_contract_is_the_same_in_both_languages() -> None:
    text = (VIEWER / "wire.js").read_text("utf-8")
    here = {
        name: {field: kind for kind, field in re.findall(r"@property \{(.+)\} (\w+)", block)}
        for block in re.findall(r"/\*\*.*?\*/", text, re.DOTALL)
        for name in re.findall(r"@typedef \{object\} (\w+)", block)
    }
    typed = {name: kind for name, kind in vars(wire).items() if is_typeddict(kind)}
    there = {
        name: {field: in_js(hint) for field, hint in get_type_hints(kind).items()}
        for name, kind in typed.items()
    }
    bases = [n for n, f in there.items() if any(f.items() < g.items() for g in there.values())]
    assert {"Sent", "Packed"} <= set(bases), "what others are made of"
    assert len(there) > 15
    for name in {*there} - ({*bases} - {*here}):
        assert here.get(name) == there[name], name
    assert set(here) - set(there) == {"Refusal", "View", "PictureFile"}, "types that nobody sends"
    assert set(here["View"]) == set(wire.View.model_fields)
