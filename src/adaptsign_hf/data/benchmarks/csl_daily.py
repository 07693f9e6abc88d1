"""CSL-Daily, Chinese Sign Language of everyday life (Zhou et al., 2021)."""

from pathlib import Path

from adaptsign_hf.data.benchmarks.description import Benchmark, ClipList, Reading, find_root, read_table
from adaptsign_hf.data.folder import Clip

FRAMES, LABELS, SPLITS = "sentence/frames_512x512", "sentence_label/video_map.txt", "sentence_label/split_1.txt"
KNOWN = {
    "S000005_P0004_T00": f"known to be without data: it is in {SPLITS} only",
    "S000007_P0003_T00": f"known to be in no split of {SPLITS}",
}
LAYOUT = f"""  {FRAMES}/NAME/*.jpg
  {LABELS}   index|name|length|gloss|char|word|postag
  {SPLITS}     name|split"""


def read(data_dir: Path) -> Reading:
    """List the clips of a copy; `data_dir` is the folder of the release, or one that holds it."""
    root = find_root(data_dir, [LABELS, SPLITS], ["CSL-Daily", "csl-daily"], "CSL-Daily", LAYOUT)
    clips = ClipList(root, KNOWN)
    splits: dict[str, str] = {}
    for row in read_table(root / SPLITS, ["name", "split"]):
        if splits.setdefault(row["name"], row["split"]) != row["split"]:
            reason = f"it is in {SPLITS} twice, first as {splits[row['name']]}, and stays that"
            clips.leave_out(row["name"], reason, "duplicate", row["split"])
    labelled = set()
    for row in read_table(root / LABELS, ["name", "length", "gloss", "char"]):
        name = row["name"]
        labelled.add(name)
        if name not in splits:
            clips.leave_out(name, f"it is in no split of {SPLITS}", "splitless")
            continue
        num_frames = int(row["length"]) if row["length"].isdecimal() else None
        signer = next((part for part in name.split("_") if part.startswith("P")), "")
        translation = "".join(row["char"].split())
        glosses = tuple(row["gloss"].split())
        clips.add(Clip(name, root / FRAMES / name, glosses, signer, splits[name], translation, num_frames))
    for name in sorted(set(splits) - labelled):
        clips.leave_out(name, f"it is in {SPLITS} but not in {LABELS}", "unlabelled", splits[name])
    return clips.reading


BENCHMARK = Benchmark(
    name="csl-daily",
    title="CSL-Daily",
    layout=LAYOUT,
    read=read,
    clips={"train": 18401, "dev": 1077, "test": 1176},
    glosses={"train": 2000, "all": 2000},
    has_translation=True,
    redistribution="CSL-Daily is given out by USTC under an agreement that each user signs",
)
