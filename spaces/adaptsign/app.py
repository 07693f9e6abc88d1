"""
The Space: a video of signing in, its glosses on a timeline out.

    python spaces/adaptsign/app.py                                       # the model that `make demo` left
    python spaces/adaptsign/app.py german=adapters/german,chinese=adapters/chinese

ADAPTSIGN_MODELS gives the models where the command line cannot. Host and port are gradio's own GRADIO_SERVER_NAME and
GRADIO_SERVER_PORT. What is done with a video is in `adaptsign_hf.inference.web_recognition`; here is only the page.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np

from adaptsign_hf.inference.background import BackgroundRecognizer
from adaptsign_hf.inference.live import LiveRecognizer
from adaptsign_hf.inference.shared_models import load_models, parse_models
from adaptsign_hf.inference.web_recognition import (
    Reading,
    UploadLimits,
    UploadRefused,
    check_upload,
    decoding_upload,
    recognize_upload,
    write_files,
)
from adaptsign_hf.visualization.overlay import overlay_video

HERE = Path(__file__).resolve().parent
DEFAULT_MODELS = "quickstart=runs/quickstart/model"
EXAMPLE = Path("data/synthetic/videos/testset_00000.mp4")  # a rendered signer
KEPT_MINUTES = 20  # what was uploaded stays that long, for the visitor to play it
MAX_WAITING_VISITORS = 20
LIVE_VISITORS, LIVE_SECONDS = 2, 60
MAX_DRAWN_FRAMES = 500  # the attention of all of them is in memory at once
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "inference"}

INTRODUCTION = """
# AdaptSign
Continuous sign language recognition: a video of someone signing in, the **glosses** of the signs out.
"""
NOTES = f"""
**A gloss is a label for a sign, not a translation.** Glosses come in the order of signing; the grammar of the signed
language, and much of what face and body say, is not in them. Models are often wrong: do not rely on them.

**Your video stays yours.** It is read on this computer, shown to nobody and not used for training. It is deleted,
with all that was made of it, within {KEPT_MINUTES} minutes; live pictures are not stored at all. Please upload only
videos of people who agree to it.
"""
WAITING = {"stable": [], "tentative": [], "state": "Start the camera and sign. Grey glosses may still change."}


def timeline_of(reading: Reading) -> dict:
    """Return what the page and its API show of a reading: times in seconds, confidences 0…1."""
    glosses = [
        {name: value if isinstance(value, str) else round(value, 2) for name, value in asdict(each).items()}
        for each in reading.recognized.glosses
    ]
    return {"seconds": round(reading.seconds, 2), "glosses": glosses}


@contextmanager
def telling_the_visitor() -> Iterator[None]:
    """Show a visitor why a video is not read; nothing of it is logged."""
    try:
        yield
    except UploadRefused as error:
        raise gr.Error(str(error), title="This video was not read", duration=None, print_exception=False) from None


def build_demo(
    models: Mapping[str, str | Path], limits: UploadLimits | None = None, example: Path | None = EXAMPLE
) -> gr.Blocks:
    """Build the page for some models, by name; `example` is left out where there is no such file."""
    limits, loaded = limits or UploadLimits(), load_models(models)

    def recognize(video: str | None, name: str) -> Iterator[tuple]:
        with telling_the_visitor():
            reading = recognize_upload(*loaded[name], video, limits)
        if reading.is_damaged:
            gr.Warning("This video is damaged or cut short: only a part of it was read.")
        others = [[" ".join(each.glosses), round(each.log_probability, 2)] for each in reading.recognized.alternatives]
        with TemporaryDirectory() as folder:  # gradio has its own copies by the time that it comes back here
            yield reading.text, timeline_of(reading), others, *map(str, write_files(reading, folder))

    def show_attention(video: str | None, name: str) -> Iterator[str]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "attention.mp4"
            with telling_the_visitor(), decoding_upload():
                overlay_video(*loaded[name], check_upload(video, limits).path, path, MAX_DRAWN_FRAMES)
            yield str(path)

    def watch(picture: np.ndarray | None, live: BackgroundRecognizer | None, name: str) -> tuple:
        if picture is None:
            return gr.skip(), gr.skip()
        try:
            live = live or BackgroundRecognizer(LiveRecognizer(*loaded[name]))
            seen = live.push(picture, time.monotonic())
        except ValueError:  # closed by "Start anew" while this picture was under way
            live = BackgroundRecognizer(LiveRecognizer(*loaded[name]))
            seen = live.push(picture, time.monotonic())
        report = live.report()
        state = (
            f"{seen.seconds:.1f} s read · {report.frames_dropped} of {report.frames_read + report.frames_dropped} "
            f"frames dropped · a gloss is final {report.stable_latency:.1f} s after it was signed, and "
            f"{report.slowest_read:.1f} s of computing"
        )
        return {"stable": seen.stable, "tentative": seen.tentative, "state": state}, live

    def start_anew(live: BackgroundRecognizer | None) -> tuple:
        if live is not None:
            live.close()
        return WAITING, None

    with gr.Blocks(title="AdaptSign", analytics_enabled=False, delete_cache=(60, 60 * (KEPT_MINUTES - 1))) as demo:
        gr.Markdown(INTRODUCTION)
        model = gr.Dropdown(list(loaded), value=next(iter(loaded)), label="Model", visible=len(loaded) > 1)
        with gr.Tab("Video"), gr.Row():
            with gr.Column(min_width=300):
                video = gr.Video(label="Your video", sources=["upload", "webcam"], elem_id="signing")
                gr.Markdown(f"At most {limits.seconds:g} seconds and {limits.megabytes:g} MB.", elem_classes="hint")
                read = gr.Button("Read the glosses", variant="primary")
                if example is not None and example.is_file():
                    gr.Examples([[str(example)]], [video], label="An example", api_name="load_example")
            with gr.Column(min_width=300):
                timeline = gr.HTML(
                    label="Timeline",
                    html_template=(HERE / "timeline.html").read_text(),
                    js_on_load=(HERE / "timeline.js").read_text(),
                    elem_classes="timeline",
                )
                text = gr.Textbox(label="Glosses as text", elem_id="text", buttons=["copy"], interactive=False)
                others = gr.Dataframe(
                    headers=["Readings, best first", "log-probability"],
                    interactive=False,
                    wrap=True,
                    buttons=[],
                    elem_id="others",
                )
                with gr.Row():
                    vtt = gr.DownloadButton("Subtitles (VTT)", size="sm")
                    eaf = gr.DownloadButton("ELAN (EAF)", size="sm")
                with gr.Accordion(f"Where the model looks, first {MAX_DRAWN_FRAMES} pictures", open=False):
                    attend = gr.Button("Draw it over the video", size="sm")
                    attention = gr.Video(label="Attention", interactive=False, height=300, elem_id="attention")
        with gr.Tab("Live"), gr.Row():
            with gr.Column(min_width=300):
                camera = gr.Image(label="Camera", sources=["webcam"], streaming=True, type="numpy", elem_id="camera")
            with gr.Column(min_width=300):
                template = (HERE / "live.html").read_text()
                subtitles = gr.HTML(WAITING, html_template=template, js_on_load=None, elem_classes="timeline live")
                anew = gr.Button("Start anew", size="sm")
                live = gr.State(time_to_live=600, delete_callback=lambda each: each and each.close())
        gr.Markdown(NOTES, elem_id="notes")

        results = [text, timeline, others, vtt, eaf]
        read.click(
            recognize, [video, model], results, api_name="recognize", show_progress_on=timeline, **ONE_AT_A_TIME
        )
        video.clear(lambda: ("", None, None, None, None, None), None, [*results, attention], api_visibility="private")
        attend.click(show_attention, [video, model], attention, api_name="show_attention", **ONE_AT_A_TIME)
        camera.stream(
            watch,
            [camera, live, model],
            [subtitles, live],
            api_name="watch",
            stream_every=0.08,
            show_progress="hidden",
            time_limit=LIVE_SECONDS,
            concurrency_limit=LIVE_VISITORS,
        )
        gr.on([anew.click, model.change], start_anew, live, [subtitles, live], api_name="start_anew")
    return demo.queue(max_size=MAX_WAITING_VISITORS)


def launch(demo: gr.Blocks, limits: UploadLimits | None = None, **options) -> tuple:
    """Serve the page; fonts of the visitor's system, no network."""
    theme = gr.themes.Soft(primary_hue="teal", font="system-ui", font_mono="ui-monospace")
    size = f"{(limits or UploadLimits()).megabytes:g}mb"
    options = {"max_file_size": size, "run_history": False, "footer_links": ["api"], **options}
    return demo.launch(theme=theme, css_paths=HERE / "page.css", **options)


if __name__ == "__main__":
    listed = ",".join(sys.argv[1:]) or os.environ.get("ADAPTSIGN_MODELS", DEFAULT_MODELS)
    try:
        page = build_demo(parse_models(listed))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    launch(page)
