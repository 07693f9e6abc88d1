"""
What is done to glosses before they are scored.

The clean-ups make different spellings of one sign equal. Their rules, and the order of them, are those by which
results on the benchmarks are published, slips included: a rule mended is another metric.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Literal, get_args

Protocol = Literal["raw", "phoenix2014", "phoenix2014_t"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

Glosses = str | Sequence[str]  # separated by white space, or one by one

# RWTH's clean-up of PHOENIX-2014. It reads a file with one gloss a line, so its rules for several glosses (spelled
# letters, repeated words, WIE AUSSEHEN) never find anything, and are not here.
GLOSS_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"loc-|cl-|qu-|poss-|lh-", ""),
        (r"S0NNE", "SONNE"),
        (r"HABEN2", "HABEN"),
        (r"__EMOTION__|__PU__|__LEFTHAND__", ""),
        (r"ZEIGEN$", "ZEIGEN-BILDSCHIRM"),
        (r"(?<=[A-Z]{2})RAUM", ""),
        (r"-PLUSPLUS", ""),
        (r".*__EPENTHESIS__.*", ""),
    ]
]

# The clean-up of PHOENIX-2014-T, for whole sentences. Each rule is preceded by a text without which it finds nothing:
# looking for that is quicker.
SENTENCE_RULES = [
    (text, re.compile(pattern), replacement)
    for text, pattern, replacement in [
        ("__", r"__LEFTHAND__|__EPENTHESIS__|__EMOTION__", ""),
        ("__", r"\b__[^_ ]*__\b", ""),
        # After the removal of __PU__ from loc-__PU__ no letter follows, and loc- stays.
        ("loc-", r"\bloc-([^ ]*)\b", r"\1"),
        ("cl-", r"\bcl-([^ ]*)\b", r"\1"),
        ("-PLUSPLUS", r"\b([^ ]*)-PLUSPLUS\b", r"\1"),
        ("RAUM", r"\b([A-Z]+)RAUM\b", r"\1"),
        ("WIE AUSSEHEN", r"WIE AUSSEHEN", "WIE-AUSSEHEN"),
    ]
]
SPELLED_LETTER = re.compile(r"(?:^|[ +])[A-Z](?:[ +]|$)")
SPELLING_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"^([A-Z]) ([A-Z][+ ])", r"\1+\2"),
        (r"[ +]([A-Z]) ([A-Z]) ", r" \1+\2 "),  # it also parts what an earlier rule has joined
        *[(r"([ +][A-Z]) ([A-Z][ +])", r"\1+\2")] * 3,
        (r"([ +]SCH) ([A-Z][ +])", r"\1+\2"),
        (r"([ +]NN) ([A-Z][ +])", r"\1+\2"),
        (r"([ +][A-Z]) (NN[ +])", r"\1+\2"),
        (r"([ +][A-Z]) ([A-Z])$", r"\1+\2"),
    ]
]
REPEATED_WORD = re.compile(r"(?<![\w-])([A-Z]+) \1(?![\w-])")  # also at the end of a spelled word: A+B B


def split_glosses(glosses: Glosses | None) -> list[str]:
    """Return glosses one by one; none where there is nothing."""
    return glosses.split() if isinstance(glosses, str) else list(glosses or ())


def collapse_repeated(glosses: Iterable[str]) -> list[str]:
    """Return glosses without those that equal the one before them."""
    return [gloss for gloss, _ in groupby(glosses)]


@lru_cache(maxsize=2**14)
def clean_gloss(gloss: str) -> str:
    """Return a gloss as RWTH's clean-up of PHOENIX-2014 leaves it; empty where it drops it."""
    for pattern, replacement in GLOSS_RULES:
        gloss = pattern.sub(replacement, gloss)
    return gloss


def clean_sentence(glosses: Sequence[str]) -> list[str]:
    """Return the glosses of a sentence as the clean-up of PHOENIX-2014-T leaves them."""
    sentence = " ".join(glosses)
    for text, pattern, replacement in SENTENCE_RULES:
        if text in sentence:
            sentence = pattern.sub(replacement, sentence)
    if SPELLED_LETTER.search(sentence):
        for pattern, replacement in SPELLING_RULES:
            sentence = pattern.sub(replacement, sentence)
    sentence = " ".join(sentence.split())
    for _ in range(3):
        sentence, found = REPEATED_WORD.subn(r"\1", sentence)
        if not found:
            break
    return collapse_repeated(sentence.split())


def apply_protocol(
    references: Iterable[Glosses],
    hypotheses: Iterable[Glosses | None],
    protocol: str = "raw",
    collapse_repeats: bool = False,
) -> tuple[list[list[str]], list[list[str]]]:
    """
    Make references and hypotheses what a protocol scores.

    Args:
        references: What is signed, a string or a sequence of glosses a clip.
        hypotheses: What was read; None where there is no hypothesis.
        protocol: `raw` changes nothing; `phoenix2014` cleans the hypotheses up, gloss by gloss; `phoenix2014_t` cleans
            both sides up, as whole sentences.
        collapse_repeats: Whether equal neighbours in a hypothesis become one before that, as in the lineage of VAC.

    Returns:
        References and hypotheses, a list of glosses a clip.

    Raises:
        ValueError: If there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"Scoring by the protocol {protocol!r}: there are {', '.join(PROTOCOLS)}.")
    signed = [split_glosses(glosses) for glosses in references]
    read = [split_glosses(glosses) for glosses in hypotheses]
    if collapse_repeats:
        read = [collapse_repeated(glosses) for glosses in read]
    if protocol == "phoenix2014":
        read = [[cleaned for gloss in glosses if (cleaned := clean_gloss(gloss))] for glosses in read]
    if protocol == "phoenix2014_t":
        signed, read = [clean_sentence(glosses) for glosses in signed], [clean_sentence(glosses) for glosses in read]
    return signed, read
