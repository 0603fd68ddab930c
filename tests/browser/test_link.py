"""The address of a view: in this tab again, and on another machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import PATIENCE, Lab, Server
from playwright.sync_api import Browser, BrowserContext, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def machine(browser: Browser) -> Iterator[Callable[[], BrowserContext]]:
    contexts = []

    def another() -> BrowserContext:
        size = {"width": 1366, "height": 900}
        contexts.append(browser.new_context(locale="en-US", viewport=size, reduced_motion="reduce"))
        return contexts[-1]

    yield another
    for context in contexts:
        context.close()


@pytest.fixture
def opened(machine: Callable[[], BrowserContext], server: Server) -> Callable[[str], Lab]:
    """On another machine: the page by a link."""

    def by_link(link: str) -> Lab:
        lab = Lab(machine().new_page(), server)
        lab.page.goto(server.url + link)
        lab.page.wait_for_selector("[data-drawn]", state="attached", timeout=1000 * PATIENCE)
        lab.settled()
        return lab

    return by_link


def behind(lab: Lab) -> str:
    lab.settled()
    lab.page.wait_for_timeout(400)  # it is written a little later
    return lab.page.url.removeprefix(lab.server.url)


def view(lab: Lab) -> list[object]:
    """What is in view."""
    picture = str(lab.find(".gv-over img").get_attribute("src")).split("/")[-1]
    names = "layer", "method", "colours", "opacity"
    lists = [lab.find(f"[name={name}]").input_value() for name in names]
    picked = lab.find("[name=gv-tool]:checked, [name=gv-sign]:checked").evaluate_all(
        "all => all.map(n => n.value)"
    )
    return [picture, lab.data("answer"), lab.data("layer"), lab.find(".gv-say").text_content(),
            lists, picked, lab.canvas().tobytes()]  # fmt: skip


def joins(lab: Lab) -> int:
    return len([url for url in lab.requests if "/queue/join" in url])


def hint(lab: Lab) -> str:
    return str(lab.find(".gv-hint").text_content())


def test_a_plain_visit_has_a_plain_address_and_asks_once(opened: Callable[[str], Lab]) -> None:
    lab = opened("")
    assert joins(lab) == 1
    assert behind(lab) == ""
    assert lab.page.evaluate("history.length") == 2  # with the empty page before it


def test_reload_and_a_second_machine_give_the_same_view(opened: Callable[[str], Lab]) -> None:
    lab = opened("")
    lab.drawn_after(lambda: lab.example(2))
    lab.drawn_after(lambda: lab.choose("class", "lion"))
    lab.drawn_after(lambda: lab.choose("other", "cheetah"))
    lab.put("method", "HiResCAM")
    lab.radio("gv-sign", "for")
    lab.put("colours", "viridis")
    lab.put("opacity", "61")
    lab.find("[name=layer]").select_option("block5c_add")
    lab.radio("gv-tool", "compare")
    lab.settled()
    here = (
        "#p=cheetah&c=291&r=293&l=block5c_add&k=HiResCAM&s=for&v=compare&colours=viridis&opacity=61"
    )
    assert behind(lab) == here
    seen = view(lab)
    lab.requests.clear()
    lab.page.reload()
    lab.page.wait_for_selector("[data-drawn]")
    lab.settled()
    assert view(lab) == seen
    assert lab.find(".gv-over img").get_attribute("src").endswith("/cheetah.jpg")
    other = opened(here)
    assert view(other) == seen
    assert behind(other) == behind(lab) == here
    assert other.find(".gv-hint").is_hidden()
    asked = joins(other)
    other.drawn_after(lambda: other.choose("other", "no other class"))
    other.settled()
    assert other.data("answer") == "efficientnet_lite0/291/", "its lists were filled, too"
    assert joins(other) == asked + 1


def test_back_and_forward(opened: Callable[[str], Lab]) -> None:
    lab = opened("")
    seen = [view(lab)]
    lab.drawn_after(lambda: lab.row("cheetah"))
    seen.append(view(lab))
    assert behind(lab) == "#c=293"
    lab.drawn_after(lambda: lab.example(3))
    assert behind(lab) == "#p=lion"
    lab.put("method", "HiResCAM")
    seen.append(view(lab))
    assert behind(lab) == "#p=lion&k=HiResCAM"
    for number, go in ((1, "back"), (0, "back"), (1, "forward"), (2, "forward")):
        lab.page.evaluate(f"history.{go}()")
        lab.until(
            "n => document.querySelector('[data-drawn]').dataset.answer === n", seen[number][1]
        )
        lab.settled()
        assert view(lab) == seen[number]
    assert behind(lab) == "#p=lion&k=HiResCAM"
    lab.settled()
    asked = len(lab.requests)
    lab.page.evaluate("location.hash = '#p=lion&k=LayerCAM'")
    expect(lab.find("[name=method]")).to_have_value("LayerCAM")
    assert lab.requests[asked:] == [], "nothing that the server would have to answer"


def test_what_is_not_to_be_had_is_left_out_with_a_word(opened: Callable[[str], Lab]) -> None:
    lab = opened("#p=../../etc/passwd&m=nothing&c=9000&k=LIME&zz=1")
    assert "efficientnet_lite0/291/" in lab.data("answer")
    assert hint(lab) == (
        "The link asks for what is not to be had here, so it is left out: "
        "picture, “zz”, network and method."
    )
    assert lab.error == ""
    assert behind(lab) == ""
    other = opened("#c=9000&l=no_layer")
    assert hint(other).endswith("so it is left out: class and layer.")


def test_a_link_of_another_version(opened: Callable[[str], Lab]) -> None:
    lab = opened("#ver=2&c=293")
    assert "another version" in hint(lab)
    assert "/291/" in lab.data("answer")


def test_an_own_picture_stays_in_its_tab(opened: Callable[[str], Lab], photos: Path) -> None:
    lab = opened("")
    lab.drawn_after(lambda: lab.upload(photos / "cheetah.jpg"))
    lab.drawn_after(lambda: lab.choose("class", "lion"))
    lab.put("method", "HiResCAM")
    assert behind(lab) == "#p=own&c=291&k=HiResCAM"
    seen = view(lab)
    lab.page.reload()
    lab.page.wait_for_selector("[data-drawn]")
    lab.settled()
    assert view(lab) == seen
    lab.drawn_after(lambda: lab.choose("class", "tabby cat"))
    assert view(lab)[0] == seen[0], "its picture is that of the page again"

    other = opened("#p=own&c=291&k=HiResCAM")
    assert "a picture of somebody’s own" in hint(other)
    assert view(other)[0] == "cheetah_and_lion.jpg"
    assert behind(other) == "#p=own&c=291&k=HiResCAM", "it waits for the picture"
    other.drawn_after(lambda: other.upload(photos / "cheetah.jpg"))
    other.settled()
    assert view(other)[1:] == seen[1:], "whoever has it sees the same"
    assert other.find(".gv-hint").is_hidden()


def test_tab_and_step_of_the_lesson(opened: Callable[[str], Lab]) -> None:
    lab = opened("#p=cheetah&tab=lesson&step=4&show=1&len=45")
    part = lab.page.locator("#lesson [data-step]")
    expect(part).to_have_attribute("data-step", "pooling")
    assert behind(lab) == "#p=cheetah&tab=lesson&step=4&show=1&len=45", "for the lesson to come"
    lab.page.locator("#lesson .gl-next").first.click()
    expect(part).to_have_attribute("data-step", "sum")
    assert "step=5" in behind(lab)
    lab.page.get_by_role("tab", name="Look").click()
    assert behind(lab) == "#p=cheetah"
    asked = len(lab.requests)
    lab.page.go_back()
    expect(part).to_be_visible()
    lab.page.go_back()
    expect(part).to_have_attribute("data-step", "pooling")
    lab.page.go_forward()
    expect(part).to_have_attribute("data-step", "sum")
    assert [url for url in lab.requests[asked:] if "queue/join" in url] == []
    other = opened("#tab=lesson&step=99")
    assert hint(other).endswith("so it is left out: step.")
    expect(other.page.locator("#lesson [data-step]")).to_have_attribute("data-step", "question")


def test_gradios_panel_takes_the_address_only_for_a_while(opened: Callable[[str], Lab]) -> None:
    lab = opened("#c=293")
    lab.more()
    lab.page.get_by_role("button", name="Use via API").click()
    expect(lab.page.get_by_role("dialog").get_by_text("/explain").first).to_be_visible()
    lab.page.keyboard.press("Escape")
    lab.page.wait_for_timeout(400)
    lab.page.mouse.click(5, 300)
    assert behind(lab).endswith("#c=293")
