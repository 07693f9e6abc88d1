from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.metrics.word_errors import WordErrors, count_word_errors

SENTENCE = st.lists(st.sampled_from(["RAIN", "SUN", "FOG"]), max_size=6)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=4).filter(lambda pairs: any(r for r, _ in pairs))


def edit_distance(reference, hypothesis):
    """The recursion of the definition, without a table."""

    @cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(
            distance(i - 1, j) + 1,
            distance(i, j - 1) + 1,
            distance(i - 1, j - 1) + (reference[i - 1] != hypothesis[j - 1]),
        )

    return distance(len(reference), len(hypothesis))


@given(PAIRS)
def test_errors_are_the_edit_distances(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    errors = count_word_errors(references, hypotheses)
    assert errors.errors == sum(edit_distance(*pair) for pair in pairs)
    assert errors.reference_glosses == sum(map(len, references))
    assert errors.clips == len(pairs)
    # What is read too much is inserted, what is missing deleted.
    assert errors.insertions - errors.deletions == sum(map(len, hypotheses)) - sum(map(len, references))
    assert min(errors.substitutions, errors.deletions, errors.insertions) >= 0
    assert errors.wer == errors.errors / errors.reference_glosses


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
def test_exchanged_sides_exchange_deletions_and_insertions(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    if any(hypotheses):
        errors, exchanged = count_word_errors(references, hypotheses), count_word_errors(hypotheses, references)
        assert errors.errors == exchanged.errors


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
