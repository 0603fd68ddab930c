"""What the page asks when the widgets change, and what they say after it: every branch."""

from typing import Any

import pytest

from demo.question import Chosen
from demo.turns import Page, Turn, settle, turn
from demo.wire import View

ANIMALS, TOOLS = ("cat", "dog", "lion"), ("saw", "axe")
BEFORE = Chosen("cat.jpg", "net", 1, 2, False, ANIMALS)
REFUSED = View(error="The server is away.")


def answer(rival: int | None = 2) -> View:
    return View(answer={"rival": rival})


def test_the_first_question_is_asked_as_it_is():
    assert turn(None, BEFORE) == Turn(BEFORE, alone=False)


def test_what_was_answered_is_not_asked_again():
    assert turn(BEFORE, BEFORE) is None
    assert turn(BEFORE, Chosen(*BEFORE)) is None


@pytest.mark.parametrize("picture", ["dog.jpg", None])
def test_a_new_picture_begins_with_its_likeliest_class(picture: Any):
    asks = Chosen(picture, "net", "", "", False, ANIMALS)
    assert turn(BEFORE, BEFORE._replace(picture=picture)) == Turn(asks, alone=False)


def test_a_picture_after_none_begins_with_its_likeliest_class_too():
    none = BEFORE._replace(picture=None)
    asked = turn(none, BEFORE)
    assert asked
    assert (asked.asks.target, asked.asks.rival) == ("", "")


def test_a_network_of_other_classes_forgets_class_and_rival():
    chosen = BEFORE._replace(model="tools", labels=TOOLS)
    asks = Chosen("cat.jpg", "tools", "", "", False, TOOLS)
    assert turn(BEFORE, chosen) == Turn(asks, alone=True)


def test_a_network_that_is_gone_is_asked_for_without_a_class():
    asked = turn(BEFORE, BEFORE._replace(model="gone", labels=()))
    assert asked
    assert asked.asks == Chosen("cat.jpg", "gone", "", "", False, ())


def test_a_network_of_the_same_classes_keeps_them():
    chosen = BEFORE._replace(model="other", labels=tuple(ANIMALS))
    assert turn(BEFORE, chosen) == Turn(chosen, alone=True)


def test_only_another_network_may_drop_a_comparison():
    wide = BEFORE._replace(detail=True)
    assert turn(BEFORE, wide) == Turn(wide, alone=True)
    for chosen in (BEFORE._replace(target=0), BEFORE._replace(rival=0), BEFORE._replace(target="")):
        assert turn(BEFORE, chosen) == Turn(chosen, alone=False)


def settled(last: Chosen | None, chosen: Chosen, view: View) -> Page:
    asked = turn(last, chosen)
    assert asked
    return settle(last, chosen, asked.asks, view)


def test_an_answer_to_another_class_leaves_the_lists():
    chosen, view = BEFORE._replace(target=0), answer()
    assert settled(BEFORE, chosen, view) == Page(view, chosen, model=None, fills=False)


@pytest.mark.parametrize(
    "change",
    [{"picture": "dog.jpg"}, {"model": "other"}, {"detail": True},
     {"model": "tools", "labels": TOOLS}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_the_lists_are_filled_for_another_picture_or_network(change: dict[str, Any]):
    assert settled(BEFORE, BEFORE._replace(**change), answer()).fills
    assert settled(None, BEFORE._replace(**change), answer()).fills


def test_what_an_answer_sets_comes_back_and_is_answered():
    chosen = BEFORE._replace(picture="dog.jpg")
    page = settled(BEFORE, chosen, answer(None))
    assert (page.last.target, page.last.rival) == ("", ""), "what the lists are set to"
    assert turn(page.last, chosen._replace(target="", rival="")) is None


def test_a_comparison_that_was_dropped_leaves_the_list_too():
    chosen = BEFORE._replace(model="other")
    page = settled(BEFORE, chosen, answer(None))
    assert page.last == chosen._replace(rival="")
    assert page.fills
    assert turn(page.last, chosen._replace(rival="")) is None


def test_class_0_is_a_rival():
    chosen = BEFORE._replace(rival=0)
    assert settled(BEFORE, chosen, answer(0)).last.rival == 0


def test_a_network_that_cannot_be_had_leaves_the_one_before_and_its_answer_stands():
    page = settled(BEFORE, BEFORE._replace(model="other"), REFUSED)
    assert page == Page(View(error=REFUSED.error, stands=True), BEFORE, "net", fills=False)
    assert turn(page.last, BEFORE) is None, "the list goes back by itself"


def test_so_does_one_of_other_classes_whose_lists_were_not_filled():
    page = settled(BEFORE, BEFORE._replace(model="tools", labels=TOOLS), REFUSED)
    assert (page.last, page.model, page.view.stands) == (BEFORE, "net", True)


@pytest.mark.parametrize("change", [{"picture": "bad.jpg"}, {"target": 0}, {"rival": 1}])
def test_an_error_about_anything_else_does_not_stand(change: dict[str, Any]):
    chosen = BEFORE._replace(**change)
    page = settled(BEFORE, chosen, REFUSED)
    assert page == Page(REFUSED, chosen, "net", fills=False)
    assert turn(page.last, chosen) is None, "it would be refused once more"


def test_a_new_picture_and_a_network_that_cannot_be_had():
    chosen = BEFORE._replace(picture="dog.jpg", model="tools", labels=TOOLS)
    page = settled(BEFORE, chosen, REFUSED)
    assert page == Page(REFUSED, BEFORE._replace(picture="dog.jpg"), "net", fills=False)


def test_an_error_at_the_very_first():
    assert settled(None, BEFORE, REFUSED) == Page(REFUSED, BEFORE, "net", fills=False)
