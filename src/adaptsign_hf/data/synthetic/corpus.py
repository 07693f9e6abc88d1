"""Writing the corpus to a folder: videos, `metadata.csv` and what the renderer knows beyond it.

The folder holds

- `videos/*.mp4`, one clip each;
- `metadata.csv` with the columns `file_name,gloss,signer,split`, as the `videofolder` of `datasets` reads it;
- `annotations.jsonl`, one line a clip: times of the signs in seconds and regions of the hands in pixels;
- `corpus.json`, the configuration.

`metadata.csv` is written last and in one step. A folder without it is an interrupted rendering and is rendered anew.
"""

import csv
import json
import logging
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from tqdm.auto import tqdm

from adaptsign_hf.data.synthetic.config import SyntheticCorpusConfig
from adaptsign_hf.data.synthetic.rendering import RenderedSentence, render_sentence
from adaptsign_hf.data.synthetic.sentences import Clip, clip_seed, draw_clip

logger = logging.getLogger(__name__)

# Raised whenever the same configuration gives other pictures than before.
RENDERER_VERSION = 2

# Starting a process costs about as much as rendering this many clips.
_CLIPS_WORTH_A_PROCESS = 16


def render_corpus(
    output_dir: str | os.PathLike,
    config: SyntheticCorpusConfig | None = None,
    num_processes: int | None = None,
    progress: bool = True,
) -> Path:
    """Render the synthetic corpus into a folder.

    The result is the same for any number of processes. A folder that already holds the complete corpus of the same
    configuration is left as it is. Processes are spawned: a script that calls this with more than one needs the usual
    `if __name__ == "__main__":`.

    Args:
        output_dir: Folder to write to; created if missing.
        config: What to render; the default corpus if `None`.
        num_processes: Number of rendering processes; by default one a core, and fewer for a small corpus.
        progress: Whether to show a progress bar when standard error is a terminal.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder holds a corpus of another configuration, or `num_processes` is less than 1.
    """
    config = config or SyntheticCorpusConfig()
    folder = Path(output_dir)
    identity = {"renderer_version": RENDERER_VERSION, **asdict(config)}
    metadata_file, identity_file = folder / "metadata.csv", folder / "corpus.json"
    if metadata_file.exists():
        if identity_file.exists() and json.loads(identity_file.read_text()) == identity:
            logger.info("%s already holds this corpus.", folder)
            return folder
        raise ValueError(
            f"{folder} already holds another corpus (its metadata.csv exists and its corpus.json is not that of "
            "this configuration). Choose another folder or delete this one."
        )

    clips = [
        draw_clip(config, split, index) for split, number in config.num_sentences.items() for index in range(number)
    ]
    if num_processes is None:
        num_processes = max(1, min(os.cpu_count() or 1, len(clips) // _CLIPS_WORTH_A_PROCESS))
    if num_processes < 1:
        raise ValueError(f"num_processes must be at least 1, got {num_processes}.")
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    if identity_file.exists():  # an interrupted rendering, perhaps of a larger corpus
        for video in (folder / "videos").glob("*.mp4"):
            video.unlink()
    identity_file.write_text(json.dumps(identity, indent=2) + "\n")
    annotations = _render_all(partial(_render_clip, config=config, folder=folder), clips, num_processes)
    with (folder / "annotations.jsonl").open("w") as lines:
        for annotation in tqdm(
            annotations, total=len(clips), desc="Rendering", unit="clip", disable=None if progress else True
        ):
            lines.write(json.dumps(annotation) + "\n")
    _write_metadata(metadata_file, clips)
    logger.info("Rendered %d clips into %s.", len(clips), folder)
    return folder


def _render_all(render: partial, clips: list[Clip], num_processes: int) -> Iterator[dict]:
    if num_processes == 1:
        yield from map(render, clips)
        return
    # Forking a process that has loaded torch may deadlock, hence spawn.
    with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(render, clips, chunksize=4)


def _render_clip(clip: Clip, config: SyntheticCorpusConfig, folder: Path) -> dict:
    """Render and write one clip; returns its line of `annotations.jsonl`."""
    rendered = render_sentence(clip.glosses, clip.signer, config, clip_seed(config, clip.split, clip.index))
    write_video(folder / clip.file_name, rendered.frames, rendered.fps)
    return _annotation(clip, rendered)


def _annotation(clip: Clip, rendered: RenderedSentence) -> dict:
    return {
        "file_name": clip.file_name,
        "fps": rendered.fps,
        "num_frames": len(rendered.frames),
        "timings": [
            {"gloss": timing.gloss, "start": round(timing.start, 4), "end": round(timing.end, 4)}
            for timing in rendered.timings
        ],
        "hands": np.round(rendered.hands.astype(float), 1).tolist(),
    }


def _write_metadata(path: Path, clips: Iterable[Clip]) -> None:
    unfinished = path.with_suffix(".csv.tmp")
    with unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file_name", "gloss", "signer", "split"])
        for clip in clips:
            writer.writerow([clip.file_name, " ".join(clip.glosses), clip.signer.name, clip.split])
    os.replace(unfinished, path)


def write_video(path: str | os.PathLike, frames: np.ndarray, fps: float) -> None:
    """Write frames to an H.264 mp4 file; equal frames give equal bytes.

    Args:
        path: File to write.
        frames: RGB frames, `(frames, height, width, 3)`, `uint8`; height and width even.
        fps: Frames per second.
    """
    with av.open(str(path), "w") as container:
        # Macroblock-tree rate control reads uninitialised memory and makes the bytes vary from run to run.
        options = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # With several threads the encoder's decisions depend on how many there are.
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
