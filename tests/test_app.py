"""How the page is started."""

import io
import logging
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import teachable_machine

import app
from demo import ui
from gradcam_core import cluster, models, sandbox
from gradcam_core.types import UserError

HOME = Path(__file__).parent.parent


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run app.py with options; its status, and what `launch` was given."""
    monkeypatch.delenv("SPACE_ID", raising=False)

    def run(*options: str) -> tuple[int, list[Any]]:
        given: list[Any] = []
        monkeypatch.setattr(ui, "launch", lambda *args, **_options: given.extend(args))
        monkeypatch.setattr(sys, "argv", ["app.py", *options])
        return app.main(), given

    return run


def test_models_are_uploaded_only_where_the_host_says_so(start: Any) -> None:
    assert start() == (0, [False])
    assert start("--allow-model-upload") == (0, [True])


def test_never_on_spaces(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/lab")
    assert start("--allow-model-upload") == (0, [False])


def test_teachable_machine_is_allowed_by_itself_and_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(ui, "launch", lambda *args, **named: given.append((args, named)))
    monkeypatch.setattr(sandbox, "available", lambda: False)
    monkeypatch.setenv("SPACE_ID", "someone/lab")
    for options in ((), ("--allow-teachable-machine",)):
        monkeypatch.setattr(sys, "argv", ["app.py", *options])
        assert app.main() == 0
    assert [(args, named["teachable_machine"]) for args, named in given] == [
        ((False,), False),
        ((False,), True),
    ]


def test_seats_at_the_live_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Space, too, there are some; none, and none below none, where the host says so."""
    given: list[Any] = []
    monkeypatch.setattr(ui, "launch", lambda *_args, **named: given.append(named))
    for options in ((), ("--live-cameras", "0"), ("--live-cameras", "-3")):
        monkeypatch.setattr(sys, "argv", ["app.py", *options])
        assert app.main() == 0
    assert [named["cameras"] for named in given] == [10, 0, 0]
    assert "ssl_certfile" not in given[0]


def test_a_certificate(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], sentence: Any
) -> None:
    files = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
    assert start("--certificate", *files) == (2, []), "there are no such files"
    Path(files[0]).write_text("no certificate")
    Path(files[1]).write_text("no key")
    assert start("--certificate", *files) == (2, [])
    for said in capsys.readouterr().err.splitlines():
        assert "two files in PEM" in sentence(f"It said: {said}")


def test_a_certificate_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", lambda _self, *files: read.append(files))
    pair = ["cert.pem", "key.pem"]
    told = {"ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem", "ssl_verify": False}
    assert app.over_https(pair) == told
    assert read == [("cert.pem", "key.pem")]


def test_not_where_a_process_cannot_be_limited(
    start: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: False)
    with pytest.raises(SystemExit) as end:
        start("--allow-model-upload")
    assert end.value.code == 2
    assert "use --model" in capsys.readouterr().err
    assert start() == (0, [False])


def test_what_is_said_of_a_model_that_is_not_given(
    start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        start("--head", "linear")
    assert end.value.code == 2
    assert "--model" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "7860.5"])
def test_a_port_that_is_none(
    start: Any, port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    assert start() == (2, [])
    assert "from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["", " "])
def test_a_port_that_is_empty_is_none_asked_for(
    start: Any, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    assert start() == (0, [False])
    assert "GRADIO_SERVER_PORT" not in os.environ, "Gradio would make a number of it"


@pytest.mark.slow
def test_a_port_that_is_taken_is_not_exchanged_for_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        asked = os.environ | {"GRADIO_SERVER_PORT": str(other.getsockname()[1])}
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=HOME, env=asked, capture_output=True, text=True
        )
    assert done.returncode == 2
    assert "GRADIO_SERVER_PORT is free" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_model_of_your_own_comes_first(
    start: Any, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    labels = tmp_path / "names.txt"
    labels.write_text("left\nright\nup\n")
    told = "--labels", str(labels), "--preprocess", "scale11", "--head", "linear"
    assert start("--model", str(small_model), *told) == (0, [False])
    key, spec = next(iter(models.MODELS.items()))
    assert (key, spec.labels, spec.head) == ("own", ("left", "right", "up"), "linear")
    assert spec.preprocess(np.full((24, 24, 3), 255, np.float32)).max() == 1


def test_several_models_of_your_own(
    start: Any, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    pupil = teachable_machine(tmp_path / "converted_keras.zip", ["Mug", "Plant"], 5)
    assert start("--model", str(small_model), "--model", str(pupil)) == (0, [False])
    (first, one), (second, two), *_ = models.MODELS.items()
    assert (first, second) == ("own", "own2")
    assert (one.title, two.title) == ("mine (yours)", "Teachable Machine: Mug, Plant")


def test_names_for_each_of_several_models(
    start: Any, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    (tmp_path / "one.txt").write_text("0 a\n1 b\n2 c\n")
    (tmp_path / "two.json").write_text('{"d": 0, "e": 1, "f": 2}')
    twice = ["--model", str(small_model)] * 2
    names = ["--labels", str(tmp_path / "one.txt"), "--labels", str(tmp_path / "two.json")]
    assert start(*twice, *names) == (0, [False])
    one, two, *_ = models.MODELS.values()
    assert (one.labels, two.labels) == (("a", "b", "c"), ("d", "e", "f"))
    with pytest.raises(SystemExit):
        start(*twice, *names[:2])


def test_replicas_have_the_models_of_your_own_too(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a path that is right in any folder; the page learns how much they take at once."""
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    monkeypatch.chdir(small_model.parent)
    started: list[Any] = []
    monkeypatch.setattr(cluster, "start", lambda *given: started.append(given) or (6, print))
    monkeypatch.setattr(ui, "launch", lambda *_, **named: started.append(named))
    monkeypatch.setattr(sys, "argv", ["app.py", "--replicas", "3", "--model", small_model.name])
    assert app.main() == 0
    (least, own), named = started
    assert least == 3
    assert own.keys() == {"own"}
    assert own["own"].args[0] == small_model
    assert (named["at_once"], named["at_end"]) == (6, print)
    monkeypatch.setattr(sys, "argv", ["app.py", "--replicas", "0"])
    with pytest.raises(SystemExit):
        app.main()
    assert "--replicas" in capsys.readouterr().err


def test_a_model_of_your_own_that_cannot_be_had(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("--model", str(tmp_path / "none.keras")) == (2, [])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "does not exist" in said
    assert "own" not in models.MODELS


ARENAS = """
import app, ctypes, sys, threading
sys.argv = ["app.py", "--model", "none.keras"]
assert app.main() == 2
libc = ctypes.CDLL(None)
libc.fopen.restype = libc.malloc.restype = ctypes.c_void_p
libc.fopen.argtypes, libc.malloc.argtypes = [ctypes.c_char_p] * 2, [ctypes.c_size_t]
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
together = threading.Barrier(12)
def work():
    together.wait()
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has arenas")
def test_the_log_says_where_and_what_and_no_word_of_a_visitor_s() -> None:
    """A traceback's own words hold paths, names, whole values."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(app.Discreet("%(levelname)s %(message)s"))

    def fails() -> None:
        try:
            open("/nowhere/anna.jpg")  # noqa: SIM115
        except OSError as error:
            raise UserError("The file anna.jpg is away.") from error

    try:
        fails()
    except UserError:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "an answer failed", (), sys.exc_info()
        )
    handler.emit(record)
    said = stream.getvalue()
    assert said.startswith("ERROR an answer failed\n")
    first, second = said.index("FileNotFoundError"), said.index("UserError")
    assert first < second, "the cause comes first"
    assert said.count("in fails") == 2
    assert 'anna.jpg"' not in said.replace('open("/nowhere/anna.jpg")', "")
    assert "is away" not in said.replace('UserError("The file anna.jpg is away.")', "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked for more connections")
def test_a_page_has_as_many_connections_as_it_may_have(start: Any) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] - 1, before[1]))
    assert start() == (0, [False])
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_threads_share_two_arenas() -> None:
    """Else each of 16 keeps what it freed, and memory grows with every class of visitors."""
    done = subprocess.run(
        [sys.executable, "-c", ARENAS], cwd=HOME, capture_output=True, text=True, check=True
    )
    assert 1 <= done.stdout.count("<heap nr=") <= 2


def test_the_networks_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by each of their names; unfolded, each is there with its reason."""
    away = {"vgg16": "there is no connection", "vgg19": "pip install it"}
    by_key = {id(spec): key for key, spec in models.MODELS.items()}
    monkeypatch.setattr(models, "missing", lambda spec: away.get(by_key[id(spec)], ""))
    here = [key for key in models.MODELS if key not in away]
    *rows, (line, fold) = ui.offers([])
    assert [key for _, key in rows] == here
    assert (line, fold) == ("2 more · not here: VGG19, VGG16", ui.FOLD)
    assert fold not in models.MODELS
    every = {key: title for title, key in ui.offers([], unfolded=True)}
    assert list(every) == list(models.MODELS)
    assert every["vgg19"] == "VGG19 · not here: pip install it"
    away.clear()
    assert [key for _, key in ui.offers([])] == list(models.MODELS)
