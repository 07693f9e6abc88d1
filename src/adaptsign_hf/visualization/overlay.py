"""Maps of a model's attention laid over the frames: single pictures, and a video."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import iter_frames
from adaptsign_hf.visualization.explanation import MAX_FRAMES, Explanation, explain_video
from adaptsign_hf.visualization.figure import colormap

VIDEO_SIDE = 480  # pixels of the longer side
COLOURS = "inferno"
# Of the frame, so that the map stands out.
_COLOUR_KEPT = 0.35
_BRIGHTNESS_KEPT = 0.7


def overlay_video(
    model: AdaptSignForCTC,
    processor: AdaptSignProcessor,
    video: str | Path,
    path: str | Path,
    max_frames: int = MAX_FRAMES,
) -> Explanation:
    """
    Write a video of where the aggregation query looks; see `explain_video` and `write_overlay`.

    Returns:
        What was found, to draw more of it.
    """
    explanation = explain_video(model, processor, video, max_frames)
    write_overlay(explanation, processor.video_processor, path)
    return explanation


def write_overlay(
    explanation: Explanation, video_processor: AdaptSignVideoProcessor, path: str | Path, quiet: bool = True
) -> None:
    """
    Write an H.264 mp4 of the frames as the model sees them, cropped, under the query's weights, mean over the layers.

    The video is decoded once more and written frame by frame: memory does not grow with its length.

    Args:
        explanation: Of the video.
        video_processor: That of the model.
        path: The file.
        quiet: Whether the progress bar is hidden; it also is where standard error is no terminal.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    maps = relative_weights(explanation.attention.mean_query)
    limits = weight_limits(maps)
    frames = islice(iter_seen_frames(explanation.video, video_processor, VIDEO_SIDE), explanation.num_frames)
    shown = tqdm(frames, "overlay", explanation.num_frames, disable=quiet or None, unit="frame", leave=False)
    encode_video(path, (blend(frame, map_, limits) for frame, map_ in zip(shown, maps, strict=True)), explanation.fps)


def relative_weights(weights: torch.Tensor) -> np.ndarray:
    """
    Compare weights of patches with equal shares.

    Args:
        weights: float (..., rows, columns).

    Returns:
        The same shape, mean 1: 2 is a patch that gets twice as much as the average one of its frame.
    """
    average = weights.mean(dim=(-2, -1), keepdim=True)
    return (weights / average.clamp(min=torch.finfo(average.dtype).tiny)).numpy()


def weight_limits(maps: np.ndarray) -> tuple[float, float]:
    """Return what relative weights get the first and the last colour: 0, and one that few patches exceed."""
    return 0.0, max(2.0, float(np.quantile(maps, 0.99)))


def blend(frame: np.ndarray, map_: np.ndarray, limits: tuple[float, float], strongest: float = 0.75) -> np.ndarray:
    """
    Lay a map over a frame: where it is low, the frame is dark and without colour; where it is high, it glows.

    Args:
        frame: uint8 (height, width, 3).
        map_: float (rows, columns), each value for its part of the frame.
        limits: The values that get the first and the last colour.
        strongest: How much the map covers the frame where it is highest, 0…1.

    Returns:
        uint8 (height, width, 3).
    """
    low, high = limits
    height, width = frame.shape[:2]
    image = Image.fromarray(map_.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    level = np.clip((np.asarray(image) - low) / (high - low), 0, 1)
    strength = strongest * level[..., None]
    grey = frame.mean(axis=2, keepdims=True)
    dimmed = _BRIGHTNESS_KEPT * (grey + _COLOUR_KEPT * (frame - grey))
    mixed = (1 - strength) * dimmed + strength * 255 * colormap(COLOURS)(level)[..., :3]
    return np.rint(mixed).astype(np.uint8)


def iter_seen_frames(
    video: str | Path, video_processor: AdaptSignVideoProcessor, longer_side: int
) -> Iterator[np.ndarray]:
    """
    Yield the part of each frame that the model sees, from the video itself, which has more pixels than the model's.

    Args:
        video: A video file or a folder of images.
        video_processor: Gives frame rate and crop.
        longer_side: Pixels to which the part is enlarged or reduced; its aspect ratio is kept.

    Yields:
        uint8 (height, width, 3), all of one size, both sides even.
    """
    size: tuple[int, int] | None = None
    for frame in iter_frames(video, video_processor.fps):
        left, top, right, bottom = seen_box(video_processor, *frame.shape[:2])
        if size is None:
            scale = longer_side / max(right - left, bottom - top)
            size = (_even(scale * (right - left)), _even(scale * (bottom - top)))
        box = (left, top, right, bottom)
        yield np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS, box=box))


def seen_box(video_processor: AdaptSignVideoProcessor, height: int, width: int) -> tuple[float, float, float, float]:
    """Return the part of a frame of this size, in pixels, that the model sees: left, top, right, bottom."""
    if not video_processor.do_center_crop:
        return 0.0, 0.0, float(width), float(height)
    resized, crop = video_processor.size, video_processor.crop_size
    assert crop.height is not None
    assert crop.width is not None
    full: Any = (resized.height, resized.width) if video_processor.do_resize else (height, width)
    (top, bottom), (left, right) = (
        _crop_range(kept, whole, pixels)
        for kept, whole, pixels in zip((crop.height, crop.width), full, (height, width), strict=True)
    )
    return left, top, right, bottom


def _crop_range(kept: int, whole: int, pixels: int) -> tuple[float, float]:
    """Where the `kept` middle pixels of `whole` begin and end in a frame of another size."""
    start = max(0, round((whole - kept) / 2))  # as torchvision's center_crop rounds
    return start * pixels / whole, min(start + kept, whole) * pixels / whole


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def pick_frames(
    video: str | Path, video_processor: AdaptSignVideoProcessor, indices: Iterable[int], longer_side: int
) -> dict[int, np.ndarray]:
    """Return some frames of a video, as `iter_seen_frames` gives them; only these are kept in memory."""
    wanted = set(indices)
    stream = islice(iter_seen_frames(video, video_processor, longer_side), max(wanted) + 1)
    return {index: frame for index, frame in enumerate(stream) if index in wanted}


def encode_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """
    Write an H.264 mp4, frame by frame, which browsers begin to play before they have all of it.

    Args:
        path: The file.
        frames: uint8 (height, width, 3) each, of one size, both sides even; at least one.
        fps: Frames a second.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "20"})
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
