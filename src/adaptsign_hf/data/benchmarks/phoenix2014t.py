"""RWTH-PHOENIX-Weather 2014-T, with translations into German (Camgöz et al., 2018)."""

from pathlib import Path

from adaptsign_hf.data.benchmarks.description import Benchmark, ClipList, Reading, find_root, frame_folder, read_table
from adaptsign_hf.data.benchmarks.phoenix2014 import REDISTRIBUTION, SPLITS
from adaptsign_hf.data.folder import Clip

LAYOUT = """  PHOENIX-2014-T/
    annotations/manual/PHOENIX-2014-T.{train,dev,test}.corpus.csv   name|video|start|end|speaker|orth|translation
    features/fullFrame-210x260px/{train,dev,test}/NAME/*.png"""


def read(data_dir: Path) -> Reading:
    """List the clips of a copy; `data_dir` is the folder of the release, or one that holds it."""
    markers = [f"annotations/manual/PHOENIX-2014-T.{split}.corpus.csv" for split in SPLITS]
    subfolders = ["PHOENIX-2014-T", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T"]
    root = find_root(data_dir, markers, subfolders, "PHOENIX-2014-T", LAYOUT)
    clips = ClipList(root)
    for split, marker in zip(SPLITS, markers, strict=True):
        features = root / "features" / "fullFrame-210x260px" / split
        for row in read_table(root / marker, ["name", "speaker", "orth", "translation"]):
            # The column "video" may name a folder 1/ that is not on the disk: the name tells where to look.
            images = frame_folder(features / row["name"])
            glosses = tuple(row["orth"].split())
            clips.add(Clip(row["name"], images, glosses, row["speaker"], split, row["translation"]))
    return clips.reading


BENCHMARK = Benchmark(
    name="phoenix2014-t",
    title="RWTH-PHOENIX-Weather 2014-T",
    layout=LAYOUT,
    read=read,
    clips={"train": 7096, "dev": 519, "test": 642},
    glosses={"train": 1085, "all": 1115},
    has_translation=True,
    redistribution=REDISTRIBUTION,
)
