"""Word error rate over glosses: `(substitutions + deletions + insertions) / reference glosses`."""

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class WordErrors:
    """
    Errors counted over clips.

    Attributes:
        substitutions: Glosses read as another.
        deletions: Glosses not read.
        insertions: Glosses read that are not signed.
        reference_glosses: Glosses signed.
        clips: Clips scored.
    """

    substitutions: int
    deletions: int
    insertions: int
    reference_glosses: int
    clips: int

    @property
    def errors(self) -> int:
        """All three kinds together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Word error rate, a fraction; it can exceed 1."""
        return self.errors / self.reference_glosses

    def __str__(self) -> str:
        return (
            f"WER {100 * self.wer:.2f} % ({self.substitutions} substitutions, {self.deletions} deletions, "
            f"{self.insertions} insertions; {self.reference_glosses} glosses in {self.clips} clips)"
        )


def count_word_errors(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> WordErrors:
    """
    Count the errors of a best alignment of each hypothesis with its reference.

    Args:
        references: What is signed, a sequence of glosses a clip.
        hypotheses: What was read, in the same order; an empty one counts as all deletions.

    Raises:
        ValueError: If the numbers of clips differ, or there is no reference gloss at all.
    """
    if len(references) != len(hypotheses):
        raise ValueError(
            f"Scoring {len(hypotheses)} hypotheses against {len(references)} references: each clip needs one of both."
        )
    counts = {"replace": 0, "delete": 0, "insert": 0}
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        for operation in Levenshtein.editops(list(reference), list(hypothesis)):
            counts[operation.tag] += 1
    reference_glosses = sum(map(len, references))
    if reference_glosses == 0:
        raise ValueError("Scoring needs at least one reference gloss, but all references are empty.")
    return WordErrors(
        substitutions=counts["replace"],
        deletions=counts["delete"],
        insertions=counts["insert"],
        reference_glosses=reference_glosses,
        clips=len(references),
    )
