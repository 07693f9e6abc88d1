"""Where a model fails: errors by gloss, by how often training shows a gloss, by signer and by length of clips."""

import csv
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from adaptsign_hf.metrics.gloss_wer.word_errors import WordErrors, align, count_word_errors

FREQUENCY_EDGES = (0, 1, 5, 10, 20, 50, 100)  # the first bin is "never seen in training"
LENGTH_EDGES = (0, 50, 100, 150, 200, 300)  # frames


@dataclass(frozen=True)
class GlossErrors:
    """
    How a gloss fares.

    Attributes:
        gloss: The gloss.
        training_count: How often the training clips show it.
        signed: How often it is signed in the scored clips.
        substituted: How often another was read instead.
        deleted: How often nothing was read instead.
        read_wrongly: How often it was read where it is not signed.
    """

    gloss: str
    training_count: int
    signed: int
    substituted: int
    deleted: int
    read_wrongly: int


@dataclass(frozen=True)
class GroupErrors:
    """
    Errors of one group of clips, or of one group of glosses.

    Attributes:
        group: Its name: a signer, a range of frames, or a range of counts in training.
        clips: Clips in it; of a group of glosses, those that show any of them.
        glosses: Glosses signed.
        errors: Of a group of clips, all errors; of a group of glosses, those substituted or deleted.
    """

    group: str
    clips: int
    glosses: int
    errors: int

    @property
    def error_rate(self) -> float:
        """Errors over glosses signed, a fraction; 0 where nothing is signed."""
        return self.errors / self.glosses if self.glosses else 0.0


@dataclass(frozen=True)
class Breakdown:
    """
    All tables of one evaluation.

    Attributes:
        total: The score.
        by_gloss: Most often missed first.
        by_frequency: By how often training shows a gloss.
        by_signer: In the order of their names.
        by_length: By the clips' frames.
    """

    total: WordErrors
    by_gloss: list[GlossErrors]
    by_frequency: list[GroupErrors]
    by_signer: list[GroupErrors]
    by_length: list[GroupErrors]


def break_down(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[Sequence[str]],
    signers: Sequence[str],
    num_frames: Sequence[int | None],
    training_counts: Counter[str],
) -> Breakdown:
    """
    Count the errors of an evaluation in every way.

    Args:
        references: What is signed, a sequence of glosses a clip.
        hypotheses: What was read, in the same order.
        signers: Who signs in each clip; empty where unknown.
        num_frames: Of each clip; None where unknown, and then it is not among the lengths.
        training_counts: How often the training clips show each gloss.

    Raises:
        ValueError: If the numbers of clips differ, or there is no reference gloss at all.
    """
    total = count_word_errors(references, hypotheses)
    by_gloss = count_by_gloss(references, hypotheses, training_counts)
    measured = [index for index, frames in enumerate(num_frames) if frames is not None]
    lengths = [bin_of(frames, LENGTH_EDGES) for frames in num_frames if frames is not None]
    by_length = count_by_group(lengths, [references[i] for i in measured], [hypotheses[i] for i in measured])
    return Breakdown(
        total,
        by_gloss,
        group_by_frequency(by_gloss, references),
        count_by_group([signer or "unknown" for signer in signers], references, hypotheses),
        [
            GroupErrors(f"{range_name(group, LENGTH_EDGES)} frames", row.clips, row.glosses, row.errors)
            for group, row in zip(sorted(set(lengths)), by_length, strict=True)
        ],
    )


def count_by_gloss(
    references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]], training_counts: Counter[str]
) -> list[GlossErrors]:
    """Count for each gloss how it was read; those most often missed come first."""
    signed: Counter[str] = Counter()
    substituted: Counter[str] = Counter()
    deleted: Counter[str] = Counter()
    read_wrongly: Counter[str] = Counter()
    for pair in zip(references, hypotheses, strict=True):
        for gloss, read in align(*pair):
            if gloss is not None:
                signed[gloss] += 1
                deleted[gloss] += read is None
                substituted[gloss] += read not in (None, gloss)
            if read is not None:
                read_wrongly[read] += read != gloss
    rows = [
        GlossErrors(gloss, training_counts[gloss], signed[gloss], substituted[gloss], deleted[gloss], wrongly)
        for gloss, wrongly in ((gloss, read_wrongly[gloss]) for gloss in signed.keys() | read_wrongly.keys())
    ]
    return sorted(rows, key=lambda row: (-row.substituted - row.deleted, -row.read_wrongly, row.gloss))


def group_by_frequency(by_gloss: Sequence[GlossErrors], references: Sequence[Sequence[str]]) -> list[GroupErrors]:
    """Sum up the glosses that training shows equally often."""
    groups: dict[int, list[GlossErrors]] = defaultdict(list)
    for row in by_gloss:
        if row.signed:
            groups[bin_of(row.training_count, FREQUENCY_EDGES)].append(row)
    result = []
    for group, rows in sorted(groups.items()):
        glosses = {row.gloss for row in rows}
        clips = sum(not glosses.isdisjoint(reference) for reference in references)
        missed = sum(row.substituted + row.deleted for row in rows)
        name = f"{range_name(group, FREQUENCY_EDGES)} x in training"
        result.append(GroupErrors(name, clips, sum(row.signed for row in rows), missed))
    return result


def count_by_group(
    groups: Sequence[Hashable], references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]
) -> list[GroupErrors]:
    """Score the clips of each group by themselves, groups in order."""
    clips: dict = defaultdict(list)
    for group, *pair in zip(groups, references, hypotheses, strict=True):
        clips[group].append(pair)
    result = []
    for group, pairs in sorted(clips.items()):
        glosses = sum(len(reference) for reference, _ in pairs)
        errors = sum(signed != read for pair in pairs for signed, read in align(*pair))
        result.append(GroupErrors(str(group), len(pairs), glosses, errors))
    return result


def bin_of(value: int, edges: Sequence[int]) -> int:
    """Return the index of the last edge that is not above the value."""
    return sum(value >= edge for edge in edges) - 1


def range_name(group: int, edges: Sequence[int]) -> str:
    """Return the values of a bin in words: `0`, `1-4`, `100+`."""
    first = edges[group]
    if group + 1 == len(edges):
        return f"{first}+"
    last = edges[group + 1] - 1
    return str(first) if first == last else f"{first}-{last}"


def write_breakdown(breakdown: Breakdown, folder: Path) -> None:
    """Write the tables as `by_gloss.csv`, `by_frequency.csv`, `by_signer.csv` and `by_length.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("by_gloss", "by_frequency", "by_signer", "by_length"):
        rows = getattr(breakdown, name)
        columns = [field.name for field in fields(GlossErrors if name == "by_gloss" else GroupErrors)]
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([getattr(row, column) for column in columns] for row in rows)
