"""
Recognised glosses as files that other programs read: JSON, WebVTT, SRT, and ELAN's `.eaf`.

The text formats are too small for a library. For `.eaf` there is pympi, but it writes version 2.8 without units of
time, and renames a file that stands in its way; it reads ours in the tests.
"""

import json
import mimetypes
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from adaptsign_hf.decoding.alignment import RecognizedGloss

FORMAT_VERSION = 1  # of the JSON; goes up when a key changes its meaning or goes
SUFFIXES = (".json", ".vtt", ".srt", ".eaf")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Alternative:
    """
    One of several readings of a video.

    Attributes:
        glosses: Their names.
        log_probability: Natural logarithm of the probability that the decoder gives to them.
    """

    glosses: tuple[str, ...]
    log_probability: float


@dataclass(frozen=True)
class RecognizedVideo:
    """
    What was read in a video.

    Attributes:
        video: Its path, as it was given.
        fps: Frames a second of the frames that the model saw; None where unknown.
        glosses: In order, with their times.
        alternatives: The best readings, best first; empty if none were asked for.
    """

    video: str
    fps: float | None
    glosses: tuple[RecognizedGloss, ...]
    alternatives: tuple[Alternative, ...] = ()


def write_annotations(path: str | Path, recognized: RecognizedVideo) -> None:
    """
    Write a file in the format that its suffix names; it is there whole, or not at all.

    Args:
        path: Ends with one of `SUFFIXES`. A file that is there is replaced.
        recognized: What was read.

    Raises:
        ValueError: If the suffix is none of these.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"Writing {path}: a name is needed that ends with {', '.join(SUFFIXES)}, to tell the format.")
    text = {
        ".json": lambda: json_text(recognized),
        ".vtt": lambda: vtt_text(recognized.glosses),
        ".srt": lambda: srt_text(recognized.glosses),
        ".eaf": lambda: eaf_text(recognized, path.parent),
    }[path.suffix.lower()]()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(text.encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def json_text(recognized: RecognizedVideo, indent: int | None = 2) -> str:
    """
    Return what was read as JSON.

    The keys are `version`, 1; `video`; `fps`, null where unknown; `text`, the glosses separated by spaces; `glosses`,
    each with `gloss`, `start` and `end` in seconds, and `confidence`, 0…1; and `alternatives`, each with `glosses` and
    `log_probability`, where any were asked for.

    Args:
        recognized: What was read.
        indent: Spaces of each level; None writes one line, as for JSON Lines.
    """
    content: dict = {
        "version": FORMAT_VERSION,
        "video": recognized.video,
        "fps": recognized.fps,
        "text": " ".join(gloss.gloss for gloss in recognized.glosses),
        "glosses": [
            {
                "gloss": gloss.gloss,
                "start": round(gloss.start, 3),
                "end": round(gloss.end, 3),
                "confidence": round(gloss.confidence, 4),
            }
            for gloss in recognized.glosses
        ],
    }
    if recognized.alternatives:
        content["alternatives"] = [asdict(alternative) for alternative in recognized.alternatives]
    text = json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"
    # What is not Unicode in a file's name becomes an escape, of which a reader of JSON makes the same name again.
    return text.encode("utf-8", "backslashreplace").decode()


def vtt_text(glosses: Sequence[RecognizedGloss]) -> str:
    """Return glosses, in order, as WebVTT: one cue a gloss."""
    cues = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{_escaped(gloss.gloss)}\n"
        for gloss, (start, end) in zip(glosses, _milliseconds(glosses), strict=True)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def srt_text(glosses: Sequence[RecognizedGloss]) -> str:
    """Return glosses, in order, as SubRip: one cue a gloss. It has no way to escape an arrow, so `-->` is parted."""
    cues = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_one_line(gloss.gloss).replace('-->', '-- >')}\n"
        for number, (gloss, (start, end)) in enumerate(zip(glosses, _milliseconds(glosses), strict=True), start=1)
    ]
    return "\n".join(cues)


def eaf_text(recognized: RecognizedVideo, folder: str | Path) -> str:
    """
    Return what was read as an annotation document of ELAN, EAF 3.0.

    The tier `Glosses` has an annotation for each gloss; each has one in the tier `Confidence` below it.

    Args:
        recognized: What was read. Its video is linked if it is a file, by its full path and by the one from `folder`.
        folder: Where the document will lie.
    """
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "adaptsign_hf",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ElementTree.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    video = Path(recognized.video)
    if video.is_file():
        relative = Path(os.path.relpath(video, folder)).as_posix()
        ElementTree.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            MEDIA_URL=_in_xml(f"file://{video.absolute().as_posix()}"),
            RELATIVE_MEDIA_URL=_in_xml(relative if relative.startswith(".") else f"./{relative}"),
            MIME_TYPE=mimetypes.guess_type(video.name)[0] or "video/*",
        )
    last_annotation = ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last_annotation.text = str(2 * len(recognized.glosses))

    order = ElementTree.SubElement(document, "TIME_ORDER")
    gloss_tier = ElementTree.SubElement(document, "TIER", TIER_ID="Glosses", LINGUISTIC_TYPE_REF="gloss")
    confidence_tier = ElementTree.SubElement(
        document, "TIER", TIER_ID="Confidence", LINGUISTIC_TYPE_REF="confidence", PARENT_REF="Glosses"
    )
    for index, (gloss, times) in enumerate(
        zip(recognized.glosses, _milliseconds(recognized.glosses), strict=True), start=1
    ):
        slots = [f"ts{2 * index - 1}", f"ts{2 * index}"]
        for slot, time in zip(slots, times, strict=True):
            ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
        aligned = {"ANNOTATION_ID": f"a{2 * index - 1}", "TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]}
        _add_annotation(gloss_tier, "ALIGNABLE_ANNOTATION", aligned, _in_xml(_one_line(gloss.gloss)))
        dependent = {"ANNOTATION_ID": f"a{2 * index}", "ANNOTATION_REF": f"a{2 * index - 1}"}
        _add_annotation(confidence_tier, "REF_ANNOTATION", dependent, f"{gloss.confidence:.2f}")

    ElementTree.SubElement(
        document, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="gloss", TIME_ALIGNABLE="true", GRAPHIC_REFERENCES="false"
    )
    ElementTree.SubElement(
        document,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID="confidence",
        TIME_ALIGNABLE="false",
        GRAPHIC_REFERENCES="false",
        CONSTRAINTS="Symbolic_Association",
    )
    ElementTree.SubElement(
        document,
        "CONSTRAINT",
        STEREOTYPE="Symbolic_Association",
        DESCRIPTION="1-1 association with a parent annotation",
    )
    ElementTree.indent(document, "    ")
    body = ElementTree.tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_annotation(tier: ElementTree.Element, kind: str, attributes: dict[str, str], value: str) -> None:
    annotation = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), kind, attributes)
    ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = value


def _milliseconds(glosses: Sequence[RecognizedGloss]) -> list[tuple[int, int]]:
    """Return starts and ends, in order, rounded so that each gloss lasts at least 1 ms and none overlap."""
    times: list[tuple[int, int]] = []
    for gloss in glosses:
        start = max(round(1000 * gloss.start), times[-1][1] if times else 0)
        times.append((start, max(round(1000 * gloss.end), start + 1)))
    return times


def _clock(milliseconds: int, point: str) -> str:
    """12345 as 00:00:12.345, with as many digits of hours as there are."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"


def _one_line(gloss: str) -> str:
    return " ".join(gloss.split())  # an empty line would end a cue


def _escaped(gloss: str) -> str:
    return _one_line(gloss).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_xml(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
