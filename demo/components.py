"""The two parts of the page that Gradio does not have. (It writes a .pyi beside this file.)"""

from typing import Any

import gradio as gr

from demo.wire import View


class Picture(gr.Image):
    """The picture's way in: hands over the path; `image.read_rgb` decodes."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        return payload.path if payload else None


class Viewer(gr.HTML):
    """The part of the page that runs in the browser: viewer/viewer.js on viewer/viewer.html."""

    data_model = View

    def preprocess(self, payload: View | None) -> View | None:
        return payload

    def postprocess(self, value: View | None) -> View | None:
        return value
