"""All benchmarks by name."""

import logging
from collections.abc import Sequence
from pathlib import Path

from adaptsign_hf.data.benchmarks import ce_csl, csl, csl_daily, phoenix2014, phoenix2014t, prepared
from adaptsign_hf.data.benchmarks.description import Benchmark, Reading
from adaptsign_hf.data.folder import Clip, read_folder

logger = logging.getLogger(__name__)

FOLDER = Benchmark(
    name="folder",
    title="a folder of videos",
    layout="  metadata.csv   file_name,gloss[,signer,split]\n  the videos",
    read=read_folder,
)
BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        phoenix2014.MULTISIGNER,
        phoenix2014.SIGNER_INDEPENDENT,
        phoenix2014t.BENCHMARK,
        csl_daily.BENCHMARK,
        csl.SPLIT_I,
        csl.SPLIT_II,
        ce_csl.BENCHMARK,
        FOLDER,
        prepared.BENCHMARK,
    )
}


def find_benchmark(name: str) -> Benchmark:
    """
    Return a benchmark by its name.

    Raises:
        ValueError: If there is no such benchmark.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"There is no benchmark {name!r}: choose one of {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name]


def read_benchmark(name: str, data_dir: str | Path) -> Reading:
    """
    List the clips of a copy of a benchmark, without opening a video.

    Args:
        name: Of the benchmark.
        data_dir: The copy.

    Returns:
        The usable clips, and those left out, with reasons.

    Raises:
        ValueError: If there is no such benchmark, or the folder is no copy of it.
    """
    return find_benchmark(name).read(Path(data_dir))


def build_vocabulary(clips: Sequence[Clip], splits: Sequence[str] | None = ("train",)) -> list[str]:
    """
    Return the glosses of some splits, sorted by code point: id = rank + 1, 0 is the blank.

    Args:
        clips: Of all splits.
        splits: Whose glosses; None for all, as the authors' released weights have them.
    """
    return sorted({gloss for clip in clips if splits is None or clip.split in splits for gloss in clip.glosses})
