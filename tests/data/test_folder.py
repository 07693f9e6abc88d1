import logging

import pytest

from adaptsign_hf.data.folder import (
    Clip,
    LeftOutClip,
    clips_of_split,
    read_folder,
    report_left_out,
    warn_of_unknown_glosses,
)


def make_folder(folder, metadata, videos=("a.mp4", "b.mp4"), encoding="utf-8"):
    """A folder of empty files: nothing here opens a video."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in videos:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "metadata.csv").write_text(metadata, encoding=encoding)
    return folder


def test_rows_become_clips_in_the_order_of_the_file(tmp_path):
    folder = make_folder(tmp_path, "file_name,gloss,signer,split\nb.mp4,RAIN  SUN,anna,dev\na.mp4,SUN,,\n")
    clips, left_out = read_folder(folder)
    assert clips == [
        Clip("b.mp4", folder / "b.mp4", ("RAIN", "SUN"), "anna", "dev"),
        Clip("a.mp4", folder / "a.mp4", ("SUN",), "", "train"),
    ]
    assert left_out == []


def test_without_a_split_column_all_is_train(tmp_path):
    clips, _ = read_folder(make_folder(tmp_path, "file_name,gloss\na.mp4,SUN\nb.mp4,RAIN\n"))
    assert [clip.split for clip in clips] == ["train", "train"]
    assert [clip.signer for clip in clips] == ["", ""]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    clips, left_out = read_folder(make_folder(tmp_path, "file_name,gloss\na.mp4,SUN\n", encoding="utf-8-sig"))
    assert [clip.name for clip in clips] == ["a.mp4"]
    assert left_out == []


def test_glosses_are_unicode_and_split_at_any_white_space(tmp_path):
    clips, _ = read_folder(make_folder(tmp_path, "file_name,gloss\na.mp4,\tSÜD 雨\u3000ﺶﻤﺳ \n"))
    assert clips[0].glosses == ("SÜD", "雨", "ﺶﻤﺳ")


def test_extra_columns_and_cells_are_harmless(tmp_path):
    folder = make_folder(tmp_path, "fps,file_name,gloss,note\n25,a.mp4,SUN,x,y,z\n25,b.mp4,RAIN\n")
    clips, left_out = read_folder(folder)
    assert [(clip.name, clip.glosses) for clip in clips] == [("a.mp4", ("SUN",)), ("b.mp4", ("RAIN",))]
    assert left_out == []


def test_spaces_around_cells_do_not_count(tmp_path):
    clips, left_out = read_folder(make_folder(tmp_path, "file_name,gloss,signer,split\n a.mp4 , SUN , anna , dev \n"))
    assert [(clip.name, clip.signer, clip.split) for clip in clips] == [("a.mp4", "anna", "dev")]
    assert left_out == []


@pytest.mark.parametrize(
    ("row", "name", "reason"),
    [
        ("c.mp4,SUN", "c.mp4", "no such file"),
        ("a.mp4/c.mp4,SUN", "a.mp4/c.mp4", "no such file"),
        ("../outside.mp4,SUN", "../outside.mp4", "outside the folder"),
        ("/etc/hostname,SUN", "/etc/hostname", "outside the folder"),
        ("link.mp4,SUN", "link.mp4", "outside the folder"),
        ("b.mp4,", "b.mp4", "label is empty"),
        ("b.mp4,   ", "b.mp4", "label is empty"),
        ("b.mp4", "b.mp4", "label is empty"),
        ("a.mp4,RAIN", "a.mp4", "stands twice"),
        ("./a.mp4,RAIN", "./a.mp4", "stands twice"),
        (",SUN", "metadata.csv line 3", "file name is empty"),
        (f"{'x' * 5000}.mp4,SUN", f"{'x' * 5000}.mp4", "no such file"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_by_name(tmp_path, row, name, reason):
    folder = make_folder(tmp_path / "data", f"file_name,gloss\na.mp4,SUN\n{row}\n")
    (tmp_path / "outside.mp4").touch()
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    clips, left_out = read_folder(folder)
    assert [clip.name for clip in clips] == ["a.mp4"]
    assert [clip.name for clip in left_out] == [name]
    assert reason in left_out[0].reason


def test_the_line_of_a_second_row_is_told(tmp_path):
    _, left_out = read_folder(make_folder(tmp_path, "file_name,gloss\na.mp4,SUN\nb.mp4,SUN\na.mp4,SUN\n"))
    assert "line 4" in left_out[0].reason


def test_a_link_within_the_folder_and_a_linked_folder_are_read(tmp_path):
    folder = make_folder(tmp_path / "data", "file_name,gloss\nlink.mp4,SUN\n")
    (folder / "link.mp4").symlink_to(folder / "a.mp4")
    (tmp_path / "linked").symlink_to(folder, target_is_directory=True)
    clips, left_out = read_folder(tmp_path / "linked")
    assert [clip.name for clip in clips] == ["link.mp4"]
    assert left_out == []


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: there is no metadata\.csv.*no folder"):
        read_folder(tmp_path / "nowhere")


def test_missing_metadata_tells_what_is_there_instead(tmp_path):
    (tmp_path / "labels.csv").touch()
    with pytest.raises(ValueError, match=r"no metadata\.csv.*file_name,gloss.*found labels\.csv"):
        read_folder(tmp_path)


def test_missing_metadata_in_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="an empty folder"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("metadata", "missing"),
    [
        ("file_name,text\na.mp4,SUN\n", "column gloss is missing"),
        ("gloss\nSUN\n", "column file_name is missing"),
        ("file_name;gloss\na.mp4;SUN\n", "columns file_name, gloss are missing"),
        ("", "columns file_name, gloss are missing"),
    ],
)
def test_a_missing_column_is_told(tmp_path, metadata, missing):
    with pytest.raises(ValueError, match=missing):
        read_folder(make_folder(tmp_path, metadata))


def test_metadata_that_is_not_utf8_is_told_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"metadata\.csv.*UTF-8"):
        read_folder(make_folder(tmp_path, "file_name,gloss\na.mp4,SÜD\n", encoding="latin-1"))


def clip(name, gloss="SUN", split="train"):
    return Clip(name, path=None, glosses=tuple(gloss.split()), split=split)


def test_clips_of_a_split():
    clips = [clip("a"), clip("b", split="dev"), clip("c")]
    assert [chosen.name for chosen in clips_of_split(clips, "train")] == ["a", "c"]
    assert [chosen.name for chosen in clips_of_split(clips, "dev")] == ["b"]


def test_an_unknown_split_tells_which_there_are():
    with pytest.raises(ValueError, match=r"'test'.*\['dev', 'train'\]"):
        clips_of_split([clip("a"), clip("b", split="dev")], "test")


LEFT_OUT = [LeftOutClip("a.mp4", "there is no such file"), LeftOutClip("b.mp4", "the label is empty")]


def test_clips_left_out_are_named_in_a_warning(caplog):
    report_left_out(LEFT_OUT, strict=False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    for text in ("2 clips", "a.mp4: there is no such file", "b.mp4: the label is empty"):
        assert text in caplog.text


def test_strict_makes_them_an_error(caplog):
    with pytest.raises(ValueError, match=r"2 clips left out:\n  a\.mp4: there is no such file\n  b\.mp4: the label"):
        report_left_out(LEFT_OUT, strict=True)
    assert caplog.text == ""


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_left_out_is_nothing_said(caplog, strict):
    report_left_out([], strict)
    assert caplog.text == ""


def test_unknown_glosses_are_named(caplog):
    warn_of_unknown_glosses([clip("a", "SUN RAIN"), clip("b", "FOG RAIN")], ["SUN"], "dev")
    assert "2 gloss(es) of the split 'dev'" in caplog.text
    assert "FOG RAIN" in caplog.text
    assert "SUN" not in caplog.text


def test_many_unknown_glosses_are_cut_short(caplog):
    warn_of_unknown_glosses([clip("a", " ".join(f"G{number:02}" for number in range(30)))], [], "dev")
    assert "30 gloss(es)" in caplog.text
    assert "G19 ..." in caplog.text
    assert "G20" not in caplog.text


def test_known_glosses_are_nothing_to_tell(caplog):
    warn_of_unknown_glosses([clip("a", "SUN RAIN")], ["RAIN", "SUN", "FOG"], "dev")
    assert caplog.text == ""
