"""The page's memory: what is asked when the widgets change, and what they say after the answer."""

from typing import Any, NamedTuple

from demo.question import Chosen
from demo.wire import View


class Turn(NamedTuple):
    """What is asked."""

    asks: Chosen
    alone: bool  # a rival that the network itself says is dropped: only the network was changed


class Page(NamedTuple):
    """What the page says after an answer."""

    view: View
    last: Chosen  # what was answered
    model: Any = None  # goes back into the list of networks; None: what is there stays
    fills: bool = False  # the lists of classes are filled anew, with the values of `last`


def turn(last: Chosen | None, chosen: Chosen) -> Turn | None:
    """What the widgets ask now; None where that was answered, as what the page set itself is.

    A new picture begins with its likeliest class, and so does a network of other classes.
    """
    if chosen == last:
        return None
    if last and (chosen.picture != last.picture or chosen.labels != last.labels):
        chosen = chosen._replace(target="", rival="")
    alone = last is not None and (chosen.model, chosen.detail) != (last.model, last.detail)
    return Turn(chosen, alone)


def settle(last: Chosen | None, chosen: Chosen, asks: Chosen, view: View) -> Page:
    """What the page becomes by the answer, or by the sentence, to `asks` of that turn.

    A network that cannot be had leaves the one before chosen. Where it was all that was new, the
    answer before stands.
    """
    if view.answer is None:
        before = last or chosen
        kept = chosen._replace(model=before.model, labels=before.labels)
        return Page(view.model_copy(update={"stands": kept == last}), kept, before.model)
    if view.answer["rival"] is None:
        asks = asks._replace(rival="")
    there = last and (last.picture, last.model, last.detail)
    return Page(view, asks, fills=there != (asks.picture, asks.model, asks.detail))
