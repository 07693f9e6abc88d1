"""Resizing a benchmark once, so that every epoch of training can start from small images."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tqdm.auto import tqdm

from adaptsign_hf.data.benchmarks.catalogue import find_benchmark, read_benchmark
from adaptsign_hf.data.folder import METADATA, Clip, LeftOutClip, report_left_out
from adaptsign_hf.data.prepared.encoding import EncodedClip, encode_clips
from adaptsign_hf.data.prepared.layout import (
    LEFT_OUT,
    LEFT_OUT_COLUMNS,
    Settings,
    check_splits,
    claim_folder,
    clip_folder_name,
    digest_annotations,
    remove_parts,
    shard_path,
    written_whole,
)
from adaptsign_hf.data.prepared.shards import count_clips, shard_writer

CLIPS_PER_SHARD = 64  # some 250 MB of PHOENIX-2014: what a killed run loses at most

HARMLESS = {"known", "foreign"}  # kinds of clips left out that no user can mend; also where `strict`

Format = Literal["parquet", "folder"]


@dataclass(frozen=True)
class Preparation:
    """
    What a prepared folder holds.

    Attributes:
        folder: The folder.
        clips: Number of clips in each split.
        left_out: Clips that are not in it, with reasons.
    """

    folder: Path
    clips: dict[str, int]
    left_out: list[LeftOutClip]


class Piece(Protocol):
    """What is written in one go: whole, or not at all."""

    @property
    def clips(self) -> Sequence[Clip]:
        """Those that it is made of, in order."""

    def is_whole(self) -> bool:
        """Whether it is there with all of its clips."""

    def write(self, encoded: Iterable[tuple[Clip, list[bytes]]]) -> None:
        """Write those of its clips that can be read."""


@dataclass(frozen=True)
class Shard:
    """Some clips of a split as a Parquet file; those that cannot be read are not in it."""

    path: Path
    clips: Sequence[Clip]
    has_translation: bool

    def is_whole(self) -> bool:
        """Whether the file is there and lacks no clip."""
        return count_clips(self.path) == len(self.clips)

    def write(self, encoded: Iterable[tuple[Clip, list[bytes]]]) -> None:
        """Write the file."""
        self.path.parent.mkdir(exist_ok=True)
        with written_whole(self.path) as part, shard_writer(part, self.has_translation) as add:
            for clip, images in encoded:
                add(clip, images)


@dataclass(frozen=True)
class ClipFolder:
    """One clip as a folder of numbered images."""

    path: Path
    clips: Sequence[Clip]
    suffix: str

    def is_whole(self) -> bool:
        """Whether the folder is there."""
        return self.path.is_dir()

    def write(self, encoded: Iterable[tuple[Clip, list[bytes]]]) -> None:
        """Write the folder, if the clip can be read."""
        for _, images in encoded:
            self.path.parent.mkdir(exist_ok=True)
            with written_whole(self.path) as part:
                part.mkdir()
                for number, image in enumerate(images):
                    (part / f"{number:06d}{self.suffix}").write_bytes(image)


def prepare_benchmark(
    name: str,
    source: str | Path,
    output: str | Path,
    size: int = 256,
    format: Format = "parquet",
    lossless: bool = False,
    num_workers: int | None = None,
    clips_per_shard: int = CLIPS_PER_SHARD,
    strict: bool = False,
    quiet: bool = False,
) -> Preparation:
    """
    Resize all clips of a benchmark, in the order of its annotations, and keep them as encoded images.

    A run that was killed at any moment goes on where it stopped when it is called again; the result has the same bytes
    as that of a run that was not. What lacks a clip, because it could not be read, is tried again.

    Args:
        name: Of the benchmark.
        source: The user's copy.
        output: Folder to write to; empty, or begun with the same settings.
        size: Side of a frame in pixels.
        format: `parquet`, shards to train from; or `folder`, a folder of images a clip beside `metadata.csv`.
        lossless: PNG, several times as large as the JPEG (quality 95, all of the colour) that is kept otherwise.
        num_workers: Processes that decode, resize and encode; one a core by default, 0 for none beside this one.
        clips_per_shard: Clips in each Parquet file.
        strict: Whether a clip that cannot be used is an error.
        quiet: Whether the progress bar is hidden.

    Returns:
        What the folder holds.

    Raises:
        ValueError: If the source is no copy of the benchmark, the folder holds something else or was begun with other
            settings, a split has a name that no file can have, no clip can be read, or a clip cannot and `strict`.
    """
    benchmark = find_benchmark(name)
    source, output = Path(source), Path(output)
    if size < 1 or clips_per_shard < 1:
        raise ValueError(f"size is {size} and clips_per_shard {clips_per_shard}: both must be at least 1.")
    clips, left_out = read_benchmark(name, source)
    faults = [clip for clip in left_out if clip.kind not in HARMLESS]
    report_left_out([clip for clip in left_out if clip.kind in HARMLESS], strict=False)
    report_left_out(faults, strict)
    splits = Counter(clip.split for clip in clips)
    check_splits(list(splits))
    settings = Settings(name, format, size, lossless, clips_per_shard, dict(splits), digest_annotations(clips))
    claim_folder(output, settings)

    pieces = list_pieces(output, clips, settings, benchmark.has_translation)
    unreadable = write_pieces(pieces, settings, num_workers, strict, quiet)
    kept = [clip for clip in clips if clip not in unreadable]
    left_out += unreadable.values()
    if not kept:
        first = f"; the first: {left_out[0].name}: {left_out[0].reason}" if left_out else ""
        raise ValueError(f"Preparing {source}: no clip of it can be used{first}.")
    if format == "folder":
        write_metadata(output, kept, benchmark.has_translation)
    remove_parts(output)
    write_left_out(output, left_out, source)
    return Preparation(output, dict(Counter(clip.split for clip in kept)), left_out)


def list_pieces(output: Path, clips: Sequence[Clip], settings: Settings, has_translation: bool) -> Sequence[Piece]:
    """Return all that is to be written, split after split, each in the order of its clips."""
    if settings.format == "folder":
        suffix = ".png" if settings.lossless else ".jpg"
        return [ClipFolder(output / image_folder(clip), [clip], suffix) for clip in clips]
    shards = []
    for split in settings.splits:
        of_split = [clip for clip in clips if clip.split == split]
        parts = [of_split[i : i + settings.clips_per_shard] for i in range(0, len(of_split), settings.clips_per_shard)]
        for number, part in enumerate(parts):
            shards.append(Shard(shard_path(output, split, number, len(parts)), part, has_translation))
    return shards


def image_folder(clip: Clip) -> str:
    """Return the folder of a clip's images, relative to that of the set."""
    return f"{clip.split}/{clip_folder_name(clip.name)}"


def write_pieces(
    pieces: Sequence[Piece], settings: Settings, num_workers: int | None, strict: bool, quiet: bool
) -> dict[Clip, LeftOutClip]:
    """
    Write what is not whole yet, and name each clip that cannot be read when it is met.

    Returns:
        Those clips, with reasons.

    Raises:
        ValueError: At the first of them, if `strict`.
    """
    waiting = [piece for piece in pieces if not piece.is_whole()]
    clips = [clip for piece in waiting for clip in piece.clips]
    encoded = zip(clips, encode_clips(clips, settings.size, settings.lossless, num_workers), strict=True)
    unreadable: dict[Clip, LeftOutClip] = {}

    def readable(clips_with_images: Iterable[tuple[Clip, EncodedClip]]) -> Iterator[tuple[Clip, list[bytes]]]:
        for clip, images in clips_with_images:
            bar.update()
            if isinstance(images, LeftOutClip):
                report_left_out([images], strict)
                unreadable[clip] = images
            else:
                yield clip, images

    total = sum(settings.splits.values())
    with tqdm(total=total, initial=total - len(clips), desc="preparing", unit="clip", disable=quiet or None) as bar:
        for piece in waiting:
            piece.write(readable(itertools.islice(encoded, len(piece.clips))))
    return unreadable


def write_metadata(output: Path, clips: Sequence[Clip], has_translation: bool) -> None:
    """Write `metadata.csv`, which makes folders of images a set that can be read."""
    columns = ["file_name", "gloss", "signer", "split", *(["translation"] if has_translation else [])]
    rows = [[image_folder(clip), " ".join(clip.glosses), clip.signer, clip.split, clip.translation] for clip in clips]
    write_table(output / METADATA, columns, rows)


def write_left_out(output: Path, left_out: Sequence[LeftOutClip], source: Path) -> None:
    """Write `left_out.csv`, which ends a preparation; where the source lies on this machine is nobody's business."""
    place = re.compile(rf"(?<!\w){re.escape(str(source))}(?![\w.-])")
    rows = [[clip.name, clip.split, place.sub(lambda _: source.name or ".", clip.reason)] for clip in left_out]
    write_table(output / LEFT_OUT, LEFT_OUT_COLUMNS, rows)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file whole, with no more than the columns of its header."""
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(row[: len(columns)] for row in rows)
