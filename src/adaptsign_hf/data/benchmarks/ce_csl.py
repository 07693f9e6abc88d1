"""CE-CSL, Chinese Sign Language before complex backgrounds (2024)."""

from pathlib import Path

from adaptsign_hf.data.benchmarks.description import Benchmark, ClipList, Reading, find_root, read_table
from adaptsign_hf.data.folder import Clip

SPLITS = ("train", "dev", "test")
LAYOUT = """  label/{train,dev,test}.csv                 Number,Translator,Chinese Sentences,Gloss,Note
  video/{train,dev,test}/{A ... L}/NUMBER.mp4"""


def read(data_dir: Path) -> Reading:
    """
    List the clips of a copy; `data_dir` is the folder of the release, or one that holds it.

    The full stop `。` stays a gloss, as published numbers count it.
    """
    markers = [f"label/{split}.csv" for split in SPLITS]
    root = find_root(data_dir, markers, ["CE-CSL"], "CE-CSL", LAYOUT)
    clips = ClipList(root)
    for split, marker in zip(SPLITS, markers, strict=True):
        for row in read_table(root / marker, ["Number", "Translator", "Chinese Sentences", "Gloss"], ","):
            path = root / "video" / split / row["Translator"] / f"{row['Number']}.mp4"
            glosses = tuple("".join(gloss.split()) for gloss in row["Gloss"].split("/") if gloss.strip())
            clips.add(Clip(row["Number"], path, glosses, row["Translator"], split, row["Chinese Sentences"]))
    return clips.reading


BENCHMARK = Benchmark(
    name="ce-csl",
    title="CE-CSL",
    layout=LAYOUT,
    read=read,
    clips={"train": 4973, "dev": 515, "test": 500},
    glosses={"all": 3515},
    has_translation=True,
    redistribution="CE-CSL is given out by its authors for research, to be fetched from them by each user",
)
