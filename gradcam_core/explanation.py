"""The answer with a face: in a notebook it shows itself, and it can be saved."""

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcam_core import heatmap
from gradcam_core.methods import METHODS
from gradcam_core.types import F32, U8, Meaning, Placement, Survey, UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
ENDINGS = (*FIGURES, ".npz")


def ranked(p: F32, y: F32) -> list[int]:
    """The classes, the likeliest first; of equals the one of the higher score. p, y (C,)."""
    return [int(i) for i in np.lexsort((-y, -p))]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """One layer, one class, some methods. Where no method is named, the first of them is meant."""

    image: U8  # (H, W, 3)
    target: int
    probabilities: F32  # (C,); or the output itself, as `meaning` says
    layer: str
    maps: Mapping[str, F32]  # method -> signed (h, w)
    heatmaps: Mapping[str, F32]  # method -> (H, W) in [0, 1]
    survey: Survey
    labels: tuple[str, ...]  # C
    meaning: Meaning  # of the model's output
    remarks: tuple[str, ...] = ()  # what was done to the picture and is to be known, in sentences
    placements: Mapping[str, Placement] = field(default_factory=dict)  # of the maps that lie on
    # a part of the picture, or beyond it

    @property
    def label(self) -> str:
        """The name of the class that is explained."""
        return self.labels[self.target]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes: name and probability."""
        best = ranked(self.probabilities, self.survey.logits)[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in best]

    def overlay(
        self,
        method: str | None = None,
        colours: str = heatmap.COLOURS[0],
        opacity: float | None = None,
    ) -> U8:
        """The heatmap over the picture, (H, W, 3). colours: one of heatmap.COLOURS."""
        if colours not in heatmap.COLOURS:
            known = ", ".join(heatmap.COLOURS)
            raise UserError(f"There is no such colour map; choose from: {known}.")
        if opacity is not None and not 0 <= opacity <= 1:
            raise UserError("The opacity must be a number from 0 to 1.")
        name = self._one(method)
        heat = self.heatmaps[name]
        if placement := self.placements.get(name):
            places = heatmap.on_grid((heat.shape[0], heat.shape[1]), placement)
            heat = np.where(heatmap.inside_grid(places), heat, np.float32(heatmap.NO_MAP))
        return heatmap.overlay(self.image, heat, colours, opacity)

    def figure(self, method: str | None = None, colours: str = heatmap.COLOURS[0]) -> "Figure":
        """The article's figure: the picture, and the overlay beside it."""
        title = f"{self.target}: {self._class()}\n{self._how(self._one(method))}"
        return heatmap.figure(self.image, self.overlay(method, colours), title, colours)

    def save(
        self, path: str | Path, method: str | None = None, colours: str = heatmap.COLOURS[0]
    ) -> None:
        """The figure as .png, .jpg, .pdf or .svg, or all numbers as .npz. May raise OSError.

        The .npz holds, for numpy.load: image (H, W, 3) uint8; target, and rival where there is one;
        label; layer; probabilities and logits (C,); of every method, "maps/Grad-CAM" signed (h, w)
        and "heatmaps/Grad-CAM" (H, W) in [0, 1].
        """
        ending = Path(path).suffix.lower()
        if ending not in ENDINGS:
            raise UserError(f"The name of the file must end in one of: {', '.join(ENDINGS)}.")
        if ending in FIGURES:
            heatmap.save_figure(self.figure(method, colours), path)
            return
        with open(path, "wb") as file:  # a name that ends in .NPZ would get a second ending
            np.savez_compressed(file, **self._numbers())

    def _numbers(self) -> dict[str, Any]:
        rival = self.survey.target.rival
        return {
            "image": self.image,
            "target": np.array(self.target),
            **({} if rival is None else {"rival": np.array(rival)}),
            "label": np.array(self.label),
            "layer": np.array(self.layer),
            "probabilities": self.probabilities,
            "logits": self.survey.logits,
            **{f"maps/{name}": signed for name, signed in self.maps.items()},
            **{f"heatmaps/{name}": heat for name, heat in self.heatmaps.items()},
        }

    def _one(self, method: str | None) -> str:
        if method is None:
            return next(iter(self.maps))
        if method not in self.maps:
            raise UserError(f"That method was not asked for; choose from: {', '.join(self.maps)}.")
        return method

    def _class(self) -> str:
        p, rival = self.probabilities[self.target], self.survey.target.rival
        told = f"{p:.0%}" if self.meaning.percent else f"{p:.3g}"
        rather = "" if rival is None else f" rather than {self.labels[rival]}"
        return f"{self.label} ({told}){rather}"

    def _how(self, *methods: str) -> str:
        everywhere = all(METHODS[name].of_picture for name in methods)
        return ", ".join(methods) + ("" if everywhere else f" at {self.layer}")

    def __str__(self) -> str:
        return f"{self._class()}, {self._how(*self.maps)}"

    def __repr__(self) -> str:
        return f"<Explanation: {self}>"

    def _repr_html_(self) -> str:
        png = base64.b64encode(heatmap.figure_png(self.figure())).decode()
        words = html.escape(str(self))
        return f'<img alt="{words}" src="data:image/png;base64,{png}" style="max-width: 100%">'
