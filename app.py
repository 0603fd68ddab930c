"""Starts the page: `python app.py`, and on Spaces. `--help` says how to add a model of your own."""

import argparse
import ctypes
import logging
import os
import ssl
import sys
import traceback
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from gradcam_core import BACKEND, SETTINGS

os.environ |= SETTINGS | os.environ | BACKEND

from gradcam_core import class_names, cluster, models, sandbox
from gradcam_core.types import Head, UserError


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Grad-CAM Lab in the browser.")
    add = parser.add_argument
    add(
        "--model", action="append", default=[], metavar="FILE",
        help="your own model, put first in the list: .keras, .h5, or Teachable Machine's zip; "
        "may be given several times",
    )  # fmt: skip
    add(
        "--labels", action="append", default=[], type=Path, metavar="FILE",
        help="its class names: text, CSV or JSON; with several models once for each, in order",
    )  # fmt: skip
    add("--preprocess", choices=models.PREPROCESS, help="what it wants its pixels to be")
    add("--head", choices=get_args(Head), help="what its outputs mean; linear: a regression")
    add("--trust", action="store_true", help="run code that is inside the file (a Lambda)")
    add("--custom", type=Path, metavar="FILE.py", help="classes that it needs; the file is run")
    add("--weights-dir", type=Path, help="a folder of weights files, for machines without network")
    add(
        "--allow-model-upload", action="store_true",
        help="let visitors upload models, each run in a process with limits; never on Spaces",
    )  # fmt: skip
    add(
        "--allow-teachable-machine", action="store_true",
        help="let visitors bring models of Teachable Machine; no code of theirs is run",
    )  # fmt: skip
    add(
        "--live-cameras", type=int, default=10, metavar="N",
        help="how many visitors may use the live camera at once; 0: nobody",
    )  # fmt: skip
    add(
        "--certificate", nargs=2, metavar=("CERT.pem", "KEY.pem"),
        help="serve the page over https, as browsers of other machines want it for the camera",
    )  # fmt: skip
    add(
        "--replicas", type=int, metavar="N",
        help="answer with N processes or more behind Ray Serve, on this machine or on the cluster "
        "that RAY_ADDRESS names: docs/hosting.md",
    )  # fmt: skip
    options = parser.parse_args()
    about = options.labels, options.preprocess, options.head, options.trust, options.custom
    if not options.model and any(about):
        parser.error(
            "--labels, --preprocess, --head, --trust and --custom say something about --model; "
            "give it too"
        )
    if options.replicas is not None and options.replicas < 1:
        parser.error("--replicas must be a number from 1")
    if options.labels and len(options.labels) != len(options.model):
        parser.error("--labels must be given once for each --model, in the same order")
    if options.allow_model_upload and not sandbox.available():
        parser.error(
            "this system cannot limit a process, so models cannot be uploaded; use --model"
        )
    return options


class Discreet(logging.Formatter):
    """Of what went wrong where and of which kind: its words may hold a visitor's file."""

    def formatException(self, ei: Any) -> str:
        lines, error = list[str](), ei[1]
        while error is not None:
            lines[:0] = [*traceback.format_tb(error.__traceback__), f"{type(error).__name__}\n"]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "".join(lines).rstrip()


def share_arenas() -> None:
    """Two for all threads, where the C library is glibc: else each keeps what it has freed."""
    arena_max = -8  # in malloc.h
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(arena_max, 2)


def allow_many_lines() -> None:
    """As many connections as the system lets this process have: else a thousand that say nothing
    keep everybody out."""
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def port() -> int | None:
    """The port that the host asked for: that one and no other. None: the first that is free.

    It leaves the environment, where Gradio would make a number of an empty one.
    """
    asked = os.environ.pop("GRADIO_SERVER_PORT", "").strip()
    if asked and not (asked.isdecimal() and 0 < int(asked) < 65536):
        raise UserError("GRADIO_SERVER_PORT must be a number from 1 to 65535.")
    return int(asked) if asked else None


def over_https(files: list[str] | None) -> dict[str, Any]:
    """What Gradio is told of a certificate and its key. Raises UserError."""
    if not files:
        return {}
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*files)
    except OSError as error:
        raise UserError(
            "--certificate wants two files in PEM, a certificate and the key that belongs to it."
        ) from error
    # Gradio asks the page once whether it is there; one's own certificate is enough for it
    return dict(zip(("ssl_certfile", "ssl_keyfile"), files, strict=True)) | {"ssl_verify": False}


def main() -> int:
    share_arenas()
    allow_many_lines()
    options = parse()
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("gradcam_lab").setLevel(logging.INFO)
    if options.weights_dir:
        os.environ["GRADCAM_WEIGHTS_DIR"] = str(options.weights_dir)
    try:
        names = [class_names.read_names(file) for file in options.labels]
        own = {
            f"own{number if number > 1 else ''}": partial(
                models.load_file, Path(file).absolute(), labels, options.preprocess, options.head,
                trust=options.trust, custom=options.custom and options.custom.absolute(),
            )
            for number, (file, labels) in enumerate(zip_longest(options.model, names), 1)
        }  # fmt: skip
        for key, order in reversed(own.items()):
            models.put_first(key, order())
        where, https = port(), over_https(options.certificate)
        at_once, at_end = cluster.start(options.replicas, own) if options.replicas else (0, None)
        from demo.ui import launch

        at_home = "SPACE_ID" not in os.environ
        uploads, browser = options.allow_model_upload and at_home, sys.stdout.isatty() and at_home
        launch(
            uploads,
            teachable_machine=options.allow_teachable_machine,
            cameras=max(options.live_cameras, 0),
            at_once=at_once,
            at_end=at_end,
            inbrowser=browser,
            server_port=where,
            **https,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"The page cannot be served ({error}): see that GRADIO_SERVER_PORT is free, that "
            "GRADIO_SERVER_NAME is an address of this machine, and that GRADIO_TEMP_DIR can be "
            "written to.",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
