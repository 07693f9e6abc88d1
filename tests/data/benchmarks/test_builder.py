import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.data.benchmarks.builder import BenchmarkBuilder, load_benchmark

from .test_readers import PHOENIX_T_PIECE
from .trees import SIZE, write_clip

ONE_OF_FRAMES_ONE_OF_VIDEOS = pytest.mark.parametrize("layout", ["phoenix2014-t", "ce-csl"])


@pytest.fixture
def load(tmp_path):
    """Load from a tree with a cache of its own."""

    def load_tree(tree, split=None, **options):
        return load_benchmark(tree.benchmark, tree.root, split, cache_dir=tmp_path / "cache", **options)

    return load_tree


@pytest.fixture
def generated(monkeypatch):
    """How many times rows are made of clips, instead of read from the cache."""
    calls = []
    original = BenchmarkBuilder._generate_examples
    monkeypatch.setattr(
        BenchmarkBuilder, "_generate_examples", lambda self, clips: calls.append(1) or original(self, clips)
    )
    return calls


def rows_of(tree, split):
    """The rows that a split of a tree should have."""
    rows = []
    for sample in sorted(tree.samples, key=lambda s: s.name) if "split2" in tree.benchmark else tree.samples:
        if sample.split != split:
            continue
        row = {"id": sample.name, "glosses": list(sample.glosses), "signer": sample.signer}
        if tree.benchmark in ("phoenix2014-t", "csl-daily", "ce-csl"):
            row["translation"] = sample.translation
        path = tree.path(sample)
        if tree.is_video:
            row["video"] = {"path": str(path), "bytes": None}
        else:
            row["frames"] = [{"path": str(image), "bytes": None} for image in sorted(path.iterdir())]
        rows.append(row | {"num_frames": sample.num_frames})
    return rows


def test_rows_are_clips_whose_frames_stay_encoded(tree, load):
    loaded = load(tree)
    assert isinstance(loaded, datasets.DatasetDict)
    assert list(loaded) == list(dict.fromkeys(sample.split for sample in tree.samples))
    for split, dataset in loaded.items():
        assert list(dataset) == rows_of(tree, split)
        assert dataset.column_names == list(rows_of(tree, split)[0])


def test_one_split_is_a_dataset(tree, load):
    assert list(load(tree, "test")) == rows_of(tree, "test")


def test_streaming_gives_the_same_rows_without_a_cache(tree, load, tmp_path):
    streamed = load(tree, "test", streaming=True)
    assert isinstance(streamed, datasets.IterableDataset)
    assert list(streamed) == rows_of(tree, "test")
    everything = load(tree, streaming=True)
    assert {split: list(rows) for split, rows in everything.items()} == {
        split: rows_of(tree, split) for split in everything
    }
    assert list((tmp_path / "cache").rglob("*.arrow")) == []


@ONE_OF_FRAMES_ONE_OF_VIDEOS
def test_two_processes_give_the_same_rows(plant_tree, load, layout):
    tree = plant_tree(layout)
    assert list(load(tree, "train", num_proc=2)) == rows_of(tree, "train")


def test_frames_can_be_decoded(plant_tree, load):
    dataset = load(plant_tree("csl-daily"), "dev").cast_column("frames", datasets.List(datasets.Image()))
    frames = dataset[0]["frames"]
    assert [frame.size for frame in frames] == [(SIZE, SIZE)] * 22
    assert np.asarray(frames[3].convert("RGB")).shape == (SIZE, SIZE, 3)


# The cache


@ONE_OF_FRAMES_ONE_OF_VIDEOS
def test_a_second_call_reads_the_cache(plant_tree, load, generated, layout):
    tree = plant_tree(layout)
    first = load(tree)
    assert len(generated) == 3
    assert {split: list(rows) for split, rows in load(tree).items()} == {
        split: list(rows) for split, rows in first.items()
    }
    load(tree, "dev")
    assert len(generated) == 3


@ONE_OF_FRAMES_ONE_OF_VIDEOS
def test_another_annotation_is_not_read_from_the_old_cache(plant_tree, load, layout):
    tree = plant_tree(layout)
    load(tree)
    tree.samples[0] = replace(tree.samples[0], glosses=("ANDERS",))
    tree.write()
    assert load(tree, "train")[0]["glosses"] == ["ANDERS"]
    assert list(load(tree, "train")) == rows_of(tree, "train")


def test_frames_that_came_later_are_not_missed(plant_tree, load):
    tree = plant_tree("phoenix2014-t")
    folder = tree.path(tree.sample("train"))
    last = max(folder.iterdir())
    shutil.move(last, tree.root)
    assert load(tree, "train")[0]["num_frames"] == 21  # a copy that is still being unpacked
    shutil.move(tree.root / last.name, folder)
    os.utime(folder, ns=(1, 1))  # whatever the resolution of the clock
    assert load(tree, "train")[0]["num_frames"] == 22


def test_a_video_that_was_replaced_is_not_read_from_the_old_cache(plant_tree, load):
    tree = plant_tree("folder")
    load(tree)
    path = tree.path(tree.sample("test"))
    path.unlink()
    write_clip(path, 30)
    os.utime(path, ns=(1, 1))
    assert load(tree, "test")[0]["num_frames"] == 30


def test_two_copies_do_not_share_a_cache(plant_tree, load, tmp_path):
    tree = plant_tree("phoenix2014")
    load(tree)
    other = replace(tree, root=tmp_path / "another copy")
    shutil.copytree(tree.root, other.root)
    assert load(other, "dev")[0]["frames"][0]["path"].startswith(str(other.root))


def test_the_two_splits_of_csl_do_not_share_a_cache(plant_tree, load, tmp_path):
    tree = plant_tree("csl")
    by_signer = load(tree, "test")["id"]
    by_sentence = load_benchmark("csl-split2", tree.root, "test", cache_dir=tmp_path / "cache")["id"]
    assert all("/P41_" in name for name in by_signer)
    assert all(name.startswith("000099/") for name in by_sentence)


# What cannot be used


def test_each_clip_left_out_has_a_line_in_the_log(plant_tree, load, caplog):
    tree = plant_tree("phoenix2014")
    broken = replace(tree.sample("train"), name="13April_2011_Wednesday_tagesschau_default-14", num_frames=16)
    gone = tree.sample("train", 1)
    tree.samples.append(broken)
    tree.write()
    tree.remove_clip(gone)
    assert load(tree, "train")["id"] == [
        sample.name for sample in tree.samples if sample.split == "train" and sample not in (broken, gone)
    ]
    assert f"phoenix2014: left out {broken.name}: known to be broken: 16 frames for 16 glosses" in caplog.messages
    assert any(message.startswith(f"phoenix2014: left out {gone.name}: there is no ") for message in caplog.messages)
    assert len([message for message in caplog.messages if "left out" in message]) == 2


def test_a_video_that_cannot_be_opened_is_left_out(plant_tree, load, caplog):
    tree = plant_tree("ce-csl")
    broken = tree.sample("train")
    tree.path(broken).write_bytes(b"no video")
    assert list(load(tree, "train")) == rows_of(tree, "train")[1:]
    assert f"ce-csl: left out {broken.name}: Cannot open " in caplog.text


@ONE_OF_FRAMES_ONE_OF_VIDEOS
def test_a_split_without_a_usable_clip_does_not_spoil_the_others(plant_tree, load, layout):
    tree = plant_tree(layout)
    for sample in tree.samples:
        if sample.split == "dev":
            for path in [tree.path(sample)] if tree.is_video else tree.path(sample).iterdir():
                path.write_bytes(b"") if tree.is_video else path.unlink()
    assert list(load(tree)) == ["train", "test"]
    with pytest.raises(ValueError, match="dev"):
        load(tree, "dev")


def test_a_copy_without_a_usable_clip_is_told(tree, load):
    for sample in tree.samples:
        if tree.is_video:
            tree.path(sample).write_bytes(b"no video")
        else:
            tree.remove_clip(sample)
    with pytest.raises(ValueError, match=rf"None of the .*clips of {tree.benchmark} in {tree.root}.* can be"):
        load(tree)


def test_videos_beside_folders_of_images_are_told(plant_tree, load):
    tree = plant_tree("folder")
    path = tree.path(tree.sample("dev"))
    path.unlink()
    write_clip(path, 5, "%d.png")
    with pytest.raises(ValueError, match=r"Some clips of .*copy are videos and some folders of images"):
        load(tree)


# Mistakes


def test_an_unknown_split_tells_which_there_are(tree, load):
    splits = ", ".join(sorted({sample.split for sample in tree.samples}))
    with pytest.raises(ValueError, match=rf"{tree.benchmark} has no split 'trian' in .*: its splits are {splits}\."):
        load(tree, "trian")


def test_an_unknown_benchmark_tells_which_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"'phoenix': choose one of phoenix2014, "):
        load_benchmark("phoenix", tmp_path)


def test_a_wrong_root_tells_what_was_expected_and_found(tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(ValueError, match=r"(?s)CSL-Daily from .*Expected.*video_map\.txt.*found: clips"):
        load_benchmark("csl-daily", tmp_path)


# Others' layouts


def test_prepared_clips_come_with_their_bytes(plant_tree, load, tmp_path):
    preparing = pytest.importorskip("adaptsign_hf.data.prepared.preparing")
    tree = plant_tree("phoenix2014-t")
    preparing.prepare_benchmark(
        tree.benchmark, tree.root, tmp_path / "prepared", size=SIZE, lossless=True, num_workers=0, quiet=True
    )
    (row, *_) = load_benchmark("prepared", tmp_path / "prepared", "dev", cache_dir=tmp_path / "cache")
    first = rows_of(tree, "dev")[0]
    assert {name: row[name] for name in row if name != "frames"} == {
        name: first[name] for name in first if name != "frames"
    }
    with Image.open(io.BytesIO(row["frames"][3]["bytes"])) as image, Image.open(first["frames"][3]["path"]) as source:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(source))


@pytest.mark.skipif(not PHOENIX_T_PIECE.is_dir(), reason=f"there is no {PHOENIX_T_PIECE}")
def test_a_piece_of_the_real_phoenix_2014_t_is_loaded(tmp_path):
    loaded = load_benchmark("phoenix2014-t", PHOENIX_T_PIECE, cache_dir=tmp_path)
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 1, "dev": 1, "test": 1}
    row = loaded["dev"][0]
    assert row["num_frames"] == len(row["frames"]) == 2
    assert Path(row["frames"][1]["path"]).name == "images0002.png"
    dataset = loaded["dev"].cast_column("frames", datasets.List(datasets.Image()))
    assert dataset[0]["frames"][0].size == (210, 260)
