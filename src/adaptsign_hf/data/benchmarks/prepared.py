"""Clips that `adaptsign prepare` resized: on the disk, or a dataset on the Hub."""

import re
from pathlib import Path

from adaptsign_hf.data.benchmarks.description import Benchmark, Reading, read_table
from adaptsign_hf.data.folder import Clip, LeftOutClip, read_folder
from adaptsign_hf.data.prepared.layout import FILES, LEFT_OUT, LEFT_OUT_COLUMNS, SETTINGS, SHARD, read_settings
from adaptsign_hf.data.prepared.shards import list_clips

LAYOUT = f"""  {SETTINGS}
  data/SPLIT-00000-of-00003.parquet, ...
  {LEFT_OUT}"""


def read(data_dir: Path) -> Reading:
    """List the clips of a folder that `adaptsign prepare` wrote, or of a dataset on the Hub (`user/name`)."""
    folder = find_prepared(data_dir)
    settings = read_settings(folder)
    if settings and not (folder / LEFT_OUT).is_file():
        raise ValueError(f"Reading {data_dir}: its preparation has not ended; run `adaptsign prepare` again.")
    left_out = []
    if settings:
        left_out = [
            LeftOutClip(row["id"], f"left out when it was prepared: {row['reason']}", "known", row["split"])
            for row in read_table(folder / LEFT_OUT, LEFT_OUT_COLUMNS, ",")
        ]
    if settings and settings.format == "folder":
        clips, gone = read_folder(folder)
        return clips, left_out + gone
    return read_shards(folder), left_out


def find_prepared(data_dir: Path) -> Path:
    """
    Return a prepared folder: the one given or, where there is none, that of a dataset on the Hub, downloaded once.

    Raises:
        ValueError: If there is neither.
    """
    if data_dir.is_dir():
        return data_dir
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data_dir.as_posix()):
        raise ValueError(f"Reading prepared clips from {data_dir}: there is no such folder. Expected\n{LAYOUT}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(data_dir.as_posix(), repo_type="dataset", allow_patterns=FILES))
    except (ValueError, OSError) as error:
        raise ValueError(
            f"Reading prepared clips from {data_dir}: there is no such folder, and no such dataset on the Hub can be "
            f"downloaded ({error})."
        ) from error


def read_shards(folder: Path) -> list[Clip]:
    """
    List the clips of all shards in `folder/data`, or in the folder itself.

    Raises:
        ValueError: If there is none, or one is missing or damaged.
    """
    paths = sorted((folder / "data" if (folder / "data").is_dir() else folder).glob("*.parquet"))
    shards = [(path, match) for path in paths if (match := SHARD.fullmatch(path.name))]
    if not shards:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise ValueError(f"Reading prepared clips from {folder}: expected\n{LAYOUT}\nand found: {found or 'nothing'}.")
    clips: list[Clip] = []
    for path, match in shards:
        count = sum(other["split"] == match["split"] for _, other in shards)
        if count != int(match["count"]):
            raise ValueError(
                f"Reading prepared clips from {folder}: there are {count} of the {int(match['count'])} shards of the "
                f"split {match['split']!r}. Run `adaptsign prepare` again, or copy the others too."
            )
        clips += list_clips(path, match["split"])
    return clips


BENCHMARK = Benchmark(
    name="prepared",
    title="clips that were prepared",
    layout=LAYOUT,
    read=read,
    has_translation=True,
)
