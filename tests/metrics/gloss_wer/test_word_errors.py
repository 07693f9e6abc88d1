from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from adaptsign_hf.metrics.gloss_wer.word_errors import WordErrors, align, count_clip_errors, count_word_errors

SENTENCE = st.lists(st.sampled_from(["RAIN", "SUN", "FOG", "WIND"]), max_size=9)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=4).filter(lambda pairs: any(r for r, _ in pairs))


@given(SENTENCE, SENTENCE)
def test_an_alignment_is_made_of_both_sides(reference, hypothesis):
    pairs = align(reference, hypothesis)
    assert [signed for signed, _ in pairs if signed is not None] == reference
    assert [read for _, read in pairs if read is not None] == hypothesis
    assert (None, None) not in pairs


@given(SENTENCE, SENTENCE)
def test_no_alignment_is_cheaper(reference, hypothesis):
    errors = count_clip_errors(reference, hypothesis)
    cost = 4 * errors.substitutions + 3 * (errors.deletions + errors.insertions)
    assert cost == Levenshtein.distance(reference, hypothesis, weights=(3, 3, 4))


def sclite_by_its_definition(reference, hypothesis):
    """Cost and substitutions, deletions, insertions, by the recursion, in the order in which sclite compares."""

    @cache
    def best(i, j):
        if i == j == 0:
            return 0, (0, 0, 0)
        ways = []
        if i and j:
            cost, (substitutions, deletions, insertions) = best(i - 1, j - 1)
            wrong = reference[i - 1] != hypothesis[j - 1]
            ways.append((cost + 4 * wrong, (substitutions + wrong, deletions, insertions)))
        if j:
            cost, (substitutions, deletions, insertions) = best(i, j - 1)
            ways.append((cost + 3, (substitutions, deletions, insertions + 1)))
        if i:
            cost, (substitutions, deletions, insertions) = best(i - 1, j)
            ways.append((cost + 3, (substitutions, deletions + 1, insertions)))
        return min(ways, key=lambda way: way[0])  # the first of equally cheap ones

    return best(len(reference), len(hypothesis))[1]


@given(PAIRS)
def test_the_errors_are_those_of_the_definition(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    errors = count_word_errors(references, hypotheses)
    expected = [sum(kind) for kind in zip(*(sclite_by_its_definition(*pair) for pair in pairs), strict=True)]
    assert [errors.substitutions, errors.deletions, errors.insertions] == expected
    assert errors.errors == sum(expected)
    assert errors.reference_glosses == sum(map(len, references))
    assert errors.clips == len(pairs)
    # What is read too much is inserted, what is missing deleted.
    assert errors.insertions - errors.deletions == sum(map(len, hypotheses)) - sum(map(len, references))
    assert errors.wer == errors.errors / errors.reference_glosses


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("A B C", "C X Y", (3, 0, 0)),  # as cheap as two deletions and two insertions
        ("A B", "B A", (0, 1, 1)),  # two substitutions are dearer
        ("A C E F D", "F D G F", (0, 3, 2)),  # five errors, though four would do
        ("C F G D C", "D B C E A", (0, 3, 3)),
        ("B G B F B A", "F A C G E", (0, 4, 3)),
    ],
)
def test_what_sclite_itself_counts(reference, hypothesis, counts):
    """Recorded from sclite 2.10."""
    errors = count_clip_errors(reference.split(), hypothesis.split())
    assert (errors.substitutions, errors.deletions, errors.insertions) == counts


@given(st.lists(SENTENCE, min_size=1).filter(any))
def test_what_is_read_right_has_no_error(sentences):
    assert count_word_errors(sentences, sentences).errors == 0
    assert count_word_errors(sentences, sentences).wer == 0


@given(st.lists(SENTENCE, min_size=1).filter(any))
def test_nothing_read_is_all_deletions(sentences):
    errors = count_word_errors(sentences, [[] for _ in sentences])
    assert (errors.substitutions, errors.deletions, errors.insertions) == (0, sum(map(len, sentences)), 0)
    assert errors.wer == 1


@given(PAIRS)
def test_exchanged_sides_cost_the_same(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    if any(hypotheses):
        errors, exchanged = count_word_errors(references, hypotheses), count_word_errors(hypotheses, references)
        # Not the same number of errors: three substitutions and an insertion cost as much as five gaps.
        costs = [4 * count.substitutions + 3 * (count.deletions + count.insertions) for count in (errors, exchanged)]
        assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("A B C", "A X C", (1, 0, 0)),
        ("A B C", "A C", (0, 1, 0)),
        ("A B C", "A B B C", (0, 0, 1)),
        ("A B C", "X Y Z W", (3, 0, 1)),
        ("", "A", (0, 0, 1)),
    ],
)
def test_worked_cases(reference, hypothesis, counts):
    errors = count_word_errors([reference.split(), ["A"]], [hypothesis.split(), ["A"]])
    assert (errors.substitutions, errors.deletions, errors.insertions) == counts


def test_glosses_are_compared_whole():
    assert count_word_errors([["RAIN"]], [["RAIN2"]]).substitutions == 1
    assert count_word_errors([["RAIN"]], [["rain"]]).substitutions == 1


def test_the_rate_is_over_all_glosses_not_over_clips():
    assert count_word_errors([["A"], ["A", "B", "C"]], [["X"], ["A", "B", "C"]]).wer == 0.25


def test_the_rate_can_exceed_one():
    assert count_word_errors([["A"]], [["X", "Y", "Z"]]).wer == 3


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="2 hypotheses against 1 references"):
        count_word_errors([["A"]], [["A"], ["B"]])


@pytest.mark.parametrize("references", [[], [[]], [[], []]])
def test_references_without_a_gloss_are_refused(references):
    with pytest.raises(ValueError, match="at least one reference gloss"):
        count_word_errors(references, [["A"] for _ in references])


def test_the_line_tells_rate_kinds_and_numbers():
    line = str(WordErrors(substitutions=1, deletions=2, insertions=3, reference_glosses=40, clips=5))
    assert line == "WER 15.00 % (1 substitutions, 2 deletions, 3 insertions; 40 glosses in 5 clips)"
