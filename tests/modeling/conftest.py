"""Tiny videos, written as the tests need them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def _write(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str,
    pix_fmt: str,
    *,
    fps: int = 25,
    times: Sequence[float] | None = None,
    matrix: Sequence[int] | None = None,
    codec_options: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=codec_options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000) if times else Fraction(1, fps)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(times[index] * 1000) if times else index
            for packet in stream.encode(frame):
                if times:  # with a codec that delays no frame
                    packet.duration = round(times[index + 1] * 1000) - round(times[index] * 1000)
                container.mux(packet)
        container.mux(stream.encode())
    return path


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """Write frames, (H, W, 3) uint8 RGB, to a file; the suffix picks the format. `.mov` keeps every pixel.

    `times` are the seconds at which each frame starts and, last, the end.
    """
    kinds = {
        ".mov": ("png", "rgb24"),
        ".mp4": ("libx264", "yuv420p"),
        ".mkv": ("libx264", "yuv420p"),
        ".webm": ("libvpx-vp9", "yuv420p"),
        ".avi": ("mpeg4", "yuv420p"),
        ".gif": ("gif", "rgb8"),
    }

    def write(name: str, frames: Sequence[np.ndarray], codec: str = "", pix_fmt: str = "", **kwargs) -> Path:
        default_codec, default_pix_fmt = kinds[Path(name).suffix]
        return _write(tmp_path / name, frames, codec or default_codec, pix_fmt or default_pix_fmt, **kwargs)

    return write
