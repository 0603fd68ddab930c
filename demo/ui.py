"""What is on the page, then what sets off what."""

import base64
import os
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "200")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "200")

import gradio as gr
from gradio import networking, processing_utils
from gradio.blocks import BlocksConfig
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo import cheat, disk, engine, fair, front, handlers, lesson, live, qr, side, trust
from demo.api import check, endpoint, pointing_game, takes_long
from demo.components import Picture, Viewer
from demo.doors import at_once, in_turn, public, queued, visitor
from demo.question import EXAMPLES, EXAMPLES_DIR, NO_PICTURE, NOT_UPLOADED, Chosen, from_link
from demo.turns import Page
from demo.wire import View
from demo.words import FAILED, STOPPED, UNFOLDED, class_choices, folded
from gradcam_core import heatmap, hide, image, models, planted, teachable, upload
from gradcam_core.faithfulness import MOST_PASSES
from gradcam_core.trust import GOOD, VERDICTS
from gradcam_core.types import Stopped, UserError

HERE = Path(__file__).parent
VIEWER = HERE / "viewer"
FOLD = "not here"  # stands in the list of networks for all that cannot be had now
MOST = len(fair.GATES) * fair.WAITING + 40  # events under way; who waits at a gate is one
FETCHED = "shrink", "live", "trust"  # scripts that are no part of the first load
AGAIN = 30  # seconds until what failed at the start is tried once more
PREDICTED, NOBODY = ("predicted class", ""), ("no other class", "")
THEME = gr.themes.Default(
    primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_info_text_color="*neutral_600",
    checkbox_border_color_dark="*neutral_400",
)
HEADER = (
    '<div class="lab-top"><h1><span aria-hidden="true">'
    + 9 * "<i></i>"
    + "</span>Grad-CAM Lab</h1>"
    '<div class="lab-network"></div></div>'
)
TOO_FEW = (
    "This takes {wanted} values and got {came}: Use via API, at the foot of the page, names them."
)
NO_CHOICE = "One of these values is none of those that can be chosen here."
KEPT = (
    "<p>A picture that you give goes to this server and to no other, is shown to nobody else, "
    "and is deleted within the hour.</p>"
)
FIRST_PICTURE = str(EXAMPLES_DIR / next(iter(EXAMPLES)))


IMPORT = re.compile(r"^import \{[^}]*\} from '\./(\w+)\.js';\n", re.MULTILINE)
EXPORT = re.compile(r"^export (?=async |function |const )", re.MULTILINE)
NOTES = re.compile(  # for who reads the files; one at a line's end that holds a quote stays
    r"/\*\*(?=\s)(?:(?!\*/).)*\*/ ?|^ *//[^\n]*\n|(?<=\S) +// [^'\"`\n]*$|^ +",
    re.MULTILINE | re.DOTALL,
)
PADDING = re.compile(r"/\*.*?\*/\n?|^ +", re.MULTILINE | re.DOTALL)  # the same of markup and style


def joined(folder: Path, name: str, exports: bool = False) -> str:
    """A module of the browser as one script: before it those it imports, each once.

    Gradio runs the text of a function, which knows no `import` and no `export`. exports: what the
    module itself exports it still does, for a browser that imports the script.
    """
    texts: dict[str, str] = {}

    def add(module: str) -> None:
        text = (folder / f"{module}.js").read_text("utf-8")
        for imported in IMPORT.findall(text):
            if imported not in texts:
                add(imported)
        text = IMPORT.sub("", text)
        texts[module] = NOTES.sub("", text if exports and module == name else EXPORT.sub("", text))

    add(name)
    return "".join(['"use strict";\n', *texts.values()])


def part(name: str, colours: Sequence[str] = heatmap.COLOURS) -> dict[str, Any]:
    """One part of what runs in the browser: markup, style, script, and the colours it draws in."""
    texts = {kind: (VIEWER / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css")}
    texts = {kind: PADDING.sub("", text) for kind, text in texts.items()}
    diverging = {name: heatmap.diverging(name) for name in heatmap.COLOURS}
    palettes = sorted({*colours, *(diverging[name] for name in colours)})
    return {
        "html_template": texts["html"],
        "css_template": texts["css"],
        "js_on_load": joined(VIEWER, name),
        "apply_default_css": False,
        "colours": list(heatmap.COLOURS),
        "diverging": diverging,
        "lit": list(heatmap.LIT),
        "opacities": {name: heatmap.usual_opacity(name) for name in heatmap.COLOURS},
        "palettes": {n: base64.b64encode(heatmap.palette(n).tobytes()).decode() for n in palettes},
    }


def module(name: str) -> str:
    """A script that the browser imports: it exports what its file exports; a tab's `run`, which is
    given what Gradio gives to the script of a tab."""
    if name == "trust":
        given = "element, trigger, props, server"
        return f"export function run({given}) {{\n{joined(VIEWER, name)}}}\n"
    return joined(VIEWER, name, exports=True)


def fetched(name: str) -> Route:
    text = module(name)

    async def script(_request: Request) -> Response:
        return Response(text, media_type="text/javascript")

    return Route(f"/{name}.js", script)


def viewer(cameras: int) -> Viewer:
    return Viewer(
        elem_id="viewer",
        server_functions=[
            *map(in_turn, (handlers.draw, handlers.cover, handlers.diagnosis)),
            *map(at_once, (handlers.stop, handlers.labels, qr.code)),
        ],
        methods=handlers.method_rows(), verdicts=VERDICTS, good=list(GOOD),
        unfolded=UNFOLDED, fills=list(hide.FILLS), no_picture=NO_PICTURE, no_models=NO_MODELS,
        heavy=image.HEAVY, unknown=image.UNKNOWN,
        heaviest=image.MAX_BYTES, space=os.environ.get("SPACE_ID", ""),
        examples={str(EXAMPLES_DIR / file): Path(file).stem for file in EXAMPLES},
        networks=list(models.MODELS), cameras=cameras, **part("viewer"),
    )  # fmt: skip


# The link that is due goes to the server with the next question: viewer/link.js. One about a
# picture of somebody's own goes once more when a picture is given.
LINKED = """(...given) => {
  const link = window.labLink ??= { due: location.hash ? [location.hash, history.state] : null };
  const { own } = link, path = given[0]?.path;
  if (own && path && !own.examples.includes(path)) link.due = [own.hash, { path }];
  const { due } = link;
  if (due) Object.assign(link, { due: null, own: null, taken: due[0] });
  return [...given.slice(0, -1), due ? JSON.stringify(due) : ''];
}"""


def steps_of_the_map() -> gr.HTML:
    functions = (
        lesson.whole, lesson.nudged, lesson.switched_off, lesson.summed, lesson.held_against,
        lesson.before_the_last, lesson.lines, handlers.cover,
    )  # fmt: skip
    lesson.step_rows()  # their formulas are drawn now, and not while somebody waits
    return gr.HTML(
        elem_id="lesson",
        server_functions=[*map(in_turn, functions), at_once(lesson.formulas)],
        fills=list(hide.FILLS),
        **part("lesson", []),
    )


def tests_of_the_map() -> gr.HTML:
    few = trust.hide_cells, trust.play_mosaic, trust.does_it_hold, trust.take_aim
    many = trust.verdict_on, trust.forget_all, side.make_side, side.shares_in_mosaic
    functions = [
        *(in_turn(answer, None, trust.called_off) for answer in few),
        *(in_turn(answer, fair.LONG, trust.called_off) for answer in many),
        in_turn(side.all_rows, fair.QUICK),
        in_turn(cheat.ask_suspects),
        *map(at_once, (cheat.confess, trust.how_far, trust.call_off)),
    ]
    samples = {file: str(EXAMPLES_DIR / file) for file in EXAMPLES}
    return gr.HTML(
        elem_id="trust", server_functions=functions, fills=list(hide.FILLS), samples=samples,
        most_passes=MOST_PASSES, things=list(planted.THINGS), corner=list(planted.CORNERS[0]),
        suspects=[models.find(key).title for key in planted.PLANTED],
        **part("trust", heatmap.COLOURS[:1]) | {"js_on_load": joined(VIEWER, "later")},
    )  # fmt: skip


def gallery() -> gr.HTML:
    """The examples, small and inside the page; only the one that is chosen is sent whole."""

    def button(file: str, title: str) -> str:
        small = image.thumbnail(image.read_rgb(EXAMPLES_DIR / file), 88)  # twice as shown
        picture = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
        return (
            f'<button type="button" class="thumbnail-item" data-file="{file}" title="{title}">'
            f'<img src="{picture}" alt="{title}"></button>'
        )

    return gr.HTML(
        html_template=f"<div>{''.join(button(*example) for example in EXAMPLES.items())}</div>",
        js_on_load="element.addEventListener('click', (e) => { "
        "const button = e.target.closest('button'); "
        "if (button) trigger('choose', { file: button.dataset.file }); });",
        apply_default_css=False, elem_id="examples",
    )  # fmt: skip


class Blocks(gr.Blocks):
    """Whatever fails in an event is a sentence for who asked, and a line of our log: Gradio would
    print it with all that was given."""

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        if len(inputs) < (wanted := len(block_fn.inputs)):
            said = TOO_FEW.format(wanted=wanted, came=len(inputs))
            raise gr.Error(said, print_exception=False)

    async def process_api(self, *given: Any, **more: Any) -> Any:
        try:
            return await super().process_api(*given, **more)
        except gr.Error as error:
            if error.print_exception:  # of Gradio's own; its words hold the value
                raise gr.Error(NO_CHOICE, print_exception=False) from None
            raise
        except Exception as error:
            handlers.log.error("an event failed: %s", front.place_of(error))
            raise gr.Error(FAILED, print_exception=False) from None


def stay_inside() -> None:
    """Gradio fetches a file that is named by a URL, in the value of any input of any event, before
    our own functions are asked: never here. What it refuses itself it refuses without a word."""
    check = processing_utils._check_allowed

    def refuse(*_args: Any, **_options: Any) -> Any:
        raise gr.Error(NOT_UPLOADED, print_exception=False)

    def check_allowed(path: Any, check_in_upload_folder: bool) -> None:
        try:
            check(path, check_in_upload_folder)
        except Exception:
            refuse()
        if not os.path.isfile(path):  # its name would come into the log
            refuse()

    processing_utils._check_allowed = check_allowed
    processing_utils.async_ssrf_protected_download = refuse


def ask_parts_once(page: gr.Blocks) -> None:
    """A new session asks every part of the page how it is made, which takes 35 ms of the one loop
    that all visitors share: here each is asked once, and every session gets a copy."""
    make: Callable[..., dict[str, Any]] = BlocksConfig.config_for_block
    made: dict[int, dict[str, Any]] = {}

    def config_for_block(
        number: int, rendered: list[int], block: Any, renderable: Any = None
    ) -> dict[str, Any]:
        if renderable is not None or block is not page.blocks.get(number):
            return make(number, rendered, block, renderable)
        if number not in made:
            made[number] = make(number, rendered, block)
        return {**made[number], "props": {**made[number]["props"]}}

    BlocksConfig.config_for_block = staticmethod(config_for_block)


def offers(own: list[str], unfolded: bool = False) -> list[tuple[str, str]]:
    """The list of networks, a visitor's own first; those that cannot be had now as one line."""
    rows = [(spec.title, key) for key in own if (spec := models.UPLOADS.get(key))]
    away = []
    for key, spec in models.MODELS.items():
        if unfolded or not models.missing(spec):
            rows.append((models.offer(spec), key))
        else:
            away.append(spec.title)
    return [*rows, (folded(away), FOLD)] if away else rows


PUPILS = (
    "**A model of Teachable Machine:** there choose Export Model → Tensorflow → Keras → Download "
    "my model. Drop the zip here as it comes. Then open it, and choose a picture."
)
SWITCHED_OFF = (
    "**A model of Teachable Machine** can be opened here too, once whoever runs this page starts "
    "it with `python app.py --allow-teachable-machine`."
)


NO_MODELS = (
    "This is the file of a model, and this page takes pictures only; whoever runs it may allow "
    "models: under More it says how."
)


def own_model(model: gr.Dropdown, own: gr.State, any_model: bool) -> None:
    """Where a visitor uploads a model; it comes first in this visitor's list and in no other's.

    any_model: of Keras too, and not of Teachable Machine only.
    """
    with gr.Accordion("Your own model", open=False, elem_id="own"):
        gr.Markdown(PUPILS)
        file = gr.File(
            label="A .keras or .h5 file, or a zip of Teachable Machine" if any_model
            else "The zip of Teachable Machine", file_count="multiple", type="filepath",
            file_types=[".keras", ".h5", ".zip", ".txt"] if any_model else [".zip", ".h5", ".txt"],
            height=110, elem_id="own-file",
        )  # fmt: skip
        names = gr.Textbox(
            label="Class names, one a line", lines=3, max_lines=6, max_length=100_000,
            placeholder="may stay empty", elem_id="own-names", visible=any_model,
        )  # fmt: skip
        preprocess = gr.Dropdown(
            [("guess it", ""), *models.PREPROCESS], value="", label="How its pixels were scaled",
            elem_id="own-preprocess", visible=any_model,
        )  # fmt: skip
        head = gr.Dropdown(
            [("find it out", ""), *((words, key) for key, words in models.SENSES.items())],
            value="", label="What its numbers are", elem_id="own-head", visible=any_model,
        )  # fmt: skip
        button = gr.Button("Open it", elem_id="own-open")
        said = gr.Markdown(elem_id="own-said")

    async def opened(
        path: Any, lines: Any, scale: Any, meant: Any, had: list[str], request: gr.Request
    ) -> AsyncIterator[Any]:
        def work(_place: fair.Place) -> str:
            model_file, names = engine.told_apart(path, lines)
            return engine.open_upload(model_file, names, scale, any_model, meant)

        yield gr.skip(), "Opening it …", had
        try:
            key = await queued("open", request, (), work, at=fair.UPLOADING)
        except Stopped:
            return
        except UserError as error:
            yield gr.skip(), str(error), had
            return
        had = [key, *(other for other in had if other != key)]
        yield gr.Dropdown(choices=offers(had), value=key), "It is first in the list now.", had

    button.click(
        opened, [file, names, preprocess, head, own], [model, said, own],
        api_visibility="private", concurrency_limit=None, show_progress="hidden",
    )  # fmt: skip


def save_own(model: gr.Dropdown) -> None:
    """Where a model that a visitor brought is saved in today's form."""
    button = gr.Button("Save this model as .keras", size="sm", elem_id="own-save")
    file = gr.File(label="Your model", visible=False, interactive=False, elem_id="own-saved")

    async def saved(key: Any, request: gr.Request) -> Any:
        def work(_place: fair.Place) -> str:
            return handlers.own_model_path(key)

        try:
            path = await queued("save", request, (), work, at=fair.UPLOADING)
        except Stopped:
            return gr.skip()
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return gr.File(path, visible=True)

    button.click(
        saved, model, file, api_visibility="private", concurrency_limit=None,
        show_progress="hidden",
    )  # fmt: skip


def build_page(
    uploads: bool = False, teachable_machine: bool = False, cameras: int = 0
) -> gr.Blocks:
    """The page. uploads: whether visitors may upload models of their own; teachable_machine: those
    of Teachable Machine. cameras: how many may be live at once."""
    first = next(iter(models.MODELS))
    with Blocks(title="Grad-CAM Lab", fill_width=True) as page:
        gr.HTML(HEADER, elem_id="title")
        model = gr.Dropdown(offers([]), value=first, label="Network", elem_id="model")
        own = gr.State([])
        every = class_choices(models.MODELS[first].labels)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Look"):
                view = viewer(cameras)
                # Out of sight: what is chosen, pasted, dropped or taken goes in here.
                picture = Picture(
                    FIRST_PICTURE, label="Your picture", sources=["upload"], elem_id="picture",
                    buttons=[],
                )  # fmt: skip
                # These two the viewer takes to their places: viewer/gradio.js.
                examples = gallery()
                with gr.Column(elem_id="asks"):
                    target = gr.Dropdown(
                        [PREDICTED, *every], value="",
                        label="Class to explain", info="Type to search", elem_id="class",
                    )  # fmt: skip
                    other = gr.Dropdown(
                        [NOBODY, *every], value="", label="Rather than",
                        info="What speaks for the one and not for the other?", elem_id="other",
                    )  # fmt: skip
                    detail = gr.Checkbox(
                        label="Detail: look twice as closely", elem_id="detail",
                        info="A finer map. The percentages stay as they are.",
                    )  # fmt: skip
                    if uploads or teachable_machine:
                        own_model(model, own, uploads)
                    else:
                        gr.Markdown(SWITCHED_OFF, elem_id="own-off")
                    gr.HTML(KEPT, elem_id="kept", apply_default_css=False)
                    if uploads or teachable_machine:
                        save_own(model)
            with gr.Tab("How it is made"):
                steps_of_the_map()
            with gr.Tab("Can I trust it?"):
                tests = tests_of_the_map()

        last, changes, link = gr.State(None), gr.State(0), gr.HTML(visible=False)
        inputs = [picture, model, target, other, detail]
        lists = [part.change for part in (model, target, other, detail)]
        model_event: dict[str, Any] = {
            "api_visibility": "private", "show_progress": "minimal", "show_progress_on": [view],
            "trigger_mode": "always_last",
        }  # fmt: skip

        async def look(
            path: Any,
            key: Any,
            index: Any,
            rival: Any,
            wide: Any,
            last: Chosen | None,
            had: list[str],
            link: Any,
            request: gr.Request,
            progress: Any = gr.Progress(),  # noqa: B008 (Gradio fills it in)
        ) -> Any:
            """Whatever was chosen: one event for all, so that answers come in the order of it."""
            if key == FOLD:
                before = last.model if last else first
                every = gr.Dropdown(choices=offers(had, unfolded=True), value=before)
                return View(note=UNFOLDED), every, *6 * [gr.skip()]

            chosen = Chosen(not_lost(path, last), key, index, rival, wide)
            asks = from_link(link)[0] if link else chosen

            def work(_place: fair.Place, refusal: str = "") -> Page | None:
                if link:
                    return handlers.follow_link(link, last, chosen, refusal)
                return handlers.take_turn(last, chosen, refusal)

            try:
                try:
                    about: tuple[Any, ...] = asks.model, asks.detail
                    after = await queued("look", request, about, work, progress)
                except fair.NotHere as error:
                    without, about = partial(work, refusal=str(error)), (key, wide) if link else ()
                    after = await queued("look", request, about, without, progress)
            except UserError as error:
                return View(error=str(error)), *7 * [gr.skip()]
            except Stopped:
                after = None
            if after is None:
                return gr.skip()
            # where there is an answer, what is chosen by now may be newer
            asked = [gr.skip()] * 3
            if after.view.link is not None:
                if after.model in models.UPLOADS:
                    had = [after.model, *(other for other in had if other != after.model)]
                asked = [after.last.picture, after.last.detail, had]
            listed = gr.Dropdown(choices=offers(had), **value_of(after.model, None))
            classes = [gr.skip(), gr.skip()]
            if after.fills:
                every = handlers.choices(after)
                classes = [
                    gr.Dropdown(choices=[PREDICTED, *every], **value_of(after.last.target, index)),
                    gr.Dropdown(choices=[NOBODY, *every], **value_of(after.last.rival, rival)),
                ]
            return after.view, listed, after.last, *classes, *asked

        async def look_at(
            path: Any,
            key: Any,
            index: Any,
            rival: Any,
            wide: Any,
            last: Chosen | None,
            event: gr.EventData,
            request: gr.Request,
            progress: Any = gr.Progress(),  # noqa: B008
        ) -> View:
            wanted = event._data if isinstance(event._data, dict) else {}

            def work(place: fair.Place) -> View:
                def tell(part: float, what: str) -> None:
                    place.check()
                    progress(part, what)

                chosen = Chosen(not_lost(path, last), key, index, rival, wide)
                return handlers.view_at(chosen, wanted, tell)

            async def gone() -> bool:
                return handlers.is_stopped(wanted.get("token"))

            about = key, wide, wanted.get("method")
            try:
                return await queued("layer", request, about, work, progress, gone)
            except UserError as error:
                return View(error=str(error))
            except Stopped:
                return View(note=STOPPED)

        def pick(number: int, event: gr.EventData) -> Any:
            if event.file not in EXAMPLES:
                return gr.skip()
            return str(EXAMPLES_DIR / event.file), number + 1

        def open_drawn(number: int, event: gr.EventData) -> Any:
            try:
                return *cheat.to_look_at(event._data), number + 1
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from None

        def pick_class(event: gr.EventData) -> tuple[Any, Any]:
            return (gr.skip(), event.index) if event.rival else (event.index, "")

        async def take_way(had: list[str], event: gr.EventData, request: gr.Request) -> Any:
            wanted = event._data if isinstance(event._data, dict) else {}
            key = wanted.get("model")

            def work(_place: fair.Place) -> str:
                return engine.take_way(key, wanted)

            try:
                way = await queued("way", request, (key,), work)
            except Stopped:
                return gr.skip()
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from None
            had = [way, *(other for other in had if other != way)]
            return gr.Dropdown(choices=offers(had), value=way), had

        # Gradio says of an upload twice that the picture changed; that a State changed it says
        # once, and of queued events only.
        later = quick() | {"queue": True}
        examples.choose(pick, changes, [picture, changes], **later)
        tests.open(open_drawn, changes, [picture, model, changes], **later)
        picture.clear(lambda: View(error=NO_PICTURE), None, view, **later)
        view.restore(lambda number: number + 1, changes, changes, **later)
        view.choose(pick_class, None, [target, other], **quick())
        view.way(take_way, own, [model, own], concurrency_limit=None, **later)
        gr.on(
            [page.load, picture.upload, changes.change, *lists], look,
            [*inputs, last, own, link],
            [view, model, last, target, other, picture, detail, own],
            js=LINKED, concurrency_limit=None, **model_event,
        )  # fmt: skip
        view.layer(look_at, [*inputs, last], view, concurrency_limit=None, **model_event)
        gr.api(public(endpoint), api_name="explain", concurrency_limit=None)
        gr.api(public(check, takes_long), api_name="check", concurrency_limit=None)
        gr.api(public(pointing_game), api_name="mosaic", concurrency_limit=None)
        page.unload(left)
    page.queue(max_size=128, default_concurrency_limit=2)
    return page


async def left(request: gr.Request) -> None:
    fair.leave(visitor(request, request.session_hash))


def not_lost(path: Any, last: Chosen | None) -> Any:
    """The picture, or the one before: an upload that fails has taken it out of Gradio's widget."""
    return path or (last and last.picture)


def value_of(now: Any, then: Any) -> dict[str, Any]:
    """What is set in a list: nothing where it says so already, for that would come back."""
    return {} if now == then else {"value": now}


def quick() -> dict[str, Any]:
    return {
        "queue": False, "show_progress": "hidden", "api_visibility": "private",
        "trigger_mode": "always_last",
    }  # fmt: skip


def warm(health: front.Health, teachable_machine: bool = False) -> None:
    """Load the default network and explain the first example, until that works: the first visitor
    waits less."""
    while sentence := handlers.view_of(Chosen(FIRST_PICTURE, next(iter(models.MODELS)))).error:
        health.state, health.reason = "failed", sentence
        handlers.log.error("The first example cannot be explained: %s", sentence)
        time.sleep(AGAIN)
    health.state, health.reason = "ready", ""
    if teachable_machine:
        teachable.make_ready()
    models.probe_servers()


def tidy(folder: disk.Folder) -> None:
    """For as long as the page is served: what is old leaves the disk, then the memory."""
    while True:
        try:
            folder.sweep()
            handlers.forget_gone()
        except Exception:
            handlers.log.exception("the sweep failed; it is tried again")
        time.sleep(disk.SWEEP)


def stop_in_order(page: gr.Blocks, end: Callable[[], None]) -> None:
    """When the host says that it is time, `launch` comes to its end."""

    def stop(*_: Any) -> None:
        if not page.is_running:
            end()
        page.is_running = False  # ends what keeps the main thread
        page.app.stop_event.set()  # and what keeps a connection to each open page

    signal.signal(signal.SIGTERM, stop)


def routes(cameras: int) -> list[Route]:
    """What is served beside Gradio. cameras: as in `build_page`."""
    scripts = [fetched(name) for name in FETCHED]
    camera = Route("/live", live.Camera(cameras).answer, methods=["POST"])
    return [*scripts, *[camera] * bool(cameras)]


def launch(
    uploads: bool = False,
    teachable_machine: bool = False,
    cameras: int = 0,
    at_once: int = 0,
    at_end: Callable[[], None] | None = None,
    **options: Any,
) -> None:
    """The page, served until the process is told to end. The first three as in `build_page`;
    at_once: how many questions the networks take, 0: as this machine has processors; at_end: done
    at last;
    options go to Gradio's `launch`."""
    stay_inside()
    if at_once:
        fair.QUICK.widen(at_once)
        engine.compute_slots = threading.BoundedSemaphore(at_once)
    gr.set_static_paths(EXAMPLES_DIR)  # else they are copied to where pictures are deleted
    health = front.Health()
    before = Middleware(front.Front, health, front.embedders(), disk.Quota())
    folder = disk.Folder()
    page = build_page(uploads, teachable_machine, cameras)
    ask_parts_once(page)
    # Gradio ends where the page, which is served by then, does not come within 3 s: a busy machine.
    networking.url_ok = lambda _url: True

    def end() -> None:
        folder.remove()
        if at_end:
            at_end()
        os._exit(0)  # TensorFlow's threads would end it with an error

    stop_in_order(page, end)
    own = uploads or teachable_machine
    threading.Thread(target=warm, args=[health, own], daemon=True).start()
    threading.Thread(target=tidy, args=[folder], daemon=True).start()
    page.launch(
        theme=THEME,
        css_paths=HERE / "page.css",
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        show_error=False,
        strict_cors=True,
        share=False,
        max_file_size=upload.MAX_FILE if uploads else "25mb",
        footer_links=["api"],
        state_session_capacity=200,
        max_threads=MOST,
        app_kwargs={"middleware": [before], "routes": routes(cameras)},
        **options,
    )
    if page.server:
        page.server.close()  # waits some seconds at most for answers under way
    end()
