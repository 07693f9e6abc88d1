"""
Recognition of videos that strangers upload: within limits, and with messages that they understand.

Nothing here writes or logs anything about a video, but for `write_files`, into the folder that it is given.
"""

import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from av.video.stream import VideoStream

from adaptsign_hf.decoding.annotation_files import RecognizedVideo, write_annotations
from adaptsign_hf.inference.recognition import recognize_segments
from adaptsign_hf.inference.streaming import normalized_chunks, recognize_stream
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import TruncatedVideoWarning, VideoReadError

MEGABYTE = 10**6
# What the first bytes of a video are, by their place. FFmpeg goes by content too, but takes play lists, which name
# other files, and pictures, texts and sounds.
SIGNATURES = (
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),  # mp4, mov, 3gp
    (0, b"\x1a\x45\xdf\xa3"),  # webm, mkv
    (8, b"AVI "),
    (0, b"GIF8"),
    (0, b"\x00\x00\x01\xba"),  # mpg
    (0, b"\x00\x00\x01\xb3"),
    (0, b"\x30\x26\xb2\x75"),  # wmv
)
NO_VIDEO = (
    "This file is not a video that can be read here, whatever its name says. "
    "Please choose an mp4, mov, webm, mkv, avi or gif file."
)


class UploadRefused(ValueError):
    """A video is not read; the message is for the one who uploaded it, and says nothing of this machine."""


@dataclass(frozen=True)
class UploadLimits:
    """
    What is read of strangers.

    Attributes:
        megabytes: Size of the file.
        seconds: Length of the video.
        frames: Pictures in it; 60 a second by default.
        pixels: Of a picture; those of 4K by default.
        processing_seconds: Time that reading it may take.
    """

    megabytes: float = 50
    seconds: float = 60
    frames: int = 3600
    pixels: int = 3840 * 2160
    processing_seconds: float = 120

    def __post_init__(self):
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"A limit of uploads is {name}={value!r}: give a positive number.")


@dataclass(frozen=True)
class UploadedVideo:
    """
    A video that may be read.

    Attributes:
        path: Of the file.
        fps: Frames a second, on average; None where the file has no times.
        seconds: Its length; None where the file has no times.
    """

    path: Path
    fps: float | None
    seconds: float | None


@dataclass(frozen=True)
class Reading:
    """
    What was read in an uploaded video.

    Attributes:
        recognized: Its name, its glosses with their times, and other readings.
        seconds: Its length.
        is_damaged: Whether the video ends early or is damaged, so that not all of it was read.
    """

    recognized: RecognizedVideo
    seconds: float
    is_damaged: bool

    @property
    def text(self) -> str:
        """The glosses, separated by spaces."""
        return " ".join(gloss.gloss for gloss in self.recognized.glosses)


def check_upload(path: str | Path | None, limits: UploadLimits) -> UploadedVideo:
    """
    Look at a file before any of its pictures is decoded.

    Frames and length are counted in its packets: recordings of browsers do not say them, others may lie.

    Args:
        path: The file; None where none was chosen.
        limits: What is allowed.

    Raises:
        UploadRefused: If it is no video or beyond a limit.
    """
    if path is None:
        raise UploadRefused("Please choose a video first, or record one.")
    path = Path(path)
    size = path.stat().st_size
    if size > limits.megabytes * MEGABYTE:
        raise UploadRefused(
            f"This file has {size / MEGABYTE:.0f} MB, and at most {limits.megabytes:g} MB are read here. "
            "Please choose a shorter or smaller video."
        )
    with path.open("rb") as file:
        start = file.read(16)
    if not any(start[place:].startswith(signature) for place, signature in SIGNATURES):
        raise UploadRefused(NO_VIDEO)
    try:
        return _count_packets(path, limits)
    except av.FFmpegError as error:
        raise UploadRefused(NO_VIDEO) from error


def _count_packets(path: Path, limits: UploadLimits) -> UploadedVideo:
    # "file:" keeps names with a colon from being taken for a protocol.
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise UploadRefused("There are no moving pictures in this file, only sound. Please choose a video.")
        if stream.codec_context.width * stream.codec_context.height > limits.pixels:
            raise UploadRefused(
                f"The pictures of this video are {stream.codec_context.width} x {stream.codec_context.height} pixels "
                "large, too large to be read here. Please choose a video of lower resolution."
            )
        num_frames, first, end = 0, None, 0
        for packet in _whole_packets(container, stream):
            num_frames += 1
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None:
                first = stamp if first is None else min(first, stamp)
                end = max(end, stamp + (packet.duration or 0))
            seconds = float((end - first) * (stream.time_base or 0)) if first is not None else 0.0
            if seconds > limits.seconds:
                raise UploadRefused(
                    f"This video is longer than {limits.seconds:g} seconds, the most that is read here. "
                    "Please cut it, or choose a shorter one."
                )
            if num_frames > limits.frames:
                raise UploadRefused(
                    f"This video has more than {limits.frames} pictures, the most that are read here. "
                    "Please choose a shorter one, or one with fewer pictures a second."
                )
        if num_frames == 0:
            raise UploadRefused(NO_VIDEO)
        declared = float(stream.average_rate) if stream.average_rate else None
    if seconds <= 0:
        return UploadedVideo(path, declared, num_frames / declared if declared else None)
    # Recordings of browsers declare nonsense, such as 1000 frames a second; what was counted is true.
    return UploadedVideo(path, num_frames / seconds, seconds)


def _whole_packets(container: av.container.InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except av.FFmpegError:
        return  # it breaks off: what was there counts, and reading it will say that it is damaged


def recognize_upload(
    model: AdaptSignForCTC,
    processor: AdaptSignProcessor,
    path: str | Path | None,
    limits: UploadLimits | None = None,
    n_best: int = 5,
) -> Reading:
    """
    Read an uploaded video.

    Args:
        model: The model, in evaluation mode.
        processor: Its processor. Its decoder gives the glosses; other readings are by beam search, unless it has a
            language model.
        path: The file; None where none was chosen.
        limits: What is allowed; `UploadLimits()` by default.
        n_best: How many readings are wanted besides.

    Raises:
        UploadRefused: If it is no video or beyond a limit.
    """
    limits = limits or UploadLimits()
    upload = check_upload(path, limits)
    fps = processor.video_processor.fps or upload.fps
    if fps is None:
        raise UploadRefused("This video does not say when its pictures are shown. Please convert it to mp4.")
    with decoding_upload() as caught:
        chunks = within_limits(normalized_chunks(model, processor, upload.path), limits)
        segments = list(recognize_stream(model, chunks))
    is_damaged = any(issubclass(warning.category, TruncatedVideoWarning) for warning in caught)
    # By its own decoder, for the glosses that `adaptsign predict` gives; then once more for others.
    best = recognize_segments(processor, segments, fps, return_timestamps=True)
    search = "beam" if processor.decoder == "greedy" else processor.decoder
    beams = max(n_best, processor.num_beams)
    others = recognize_segments(processor, segments, decoder=search, num_beams=beams, n_best=n_best)
    assert best.timed is not None
    # The name alone: the folder is this machine's affair.
    recognized = RecognizedVideo(upload.path.name, fps, best.timed, others.alternatives)
    return Reading(recognized, sum(segment.num_frames for segment in segments) / fps, is_damaged)


@contextmanager
def decoding_upload() -> Iterator[list[warnings.WarningMessage]]:
    """
    Decode a video in this block: warnings, which name its file, are collected and not printed.

    Raises:
        UploadRefused: If no frame of it can be read.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TruncatedVideoWarning)
        try:
            yield caught
        except VideoReadError as error:
            raise UploadRefused(
                "No picture of this video could be decoded: it is damaged, or of a kind that is not known here. "
                "Please convert it to mp4, or choose another one."
            ) from error


def within_limits(chunks: Iterable[torch.Tensor], limits: UploadLimits) -> Iterator[torch.Tensor]:
    """
    Pass on a video's frames, (frames, 3, height, width) each, while they are within the limits.

    Raises:
        UploadRefused: If there are too many, or reading them takes too long.
    """
    started, num_frames = time.monotonic(), 0
    for chunk in chunks:
        num_frames += len(chunk)
        if num_frames > limits.frames:  # of a frame that is shown for very long, a fixed rate makes many
            raise UploadRefused("This video is too long to be read here. Please choose a shorter one.")
        if time.monotonic() - started > limits.processing_seconds:
            raise UploadRefused(
                f"Reading this video would have taken longer than {limits.processing_seconds:g} seconds, so it was "
                "given up. Please choose a shorter one, or try again when fewer people are here."
            )
        yield chunk


def write_files(reading: Reading, folder: str | Path) -> list[Path]:
    """
    Write the glosses with their times as WebVTT, for players, and as an annotation document for ELAN.

    Args:
        reading: What was read.
        folder: Where to. The files have the video's name.

    Returns:
        Their paths.
    """
    stem = Path(reading.recognized.video).stem or "video"
    paths = [Path(folder) / f"{stem}{suffix}" for suffix in (".vtt", ".eaf")]
    for path in paths:
        write_annotations(path, reading.recognized)
    return paths
