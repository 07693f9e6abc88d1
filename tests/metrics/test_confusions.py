import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.metrics.confusions import Confusion, most_costly_confusions
from adaptsign_hf.metrics.gloss_wer.word_errors import count_word_errors

SENTENCE = st.lists(st.sampled_from(["RAIN", "SUN", "FOG"]), max_size=6)


def test_the_most_frequent_come_first():
    references = ["RAIN SUN", "RAIN FOG", "SUN WIND", "FOG", "SUN"]
    hypotheses = ["SNOW SUN", "SNOW FOG", "SUN", "FOG RAIN", "SUN"]
    confusions = most_costly_confusions([text.split() for text in references], [text.split() for text in hypotheses])
    assert confusions == [Confusion("RAIN", "SNOW", 2), Confusion(None, "RAIN", 1), Confusion("WIND", None, 1)]
    assert [*map(str, confusions)] == ["2 x RAIN read as SNOW", "1 x RAIN read, nothing signed", "1 x WIND not read"]


def test_their_number_can_be_limited():
    references, hypotheses = [["A", "B", "C"]], [["X", "Y", "Z"]]
    assert len(most_costly_confusions(references, hypotheses, limit=2)) == 2
    assert most_costly_confusions(references, references) == []


@given(st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1).filter(lambda pairs: any(r for r, _ in pairs)))
def test_all_together_they_are_the_errors(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    confusions = most_costly_confusions(references, hypotheses)
    errors = count_word_errors(references, hypotheses)
    assert sum(confusion.count for confusion in confusions) == errors.errors
    assert sum(confusion.count for confusion in confusions if confusion.read is None) == errors.deletions
    assert sum(confusion.count for confusion in confusions if confusion.signed is None) == errors.insertions


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="2 hypotheses with 1 references"):
        most_costly_confusions([["A"]], [["A"], ["B"]])
