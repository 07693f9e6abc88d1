"""What is signed in a video: its glosses, when they were signed, and what else it may have been."""

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from adaptsign_hf.decoding.alignment import RecognizedGloss, align_glosses, time_aligned_glosses
from adaptsign_hf.decoding.annotation_files import Alternative
from adaptsign_hf.inference.streaming import Segment
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor, Decoder


@dataclass(frozen=True)
class Recognition:
    """
    What was read in a video.

    Attributes:
        glosses: In order.
        fps: Frames a second of the frames that the model saw; None where unknown.
        timed: The same glosses with their times; None if these were not asked for.
        alternatives: The best readings, best first; empty if none were asked for.
    """

    glosses: tuple[str, ...]
    fps: float | None = None
    timed: tuple[RecognizedGloss, ...] | None = None
    alternatives: tuple[Alternative, ...] = ()


@torch.inference_mode()
def recognize_video(model: AdaptSignForCTC, processor: AdaptSignProcessor, video: str | Path) -> str:
    """
    Read the glosses signed in a clip at one go; for long videos and more than glosses there is the pipeline.

    Args:
        model: The model, in evaluation mode.
        processor: Its processor.
        video: A video file or a folder of numbered images.

    Returns:
        The glosses, separated by spaces; empty if none is recognised.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        VideoReadError: If no frame of it can be read.
    """
    inputs = processor(videos=video).to(model.device)
    output = model(**inputs)
    return processor.batch_decode(output.logits, output.logit_lengths)[0]


def recognize_segments(
    processor: AdaptSignProcessor,
    segments: Iterable[Segment],
    fps: float | None = None,
    return_timestamps: bool = False,
    decoder: Decoder | None = None,
    num_beams: int | None = None,
    n_best: int | None = None,
    on_frames: Callable[[int], object] | None = None,
) -> Recognition:
    """
    Decode a video segment by segment; of each no more is kept than what was read in it.

    Args:
        processor: Decodes.
        segments: Of the whole video, in order.
        fps: Frames a second of the frames that the model saw, for the times.
        return_timestamps: Whether times are wanted.
        decoder: As in `AdaptSignProcessor.batch_decode`, and so the next two.
        num_beams: Of a search.
        n_best: How many readings of the whole video are wanted besides.
        on_frames: Is told of each segment's number of frames when it is decoded.

    Raises:
        ValueError: If times are wanted and there is no frame rate, or a setting of the decoding cannot be.
    """
    tokenizer = processor.tokenizer
    glosses: list[str] = []
    aligned = []
    alternatives = [Alternative((), 0.0)]
    num_frames = 0
    for segment in segments:
        log_probs = segment.log_probs[None]
        if n_best is None:
            text = processor.batch_decode(log_probs, None, decoder, num_beams)[0]
        else:
            decoded = processor.batch_decode(log_probs, None, decoder, num_beams, n_best=n_best)[0]
            readings = [Alternative(tuple(each.glosses.split()), each.log_probability) for each in decoded]
            alternatives = best_combinations(alternatives, readings, n_best)
            text = decoded[0].glosses
        glosses += text.split()
        if return_timestamps:
            ids = tokenizer.convert_tokens_to_ids(text.split())
            aligned += [gloss.shifted(segment.first_step) for gloss in align_glosses(segment.log_probs, ids)]
        num_frames += segment.num_frames
        if on_frames is not None:
            on_frames(segment.num_frames)
    timed = tuple(time_aligned_glosses(aligned, tokenizer.glosses, fps, num_frames)) if return_timestamps else None
    return Recognition(tuple(glosses), fps, timed, () if n_best is None else tuple(alternatives))


def best_combinations(firsts: Sequence[Alternative], seconds: Sequence[Alternative], count: int) -> list[Alternative]:
    """
    Join the readings of two stretches of a video that follow each other.

    Args:
        firsts: Readings of the first stretch.
        seconds: Readings of the second.
        count: How many are wanted.

    Returns:
        The most probable pairs, best first; where two pairs give the same glosses, the better one. They are the best
        of all if both lists hold the `count` best, or all that there are.
    """
    pairs = (
        Alternative(first.glosses + second.glosses, first.log_probability + second.log_probability)
        for first, second in itertools.product(firsts, seconds)
    )
    best: dict[tuple[str, ...], Alternative] = {}
    for pair in pairs:
        if pair.glosses not in best or best[pair.glosses].log_probability < pair.log_probability:
            best[pair.glosses] = pair
    return heapq.nlargest(count, best.values(), key=lambda reading: reading.log_probability)
