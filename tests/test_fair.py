"""Whose turn it is to compute, played through without a clock: work is done when a test says so."""

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import BlocksConfig
from gradio.state_holder import SessionState
from visitor import PICTURE

from demo import fair, ui
from demo.fair import Gate, Place, Visitor
from demo.words import FAILED, FULL, STOPPED, place_in_line
from gradcam_core import lookup, models, pipeline
from gradcam_core.cache import Cache
from gradcam_core.methods import METHODS
from gradcam_core.types import Stopped, UserError

PUPIL, OTHER, STRANGER = Visitor("school", "a"), Visitor("school", "b"), Visitor("far", "c")


class Works:
    """Work that begins when its turn comes and ends when it is told to, by its name."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends: dict[str, threading.Event] = {}

    def of(self, name: str) -> Callable[[Place], str]:
        self.ends[name] = threading.Event()

        def work(_place: Place) -> str:
            self.begun.append(name)
            assert self.ends[name].wait(60)
            return name

        return work


def played(play: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own: where browser tests ran before, this one already has a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(play, 60)).result()


async def until(so: Callable[[], bool]) -> None:
    while not so():
        await asyncio.sleep(0.001)


def asks(gate: Gate, who: Visitor, work: Callable[[Place], Any], **more: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(gate.run(who, work, **more))


async def said(task: asyncio.Task[Any]) -> str:
    with pytest.raises(UserError) as caught:
        await task
    return str(caught.value)


@pytest.mark.parametrize("first", [2, 1])
def test_no_more_at_once_than_there_are_places(first: int) -> None:
    """Also where the places were said later."""

    async def play() -> None:
        works, gate = Works(), Gate(first, patience=60)
        gate.widen(2)
        tasks = [asks(gate, Visitor("x", name), works.of(name)) for name in "abc"]
        await until(lambda: len(works.begun) == 2)
        assert sorted(works.begun) == ["a", "b"]
        assert [place.who.session for place in gate.waiting] == ["c"]
        works.ends["b"].set()
        await until(lambda: len(works.begun) == 3)
        works.ends["a"].set()
        works.ends["c"].set()
        assert await asyncio.gather(*tasks) == ["a", "b", "c"]
        assert (gate.waiting, gate.at_work) == ([], [])

    played(play())


def test_one_visitor_has_one_place() -> None:
    """However many are free, and whatever came before."""

    async def play() -> None:
        works, gate = Works(), Gate(3, patience=60)
        tasks = [asks(gate, PUPIL, works.of(name)) for name in ("1", "2")]
        tasks.append(asks(gate, OTHER, works.of("3")))
        await until(lambda: len(works.begun) == 2)
        assert sorted(works.begun) == ["1", "3"]
        works.ends["1"].set()
        await until(lambda: len(works.begun) == 3)
        works.ends["2"].set()
        works.ends["3"].set()
        await asyncio.gather(*tasks)

    played(play())


def test_a_visitor_waits_with_few_questions() -> None:
    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        tasks = [asks(gate, PUPIL, works.of(str(n))) for n in range(1 + fair.EACH)]
        await until(lambda: works.begun == ["0"])
        assert await said(asks(gate, PUPIL, works.of("more"))) == fair.TWICE
        other = asks(gate, OTHER, works.of("other"))
        for end in works.ends.values():
            end.set()
        assert await asyncio.gather(*tasks, other) == ["0", "1", "2", "3", "other"]
        assert await gate.run(PUPIL, lambda _place: "again") == "again"

    played(play())


def test_the_least_served_comes_first() -> None:
    """By address, then by visitor; the first who came, of equals."""

    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        gate.served.update({"school": 9, PUPIL: 8, OTHER: 1, "far": 5, STRANGER: 5})
        first = asks(gate, Visitor("x", "x"), works.of("first"))
        new, here = Visitor("new", "d"), Visitor("school", "e")
        every = [PUPIL, OTHER, STRANGER, here, new, Visitor("new", "f")]
        tasks = [asks(gate, who, works.of(f"{who.session}")) for who in every]
        await until(lambda: len(gate.waiting) == len(every))
        assert [place.who.session for place in gate.order()] == ["d", "f", "c", "e", "b", "a"]
        for end in works.ends.values():
            end.set()
        await asyncio.gather(first, *tasks)
        assert gate.served == {}, "a quiet moment: all begin anew"

    played(play())


def test_who_works_is_served() -> None:
    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        tasks = [asks(gate, who, works.of(who.session)) for who in (PUPIL, OTHER, STRANGER)]
        await until(lambda: works.begun == ["a"])
        works.ends["a"].set()
        await until(lambda: len(works.begun) == 2)
        assert works.begun == ["a", "c"], "the school was served, the stranger was not"
        assert gate.served[PUPIL] == gate.served["school"] > 0
        works.ends["b"].set()
        works.ends["c"].set()
        await asyncio.gather(*tasks)

    played(play())


def test_a_full_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more of a crowd is refused; a single one takes the place of the crowd's newest."""
    monkeypatch.setattr(fair, "WAITING", 4)

    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        first = asks(gate, Visitor("x", "x"), works.of("x"))
        crowd = [asks(gate, Visitor("school", n), works.of(n)) for n in "1234"]
        await until(lambda: len(gate.waiting) == 4)
        assert await said(asks(gate, Visitor("school", "5"), works.of("5"))) == FULL
        one = asks(gate, STRANGER, works.of("c"))
        assert await said(crowd.pop()) == FULL
        assert [place.who.session for place in gate.waiting] == ["1", "2", "3", "c"]
        two = asks(gate, Visitor("far", "d"), works.of("d"))
        assert await said(crowd.pop()) == FULL
        assert await said(asks(gate, Visitor("far", "e"), works.of("e"))) == FULL
        for end in works.ends.values():
            end.set()
        await asyncio.gather(first, *crowd, one, two)
        assert await gate.run(PUPIL, lambda _place: 1) == 1

    played(play())


def test_who_would_have_as_many_as_the_crowd_drives_out_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair, "WAITING", 3)

    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        every = [Visitor("x", "x"), PUPIL, OTHER, STRANGER]
        tasks = [asks(gate, who, works.of(who.session)) for who in every]
        await until(lambda: len(gate.waiting) == 3)
        assert await said(asks(gate, Visitor("far", "d"), works.of("d"))) == FULL
        for end in works.ends.values():
            end.set()
        assert await asyncio.gather(*tasks) == ["x", "a", "b", "c"]

    played(play())


def test_sixty_strangers_do_not_come_before_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks once waits for what is at work, and for no more of those who ask all the time."""

    async def play() -> None:
        works, gate = Works(), Gate(2, patience=60)
        hostile = [asks(gate, Visitor("far", str(n)), works.of(str(n))) for n in range(60)]
        await until(lambda: len(works.begun) == 2)
        works.ends["0"].set()
        await until(lambda: len(works.begun) == 3)
        honest = asks(gate, PUPIL, works.of("honest"))
        await until(lambda: len(gate.waiting) == 58)
        works.ends["1"].set()
        await until(lambda: len(works.begun) == 4)
        assert works.begun[3] == "honest"
        for end in works.ends.values():
            end.set()
        await asyncio.gather(honest, *hostile)

    played(play())


def test_a_place_is_left_for_other_addresses() -> None:
    """Once somebody came from one, until a quiet moment: the next from there need not wait."""

    async def play() -> None:
        works, gate = Works(), Gate(2, patience=60)
        hostile = [asks(gate, Visitor("far", str(n)), works.of(str(n))) for n in range(6)]
        await until(lambda: len(works.begun) == 2)
        honest = asks(gate, PUPIL, works.of("first"))
        works.ends["0"].set()
        await until(lambda: "first" in works.begun)
        works.ends["1"].set()
        await until(lambda: len(works.begun) == 4)
        works.ends["first"].set()
        assert await honest == "first"
        assert len(gate.at_work) == 1, "nobody else of the far ones is begun"
        assert await gate.run(OTHER, lambda _place: "at once") == "at once"
        for end in works.ends.values():
            end.set()
        await asyncio.gather(*hostile)

    played(play())


def test_who_waits_holds_no_thread() -> None:
    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        tasks = [asks(gate, Visitor("x", str(n)), works.of(str(n))) for n in range(50)]
        await until(lambda: len(gate.waiting) == 49)
        assert len(gate.threads._threads) == 1
        for end in works.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        assert len(gate.threads._threads) == 1

    played(play())


def test_a_turn_that_does_not_come() -> None:
    async def play() -> None:
        works, gate = Works(), Gate(1, patience=0)
        first = asks(gate, OTHER, works.of("first"))
        await until(lambda: works.begun == ["first"])
        assert await said(asks(gate, PUPIL, works.of("never"))) == fair.SLOW
        assert gate.waiting == []
        works.ends["first"].set()
        assert await first == "first"
        assert works.begun == ["first"]

    played(play())


def test_who_waits_is_told_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair, "LOOK_UP", 0.001)

    async def play() -> None:
        works, gate, told = Works(), Gate(1, patience=60), list[int]()
        tasks = [asks(gate, Visitor("x", n), works.of(n)) for n in "abc"]
        tasks.append(asks(gate, Visitor("x", "d"), works.of("d"), tell=told.append))
        await until(lambda: 2 in told)
        for name, before in (("a", 1), ("b", 0)):
            works.ends[name].set()
            await until(lambda before=before: before in told)  # type: ignore[misc]
        assert sorted(set(told), reverse=True) == [2, 1, 0]
        works.ends["c"].set()
        works.ends["d"].set()
        await asyncio.gather(*tasks)

    played(play())


# ---- who leaves --------------------------------------------------------------------------------


def test_who_has_left_costs_nothing_more() -> None:
    """What waits is not begun, what is at work learns of it; others' work goes on."""

    async def play() -> None:
        works, gate, seen = Works(), Gate(1, patience=60), list[Place]()

        def work(place: Place) -> str:
            seen.append(place)
            return works.of("now")(place)

        now = asks(gate, PUPIL, work)
        later, other = asks(gate, PUPIL, works.of("later")), asks(gate, OTHER, works.of("other"))
        await until(lambda: len(gate.waiting) == 2 and works.begun == ["now"])
        seen[0].check()
        gate.leave(STRANGER)
        seen[0].check()
        gate.leave(PUPIL)
        with pytest.raises(Stopped):
            seen[0].check()
        with pytest.raises(Stopped):
            await later
        works.ends["now"].set()
        works.ends["other"].set()
        await asyncio.gather(now, other)
        assert works.begun == ["now", "other"]

    played(play())


def test_a_connection_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair, "LOOK_UP", 0.001)
    connected = True

    async def gone() -> bool:
        return not connected

    async def play() -> None:
        nonlocal connected
        works, gate = Works(), Gate(1, patience=60)
        first = asks(gate, OTHER, works.of("first"))
        waits = asks(gate, PUPIL, works.of("never"), gone=gone)
        await until(lambda: len(gate.waiting) == 1)
        connected = False
        with pytest.raises(Stopped):
            await waits
        assert gate.waiting == []
        works.ends["first"].set()
        await first

    played(play())


def test_a_cancelled_question_keeps_its_place_until_its_thread_is_free() -> None:
    async def play() -> None:
        works, gate = Works(), Gate(1, patience=60)
        first, second = asks(gate, PUPIL, works.of("1")), asks(gate, OTHER, works.of("2"))
        await until(lambda: works.begun == ["1"])
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        (place,) = gate.at_work
        assert place.left
        assert works.begun == ["1"]
        works.ends["1"].set()
        works.ends["2"].set()
        assert await second == "2"

    played(play())


def test_work_that_fails_gives_its_place_back() -> None:
    async def play() -> None:
        gate = Gate(1, patience=60)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await gate.run(PUPIL, lambda _place: 1 // 0)
        assert await gate.run(PUPIL, lambda _place: "well") == "well"

    played(play())


def test_work_that_takes_too_long() -> None:
    async def play() -> None:
        assert await said(asks(Gate(1, 60, limit=-1), PUPIL, Place.check)) == fair.ENDED
        await Gate(1, 60).run(PUPIL, Place.check)

    played(play())


# ---- which gate --------------------------------------------------------------------------------


def test_what_asks_many_times_goes_through_a_gate_of_its_own(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(METHODS["Grad-CAM"], weights=None, ask=lambda *_: iter(()))
    monkeypatch.setitem(METHODS, "Slow-CAM", slow)
    lookup.network(tiny)
    assert fair.gate_of(tiny) is fair.QUICK
    assert fair.gate_of(tiny, method="Grad-CAM") is fair.QUICK
    assert fair.gate_of(tiny, method="Slow-CAM") is fair.LONG


def test_a_network_that_is_not_here_goes_through_a_gate_of_its_own(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for who comes while another fetches it."""
    monkeypatch.setattr(lookup, "_networks", Cache(2))
    assert fair.gate_of(tiny) is fair.FETCHING
    inside, go = threading.Event(), threading.Event()

    def slow() -> Any:
        inside.set()
        assert go.wait(60)

    spec = models.find(tiny)
    fetches = threading.Thread(target=lookup._networks.get, args=[(spec, False), slow])
    fetches.start()
    assert inside.wait(60)
    assert fair.gate_of(tiny) is fair.FETCHING
    go.set()
    fetches.join()
    assert fair.gate_of(tiny) is fair.QUICK
    assert fair.gate_of(tiny, detail=True) is (
        fair.FETCHING if spec.fully_convolutional else fair.QUICK
    )


class Fetches:
    """Stands for `lookup.network`: a network comes when it is told to, or is refused."""

    def __init__(self, error: Exception | None = None):
        self.error, self.asked = error, list[tuple[str, bool]]()
        self.go = threading.Event()

    def __call__(self, spec: Any, twice: bool, progress: Callable[[float], None]) -> None:
        self.asked.append((spec.title, twice))
        assert self.go.wait(60)
        if self.error:
            raise self.error
        progress(0.5)
        lookup._networks.get((spec, twice), object)  # type: ignore[arg-type]


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh ones, with one place each; and no network is in memory."""
    monkeypatch.setattr(lookup, "_networks", Cache(2))
    for name in ("QUICK", "FETCHING", "LONG"):
        monkeypatch.setattr(fair, name, Gate(1, patience=60))


@pytest.mark.usefixtures("gates")
def test_who_waited_for_a_network_then_waits_in_line_like_all(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is fetched keeps nobody from computing; then its visitor takes a turn."""
    fetches, told = Fetches(), list[tuple[float, str]]()
    monkeypatch.setattr(lookup, "network", fetches)

    async def play() -> None:
        works = Works()
        asked = asyncio.ensure_future(
            fair.ask_network(
                PUPIL, (tiny, True), works.of("asked"), progress=lambda *part: told.append(part)
            )
        )
        await until(lambda: fetches.asked == [("Tiny", False)])
        other = asks(fair.QUICK, OTHER, works.of("other"))
        await until(lambda: works.begun == ["other"])
        fetches.go.set()
        await until(lambda: bool(fair.QUICK.waiting))
        assert (fair.FETCHING.at_work, fair.FETCHING.waiting) == ([], [])
        assert works.begun == ["other"]
        works.ends["other"].set()
        works.ends["asked"].set()
        assert await asyncio.gather(asked, other) == ["asked", "other"]

    played(play())
    assert fetches.asked == [("Tiny", False), ("Tiny", True)], "the usual one says the percentages"
    assert told == [(0.5, "Fetching Tiny")] * 2


@pytest.mark.usefixtures("gates")
def test_what_asks_many_times_fetches_its_network_elsewhere_too(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches = Fetches()
    fetches.go.set()
    monkeypatch.setattr(lookup, "network", fetches)
    slow = replace(METHODS["Grad-CAM"], weights=None, ask=lambda *_: iter(()))
    monkeypatch.setitem(METHODS, "Slow-CAM", slow)

    async def play() -> None:
        works = Works()
        for about, at in (((tiny, False, "Slow-CAM"), None), ((tiny,), fair.LONG)):
            lookup._networks.forget(lambda _key: True)
            done = fair.ask_network(PUPIL, about, works.of("slow"), at=at)
            asked = asyncio.ensure_future(done)
            await until(lambda: bool(fair.LONG.at_work))
            works.ends["slow"].set()
            assert await asked == "slow"

    played(play())
    assert fetches.asked == [("Tiny", False)] * 2


@pytest.mark.usefixtures("gates")
@pytest.mark.parametrize(
    ("error", "sentence"),
    [(UserError("The server is away."), "The server is away."), (OSError("/a/b"), FAILED)],
)
def test_a_network_that_cannot_be_had_is_tried_once_and_computes_nothing(
    error: Exception, sentence: str, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches = Fetches(error)
    fetches.go.set()
    monkeypatch.setattr(lookup, "network", fetches)

    async def play() -> None:
        works = Works()
        with pytest.raises(fair.NotHere) as caught:
            await fair.ask_network(PUPIL, (tiny,), works.of("never"))
        assert str(caught.value) == sentence
        assert works.begun == []

    played(play())
    assert fetches.asked == [("Tiny", False)]


@pytest.mark.parametrize("name", [None, 3, "nothing", [], {}, float("nan")])
def test_names_that_are_none(name: Any) -> None:
    assert fair.gate_of(name, name, name) is fair.QUICK


def test_every_refusal_is_a_sentence(sentence: Callable[[object], str]) -> None:
    for said in (FULL, fair.TWICE, fair.SLOW, fair.ENDED, *map(place_in_line, range(3))):
        sentence(said)


@pytest.fixture(scope="module")
def page() -> Any:
    async def build() -> Any:
        return ui.build_page(uploads=True)

    return played(build())  # Gradio makes a loop of its own where there is none


def test_a_link_whose_network_cannot_be_had_is_told_and_the_page_goes_on(
    page: Any, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried a second time; nor is one that was chosen, which leaves the list."""
    real, away, tried = lookup.network, "The server is away.", list[str]()

    def network(spec: Any, *more: Any) -> Any:
        tried.append(spec.title)
        if spec.title == "VGG19":
            raise UserError(away)
        return real(spec, *more)

    monkeypatch.setattr(lookup, "network", network)
    look = next(event.fn for event in page.fns.values() if event.fn.__name__ == "look")
    request = SimpleNamespace(client=None, session_hash="x")

    def said(key: str, last: Any, link: str = "") -> Any:
        return played(look(PICTURE, key, "", "", False, last, [], link, request, None))

    view, listed, last, *_ = said(tiny, None, json.dumps(["#m=vgg19&p=tower", None]))
    assert (view.error, view.answer["model"]["key"]) == (away, tiny)
    assert last.model == tiny
    view, listed, now, *_ = said("vgg19", last)
    assert (view.error, view.stands, now) == (away, True, last)
    assert listed.value == tiny
    assert tried.count("VGG19") == 2
    assert said("vgg19", None, "nonsense")[0].error == ""


def test_all_that_computes_is_asked_in_turn(page: Any) -> None:
    """What the page may call is a coroutine: none of it waits in a thread of Gradio's."""
    parts = [block for block in page.blocks.values() if hasattr(block, "server_fns")]
    called = {fn.__name__: fn for block in parts for fn in block.server_fns}
    names = {"figure", "cover", "doctor", "stop", "labels"}
    names |= {"lesson", "nudge", "without", "cell", "contrast", "earlier", "guided"}
    names |= {"formulas"}
    names |= {"hide", "verdict", "far", "cancel", "mosaic"}
    names |= {"forget", "hold", "aim", "suspects", "confess"}
    names |= {"sides", "side", "shares", "code"}
    assert set(called) == names
    assert all(map(asyncio.iscoroutinefunction, called.values()))
    events = {event.fn.__name__: event for event in page.fns.values() if event.fn}
    for name in ("look", "look_at", "endpoint", "opened", "take_way"):
        fn = events[name].fn
        assert asyncio.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
        assert events[name].concurrency_limit is None, "who waits, waits at a gate"


def test_a_new_session_asks_no_part_of_the_page_anew(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows the same of them, and what one session changes is not another's."""
    asked: list[int] = []
    make = BlocksConfig.config_for_block

    def noted(number: int, *given: Any) -> Any:
        asked.append(number)
        return make(number, *given)

    def said(session: SessionState) -> dict[int, Any]:
        """Without what Gradio makes of any word that stands in a script: a function, each time."""
        return {
            number: about | {"props": {k: v for k, v in about["props"].items() if not callable(v)}}
            for number, about in session.config_values.items()
        }

    plain = said(SessionState(page))
    monkeypatch.setattr(BlocksConfig, "config_for_block", staticmethod(noted))
    ui.ask_parts_once(page)
    one, other = SessionState(page), SessionState(page)
    assert sorted(asked) == sorted(plain)
    assert said(one) == said(other) == plain
    number = next(n for n, block in page.blocks.items() if getattr(block, "elem_id", "") == "class")
    one._update_value_in_config(number, 7)
    assert one.config_values[number]["props"]["value"] == 7
    assert said(other) == plain
    one[number] = gr.Dropdown([("a lion", 3)])
    one._update_config(number)
    assert one.config_values[number]["props"]["choices"] == [("a lion", 3)]
    assert said(SessionState(page)) == plain


# ---- which gate, and how what is at work ends --------------------------------------------------


async def sent_by(session: str) -> Any:
    """A request of the browser's that stays connected."""

    async def connected() -> bool:
        return False

    async def body() -> Any:
        return {"session_hash": session}

    return SimpleNamespace(client=None, session_hash=session, json=body, is_disconnected=connected)


def trust_doors(page: Any) -> dict[str, Any]:
    """What the tab "Can I trust it?" may call."""
    (part,) = (block for block in page.blocks.values() if block.elem_id == "trust")
    return {fn.__name__: fn for fn in part.server_fns}


def test_only_what_takes_many_passes_waits_where_that_does(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four passes at most are no long work; a method that asks many times is, by itself."""
    seen: list[Gate] = []

    async def ask(_who: Visitor, about: Any, _work: Any, *_more: Any, **given: Any) -> Any:
        seen.append(given.get("at") or fair.gate_of(*about))
        return {}

    monkeypatch.setattr(fair, "ask_network", ask)
    doors = trust_doors(page)

    async def gates_of(method: str) -> dict[str, Gate]:
        seen.clear()
        names = [name for name in doors if name not in ("far", "cancel", "confess")]
        for name in names:
            await doors[name]({"method": method}, await sent_by("x"))
        return dict(zip(names, seen, strict=True))

    found = played(gates_of("Grad-CAM"))
    few, many = {"hide", "mosaic", "hold", "aim", "suspects", "sides"}, {
        "verdict", "forget", "side", "shares",
    }  # fmt: skip
    assert found == dict.fromkeys(few, fair.QUICK) | dict.fromkeys(many, fair.LONG)
    assert played(gates_of("SmoothGrad"))["hide"] is fair.LONG


@pytest.mark.usefixtures("gates")
def test_a_program_s_quick_test_does_not_wait_behind_a_long_one(page: Any, tiny: str) -> None:
    lookup.network(models.find(tiny))
    check = next(event.fn for event in page.fns.values() if event.fn.__name__ == "check")

    async def play() -> None:
        works = Works()
        busy = asks(fair.LONG, OTHER, works.of("long"))
        await until(lambda: works.begun == ["long"])
        request = await sent_by("x")

        def ask(test: str) -> Any:
            given = {"path": PICTURE}, tiny, "shapes", 1, "Grad-CAM", test
            return asyncio.ensure_future(check(*given, None, 0.2, "hottest", "blur", request))

        assert len((await ask("hide"))["classes"]) == 3
        assert len((await ask("hold"))["rows"]) == 3
        waits = ask("forget")
        await until(lambda: len(fair.LONG.waiting) == 1)
        waits.cancel()
        works.ends["long"].set()
        await busy

    played(play())


def test_who_closes_the_page_ends_what_is_at_work(
    page: Any, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the tab that holds nothing back: it hears of it at its next step."""
    begun, go, parts = threading.Event(), threading.Event(), list[float]()

    def held(*_given: Any) -> Any:
        for n in range(1, 9):
            begun.set()
            assert go.wait(60)
            parts.append(n / 8)
            yield n / 8

    monkeypatch.setattr(pipeline, "forgetting", held)
    asked = {"path": PICTURE, "model": tiny, "target": 1, "detail": False, "layer": "shapes",
             "method": "Grad-CAM", "token": "closed"}  # fmt: skip

    async def play() -> Any:
        forget = trust_doors(page)["forget"]
        answer = asyncio.ensure_future(forget(asked, await sent_by("leaves")))
        await until(begun.is_set)
        fair.leave(Visitor("", "leaves"))
        go.set()
        return await answer

    assert played(play()) == {"error": STOPPED}
    assert parts == [1 / 8]
