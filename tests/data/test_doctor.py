from collections import Counter
from dataclasses import asdict, replace

import pytest

from adaptsign_hf.data import inspection
from adaptsign_hf.data.benchmarks import BENCHMARKS
from adaptsign_hf.data.inspection import KINDS, FrameCounts, find_image_fault, inspect_benchmark
from adaptsign_hf.modeling.video_reading_adaptsign import VideoInfo

from .benchmarks.test_readers import PHOENIX_T_PIECE
from .benchmarks.trees import LAYOUTS, SIZE, Sample, write_clip

TABLED = [layout for layout in LAYOUTS if not layout.startswith("csl") or layout == "csl-daily"]
OF_FRAMES = [layout for layout in LAYOUTS if "%" in LAYOUTS[layout].media(LAYOUTS[layout].samples[0])]
OF_VIDEOS = [layout for layout in LAYOUTS if layout not in OF_FRAMES]


def inspect(tree, **options):
    return inspect_benchmark(tree.benchmark, tree.root, num_workers=0, **options)


def findings(tree, **options):
    """What is found in a tree, but for its being tiny and for the two clips that CSL-Daily lacks in every copy."""
    found = inspect(tree, **options).findings
    harmless = {("known", "S000005_P0004_T00"), ("known", "S000007_P0003_T00")}
    return {
        (finding.kind, finding.split, finding.clip)
        for finding in found
        if finding.kind != "published" and (finding.kind, finding.clip) not in harmless
    }


def another(tree, tag, split="train", **changes):
    """A sample beside the first of a split, under a name that the layout can have."""
    sample = tree.sample(split)
    stem, dot, rest = sample.name.partition(".mp4")
    return replace(sample, name=f"{stem}-{tag}{dot}{rest}", **changes)


def add(tree, *samples):
    tree.samples += samples
    tree.write()


# Each fault: how to plant it, and what is to be found. Layouts without tables list what lies on the disk.


def plant_missing(tree):
    gone = another(tree, "gone", num_frames=None)
    add(tree, gone)
    return {("missing", "train", gone.name)}


def plant_duplicate(tree):
    twice = tree.sample("dev")
    add(tree, twice)
    return {("duplicate", "dev", twice.name)}


def plant_unlabelled(tree):
    silent = another(tree, "silent", "test", glosses=())
    add(tree, silent)
    return {("unlabelled", "test", silent.name)}


def plant_outside(tree):
    secret = Sample("/etc", "train", ("REGEN",), num_frames=None)
    add(tree, secret)
    return {("outside", "train", "/etc")}


def plant_nameless(tree):
    add(tree, Sample("", "train", ("REGEN",), num_frames=None))
    return {("nameless", "train", f"metadata.csv line {len(tree.samples) + 1}" if tree.benchmark == "folder" else "")}


def plant_empty(tree):
    empty = tree.sample("test")
    for image in tree.path(empty).iterdir():
        image.unlink()
    return {("empty", "test", empty.name)}


def plant_foreign_image(tree):
    sample = tree.sample("test", 1)
    tree.first_file(sample).write_bytes(b"<html>404</html>")
    return {("unreadable", sample.split, sample.name)}


def plant_cut_file(tree):
    sample = tree.sample("train", 1)
    data = tree.first_file(sample).read_bytes()
    tree.first_file(sample).write_bytes(data[: len(data) * 2 // 3])
    return {("unreadable", "train", sample.name)}


def plant_infeasible(tree):
    short = another(tree, "short", num_frames=len(tree.sample("train").glosses) * 4 - 4)
    add(tree, short)
    return {("infeasible", "train", short.name)}


def plant_unknown_gloss(tree):
    if tree.benchmark.startswith("csl") and tree.benchmark != "csl-daily":
        unknown = Sample("000098/P41_s98_00_0._color", "test", ("他", "飞"), "P41")
    else:
        unknown = another(tree, "unknown", "test", glosses=("REGEN", "ÜBERMORGEN"))
        tree.samples.append(another(tree, "rain", glosses=("REGEN",)))
    add(tree, unknown)
    return {("vocabulary", "test", unknown.name)}


def plant_overlap(tree):
    leaked = replace(tree.sample("train"), split="test")
    add(tree, leaked)
    kind = {"folder": "duplicate", "csl-daily": "duplicate"}.get(tree.benchmark, "overlap")
    again = {("duplicate", "train", leaked.name)} if tree.benchmark == "csl-daily" else set()  # in its other table
    return {(kind, "test", leaked.name), *again}


FAULTS = {
    plant_missing: TABLED,
    plant_duplicate: TABLED,
    plant_unlabelled: TABLED,
    plant_outside: TABLED,
    plant_nameless: TABLED,
    plant_overlap: TABLED,
    plant_empty: OF_FRAMES,
    plant_foreign_image: list(LAYOUTS),
    plant_cut_file: list(LAYOUTS),
    plant_infeasible: list(LAYOUTS),
    plant_unknown_gloss: list(LAYOUTS),
}


def test_a_clean_copy_has_no_error(tree):
    assert findings(tree) == set()
    assert findings(tree, fast=True) == set()
    assert inspect(tree).of_severity("error") == []


@pytest.mark.parametrize(
    ("plant", "layout"),
    [(plant, layout) for plant, layouts in FAULTS.items() for layout in layouts],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_each_fault_is_found_and_nothing_else(plant_tree, plant, layout):
    tree = plant_tree(layout)
    planted = plant(tree)
    assert findings(tree) == planted


def test_all_faults_at_once_are_told_in_the_order_of_their_kinds(plant_tree):
    tree = plant_tree("phoenix2014")
    planted = set()
    for plant in FAULTS:
        if plant not in (plant_overlap, plant_duplicate):  # of clips that others have changed
            planted |= plant(tree)
    assert findings(tree) == planted
    found = inspect(tree)
    kinds = [finding.kind for finding in found.findings]
    assert kinds == sorted(kinds, key=list(KINDS).index)
    assert {finding.severity for finding in found.findings} == {"error", "warning"}
    for finding in found.findings:
        assert finding.severity == KINDS[finding.kind][0]
        assert finding.message
    assert found.of_severity("error") + found.of_severity("warning") == found.findings


# Single benchmarks


def test_the_broken_clip_of_phoenix_is_a_warning(plant_tree):
    tree = plant_tree("phoenix2014")
    name = "13April_2011_Wednesday_tagesschau_default-14"
    add(tree, replace(tree.sample("train"), name=name, num_frames=16))
    assert findings(tree) == {("known", "train", name)}
    assert inspect(tree).of_severity("error") == []


def test_the_two_clips_that_csl_daily_lacks_are_warnings(plant_tree):
    known = [finding for finding in inspect(plant_tree("csl-daily")).findings if finding.kind == "known"]
    assert [(finding.severity, finding.split, finding.clip) for finding in known] == [
        ("warning", "", "S000007_P0003_T00"),
        ("warning", "train", "S000005_P0004_T00"),
    ]


def test_other_clips_that_one_table_of_csl_daily_lacks_are_errors(plant_tree):
    tree = plant_tree("csl-daily")
    labels, splits = tree.tables()
    labels.write_text(labels.read_text(encoding="utf-8") + "9|S000090_P0000_T00|22|我|我|我|n\n", encoding="utf-8")
    splits.write_text(splits.read_text(encoding="utf-8") + "S000091_P0000_T00|dev\n", encoding="utf-8")
    assert findings(tree) == {("splitless", "", "S000090_P0000_T00"), ("unlabelled", "dev", "S000091_P0000_T00")}
    assert len(inspect(tree).of_severity("error")) == 2


@pytest.mark.parametrize("fast", [False, True])
def test_frames_are_counted_against_the_annotation(plant_tree, fast):
    tree = plant_tree("csl-daily")
    wrong = another(tree, "wrong", "dev", length=23)
    add(tree, wrong)
    assert findings(tree, fast=fast) == {("frame_count", "dev", wrong.name)}
    (finding,) = inspect(tree, fast=fast).of_severity("error")
    assert finding.message == "it has 22 frames, but the annotation says 23"


def test_files_that_are_no_clip_of_csl_are_warnings(plant_tree):
    tree = plant_tree("csl")
    (tree.root / "color" / "000000" / "Thumbs.db").touch()
    assert findings(tree) == {("foreign", "", "000000/Thumbs.db")}
    assert inspect(tree).of_severity("error") == []


# Images and videos


def test_the_broken_images_of_a_clip_are_named_up_to_three(plant_tree):
    tree = plant_tree("phoenix2014-t")
    sample = tree.sample("train")
    images = sorted(tree.path(sample).iterdir())
    images[0].write_bytes(b"")
    for image in images[4:9]:
        image.write_bytes(b"no image")
    (finding,) = inspect(tree).of_severity("error")
    assert finding.message == (
        "6 of 22 images cannot be read: images0000.png: the file is empty; images0004.png: it is no image; "
        "images0005.png: it is no image; ..."
    )
    assert inspect(tree).splits[0].clips == 4  # training uses the other images
    assert inspect(tree, fast=True).of_severity("error") == []


def test_a_flipped_bit_is_found_by_the_checksum(plant_tree):
    tree = plant_tree("phoenix2014-t")
    image = tree.first_file(tree.sample("train"))
    data = bytearray(image.read_bytes())
    data[data.index(b"IDAT") + 4 + 10] ^= 1
    image.write_bytes(data)
    assert findings(tree) == {("unreadable", "train", tree.sample("train").name)}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_images_cut_at_any_byte_are_found(tmp_path, suffix):
    write_clip(tmp_path / "clip", 1, f"%d{suffix}")
    data = (tmp_path / "clip" / f"0{suffix}").read_bytes()
    assert find_image_fault(data) == ""
    end = len(data) - (12 if suffix == ".png" else 2 if suffix == ".jpg" else 0)  # what follows the pixels
    for length in range(0, end, 7):
        assert find_image_fault(data[:length])


@pytest.mark.parametrize("layout", OF_VIDEOS)
def test_a_video_that_is_none_is_not_counted(plant_tree, layout):
    tree = plant_tree(layout)
    tree.path(tree.sample("train")).write_bytes(b"")
    split = inspect(tree).splits[0]
    expected = sum(sample.split == "train" for sample in tree.samples)
    assert (split.clips, split.left_out) == (expected - 1, 1)
    assert findings(tree, fast=True) == {("unreadable", "train", tree.sample("train").name)}


def test_the_number_of_processes_makes_no_difference(plant_tree):
    tree = plant_tree("phoenix2014")
    for plant in FAULTS:
        if plant not in (plant_overlap, plant_duplicate):
            plant(tree)
    alone = inspect(tree)
    assert asdict(inspect_benchmark("phoenix2014", tree.root, num_workers=2)) == asdict(alone)
    assert asdict(inspect_benchmark("phoenix2014", tree.root)) == asdict(alone)


# Numbers


def test_splits_are_put_in_numbers(plant_tree):
    tree = plant_tree("phoenix2014-t")
    add(
        tree,
        another(tree, "long", num_frames=40),
        another(tree, "gone", "dev", num_frames=None),
        another(tree, "unknown", "dev", glosses=("ZULETZT", "ANFANG", "REGEN"), signer=""),
    )
    train, dev, test = inspect(tree).splits
    assert (train.split, train.clips, train.left_out, train.published) == ("train", 5, 0, 7096)
    assert train.frames == FrameCounts(22, 22, 40)
    assert (train.glosses, train.signers, train.out_of_vocabulary) == (7, ["Signer01", "Signer04"], [])
    assert (dev.split, dev.clips, dev.left_out, dev.published) == ("dev", 3, 1, 519)
    assert (dev.glosses, dev.signers, dev.out_of_vocabulary) == (6, ["Signer01", "Signer05"], ["ANFANG", "ZULETZT"])
    assert (test.split, test.clips, test.published, test.frames) == ("test", 2, 642, FrameCounts(22, 22, 22))


def test_other_counts_than_the_published_ones_are_warnings(plant_tree):
    found = inspect(plant_tree("phoenix2014")).findings
    assert {finding.kind for finding in found} == {"published"}
    assert [(finding.split, finding.message) for finding in found] == [
        ("train", "4 usable clips; published are 5671"),
        ("dev", "2 usable clips; published are 540"),
        ("test", "2 usable clips; published are 629"),
        ("train", "7 glosses in train; published are 1231"),
        ("", "7 glosses in all; published are 1295"),
    ]


def test_the_published_counts_are_nothing_to_tell(plant_tree, monkeypatch):
    tree = plant_tree("phoenix2014")
    clips = Counter(sample.split for sample in tree.samples)
    tiny = replace(BENCHMARKS["phoenix2014"], clips=dict(clips), glosses={"train": 7, "all": 7})
    monkeypatch.setitem(BENCHMARKS, "phoenix2014", tiny)
    assert inspect(tree).findings == []


def test_a_copy_of_which_nothing_was_unpacked_is_all_missing(plant_tree):
    tree = plant_tree("phoenix2014")
    for sample in tree.samples:
        tree.remove_clip(sample)
    found = inspect(tree)
    assert [split.clips for split in found.splits] == [0, 0, 0]
    assert [split.frames for split in found.splits] == [None, None, None]
    assert len(found.of_severity("error")) == len(tree.samples)


def test_a_folder_without_train_has_no_vocabulary_to_be_outside_of(plant_tree):
    tree = plant_tree("folder", samples=[Sample("a.mp4", "test", ("A",)), Sample("b.mp4", "test", ("B",))])
    found = inspect(tree)
    assert found.findings == []
    assert [(split.split, split.clips, split.out_of_vocabulary) for split in found.splits] == [("test", 2, [])]


def test_videos_whose_header_tells_no_count_are_not_measured_in_haste(plant_tree, monkeypatch):
    monkeypatch.setattr(inspection, "probe_video", lambda path: VideoInfo(25.0, None, None))
    found = inspect(plant_tree("folder"), fast=True)
    assert found.findings == []
    assert [split.frames for split in found.splits] == [None, None, None]


# Others' layouts


@pytest.mark.parametrize("format", ["parquet", "folder"])
def test_prepared_clips_are_inspected(plant_tree, tmp_path, format):
    preparing = pytest.importorskip("adaptsign_hf.data.prepared.preparing")
    tree = plant_tree("phoenix2014-t")
    gone = tree.sample("dev")
    tree.remove_clip(gone)
    folder = tmp_path / "prepared"
    preparing.prepare_benchmark(tree.benchmark, tree.root, folder, size=SIZE, format=format, num_workers=0, quiet=True)
    for fast in (False, True):
        found = inspect_benchmark("prepared", folder, fast=fast, num_workers=0)
        assert [(finding.kind, finding.clip) for finding in found.findings] == [("known", gone.name)]
        assert {split.split: split.clips for split in found.splits} == {"train": 4, "dev": 1, "test": 2}
        assert found.splits[0].frames == FrameCounts(22, 22, 22)
    if format == "folder":
        image = next(folder.glob("train/*/000003.jpg"))
        image.write_bytes(image.read_bytes()[:300])
    else:
        (shard,) = folder.glob("data/train-*.parquet")
        data = bytearray(shard.read_bytes())
        start = data.index(b"\xff\xd8\xff")  # of the first image
        data[start : start + 3] = bytes(3)
        shard.write_bytes(data)
    found = inspect_benchmark("prepared", folder, num_workers=0).of_severity("error")
    assert [(finding.kind, finding.split) for finding in found] == [("unreadable", "train")]
    assert "1 of 22 images cannot be read" in found[0].message


@pytest.mark.skipif(not PHOENIX_T_PIECE.is_dir(), reason=f"there is no {PHOENIX_T_PIECE}")
def test_a_piece_of_the_real_phoenix_2014_t_is_one_clip_in_three_splits():
    found = inspect_benchmark("phoenix2014-t", PHOENIX_T_PIECE, num_workers=0)
    assert [(finding.kind, finding.split, finding.message) for finding in found.of_severity("error")] == [
        ("overlap", "dev", "it is in train too"),
        ("overlap", "test", "it is in train and dev too"),
    ]
    assert {finding.kind for finding in found.of_severity("warning")} == {"infeasible", "published"}


# Mistakes


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_wrong_root_tells_what_was_expected_and_found(name, tmp_path):
    (tmp_path / "holiday photos").mkdir()
    with pytest.raises(ValueError, match=r"(?s)[Ee]xpected.*found:? .*holiday photos"):
        inspect_benchmark(name, tmp_path)


def test_an_unknown_benchmark_tells_which_there_are(tmp_path):
    with pytest.raises(ValueError, match="'phoenix': choose one of phoenix2014, "):
        inspect_benchmark("phoenix", tmp_path)
