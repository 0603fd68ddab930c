"""How Gradio asks what computes: in turn, with a line in the log, refused in words."""

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import gradio as gr

from demo import fair
from demo.words import FAILED, STOPPED, place_in_line
from gradcam_core.types import Progress, Stopped, UserError

log = logging.getLogger("gradcam_lab")

_T = TypeVar("_T")


def visitor(request: Any, session: Any) -> fair.Visitor:
    return fair.Visitor(request.client.host if request.client else "", str(session)[:64])


async def noted(what: str, asked: Awaitable[_T]) -> _T:
    """A line in the log: what was asked, how long it took, how it ended. No picture, no name."""
    start, ended = time.monotonic(), "failed"
    try:
        answer = await asked
        view = getattr(answer, "view", answer)  # of a Page
        said = view.get("error") if isinstance(view, dict) else getattr(view, "error", "")
        ended = "refused" if said else "answered"
        return answer
    except (UserError, gr.Error):
        ended = "refused"
        raise
    except Stopped:
        ended = "stopped"
        raise
    except Exception as error:  # whose words Gradio would write into the log
        log.exception("%s failed", what)
        raise UserError(FAILED) from error
    finally:
        log.info("%s: %.0f ms, %s", what, 1e3 * (time.monotonic() - start), ended)


def in_turn(
    answer: Callable[..., Any],
    at: fair.Gate | None = None,
    called_off: Callable[[Any], bool] = lambda _token: False,
) -> Callable[..., Any]:
    """What the browser calls beside Gradio's queue, in turn. Gradio awaits it, on its loop.

    at: the gate, where what is asked about does not tell it. called_off: whether a question with
    this word need not wait any more. One that takes a `progress` is ended by it when nobody waits
    any more.
    """
    name, hears = answer.__name__, "progress" in inspect.signature(answer).parameters

    async def asked(data: Any, request: gr.Request) -> Any:
        try:
            session = (await request.json()).get("session_hash")
        except (ValueError, RuntimeError):  # it came as a form
            session = ""
        first = data[0] if isinstance(data, list) and data else data
        part = first.get if isinstance(first, dict) else {}.get
        about = part("model"), part("detail"), part("method")
        who = visitor(request, session)

        async def gone() -> bool:
            return called_off(part("token")) or await request.is_disconnected()

        def work(place: fair.Place) -> Any:
            return answer(data, **heard_at(place) if hears else {})

        try:
            return await noted(name, fair.ask_network(who, about, work, gone=gone, at=at))
        except UserError as error:
            return {"error": str(error)}
        except Stopped:
            return {"error": STOPPED}

    asked.__name__ = name
    return asked


def heard_at(place: fair.Place) -> dict[str, Progress]:
    """What ends a work at this place when nobody waits for it any more."""
    return {"progress": lambda _part: place.check()}


def at_once(answer: Callable[[Any], Any]) -> Callable[..., Any]:
    """What the browser calls and computes nothing."""

    async def asked(data: Any) -> Any:
        return answer(data)

    asked.__name__ = answer.__name__
    return asked


async def queued(
    what: str,
    request: gr.Request,
    about: tuple[Any, ...],
    work: Callable[[fair.Place], _T],
    progress: Any = None,
    gone: Callable[[], Awaitable[bool]] | None = None,
    at: fair.Gate | None = None,
) -> _T:
    """What an event of Gradio's gives, in turn; while it waits, progress tells its place.

    about, at: as for `fair.ask_network`.
    """

    def tell(before: int) -> None:
        if progress is not None:  # Gradio's has a length, of nothing
            progress(1 / (1 + before), desc=place_in_line(before))

    who = visitor(request, request.session_hash)
    return await noted(what, fair.ask_network(who, about, work, tell, gone, progress, at))


def public(
    answer: Callable[..., _T], is_long: Callable[[Mapping[str, Any]], bool] = lambda _given: False
) -> Callable[..., Any]:
    """An endpoint, in turn: it gets the same values, and the request. is_long: whether with these
    values it waits where others do that take long, whatever the method.

    One that takes a `progress` is ended by it when nobody waits any more.
    """
    signature = inspect.signature(answer)
    taken = [one for one in signature.parameters.values() if one.name != "progress"]
    hears = len(taken) < len(signature.parameters)
    about = inspect.Parameter(
        "request", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=gr.Request
    )

    @functools.wraps(answer)
    async def asked(*given: Any) -> Any:
        *values, request = given
        bound = signature.bind(*values)
        bound.apply_defaults()
        chosen, name = bound.arguments, answer.__name__
        asks = chosen["model"], False, chosen.get("method")
        at = fair.LONG if is_long(chosen) else None

        def work(place: fair.Place) -> _T:
            return answer(*values, **heard_at(place) if hears else {})

        try:
            return await queued(name, request, asks, work, at=at)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    asked.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*taken, about]
    )
    asked.__annotations__ = {n: t for n, t in answer.__annotations__.items() if n != "progress"}
    asked.__annotations__ |= {"request": gr.Request}
    return asked
