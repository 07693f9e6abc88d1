"""What the project knows of a benchmark, and what all readers of annotations share."""

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adaptsign_hf.data.folder import Clip, LeftOutClip, is_there
from adaptsign_hf.modeling.video_reading_adaptsign import IMAGE_SUFFIXES

Reading = tuple[list[Clip], list[LeftOutClip]]


@dataclass(frozen=True)
class Benchmark:
    """
    A benchmark of continuous sign language recognition, of which the user has a copy.

    Attributes:
        name: As `load_benchmark` takes it.
        title: As people call it.
        layout: What a copy looks like, for messages.
        read: Lists the clips of a copy without opening a video, and those left out, with reasons. Raises ValueError
            where the folder is no such copy.
        clips: Published number of usable clips by split; empty where there is none.
        glosses: Published number of glosses, over `train` and over `all` splits.
        has_translation: Whether sentences of the spoken language come with the clips.
        redistribution: Why copies must not be passed on; empty where they may.
    """

    name: str
    title: str
    layout: str
    read: Callable[[Path], Reading]
    clips: dict[str, int] = field(default_factory=dict)
    glosses: dict[str, int] = field(default_factory=dict)
    has_translation: bool = False
    redistribution: str = ""


def find_root(data_dir: Path, markers: list[str], subfolders: list[str], title: str, layout: str) -> Path:
    """
    Find the root of a copy: the folder itself, or a known folder in it.

    Args:
        data_dir: What the user gave.
        markers: Files and folders that every copy has, relative to its root.
        subfolders: Where the root may lie in `data_dir`.
        title: Of the benchmark.
        layout: What a copy looks like.

    Raises:
        ValueError: If there is no copy; the message says what was expected and what was found.
    """
    candidates = [data_dir, *(data_dir / subfolder for subfolder in subfolders)]
    # The likeliest lacks least; of equals it is the first, what the user gave.
    missing = {root: [marker for marker in markers if not (root / marker).exists()] for root in candidates}
    root = min(candidates, key=lambda root: len(missing[root]))
    if not missing[root]:
        return root
    found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no folder"
    raise ValueError(
        f"Reading {title} from {root}: there is no {missing[root][0]}. Expected\n{layout}\nand found: "
        f"{found or 'an empty folder'}."
    )


def read_table(path: Path, columns: list[str], delimiter: str = "|") -> Iterator[dict[str, str]]:
    """
    Read a table of annotations row by row.

    Args:
        path: A text file in UTF-8 with a header.
        columns: Those that must be there.
        delimiter: Between columns. Only a table with commas has quotes.

    Raises:
        ValueError: If a column is missing, or the file is no such table.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        unquoted = csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        reader = csv.DictReader(file) if delimiter == "," else unquoted
        try:
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"Reading {path}: the column {missing[0]!r} is missing; the header is {reader.fieldnames}."
                )
            for row in reader:
                yield {column: (row[column] or "").strip() for column in columns}
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"Reading {path}: it is no table in UTF-8 ({error}).") from error


def frame_folder(folder: Path) -> Path:
    """Return the folder that holds a clip's images: the one named, its only child `1`, or its parent."""
    candidates = [folder, folder / "1", folder.parent] if folder.name == "1" else [folder, folder / "1"]
    there = [candidate for candidate in candidates if is_there(candidate)]
    return next(filter(has_images, there), next(iter(there), folder))


def has_images(folder: Path) -> bool:
    """Whether a folder holds an image."""
    return folder.is_dir() and any(
        Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".") for name in os.listdir(folder)
    )


@dataclass
class ClipList:
    """
    Collects the clips of a copy, and leaves out with a reason what cannot be one.

    Attributes:
        root: The copy. No annotation leads outside it; a link that the user made may, to another disk.
        known: Clips known to be unusable in every copy: name and reason.
        clips: Those collected.
        left_out: The others.
    """

    root: Path
    known: dict[str, str] = field(default_factory=dict)
    clips: list[Clip] = field(default_factory=list)
    left_out: list[LeftOutClip] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, clip: Clip) -> None:
        """Take a clip, or leave it out."""
        kind, reason = self._fault(clip)
        self._seen.add((clip.split, clip.name))
        if kind:
            self.leave_out(clip.name, reason, kind, clip.split)
        else:
            self.clips.append(clip)

    def leave_out(self, name: str, reason: str, kind: str, split: str = "") -> None:
        """Leave out what is no clip, or known to be unusable in every copy."""
        if name in self.known:
            kind, reason = "known", self.known[name]
        self.left_out.append(LeftOutClip(name, reason, kind, split))

    def _fault(self, clip: Clip) -> tuple[str, str]:
        """What is wrong with a clip, in a word and in words; both empty if nothing is."""
        path = os.path.relpath(os.path.normpath(clip.path), os.path.normpath(self.root))
        if not clip.name:
            return "nameless", "it has no name"
        if clip.name in self.known:
            return "known", self.known[clip.name]
        if (clip.split, clip.name) in self._seen:
            return "duplicate", f"the name stands twice in the split {clip.split!r}"
        if path.split(os.sep)[0] == os.pardir:
            return "outside", f"its path leads outside {self.root}"
        if not is_there(clip.path):
            return "missing", f"there is no {path}"
        if clip.path.is_dir() and not has_images(clip.path):
            return "empty", f"there is no image in {path}"
        if not clip.glosses:
            return "unlabelled", "the label is empty"
        return "", ""

    @property
    def reading(self) -> Reading:
        """The clips, and those left out."""
        return self.clips, self.left_out
