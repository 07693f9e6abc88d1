"""
Parquet shards of prepared clips.

Each clip is a row group of its own, so that any clip is read without the others, and each image an encoded file. The
schema tells `datasets` what the columns are, so that `load_dataset` gives images.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from adaptsign_hf.data.folder import Clip

if TYPE_CHECKING:  # only needed where there are shards
    from collections.abc import Callable

    import pyarrow
    from pyarrow.parquet import ParquetFile

LABEL_COLUMNS = ("id", "glosses", "signer", "translation", "num_frames")
OPEN_SHARDS = 64


def shard_schema(has_translation: bool) -> "pyarrow.Schema":
    """Return the columns of a shard: `id, glosses, signer, [translation,] frames, num_frames`."""
    from datasets import Features, Image, List, Value

    features = {"id": Value("string"), "glosses": List(Value("string")), "signer": Value("string")}
    if has_translation:
        features["translation"] = Value("string")
    return Features(features | {"frames": List(Image()), "num_frames": Value("int32")}).arrow_schema


@contextmanager
def shard_writer(path: Path, has_translation: bool) -> "Iterator[Callable[[Clip, list[bytes]], None]]":
    """Open a shard for writing; give what adds a clip and its encoded images to it. Equal clips give equal bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = shard_schema(has_translation)
    # Images are compressed already, and nothing is looked for by value.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with parquet.ParquetWriter(path, schema, **options) as writer:

        def add(clip: Clip, images: list[bytes]) -> None:
            row = {
                "id": clip.name,
                "glosses": clip.glosses,
                "signer": clip.signer,
                "translation": clip.translation,
                "frames": [{"bytes": image, "path": None} for image in images],
                "num_frames": len(images),
            }
            writer.write_table(pa.Table.from_pylist([row], schema))

        yield add


def count_clips(path: Path) -> int:
    """Return the number of clips in a shard; -1 where there is none, or it is damaged."""
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path).num_row_groups
    except (ValueError, OSError):
        return -1


def list_clips(path: Path, split: str) -> list[Clip]:
    """
    List the clips of a shard, without reading an image.

    Raises:
        ValueError: If the file is no shard, or is damaged.
    """
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as shard:
            if shard.num_row_groups != shard.metadata.num_rows:
                raise ValueError("several clips share a row group")
            columns = [name for name in LABEL_COLUMNS if name in shard.schema_arrow.names]
            rows = shard.read(columns, use_threads=False).to_pylist()
        return [
            Clip(
                row["id"],
                path,
                tuple(row["glosses"]),
                row["signer"] or "",
                split,
                row.get("translation") or "",
                row["num_frames"],
                index,
            )
            for index, row in enumerate(rows)
        ]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"Reading {path}: it is no shard that `adaptsign prepare` wrote, or was damaged since ({error})."
        ) from error


def read_images(path: Path, row: int) -> list[bytes]:
    """
    Read the encoded images of a clip.

    Args:
        path: The shard.
        row: Number of the clip in it.

    Raises:
        ValueError, OSError: If the shard is damaged or gone.
    """
    table = _opened(path, os.getpid()).read_row_group(row, ["frames.list.element.bytes"], use_threads=False)
    return table["frames"].combine_chunks().flatten().field("bytes").to_pylist()


class EncodedFrames(Sequence):
    """
    The frames of a clip, each decoded when it is asked for: uint8 (3, height, width).

    Args:
        images: From `read_images`.
        source: Names the clip in errors.
    """

    def __init__(self, images: Sequence[bytes], source: str):
        self.images = images
        self.source = source

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index):
        try:
            return decode_image(self.images[index])
        except (OSError, SyntaxError) as error:  # what Pillow raises for broken images
            raise ValueError(f"Reading {self.source}: its image {index} is damaged ({error}).") from error


def read_frames(path: Path, row: int) -> EncodedFrames:
    """
    Read a clip whose frames are decoded when they are asked for.

    Raises:
        ValueError, OSError: As `read_images` does; later, when a frame is asked for whose image is damaged.
    """
    return EncodedFrames(read_images(path, row), f"clip {row} of {path}")


def decode_image(image: bytes) -> torch.Tensor:
    """Decode an image: uint8 (3, height, width); raise OSError or SyntaxError if it is damaged."""
    with Image.open(io.BytesIO(image)) as opened:
        pixels = np.array(opened if opened.mode == "RGB" else opened.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


@lru_cache(maxsize=OPEN_SHARDS)
def _opened(path: Path, process: int) -> "ParquetFile":
    """Open a shard once in each process: a worker shall not share the file of the process it was forked from."""
    from pyarrow import parquet

    return parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
