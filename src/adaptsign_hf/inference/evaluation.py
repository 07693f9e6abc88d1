"""Evaluation of a trained model on labelled videos."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch.utils.data import DataLoader

from adaptsign_hf.data.benchmarks import read_benchmark
from adaptsign_hf.data.folder import (
    Clip,
    LeftOutClip,
    clips_of_split,
    report_left_out,
    warn_of_unknown_glosses,
)
from adaptsign_hf.data.loading import ClipDataset, collate_clips, count_frames
from adaptsign_hf.decoding.recognition import recognize_batches
from adaptsign_hf.metrics.breakdown import Breakdown, break_down
from adaptsign_hf.metrics.gloss_wer.protocols import apply_protocol
from adaptsign_hf.metrics.gloss_wer.word_errors import WordErrors, count_word_errors
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor


@dataclass(frozen=True)
class Evaluation:
    """
    What a model read in a split.

    Attributes:
        errors: The score.
        clips: The clips scored.
        hypotheses: What was read in each of them, glosses separated by spaces.
        unreadable: Those of them whose video turned out unreadable: nothing was read, all their glosses are deletions.
        left_out: What the folder or the benchmark lists, but cannot be scored: a file is missing, or has no label.
        scored_references: The glosses of each clip, as the protocol makes them.
        scored_hypotheses: What was read, as the protocol makes it.
        training_counts: How often the training clips of the same data show each gloss.
    """

    errors: WordErrors
    clips: list[Clip]
    hypotheses: list[str]
    unreadable: list[LeftOutClip]
    left_out: list[LeftOutClip]
    scored_references: list[list[str]]
    scored_hypotheses: list[list[str]]
    training_counts: Counter[str]


def evaluate_data(
    model: AdaptSignForCTC,
    processor: AdaptSignProcessor,
    data_dir: str | Path,
    split: str,
    batch_size: int = 1,
    num_workers: int = 0,
    strict: bool = False,
    quiet: bool = False,
    protocol: str = "raw",
    collapse_repeats: bool = False,
    dataset: str = "folder",
) -> Evaluation:
    """
    Recognise the clips of a split and score them.

    Args:
        model: The model.
        processor: Its processor.
        data_dir: A folder of videos with `metadata.csv`, or a copy of a benchmark.
        split: Which clips.
        batch_size: Clips read at once; the result does not depend on it.
        num_workers: Processes that decode videos, beside this one.
        strict: Whether a clip that cannot be read is an error.
        quiet: Whether progress bars are hidden.
        protocol: What is done to glosses before they are scored; see `metrics.gloss_wer.protocols.apply_protocol`.
        collapse_repeats: Whether equal neighbours in a hypothesis are scored as one gloss.
        dataset: What `data_dir` is: `folder`, `prepared`, or the name of a benchmark.

    Raises:
        ValueError: If the folder or the split is missing, no clip can be read, or `strict` and one cannot; if there is
            no such protocol, or it leaves no gloss in the references.
    """
    all_clips, unusable = read_benchmark(dataset, data_dir)
    clips = clips_of_split(all_clips, split)
    warn_of_unknown_glosses(clips, processor.tokenizer.glosses, split)
    loader = DataLoader(
        ClipDataset(clips, processor),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=partial(collate_clips, processor=processor),
    )
    report_left_out(unusable, strict)
    unreadable: list[LeftOutClip] = []
    recognized = recognize_batches(model, processor, loader, unreadable, quiet=quiet)
    report_left_out(unreadable, strict)
    if not recognized:
        raise ValueError(f"Evaluating {data_dir}: none of the videos of the split {split!r} can be read.")
    hypotheses = [recognized.get(index, "") for index in range(len(clips))]
    scored_references, scored_hypotheses = apply_protocol(
        [clip.glosses for clip in clips], hypotheses, protocol, collapse_repeats
    )
    errors = count_word_errors(scored_references, scored_hypotheses)
    training_counts = Counter(gloss for clip in all_clips if clip.split == "train" for gloss in clip.glosses)
    return Evaluation(
        errors, clips, hypotheses, unreadable, unusable, scored_references, scored_hypotheses, training_counts
    )


def break_down_evaluation(evaluation: Evaluation, fps: float | None) -> Breakdown:
    """
    Count the errors of an evaluation by gloss, by frequency in training, by signer and by length.

    Args:
        evaluation: The evaluation.
        fps: Frame rate at which the clips were read; None if as they are.
    """
    unreadable = {clip.name for clip in evaluation.unreadable}
    num_frames = [
        None if clip.name in unreadable else clip.num_frames or count_frames(clip.path, fps)
        for clip in evaluation.clips
    ]
    return break_down(
        evaluation.scored_references,
        evaluation.scored_hypotheses,
        [clip.signer for clip in evaluation.clips],
        num_frames,
        evaluation.training_counts,
    )
