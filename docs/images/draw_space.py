"""
Makes space.png: the Space in Chromium, with what `make demo` left.

    python docs/images/draw_space.py
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "spaces" / "adaptsign"))
import app  # noqa: E402 - a script that lies in no package

VIDEO = ROOT / "data" / "synthetic" / "videos" / "testset_00000.mp4"


def main() -> None:
    """Read a video of the rendered corpus on the page, go to its second sign, and take the picture."""
    demo = app.build_demo({"quickstart": ROOT / "runs" / "quickstart" / "model"}, example=VIDEO)
    address = app.launch(demo, prevent_thread_lock=True, quiet=True)[1]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": 1100, "height": 900})
        tab.goto(address)
        tab.locator("#signing input[type=file]").set_input_files(VIDEO)
        tab.wait_for_selector("#signing video")
        tab.get_by_role("button", name="Read the glosses").click()
        gloss = tab.locator("button.gloss").nth(1)
        gloss.click()
        tab.wait_for_function("gloss => gloss.classList.contains('now')", arg=gloss.element_handle())
        tab.wait_for_timeout(500)  # the browser draws the frame a little later
        tab.screenshot(path=Path(__file__).with_name("space.png"), full_page=True)
        chromium.close()
    demo.close()


if __name__ == "__main__":
    main()
