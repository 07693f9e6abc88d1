"""What the project knows of a benchmark, and what all readers of annotations share."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adaptsign_hf.data.folder import Clip, LeftOutClip
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
    for root in candidates:
        if all((root / marker).exists() for marker in markers):
            return root
    found = ", ".join(sorted(path.name for path in data_dir.iterdir())[:8]) if data_dir.is_dir() else "no folder"
    missing = next(marker for marker in markers if not (data_dir / marker).exists())
    raise ValueError(
        f"Reading {title} from {data_dir}: there is no {missing}. Expected\n{layout}\nand found: "
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
    for candidate in (folder, folder / "1", folder.parent if folder.name == "1" else folder):
        if candidate.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in candidate.iterdir()):
            return candidate
    return folder


@dataclass
class ClipList:
    """
    Collects the clips of a copy, and leaves out with a reason what cannot be one.

    Attributes:
        root: The copy; no clip lies outside it.
        broken: Clips known to be unusable: name and reason.
        clips: Those collected.
        left_out: The others.
    """

    root: Path
    broken: dict[str, str] = field(default_factory=dict)
    clips: list[Clip] = field(default_factory=list)
    left_out: list[LeftOutClip] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, clip: Clip) -> None:
        """Take a clip, or leave it out."""
        reason = self.broken.get(clip.name) or self._fault(clip)
        self._seen.add((clip.split, clip.name))
        if reason:
            self.left_out.append(LeftOutClip(clip.name, reason))
        else:
            self.clips.append(clip)

    def leave_out(self, name: str, reason: str) -> None:
        """Leave out what is not even a clip."""
        self.left_out.append(LeftOutClip(name, reason))

    def _fault(self, clip: Clip) -> str:
        if (clip.split, clip.name) in self._seen:
            return f"the name stands twice in the split {clip.split!r}"
        if not clip.path.resolve().is_relative_to(self.root.resolve()):
            return f"its path leads outside {self.root}"
        if not clip.path.exists():
            return f"there is no {clip.path.relative_to(self.root)}"
        if not clip.glosses:
            return "the label is empty"
        return ""

    @property
    def reading(self) -> Reading:
        """The clips, and those left out."""
        return self.clips, self.left_out
