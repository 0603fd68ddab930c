"""Every way in: what leaves the machine with a picture, and that the answer is the same."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_bare as photographs
from lab import Lab, Server, pixels
from PIL import Image
from playwright.sync_api import BrowserContext, Route, expect

from demo.question import EXAMPLES, EXAMPLES_DIR
from gradcam_core import image as pictures
from gradcam_core import pipeline

pytestmark = pytest.mark.browser

LYING = 6  # as a phone stores what is taken upright
RECORD = """() => {
  const send = window.fetch;
  window.sent = null;
  window.fetch = async (...all) => {
    if (String(all[0]?.url ?? all[0]).includes('/upload')) [[, window.sent]] = [...all[1].body];
    return send(...all);
  };
}"""
READ = """async (file) => {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}"""
GIVE = """([how, name, type, text]) => {
  const list = new DataTransfer(), bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  list.items.add(new File([bytes], name, { type }));
  const about = { bubbles: true, cancelable: true, dataTransfer: list, clipboardData: list };
  const event = how === 'drop' ? new DragEvent('drop', about) : new ClipboardEvent('paste', about);
  document.querySelector('.gv-say').dispatchEvent(event);
  return event.defaultPrevented;
}"""


def large(name: str, megapixels: float) -> Image.Image:
    """An example as a camera would have taken it: large, with noise."""
    image = Image.open(EXAMPLES_DIR / name).convert("RGB")
    scale = (1e6 * megapixels / (image.width * image.height)) ** 0.5
    big = image.resize((round(scale * image.width), round(scale * image.height)))
    return Image.blend(big, Image.effect_noise(big.size, 60).convert("RGB"), 0.1)


def phone(image: Image.Image, **how: Any) -> bytes:
    """Its file: stored lying, with place and date."""
    file, exif = io.BytesIO(), photographs.exif(LYING)
    image.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=90, exif=exif, **how)
    return file.getvalue()


def give(lab: Lab, how: str, name: str, kind: str, content: bytes) -> bool:
    """Drop or paste a file; whether the browser itself leaves it alone."""
    given = [how, name, kind, base64.b64encode(content).decode()]
    return bool(lab.page.evaluate(GIVE, given))


def sent(lab: Lab) -> bytes:
    """What went to the server last."""
    return base64.b64decode(lab.page.evaluate(f"({READ})(window.sent)"))


def test_what_leaves_the_machine(lab: Lab) -> None:
    """Small, upright, nameless; and the page says what it does with a picture."""
    page, hint = lab.page, lab.find(".gv-hint")
    page.evaluate(RECORD)
    held: list[Route] = []
    page.route(re.compile(r"/shrink\.js"), lambda route: held.append(route))
    photo = large("cheetah.jpg", 12)
    give(lab, "drop", "IMG_1.jpg", "image/jpeg", phone(photo))
    expect(hint).to_have_text("Making the picture smaller …")
    lab.drawn_after(held[0].continue_)
    page.unroute_all()
    seen = Image.open(io.BytesIO(sent(lab)))
    assert (seen.format, seen.size) == ("JPEG", (1280, round(1280 * photo.height / photo.width)))
    assert len(seen.getexif()) == 0
    assert photographs.SECRET not in sent(lab)
    assert np.abs(np.asarray(seen) - np.asarray(photo.resize(seen.size), float)).mean() < 4
    assert "speaks for cheetah" in lab.say
    assert hint.is_hidden()

    small = Image.open(EXAMPLES_DIR / "hopper.jpg")  # each of its pixels stays, and it is upright
    file = phone(small)
    lab.drawn_after(lambda: give(lab, "paste", "hopper.jpg", "image/jpeg", file))
    assert photographs.SECRET in file
    assert photographs.SECRET not in sent(lab)
    pair = [np.asarray(Image.open(io.BytesIO(one))) for one in (file, sent(lab))]
    assert (pair[0] == pair[1]).all()
    assert Image.open(io.BytesIO(sent(lab))).getexif() == {274: LYING}

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(2000, 1001);
          canvas.getContext('2d').fillRect(0, 0, 1000, 1001);
          const blob = await canvas.convertToBlob();
          await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
        }"""
    )
    lab.drawn_after(lab.find(".gv-paste").click)
    seen = Image.open(io.BytesIO(sent(lab)))
    assert (seen.format, seen.size) == ("JPEG", (1280, 641))
    assert [seen.getpixel((x, 300)) for x in (9, 1270)] == [(0, 0, 0), (255, 255, 255)]


@pytest.mark.slow
def test_what_goes_as_it_is_and_what_does_not_go_at_all(lab: Lab, tmp_path: Path) -> None:
    page, hint = lab.page, lab.find(".gv-hint")
    before = lab.find(".gv-over img").get_attribute("src")
    page.evaluate(RECORD)
    asked = len(lab.requests)
    for how in ("drop", "paste"):
        assert give(lab, how, "essay.pdf", "application/pdf", b"%PDF-1.7")
        assert lab.error == pictures.UNKNOWN
        lab.row("cheetah" if how == "drop" else "lion")
        lab.settled()
        assert lab.error == ""
    (tmp_path / "essay.txt").write_text("An essay.")
    assert lab.complained(lambda: lab.upload(tmp_path / "essay.txt")) == pictures.UNKNOWN
    assert not [url for url in lab.requests[asked:] if "/upload" in url]
    assert lab.find(".gv-over img").get_attribute("src") == before

    held: list[Route] = []
    page.route("**/upload?*", lambda route: held.append(route))
    for name, kind, content in (
        ("two.gif", "image/gif", photographs.gif()),
        ("phone.heic", "", b"\0\0\0\x18ftypheic" + bytes(64)),
    ):
        assert give(lab, "drop", name, kind, content)
        expect(hint).to_contain_text("as it is; the server cuts out what its file says of it")
        lab.until("name => window.sent?.name === name", name)
        assert sent(lab) == content
        held.pop().fulfill(status=413)
        page.get_by_test_id("toast-body").first.wait_for()
        expect(hint).to_be_hidden()
    page.unroute_all()

    page.evaluate("() => { window.createImageBitmap = async () => { throw new Error('old'); }; }")
    file = phone(large("lion.jpg", 4))
    lab.drawn_after(lambda: give(lab, "drop", "IMG_2.jpg", "image/jpeg", file))
    assert sent(lab) == photographs.bare.picture_alone(file)
    lab.first = []  # the page must be opened anew


@pytest.mark.slow
def test_the_live_camera(with_camera: BrowserContext, server: Server) -> None:
    """Held, the frame is the picture; from a hidden tab nothing goes."""
    lab = Lab(with_camera.new_page(), server).open()
    page, dialog = lab.page, lab.find(".gv-shoot")
    frames = "n => Number(document.querySelector('.gv-shoot canvas').dataset.frames || 0) > n"

    def count() -> int:
        return int(dialog.locator("canvas").get_attribute("data-frames") or 0)

    def hide(hidden: bool) -> None:
        page.evaluate(
            """hidden => {
              Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
              document.dispatchEvent(new Event('visibilitychange'));
            }""",
            hidden,
        )

    expect(lab.find(".gv-source .gv-camera")).to_have_text("Live camera")
    lab.find(".gv-source .gv-camera").click()
    lab.until(frames, 3)
    expect(dialog.locator("p")).to_have_text(re.compile(r"^\w.*\d\s% · \w.*\d\s% · \w.*\d\s%$"))
    seen = pixels(dialog.locator("canvas"))[..., :3]
    assert seen.shape[1] == 640
    assert np.ptp(seen.astype(int)) > 100, "it is not black"

    asked = [url for url in lab.requests if "/live?" in url]
    assert len({url.split("who=")[1] for url in asked}) == 1
    with page.expect_event("requestfinished", lambda r: "/live?" in r.url):
        hide(True)
    page.wait_for_timeout(300)  # for an answer that is there to be drawn
    drawn, gone = count(), len(lab.requests)
    page.wait_for_timeout(700)
    assert (count(), len(lab.requests)) == (drawn, gone)
    hide(False)
    lab.until(frames, drawn + 2)

    page.evaluate("window.stream = document.querySelector('.gv-shoot video').srcObject")
    size = page.evaluate(
        "[...document.querySelectorAll('.gv-shoot video')].map(v => [v.videoWidth, v.videoHeight])"
    )
    lab.drawn_after(dialog.get_by_role("button", name="Hold this frame").click)
    assert page.evaluate("stream.getTracks().map(track => track.readyState)") == ["ended"]
    expect(dialog).to_be_hidden()
    over = lab.find(".gv-over img")
    assert [over.evaluate("n => [n.naturalWidth, n.naturalHeight]")] == size
    lab.settled()
    assert lab.error == ""

    gone = len([url for url in lab.requests if "/live?" in url])
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    said = lab.complained(lab.find(".gv-source .gv-camera").click)
    assert "only to pages over https or on their own machine" in said
    assert len([url for url in lab.requests if "/live?" in url]) == gone
    assert lab.errors == []


@pytest.mark.longest
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_answer_is_that_of_the_original(
    lab: Lab, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Top class, and the map, of 12 and 48 megapixels: the server itself reads no more than 40."""
    monkeypatch.setattr(pictures, "MAX_PIXELS", 50_000_000)
    lab.first = []  # the page must be opened anew
    box = "'<input type=file id=large>'"
    lab.page.evaluate(f"document.body.insertAdjacentHTML('beforeend', {box})")
    for megapixels in (12, 48):
        whole = tmp_path / f"{megapixels}.jpg"
        whole.write_bytes(phone(large(name, megapixels)))
        lab.page.locator("#large").set_input_files(whole)
        made = lab.page.evaluate(
            """async (read) => {
              const { smaller } = await import(`${location.href.split('#')[0]}shrink.js`);
              const { file } = await smaller(document.getElementById('large').files[0]);
              return eval(read)(file);
            }""",
            READ,
        )
        (tmp_path / "small.jpg").write_bytes(base64.b64decode(made))
        one, other = (
            pipeline.explain(pictures.read_rgb(file)) for file in (whole, tmp_path / "small.jpg")
        )
        assert len(base64.b64decode(made)) < whole.stat().st_size / 5
        assert one.target == other.target
        maps = [seen.maps["Grad-CAM"].ravel() for seen in (one, other)]
        assert np.corrcoef(*maps)[0, 1] >= 0.999
