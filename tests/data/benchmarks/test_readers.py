import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from adaptsign_hf.data.benchmarks import BENCHMARKS, build_vocabulary, read_benchmark
from adaptsign_hf.data.benchmarks.csl import read_words, segment
from adaptsign_hf.data.folder import Clip

from .trees import LAYOUTS, Sample, write_tree

PHOENIX_T_PIECE = Path(__file__).parents[4] / "shared" / "video" / "phoenix2014t_layout"
TABLED = [layout for layout in LAYOUTS if not layout.startswith("csl") or layout == "csl-daily"]
OF_FRAMES = [layout for layout in LAYOUTS if "%" in LAYOUTS[layout].media(LAYOUTS[layout].samples[0])]


def expected(tree):
    """The clips of a tree in which nothing is wrong, as the readers should list them."""
    return {
        sample.name: Clip(
            sample.name,
            tree.path(sample),
            sample.glosses,
            sample.signer,
            sample.split,
            sample.translation,
            sample.num_frames if tree.benchmark == "csl-daily" else None,
        )
        for sample in tree.samples
    }


def read(tree):
    """The clips by name, and the others by name with kind and split, without those known to lack in CSL-Daily."""
    clips, left_out = read_benchmark(tree.benchmark, tree.root)
    others = {clip.name: (clip.kind, clip.split) for clip in left_out}
    if tree.benchmark == "csl-daily":
        assert others.pop("S000005_P0004_T00") == ("known", "train")  # in a split, without data
        assert others.pop("S000007_P0003_T00") == ("known", "")  # data without a split
    assert len({clip.name for clip in clips}) == len(clips)
    return {clip.name: clip for clip in clips}, others


def add(tree, *samples):
    tree.samples += samples
    tree.write()


def test_there_is_a_tree_of_each_benchmark():
    assert {layout.benchmark for layout in LAYOUTS.values()} == BENCHMARKS.keys() - {"prepared"}


def test_a_copy_is_read_as_annotated(tree):
    assert read(tree) == (expected(tree), {})


def test_clips_stand_in_the_order_of_the_annotation(tree):
    clips, _ = read_benchmark(tree.benchmark, tree.root)
    names = [sample.name for sample in tree.samples]
    assert [clip.name for clip in clips] == (sorted(names) if tree.benchmark.startswith("csl-split") else names)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_copy_in_its_usual_outer_folders_is_found(layout, tmp_path):
    tree = write_tree(layout, tmp_path / "copy", nested=True)
    folder = tree.root
    while True:
        assert {clip.path for clip in read_benchmark(tree.benchmark, folder)[0]} == {
            tree.path(sample) for sample in tree.samples
        }
        if folder == tmp_path / "copy":
            break
        folder = folder.parent


def test_a_copy_is_found_by_a_relative_path(tree, monkeypatch):
    monkeypatch.chdir(tree.root.parent)
    clips, left_out = read_benchmark(tree.benchmark, Path(tree.root.name))
    assert {clip.name for clip in clips} == expected(tree).keys()
    assert all(clip.kind == "known" for clip in left_out)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends_do_not_count(tree, encoding, newline):
    for table in tree.tables():
        text = table.read_text(encoding="utf-8-sig").replace("\r\n", "\n").strip("\n")
        table.write_text(text, encoding=encoding, newline=newline)  # without a last line end
    assert read(tree) == (expected(tree), {})


def test_hidden_files_among_the_frames_are_none(tree):
    for sample in tree.samples:
        if not tree.is_video:
            (tree.path(sample) / "._images0001.png").write_bytes(b"of a Mac")
    assert read(tree) == (expected(tree), {})


@pytest.mark.parametrize(("layout", "folder"), [("phoenix2014", "features"), ("ce-csl", "video"), ("csl", "color")])
def test_the_clips_may_lie_on_another_disk_that_is_linked(plant_tree, tmp_path, layout, folder):
    tree = plant_tree(layout)
    shutil.move(tree.root / folder, tmp_path / "disk")
    (tree.root / folder).symlink_to(tmp_path / "disk", target_is_directory=True)
    assert read(tree) == (expected(tree), {})


# What a reader leaves out


@pytest.mark.parametrize("layout", ["phoenix2014", "phoenix2014 without 1", "phoenix2014-si5"])
def test_the_broken_clip_of_phoenix_is_left_out_by_its_name(plant_tree, layout):
    tree = plant_tree(layout)
    broken = replace(tree.sample("train"), name="13April_2011_Wednesday_tagesschau_default-14", num_frames=16)
    tree.samples.insert(1, broken)
    tree.write()
    clips, others = read(tree)
    assert clips.keys() == {sample.name for sample in tree.samples if sample is not broken}
    assert others == {broken.name: ("known", "train")}


@pytest.mark.parametrize("layout", TABLED)
def test_a_clip_that_is_not_on_the_disk_is_left_out(plant_tree, layout):
    tree = plant_tree(layout)
    gone = tree.sample("dev")
    tree.remove_clip(gone)
    clips, others = read(tree)
    assert clips.keys() == {sample.name for sample in tree.samples if sample != gone}
    assert others == {gone.name: ("missing", "dev")}


@pytest.mark.parametrize("layout", OF_FRAMES)
def test_an_empty_folder_is_left_out(plant_tree, layout):
    tree = plant_tree(layout)
    empty = tree.sample("test")
    for path in tree.path(empty).iterdir():
        path.rename(path.with_suffix(".txt"))
    clips, others = read(tree)
    assert clips.keys() == {sample.name for sample in tree.samples if sample != empty}
    assert others == {empty.name: ("empty", "test")}


@pytest.mark.parametrize("layout", TABLED)
def test_of_two_clips_with_one_name_the_first_is_kept(plant_tree, layout):
    tree = plant_tree(layout)
    first, other = tree.sample("train"), tree.sample("train", 1)
    add(tree, replace(first, glosses=other.glosses))
    clips, others = read(tree)
    assert clips[first.name].glosses == first.glosses
    assert others == {first.name: ("duplicate", "train")}


@pytest.mark.parametrize("layout", TABLED)
def test_a_clip_without_glosses_is_left_out(plant_tree, layout):
    tree = plant_tree(layout)
    silent = replace(tree.sample("dev"), glosses=())
    tree.samples[tree.samples.index(tree.sample("dev"))] = silent
    tree.write()
    assert read(tree)[1] == {silent.name: ("unlabelled", "dev")}


@pytest.mark.parametrize("layout", TABLED)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../" * 9 + "nowhere", "outside"),
        ("/etc", "outside"),
        ("x" * 4000, "missing"),
        ("a\0b", "missing"),
        ("../nothing here", "missing"),
    ],
)
def test_a_name_that_leads_astray_is_left_out(plant_tree, layout, name, kind):
    tree = plant_tree(layout)
    tree.samples.append(Sample(name, "train", ("REGEN",), num_frames=None))
    tree.write()
    clips, others = read(tree)
    assert clips == {clip: found for clip, found in expected(tree).items() if clip != name}
    if layout == "folder" and name.endswith("nowhere"):
        kind = "missing"  # it looks for the file first
    assert others == {name: (kind, "train")}


@pytest.mark.parametrize("layout", TABLED)
def test_what_lies_outside_is_not_read_even_if_it_is_there(plant_tree, tmp_path, layout):
    tree = plant_tree(layout)
    depth = {"folder": 1, "csl-daily": 3}.get(layout, 4)  # of where a clip's name leads from
    secret = Sample("../" * depth + "secret.mp4", "train", ("REGEN",))
    add(tree, secret)
    assert list(tmp_path.glob("secret.mp4*"))
    clips, others = read(tree)
    assert secret.name not in clips
    assert others == {secret.name: ("outside", "train")}


@pytest.mark.parametrize("layout", TABLED)
def test_a_row_without_a_name_is_no_clip(plant_tree, layout):
    tree = plant_tree(layout)
    whole = expected(tree)
    tree.samples.append(Sample("", "train", ("REGEN",), num_frames=None))
    tree.write()
    clips, others = read(tree)
    assert clips == whole
    assert list(others.values()) == [("nameless", "train")]


@pytest.mark.parametrize("layout", TABLED)
def test_quotes_are_letters_in_tables_with_bars(plant_tree, layout):
    tree = plant_tree(layout)
    add(tree, replace(tree.sample("train"), name='the "first" clip.mp4', glosses=('"REGEN', "SÜD")))
    clips, others = read(tree)
    assert clips['the "first" clip.mp4'].glosses == ('"REGEN', "SÜD")
    assert others == {}


def test_a_phoenix_row_without_a_folder_is_no_clip(plant_tree):
    tree = plant_tree("phoenix2014")
    with tree.tables()[0].open("a", encoding="utf-8") as table:
        table.write("a clip|||REGEN\n")
    assert read(tree) == (expected(tree), {"a clip": ("empty", "train")})


# CSL-Daily


def test_a_clip_of_csl_daily_that_one_table_lacks_is_left_out(plant_tree):
    tree = plant_tree("csl-daily")
    labels, splits = tree.tables()
    with labels.open("a", encoding="utf-8") as table:
        table.write("99|S000090_P0000_T00|22|我|我|我|n\n")
    with splits.open("a", encoding="utf-8") as table:
        table.write("S000091_P0000_T00|dev\n")
    others = {"S000090_P0000_T00": ("splitless", ""), "S000091_P0000_T00": ("unlabelled", "dev")}
    assert read(tree) == (expected(tree), others)


def test_a_clip_of_csl_daily_in_two_splits_stays_in_the_first(plant_tree):
    tree = plant_tree("csl-daily")
    name = tree.sample("train").name
    with tree.tables()[1].open("a", encoding="utf-8") as table:
        table.write(f"{name}|test\n{name}|train\n")
    assert read(tree) == (expected(tree), {name: ("duplicate", "test")})


# CSL


def test_the_splits_of_csl_are_by_signer_and_by_sentence(tmp_path):
    by_signer, by_sentence = (
        {clip.name: clip.split for clip in read_benchmark(name, write_tree(name, tmp_path / name).root)[0]}
        for name in ("csl", "csl-split2")
    )
    assert by_signer.keys() == by_sentence.keys()
    for name in by_signer:
        assert by_signer[name] == ("test" if "/P41_" in name else "train")
        assert by_sentence[name] == ("test" if name.startswith("000099/") else "train")


def test_a_sentence_is_cut_into_the_fewest_words():
    words = {"他", "的", "他的", "同学", "同", "学", "是"}
    assert segment("他的同学是他", words) == ["他的", "同学", "是", "他"]


@pytest.mark.parametrize("sentence", ["他的 同学", "他的\u3000同学", "他的\t同学"])
def test_a_sentence_with_spaces_is_cut_there(sentence):
    assert segment(sentence, {"他", "的", "他的同学"}) == ["他的", "同学"]


def test_a_sentence_that_the_dictionary_does_not_cover_is_told():
    with pytest.raises(ValueError, match=r"'他的猫'.*add the word"):
        segment("他的猫", {"他", "的"})


def test_words_that_share_a_line_of_the_dictionary_are_words(tmp_path):
    (tmp_path / "dictionary.txt").write_text("000000\t他（她、它）\n000001\t的\n\n", encoding="utf-8-sig")
    assert read_words(tmp_path / "dictionary.txt") == {"他", "她", "它", "的"}


def test_sentences_in_one_piece_need_the_dictionary(plant_tree):
    tree = plant_tree("csl")
    (tree.root / "dictionary.txt").unlink()
    with pytest.raises(ValueError, match=r"corpus\.txt have no spaces, and there is no dictionary\.txt"):
        read(tree)


def test_sentences_with_spaces_need_none(plant_tree):
    tree = plant_tree("csl")
    (tree.root / "dictionary.txt").unlink()
    lines = {sample.name[:6]: " ".join(sample.glosses) for sample in tree.samples}
    text = "\n".join(f"{number} {words}" for number, words in lines.items())
    (tree.root / "corpus.txt").write_text(text, encoding="utf-8")
    assert read(tree) == (expected(tree), {})


def test_a_line_of_csl_without_a_sentence_is_told(plant_tree):
    tree = plant_tree("csl")
    (tree.root / "corpus.txt").write_text("000000 他\n000001\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"corpus\.txt: expected a number and a sentence in each line, found '000001'"
    ):
        read(tree)


@pytest.mark.parametrize("layout", ["csl", "csl as videos"])
def test_what_is_no_clip_of_csl_is_left_out(plant_tree, layout):
    tree = plant_tree(layout)
    for name in ("P01_notes.txt", "Thumbs.db"):
        (tree.root / "color" / "000000" / name).touch()
    shutil.rmtree(tree.root / "color" / "000001")
    clips, others = read(tree)
    assert clips == {name: clip for name, clip in expected(tree).items() if not name.startswith("000001")}
    assert others == {
        "000000/P01_notes.txt": ("foreign", ""),
        "000000/Thumbs.db": ("foreign", ""),
        "000001": ("missing", ""),
    }


# Vocabulary


def test_the_full_stop_of_ce_csl_is_a_gloss(plant_tree):
    clips, _ = read(plant_tree("ce-csl"))
    assert all(clip.glosses[-1] == "。" for clip in clips.values())
    assert "。" in build_vocabulary(list(clips.values()))


@pytest.mark.parametrize("layout", TABLED)
def test_the_vocabulary_stands_in_the_order_of_code_points(plant_tree, layout):
    tree = plant_tree(layout)
    add(tree, replace(tree.sample("dev"), name="another.mp4", glosses=("zehn", "ÄRGER", "ZEHN", "她", "__OFF__")))
    clips, _ = read_benchmark(tree.benchmark, tree.root)
    train = {gloss for sample in tree.samples if sample.split == "train" for gloss in sample.glosses}
    assert build_vocabulary(clips) == sorted(train)
    everything = build_vocabulary(clips, None)
    assert everything == sorted(train | {"zehn", "ÄRGER", "ZEHN", "她", "__OFF__"})
    assert [everything.index(gloss) for gloss in ("ZEHN", "__OFF__", "zehn", "ÄRGER", "她")] == sorted(
        everything.index(gloss) for gloss in ("ZEHN", "__OFF__", "zehn", "ÄRGER", "她")
    )


# Wrong roots


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "prepared"])
def test_a_wrong_root_tells_what_was_expected_and_what_was_found(name, tmp_path):
    (tmp_path / "holiday photos").mkdir()
    with pytest.raises(ValueError, match=r"(?s)Reading .* there is no .*[Ee]xpected.*found:? .*holiday photos"):
        read_benchmark(name, tmp_path)
    with pytest.raises(ValueError, match="no folder"):
        read_benchmark(name, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="an empty folder"):
        read_benchmark(name, tmp_path / "holiday photos")


@pytest.mark.parametrize("layout", TABLED)
@pytest.mark.parametrize("nested", [False, True])
def test_a_missing_table_is_named(tmp_path, layout, nested):
    tree = write_tree(layout, tmp_path / "copy", nested=nested)
    gone = tree.tables()[-1]
    gone.unlink()
    with pytest.raises(ValueError, match=f"there is no .*{gone.name}"):
        read_benchmark(tree.benchmark, tmp_path / "copy")


@pytest.mark.parametrize("layout", TABLED)
def test_a_missing_column_is_named(plant_tree, layout):
    tree = plant_tree(layout)
    table = tree.tables()[0]
    text = table.read_text(encoding="utf-8")
    for column in ("annotation", "orth", "gloss", "Gloss"):
        header, rest = text.split("\n", 1)
        text = f"{header.replace(column, 'column')}\n{rest}"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"(?i){table.name}: the column '?(annotation|orth|gloss)'? is missing"):
        read(tree)


@pytest.mark.parametrize("layout", TABLED)
def test_a_table_in_another_encoding_is_told(plant_tree, layout):
    tree = plant_tree(layout)
    table = tree.tables()[0]
    table.write_bytes(table.read_text(encoding="utf-8-sig").encode("gb18030"))
    with pytest.raises(ValueError, match=rf"{table.name}: it is no .* in UTF-8"):
        read(tree)


def test_an_unknown_benchmark_tells_which_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"'phoenix': choose one of phoenix2014, .*folder"):
        read_benchmark("phoenix", tmp_path)


@pytest.mark.skipif(not PHOENIX_T_PIECE.is_dir(), reason=f"there is no {PHOENIX_T_PIECE}")
def test_a_piece_of_the_real_phoenix_2014_t_is_read():
    clips, left_out = read_benchmark("phoenix2014-t", PHOENIX_T_PIECE)
    assert left_out == []
    assert [(clip.name, clip.split) for clip in clips] == [
        ("25October_2010_Monday_tagesschau-17", split) for split in ("train", "dev", "test")
    ]
    for clip in clips:
        assert clip.glosses[:3] == ("REGEN", "SCHNEE", "REGION")
        assert clip.signer == "Signer01"
        assert clip.translation.startswith("regen und schnee lassen an den alpen")
        assert len(list(clip.path.glob("images*.png"))) == 2
    assert len(build_vocabulary(clips)) == 8
