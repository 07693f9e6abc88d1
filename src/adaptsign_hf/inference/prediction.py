"""Recognition of many videos into files, one a video; a run that was stopped goes on where it was."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adaptsign_hf.decoding.annotation_files import RecognizedVideo
from adaptsign_hf.inference.recognition import Recognition
from adaptsign_hf.modeling.video_reading_adaptsign import IMAGE_SUFFIXES

# What is looked for in a folder. A file that is named by itself may be anything that can be read.
VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".gif"),
}


@dataclass(frozen=True)
class FoundVideo:
    """
    A video that somebody named, or that lies in a folder that somebody named.

    Attributes:
        path: A file or a folder of images.
        name: Its path from the folder that holds all of the videos that were named: `a/1.mp4` for `day/a/1.mp4` if
            `day` was named, or `day/a/1.mp4` and `day/b/1.mp4`. It never leads upwards.
    """

    path: Path
    name: Path


def find_videos(named: Sequence[Path]) -> list[FoundVideo]:
    """
    List videos, without opening any.

    A folder that holds images, and no video beside them, is one video. In any other, the videos are looked for at all
    depths, in natural order of their names: 2 before 10. What is hidden is left out, as are links to folders.

    Args:
        named: Files and folders; what is not there is kept, for reading it tells why it cannot be read.

    Returns:
        Each video once, in the order in which they were named.
    """
    found: dict[str, Path] = {}
    roots = []
    for path in named:
        videos = list(_videos_below(path)) if path.is_dir() else [path]
        is_folder_of_videos = bool(videos) and videos != [path]
        roots.append(os.path.abspath(path) if is_folder_of_videos else os.path.dirname(os.path.abspath(path)))
        for video in videos or [path]:
            found.setdefault(os.path.abspath(video), video)
    root = os.path.commonpath(roots) if roots else ""
    return [FoundVideo(video, Path(os.path.relpath(absolute, root))) for absolute, video in found.items()]


def _videos_below(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as scan:
        entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=_natural_order)
    suffixes = {os.path.splitext(entry.name)[1].lower() for entry in entries}
    if suffixes & IMAGE_SUFFIXES and not suffixes & VIDEO_SUFFIXES:
        yield folder
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _videos_below(folder / entry.name)
        elif os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:
            yield folder / entry.name


def _natural_order(entry: os.DirEntry) -> list[str | int]:
    # Text and numbers alternate, so like is always compared with like.
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", entry.name))]


def plan_outputs(videos: Sequence[FoundVideo], folder: Path, suffix: str) -> list[Path]:
    """
    Say which file each video's result goes to.

    Args:
        videos: From `find_videos`.
        folder: Where to.
        suffix: Of the files, such as `.json`.

    Returns:
        For each video a path below the folder, like its name: `a/1.json` for `a/1.mp4`. Where videos of one folder
        differ in their suffix alone, they keep it: `a/1.mp4.json` and `a/1.avi.json`.

    Raises:
        ValueError: If two videos would still go to one file.
    """
    short = [_named(video.name, suffix, VIDEO_SUFFIXES) for video in videos]
    counts = Counter(short)
    names = [
        path if counts[path] == 1 else _named(video.name, suffix) for path, video in zip(short, videos, strict=True)
    ]
    if len(set(names)) < len(names):
        name, _ = Counter(names).most_common(1)[0]
        raise ValueError(f"Writing results to {folder}: two videos would go to {name}. Rename one of them.")
    return [folder / name for name in names]


def _named(name: Path, suffix: str, replaced: Collection[str] = ()) -> Path:
    stem = name.stem if name.suffix.lower() in replaced else name.name
    return name.with_name(stem + suffix)


def remaining_work(videos: Sequence[FoundVideo], outputs: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the videos whose files are not there yet, each with its file. Files are there whole or not at all."""
    return [(video.path, output) for video, output in zip(videos, outputs, strict=True) if not output.exists()]


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed run was just writing; `write_annotations` gives it such names."""
    for place, _, names in os.walk(folder):
        for name in names:
            if re.fullmatch(r"\..*\.\d+\.partial", name):
                (Path(place) / name).unlink(missing_ok=True)


def as_recognized_video(video: Path, recognition: Recognition) -> RecognizedVideo:
    """Return what was read, with the video it was read in, as the writers of files take it."""
    assert recognition.timed is not None, "files hold times"
    return RecognizedVideo(str(video), recognition.fps, recognition.timed, recognition.alternatives)
