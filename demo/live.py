"""The live camera: one frame in, its map out, by a route of its own beside Gradio."""

import time
from collections import Counter
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from demo import engine, fair
from demo.doors import visitor
from demo.wire import LiveAnswer, Packing, likely, served, signed_map
from gradcam_core import image as pictures
from gradcam_core import lookup, models, pipeline
from gradcam_core.methods import placement_of
from gradcam_core.types import Stopped, UserError

STAYS = 10  # seconds after the last frame, until a seat is free
ELSEWHERE = "The live camera answers to its own page only."
NO_SEAT = "All places at the live camera are taken; it goes on by itself once one is free."


class Seats:
    """Who has the live camera, and since when no frame came. It lives on the event loop."""

    def __init__(self, number: int):
        self.number = number
        self.taken: dict[fair.Visitor, float] = {}

    def take(self, who: fair.Visitor, now: float) -> bool:
        """Whether this visitor has a seat. now: seconds of any clock.

        Where all are taken, the address with the most of them gives one to an address that has
        fewer even with it: visitors name themselves, and many may be one.
        """
        self.taken = {one: last for one, last in self.taken.items() if now - last < STAYS}
        if who not in self.taken and len(self.taken) >= self.number:
            crowd = Counter(one.address for one in self.taken)
            largest, most = crowd.most_common(1)[0] if crowd else ("", 0)
            if crowd[who.address] + 1 >= most:
                return False
            del self.taken[[one for one in self.taken if one.address == largest][-1]]
        self.taken[who] = now
        return True


class Camera:
    """`POST /live?who=..&model=..` with a JPEG: a wire.LiveAnswer, or {"error": sentence}."""

    def __init__(self, seats: int):
        self.seats = Seats(seats)

    async def answer(self, request: Request) -> Response:
        asks = request.query_params.get
        who, model = visitor(request, f"live {asks('who', '')}"), asks("model")
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return JSONResponse({"error": ELSEWHERE}, 403)
        if not self.seats.take(who, time.monotonic()):
            return JSONResponse({"error": NO_SEAT}, 503)
        try:
            frame = await body(request)
            gone, about = request.is_disconnected, (frame, model)
            made = await fair.ask_network(who, (model,), lambda _: explained(about), gone=gone)
            return JSONResponse(made)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)
        except (Stopped, ClientDisconnect):  # nobody reads it
            return Response(status_code=204)


async def body(request: Request) -> bytes:
    """What was sent. Raises UserError as soon as it is more than a frame may have."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > pictures.FRAME_BYTES:
            raise UserError(pictures.NO_FRAME)
    return data


@served("live")
def explained(about: Any) -> LiveAnswer:
    """What speaks for the likeliest class, at the network's best layer; of (JPEG, model)."""
    frame, model = about
    image, spec = pictures.read_frame(frame), models.find(model)
    asked = lookup.network(spec)
    layer, method = asked.layers[asked.best], engine.COVERED
    with engine.compute_slots:
        seen = pipeline.look(image, spec, asked, None, (layer.name,), (method,))
    signed = seen.maps[layer.name, method]
    part = pictures.part_seen((image.shape[0], image.shape[1]), asked.shape[:2], spec.crop)
    packing = Packing(max(signed.shape))
    return {
        "classes": likely(seen.probabilities, seen.logits, spec.labels),
        "map": signed_map(packing, signed, placement_of(layer, method, part)),
        "bytes": packing.text(),
    }
