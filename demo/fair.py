"""Whose turn it is to compute: one place a visitor, the least served first, none for ever.

All that computes for a visitor goes through a gate, `await gate.run(who, work)`; what asks a
network, by `ask_network`.
"""

import asyncio
import contextvars
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from demo.question import Tell, row_of
from demo.words import FAILED, FULL
from gradcam_core import lookup
from gradcam_core.methods import METHODS
from gradcam_core.types import ModelSpec, Stopped, UserError

log = logging.getLogger("gradcam_lab")

TWICE = "Your questions before this one are still being answered; please wait for them."
SLOW = "Your turn did not come, because many are asking; please try once more."
ENDED = "This took too long and was stopped; please choose a smaller network or another method."
WAITING = 128  # at each gate, of all visitors
EACH = 3  # of one visitor, beside what is at work: the page itself asks for so many things at once
REMEMBERED = 10_000  # of whom it is known how much they were served
LOOK_UP = 1.0  # seconds, until who waits is told its place anew

_T = TypeVar("_T")


class NotHere(UserError):
    """The network that is asked cannot be had."""


class Visitor(NamedTuple):
    address: str
    session: str


@dataclass(eq=False)
class Place:
    """Of one question, first waiting, then at work."""

    who: Visitor
    begins: asyncio.Future[None]
    limit: float  # seconds of work
    left: bool = False  # nobody waits for the answer any more
    start: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """What takes long asks this now and then: raises Stopped, or UserError after the limit."""
        if self.left:
            raise Stopped
        if time.monotonic() - self.start > self.limit:
            raise UserError(ENDED)


class Gate:
    """Lives on the event loop alone, so it needs no lock, and who waits holds no thread.

    places: how many work at once. patience: seconds after which who waits is told so. limit:
    seconds of work, for what looks at its turn's `check`.
    """

    def __init__(self, places: int, patience: float, limit: float = float("inf")):
        self.places, self.patience, self.limit = places, patience, limit
        self.waiting: list[Place] = []
        self.at_work: list[Place] = []
        self.served: Counter[str | Visitor] = Counter()  # seconds, by address and by visitor
        self.threads = ThreadPoolExecutor(places)

    def widen(self, places: int) -> None:
        """So many work at once from now on; said before anybody has come."""
        self.places, self.threads = places, ThreadPoolExecutor(places)

    async def run(
        self,
        who: Visitor,
        work: Callable[[Place], _T],
        tell: Callable[[int], object] | None = None,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> _T:
        """What `work` gives, done in a thread when its turn has come.

        tell: told now and then how many are before. gone: whether the visitor has left. Raises
        UserError where the turn cannot come, Stopped for who has left.
        """
        place = self._enter(who)
        try:
            await self._wait(place, tell, gone)
        except BaseException:
            self._end(place)
            raise
        place.start = time.monotonic()
        within = contextvars.copy_context().run
        done = asyncio.get_running_loop().run_in_executor(self.threads, within, work, place)
        done.add_done_callback(lambda _done: self._end(place))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            place.left = True  # a thread cannot be ended: its place is free when it has done
            raise

    def leave(self, who: Visitor) -> None:
        """What waits for this visitor is not begun; what is at work learns of it."""
        for place in [t for t in self.waiting if t.who == who]:
            self._refuse(place, Stopped())
        for place in self.at_work:
            place.left = place.left or place.who == who

    def order(self) -> list[Place]:
        """Those who wait, the least served first."""
        return sorted(self.waiting, key=lambda p: (self.served[p.who.address], self.served[p.who]))

    def _ready(self) -> list[Place]:
        """Who may begin: nobody twice at once; and since visitors came from several addresses, each
        leaves a place for the others."""
        busy = {place.who for place in self.at_work}
        held = Counter(place.who.address for place in self.at_work)
        came = {place.who.address for place in (*self.waiting, *self.at_work)}
        came |= {who for who in self.served if isinstance(who, str)}
        most = max(self.places - (len(came) > 1), 1)
        return [p for p in self.order() if p.who not in busy and held[p.who.address] < most]

    def _enter(self, who: Visitor) -> Place:
        if sum(place.who == who for place in self.waiting) >= EACH:
            raise UserError(TWICE)
        if len(self.waiting) >= WAITING:
            self._make_room(who.address)
        place = Place(who, asyncio.get_running_loop().create_future(), self.limit)
        self.waiting.append(place)
        self._next()
        return place

    def _make_room(self, address: str) -> None:
        """The newest of the address with the most waiting gives way, if it has more than this."""
        crowd = Counter(place.who.address for place in self.waiting)
        largest, most = crowd.most_common(1)[0]
        if crowd[address] + 1 >= most:
            raise UserError(FULL)
        newest = [place for place in self.waiting if place.who.address == largest][-1]
        self._refuse(newest, UserError(FULL))

    async def _wait(
        self,
        place: Place,
        tell: Callable[[int], object] | None,
        gone: Callable[[], Awaitable[bool]] | None,
    ) -> None:
        end = place.start + self.patience
        while not place.begins.done():
            await asyncio.wait([place.begins], timeout=min(LOOK_UP, self.patience))
            if place.begins.done():
                break
            if gone and await gone():
                raise Stopped
            if time.monotonic() >= end:
                raise UserError(SLOW)
            if tell:
                tell(self.order().index(place))
        place.begins.result()

    def _refuse(self, place: Place, reason: Exception) -> None:
        self.waiting.remove(place)
        place.begins.set_exception(reason)

    def _end(self, place: Place) -> None:
        if place in self.waiting:
            self.waiting.remove(place)
        if place in self.at_work:
            self.at_work.remove(place)
            taken = time.monotonic() - place.start
            self.served.update({place.who: taken, place.who.address: taken})
        self._next()
        if not self.waiting or len(self.served) > REMEMBERED:
            self.served.clear()  # a quiet moment: all begin anew

    def _next(self) -> None:
        while len(self.at_work) < self.places and (ready := self._ready()):
            self.waiting.remove(ready[0])
            self.at_work.append(ready[0])
            ready[0].begins.set_result(None)


QUICK = Gate(os.cpu_count() or 2, patience=60)
FETCHING = Gate(4, patience=900)  # networks that are not in memory yet
LONG = Gate(1, patience=900, limit=900)  # methods that ask many times
UPLOADING = Gate(1, patience=900)  # models of visitors
GATES = (QUICK, FETCHING, LONG, UPLOADING)


def gate_of(model: Any = None, detail: Any = False, method: Any = "") -> Gate:
    """Where this is to be asked now.

    The names may be anything: what is wrong is told by the answer.
    """
    spec = row_of(model)
    if spec and not all(lookup.loaded(spec, twice) for twice in sides_of(spec, detail)):
        return FETCHING
    row = METHODS.get(method) if isinstance(method, str) else None
    return LONG if row and row.ask else QUICK


def sides_of(spec: ModelSpec, detail: Any) -> list[bool]:
    """At which sides a network is asked: at its usual one, and in detail at twice that, too."""
    return [False, True] if detail and spec.fully_convolutional else [False]


async def ask_network(
    who: Visitor,
    about: tuple[Any, ...],
    work: Callable[[Place], _T],
    tell: Callable[[int], object] | None = None,
    gone: Callable[[], Awaitable[bool]] | None = None,
    progress: Tell | None = None,
    at: Gate | None = None,
) -> _T:
    """What `work` gives, in turn; a network that is not in memory is fetched before, in a turn of
    its own: it takes long and computes nothing.

    about: model, detail and method, as for `gate_of`. at: the gate, where those do not tell it.
    progress: of what is fetched. Raises NotHere, and what `Gate.run` does.
    """
    if gate_of(*about) is FETCHING:
        await FETCHING.run(who, lambda _place: bring(progress, *about[:2]), tell, gone)
    return await (at or gate_of(*about)).run(who, work, tell, gone)


def bring(progress: Tell | None, model: Any, detail: Any = False) -> None:
    """Have this network in memory. Raises NotHere."""
    spec = row_of(model)
    if spec is None:  # it left while its visitor waited
        return

    def fetching(part: float) -> None:
        if progress is not None:  # Gradio's has a length, of nothing
            progress(part, f"Fetching {spec.title}")

    try:
        for twice in sides_of(spec, detail):
            lookup.network(spec, twice, fetching)
    except UserError as error:
        raise NotHere(str(error)) from error
    except Exception as error:
        log.exception("a network could not be had")
        raise NotHere(FAILED) from error


def leave(who: Visitor) -> None:
    for gate in GATES:
        gate.leave(who)
