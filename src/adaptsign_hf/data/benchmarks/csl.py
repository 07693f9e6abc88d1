"""CSL, 100 sentences of Chinese Sign Language (Huang et al., 2018), in its two splits."""

import re
from functools import partial
from pathlib import Path

from adaptsign_hf.data.benchmarks.description import Benchmark, ClipList, Reading, find_root
from adaptsign_hf.data.folder import Clip

LAYOUT = """  color/000000 ... 000099/P01_s1_...   each an .avi file or a folder of frames
  corpus.txt                           sentence id, then the sentence
  dictionary.txt                       number, then the word; only where sentences are written without spaces"""
VIDEO_SUFFIXES = {".avi", ".mp4", ".mkv", ".webm"}
TEST_SIGNERS = range(41, 51)  # split I: 40 signers train, 10 test
TEST_SENTENCES = range(94, 100)  # split II: 94 sentences train, 6 test; the paper does not say which six


def read(data_dir: Path, by_sentence: bool) -> Reading:
    """
    List the clips of a copy.

    Args:
        data_dir: The folder of the release, or one that holds it.
        by_sentence: Split II, whose test sentences are not in training, instead of split I, whose signers are not.
    """
    root = find_root(data_dir, ["color", "corpus.txt"], ["CSL", "SLR_Dataset"], "CSL", LAYOUT)
    words = read_words(root / "dictionary.txt") if (root / "dictionary.txt").exists() else set()
    sentences = read_sentences(root / "corpus.txt")
    if not words and all(len(sentence.split()) == 1 for _, sentence in sentences):
        raise ValueError(
            f"Reading CSL from {root}: the sentences of corpus.txt have no spaces, and there is no dictionary.txt to "
            "cut them into words. Put the release's there, or write spaces between the words."
        )
    clips = ClipList(root)
    for number, sentence in sentences:
        glosses = tuple(segment(sentence, words))
        folder = root / "color" / number
        if not folder.is_dir():
            clips.leave_out(number, f"there is no color/{number}", "missing")
            continue
        for path in sorted(folder.iterdir()):
            signer = re.match(r"P(\d+)_", path.name)
            if signer is None or not (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES):
                reason = "expected videos and folders of frames whose names begin with a signer, such as P01_"
                clips.leave_out(f"{number}/{path.name}", reason, "foreign")
                continue
            name = f"{number}/{path.name if path.is_dir() else path.stem}"
            held_out = int(number) in TEST_SENTENCES if by_sentence else int(signer[1]) in TEST_SIGNERS
            clips.add(Clip(name, path, glosses, f"P{signer[1]}", "test" if held_out else "train"))
    return clips.reading


def read_sentences(path: Path) -> list[tuple[str, str]]:
    """Read the sentences, each with its id of six digits."""
    lines = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    wrong = [line for line in lines if len(line) != 2 or not line[0].isdecimal()]
    if wrong:
        found = " ".join(wrong[0])
        raise ValueError(f"Reading {path}: expected a number and a sentence in each line, found {found!r}.")
    return [(number.zfill(6), sentence.strip()) for number, sentence in lines]


def read_words(path: Path) -> set[str]:
    """Read the words of the dictionary; those that share a sign stand in one line, as in `他（她、它）`."""
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8-sig").splitlines())
    return {word for line in lines if line for word in re.split(r"[（）()、\s]+", line[-1]) if word}  # noqa: RUF001


def segment(sentence: str, words: set[str]) -> list[str]:
    """
    Cut a sentence into glosses: at its spaces or, where it has none, into the fewest words of the dictionary.

    Raises:
        ValueError: If it has no spaces and the dictionary does not cover it.
    """
    if not words or len(sentence.split()) > 1:
        return sentence.split()
    best: list[list[str] | None] = [[]]
    for end in range(1, len(sentence) + 1):
        ends = [(start, sentence[start:end]) for start in range(end) if sentence[start:end] in words]
        cuts = [[*before, word] for start, word in ends if (before := best[start]) is not None]
        best.append(min(cuts, key=len, default=None))
    if best[-1] is None:
        raise ValueError(
            f"The sentence {sentence!r} of CSL cannot be cut into words of dictionary.txt: add the word that it "
            "lacks, or write spaces between the words in corpus.txt."
        )
    return best[-1]


SPLIT_I = Benchmark(
    name="csl",
    title="CSL, split I (unseen signers)",
    layout=LAYOUT,
    read=partial(read, by_sentence=False),
    clips={"train": 20000, "test": 5000},
    glosses={"train": 178, "all": 178},
    redistribution="CSL is given out by USTC under an agreement that each user signs",
)
SPLIT_II = Benchmark(
    name="csl-split2",
    title="CSL, split II (unseen sentences)",
    layout=LAYOUT,
    read=partial(read, by_sentence=True),
    clips={"train": 23500, "test": 1500},
    glosses={"all": 178},
    redistribution=SPLIT_I.redistribution,
)
