"""Video files and folders of numbered images, read frame by frame with PyAV and Pillow."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image, ImageOps

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


class VideoReadError(ValueError):
    """No frame could be read: the file is no video, is damaged beyond use, or the folder holds no images."""


class TruncatedVideoWarning(UserWarning):
    """A video ends early or is damaged; the frames that could be read were used."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, without decoding it.

    Attributes:
        fps: Average frames a second; None for a folder of images, which has no times.
        num_frames: Frames the header declares, or images in the folder; None where the format does not say. Slightly
            more than can be decoded where an edit list hides some.
        duration: Seconds; None where unknown.
    """

    fps: float | None
    num_frames: int | None
    duration: float | None


def probe_video(source: str | Path) -> VideoInfo:
    """Read frame rate, frame count and duration from a video's header.

    Args:
        source: Path of a video file or of a folder of numbered images.

    Raises:
        FileNotFoundError: There is nothing at `source`.
        VideoReadError: It is not a video, or the folder holds no images.
    """
    path = _existing(source)
    if path.is_dir():
        return VideoInfo(fps=None, num_frames=len(list_images(path)), duration=None)
    with _opened(path) as (container, stream):
        duration = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        fps = float(stream.average_rate) if stream.average_rate else None
        return VideoInfo(fps=fps, num_frames=stream.frames or None, duration=duration)


def iter_frames(source: str | Path, fps: float | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video one by one, as they are decoded: memory does not grow with its length.

    Frames come as they are displayed: turned and flipped as the container (or, for images, EXIF) says. Grey becomes
    three equal channels; an alpha channel is dropped, which leaves the stored colours under it. Non-square pixels stay
    as stored. A video whose frame size changes midway yields frames of different sizes.

    Args:
        source: Path of a video file (mp4, mov, webm, mkv, avi, gif, ...) or of a folder of images (png, jpg, jpeg,
            bmp, webp), read in natural order of their names: 2 before 10.
        fps: Frames a second to yield, resampled by presentation time, so that a variable frame rate is honoured: for
            each instant k/fps after the first frame, the latest frame shown by then. None keeps the frames as stored.

    Yields:
        Frames of shape (height, width, 3), RGB, uint8.

    Raises:
        FileNotFoundError: There is nothing at `source`.
        VideoReadError: No frame could be read.
        ValueError: `fps` is not a positive number, or is asked of a folder, whose images have no times.

    Warns:
        TruncatedVideoWarning: After the last frame, where the video ends early or is damaged.
    """
    path = _existing(source)
    if fps is not None and not (isfinite(fps) and fps > 0):
        raise ValueError(f"Cannot resample {path} to {fps} frames a second: give a positive number, or None.")
    if not path.is_dir():
        return _iter_file(path, fps)
    if fps is not None:
        raise ValueError(
            f"Cannot resample the images in {path} to {fps} frames a second: images have no times. Use fps=None, or "
            "make a video of them."
        )
    return _iter_folder(path)


def _existing(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"There is no video at {path}: give the path of a video file or a folder of images.")
    return path


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order of their names, 2 before 10; hidden files are left out."""

    def natural(path: Path) -> list[str | int]:  # text and numbers alternate, so like is always compared with like
        return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", path.name))]

    images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not images:
        wanted = ", ".join(sorted(IMAGE_SUFFIXES))
        raise VideoReadError(f"The folder {folder} holds no images ({wanted}): give the folder of one clip's frames.")
    return sorted(images, key=natural)


def _iter_folder(folder: Path) -> Iterator[np.ndarray]:
    count, problems = 0, []
    for path in list_images(folder):
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith("I;16"):  # Pillow would clip 16 bits to 255 instead of scaling them
                    upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
                frame = np.array(upright.convert("RGB"))
        except (OSError, SyntaxError) as error:  # what Pillow raises for truncated, foreign and broken files
            problems.append(f"{path.name}: {error}")
            continue
        count += 1
        yield frame
    _report(folder, count, problems)


def _report(path: Path, count: int, problems: list[str]) -> None:
    """Say what was wrong with a video once its last frame is out."""
    if count == 0:
        reason = problems[0] if problems else "it holds none"
        raise VideoReadError(f"No frame of {path} could be read ({reason}). Export or download the video again.")
    if problems:
        message = f"{path} is damaged or cut short ({problems[0]}): only {count} frames could be read."
        warnings.warn(TruncatedVideoWarning(message), stacklevel=3)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its main video stream (not its cover picture)."""
    try:
        # "file:" keeps names with a colon from being taken for a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise VideoReadError(
            f"Cannot open {path} as a video ({error.strerror}): it is another kind of file, or it was cut off while "
            "being written or downloaded. Convert or download it again."
        ) from error
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or container.format.name == "tty":  # FFmpeg "plays" text files
            raise VideoReadError(f"{path} holds no video, only {container.format.long_name}: give a video file.")
        yield container, stream


def _iter_file(path: Path, fps: float | None) -> Iterator[np.ndarray]:
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"  # type: ignore[assignment]  # PyAV takes names too
        frames = _decode(path, container, stream)
        if fps is not None:
            frames = _resample(frames, stream, fps)
        matrix: list[int] | None = None
        # One for all frames, and not in a frame: it has threads, and where these wait for the garbage collector a
        # process that is forked meanwhile, such as a loader's worker, hangs when it collects them in their stead.
        reformatter = VideoReformatter()
        for index, frame in enumerate(frames):
            if index == 0:
                # Asked of one frame only: PyAV ties a frame and its side data into a cycle, which would keep every
                # full-size frame until the garbage collector comes.
                matrix = _display_matrix(frame)
            yield _upright_rgb(reformatter.reformat(frame, format="rgb24"), matrix)


def _decode(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every frame that can be decoded; what could not be is reported at the end."""
    count = 0
    problems: list[str] = []
    for packet in _packets(path, container, stream, problems):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError as error:
            problems.append(error.strerror or str(error))
            continue
        for frame in frames:
            if frame.is_corrupt:
                problems.append("part of a frame is missing")
            count += 1
            yield frame
    _report(path, count, problems)


def _packets(
    path: Path, container: InputContainer, stream: VideoStream, problems: list[str]
) -> Iterator[Packet | None]:
    """The whole packets of the video stream, then None, which flushes the decoder."""
    seconds_read = 0.0
    try:
        # Every stream is read, sound too, for a file may break off in any, and its duration is that of the longest.
        for packet in container.demux():
            if packet.is_corrupt:
                problems.append("a packet is incomplete")  # half a frame is not a frame
            elif packet.size:
                if packet.pts is not None and packet.time_base is not None:
                    seconds_read = max(seconds_read, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == stream.index:
                    yield packet
    except av.FFmpegError as error:
        problems.append(error.strerror or str(error))
    if not problems and _ends_early(path, container, stream, seconds_read):
        problems.append("the file ends early")
    yield None


def _ends_early(path: Path, container: InputContainer, stream: VideoStream, seconds_read: float) -> bool:
    """Whether a file without a broken packet still lacks its end, by what each format tells."""
    size = path.stat().st_size
    if any(entry.pos + entry.size > size for entry in stream.index_entries):  # mp4, mov: the index comes first
        return True
    if container.format.name.startswith("matroska") and container.duration is not None:
        # The last block often has no duration of its own, hence some grace.
        grace = max(0.25, 1.5 / float(stream.average_rate or 25))
        return container.duration / av.time_base - seconds_read > grace
    if container.format.name == "gif":
        with path.open("rb") as file:
            file.seek(max(0, size - 1024))
            return not file.read().rstrip(b"\0").endswith(b";")  # the trailer
    return False


def _resample(frames: Iterator[VideoFrame], stream: VideoStream, fps: float) -> Iterator[VideoFrame]:
    """For each instant k/fps until the video's end, the latest frame shown by then."""
    tick = stream.time_base or Fraction(1, 1000)
    interval = 1 / stream.average_rate if stream.average_rate else tick
    step = 1 / Fraction(fps).limit_denominator(1_000_000)
    # Timestamps are rounded to the container's tick (1 ms in webm), so a frame may be stamped half a tick late.
    instant = tick / 2
    start: Fraction | None = None
    end = Fraction(0)
    shown: VideoFrame | None = None
    for frame in frames:
        time = end if frame.pts is None else frame.pts * tick - (start or 0)
        if start is None:
            start, time = time, Fraction(0)
        while shown is not None and instant < time:
            yield shown
            instant += step
        shown, end = frame, time + (frame.duration * tick if frame.duration else interval)
    while shown is not None and instant < end:
        yield shown
        instant += step


def _display_matrix(frame: VideoFrame) -> list[int] | None:
    """The nine numbers that say how a video is turned and mirrored for display; None if it is shown as stored."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    return np.frombuffer(matrix, dtype=np.int32).tolist()  # type: ignore[call-overload]  # PyAV's stub knows it not


def _upright_rgb(frame: VideoFrame, matrix: list[int] | None) -> np.ndarray:
    """An RGB frame as displayed, (height, width, 3) uint8: turned by quarters and mirrored as the matrix says."""
    pixels = frame.to_ndarray()
    if matrix is None:
        return pixels
    # The stored point (x, y) is shown at (a·x + c·y, b·x + d·y).
    a, b, _, c, d = matrix[:5]
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
