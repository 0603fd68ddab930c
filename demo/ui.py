"""What is on the page, then what sets off what."""

import base64
import os
import threading
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "200")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "200")

import gradio as gr

from demo import handlers, lesson
from demo.components import Picture, Viewer
from demo.handlers import EXAMPLES, EXAMPLES_DIR, NOBODY, PREDICTED, View
from gradcam_core import heatmap, models
from gradcam_core.methods import METHODS

HERE = Path(__file__).parent
CPUS = os.cpu_count() or 2
THEME = gr.themes.Default(
    primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_info_text_color="*neutral_600",
)
FIRST_PICTURE = str(EXAMPLES_DIR / next(iter(EXAMPLES)))


def part(name: str) -> dict[str, Any]:
    """One part of what runs in the browser: markup, style, script, and its colours."""
    folder = HERE / "viewer"
    texts = {kind: (folder / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")}
    palettes = (*heatmap.COLOURS, heatmap.DIVERGING)
    return {
        "html_template": texts["html"],
        "css_template": texts["css"],
        "js_on_load": (folder / "shared.js").read_text("utf-8") + texts["js"],
        "apply_default_css": False,
        "colours": list(heatmap.COLOURS),
        "diverging": heatmap.DIVERGING,
        "palettes": {n: base64.b64encode(heatmap.palette(n).tobytes()).decode() for n in palettes},
    }


def viewer() -> Viewer:
    methods = [
        {"name": n, "line": m.line, "cost": m.cost, "paper": m.paper} for n, m in METHODS.items()
    ]
    functions = [handlers.figure]
    return Viewer(elem_id="viewer", server_functions=functions, methods=methods, **part("viewer"))


def steps_of_the_map() -> gr.HTML:
    functions = [lesson.lesson, lesson.nudge, lesson.without, lesson.cell, lesson.guided]
    return gr.HTML(
        elem_id="lesson", server_functions=functions, steps=lesson.table(), **part("lesson")
    )


def build() -> gr.Blocks:
    first = next(iter(models.MODELS))
    with gr.Blocks(title="Grad-CAM Lab", delete_cache=(600, 3600), fill_width=True) as page:
        gr.HTML(
            "<h1>Grad-CAM Lab</h1><p>See what a convolutional network looks at "
            "when it names what is in your picture.</p>",
            elem_id="title",
        )
        with gr.Row(equal_height=False, elem_id="lab"):
            with gr.Column(min_width=260, elem_id="choices"):
                picture = Picture(
                    FIRST_PICTURE, label="Your picture", sources=["upload", "clipboard", "webcam"],
                    height=210, elem_id="picture", buttons=[],
                )  # fmt: skip
                examples = gr.Gallery(
                    [(str(EXAMPLES_DIR / file), title) for file, title in EXAMPLES.items()],
                    label="Or try one of these", columns=5, height="auto",
                    allow_preview=False, buttons=[],
                    object_fit="cover", elem_id="examples", interactive=False,
                )  # fmt: skip
            with gr.Column(min_width=260, elem_id="asks"):
                model = gr.Dropdown(
                    [(models.offer(spec), key) for key, spec in models.MODELS.items()],
                    value=first, label="Network", elem_id="model",
                )  # fmt: skip
                every = handlers.class_choices(models.MODELS[first])
                target = gr.Dropdown(
                    [("predicted class", PREDICTED), *every], value=PREDICTED,
                    label="Class to explain", info="Type to search", elem_id="class",
                )  # fmt: skip
                other = gr.Dropdown(
                    [("no other class", NOBODY), *every], value=NOBODY, label="Rather than",
                    info="What speaks for the one and not for the other?", elem_id="other",
                )  # fmt: skip
                detail = gr.Checkbox(
                    label="Detail: run at twice the side", elem_id="detail",
                    info="A finer map. Not for networks whose dense layers fix the size.",
                )  # fmt: skip
            with gr.Column(min_width=320, elem_id="look"), gr.Tabs():
                with gr.Tab("Look"):
                    view = viewer()
                with gr.Tab("How it is made"):
                    steps_of_the_map()

        last = gr.State(None)
        inputs = [picture, model, target, other, detail]
        model_event: dict[str, Any] = {
            "api_visibility": "private", "concurrency_id": "model", "concurrency_limit": CPUS,
            "show_progress": "minimal", "trigger_mode": "always_last", "show_progress_on": [view],
        }  # fmt: skip

        def look(
            path: Any,
            key: Any,
            index: Any,
            rival: Any,
            wide: Any,
            last: tuple[Any, ...] | None,
            progress: Any = gr.Progress(),  # noqa: B008 (Gradio fills it in)
        ) -> Any:
            """A new picture or network: the class lists begin with its likeliest classes.

            A network that cannot be had leaves the one before it chosen. A dropdown tells of its
            choice twice, the second time when it is left: the same question gets no second answer.
            """
            if last and handlers.other_classes(last[1], key):
                index, rival = PREDICTED, NOBODY
            question = path, key, index, rival, wide
            if question == last:
                return gr.skip()
            made = handlers.look(*question, progress=progress)
            if made.answer is None:
                before = last[1] if last else first
                return made, before, (path, before, index, rival, wide), gr.skip(), gr.skip()
            choices = handlers.choices(path, key, bool(wide))
            return (
                made,
                key,
                question,
                gr.Dropdown(choices=[("predicted class", PREDICTED), *choices], value=index),
                gr.Dropdown(choices=[("no other class", NOBODY), *choices], value=rival),
            )

        def look_again(path: Any, key: Any, index: Any, rival: Any, wide: Any) -> View:
            return handlers.look(path, key, index, rival, wide)

        def look_at(
            path: Any, key: Any, index: Any, rival: Any, wide: Any, event: gr.EventData
        ) -> View:
            return handlers.look(path, key, index, rival, wide, event.name)

        def pick(event: gr.SelectData) -> tuple[str, int, int]:
            return str(EXAMPLES_DIR / list(EXAMPLES)[event.index]), PREDICTED, NOBODY

        def pick_class(event: gr.EventData) -> int:
            return int(event.index)

        lists, asked = [view, model, last, target, other], [*inputs, last]
        page.load(look, asked, lists, **model_event)
        picture.input(lambda: (PREDICTED, NOBODY), None, [target, other], **quick()).then(
            look, asked, lists, **model_event
        )
        examples.select(pick, None, [picture, target, other], **quick()).then(
            look, asked, lists, **model_event
        )
        gr.on([model.input, detail.input], look, asked, lists, **model_event)
        gr.on(
            [target.input, other.input], look_again, inputs, view,
            **model_event,
        )  # fmt: skip
        view.choose(pick_class, None, target, **quick()).then(
            look_again, inputs, view, **model_event
        )
        view.layer(look_at, inputs, view, **model_event)
        gr.api(handlers.explain, api_name="explain", concurrency_id="model", concurrency_limit=CPUS)
    page.queue(max_size=128, default_concurrency_limit=2)
    return page


def quick() -> dict[str, Any]:
    return {
        "queue": False, "show_progress": "hidden", "api_visibility": "private",
        "trigger_mode": "always_last",
    }  # fmt: skip


def warm() -> None:
    """Load the default network and explain the first example: the first visitor waits less."""
    handlers.look(FIRST_PICTURE, next(iter(models.MODELS)), PREDICTED, NOBODY, False)


def launch(**options: Any) -> gr.Blocks:
    """The page, served; options go to Gradio's `launch`."""
    page = build()
    threading.Thread(target=warm, daemon=True).start()
    page.launch(
        theme=THEME,
        css_paths=HERE / "page.css",
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        show_error=False,
        strict_cors=True,
        share=False,
        max_file_size="25mb",
        footer_links=["api"],
        **options,
    )
    return page
