"""What is wrong with a copy of a benchmark, or worth knowing, before anything is trained on it."""

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Literal

from PIL import Image, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from adaptsign_hf.data.benchmarks.catalogue import build_vocabulary, find_benchmark
from adaptsign_hf.data.benchmarks.description import Benchmark
from adaptsign_hf.data.feasibility import leave_out_infeasible
from adaptsign_hf.data.folder import Clip, LeftOutClip
from adaptsign_hf.data.prepared.encoding import available_cores
from adaptsign_hf.data.prepared.shards import read_images
from adaptsign_hf.modeling.video_reading_adaptsign import TruncatedVideoWarning, iter_frames, list_images, probe_video

Severity = Literal["error", "warning"]

# What makes training or scoring wrong is an error, what one should know a warning.
KINDS: dict[str, tuple[Severity, str]] = {
    "missing": ("error", "annotated, but not on the disk"),
    "empty": ("error", "folders without images"),
    "unreadable": ("error", "images or videos that cannot be decoded as a whole"),
    "frame_count": ("error", "other numbers of frames than the annotation says"),
    "duplicate": ("error", "names that stand twice"),
    "overlap": ("error", "clips in several splits"),
    "outside": ("error", "paths that lead out of the folder"),
    "nameless": ("error", "annotations without a name"),
    "unlabelled": ("error", "clips without glosses"),
    "splitless": ("error", "clips in no split"),
    "known": ("warning", "known to be unusable, and left out"),
    "foreign": ("warning", "files that belong to no clip"),
    "infeasible": ("warning", "too short for their glosses under CTC; left out in training"),
    "vocabulary": ("warning", "glosses that are not in train: each is an error when scored"),
    "published": ("warning", "other counts than the published ones"),
}
IMAGES_NAMED = 3  # of the broken ones of a clip


@dataclass(frozen=True)
class Finding:
    """
    One thing found.

    Attributes:
        severity: Of its kind.
        kind: One of `KINDS`.
        split: Empty where it is of none.
        clip: Empty where it is of none.
        message: In words.
    """

    severity: Severity
    kind: str
    split: str
    clip: str
    message: str


@dataclass(frozen=True)
class FrameCounts:
    """The least, the median and the greatest number of frames of some clips."""

    min: int
    median: int
    max: int


@dataclass(frozen=True)
class SplitSummary:
    """
    One split in numbers.

    Attributes:
        split: Its name.
        clips: Number of usable clips.
        left_out: Number of the others.
        published: Number of usable clips as published; None where there is none.
        frames: Of the usable clips; None where no number is known.
        glosses: Number of different ones.
        signers: All of them.
        out_of_vocabulary: Glosses that are not in train.
    """

    split: str
    clips: int
    left_out: int
    published: int | None
    frames: FrameCounts | None
    glosses: int
    signers: list[str]
    out_of_vocabulary: list[str]


@dataclass(frozen=True)
class Inspection:
    """
    What `inspect_benchmark` found.

    Attributes:
        benchmark: Its name.
        source: The copy.
        fast: Whether images and videos were left unopened.
        splits: Each split in numbers.
        findings: In the order of `KINDS`.
    """

    benchmark: str
    source: str
    fast: bool
    splits: list[SplitSummary]
    findings: list[Finding]

    def of_severity(self, severity: Severity) -> list[Finding]:
        """Return the errors, or the warnings."""
        return [finding for finding in self.findings if finding.severity == severity]


@dataclass(frozen=True)
class OpenedClip:
    """
    What came out of opening a clip.

    Attributes:
        num_frames: How many it has; 0 if it is unusable, None where unknown.
        problem: What is wrong with it, in words; empty if nothing is.
    """

    num_frames: int | None
    problem: str = ""


def inspect_benchmark(
    name: str, source: str | Path, fast: bool = False, num_workers: int | None = None, quiet: bool = False
) -> Inspection:
    """
    Look for all that would spoil training on a copy of a benchmark, or scoring with it.

    Args:
        name: Of the benchmark.
        source: The copy.
        fast: Only count what there is, without opening each image or decoding a video.
        num_workers: Processes that open clips; one a core by default, 0 for none beside this one.
        quiet: Whether the progress bar is hidden, as it is outside a terminal.

    Raises:
        ValueError: If there is no such benchmark, or the folder is no copy of it.
    """
    benchmark = find_benchmark(name)
    clips, left_out = benchmark.read(Path(source))
    findings = [_finding(clip.kind, clip.split, clip.name, clip.reason) for clip in left_out]
    usable, num_frames = [], []
    opened = tqdm(
        open_clips(clips, fast, num_workers), "opening clips", len(clips), disable=quiet or None, unit="clip"
    )
    for clip, found in zip(clips, opened, strict=True):
        if found.problem:
            findings.append(_finding("unreadable", clip.split, clip.name, found.problem))
        if found.num_frames == 0:
            left_out.append(LeftOutClip(clip.name, found.problem, split=clip.split))
            continue
        usable.append(clip)
        num_frames.append(found.num_frames)
    findings += find_disagreements(usable, num_frames)
    splits = summarize_splits(benchmark, usable, num_frames, left_out)
    findings += find_unpublished_counts(benchmark, splits, usable)
    findings.sort(key=lambda finding: list(KINDS).index(finding.kind))
    return Inspection(name, str(source), fast, splits, findings)


def _finding(kind: str, split: str, clip: str, message: str) -> Finding:
    return Finding(KINDS[kind][0], kind, split, clip, message)


class OpenedClips(Dataset):
    """Clips as `open_clip` gives them."""

    def __init__(self, clips: Sequence[Clip], fast: bool):
        self.clips = clips
        self.fast = fast

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> OpenedClip:
        return open_clip(self.clips[index], self.fast)


def open_clips(clips: Sequence[Clip], fast: bool, num_workers: int | None = None) -> Iterator[OpenedClip]:
    """Open clips as `open_clip` does, in their order; `num_workers` as `inspect_benchmark` takes it."""
    if num_workers is None:
        num_workers = min(available_cores(), len(clips))
    yield from DataLoader(OpenedClips(clips, fast), batch_size=None, num_workers=num_workers)


def open_clip(clip: Clip, fast: bool) -> OpenedClip:
    """Open a clip and decode every frame of it or, if `fast`, count its frames only."""
    try:
        if clip.row is not None:
            return OpenedClip(clip.num_frames) if fast else _open_images(read_images(clip.path, clip.row))
        if clip.path.is_dir():
            images = list_images(clip.path)
            return OpenedClip(len(images)) if fast else _open_images(images)
        return OpenedClip(probe_video(clip.path).num_frames) if fast else _open_video(clip.path)
    except (ValueError, OSError) as error:
        return OpenedClip(0, str(error))


def _open_images(images: Sequence[Path | bytes]) -> OpenedClip:
    problems = []
    for number, image in enumerate(images, start=1):
        problem = find_image_fault(image)
        if problem:
            problems.append(f"{image.name if isinstance(image, Path) else f'image {number}'}: {problem}")
    if not problems:
        return OpenedClip(len(images))
    named = "; ".join(problems[:IMAGES_NAMED]) + ("; ..." if len(problems) > IMAGES_NAMED else "")
    message = f"{len(problems)} of {len(images)} images cannot be read: {named}"
    return OpenedClip(0 if len(problems) == len(images) else len(images), message)


def find_image_fault(image: Path | bytes) -> str:
    """Return what is wrong with an encoded image, in words; empty if nothing is."""
    try:
        data = image.read_bytes() if isinstance(image, Path) else image
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as opened:
                opened.verify()  # checksums, where the format has them
            with Image.open(io.BytesIO(data)) as opened:
                opened.load()  # pixels
    except UnidentifiedImageError:
        return "it is no image" if data else "the file is empty"
    except Exception as error:  # a damaged file makes Pillow fail in every manner
        return str(error) or repr(error)
    return ""


def _open_video(path: Path) -> OpenedClip:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        num_frames = sum(1 for _ in iter_frames(path))
    problems = [str(warning.message) for warning in caught if issubclass(warning.category, TruncatedVideoWarning)]
    return OpenedClip(num_frames, "; ".join(problems))


def find_disagreements(clips: Sequence[Clip], num_frames: Sequence[int | None]) -> list[Finding]:
    """
    Compare clips with their annotations, and with each other.

    Args:
        clips: Those that can be read.
        num_frames: Of each; None where unknown.
    """
    findings = []
    vocabulary = set(build_vocabulary(clips))
    splits: dict[str, list[str]] = {}
    for clip, frames in zip(clips, num_frames, strict=True):
        if frames is not None:
            if clip.num_frames not in (None, frames):
                message = f"it has {frames} frames, but the annotation says {clip.num_frames}"
                findings.append(_finding("frame_count", clip.split, clip.name, message))
            for infeasible in leave_out_infeasible([clip], [frames])[1]:
                findings.append(_finding("infeasible", clip.split, clip.name, infeasible.reason))
        others = splits.setdefault(clip.name, [])
        if others:
            message = f"it is in {' and '.join(others)} too"
            findings.append(_finding("overlap", clip.split, clip.name, message))
        others.append(clip.split)
        unknown = sorted(set(clip.glosses) - vocabulary)
        if vocabulary and unknown:
            findings.append(_finding("vocabulary", clip.split, clip.name, " ".join(unknown)))
    return findings


def summarize_splits(
    benchmark: Benchmark, clips: Sequence[Clip], num_frames: Sequence[int | None], left_out: Sequence[LeftOutClip]
) -> list[SplitSummary]:
    """
    Put each split in numbers, the published ones first.

    Args:
        benchmark: Tells what is published.
        clips: The usable ones.
        num_frames: Of each; None where unknown.
        left_out: The others.
    """
    vocabulary = set(build_vocabulary(clips))
    names = [*benchmark.clips, *(clip.split for clip in clips), *(clip.split for clip in left_out if clip.split)]
    summaries = []
    for split in dict.fromkeys(names):
        chosen = [clip for clip in clips if clip.split == split]
        frames = [
            number
            for clip, number in zip(clips, num_frames, strict=True)
            if clip.split == split and number is not None
        ]
        glosses = build_vocabulary(clips, [split])
        summaries.append(
            SplitSummary(
                split=split,
                clips=len(chosen),
                left_out=sum(clip.split == split for clip in left_out),
                published=benchmark.clips.get(split),
                frames=FrameCounts(min(frames), median_low(frames), max(frames)) if frames else None,
                glosses=len(glosses),
                signers=sorted({clip.signer for clip in chosen if clip.signer}),
                out_of_vocabulary=[gloss for gloss in glosses if gloss not in vocabulary] if vocabulary else [],
            )
        )
    return summaries


def find_unpublished_counts(
    benchmark: Benchmark, splits: Sequence[SplitSummary], clips: Sequence[Clip]
) -> list[Finding]:
    """Compare the numbers of usable clips, and of their glosses, with the published ones."""
    findings = []
    for split in splits:
        if split.published not in (None, split.clips):
            message = f"{split.clips} usable clips; published are {split.published}"
            findings.append(_finding("published", split.split, "", message))
    for where, published in benchmark.glosses.items():
        found = len(build_vocabulary(clips, None if where == "all" else (where,)))
        if found != published:
            message = f"{found} glosses in {where}; published are {published}"
            findings.append(_finding("published", "" if where == "all" else where, "", message))
    return findings
