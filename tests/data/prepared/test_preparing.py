import csv
import io
import json
import logging

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin

from adaptsign_hf.data.benchmarks import read_benchmark
from adaptsign_hf.data.loading import load_frames
from adaptsign_hf.data.prepared.preparing import prepare_benchmark
from adaptsign_hf.data.prepared.shards import read_images
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor

SHARDS = {
    "data/train-00000-of-00003.parquet",
    "data/train-00001-of-00003.parquet",
    "data/train-00002-of-00003.parquet",
    "data/dev-00000-of-00001.parquet",
}


def prepare(source, output, **options):
    options = {"size": 32, "clips_per_shard": 2, "num_workers": 0, "quiet": True} | options
    return prepare_benchmark("folder", source, output, **options)


def source_frames(source, size=32):
    """The frames of each clip as training on the source sees them."""
    processor = AdaptSignVideoProcessor(size={"height": size, "width": size})
    return {clip.name: load_frames(clip, processor) for clip in read_benchmark("folder", source)[0]}


def rgb(image):
    return torch.from_numpy(np.array(Image.open(io.BytesIO(image)).convert("RGB"))).permute(2, 0, 1)


def test_shards_hold_all_clips_in_order(source, tmp_path, content, labels):
    prepared = prepare(source, tmp_path / "out")
    assert prepared.clips == {"train": 5, "dev": 2}
    assert prepared.left_out == []
    assert content(tmp_path / "out").keys() == SHARDS | {"prepared.json", "left_out.csv"}
    originals, _ = read_benchmark("folder", source)
    clips, left_out = read_benchmark("prepared", tmp_path / "out")
    assert left_out == []
    for split in ("train", "dev"):
        assert labels([clip for clip in clips if clip.split == split]) == labels(
            [clip for clip in originals if clip.split == split]
        )
    frames = source_frames(source)
    assert [clip.num_frames for clip in clips] == [len(frames[clip.name]) for clip in clips]


@pytest.mark.parametrize("format", ["parquet", "folder"])
def test_lossless_frames_are_those_of_training_on_the_source(source, tmp_path, format):
    prepare(source, tmp_path / "out", format=format, lossless=True)
    processor = AdaptSignVideoProcessor(size={"height": 32, "width": 32})
    expected = list(source_frames(source).values())
    clips, _ = read_benchmark("prepared", tmp_path / "out")
    clips.sort(key=lambda clip: clip.split, reverse=True)
    for clip, frames in zip(clips, expected, strict=True):
        assert torch.equal(load_frames(clip, processor), frames)


def test_jpeg_frames_are_close_to_them_and_keep_all_colour(source, tmp_path):
    prepare(source, tmp_path / "out")
    frames = source_frames(source)
    for clip in read_benchmark("prepared", tmp_path / "out")[0]:
        images = read_images(clip.path, clip.row)
        assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(images[0]))) == 0  # 4:4:4
        difference = torch.stack(list(map(rgb, images))).float() - frames[clip.name]
        assert difference.abs().mean() < 2


def test_datasets_finds_shards_by_itself(source, tmp_path):
    prepare(source, tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 5, "dev": 2}
    assert loaded["train"].features == datasets.Features(
        {
            "id": datasets.Value("string"),
            "glosses": datasets.List(datasets.Value("string")),
            "signer": datasets.Value("string"),
            "frames": datasets.List(datasets.Image()),
            "num_frames": datasets.Value("int32"),
        }
    )
    row = loaded["train"][1]
    assert (row["id"], row["glosses"]) == ("monday/b.mp4", ["RAIN", "SUN"])
    assert (row["signer"], row["num_frames"]) == ("anna", 7)
    assert [image.size for image in row["frames"]] == [(32, 32)] * 7
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="dev", streaming=True)
    assert [row["id"] for row in streamed] == ["dev/a.mp4", "dev/b.mp4"]


def test_folders_of_images_are_a_set_of_ones_own(source, tmp_path, content):
    prepared = prepare(source, tmp_path / "out", format="folder")
    assert prepared.clips == {"train": 5, "dev": 2}
    clips, left_out = read_benchmark("folder", tmp_path / "out")
    assert left_out == []
    assert [clip.name for clip in clips][:3] == ["train/monday%2Fa.mp4", "train/monday%2Fb.mp4", "train/c.mp4"]
    assert [clip.glosses for clip in clips] == [clip.glosses for clip in read_benchmark("folder", source)[0]]
    files = content(tmp_path / "out").keys()
    assert {"train/c.mp4/000000.jpg", "train/c.mp4/000003.jpg", "metadata.csv", "left_out.csv"} < files
    assert len(files) == 3 + sum(map(len, source_frames(source).values()))
    assert read_benchmark("prepared", tmp_path / "out") == (clips, [])


@pytest.mark.parametrize("format", ["parquet", "folder"])
def test_bytes_do_not_depend_on_workers_or_places(source, tmp_path, content, format):
    prepare(source, tmp_path / "here", format=format)
    prepare(source, tmp_path / "other" / "there", format=format, num_workers=2)
    assert content(tmp_path / "here") == content(tmp_path / "other" / "there")


def test_what_is_whole_is_left_alone(source, tmp_path):
    prepare(source, tmp_path / "out")
    shards = sorted((tmp_path / "out" / "data").iterdir())
    before = [shard.stat().st_mtime_ns for shard in shards]
    gone = shards.pop(1)
    gone.unlink()
    assert prepare(source, tmp_path / "out").clips == {"train": 5, "dev": 2}
    assert [shard.stat().st_mtime_ns for shard in shards] == before[:1] + before[2:]
    assert gone.exists()


def test_a_damaged_shard_is_written_anew(source, tmp_path, content):
    prepare(source, tmp_path / "out")
    whole = content(tmp_path / "out")
    shard = tmp_path / "out" / "data" / "dev-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    prepare(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"size": 16}, "size was 32 and is now 16"),
        ({"lossless": True}, "lossless was False and is now True"),
        ({"format": "folder"}, "format was 'parquet' and is now 'folder'"),
        ({"clips_per_shard": 3}, "clips_per_shard was 2 and is now 3"),
    ],
)
def test_other_settings_are_refused(source, tmp_path, content, changes, name):
    prepare(source, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(ValueError, match=name):
        prepare(source, tmp_path / "out", **changes)
    assert content(tmp_path / "out") == before


def test_other_labels_are_refused(own_source, tmp_path):
    prepare(own_source, tmp_path / "out")
    metadata = own_source / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("RAIN SUN", "SNOW SUN"))
    with pytest.raises(ValueError, match="other settings: annotations was"):
        prepare(own_source, tmp_path / "out")


def test_a_folder_with_other_files_is_not_touched(source, tmp_path, content):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"it holds other files \(notes.txt\)"):
        prepare(source, tmp_path)
    assert content(tmp_path) == {"notes.txt": b"mine"}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prepared.json").write_text("{}")
    with pytest.raises(ValueError, match="these are no settings of this version"):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize("format", ["parquet", "folder"])
def test_unreadable_clips_are_named_left_out_and_tried_again(own_source, tmp_path, content, caplog, format):
    whole = (own_source / "c.mp4").read_bytes()
    (own_source / "c.mp4").write_bytes(b"no video")
    with (own_source / "metadata.csv").open("a") as file:
        file.write("gone.mp4,SUN,bert,train\n")
    with caplog.at_level(logging.WARNING):
        prepared = prepare(own_source, tmp_path / "out", format=format)
    assert "c.mp4: Cannot open" in caplog.text
    assert prepared.clips == {"train": 4, "dev": 2}
    assert [clip.name for clip in prepared.left_out] == ["gone.mp4", "c.mp4"]
    with (tmp_path / "out" / "left_out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["split"]) for row in rows] == [("gone.mp4", "train"), ("c.mp4", "train")]
    assert "Cannot open source/c.mp4 as a video" in rows[1]["reason"]
    assert str(tmp_path) not in rows[1]["reason"]  # nothing of this machine goes with the data
    clips, left_out = read_benchmark("prepared", tmp_path / "out")
    assert len(clips) == 6
    assert [clip.name for clip in left_out] == ["gone.mp4", "c.mp4"]
    assert left_out[1].reason.startswith("left out when it was prepared: Cannot open")

    (own_source / "c.mp4").write_bytes(whole)
    assert prepare(own_source, tmp_path / "out", format=format).clips == {"train": 5, "dev": 2}
    prepare(own_source, tmp_path / "again", format=format)
    assert content(tmp_path / "out") == content(tmp_path / "again")


def test_a_shard_of_unreadable_clips_alone_is_empty(own_source, tmp_path):
    for name in ("monday/a.mp4", "monday/b.mp4"):
        (own_source / name).write_bytes(b"no video")
    assert prepare(own_source, tmp_path / "out").clips == {"train": 3, "dev": 2}
    assert len(read_benchmark("prepared", tmp_path / "out")[0]) == 5
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert len(loaded["train"]) == 3


@pytest.mark.parametrize("format", ["parquet", "folder"])
def test_strict_makes_an_unreadable_clip_an_error(own_source, tmp_path, format):
    (own_source / "c.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"c.mp4: Cannot open"):
        prepare(own_source, tmp_path / "out", format=format, strict=True)
    with pytest.raises(ValueError, match="its preparation has not ended"):
        read_benchmark("prepared", tmp_path / "out")
    assert prepare(own_source, tmp_path / "out", format=format).clips == {"train": 4, "dev": 2}
    (own_source / "d.mp4").unlink()
    with pytest.raises(ValueError, match=r"d.mp4: there is no such file"):
        prepare(own_source, tmp_path / "new", format=format, strict=True)
    assert not (tmp_path / "new").exists()


def test_nothing_readable_is_an_error(own_source, tmp_path):
    for path in own_source.rglob("*.mp4"):
        path.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"no clip of it can be used; the first: monday/a.mp4: Cannot open"):
        prepare(own_source, tmp_path / "out")


def test_a_split_that_no_file_can_be_named_after_is_refused(own_source, tmp_path):
    metadata = own_source / "metadata.csv"
    metadata.write_text(metadata.read_text().replace(",dev\n", ",../dev\n").replace(",dev\r\n", ",../dev\r\n"))
    with pytest.raises(ValueError, match=r"The split '../dev' cannot be prepared"):
        prepare(own_source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_translations_are_kept(tmp_path):
    annotations = tmp_path / "source" / "annotations" / "manual"
    annotations.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        name = f"{split}-1"
        (annotations / f"PHOENIX-2014-T.{split}.corpus.csv").write_text(
            f"name|video|start|end|speaker|orth|translation\n{name}|{name}/1/*.png|-1|-1|S1|SONNE|die sonne scheint\n"
        )
        folder = tmp_path / "source" / "features" / "fullFrame-210x260px" / split / name
        folder.mkdir(parents=True)
        Image.new("RGB", (21, 26), "orange").save(folder / "images0001.png")
    for format in ("parquet", "folder"):
        options = {"size": 32, "num_workers": 0, "quiet": True, "format": format}
        prepare_benchmark("phoenix2014-t", tmp_path / "source", tmp_path / format, **options)
    clips, _ = read_benchmark("prepared", tmp_path / "parquet")
    assert {clip.translation for clip in clips} == {"die sonne scheint"}
    with (tmp_path / "folder" / "metadata.csv").open(newline="") as file:
        assert [row["translation"] for row in csv.DictReader(file)] == ["die sonne scheint"] * 3
    settings = json.loads((tmp_path / "folder" / "prepared.json").read_text())
    assert (settings["benchmark"], settings["splits"]) == ("phoenix2014-t", {"train": 1, "dev": 1, "test": 1})


def test_prepared_clips_are_prepared_again_at_another_size(source, tmp_path):
    prepare(source, tmp_path / "large", lossless=True)
    options = {"size": 16, "num_workers": 2, "quiet": True, "lossless": True}
    prepare_benchmark("prepared", tmp_path / "large", tmp_path / "small", **options)
    large = AdaptSignVideoProcessor(size={"height": 16, "width": 16})
    smaller = {clip.name: load_frames(clip, large) for clip in read_benchmark("prepared", tmp_path / "small")[0]}
    for clip in read_benchmark("prepared", tmp_path / "large")[0]:
        assert torch.equal(smaller[clip.name], load_frames(clip, large))
