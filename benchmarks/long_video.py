"""
Peak memory and time of `adaptsign predict` on videos of 1, 10 and 60 minutes.

    make demo && python benchmarks/long_video.py          # the demo's model and test videos; some minutes on 2 cores

The videos are the demo's test clips one after the other, again and again. Each is read by a process of its own, whose
greatest resident memory the operating system counts. The model, its libraries and the decoder are in it, so the first
figure says what they need, and the ratios whether memory grows with a video's length.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import torch

from adaptsign_hf.data.folder import clips_of_split, read_folder
from adaptsign_hf.modeling.video_reading_adaptsign import iter_frames, probe_video

RESULT = Path(__file__).with_suffix(".json")


def write_long_video(path: Path, sources: Sequence[Path], minutes: float) -> int:
    """Write the frames of the sources, again and again, until the video is so long; return the number of frames."""
    rate = Fraction(probe_video(sources[0]).fps or 25).limit_denominator(1000)
    num_frames = round(minutes * 60 * rate)
    frames = itertools.chain.from_iterable(map(iter_frames, itertools.cycle(sources)))
    with av.open(str(path), "w") as container:
        stream = None
        for frame in itertools.islice(frames, num_frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        assert stream is not None
        container.mux(stream.encode())
    return num_frames


def measure(model: Path, video: Path, options: Sequence[str]) -> dict[str, float]:
    """Read a video in a process of its own; return its seconds, greatest memory in MB, and glosses read."""
    command = [sys.executable, "-m", "adaptsign_hf.cli", "predict", str(model), str(video), "--format", "json"]
    command += ["--quiet", *options]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with exit status {process.returncode}")
        output.seek(0)
        read = json.loads(output.read())
    kilobytes = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return {"seconds": seconds, "peak_memory_mb": kilobytes / 1024, "glosses": len(read["glosses"])}


def main() -> None:
    """Measure, print, and write the figures beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/quickstart/model"), help="a trained model")
    parser.add_argument("--data", type=Path, default=Path("data/synthetic"), help="its corpus")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60], help="lengths (1 10 60)")
    parser.add_argument("--device", default="cpu", help="of the model (cpu)")
    parser.add_argument("--output", type=Path, default=RESULT, help=f"JSON file ({RESULT.name})")
    options = parser.parse_args()
    sources = [clip.path for clip in clips_of_split(read_folder(options.data)[0], "test")]
    videos: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes:
            video = Path(folder) / f"{minutes:g}_minutes.mp4"
            frames = write_long_video(video, sources, minutes)
            figures = measure(options.model, video, ["--device", options.device])
            videos.append({"minutes": minutes, "frames": frames, **figures})
            print(
                f"{minutes:5g} minutes, {frames:6} frames: {figures['seconds']:6.1f} s, "
                f"peak {figures['peak_memory_mb']:6.1f} MB, {figures['glosses']} glosses",
                flush=True,
            )
    for other in videos[1:]:
        other["memory_over_first"] = other["peak_memory_mb"] / videos[0]["peak_memory_mb"]
        print(f"{other['minutes']:5g} minutes: {other['memory_over_first']:.3f} of the first one's memory")
    report = {
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": options.device,
        "videos": videos,
    }
    options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
