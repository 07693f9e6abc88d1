import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pympi
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.decoding.alignment import RecognizedGloss
from adaptsign_hf.decoding.annotation_files import (
    SUFFIXES,
    Alternative,
    RecognizedVideo,
    eaf_text,
    json_text,
    srt_text,
    vtt_text,
    write_annotations,
)

ODD_GLOSSES = ["ДОЖДЬ", "A<b>&amp;", "X-->Y", "𝄞‌手語", "loc-REGION++", '"IX"']
GLOSSES = tuple(RecognizedGloss(gloss, index + 0.25, index + 0.9996, 0.876) for index, gloss in enumerate(ODD_GLOSSES))
AWKWARD_TIMES = (
    RecognizedGloss("ZERO", 0.5, 0.5, 1.0),
    RecognizedGloss("INSTANT", 0.5001, 0.50049, 1.0),  # shorter than what the formats can say
    RecognizedGloss("TOUCHING", 0.50149, 1.0, 1.0),
    RecognizedGloss("LATE", 100 * 3600 + 0.0004, 100 * 3600 + 59.9996, 0.0),
)


@pytest.fixture
def recognized(tmp_path):
    video = tmp_path / "my videos" / "a & b.mp4"
    video.parent.mkdir()
    video.touch()
    return RecognizedVideo(str(video), 25.0, GLOSSES)


def read_vtt(text, tmp_path):
    (tmp_path / "read.vtt").write_text(text, encoding="utf-8")
    return webvtt.read(str(tmp_path / "read.vtt"))


def read_eaf(text, tmp_path):
    (tmp_path / "read.eaf").write_text(text, encoding="utf-8")
    return pympi.Elan.Eaf(str(tmp_path / "read.eaf"), suppress_version_warning=True)


def seconds(clock):
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def test_json_is_read_back(recognized):
    alternatives = (Alternative(("RAIN", "SUN"), -0.5), Alternative((), -2.5))
    content = json.loads(json_text(replace(recognized, alternatives=alternatives)))
    assert content == {
        "version": 1,
        "video": recognized.video,
        "fps": 25.0,
        "text": " ".join(ODD_GLOSSES),
        "glosses": [
            {"gloss": gloss, "start": index + 0.25, "end": index + 1.0, "confidence": 0.876}
            for index, gloss in enumerate(ODD_GLOSSES)
        ],
        "alternatives": [
            {"glosses": ["RAIN", "SUN"], "log_probability": -0.5},
            {"glosses": [], "log_probability": -2.5},
        ],
    }
    assert "alternatives" not in json.loads(json_text(recognized))


def test_json_of_one_line_and_glosses_as_they_are(recognized):
    text = json_text(recognized, indent=None)
    assert text.count("\n") == 1
    assert "ДОЖДЬ" in text


def test_a_file_name_that_is_not_unicode_comes_back():
    name = "caf\udce9.mp4"  # as Python reads the byte E9 in a name
    text = json_text(RecognizedVideo(name, None, ()))
    assert json.loads(text.encode("utf-8"))["video"] == name
    ElementTree.fromstring(eaf_text(RecognizedVideo(name, None, ()), ".").encode("utf-8"))


def test_vtt_is_read_back(tmp_path):
    captions = list(read_vtt(vtt_text(GLOSSES), tmp_path))
    unescaped = [caption.raw_text.replace("&lt;", "<").replace("&gt;", ">") for caption in captions]
    assert [text.replace("&amp;", "&") for text in unescaped] == ODD_GLOSSES
    assert [caption.start for caption in captions][:2] == ["00:00:00.250", "00:00:01.250"]
    assert [caption.end for caption in captions][:2] == ["00:00:01.000", "00:00:02.000"]


def test_vtt_has_no_markup_from_glosses():
    cues = vtt_text(GLOSSES).split("\n\n")[1:]
    assert len(cues) == len(GLOSSES)
    for cue in cues:
        time, gloss = cue.strip().split("\n")
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}", time)
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", gloss)


def test_srt_is_read_back():
    cues = list(srt.parse(srt_text(GLOSSES), ignore_errors=False))
    assert [cue.content.replace("-- >", "-->") for cue in cues] == ODD_GLOSSES
    assert [cue.index for cue in cues] == [1, 2, 3, 4, 5, 6]
    assert cues[1].start.total_seconds() == 1.25
    assert cues[1].end.total_seconds() == 2.0
    assert srt_text(GLOSSES).count("-->") == len(GLOSSES)


def test_eaf_is_read_back(recognized, tmp_path):
    document = read_eaf(eaf_text(recognized, tmp_path), tmp_path)
    annotations = document.get_annotation_data_for_tier("Glosses")
    assert sorted(annotations) == [
        (1000 * index + 250, 1000 * index + 1000, gloss) for index, gloss in enumerate(ODD_GLOSSES)
    ]
    confidences = document.get_ref_annotation_data_for_tier("Confidence")
    assert sorted((start, end, value, parent) for start, end, value, parent, *_ in confidences) == [
        (start, end, "0.88", gloss) for start, end, gloss in sorted(annotations)
    ]
    (media,) = document.media_descriptors
    assert media["MEDIA_URL"] == f"file://{recognized.video}"
    assert media["RELATIVE_MEDIA_URL"] == "./my videos/a & b.mp4"
    assert media["MIME_TYPE"] == "video/mp4"


def test_eaf_has_the_structure_of_version_3(recognized, tmp_path):
    root = ElementTree.fromstring(eaf_text(recognized, tmp_path / "annotations").encode())
    kinds = ["HEADER", "TIME_ORDER", "TIER", "TIER", "LINGUISTIC_TYPE", "LINGUISTIC_TYPE", "CONSTRAINT"]
    assert [child.tag for child in root] == kinds  # the schema is a sequence
    assert root.get("FORMAT") == root.get("VERSION") == "3.0"
    assert datetime.fromisoformat(root.get("DATE")).utcoffset() is not None
    assert root.find("HEADER").get("TIME_UNITS") == "milliseconds"
    assert root.find("HEADER/MEDIA_DESCRIPTOR").get("RELATIVE_MEDIA_URL") == "../my videos/a & b.mp4"
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    types = {kind.get("LINGUISTIC_TYPE_ID"): kind for kind in root.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} == types.keys()
    assert types["confidence"].get("CONSTRAINTS") == root.find("CONSTRAINT").get("STEREOTYPE")
    identifiers = [node.get("ANNOTATION_ID") for node in root.iter() if node.get("ANNOTATION_ID")]
    assert sorted(identifiers) == sorted({f"a{number}" for number in range(1, 2 * len(GLOSSES) + 1)})
    assert root.findtext("HEADER/PROPERTY") == str(len(identifiers))  # ELAN numbers new ones from here


def test_eaf_of_images_links_no_media(tmp_path):
    root = ElementTree.fromstring(eaf_text(RecognizedVideo(str(tmp_path), 25.0, GLOSSES), tmp_path).encode())
    assert root.find("HEADER/MEDIA_DESCRIPTOR") is None


def test_what_xml_cannot_hold_is_replaced(tmp_path):
    glosses = (RecognizedGloss("A\x00B\x1bC", 0.0, 1.0, 1.0),)
    document = read_eaf(eaf_text(RecognizedVideo("a.mp4", 25.0, glosses), tmp_path), tmp_path)
    assert document.get_annotation_data_for_tier("Glosses") == [(0, 1000, "A�B�C")]


def test_awkward_times(tmp_path):
    expected = [(500, 501), (501, 502), (502, 1000), (360_000_000, 360_060_000)]
    vtt = [(seconds(cue.start), seconds(cue.end)) for cue in read_vtt(vtt_text(AWKWARD_TIMES), tmp_path)]
    assert [(round(1000 * start), round(1000 * end)) for start, end in vtt] == expected
    cues = srt.parse(srt_text(AWKWARD_TIMES), ignore_errors=False)
    assert [(1000 * cue.start.total_seconds(), 1000 * cue.end.total_seconds()) for cue in cues] == expected
    document = read_eaf(eaf_text(RecognizedVideo("a.mp4", 25.0, AWKWARD_TIMES), tmp_path), tmp_path)
    assert sorted(row[:2] for row in document.get_annotation_data_for_tier("Glosses")) == expected


@given(
    gaps=st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 10)), max_size=12),
    names=st.lists(st.text(min_size=1).filter(lambda text: text.split() == [text]), min_size=12, max_size=12),
)
def test_any_glosses_are_cues_in_order(gaps, names):
    glosses, time = [], 0.0
    for (gap, length), name in zip(gaps, names, strict=False):
        glosses.append(RecognizedGloss(name, time + gap, time + gap + length, 0.5))
        time += gap + length
    cues = re.findall(r"^(\d+:\d\d:\d\d\.\d{3}) --> (\d+:\d\d:\d\d\.\d{3})$", vtt_text(glosses), re.MULTILINE)
    assert len(cues) == len(glosses)
    times = [round(1000 * seconds(clock)) for cue in cues for clock in cue]
    assert times == sorted(times)
    for gloss, (start, end) in zip(glosses, zip(times[::2], times[1::2], strict=True), strict=True):
        assert start < end
        assert abs(start - 1000 * gloss.start) <= 0.5 + len(glosses)
    assert len(ElementTree.fromstring(eaf_text(RecognizedVideo("a", None, tuple(glosses)), ".").encode())[2]) == len(
        glosses
    )


def test_nothing_recognized_is_a_valid_file_of_each_format(tmp_path):
    nothing = RecognizedVideo("a.mp4", 25.0, ())
    assert json.loads(json_text(nothing))["glosses"] == []
    assert list(read_vtt(vtt_text(()), tmp_path)) == []
    assert list(srt.parse(srt_text(()))) == []
    assert read_eaf(eaf_text(nothing, tmp_path), tmp_path).get_annotation_data_for_tier("Glosses") == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_are_written_by_their_suffix(suffix, recognized, tmp_path):
    path = tmp_path / f"result{suffix.upper()}"
    path.write_text("old")
    write_annotations(path, recognized)
    written = path.read_text(encoding="utf-8")
    begin = {".json": "{", ".vtt": "WEBVTT\n", ".srt": "1\n00:00:00,250", ".eaf": "<?xml"}[suffix]
    assert written.startswith(begin)
    assert "ДОЖДЬ" in written
    assert sorted(tmp_path.iterdir()) == [Path(recognized.video).parent, path]


def test_a_file_that_cannot_be_written_leaves_nothing(recognized, tmp_path):
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_annotations(tmp_path / "taken.json", recognized)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    with pytest.raises(ValueError, match=r"ends with \.json, \.vtt, \.srt, \.eaf"):
        write_annotations(tmp_path / "result.txt", recognized)
