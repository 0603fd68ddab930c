"""The command line: the article's program, for any model, layer, class and method."""

import argparse
import sys
from pathlib import Path

from gradcam_core import heatmap, image as pictures, models, pipeline
from gradcam_core.methods import METHODS
from gradcam_core.types import UserError


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gradcam_core",
        description="Show where a convolutional network sees the evidence for a class.",
    )
    add = parser.add_argument
    add("-i", "--input", type=Path, help="the picture")
    add("-o", "--output", type=Path, help="where to save the figure (.png, .jpg, .pdf, .svg)")
    add("-l", "--layer", help="the layer to look at (default: the model's best)")
    add("--model", default=models.DEFAULT, help=f"one of: {', '.join(models.MODELS)}")
    add("--class", dest="target", help="class number or name (default: the likeliest)")
    add("--method", default=next(iter(METHODS)), help=f"one of: {', '.join(METHODS)}")
    add("--weights", type=Path, metavar="FILE", help="a local weights file instead of a download")
    add("--list-layers", action="store_true", help="list the layers one can look at, and stop")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    loudness.add_argument("-q", "--quiet", action="store_true", help="save only, do not show")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    spec = models.find(options.model)
    if options.weights:
        spec = models.with_file(spec, options.weights)
    if options.list_layers:
        net = pipeline.network(spec)
        for layer in net.places.values():
            mark = "best" if layer.name == net.best else "suggested" if layer.suggested else ""
            print(f"{layer.title:60} {mark}".rstrip())
        return
    if not options.input:
        raise UserError("Name a picture with --input, or list the layers with --list-layers.")
    if not options.output and options.quiet:
        raise UserError("With --quiet nothing is shown, so name a file with --output.")
    result = pipeline.explain(
        pictures.read_rgb(options.input), spec, options.layer, options.target, (options.method,)
    )
    name = spec.labels[result.target]
    share = result.probabilities[result.target]
    if options.verbose:
        for i in result.probabilities.argsort()[:-6:-1]:
            print(f"{i:4} {spec.labels[i]:40} {result.probabilities[i]:6.1%}")
    over = heatmap.overlay(result.image, result.heatmaps[options.method])
    title = f"{result.target}: {name} ({share:.0%})\n{options.method} at {result.layer}"
    figure = heatmap.figure(result.image, over, title)
    if options.output:
        heatmap.save_figure(figure, options.output)
    if not options.quiet:
        print(f"{name} ({share:.0%}), {options.method} at {result.layer}")
        if options.output:
            print(f"saved {options.output}")
        else:
            pictures.show(heatmap.figure_pixels(figure))


def main(arguments: list[str] | None = None) -> int:
    try:
        run(parse(arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
