"""
When each gloss of a decoded sequence was signed, and how sure the model is of it.

A model trained with CTC speaks in spikes: a gloss has one or two steps somewhere within its sign, and all others are
blank. So times are found in two stages:

- `align_glosses` finds the most probable path that collapses to the sequence (the best path of Graves et al., 2006,
  through the sequence's own states), and where the middle of each sign is;
- `time_aligned_glosses` makes intervals of the middles: a sign reaches a third of the way to its neighbours' middles,
  the rest being the movement between signs, but not further than a sign lasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from adaptsign_hf.modeling.temporal_adaptsign import STRIDE
from adaptsign_hf.modeling.tokenization_adaptsign import BLANK_ID

# Chosen on the dev split of the synthetic corpus, and measured on its test splits by benchmarks/sign_times.py.
REACH = 1 / 3  # of the way to a neighbour's middle
MAX_REACH = 0.32  # seconds


@dataclass(frozen=True)
class AlignedGloss:
    """
    Where a gloss stands among the steps of the model's output.

    Attributes:
        id: Of the gloss.
        first_step: The first step that the best path gives to it.
        last_step: The last one, which is included.
        middle: Of the sign, in steps: 2.5 is the middle of step 2. It may lie up to one step beside the path's steps.
        confidence: Highest probability, 0…1, that the model gives the gloss in these steps.
    """

    id: int
    first_step: int
    last_step: int
    middle: float
    confidence: float

    def shifted(self, steps: int) -> "AlignedGloss":
        """Return the gloss so many steps later: from the steps of a piece of a video to those of the whole."""
        return replace(
            self, first_step=self.first_step + steps, last_step=self.last_step + steps, middle=self.middle + steps
        )


@dataclass(frozen=True)
class RecognizedGloss:
    """
    A gloss and its time.

    Attributes:
        gloss: Its name.
        start: Seconds from the first frame.
        end: Seconds from the first frame, after `start`.
        confidence: Highest probability, 0…1, that the model gives the gloss in its steps.
    """

    gloss: str
    start: float
    end: float
    confidence: float


def time_glosses(
    logits: torch.Tensor, ids: Sequence[int], glosses: Sequence[str], fps: float | None, num_frames: int | None = None
) -> list[RecognizedGloss]:
    """
    Find when each gloss of one clip was signed.

    Args:
        logits: Scores or log-probabilities of the clip's valid steps, (steps, classes); class 0 is the blank.
        ids: The glosses decoded from them, without blanks.
        glosses: The vocabulary, `processor.tokenizer.glosses`: the first has the id 1.
        fps: Frames a second of the frames the model saw: the processor's `video_processor.fps` or, where that is None,
            the video's own, `probe_video(path).fps`, which is None for a folder of images.
        num_frames: Frames of the clip, behind which no sign ends; None takes 4 a step.

    Raises:
        ValueError: As `align_glosses` and `time_aligned_glosses` raise it.
    """
    frames = STRIDE * len(logits) if num_frames is None else num_frames
    return time_aligned_glosses(align_glosses(logits, ids), glosses, fps, frames)


def align_glosses(logits: torch.Tensor, ids: Sequence[int]) -> list[AlignedGloss]:
    """
    Find the most probable CTC path that collapses to a sequence of glosses.

    Args:
        logits: Scores or log-probabilities of one clip's valid steps, (steps, classes); class 0 is the blank.
        ids: The glosses, without blanks: what was decoded, or what a person wrote.

    Returns:
        Each gloss in the order of `ids`; no two have a step in common.

    Raises:
        ValueError: If no path collapses to `ids`, because the steps are too few or a gloss has probability zero; if an
            id is no gloss of the model, or the logits hold NaN.
    """
    if logits.ndim != 2:
        raise ValueError(
            f"Aligning glosses to logits of shape {tuple(logits.shape)}: give one clip, (steps, classes)."
        )
    num_steps, num_classes = logits.shape
    sequence = np.array([int(gloss) for gloss in ids], dtype=np.int64)
    foreign = sequence[(sequence <= BLANK_ID) | (sequence >= num_classes)]
    if foreign.size:
        raise ValueError(
            f"Aligning the id {foreign[0]} to logits of {num_classes} classes: glosses have the ids "
            f"1…{num_classes - 1}. Leave blanks out, and use the tokenizer of the model that gave the logits."
        )
    if sequence.size == 0:
        return []
    required = sequence.size + int((sequence[1:] == sequence[:-1]).sum())  # a blank parts equal neighbours
    if num_steps < required:
        raise ValueError(
            f"Aligning {sequence.size} glosses to {num_steps} steps: they need {required}, one for each {STRIDE} "
            "frames. Give the logits of the whole clip, or fewer glosses."
        )
    scores = logits.detach().cpu().double()
    log_probs = scores.log_softmax(dim=-1).numpy()
    if np.isnan(log_probs).any():
        raise ValueError("Aligning glosses to logits that hold NaN or infinity: the model's output is broken.")
    aligned = []
    first, last = _best_path(log_probs, sequence)
    for index, gloss in enumerate(sequence.tolist()):
        steps = slice(first[index], last[index] + 1)
        # The sign may reach one step further on both sides, but not into the steps of its neighbours.
        begin = max(first[index] - 1, last[index - 1] + 1 if index > 0 else 0)
        end = min(last[index] + 2, first[index + 1] if index + 1 < len(first) else num_steps)
        middle = _middle(scores[begin:end], gloss) + begin
        confidence = float(np.exp(log_probs[steps, gloss].max()))
        aligned.append(AlignedGloss(gloss, int(first[index]), int(last[index]), float(middle), confidence))
    return aligned


def time_aligned_glosses(
    aligned: Sequence[AlignedGloss], glosses: Sequence[str], fps: float | None, num_frames: int
) -> list[RecognizedGloss]:
    """
    Turn steps into seconds, and spikes into signs.

    Step `k` is centred on the frames 4k…4k+3. A sign covers at least the middles of its gloss's steps, and nothing of
    another's.

    Args:
        aligned: Glosses of a whole clip or video, in order, from `align_glosses`. Those of pieces of a long video are
            `shifted` to where their piece begins, and given together.
        glosses: The vocabulary: the first gloss has the id 1.
        fps: Frames a second of the frames the model saw.
        num_frames: Their number; no sign ends behind the last.

    Raises:
        ValueError: If there is no frame rate, or it is not a positive number.
    """
    if fps is None or not 0 < fps < float("inf"):
        raise ValueError(
            f"Timing glosses at {fps} frames a second: a positive number is needed. Folders of images and arrays have "
            "no frame rate of their own: say at what rate their frames were taken."
        )
    timed = []
    max_reach = MAX_REACH * fps / STRIDE
    for index, gloss in enumerate(aligned):
        start, end = gloss.middle - max_reach, gloss.middle + max_reach
        earliest, latest = 0.0, num_frames / STRIDE
        if index > 0:
            before = aligned[index - 1]
            start = max(start, gloss.middle - REACH * (gloss.middle - before.middle))
            earliest = (before.last_step + 1 + gloss.first_step) / 2
        if index + 1 < len(aligned):
            after = aligned[index + 1]
            end = min(end, gloss.middle + REACH * (after.middle - gloss.middle))
            latest = (gloss.last_step + 1 + after.first_step) / 2
        # At least half a frame remains of a sign at the end of a clip whose last step is not full.
        start = max(earliest, min(start, gloss.first_step + 0.5, latest - 0.5 / STRIDE))
        end = min(latest, max(end, gloss.last_step + 0.5))
        seconds = STRIDE / fps
        timed.append(RecognizedGloss(glosses[gloss.id - 1], start * seconds, end * seconds, gloss.confidence))
    return timed


def _best_path(log_probs: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last step of each gloss on the best path."""
    # States: blank, first gloss, blank, second gloss, …, blank. A step stays, goes to the next, or skips a blank.
    labels = np.full(2 * len(ids) + 1, BLANK_ID)
    labels[1::2] = ids
    no_skip = np.full(len(labels), True)
    no_skip[3::2] = ids[1:] == ids[:-1]
    scores = np.full(len(labels), -np.inf)
    scores[:2] = log_probs[0, labels[:2]]
    moves = np.zeros((len(log_probs), len(labels)), dtype=np.uint8)
    ways = np.full((3, len(labels)), -np.inf)
    for step in range(1, len(log_probs)):
        ways[0] = scores
        ways[1, 1:] = scores[:-1]
        ways[2, 2:] = scores[:-2]
        ways[2, no_skip] = -np.inf
        moves[step] = ways.argmax(axis=0)
        scores = ways.max(axis=0) + log_probs[step, labels]
    state = len(labels) - 2 + int(scores[-1] > scores[-2])
    if scores[state] == -np.inf:
        raise ValueError("Aligning glosses one of which has probability zero wherever it could be: leave it out.")
    states = np.empty(len(log_probs), dtype=np.int64)
    for step in range(len(log_probs) - 1, -1, -1):
        states[step] = state
        state -= moves[step, state]
    glosses = np.arange(1, len(labels), 2)
    return np.searchsorted(states, glosses), np.searchsorted(states, glosses, side="right") - 1


def _middle(scores: torch.Tensor, gloss: int) -> float:
    """Return where a gloss is, in steps, by its probability among all glosses: blank hides how it rises and falls."""
    log_probs = scores[:, BLANK_ID + 1 :].log_softmax(dim=-1)[:, gloss - 1]
    log_probs[log_probs.isnan()] = -torch.inf  # where no gloss is possible
    centres = torch.arange(len(scores), dtype=torch.float64) + 0.5
    return float((log_probs.softmax(dim=0) * centres).sum())
