import csv
import json
import logging

import av
import pytest

from adaptsign_hf.data.synthetic import SPLITS, SyntheticCorpusConfig, corpus, render_corpus

TINY = SyntheticCorpusConfig(num_train=4, num_dev=1, num_test=1, num_test_signer=2, max_glosses=3, frame_size=64)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return render_corpus(tmp_path_factory.mktemp("tiny"), TINY, num_processes=1)


def test_metadata_lists_every_clip(folder):
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file_name", "gloss", "signer", "split"]
    assert [row["split"] for row in rows] == ["train"] * 4 + ["dev"] + ["test"] + ["test_signer"] * 2
    assert {row["split"] for row in rows} == set(SPLITS)
    assert {row["file_name"] for row in rows} == {f"videos/{path.name}" for path in (folder / "videos").iterdir()}


def test_annotations_describe_the_videos(folder):
    annotations = [json.loads(line) for line in (folder / "annotations.jsonl").read_text().splitlines()]
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, annotation in zip(rows, annotations, strict=True):
        assert annotation["file_name"] == row["file_name"]
        assert " ".join(sign["gloss"] for sign in annotation["timings"]) == row["gloss"]
        with av.open(folder / row["file_name"]) as container:
            assert container.streams.video[0].average_rate == pytest.approx(annotation["fps"])
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert {frame.shape for frame in frames} == {(64, 64, 3)}
        assert len(frames) == annotation["num_frames"] == len(annotation["hands"])
        assert annotation["timings"][-1]["end"] < len(frames) / annotation["fps"]


def test_number_of_processes_does_not_matter(folder, tmp_path):
    render_corpus(tmp_path, TINY, num_processes=2, progress=False)
    assert contents(tmp_path) == contents(folder)


def test_larger_corpus_contains_the_smaller_one(folder, tmp_path):
    larger = SyntheticCorpusConfig(num_train=5, num_dev=1, num_test=1, num_test_signer=2, max_glosses=3, frame_size=64)
    videos = contents(render_corpus(tmp_path, larger, num_processes=1) / "videos")
    assert contents(folder / "videos").items() <= videos.items()


def test_other_seed_gives_other_videos(folder, tmp_path):
    other = SyntheticCorpusConfig(
        seed=1, num_train=1, num_dev=0, num_test=0, num_test_signer=0, max_glosses=3, frame_size=64
    )
    (video,) = contents(render_corpus(tmp_path, other) / "videos").values()
    assert video != (folder / "videos" / "trainset_00000.mp4").read_bytes()


def test_complete_corpus_is_left_alone(folder, caplog):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with caplog.at_level(logging.INFO):
        assert render_corpus(folder, TINY) == folder
    assert "already holds this corpus" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_folder_with_another_corpus_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="already holds another corpus"):
        render_corpus(folder, SyntheticCorpusConfig())
    (tmp_path / "metadata.csv").write_text("file_name,gloss,signer,split\n")
    with pytest.raises(ValueError, match="already holds another corpus"):
        render_corpus(tmp_path, TINY)


def test_interrupted_rendering_is_not_taken_for_a_corpus(folder, tmp_path, monkeypatch):
    render = corpus._render_clip

    def killed(clip, **kwargs):
        if clip.index == 3:
            raise KeyboardInterrupt
        return render(clip, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(corpus, "_render_clip", killed)
        with pytest.raises(KeyboardInterrupt):
            render_corpus(tmp_path, TINY, num_processes=1)
    assert len(list((tmp_path / "videos").iterdir())) == 3
    assert not (tmp_path / "metadata.csv").exists()
    (tmp_path / "videos" / "trainset_00099.mp4").write_bytes(b"left over from a larger corpus")
    render_corpus(tmp_path, TINY, num_processes=1)
    assert contents(tmp_path) == contents(folder)


def test_number_of_processes_is_checked(tmp_path):
    with pytest.raises(ValueError, match="num_processes"):
        render_corpus(tmp_path / "new", TINY, num_processes=0)
    assert not (tmp_path / "new").exists()


def test_videofolder_reads_the_metadata(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("videofolder", data_dir=str(folder), cache_dir=str(tmp_path))
    assert list(loaded) == ["train"]
    assert set(loaded["train"].column_names) == {"video", "gloss", "signer", "split"}
    assert len(loaded["train"]) == 8
