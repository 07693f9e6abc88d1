"""Word errors over glosses, as NIST's sclite counts them: substitutions, deletions, insertions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# sclite's own. Libraries of edit distances align with one cost for all, which gives other substitutions, deletions and
# insertions, and, in rare sentences, another sum of them.
SUBSTITUTION_COST = 4
GAP_COST = 3


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
        """Word error rate, `errors / reference_glosses`, a fraction; it can exceed 1."""
        return self.errors / self.reference_glosses

    def __str__(self) -> str:
        return (
            f"WER {100 * self.wer:.2f} % ({self.substitutions} substitutions, {self.deletions} deletions, "
            f"{self.insertions} insertions; {self.reference_glosses} glosses in {self.clips} clips)"
        )


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """
    Align what was read with what is signed, as sclite does.

    Of all alignments it takes the cheapest, where a substitution costs 4, a deletion or an insertion 3. Of equally
    cheap ones it takes, from the end backwards, a pair before an insertion, and an insertion before a deletion.

    Args:
        reference: The glosses signed.
        hypothesis: The glosses read.

    Returns:
        Pairs of a signed and a read gloss, in order. An inserted gloss has None at its left, a deleted one at its
        right.
    """
    end = 0  # Equal last glosses make a pair in any case, which saves most of the work.
    while end < min(len(reference), len(hypothesis)) and reference[-1 - end] == hypothesis[-1 - end]:
        end += 1
    equal = [(gloss, gloss) for gloss in reference[len(reference) - end :]]
    reference, hypothesis = reference[: len(reference) - end], hypothesis[: len(hypothesis) - end]
    # costs[i][j]: of aligning the first i signed glosses with the first j read ones
    costs = [[GAP_COST * j for j in range(len(hypothesis) + 1)]]
    for signed in reference:
        above = costs[-1]
        left = above[0] + GAP_COST
        row = [left]
        for j, read in enumerate(hypothesis):
            cost = above[j] if signed == read else above[j] + SUBSTITUTION_COST
            left = min(cost, left + GAP_COST, above[j + 1] + GAP_COST)
            row.append(left)
        costs.append(row)
    return [*list(_trace_back(costs, reference, hypothesis))[::-1], *equal]


def _trace_back(
    costs: list[list[int]], reference: Sequence[str], hypothesis: Sequence[str]
) -> Iterator[tuple[str | None, str | None]]:
    i, j = len(reference), len(hypothesis)
    while i and j:
        signed, read, cost = reference[i - 1], hypothesis[j - 1], costs[i][j]
        if cost == costs[i - 1][j - 1] + (0 if signed == read else SUBSTITUTION_COST):
            i, j = i - 1, j - 1
            yield signed, read
        elif cost == costs[i][j - 1] + GAP_COST:
            j -= 1
            yield None, read
        else:
            i -= 1
            yield signed, None
    yield from ((None, read) for read in hypothesis[:j][::-1])
    yield from ((signed, None) for signed in reference[:i][::-1])


def count_clip_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> WordErrors:
    """Count the errors of one clip; its reference may be empty, but then it has no rate."""
    substitutions = deletions = insertions = 0
    for signed, read in align(reference, hypothesis):
        if signed != read:
            substitutions += signed is not None and read is not None
            deletions += read is None
            insertions += signed is None
    return WordErrors(substitutions, deletions, insertions, reference_glosses=len(reference), clips=1)


def count_word_errors(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> WordErrors:
    """
    Count the errors over clips.

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
    clips = [count_clip_errors(*pair) for pair in zip(references, hypotheses, strict=True)]
    total = WordErrors(
        substitutions=sum(clip.substitutions for clip in clips),
        deletions=sum(clip.deletions for clip in clips),
        insertions=sum(clip.insertions for clip in clips),
        reference_glosses=sum(clip.reference_glosses for clip in clips),
        clips=len(clips),
    )
    if total.reference_glosses == 0:
        raise ValueError("Scoring needs at least one reference gloss, but all references are empty.")
    return total
