"""The timeline of a video: how probable each gloss is at each moment, and what is recognised when."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adaptsign_hf.decoding.alignment import RecognizedGloss
from adaptsign_hf.modeling.temporal_adaptsign import STRIDE
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.visualization.explanation import Explanation
from adaptsign_hf.visualization.figure import colormap, gloss_fonts, new_figure
from adaptsign_hf.visualization.overlay import pick_frames

NUM_COMPETITORS = 4
_WEAKEST_COMPETITOR = 0.02  # a gloss that is never more probable than this matters to nobody
_COMPETITOR_COLOUR = "#9a9a9a"
_BLANK_COLOUR = "#d9d9d9"
_ROW = 0.34  # inches
_FILM_SIDE = 160  # pixels of a frame in the strip
_FILM_HEIGHT = 0.9  # inches
_BAR, _LINE = 0.2, 0.22  # inches, of spans and of the lines of their labels
_LETTER = 0.095  # inches, of the labels of spans


def draw_timeline(explanation: Explanation, video_processor: AdaptSignVideoProcessor, path: Path) -> None:
    """
    Draw the probabilities of the glosses that matter over time, one line a gloss, between frames and spans.

    Those that matter are the recognised ones, in their order, the strongest others, and the blank.

    Args:
        explanation: Of the video, which is read once more.
        video_processor: That of the model.
        path: The picture.

    Raises:
        ValueError: If matplotlib is not installed.
    """
    duration = explanation.num_frames / explanation.fps
    classes, competitors = classes_that_matter(explanation)
    num_rows = len(classes) + len(competitors) + 1
    width = float(np.clip(1.6 * duration + 4, 10, 40))
    inches = width - 2  # of the plots
    lines = label_lines(explanation.recognized, inches / duration)
    span_height = _BAR + _LINE * (max(lines, default=-1) + 1)
    figure = new_figure(width, _FILM_HEIGHT + _ROW * num_rows + span_height + 1.6)
    figure.suptitle(f"What the model reads · {explanation.title}", fontsize=12)
    film, curves, spans = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [_FILM_HEIGHT, _ROW * num_rows, span_height]}
    )
    curves.set_xlim(0, duration)
    colours = {gloss: colormap("tab10")(index % 10) for index, gloss in enumerate(classes)}
    draw_film(film, explanation, video_processor, duration, inches)
    draw_curves(curves, explanation, colours, competitors)
    draw_spans(spans, explanation, colours, lines)
    figure.savefig(path, dpi=120)


def classes_that_matter(explanation: Explanation) -> tuple[list[int], list[int]]:
    """Return the ids of the recognised glosses, in their order, and of the strongest others, strongest first."""
    ids = {gloss: index for index, gloss in enumerate(explanation.glosses)}
    recognized = list(dict.fromkeys(ids[sign.gloss] for sign in explanation.recognized))
    peaks = explanation.posteriors[:, 1:].amax(dim=0)
    others = [index + 1 for index in peaks.argsort(descending=True).tolist() if index + 1 not in recognized]
    strong = [index for index in others[:NUM_COMPETITORS] if peaks[index - 1] >= _WEAKEST_COMPETITOR]
    return recognized, strong


def draw_film(
    axes: Any, explanation: Explanation, video_processor: AdaptSignVideoProcessor, duration: float, inches: float
) -> None:
    """Draw a strip of frames, each centred at its time."""
    first = pick_frames(explanation.video, video_processor, [0], _FILM_SIDE)[0]
    aspect = first.shape[1] / first.shape[0]
    count = max(1, min(explanation.num_frames, int(inches / (aspect * _FILM_HEIGHT * 1.05))))
    centres = (np.arange(count) + 0.5) / count * duration
    indices = np.minimum((centres * explanation.fps).astype(int), explanation.num_frames - 1)
    frames = pick_frames(explanation.video, video_processor, indices.tolist(), _FILM_SIDE)
    half = 0.5 * aspect * _FILM_HEIGHT / inches * duration
    for centre, index in zip(centres, indices.tolist(), strict=True):
        axes.imshow(frames[index], extent=(centre - half, centre + half, 0, 1), aspect="auto")
    axes.set(xlim=(0, duration), ylim=(0, 1), yticks=[])
    axes.tick_params(bottom=False)
    axes.spines[:].set_visible(False)


def draw_curves(axes: Any, explanation: Explanation, colours: dict[int, Any], competitors: list[int]) -> None:
    """Draw a line a class, each from 0 to 1 in a strip of its own."""
    posteriors = explanation.posteriors.numpy()
    times = step_times(explanation)
    rows = {
        **colours,
        **dict.fromkeys(competitors, _COMPETITOR_COLOUR),
        0: _BLANK_COLOUR,
    }
    for row, (index, colour) in enumerate(rows.items()):
        base = len(rows) - 1 - row
        # Held for the 4 frames of a step, so that a video of one step is a line too.
        curve = np.append(posteriors[:, index], posteriors[-1, index])
        axes.fill_between(times, base, base + 0.9 * curve, step="post", color=colour, linewidth=0, alpha=0.85)
        axes.axhline(base, color="#cccccc", linewidth=0.6, zorder=0)
    names = ["blank" if index == 0 else explanation.glosses[index] for index in rows]
    axes.set_ylim(-0.1, len(rows))
    axes.set_yticks(np.arange(len(rows))[::-1] + 0.4, names, fontsize=9, fontfamily=gloss_fonts())
    for label, index in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color("black" if index in colours else "#707070")
        label.set_fontweight("bold" if index in colours else "normal")
    axes.tick_params(left=False, bottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "probability at each step, 0 to 1 in each line: recognised glosses (bold), their competitors, blank",
        fontsize=9,
        loc="left",
    )


def step_times(explanation: Explanation) -> np.ndarray:
    """Return where each step begins and the last one ends, in seconds, (steps + 1,)."""
    frames = np.minimum(STRIDE * np.arange(len(explanation.posteriors) + 1), explanation.num_frames)
    return frames / explanation.fps


def label_lines(recognized: Sequence[RecognizedGloss], inches_per_second: float) -> list[int]:
    """Return for each recognised gloss the line, from 0, in which its label touches no other one."""
    ends: list[float] = []  # of the labels in each line, in seconds
    lines = []
    for sign in recognized:
        middle = (sign.start + sign.end) / 2
        half = _LETTER * (len(sign.gloss) + 1) / 2 / inches_per_second
        line = next((line for line, end in enumerate(ends) if end <= middle - half), len(ends))
        ends[line : line + 1] = [middle + half]
        lines.append(line)
    return lines


def draw_spans(axes: Any, explanation: Explanation, colours: dict[int, Any], lines: list[int]) -> None:
    """Draw the recognised glosses as bars from start to end, their labels in the given lines below; in inches."""
    ids = {gloss: index for index, gloss in enumerate(explanation.glosses)}
    fonts = gloss_fonts()
    for sign, line in zip(explanation.recognized, lines, strict=True):
        bar = (sign.start, sign.end - sign.start)
        axes.broken_barh([bar], (0, _BAR), color=colours[ids[sign.gloss]], alpha=0.85, linewidth=0)
        middle, height = (sign.start + sign.end) / 2, -_LINE * (line + 0.5)
        axes.text(middle, height, sign.gloss, fontsize=9, ha="center", va="center", fontfamily=fonts)
    axes.set_ylim(-_LINE * (max(lines, default=-1) + 1), _BAR)
    axes.set_yticks([])
    axes.set_xlabel("seconds", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "left", "right"]].set_visible(False)
    found = "recognised glosses" if explanation.recognized else "no gloss is recognised"
    axes.set_title(found, fontsize=9, loc="left")
