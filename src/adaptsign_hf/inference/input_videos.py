"""Videos as the pipeline takes them: files, folders of images, bytes, arrays; never addresses on the net."""

import itertools
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from adaptsign_hf.inference.streaming import SEGMENT_STEPS
from adaptsign_hf.modeling.temporal_adaptsign import STRIDE
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import probe_video

MAX_CLIP_FRAMES = STRIDE * SEGMENT_STEPS  # what is longer goes through the model as a stream

# A path of a file or a folder of images, the bytes of a file, or frames (frames, height, width, 3).
Input: TypeAlias = str | Path | bytes | np.ndarray | torch.Tensor


@dataclass(frozen=True)
class PreparedVideo:
    """
    A video that can be read.

    Attributes:
        video: As it was given.
        frames: uint8 (frames, 3, height, width), resized; None where there are so many that it is to be a stream.
        fps: Frames a second of the frames that the model sees; None where unknown.
    """

    video: Input
    frames: torch.Tensor | None
    fps: float | None


def prepare_video(
    video_processor: AdaptSignVideoProcessor, video: Input, fps: float | None = None, return_timestamps: bool = False
) -> PreparedVideo:
    """
    Read the frames of a video, unless it has more than `MAX_CLIP_FRAMES`.

    Args:
        video_processor: Reads and resizes frames.
        video: As for the pipeline.
        fps: Frames a second of frames that do not know it themselves.
        return_timestamps: Whether it will be asked for times, for which the frame rate must be known.

    Raises:
        FileNotFoundError, VideoReadError, ValueError: As the pipeline does.
    """
    with readable(video) as source:
        num_frames, rate = declared_frames(video_processor, source)
        rate = rate or fps
        if return_timestamps and not (rate and 0 < rate < float("inf")):
            name = video if isinstance(video, (str, Path)) else "the video"
            raise ValueError(
                f"Finding when the glosses of {name} were signed: its frame rate is not known ({rate}). Say "
                "at how many frames a second it was taken: fps=25, for example (--fps 25)."
            )
        if num_frames is not None and num_frames > MAX_CLIP_FRAMES:
            return PreparedVideo(video, None, rate)
        frames = list(itertools.islice(video_processor.iter_video_frames(source), MAX_CLIP_FRAMES + 1))
    if len(frames) > MAX_CLIP_FRAMES:
        return PreparedVideo(video, None, rate)
    if len({frame.shape for frame in frames}) != 1:
        raise ValueError(
            "A video has no frames, or frames that differ in size while do_resize is off: set do_resize=True."
        )
    return PreparedVideo(video, torch.stack(frames), rate)


def prepare_or_tell(
    video_processor: AdaptSignVideoProcessor, video: Input, **options
) -> PreparedVideo | ValueError | OSError:
    """Prepare a video as `prepare_video` does; return the error, instead of raising it, where it cannot be read."""
    try:
        return prepare_video(video_processor, video, **options)
    except (ValueError, OSError) as error:
        return error


def declared_frames(
    video_processor: AdaptSignVideoProcessor, source: str | Path | np.ndarray | torch.Tensor
) -> tuple[float | None, float | None]:
    """Return how many frames a video has for the model, and how many a second, as far as it says so itself."""
    if not isinstance(source, (str, Path)):
        return len(source), video_processor.fps
    info = probe_video(source)
    if video_processor.fps is None or info.duration is None:
        return info.num_frames, video_processor.fps or info.fps
    return info.duration * video_processor.fps, video_processor.fps


@contextmanager
def readable(video: Input) -> Iterator[str | Path | np.ndarray | torch.Tensor]:
    """
    Give a video as the video processor takes it: the bytes of a file as one, while the block lasts.

    Raises:
        ValueError: If it is no video, or an address on the net.
    """
    if isinstance(video, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", video):
        raise ValueError(f"Reading {video}: addresses are not opened. Download the video first, and give its path.")
    if isinstance(video, (bytes, bytearray, memoryview)):
        with tempfile.TemporaryDirectory(prefix="adaptsign-") as folder:
            path = Path(folder) / "video_given_as_bytes"
            path.write_bytes(video)
            yield path
    elif isinstance(video, (str, Path)) or (isinstance(video, (np.ndarray, torch.Tensor)) and video.ndim > 0):
        yield video
    else:
        raise ValueError(
            f"Reading a video from {type(video).__name__}: give a path, the bytes of a video file, or an array "
            "(frames, height, width, 3)."
        )
