"""A folder of videos beside a `metadata.csv` with the columns `file_name,gloss[,signer,split]`."""

import csv
import logging
import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

METADATA = "metadata.csv"
DEFAULT_SPLIT = "train"


@dataclass(frozen=True)
class Clip:
    """
    One video with its label.

    Attributes:
        name: File name as it stands in the metadata, relative to the folder; or the id that a benchmark gives it.
        path: The video file, a folder of numbered images, or a shard of prepared clips.
        glosses: What is signed.
        signer: Who signs; empty where unknown.
        split: `train` where the metadata has no such column.
        translation: The sentence in a spoken language; empty where there is none.
        num_frames: What the annotation says, to be compared with what there is; None where it says nothing.
        row: Number of the clip in the shard; None where the path is the clip's own.
    """

    name: str
    path: Path
    glosses: tuple[str, ...]
    signer: str = ""
    split: str = DEFAULT_SPLIT
    translation: str = ""
    num_frames: int | None = None
    row: int | None = None


@dataclass(frozen=True)
class LeftOutClip:
    """
    A clip that cannot be used.

    Attributes:
        name: Of the clip.
        reason: In words.
        kind: In one word, as `inspection.KINDS` explains it.
        split: Empty where unknown.
    """

    name: str
    reason: str
    kind: str = "unreadable"
    split: str = ""


def read_folder(data_dir: str | Path) -> tuple[list[Clip], list[LeftOutClip]]:
    """
    List the clips of a folder, without opening a video.

    Args:
        data_dir: The folder that holds `metadata.csv`; its `file_name`s are relative to it.

    Returns:
        The clips in the order of the file, and those left out: no file, a file outside the folder, no gloss, or a
        file name that stood there before.

    Raises:
        ValueError: If the folder or its metadata is missing, or lacks a column.
    """
    data_dir = Path(data_dir)
    metadata = data_dir / METADATA
    if not metadata.is_file():
        found = ", ".join(sorted(path.name for path in data_dir.iterdir())[:8]) if data_dir.is_dir() else "no folder"
        raise ValueError(
            f"Reading clips from {data_dir}: there is no {METADATA}. Expected a folder of videos beside a file "
            f"{METADATA} with the columns file_name,gloss[,signer,split]; found {found or 'an empty folder'}."
        )
    with metadata.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            missing = {"file_name", "gloss"} - set(reader.fieldnames or ())
            rows = list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"Reading {metadata}: it is no CSV file in UTF-8 ({error}). Save it as one.") from error
        if missing:
            raise ValueError(
                f"Reading {metadata}: the column{'s' if len(missing) > 1 else ''} {', '.join(sorted(missing))} "
                f"{'are' if len(missing) > 1 else 'is'} missing from {reader.fieldnames}. "
                "Expected file_name,gloss[,signer,split]."
            )
    return _check_rows(data_dir, rows)


def _check_rows(data_dir: Path, rows: Iterable[dict[str, str | None]]) -> tuple[list[Clip], list[LeftOutClip]]:
    root = data_dir.resolve()
    clips: list[Clip] = []
    left_out: list[LeftOutClip] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        name, signer, split = ((row.get(column) or "").strip() for column in ("file_name", "signer", "split"))
        split = split or DEFAULT_SPLIT
        glosses = tuple((row["gloss"] or "").split())
        path = data_dir / name
        same_file = os.path.normpath(name)
        if not name:
            line = f"{METADATA} line {number}"
            left_out.append(LeftOutClip(line, "the file name is empty", "nameless", split))
        elif same_file in seen:
            reason = f"the file name stands twice in {METADATA} (again in line {number})"
            left_out.append(LeftOutClip(name, reason, "duplicate", split))
        elif not is_there(path):
            left_out.append(LeftOutClip(name, "there is no such file", "missing", split))
        elif not path.resolve().is_relative_to(root):
            left_out.append(LeftOutClip(name, f"the file lies outside the folder {data_dir}", "outside", split))
        elif not glosses:
            left_out.append(LeftOutClip(name, "the label is empty", "unlabelled", split))
        else:
            clips.append(Clip(name, path, glosses, signer, split))
        seen.add(same_file)
    return clips, left_out


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder."""
    try:
        return path.exists()
    except (OSError, ValueError):  # no file can have such a name: too long, or with a zero byte
        return False


def clips_of_split(clips: Sequence[Clip], split: str) -> list[Clip]:
    """
    Return the clips of one split.

    Raises:
        ValueError: If there are none; the message names the splits there are.
    """
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        raise ValueError(
            f"There is no clip in the split {split!r}: the splits are {sorted({clip.split for clip in clips})}."
        )
    return chosen


def report_left_out(left_out: Sequence[LeftOutClip], strict: bool) -> None:
    """
    Name every clip that is left out, with a warning.

    Args:
        left_out: The clips.
        strict: Whether a clip left out is an error.

    Raises:
        ValueError: If `strict`, and there is any.
    """
    if not left_out:
        return
    lines = "\n".join(f"  {clip.name}: {clip.reason}" for clip in left_out)
    summary = f"{len(left_out)} clip{'s' if len(left_out) > 1 else ''} left out:\n{lines}"
    if strict:
        raise ValueError(f"{summary}\nMend or remove them, or run without --strict to leave them out.")
    logger.warning(summary)


def warn_of_unknown_glosses(clips: Sequence[Clip], vocabulary: Sequence[str], split: str) -> None:
    """Name, with a warning, the glosses of a split that a model with this vocabulary can never read."""
    unknown = sorted({gloss for clip in clips for gloss in clip.glosses} - set(vocabulary))
    if unknown:
        logger.warning(
            "%d gloss(es) of the split %r are not in the model's vocabulary, so each is an error: %s",
            len(unknown),
            split,
            " ".join(unknown[:20]) + (" ..." if len(unknown) > 20 else ""),
        )
