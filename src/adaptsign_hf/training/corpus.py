"""The clips of a run: read, checked, and ready for the model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from adaptsign_hf.data.augmentation import AugmentationConfig
from adaptsign_hf.data.benchmarks import build_vocabulary, read_benchmark
from adaptsign_hf.data.feasibility import leave_out_infeasible
from adaptsign_hf.data.folder import METADATA, Clip, LeftOutClip, clips_of_split
from adaptsign_hf.data.loading import ClipDataset, decode_clips, probe_clips
from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.training.configuration import DataConfig

logger = logging.getLogger(__name__)


@dataclass
class Corpus:
    """
    The clips of a run by split.

    Attributes:
        clips: Of each split that is used, in the order of the metadata.
        left_out: All clips that cannot be used, with reasons.
        vocabulary: The glosses that a new model shall know, in the order of their ids.
        frames: Decoded frames of each split's clips, uint8 (frames, 3, height, width); empty unless cached.
    """

    clips: dict[str, list[Clip]]
    left_out: list[LeftOutClip]
    vocabulary: list[str]
    frames: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def dataset(
        self, split: str, processor: AdaptSignProcessor, augmentation: AugmentationConfig | None = None, seed: int = 0
    ) -> ClipDataset:
        """Return the clips of a split as a dataset."""
        return ClipDataset(self.clips[split], processor, self.frames.get(split), augmentation, seed)


def render_if_absent(config: DataConfig, quiet: bool) -> None:
    """Render the synthetic corpus into the data folder, if the recipe asks for it and there is no corpus yet."""
    if config.render_synthetic and not (Path(config.data_dir) / METADATA).exists():
        logger.info("rendering the synthetic corpus into %s", config.data_dir)
        corpus = SyntheticCorpusConfig(num_train=config.synthetic_train_clips)
        render_corpus(config.data_dir, corpus, progress=not quiet)


def list_corpus(config: DataConfig) -> Corpus:
    """
    List the clips of the splits that the recipe names, without opening a video.

    Raises:
        ValueError: If the folder, its metadata, or the training or a test split is missing.
    """
    clips, left_out = read_benchmark(config.dataset, config.data_dir)
    splits = [config.train_split, *config.test_splits]
    if config.dev_split and any(clip.split == config.dev_split for clip in clips):
        splits.insert(1, config.dev_split)
    elif config.dev_split:
        logger.warning("there is no split %r: no model is chosen, the last one is kept", config.dev_split)
    vocabulary = build_vocabulary(clips, None if config.vocabulary == "all" else (config.train_split,))
    return Corpus({split: clips_of_split(clips, split) for split in dict.fromkeys(splits)}, left_out, vocabulary)


def open_corpus(corpus: Corpus, processor: AdaptSignProcessor, config: DataConfig, quiet: bool = False) -> Corpus:
    """
    Open every video, and leave out those that cannot be read, or in training have no room for their glosses.

    Args:
        corpus: As listed.
        processor: Chooses size and frame rate.
        config: Whether frames are kept, and by how many workers they are decoded.
        quiet: Whether progress bars are hidden.

    Returns:
        The corpus of usable clips, with their frames if they are kept.

    Raises:
        ValueError: If no clip of a split is left.
    """
    opened = Corpus({}, list(corpus.left_out), corpus.vocabulary)
    for split, clips in corpus.clips.items():
        kept, frames, left_out = _open_split(clips, processor, config, split == config.train_split, split, quiet)
        if not kept:
            raise ValueError(
                f"None of the {len(clips)} clips of the split {split!r} can be used; the first: "
                f"{left_out[0].name}: {left_out[0].reason}."
            )
        opened.clips[split] = kept
        opened.left_out += left_out
        if config.cache_frames:
            opened.frames[split] = frames
    return opened


def _open_split(
    clips: Sequence[Clip],
    processor: AdaptSignProcessor,
    config: DataConfig,
    labels_must_fit: bool,
    split: str,
    quiet: bool,
) -> tuple[list[Clip], list[torch.Tensor], list[LeftOutClip]]:
    frames: list[torch.Tensor] = []
    if config.cache_frames:
        readable, frames, left_out = decode_clips(
            clips, processor.video_processor, config.num_workers, f"reading {split}", quiet
        )
        num_frames = [len(clip_frames) for clip_frames in frames]
    else:
        readable, num_frames, left_out = probe_clips(clips, config.fps, quiet)
    if not labels_must_fit:
        return readable, frames, left_out
    kept, infeasible = leave_out_infeasible(readable, num_frames)
    frames = [frames[index] for index in kept] if frames else []
    return [readable[index] for index in kept], frames, left_out + infeasible
