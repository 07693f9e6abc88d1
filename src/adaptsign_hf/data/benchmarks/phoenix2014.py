"""RWTH-PHOENIX-Weather 2014, multisigner and signer-independent (Koller et al., 2015)."""

from functools import partial
from pathlib import Path

from adaptsign_hf.data.benchmarks.description import Benchmark, ClipList, Reading, find_root, frame_folder, read_table
from adaptsign_hf.data.folder import Clip

SPLITS = ("train", "dev", "test")
LAYOUT = """  {folder}/
    annotations/manual/{{train,dev,test}}.{infix}corpus.csv   id|folder|signer|annotation
    features/fullFrame-210x260px/{{train,dev,test}}/ID/1/*.png"""
KNOWN = {
    "13April_2011_Wednesday_tagesschau_default-14": "known to be broken: 16 frames for 16 glosses",
}
REDISTRIBUTION = "RWTH-PHOENIX-Weather is given out by RWTH Aachen for research, to be fetched from there by each user"


def read(data_dir: Path, folder: str, infix: str) -> Reading:
    """
    List the clips of a copy.

    Args:
        data_dir: The folder of the release, or one that holds it.
        folder: What the release calls its folder.
        infix: What the release puts into the names of its annotation files.
    """
    markers = [f"annotations/manual/{split}.{infix}corpus.csv" for split in SPLITS]
    layout = LAYOUT.format(folder=folder, infix=infix)
    root = find_root(data_dir, markers, [folder, f"phoenix2014-release/{folder}"], "PHOENIX-2014", layout)
    clips = ClipList(root, KNOWN)
    for split, marker in zip(SPLITS, markers, strict=True):
        features = root / "features" / "fullFrame-210x260px" / split
        for row in read_table(root / marker, ["id", "folder", "signer", "annotation"]):
            images = frame_folder(features / row["folder"].removesuffix("/*.png"))
            clips.add(Clip(row["id"], images, tuple(row["annotation"].split()), row["signer"], split))
    return clips.reading


MULTISIGNER = Benchmark(
    name="phoenix2014",
    title="RWTH-PHOENIX-Weather 2014",
    layout=LAYOUT.format(folder="phoenix-2014-multisigner", infix=""),
    read=partial(read, folder="phoenix-2014-multisigner", infix=""),
    clips={"train": 5671, "dev": 540, "test": 629},
    glosses={"train": 1231, "all": 1295},
    redistribution=REDISTRIBUTION,
)
SIGNER_INDEPENDENT = Benchmark(
    name="phoenix2014-si5",
    title="RWTH-PHOENIX-Weather 2014, signer-independent (SI5)",
    layout=LAYOUT.format(folder="phoenix-2014-signerindependent-SI5", infix="SI5."),
    read=partial(read, folder="phoenix-2014-signerindependent-SI5", infix="SI5."),
    clips={"train": 4376, "dev": 111, "test": 180},
    redistribution=REDISTRIBUTION,
)
