"""The command line: the article's program, for any model, layer, class and method."""

import argparse
import io
import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from gradcam_core import BACKEND, SETTINGS

# With oneDNN TensorFlow greets on standard error; one picture gains nothing by it.
os.environ |= SETTINGS | {"TF_ENABLE_ONEDNN_OPTS": "0"} | os.environ | BACKEND

from gradcam_core import doctor, faithfulness, heatmap, lookup, models, pipeline
from gradcam_core import image as pictures
from gradcam_core.explanation import ENDINGS
from gradcam_core.methods import METHODS
from gradcam_core.types import Head, ModelSpec, Progress, UserError


def parse(arguments: list[str] | None) -> argparse.Namespace:
    given = sys.argv[1:] if arguments is None else arguments
    prog = "gradcam" if Path(sys.argv[0]).stem == "gradcam" else "python -m gradcam_core"
    if given[:1] == ["check"]:
        return parse_check(f"{prog} check", given[1:])
    if given[:1] == ["doctor"]:
        return parse_doctor(f"{prog} doctor", given[1:])
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Show where a convolutional network sees the evidence for a class.",
        epilog=f"{prog} check PICTURE asks whether such a map tells the truth; "
        f"{prog} doctor PICTURE --model FILE how a model wants its pixels.",
    )
    parser.set_defaults(do=run_explain)
    add = parser.add_argument
    add("-i", "--input", type=Path, help="the picture")
    add(
        "-o", "--output", type=Path,
        help=f"where to save the figure, or with .npz its numbers ({', '.join(ENDINGS)})",
    )  # fmt: skip
    add_question(parser)
    add("--detail", action="store_true", help="run the network at twice its side")
    add("--colours", default=heatmap.COLOURS[0], choices=heatmap.COLOURS, help="of the overlay")
    add("--list-layers", action="store_true", help="list the layers one can look at, and stop")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    loudness.add_argument("-q", "--quiet", action="store_true", help="save only, say nothing")
    return parser.parse_args(given)


def add_question(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-l", "--layer", help="the layer to look at (default: the model's best)")
    add("--class", dest="target", help="class number or name (default: the likeliest)")
    add("--method", default=next(iter(METHODS)), help=f"one of: {', '.join(METHODS)}")
    add_model(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model", default=models.DEFAULT, metavar="NAME|FILE",
        help=f"a file of your own, - for standard input, or one of: {', '.join(models.MODELS)}",
    )  # fmt: skip
    own = parser.add_argument_group("a model of your own").add_argument
    own("--labels", type=Path, metavar="FILE", help="its class names: text, CSV or JSON")
    own("--preprocess", choices=models.PREPROCESS, help="what it wants its pixels to be")
    own("--head", choices=get_args(Head), help="what its outputs mean; linear: a regression")
    own("--trust", action="store_true", help="run code that is inside the file (a Lambda)")
    own("--custom", type=Path, metavar="FILE.py", help="classes that it needs; the file is run")
    add("--weights", type=Path, metavar="FILE", help="a local weights file instead of a download")


def parse_check(prog: str, arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Is a map better than chance, and than pointing at the picture's centre? Parts "
        "of the picture are hidden, hottest or coldest first, and the network is asked again.",
    )
    parser.add_argument("picture", type=Path)
    add_question(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="tell no progress")
    parser.set_defaults(do=run_check)
    return parser.parse_args(arguments)


def parse_doctor(prog: str, arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="How does a model want its pixels? What it answers for each way of preparing a "
        "picture, side by side, and which way the evidence favours.",
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument(
        "--labelled", type=Path, metavar="FOLDER",
        help="pictures whose class is known: a folder with a folder of each class, of its name",
    )  # fmt: skip
    add_model(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="tell no progress")
    parser.set_defaults(do=run_doctor)
    return parser.parse_args(arguments)


@contextmanager
def telling(what: str, quiet: bool) -> Iterator[Progress | None]:
    """How far it is, in a line on standard error that ends when the work does."""
    parts = []

    def tell(part: float) -> None:
        parts.append(part)
        print(f"\r{what}: {part:4.0%}", end="", file=sys.stderr, flush=True)

    try:
        yield None if quiet else tell
    finally:
        if parts:
            print(file=sys.stderr)


def row_for(options: argparse.Namespace) -> ModelSpec:
    spec = models.named_or_file(
        options.model, options.labels, options.preprocess, options.head, options.trust,
        options.custom,
    )  # fmt: skip
    if not options.weights:
        return spec
    if not spec.weights:
        raise UserError(f"{spec.title} has its weights already; leave --weights out.")
    return models.with_file(spec, options.weights)


def run_check(options: argparse.Namespace) -> None:
    spec = row_for(options)
    with telling("fetching the weights", options.quiet) as progress:
        lookup.network(spec, progress=progress)
    start = time.monotonic()
    with telling("hiding parts", options.quiet) as progress:
        made, found = pipeline.checked(
            options.picture, spec, options.layer, options.target, options.method, progress
        )
    print(*made.remarks, made, faithfulness.sentence_of(found), sep="\n")
    for one in found.fills:
        print(f"  {one.fill}: {faithfulness.said_by(one)}")
    print(f"{found.passes} passes of the network, {time.monotonic() - start:.0f} s")


def run_doctor(options: argparse.Namespace) -> None:
    spec = row_for(options)
    with telling("fetching the weights", options.quiet) as progress:
        net = lookup.network(spec, progress=progress)
    known = doctor.labelled_in(options.labelled) if options.labelled else ()
    found = doctor.diagnose(pictures.read_rgb(options.picture), spec, net, known)
    for number, way in enumerate(found.ways):
        said = ["no numbers come out"]
        if way.target is not None and way.probabilities is not None:
            p = way.probabilities[way.target]
            share = f"{p:.1%}" if net.meaning.percent else f"{p:.3g}"
            said = [f"{spec.labels[way.target]} ({share})"]
        said += ["in use"] * (number == found.used) + ["favoured"] * (number == found.favoured)
        print(f"{way.preprocess}: {doctor.in_words(way)}", *said, sep=" · ")
    print(*found.why, sep="\n")


def run_explain(options: argparse.Namespace) -> None:
    spec = row_for(options)
    if not options.list_layers:
        if not options.input:
            raise UserError("Name a picture with --input, or list the layers with --list-layers.")
        if not options.output and options.quiet:
            raise UserError("With --quiet nothing is shown, so name a file with --output.")
        if options.output and options.output.suffix.lower() not in ENDINGS:
            raise UserError(f"The name of the output must end in one of: {', '.join(ENDINGS)}.")
    with telling("fetching the weights", options.quiet) as progress:
        net = lookup.network(spec, options.detail, progress=progress)
    if options.list_layers:
        for layer in net.spatial_layers.values():
            mark = "best" if layer.name == net.best else "suggested" if layer.suggested else ""
            print(f"{layer.title:60} {mark}".rstrip())
        return
    with telling(options.method, options.quiet) as progress:
        result = pipeline.explain(
            options.input, spec, options.layer, options.target, options.method, options.detail,
            progress,
        )  # fmt: skip
    if options.verbose:
        for name, share in result.top():
            print(f"{result.labels.index(name):4} {name:40} {share:6.1%}")
    output = options.output or Path(tempfile.mkdtemp(prefix="gradcam-"), "gradcam.png")
    try:
        result.save(output, colours=options.colours)
    except OSError as error:
        raise UserError("The figure could not be saved there; choose another --output.") from error
    if not options.quiet:
        guesses = [finding.why for finding in spec.guesses]
        print(*dict.fromkeys([*spec.notes, *guesses, *result.remarks]), result, sep="\n")
        print(f"saved {output}")
    if not options.output:
        webbrowser.open(output.as_uri())


def main(arguments: list[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where it cannot show a ×
    try:
        options = parse(arguments)
        options.do(options)
        sys.stdout.flush()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read along has seen enough; Python would flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
