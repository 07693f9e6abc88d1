"""Evaluation of a trained model on a folder of labelled videos."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch.utils.data import DataLoader

from adaptsign_hf.data.folder import (
    Clip,
    LeftOutClip,
    clips_of_split,
    read_folder,
    report_left_out,
    warn_of_unknown_glosses,
)
from adaptsign_hf.data.loading import ClipDataset, collate_clips
from adaptsign_hf.decoding.recognition import recognize_batches
from adaptsign_hf.metrics.word_errors import WordErrors, count_word_errors
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
        left_out: The clips that could not be scored.
    """

    errors: WordErrors
    clips: list[Clip]
    hypotheses: list[str]
    left_out: list[LeftOutClip]


def evaluate_folder(
    model: AdaptSignForCTC,
    processor: AdaptSignProcessor,
    data_dir: str | Path,
    split: str,
    batch_size: int = 1,
    num_workers: int = 0,
    strict: bool = False,
    quiet: bool = False,
) -> Evaluation:
    """
    Recognise the clips of a split and score them.

    Args:
        model: The model.
        processor: Its processor.
        data_dir: A folder of videos with `metadata.csv`.
        split: Which clips.
        batch_size: Clips read at once; the result does not depend on it.
        num_workers: Processes that decode videos, beside this one.
        strict: Whether a clip that cannot be read is an error.
        quiet: Whether progress bars are hidden.

    Raises:
        ValueError: If the folder or the split is missing, no clip can be read, or `strict` and one cannot.
    """
    all_clips, unusable = read_folder(data_dir)
    clips = clips_of_split(all_clips, split)
    warn_of_unknown_glosses(clips, processor.tokenizer.glosses, split)
    loader = DataLoader(
        ClipDataset(clips, processor),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=partial(collate_clips, processor=processor),
    )
    left_out = list(unusable)
    recognized = recognize_batches(model, processor, loader, left_out, quiet=quiet)
    report_left_out(left_out, strict)
    if not recognized:
        raise ValueError(f"Evaluating {data_dir}: none of the videos of the split {split!r} can be read.")
    scored = [clips[index] for index in sorted(recognized)]
    hypotheses = [recognized[index] for index in sorted(recognized)]
    errors = count_word_errors([clip.glosses for clip in scored], [hypothesis.split() for hypothesis in hypotheses])
    return Evaluation(errors, scored, hypotheses, left_out)
