"""Verdicts on the maps of all packaged pictures and layers: `python -m tests.bench.truth`.

Writes docs/truth.md as it goes, so that it may be ended at any time: what is missing says so.
"""

import time
from pathlib import Path

import numpy as np

from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import faithfulness, lookup, models, pipeline, trust
from gradcam_core import image as pictures
from gradcam_core.faithfulness import Judgement

HOME = Path(__file__).parents[2]
HEAD = """# Does the map tell the truth?

Each packaged picture, its likeliest class, each suggested layer of the default network, by the
method that shows the layer in the film (Grad-CAM at the best one, LayerCAM before it).
(LeRF - MoRF) / 2 in points of the score, the map's and, in brackets, that of a blob at the
picture's centre, for each way of painting over; p against shuffled maps (blur, mean). Definitions
and papers: `gradcam_core/faithfulness.py`. Made by `python -m tests.bench.truth`; it is a table,
not a test: misses stay in it.

| picture | layer | method | verdict | blur | mean | linear (ROAD) | p | passes |
|---|---|---|---|---|---|---|---|---|
"""


def line(file: str, label: str, layer: str, method: str, found: Judgement) -> str:
    fills = {one.fill: one for one in found.fills}
    gaps = [f"{f.map.gap:.2f} ({f.centre.gap:.2f})" for f in map(fills.get, faithfulness.STEPS_OF)]
    p = [f"{one.p:.2g}" for one in found.fills if one.p is not None]
    cells = [f"{Path(file).stem}: {label}", layer, method, found.ruling, *gaps]
    return f"| {' | '.join([*cells, ', '.join(p) or 'not tried', str(found.passes)])} |\n"


def main() -> None:
    spec, asked = models.find(models.DEFAULT), lookup.network(models.DEFAULT)
    text, start, rulings = HEAD, time.monotonic(), list[str]()
    target = HOME / "docs" / "truth.md"
    target.parent.mkdir(exist_ok=True)
    for layer in reversed(asked.suggested):
        method = trust.film_method(layer, asked.best, contrast=False)
        for file in EXAMPLES:
            image = pictures.read_rgb(EXAMPLES_DIR / file)
            seen = pipeline.look(image, spec, asked, None, (layer,), (method,))
            signed = seen.maps[layer, method]
            given = image, spec, asked, seen.target, layer, method, signed
            found = pipeline.finished(pipeline.examining(*given))
            rulings.append(found.ruling)
            text += line(file, spec.labels[seen.target.index], layer, method, found)
            every = len(asked.suggested) * len(EXAMPLES)
            counts = ", ".join(f"{rulings.count(r)} {r}" for r in np.unique(rulings))
            end = f"\n{len(rulings)} of {every} maps: {counts}.\n"
            target.write_text(text + end, "utf-8")
            print(f"{time.monotonic() - start:.0f} s {end.strip()}", flush=True)


if __name__ == "__main__":
    main()
