"""
The files that NIST's sclite reads: hypotheses as `.ctm`, references as `.stm`.

    sclite -s -e utf-8 -r references.stm stm -h hypotheses.ctm ctm -o sum stdout

then counts what this package counts, by signer. Without `-s` it takes `IX` and `ix` for one gloss.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

SECONDS_PER_GLOSS = 0.01  # as in the lineage of VAC: glosses have no times, but the format wants some
END_OF_CLIP = "1.79769e+308"  # seconds, as in that lineage: all glosses of a clip are before it
NO_GLOSS = "@"  # sclite's word for nothing: without it, it would warn of a clip that has no hypothesis
UNKNOWN_SIGNER = "unknown"

# A space parts fields; braces, @, <, and a semicolon mean something to sclite; % is what they are written with.
SPECIAL = re.compile(r"[\s{}@<;%]")


def write_ctm(path: str | Path, clip_names: Sequence[str], hypotheses: Sequence[Sequence[str]]) -> None:
    """
    Write hypotheses, a line `file channel start duration gloss` for each gloss, evenly spaced, in seconds.

    Args:
        path: The file.
        clip_names: A name for each clip; characters special to sclite are written `%20` and the like, as in addresses.
        hypotheses: The glosses read in each clip; where there are none, a line with sclite's null word.

    Raises:
        ValueError: If two clips have the same name, or there is not one entry for each name.
    """
    _check(path, clip_names, hypotheses)
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for name, glosses in zip(clip_names, hypotheses, strict=True):
            for index, gloss in enumerate(map(_escape, glosses) if glosses else [NO_GLOSS]):
                start = index * SECONDS_PER_GLOSS
                file.write(f"{_escape(name)} 1 {start:.2f} {SECONDS_PER_GLOSS:.2f} {gloss}\n")


def write_stm(
    path: str | Path,
    clip_names: Sequence[str],
    references: Sequence[Sequence[str]],
    signers: Sequence[str] | None = None,
) -> None:
    """
    Write references, a line `file channel signer start end glosses` for each clip, in seconds.

    Args:
        path: The file.
        clip_names: As in the `.ctm`, in the same order: sclite reads the two side by side.
        references: The glosses signed in each clip.
        signers: Who signs in each clip, by whom sclite sums up; empty where unknown.

    Raises:
        ValueError: If two clips have the same name, or there is not one entry for each name.
    """
    signers = signers or [""] * len(clip_names)
    _check(path, clip_names, references, signers)
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for name, glosses, signer in zip(clip_names, references, signers, strict=True):
            fields = [_escape(name), "1", _escape(signer) or UNKNOWN_SIGNER, "0.0", END_OF_CLIP]
            file.write(" ".join([*fields, *map(_escape, glosses)]) + "\n")


def _escape(text: str) -> str:
    return SPECIAL.sub(lambda found: quote(found[0], safe=""), text)


def _check(path: str | Path, clip_names: Sequence[str], *columns: Sequence) -> None:
    if any(len(column) != len(clip_names) for column in columns):
        raise ValueError(
            f"Writing {path}: there are {len(clip_names)} names of clips, but "
            f"{', '.join(str(len(column)) for column in columns)} entries for them; each clip needs one."
        )
    repeated = [name for name, count in Counter(clip_names).items() if count > 1]
    if repeated:
        raise ValueError(f"Writing {path}: several clips are called {repeated[:3]}; give each one a name of its own.")
