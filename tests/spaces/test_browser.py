"""The Space as visitors see it: in Chromium, without a window."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest

from adaptsign_hf.inference.shared_models import load_models
from adaptsign_hf.inference.web_recognition import recognize_upload

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
REAL_VIDEO = Path(__file__).parents[3] / "shared" / "video" / "isolated" / "help" / "27206.mp4"
SECONDS = 30  # how long the page may take for anything

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        # A camera that shows a clock, and nobody who is asked whether it may.
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, page):
    """Open the page as a new visitor."""
    contexts = []

    def open_page(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(1000 * SECONDS)
        tab.goto(page)
        return tab

    yield open_page
    for context in contexts:
        context.close()


def read(tab, path):
    """Upload a video and ask for its glosses."""
    tab.locator("#signing input[type=file]").set_input_files(path)
    tab.wait_for_selector("#signing video", state="attached")
    tab.get_by_role("button", name="Read the glosses").click()


def shown_glosses(tab):
    tab.wait_for_selector("button.gloss")
    return tab.locator("button.gloss").evaluate_all("all => all.map(each => each.firstChild.textContent)")


def test_a_video_is_uploaded_and_its_glosses_are_seen_and_heard_of_nowhere_else(visit, page, adapters, clips):
    tab = visit()
    addresses = []
    tab.on("request", lambda request: addresses.append(urlparse(request.url)))
    tab.reload()
    read(tab, clips[0].path)
    own = recognize_upload(*load_models(adapters)["first"], clips[0].path)
    assert shown_glosses(tab) == own.text.split()
    assert tab.locator("#text textarea, #text input").input_value() == own.text
    readings = tab.locator("#others").inner_text()
    for alternative in own.recognized.alternatives:
        assert " ".join(alternative.glosses) in readings
    with tab.expect_download() as download:
        tab.get_by_text("Subtitles (VTT)").click()
    assert Path(download.value.path()).read_text().startswith("WEBVTT")
    hosts = {address.netloc for address in addresses if address.scheme in ("http", "https")}
    assert hosts == {urlparse(page).netloc}


def test_a_click_on_a_gloss_moves_the_video_to_it(visit, clips):
    tab = visit()
    read(tab, clips[0].path)
    for index in (-1, 0):
        gloss = tab.locator("button.gloss").nth(index)
        gloss.click()
        start = float(gloss.get_attribute("data-start"))
        tab.wait_for_function(
            "start => Math.abs(document.querySelector('#signing video').currentTime - start) < 0.05", arg=start
        )
        tab.wait_for_function("gloss => gloss.classList.contains('now')", arg=gloss.element_handle())
    assert float(tab.locator("button.gloss").last.get_attribute("data-start")) > start + 0.1


def test_where_the_model_looks_can_be_played(visit, clips):
    tab = visit()
    read(tab, clips[0].path)
    tab.wait_for_selector("button.gloss")
    tab.get_by_text("Where the model looks").click()
    tab.get_by_role("button", name="Draw it over the video").click()
    tab.wait_for_function("() => document.querySelector('#attention video')?.readyState >= 1")


def test_a_text_renamed_to_mp4_gets_a_message(visit, tmp_path):
    (tmp_path / "holiday.mp4").write_text("I am a text. " * 100)
    tab = visit()
    read(tab, tmp_path / "holiday.mp4")
    tab.get_by_text("This file is not a video that can be read here").wait_for()
    assert "Traceback" not in tab.content()
    assert tab.locator("button.gloss").count() == 0


def test_without_a_video_the_visitor_is_asked_for_one(visit):
    tab = visit()
    tab.get_by_role("button", name="Read the glosses").click()
    tab.get_by_text("Please choose a video first, or record one.").wait_for()


def test_what_a_gloss_is_not_and_what_becomes_of_videos_is_said(visit):
    tab = visit()
    for sentence in ("A gloss is a label for a sign, not a translation.", "Your video stays yours."):
        tab.get_by_text(sentence).wait_for()


def test_the_example_is_read(visit):
    tab = visit()
    tab.locator(".gallery-item, .gallery button, table button").first.click()
    tab.wait_for_selector("#signing video")
    tab.get_by_role("button", name="Read the glosses").click()
    assert shown_glosses(tab)


def test_two_visitors_at_once_are_both_answered(visit, clips):
    tabs = [visit(), visit()]
    for tab, clip in zip(tabs, clips, strict=False):
        read(tab, clip.path)
    answers = [shown_glosses(tab) for tab in tabs]
    assert all(answers)
    assert answers[0] != answers[1]


@pytest.mark.skipif(not REAL_VIDEO.is_file(), reason=f"there is no {REAL_VIDEO}")
def test_a_filmed_clip_is_read(visit):
    tab = visit()
    read(tab, REAL_VIDEO)
    assert shown_glosses(tab)
    assert tab.locator(".scale").inner_text().split()[0] == "0"


def test_nothing_sticks_out_of_a_narrow_window(visit, clips):
    tab = visit(viewport={"width": 400, "height": 800})
    read(tab, clips[0].path)
    tab.wait_for_selector("button.gloss")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_camera_is_read_as_it_goes(visit):
    tab = visit(permissions=["camera"])
    tab.get_by_role("tab", name="Live").click()
    tab.get_by_text("Start the camera and sign").wait_for()
    tab.get_by_text("Click to Access Webcam").click()
    tab.get_by_role("button", name="capture photo").click()
    tab.get_by_text("frames dropped").wait_for()
    seconds = "Number(document.querySelector('.live .hint').innerText.split(' ')[0])"
    tab.wait_for_function(f"() => {seconds} > 1")
    tab.get_by_role("button", name="Start anew").click()
    tab.wait_for_function(f"() => !({seconds} >= 1)")
    tab.wait_for_function(f"() => {seconds} > 1")
    tab.get_by_role("button", name="capture photo").click()  # it reads "Stop" now
    tab.get_by_role("button", name="Start anew").click()
    tab.get_by_text("Start the camera and sign").wait_for()


def test_a_recording_of_the_camera_is_read(visit):
    tab = visit(permissions=["camera", "microphone"])
    tab.locator("#signing").get_by_label("Capture from camera").click()
    tab.get_by_text("Click to Access Webcam").first.click()
    tab.locator("#signing").get_by_role("button", name="start recording").click()
    tab.wait_for_timeout(2000)  # the length of the recording
    tab.locator("#signing").get_by_role("button", name="start recording").click()  # it reads "Stop" now
    tab.wait_for_selector("#signing video[src]")
    tab.get_by_role("button", name="Read the glosses").click()
    tab.wait_for_selector(".scale")
    assert float(tab.locator(".scale span").last.inner_text().split()[0]) > 0
