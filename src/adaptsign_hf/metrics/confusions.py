"""Which confusions cost most."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adaptsign_hf.metrics.gloss_wer.word_errors import align


@dataclass(frozen=True)
class Confusion:
    """
    One kind of error.

    Attributes:
        signed: The gloss in the references; None for an insertion.
        read: The gloss in the hypotheses; None for a deletion.
        count: How often it happens; each time is one error.
    """

    signed: str | None
    read: str | None
    count: int

    def __str__(self) -> str:
        if self.signed is None:
            return f"{self.count} x {self.read} read, nothing signed"
        return f"{self.count} x {self.signed} {f'read as {self.read}' if self.read else 'not read'}"


def most_costly_confusions(
    references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]], limit: int | None = None
) -> list[Confusion]:
    """
    Count which glosses are read as which, not read, or read without being signed.

    Args:
        references: What is signed, a sequence of glosses a clip.
        hypotheses: What was read, in the same order.
        limit: How many confusions to return; None for all, whose counts then sum up to the errors.

    Returns:
        The most frequent first; of equally frequent ones, in the order of the alphabet.

    Raises:
        ValueError: If the numbers of clips differ.
    """
    if len(references) != len(hypotheses):
        raise ValueError(
            f"Comparing {len(hypotheses)} hypotheses with {len(references)} references: each clip needs one of both."
        )
    counts = Counter(
        (signed, read)
        for pair in zip(references, hypotheses, strict=True)
        for signed, read in align(*pair)
        if signed != read
    )
    confusions = [Confusion(signed, read, count) for (signed, read), count in counts.items()]
    return sorted(confusions, key=lambda item: (-item.count, item.signed or "", item.read or ""))[:limit]
