"""
The files of a prepared folder, and how they come to be whole.

The folder holds

- `prepared.json`, the settings, written first: a run that is resumed must have the same;
- `data/SPLIT-00000-of-00003.parquet`, the shards, as `datasets` finds them by itself;
- or, as folders of images, `SPLIT/CLIP/000000.jpg` and `metadata.csv`, as the benchmark `folder` reads them;
- `left_out.csv`, the clips that are not in it, with reasons; written last.

Everything is written under another name and renamed when it is whole.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from adaptsign_hf.data.folder import METADATA, Clip

SETTINGS, LEFT_OUT = "prepared.json", "left_out.csv"
LEFT_OUT_COLUMNS = ["id", "split", "reason"]
FILES = [SETTINGS, LEFT_OUT, METADATA, "data/*.parquet", "*/*/*.jpg", "*/*/*.png"]
SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")
SPLIT = re.compile(r"\w+(\.\w+)*")  # what `datasets` takes for one
PART = ".part"
LAYOUT_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """
    All that the content of a prepared folder depends on, beside the source's videos.

    Attributes:
        benchmark: What was prepared.
        format: `parquet` or `folder`.
        size: Side of a frame in pixels.
        lossless: PNG instead of JPEG.
        clips_per_shard: Of Parquet shards.
        splits: Number of clips in each, those included that turned out unreadable.
        annotations: Digest of names, labels, signers, splits and translations.
        layout_version: Raised when the same settings give other files.
    """

    benchmark: str
    format: str
    size: int
    lossless: bool
    clips_per_shard: int
    splits: dict[str, int]
    annotations: str
    layout_version: int = LAYOUT_VERSION


def digest_annotations(clips: Sequence[Clip]) -> str:
    """Return a digest of all that is known of clips but where they lie."""
    rows = [(clip.name, clip.glosses, clip.signer, clip.split, clip.translation) for clip in clips]
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()


def read_settings(folder: Path) -> Settings | None:
    """
    Return the settings of a prepared folder; None where it is none.

    Raises:
        ValueError: If they were written by another version, or changed by hand.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return None
    try:
        return Settings(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Reading {path}: these are no settings of this version of adaptsign ({error}). Choose another folder."
        ) from error


def claim_folder(folder: Path, settings: Settings) -> None:
    """
    Make a folder the place of these settings, or see that it is.

    Raises:
        ValueError: If it was begun with other settings, or holds something else.
    """
    begun = read_settings(folder)
    if begun is not None and begun != settings:
        mine, theirs = asdict(settings), asdict(begun)
        name = next(name for name in mine if mine[name] != theirs[name])
        raise ValueError(
            f"Preparing into {folder}: it was begun with other settings: {name} was {theirs[name]!r} and is now "
            f"{mine[name]!r}. Give the same ones to go on, or choose another folder."
        )
    if begun is None:
        foreign = (
            sorted(path.name for path in folder.iterdir() if not path.name.endswith(PART)) if folder.exists() else []
        )
        if foreign:
            raise ValueError(
                f"Preparing into {folder}: it holds other files ({', '.join(foreign[:4])}). Choose an empty folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / SETTINGS) as part:
            part.write_text(json.dumps(asdict(settings), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """
    Give a hidden name beside `path` to write a file or a folder under, and rename it when the block ends well.

    A process killed in the block leaves `path` as it was. The name is a new one each time, so that two processes at
    work on one folder do not mix their bytes.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        yield part
        if part.is_file():
            with part.open("rb+") as file:  # on the disk before it has its name, even if the power fails
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        remove(part)
        raise


def remove_parts(folder: Path) -> None:
    """Remove what killed runs left behind."""
    for path in [*folder.glob(f".*{PART}"), *folder.glob(f"*/.*{PART}")]:
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_splits(splits: Sequence[str]) -> None:
    """
    See that splits can be parts of file names, here and for `datasets`.

    Raises:
        ValueError: If one cannot.
    """
    for split in splits:
        if not SPLIT.fullmatch(split):
            raise ValueError(f"The split {split!r} cannot be prepared: name it with letters, digits and _ alone.")


def shard_path(folder: Path, split: str, number: int, count: int) -> Path:
    """Return the path of a split's shard, of which there are `count`."""
    return folder / "data" / f"{split}-{number:05d}-of-{count:05d}.parquet"


def clip_folder_name(name: str) -> str:
    """
    Return a clip's name as that of one folder, which leads nowhere and is not hidden; another for each name.

    All but letters, digits, `_`, `-`, `~` and dots behind the first letter is written as `%` and its code; what is too
    long for a file system is cut, with a digest at its end.
    """
    safe = "".join(
        letter if re.fullmatch(r"[\w-]", letter) else quote(letter, safe="", errors="surrogatepass") for letter in name
    )
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if len(safe.encode()) > 150:
        digest = hashlib.sha256(safe.encode()).hexdigest()
        safe = f"{safe.encode()[:80].decode(errors='ignore')}%{digest}"
    return safe
