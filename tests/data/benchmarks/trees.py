"""Tiny copies of each benchmark in its true layout, with the peculiarities that the releases have."""

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from PIL import Image

SIZE = 32  # of a frame, in pixels
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Sample:
    """
    One clip to be written.

    Attributes:
        name: Its id.
        split: Its split; where the layout follows signers or sentences, what has to come out of those.
        glosses: Its label.
        signer: Who signs.
        translation: The sentence, in sets that have one.
        num_frames: Written to the disk; 0 leaves a frame folder empty, None leaves the clip out of the disk.
        length: Frames that the annotation declares, where it does; as many as there are, if None.
    """

    name: str
    split: str
    glosses: tuple[str, ...]
    signer: str = "Signer01"
    translation: str = ""
    num_frames: int | None = 22
    length: int | None = None


@dataclass(frozen=True)
class Layout:
    """
    How a release looks.

    Attributes:
        benchmark: The name by which it is loaded.
        outer: The folders in which the release usually lies.
        media: Where a clip lies: a video file, or the pattern of its frames' names with a number to be filled in.
        tables: The annotation: files and their text.
        samples: A few clips that have nothing wrong.
    """

    benchmark: str
    outer: str
    media: Callable[[Sample], str]
    tables: Callable[[Sequence[Sample]], dict[str, str]]
    samples: tuple[Sample, ...]


@dataclass
class Tree:
    """
    A written copy. Change `samples` and `write` again to plant what should not be there.

    Attributes:
        layout: What it looks like.
        root: Its root, in which the annotation's folder lies.
        samples: Its clips.
    """

    layout: Layout
    root: Path
    samples: list[Sample]

    @property
    def benchmark(self) -> str:
        """The name by which the tree is loaded."""
        return self.layout.benchmark

    @property
    def is_video(self) -> bool:
        """Whether clips are files, not folders of frames."""
        return "%" not in self.layout.media(self.samples[0])

    def write(self) -> "Tree":
        """Write the annotation and every clip that is not yet there."""
        for name, text in self.layout.tables(self.samples).items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text, encoding="utf-8", newline="")
        for sample in self.samples:
            path = self.path(sample)
            if sample.num_frames is not None and not path.exists():
                write_clip(path, sample.num_frames, self.layout.media(sample))
        return self

    def path(self, sample: Sample) -> Path:
        """Where a clip lies: a video file or a folder of frames."""
        path = self.root / self.layout.media(sample)
        return path if self.is_video else path.parent

    def sample(self, split: str, number: int = 0) -> Sample:
        """One clip of a split."""
        return [sample for sample in self.samples if sample.split == split][number]

    def tables(self) -> list[Path]:
        """The files of the annotation."""
        return [self.root / name for name in self.layout.tables(self.samples)]

    def remove_clip(self, sample: Sample) -> None:
        """Take a clip off the disk, and leave it in the annotation."""
        path = self.path(sample)
        if path.is_dir():
            shutil.rmtree(path.parent if path.name == "1" else path)
        else:
            path.unlink()

    def first_file(self, sample: Sample) -> Path:
        """The first frame of a clip, or its video."""
        path = self.path(sample)
        return min(path.iterdir()) if path.is_dir() else path


def write_tree(layout: str, folder: Path, *, nested: bool = False, samples: Iterable[Sample] | None = None) -> Tree:
    """
    Write a copy of a benchmark.

    Args:
        layout: One of `LAYOUTS`.
        folder: Where to.
        nested: Whether it lies in the folders in which the release comes.
        samples: Its clips; by default those of the layout.
    """
    chosen = LAYOUTS[layout]
    root = folder / chosen.outer if nested else folder
    return Tree(chosen, root, list(chosen.samples if samples is None else samples)).write()


def write_clip(path: Path, num_frames: int, pattern: str = "") -> None:
    """Write a moving square, to a video file or as the numbered images of a folder."""
    frames = np.full((num_frames, SIZE, SIZE, 3), 90, dtype=np.uint8)
    for number, frame in enumerate(frames):
        frame[8:16, number % SIZE : number % SIZE + 8] = 200
    if "%" in pattern:
        path.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(path / (Path(pattern).name % number))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream({".mp4": "libx264", ".avi": "mpeg4"}[path.suffix], rate=25)
        stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def piped(*rows: Sequence[object], newline: str = "\n") -> str:
    """A table with `|` between its columns and no quotes, as RWTH and USTC write them."""
    return "".join("|".join(map(str, row)) + newline for row in rows)


def comma_separated(*rows: Sequence[object]) -> str:
    """A CSV as spreadsheets write it: with a byte order mark and with CRLF."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return "\ufeff" + text.getvalue()


def of_split(samples: Sequence[Sample], split: str) -> list[Sample]:
    """The samples of one split."""
    return [sample for sample in samples if sample.split == split]


def phoenix2014(infix: str, outer: str, inner: str, samples: tuple[Sample, ...]) -> Layout:
    """PHOENIX-2014 in one of its two editions; the frames lie in a folder 1/ or, without `inner`, above it."""

    def tables(samples):
        return {
            f"annotations/manual/{split}.{infix}corpus.csv": piped(
                ("id", "folder", "signer", "annotation"),
                # Two spaces between some glosses, and CRLF in one file.
                *((s.name, f"{s.name}/1/*.png", s.signer, "  ".join(s.glosses)) for s in of_split(samples, split)),
                newline="\r\n" if split == "dev" else "\n",
            )
            for split in SPLITS
        }

    def media(sample):
        # Frames of the release: 01April_2010_Thursday_heute.avi_pid0_fn000042-0.png
        recording = sample.name.partition("_default")[0]
        return f"features/fullFrame-210x260px/{sample.split}/{sample.name}/{inner}{recording}.avi_pid0_fn%06d-0.png"

    return Layout("phoenix2014-si5" if infix else "phoenix2014", outer, media, tables, samples)


def phoenix2014t(inner: str) -> Layout:
    """PHOENIX-2014-T; the column `video` names a folder 1/, which is on the disk with `inner` only."""

    def tables(samples):
        return {
            f"annotations/manual/PHOENIX-2014-T.{split}.corpus.csv": piped(
                ("name", "video", "start", "end", "speaker", "orth", "translation"),
                *(
                    (s.name, f"{s.name}/1/*.png", -1, -1, s.signer, " ".join(s.glosses), s.translation)
                    for s in of_split(samples, split)
                ),
            )
            for split in SPLITS
        }

    def media(sample):
        return f"features/fullFrame-210x260px/{sample.split}/{sample.name}/{inner}images%04d.png"

    return Layout("phoenix2014-t", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T", media, tables, PHOENIX_T_SAMPLES)


def csl_daily_tables(samples: Sequence[Sample]) -> dict[str, str]:
    """The two files of CSL-Daily, each of which has one clip that the other lacks."""
    labels = [("index", "name", "length", "gloss", "char", "word", "postag")]
    for number, sample in enumerate(samples):
        length = sample.num_frames if sample.length is None else sample.length
        text = " ".join(sample.translation)
        glosses = " ".join(sample.glosses)
        labels.append((number, sample.name, length, glosses, text, sample.translation, "n"))
    labels.append((len(samples), "S000007_P0003_T00", 22, "你 好", "你 好", "你好", "n"))
    splits = [("name", "split"), *((s.name, s.split) for s in samples), ("S000005_P0004_T00", "train")]
    return {"sentence_label/video_map.txt": piped(*labels), "sentence_label/split_1.txt": piped(*splits)}


def csl(by_sentence: bool, video: bool, samples: tuple[Sample, ...]) -> Layout:
    """CSL as videos or as folders of frames; sentences written as they are, or with spaces between their words."""

    def tables(samples):
        sentences = {sample.name.split("/")[0]: sample.glosses for sample in samples}
        corpus = "".join(f"{number} {''.join(words)}\r\n" for number, words in sorted(sentences.items()))
        words = dict.fromkeys(gloss for sample in samples for gloss in sample.glosses)
        # The dictionary is that of the isolated words too, in which some stand for several.
        lines = [f"{number:06d}\t{word}" for number, word in enumerate(words)]
        lines += ["000498\t他（她、它）", "000499\t的"]
        return {"corpus.txt": "\ufeff" + corpus, "dictionary.txt": "\n".join(lines) + "\n"}

    def media(sample):
        return f"color/{sample.name}.avi" if video else f"color/{sample.name}/%06d.jpg"

    return Layout("csl-split2" if by_sentence else "csl", "CSL", media, tables, samples)


def ce_csl_tables(samples: Sequence[Sample]) -> dict[str, str]:
    """One CSV a split."""
    return {
        f"label/{split}.csv": comma_separated(
            ("Number", "Translator", "Chinese Sentences", "Gloss", "Note"),
            *((s.name, s.signer, s.translation, "/".join(s.glosses), "") for s in of_split(samples, split)),
        )
        for split in SPLITS
    }


def folder_tables(samples: Sequence[Sample]) -> dict[str, str]:
    """The metadata of a user's own videos."""
    rows = [(sample.name, " ".join(sample.glosses), sample.signer, sample.split) for sample in samples]
    return {"metadata.csv": comma_separated(("file_name", "gloss", "signer", "split"), *rows)}


def clips_of(*rows: tuple[str, str, str, str]) -> tuple[Sample, ...]:
    """Samples from rows of split, name, signer and glosses."""
    return tuple(Sample(name, split, tuple(glosses.split()), signer) for split, name, signer, glosses in rows)


PHOENIX_SAMPLES = clips_of(
    ("train", "01April_2010_Thursday_heute_default-0", "Signer04", "ABEND MORGEN MORGEN"),  # the same twice
    ("train", "01April_2010_Thursday_heute_default-1", "Signer04", "REGEN SCHNEE"),
    ("train", "02May_2010_Sunday_tagesschau_default-3", "Signer01", "__ON__ loc-SÜD KÖNNEN"),
    ("train", "03June_2010_Thursday_tagesschau_default-9", "Signer01", "REGEN ABEND"),
    ("dev", "05July_2010_Monday_heute_default-4", "Signer01", "REGEN MORGEN"),
    ("dev", "05July_2010_Monday_heute_default-5", "Signer05", "loc-SÜD SCHNEE"),
    ("test", "06August_2010_Friday_heute_default-6", "Signer05", "MORGEN ABEND"),
    ("test", "06August_2010_Friday_heute_default-7", "Signer05", "KÖNNEN REGEN"),
)
PHOENIX_T_SAMPLES = tuple(
    replace(sample, name=sample.name.replace("_default", ""), translation=f"und nun der satz {number}")
    for number, sample in enumerate(PHOENIX_SAMPLES)
)
CSL_DAILY_SAMPLES = tuple(
    replace(sample, translation=sample.glosses[0] + "。")
    for sample in clips_of(
        ("train", "S000000_P0000_T00", "P0000", "我 今天 今天"),
        ("train", "S000001_P0000_T00", "P0000", "他 买 苹果"),
        ("train", "S000001_P0004_T00", "P0004", "他 买 苹果"),
        ("train", "S000002_P0005_T01", "P0005", "明天 下雨"),
        ("dev", "S000003_P0004_T00", "P0004", "我 买"),
        ("dev", "S000003_P0005_T00", "P0005", "我 买"),
        ("test", "S000004_P0000_T00", "P0000", "今天 今天 下雨"),
        ("test", "S000006_P0000_T00", "P0000", "他 明天"),
    )
)
CSL_SENTENCES = {"000000": "他的 同学 是 警察", "000001": "他 妈妈 难 受", "000099": "他 是 同学"}
CSL_SAMPLES = clips_of(
    *(
        ("test" if signer > 40 else "train", f"{number}/P{signer:02}_s{number[-1]}_00_0._color", f"P{signer:02}", text)
        for number, text in CSL_SENTENCES.items()
        for signer in (1, 40, 41)
    )
)
CSL_SAMPLES_BY_SENTENCE = tuple(
    replace(sample, split="test" if sample.name.startswith("000099") else "train") for sample in CSL_SAMPLES
)
CE_CSL_SAMPLES = tuple(
    replace(sample, translation=f"今天,下雨{number}。")
    for number, sample in enumerate(
        clips_of(
            ("train", "train-00001", "A", "今天 下雨 。"),
            ("train", "train-00002", "A", "我 喜欢 喜欢 雨 。"),
            ("train", "train-00003", "L", "他 ， 我 。"),
            ("train", "train-00004", "L", "他 今天 我 喜欢 雨 。"),
            ("dev", "dev-00001", "B", "今天 我 。"),
            ("dev", "dev-00002", "B", "雨 。"),
            ("test", "test-00001", "C", "他 喜欢 雨 。"),
            ("test", "test-00002", "C", "今天 雨 。"),
        )
    )
)
FOLDER_SAMPLES = clips_of(
    ("train", "monday/clip 01.mp4", "anna", "TOMORROW RAIN SÜD"),
    ("train", "monday/clip 02.mp4", "bert", "SUN SÜD SÜD"),
    ("train", "tuesday/clip 03.mp4", "anna", "TOMORROW RAIN SUN"),
    ("dev", "tuesday/clip 04.mp4", "anna", "SUN RAIN"),
    ("test", "tuesday/clip 05.mp4", "bert", "TOMORROW SUN"),
    ("test", "tuesday/clip 06.mp4", "anna", "RAIN SUN"),
)

LAYOUTS = {
    "phoenix2014": phoenix2014("", "phoenix2014-release/phoenix-2014-multisigner", "1/", PHOENIX_SAMPLES),
    "phoenix2014 without 1": phoenix2014("", "phoenix2014-release/phoenix-2014-multisigner", "", PHOENIX_SAMPLES),
    "phoenix2014-si5": phoenix2014(
        "SI5.",
        "phoenix2014-release/phoenix-2014-signerindependent-SI5",
        "1/",
        tuple(replace(s, signer="Signer05" if s.split != "train" else s.signer) for s in PHOENIX_SAMPLES),
    ),
    "phoenix2014-t": phoenix2014t(""),
    "phoenix2014-t with 1": phoenix2014t("1/"),
    "csl-daily": Layout(
        "csl-daily",
        "CSL-Daily",
        lambda sample: f"sentence/frames_512x512/{sample.name}/%06d.jpg",
        csl_daily_tables,
        CSL_DAILY_SAMPLES,
    ),
    "csl": csl(False, False, CSL_SAMPLES),
    "csl as videos": csl(False, True, CSL_SAMPLES),
    "csl-split2": csl(True, False, CSL_SAMPLES_BY_SENTENCE),
    "csl-split2 as videos": csl(True, True, CSL_SAMPLES_BY_SENTENCE),
    "ce-csl": Layout(
        "ce-csl", "CE-CSL", lambda s: f"video/{s.split}/{s.signer}/{s.name}.mp4", ce_csl_tables, CE_CSL_SAMPLES
    ),
    "folder": Layout("folder", "", lambda sample: sample.name, folder_tables, FOLDER_SAMPLES),
}
