"""The command line: the article's program, for any model, layer, class and method."""

import argparse
import io
import os
import sys
import tempfile
import webbrowser
from pathlib import Path

from gradcam_core import BACKEND, SETTINGS

# With oneDNN TensorFlow greets on standard error; one picture gains nothing by it.
os.environ |= SETTINGS | {"TF_ENABLE_ONEDNN_OPTS": "0"} | os.environ | BACKEND

from gradcam_core import heatmap, lookup, models, pipeline
from gradcam_core import image as pictures
from gradcam_core.methods import METHODS
from gradcam_core.types import UserError

FIGURE_FORMATS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gradcam_core",
        description="Show where a convolutional network sees the evidence for a class.",
    )
    add = parser.add_argument
    add("-i", "--input", type=Path, help="the picture")
    add("-o", "--output", type=Path, help=f"where to save the figure ({', '.join(FIGURE_FORMATS)})")
    add("-l", "--layer", help="the layer to look at (default: the model's best)")
    add("--model", default=models.DEFAULT, help=f"one of: {', '.join(models.MODELS)}")
    add("--class", dest="target", help="class number or name (default: the likeliest)")
    add("--method", default=next(iter(METHODS)), help=f"one of: {', '.join(METHODS)}")
    add("--weights", type=Path, metavar="FILE", help="a local weights file instead of a download")
    add("--list-layers", action="store_true", help="list the layers one can look at, and stop")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    loudness.add_argument("-q", "--quiet", action="store_true", help="save only, say nothing")
    return parser.parse_args(arguments)


def fetching(part: float) -> None:
    print(f"\rfetching the weights: {part:4.0%}", end="\n" * (part == 1), file=sys.stderr)


def run(options: argparse.Namespace) -> None:
    spec, progress = models.find(options.model), None if options.quiet else fetching
    if options.weights:
        if not spec.weights:
            raise UserError(f"{spec.title} has its weights already; leave --weights out.")
        spec = models.with_file(spec, options.weights)
    if options.list_layers:
        net = lookup.network(spec, progress=progress)
        for layer in net.spatial_layers.values():
            mark = "best" if layer.name == net.best else "suggested" if layer.suggested else ""
            print(f"{layer.title:60} {mark}".rstrip())
        return
    if not options.input:
        raise UserError("Name a picture with --input, or list the layers with --list-layers.")
    if not options.output and options.quiet:
        raise UserError("With --quiet nothing is shown, so name a file with --output.")
    if options.output and options.output.suffix.lower() not in FIGURE_FORMATS:
        raise UserError(f"The name of the output must end in one of: {', '.join(FIGURE_FORMATS)}.")
    lookup.network(spec, progress=progress)
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
    output = options.output or Path(tempfile.mkdtemp(prefix="gradcam-"), "gradcam.png")
    try:
        heatmap.save_figure(figure, output)
    except OSError as error:
        raise UserError("The figure could not be saved there; choose another --output.") from error
    if not options.quiet:
        print(f"{name} ({share:.0%}), {options.method} at {result.layer}")
        print(f"saved {output}")
    if not options.output:
        webbrowser.open(output.as_uri())


def main(arguments: list[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where it cannot show a ×
    try:
        run(parse(arguments))
        sys.stdout.flush()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read along has seen enough; Python would flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
