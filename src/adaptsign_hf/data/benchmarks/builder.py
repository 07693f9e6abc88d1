"""A benchmark as a `datasets` dataset: frames and videos stay encoded, and where they are, until they are used."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets

from adaptsign_hf.data.benchmarks.catalogue import find_benchmark, read_benchmark
from adaptsign_hf.data.folder import Clip, LeftOutClip
from adaptsign_hf.data.prepared.shards import read_images
from adaptsign_hf.modeling.video_reading_adaptsign import list_images, probe_video

logger = logging.getLogger(__name__)


@dataclass
class BenchmarkConfig(datasets.BuilderConfig):
    """
    Which benchmark, and which state of its copy.

    Attributes:
        benchmark: Its name.
        state: A digest of its annotation and of when its clips changed, so that a changed copy is not read from an
            old cache.
    """

    benchmark: str = "folder"
    state: str = ""


class BenchmarkBuilder(datasets.GeneratorBasedBuilder):
    """Builds `id, glosses, signer, [translation,] frames | video, num_frames` from a copy of a benchmark."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = BenchmarkConfig
    config: BenchmarkConfig

    def __init__(self, *args, clips: list[Clip], **kwargs):
        self.clips = clips
        super().__init__(*args, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        benchmark = find_benchmark(self.config.benchmark)
        features: dict = {
            "id": datasets.Value("string"),
            "glosses": datasets.List(datasets.Value("string")),
            "signer": datasets.Value("string"),
        }
        if benchmark.has_translation:
            features["translation"] = datasets.Value("string")
        features |= self._media()
        features["num_frames"] = datasets.Value("int32")
        return datasets.DatasetInfo(description=benchmark.title, features=datasets.Features(features))

    def _media(self) -> dict:
        folders = {clip.row is not None or clip.path.is_dir() for clip in self.clips}
        if len(folders) > 1:
            raise ValueError(
                f"Some clips of {self.config.data_dir} are videos and some folders of images, which do not fit into "
                "one column: make them alike."
            )
        return (
            {"frames": datasets.List(datasets.Image(decode=False))}
            if folders == {True}
            else {"video": datasets.Video(decode=False)}
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        splits = dict.fromkeys(clip.split for clip in self.clips)
        return [
            datasets.SplitGenerator(
                name=split, gen_kwargs={"clips": [clip for clip in self.clips if clip.split == split]}
            )
            for split in splits
        ]

    def _generate_examples(self, clips: list[Clip]) -> Iterator[tuple[str, dict]]:
        for clip in clips:
            try:
                media = encoded_media(clip)
            except (ValueError, OSError) as error:
                log_left_out(self.config.benchmark, [LeftOutClip(clip.name, str(error), split=clip.split)])
                continue
            example: dict = {"id": clip.name, "glosses": list(clip.glosses), "signer": clip.signer, **media}
            if "translation" in self.info.features:
                example["translation"] = clip.translation
            yield f"{clip.split}/{clip.name}", example


def encoded_media(clip: Clip) -> dict:
    """
    Return a clip's `frames` or `video`, and its `num_frames`; raise where there is no image or video.

    What has a path of its own is given by it, a row of a shard by its bytes.
    """
    if clip.row is not None:
        encoded = read_images(clip.path, clip.row)
        return {"frames": [{"path": None, "bytes": image} for image in encoded], "num_frames": len(encoded)}
    if not clip.path.is_dir():
        return {"video": {"path": str(clip.path), "bytes": None}, "num_frames": probe_video(clip.path).num_frames}
    images = list_images(clip.path)
    return {"frames": [{"path": str(image), "bytes": None} for image in images], "num_frames": len(images)}


def load_benchmark(
    name: str,
    data_dir: str | Path,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    cache_dir: str | Path | None = None,
):
    """
    Read a copy of a benchmark as a `datasets` dataset.

    Args:
        name: `phoenix2014`, `phoenix2014-si5`, `phoenix2014-t`, `csl-daily`, `csl` (split I), `csl-split2`, `ce-csl`,
            `folder` or `prepared`.
        data_dir: The copy.
        split: Which clips; None for a dictionary of all splits.
        streaming: Read rows as they are asked for, without a cache.
        num_proc: Processes that build the cache.
        cache_dir: Where the cache lies; `datasets`' own by default.

    Returns:
        A `Dataset`, an `IterableDataset` if streaming, or a dictionary of them. Its columns are `id`, `glosses` (list
        of str), `signer`, `translation` where the benchmark has one, `frames` (list of encoded images) or `video`
        (encoded), and `num_frames` (of a video, what its header says, or None).

    Raises:
        ValueError: If there is no such benchmark or split, the folder is no copy of it, or none of its clips is
            usable.
    """
    clips, left_out = read_benchmark(name, data_dir)
    log_left_out(name, left_out)
    if not clips:
        first = f"; the first: {left_out[0].name}: {left_out[0].reason}" if left_out else ""
        raise ValueError(f"None of the {len(left_out)} clips of {name} in {data_dir} can be used{first}.")
    splits = sorted({clip.split for clip in clips})
    if split is not None and split not in splits:
        raise ValueError(f"{name} has no split {split!r} in {data_dir}: its splits are {', '.join(splits) or 'none'}.")
    builder = BenchmarkBuilder(
        dataset_name=name.replace("-", "_"),
        data_dir=str(Path(data_dir).resolve()),
        cache_dir=None if cache_dir is None else str(cache_dir),
        clips=clips,
        benchmark=name,
        state=digest_state(clips),
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    readable = [name for name, info in builder.info.splits.items() if info.num_examples]
    if not readable or split not in (None, *readable):
        raise ValueError(f"None of the clips of {name} in {data_dir}{f' in {split!r}' if split else ''} can be read.")
    if split is not None:
        return builder.as_dataset(split)
    return datasets.DatasetDict({name: builder.as_dataset(name) for name in readable})


def digest_state(clips: list[Clip]) -> str:
    """Return a digest of clips with their labels, and of when their files or folders changed."""
    state = [(clip, clip.path.stat().st_mtime_ns) for clip in clips]
    return hashlib.sha256(repr(state).encode("utf-8", "surrogatepass")).hexdigest()


def log_left_out(name: str, left_out: list[LeftOutClip]) -> None:
    """Name each clip that is left out in the log."""
    for clip in left_out:
        logger.warning("%s: left out %s: %s", name, clip.name, clip.reason)
