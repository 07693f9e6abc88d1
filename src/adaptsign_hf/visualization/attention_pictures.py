"""Pictures of where a model looks: the aggregation query in each layer, and cross-frame attention around a frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adaptsign_hf.decoding.alignment import RecognizedGloss
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.visualization.explanation import Explanation
from adaptsign_hf.visualization.figure import colormap, gloss_fonts, new_figure
from adaptsign_hf.visualization.overlay import (
    COLOURS,
    blend,
    pick_frames,
    relative_weights,
    weight_limits,
)

_FRAME_SIDE = 240  # pixels
_CELL = 1.6  # inches of a frame's longer side


def draw_attention(
    explanation: Explanation, video_processor: AdaptSignVideoProcessor, path: Path, num_columns: int = 8
) -> None:
    """
    Draw the query's weights over evenly spaced frames: the frames, a line for each layer, and their mean.

    Args:
        explanation: Of the video, which is read once more.
        video_processor: That of the model.
        path: The picture.
        num_columns: Number of frames; a shorter video has fewer.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    count = min(num_columns, explanation.num_frames)
    shown = np.linspace(0, explanation.num_frames - 1, count).round().astype(int).tolist()
    frames = pick_frames(explanation.video, video_processor, shown, _FRAME_SIDE)
    layers = {f"layer {index + 1}": explanation.attention.query[:, index] for index in range(num_layers(explanation))}
    lines = {**layers, "mean of layers": explanation.attention.mean_query}
    maps = {name: relative_weights(weights) for name, weights in lines.items()}
    limits = weight_limits(np.stack(list(maps.values())))

    figure, axes = frame_grid(frames[0], len(maps) + 1, count)
    figure.suptitle(f"Where the aggregation query looks · {explanation.title}", fontsize=12)
    for axis, index in zip(axes[0], shown, strict=True):
        caption_frame(axis, explanation, index)
        axis.imshow(frames[index])
    axes[0, 0].set_ylabel("frame", fontsize=9)
    for row, (name, weights) in zip(axes[1:], maps.items(), strict=True):
        row[0].set_ylabel(name, fontsize=9)
        for axis, index in zip(row, shown, strict=True):
            axis.imshow(blend(frames[index], weights[index], limits))
    label = "weight of a patch, as a multiple of\nthe average patch of the frame"
    add_scale(figure, axes[1:], limits, label)
    figure.savefig(path, dpi=120)


def draw_cross_frame(
    explanation: Explanation, video_processor: AdaptSignVideoProcessor, path: Path, num_rows: int = 4
) -> None:
    """
    Draw what some frames take of the frames around them, one line a frame: as the paper shows trajectories.

    The video is cut into parts of equal length; of each, the frame is shown in which most moves.

    Args:
        explanation: Of the video, which is read once more.
        video_processor: That of the model.
        path: The picture.
        num_rows: Number of parts; a shorter video has fewer.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    affinities = explanation.attention.cross_frame.numpy()
    radius, last = affinities.shape[1] // 2, explanation.num_frames - 1
    centres = liveliest_frames(explanation.motion.numpy(), num_rows)
    shown = {centre: np.clip(np.arange(centre - radius, centre + radius + 1), 0, last).tolist() for centre in centres}
    wanted = {index for indices in shown.values() for index in indices}
    frames = pick_frames(explanation.video, video_processor, wanted, _FRAME_SIDE)
    low, high = np.quantile(affinities[centres], [0.02, 0.98]).tolist()
    limits = (low, max(high, low + 1e-6))

    figure, axes = frame_grid(next(iter(frames.values())), len(centres), 2 * radius + 1)
    title = f"What frame t takes of the frames around it, times the gate {explanation.attention.gate:.2f}"
    figure.suptitle(f"{title}\n{explanation.title}", fontsize=12)
    for row, (centre, indices) in zip(axes, shown.items(), strict=True):
        row[0].set_ylabel(f"t = {centre / explanation.fps:.2f} s", fontsize=9)
        for axis, index, map_ in zip(row, indices, affinities[centre], strict=True):
            axis.imshow(blend(frames[index], map_, limits, strongest=0.5))
    for axis, offset in zip(axes[0], range(-radius, radius + 1), strict=True):
        axis.set_title(f"frame t {offset:+}" if offset else "frame t", fontsize=9)
    for row in axes:
        for spine in row[radius].spines.values():
            spine.set(visible=True, linewidth=2.5)
    label = "affinity of frame t's class token to a patch:\nsigmoid(c·p / √D) - ½; below 0 it takes away"
    add_scale(figure, axes, limits, label)
    figure.savefig(path, dpi=120)


def num_layers(explanation: Explanation) -> int:
    """Return the number of CLIP's layers."""
    return explanation.attention.query.shape[1]


def liveliest_frames(motion: np.ndarray, num_parts: int) -> list[int]:
    """Return of each of so many equal parts the frame in which most moves; fewer where there are fewer frames."""
    parts = np.array_split(np.arange(len(motion)), min(num_parts, len(motion)))
    return [int(part[motion[part].argmax()]) for part in parts]


def frame_grid(frame: np.ndarray, rows: int, columns: int) -> tuple[Any, np.ndarray]:
    """Return a figure and its axes (rows, columns), each in the shape of the frame, without ticks."""
    height, width = frame.shape[:2]
    cell = _CELL / max(height, width)
    figure: Any = new_figure(columns * cell * width + 1.7, rows * (cell * height + 0.05) + 0.9)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    return figure, axes


def caption_frame(axis: Any, explanation: Explanation, index: int) -> None:
    """Write above a frame its time, and what is signed then."""
    time = index / explanation.fps
    gloss = gloss_at(explanation.recognized, time)
    shortened = gloss if len(gloss) <= 14 else f"{gloss[:13]}…"
    axis.set_title(f"{shortened}\n{time:.2f} s", fontsize=9, fontfamily=gloss_fonts())


def gloss_at(recognized: Sequence[RecognizedGloss], time: float) -> str:
    """Return the gloss that is signed at a time, empty between signs."""
    return next((sign.gloss for sign in recognized if sign.start <= time < sign.end), "")


def add_scale(figure: Any, axes: np.ndarray, limits: tuple[float, float], label: str) -> None:
    """Add the scale of the colours at the right of some axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(*limits), colormap(COLOURS))
    bar = figure.colorbar(scale, ax=axes, aspect=30, pad=0.01, shrink=0.9)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
