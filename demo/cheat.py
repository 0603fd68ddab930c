"""The networks that may cheat: a picture is drawn, each of them answers, and the truth is known."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder

from demo import engine
from demo.trust import in_shares
from demo.wire import CheatAnswer, Confession, Suspect, likely, served, small_url
from gradcam_core import heatmap, lookup, models, pipeline, planted
from gradcam_core import image as pictures
from gradcam_core.methods import placement_of
from gradcam_core.types import U8, UserError

SHOWN = 288  # pixels: side of a picture that is drawn for people
LAST_NUMBER = 10_000  # pictures of a thing
METHOD = "Grad-CAM"


def picture_of(request: Any) -> U8:
    """What a wire.CheatRequest asks to be drawn, (SHOWN, SHOWN, 3)."""
    thing, number, tag = (
        (request.get(name) for name in ("thing", "number", "tag"))
        if isinstance(request, dict)
        else (None, None, None)
    )
    if thing not in planted.THINGS or type(number) is not int or not 0 <= number < LAST_NUMBER:
        raise UserError(f"Choose what to draw: {', '.join(planted.THINGS)}.")
    if tag is not None and not in_shares(tag, 2):
        raise UserError("Click into the picture to put the tag there.")
    dice = np.random.default_rng((number, planted.THINGS.index(thing)))
    return planted.drawn(thing, dice, None if tag is None else (tag[0], tag[1]), SHOWN)


@served("suspects")
def ask_suspects(request: Any) -> CheatAnswer:
    """A thing is drawn, and each of the networks says what it is: a wire.CheatRequest."""
    picture = picture_of(request)
    suspects = list[Suspect]()
    for key in planted.PLANTED:
        spec, asked = models.find(key), lookup.network(key)
        with engine.compute_slots:
            seen = pipeline.look(picture, spec, asked, None, (asked.best,), (METHOD,))
        heat = heatmap.project(
            heatmap.normalise(seen.maps[asked.best, METHOD]),
            (SHOWN, SHOWN),
            placement_of(asked.layers[asked.best], METHOD),
        )
        suspects.append(
            {
                "model": key,
                "title": spec.title,
                "classes": likely(seen.probabilities, seen.logits, spec.labels)[:2],
                "overlay": small_url(heatmap.overlay(picture, heat), SHOWN),
            }
        )
    return {"picture": small_url(picture, SHOWN), "suspects": suspects}


def to_look_at(request: Any) -> tuple[str, str]:
    """A picture as a file, and one of the networks, to be looked at: a wire.CheatRequest with
    "model". Raises UserError."""
    picture, model = picture_of(request), request.get("model")
    if model not in tuple(planted.PLANTED):
        raise UserError("Choose one of the networks of shapes.")
    folder = Path(get_upload_folder()) / hashlib.sha256(picture.tobytes()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    pictures.save_png(picture, folder / f"{request['thing']}.png")
    return str(folder / f"{request['thing']}.png"), model


@served("confess")
def confess(_request: Any) -> list[Confession]:
    """What was planted in each of them, and what was measured."""
    return [
        {
            "model": key,
            "title": models.find(key).title,
            "cheats": one.cheats_on is not None,
            "sentence": planted.confession(key),
        }
        for key, one in planted.PLANTED.items()
    ]
