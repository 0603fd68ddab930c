"""The address of a view: in this tab again, and on another machine."""

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from lab import PATIENCE, ROOT, Lab, Server, plain, serve
from playwright.sync_api import Browser, BrowserContext, expect

from demo import qr
from gradcam_core import heatmap

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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_is_not_to_be_had_is_left_out_with_a_word(opened: Callable[[str], Lab]) -> None:
    lab = opened("#p=../../etc/passwd&m=nothing&c=9000&k=LIME&zz=1")
    assert "efficientnet_lite0/291/" in lab.data("answer")
    left_out = "picture, “zz”, network and method"
    assert hint(lab) == f"Not to be had here, so left out of the link: {left_out}."
    assert lab.error == ""
    assert behind(lab) == ""
    other = opened("#c=9000&l=no_layer")
    assert hint(other).endswith("so left out of the link: class and layer.")


@pytest.mark.slow
def test_another_network_in_a_link(opened: Callable[[str], Lab]) -> None:
    lab = opened("#p=tower&m=shapes_2&c=3&tab=lesson&step=2")
    assert lab.data("answer") == "shapes_2/3/"
    expect(lab.page.locator("#lesson [data-step]")).to_have_attribute("data-step", "2")
    assert lab.page.locator("#model input").input_value().startswith("Shapes 2")
    assert behind(lab) == "#p=tower&m=shapes_2&c=3&tab=lesson&step=2"
    lab.drawn_after(lambda: lab.page.evaluate("location.hash = '#p=tower&m=shapes_1'"))
    assert lab.data("answer").startswith("shapes_1/")
    lab.drawn_after(lambda: lab.page.evaluate("history.back()"))
    lab.settled()
    assert lab.data("answer") == "shapes_2/3/"


@pytest.mark.slow
def test_a_link_of_another_version(opened: Callable[[str], Lab]) -> None:
    lab = opened("#ver=2&c=293")
    assert "another version" in hint(lab)
    assert "/291/" in lab.data("answer")


@pytest.mark.slow
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
    assert "somebody’s own picture, which stays with them" in hint(other)
    assert view(other)[0] == "cheetah_and_lion.jpg"
    assert behind(other) == "#p=own&c=291&k=HiResCAM", "it waits for the picture"
    other.drawn_after(lambda: other.upload(photos / "cheetah.jpg"))
    other.settled()
    assert view(other)[1:] == seen[1:], "whoever has it sees the same"
    assert other.find(".gv-hint").is_hidden()


@pytest.mark.slow
def test_tab_and_step_of_the_lesson(opened: Callable[[str], Lab]) -> None:
    lab = opened("#p=cheetah&tab=lesson&step=4&show=1&len=45")
    part = lab.page.locator("#lesson [data-step]")
    expect(part).to_have_attribute("data-step", "4")
    expect(part).to_have_attribute("data-show", "1")
    assert behind(lab) == "#p=cheetah&tab=lesson&step=4&show=1&len=45"
    lab.page.locator("#lesson .gl-next").click()
    expect(part).to_have_attribute("data-step", "5")
    assert "step=5" in behind(lab)
    assert "show" not in behind(lab)
    lab.page.get_by_role("tab", name="Look").click()
    assert behind(lab) == "#p=cheetah"
    asked = len(lab.requests)
    lab.page.go_back()
    expect(part).to_be_visible()
    lab.page.go_back()
    expect(part).to_have_attribute("data-step", "4")
    lab.page.go_forward()
    expect(part).to_have_attribute("data-step", "5")
    assert [url for url in lab.requests[asked:] if "queue/join" in url] == []
    lab.page.locator("#lesson .gl-nav button").first.click()
    lab.page.get_by_role("button", name="90 min").click()
    lab.page.locator("#lesson .gl-nav button", has_text="Cheat").click()
    lab.page.keyboard.press("PageDown")
    lab.page.locator("#lesson").get_by_text("Test 7").click()
    expect(lab.page.locator("#gt-game"), "in a tab that was never open").to_be_in_viewport()
    other = opened("#tab=lesson&step=99")
    assert hint(other).endswith("so left out of the link: step.")
    expect(other.page.locator("#lesson [data-step]")).to_have_attribute("data-step", "0")


@pytest.mark.slow
def test_the_third_tab_has_an_address_too(opened: Callable[[str], Lab]) -> None:
    lab = opened("#tab=trust")
    tab = lab.page.get_by_role("tab", name="Can I trust it?")
    expect(tab).to_have_attribute("aria-selected", "true")
    assert behind(lab) == "#tab=trust"
    lab.page.get_by_role("tab", name="Look").click()
    assert behind(lab) == ""


@pytest.mark.longest
def test_gradios_panel_takes_the_address_only_for_a_while(opened: Callable[[str], Lab]) -> None:
    lab = opened("#c=293")
    lab.more()
    lab.page.get_by_role("button", name="Use via API").click()
    expect(lab.page.get_by_role("dialog").get_by_text("/explain").first).to_be_visible()
    lab.page.keyboard.press("Escape")
    lab.page.wait_for_timeout(400)
    lab.page.mouse.click(5, 300)
    assert behind(lab).endswith("#c=293")


# ---- to take with you --------------------------------------------------------------------------


def given(lab: Lab, what: str) -> str:
    """Copied, and pasted into the search."""
    lab.more()
    lab.find(f".gv-copy-{what}").click()
    expect(lab.find(".gv-copied")).to_contain_text("Copied.")
    box = lab.find("[name=find]")
    box.evaluate("n => { n.value = ''; n.focus(); }")
    lab.page.keyboard.press("Control+V")
    expect(box).not_to_have_value("")
    return str(lab.find(".gv-text").input_value())


@pytest.mark.slow
def test_the_link_that_is_copied(opened: Callable[[str], Lab], photos: Path) -> None:
    """Over http a browser has no `navigator.clipboard`; under a sub-path the link names it. Of an
    address that no other machine reaches there is no code."""
    lab = opened("#c=293&k=HiResCAM")
    lab.more()
    lab.find(".gv-show-code").click()
    expect(lab.find(".gv-copied")).to_have_text(qr.ONLY_HERE)
    assert lab.find(".gv-code").is_hidden()
    lab.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    assert given(lab, "link") == f"{lab.server.url}#c=293&k=HiResCAM"
    assert lab.find("[name=find]").input_value() == f"{lab.server.url}#c=293&k=HiResCAM"
    assert "on this machine only" in lab.text(".gv-copied")
    lab.page.evaluate("history.replaceState(history.state, '', '/lab/?token=1')")
    assert given(lab, "link") == f"{lab.server.url}lab/#c=293&k=HiResCAM"
    lab.page.evaluate("history.replaceState(history.state, '', '/')")
    lab.drawn_after(lambda: lab.upload(photos / "cheetah.jpg"))
    assert given(lab, "link") == f"{lab.server.url}#p=own&k=HiResCAM"
    assert "Your picture does not go with the link" in lab.text(".gv-copied")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_said: Any) -> None:
        pass


@pytest.mark.longest
def test_in_the_frame_of_a_space_the_link_is_that_of_the_space(
    machine: Callable[[], BrowserContext], tmp_path: Path
) -> None:
    """The frame's page is of another origin than the one around it."""
    framed = "{'SPACE_ID': 'someone/lab', 'GRADCAM_FRAME_ANCESTORS': 'http://127.0.0.1:*'}"
    with serve(tmp_path, first=f"os.environ |= {framed}") as server:
        lab = Lab(machine().new_page(), server)
        frame = f'<iframe src="{server.url}#c=293" width="1300" height="850"></iframe>'
        (tmp_path / "outer.html").write_text(frame)
        pages = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
        Thread(target=pages.serve_forever, daemon=True).start()
        lab.page.goto(f"http://127.0.0.1:{pages.server_port}/outer.html")
        inner = lab.page.frame_locator("iframe")
        inner.locator("[data-drawn]").wait_for(timeout=1000 * PATIENCE)
        inner.locator(".gv-more").click()
        inner.locator(".gv-copy-link").click()
        expect(inner.locator(".gv-copied")).to_have_text("Copied.")
        link = "https://huggingface.co/spaces/someone/lab#c=293"
        expect(inner.locator(".gv-text")).to_have_value(link)
        inner.locator(".gv-show-code").click()
        code = inner.locator(".gv-code")
        code.wait_for()
        assert code.evaluate("n => n.decode().then(() => n.naturalWidth)") > 0
        expect(inner.locator(".gv-text")).to_have_value(link)
        inner.locator(".gv-close").click()
        inner.locator(".gv-classes button").filter(has_text="lion").first.click()
        expect(code).to_have_attribute("hidden", "")
        lab.page.close()
        pages.shutdown()
        pages.server_close()


@pytest.mark.many
@pytest.mark.slow
@pytest.mark.parametrize(
    "link",
    ["#p=cheetah&c=291&r=293&l=block5c_add&k=HiResCAM&colours=viridis&s=both",
     pytest.param("#c=293&l=block3b_add&k=LayerCAM&colours=viridis", marks=pytest.mark.slow),
     pytest.param("#c=293&r=291&b=rival&d=1&colours=viridis", marks=pytest.mark.slow)],
)  # fmt: skip
def test_the_lines_that_are_copied_yield_this_very_map(
    opened: Callable[[str], Lab], link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = opened(link)
    lines = given(lab, "python")
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec(lines, made)
    assert (tmp_path / "figure.png").exists()
    top = float(plain(lab.find(".gv-ticks span").last.inner_text()))
    both, signed = "s=both" in link, made["signed"] / top
    unit = (signed + 1) / 2 if both else np.clip(signed, 0, 1)
    seen = lab.canvas()
    heat = heatmap.upsample(unit, (seen.shape[0], seen.shape[1]))
    wanted = heatmap.paint(heat, heatmap.diverging("viridis") if both else "viridis")
    assert np.abs(seen[..., :3].astype(float) - wanted[..., :3]).mean() < 2
