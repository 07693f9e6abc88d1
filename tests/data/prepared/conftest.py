"""A folder of a few tiny videos, some of them in folders of their own, and what a folder holds byte by byte."""

import csv
from pathlib import Path

import numpy as np
import pytest

from adaptsign_hf.data.folder import Clip
from adaptsign_hf.data.synthetic.corpus import write_video

NAMES = ["monday/a.mp4", "monday/b.mp4", "c.mp4", "d.mp4", "e.mp4", "dev/a.mp4", "dev/b.mp4"]


def write_source(folder: Path, names=NAMES, lengths=(5, 7, 4)) -> Path:
    """Write videos of smooth colours, 48 pixels wide and 40 high, and their metadata."""
    rows, columns = np.mgrid[0:40, 0:48]
    for index, name in enumerate(names):
        times = np.arange(lengths[index % len(lengths)])[:, None, None] * 9 + index * 20
        frames = np.stack(np.broadcast_arrays(rows * 5 + times, columns * 4 - times, rows + columns + times), axis=-1)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, frames.astype(np.uint8), fps=10)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "gloss", "signer", "split"])
        for index, name in enumerate(names):
            split = "dev" if name.startswith("dev/") else "train"
            writer.writerow([name, ["SUN", "RAIN SUN"][index % 2], "anna", split])
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """Five clips of train and two of dev; not to be changed."""
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture
def own_source(tmp_path) -> Path:
    """The same, to be changed."""
    return write_source(tmp_path / "source")


@pytest.fixture
def content():
    """Return what lies in a folder, hidden files too: paths and bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read


@pytest.fixture
def labels():
    """Return all that is known of clips beside where they lie."""

    def of(clips: list[Clip]) -> list[tuple]:
        return [(clip.name, clip.glosses, clip.signer, clip.split) for clip in clips]

    return of
