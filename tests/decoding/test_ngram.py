"""The n-gram model: its numbers by hand, and what kenlm makes of the file."""

import math
import random

import pytest

from adaptsign_hf.decoding.ngram import FALLBACK_DISCOUNTS, estimate_ngrams, write_arpa

kenlm = pytest.importorskip("kenlm")

GLOSSES = [f"G{index}" for index in range(12)]


def draw_sentences(count, seed=0):
    """Sentences in which a gloss is often followed by the next one, and some glosses are rare."""
    generator = random.Random(seed)
    sentences = []
    for _ in range(count):
        index = generator.randrange(12)
        sentence = []
        for _ in range(generator.randint(1, 7)):
            sentence.append(GLOSSES[index])
            index = (index + 1) % 12 if generator.random() < 0.6 else min(generator.randrange(12), index)
        sentences.append(sentence)
    return sentences


def load(model, tmp_path):
    write_arpa(model, tmp_path / "model.arpa")
    return kenlm.Model(str(tmp_path / "model.arpa"))


def kenlm_probability(loaded, gloss, history):
    """P(gloss | history), after `<s>` if the history begins with it."""
    state, after = kenlm.State(), kenlm.State()
    if history[:1] == ["<s>"]:
        loaded.BeginSentenceWrite(state)
    else:
        loaded.NullContextWrite(state)
    for word in history[history[:1] == ["<s>"] :]:
        loaded.BaseScore(state, word, after)
        state, after = after, kenlm.State()
    return 10 ** loaded.BaseScore(state, gloss, after)


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 3, 200])
def test_after_every_history_the_probabilities_sum_to_one(order, count, tmp_path):
    sentences = draw_sentences(count)
    model = estimate_ngrams(sentences, order, vocabulary=[*GLOSSES, "UNSEEN"])
    loaded = load(model, tmp_path)
    assert loaded.order == order
    histories = [[], ["<s>"], ["UNSEEN"], ["G1", "UNSEEN", "G2"]]
    histories += [["<s>", *sentence[:length]] for sentence in sentences[:10] for length in range(len(sentence) + 1)]
    for history in histories:
        distribution = [kenlm_probability(loaded, gloss, history) for gloss in [*GLOSSES, "UNSEEN", "</s>", "<unk>"]]
        assert sum(distribution) == pytest.approx(1, abs=1e-5), history
        assert min(distribution) > 0
        # What the model says of itself is what kenlm reads in its file.
        ours = [model.probability(gloss, history) for gloss in [*GLOSSES, "UNSEEN", "</s>", "<unk>"]]
        assert ours == pytest.approx(distribution, rel=1e-5), history


def test_a_small_case_by_hand():
    """
    Sentences `A B`, `A A`. Bigrams: <s>A 2, AB 1, B</s> 1, AA 1, A</s> 1. Unigrams by the number of different glosses
    before them: A 2 (<s>, A), B 1 (A), </s> 2 (A, B); five in all. Too small to estimate discounts: 0.5, 1, 1.5.
    """
    model = estimate_ngrams([["A", "B"], ["A", "A"]], order=2)
    assert model.discounts == [FALLBACK_DISCOUNTS, FALLBACK_DISCOUNTS]
    uniform = 1 / 4  # A, B, </s>, <unk>
    left = (1 + 0.5 + 1) / 5
    unigrams = {"A": 1 / 5 + left * uniform, "B": 0.5 / 5 + left * uniform, "</s>": 1 / 5 + left * uniform}
    for gloss, probability in unigrams.items():
        assert model.probabilities[(gloss,)] == pytest.approx(probability)
    assert model.probabilities[("<unk>",)] == pytest.approx(left * uniform)
    # After A come A, B and </s>, each once; after <s> only A, twice; after B only </s>, once.
    assert model.backoffs == pytest.approx({("A",): 3 * 0.5 / 3, ("<s>",): 1 / 2, ("B",): 0.5 / 1})
    assert model.probabilities["A", "B"] == pytest.approx(0.5 / 3 + 0.5 * unigrams["B"])
    assert model.probabilities["<s>", "A"] == pytest.approx((2 - 1) / 2 + 0.5 * unigrams["A"])
    assert model.probability("B", ["<s>"]) == pytest.approx(0.5 * unigrams["B"])
    assert model.count_ngrams() == [5, 5]


def test_discounts_are_those_of_chen_and_goodman():
    """Of the bigrams, 8 come once, 6 twice, 4 three times and 2 four times: each gloss begins and ends a sentence."""
    counts = {"A": 1, "B": 1, "C": 1, "D": 1, "E": 2, "F": 2, "G": 2, "H": 3, "I": 3, "J": 4}
    model = estimate_ngrams([[gloss] for gloss, count in counts.items() for _ in range(count)], order=2)
    share = 4 / (4 + 2 * 3)
    expected = (1 - 2 * share * 3 / 4, 2 - 3 * share * 2 / 3, 3 - 4 * share * 1 / 2)
    assert model.discounts == [FALLBACK_DISCOUNTS, pytest.approx(expected)]


def test_kenlm_scores_sentences_as_the_model_does(tmp_path):
    model = estimate_ngrams(draw_sentences(100), order=3)
    loaded = load(model, tmp_path)
    unseen = draw_sentences(20, seed=1)
    logarithm = sum(loaded.score(" ".join(sentence)) for sentence in unseen)
    count = sum(len(sentence) + 1 for sentence in unseen)
    assert model.perplexity(unseen) == pytest.approx(10 ** (-logarithm / count), rel=1e-4)
    assert model.perplexity(unseen) < 10  # of 13 glosses and ends: it learnt something
    assert model.perplexity(draw_sentences(100)) < model.perplexity(unseen)


def test_the_vocabulary_is_closed_and_the_unknown_is_possible(tmp_path):
    loaded = load(estimate_ngrams([["A", "B"]], vocabulary=["A", "B", "NEVER", "SEEN"]), tmp_path)
    assert "NEVER" in loaded
    assert "FOREIGN" not in loaded
    assert math.isfinite(loaded.score("FOREIGN NEVER"))
    assert kenlm_probability(loaded, "NEVER", ["A"]) == pytest.approx(kenlm_probability(loaded, "SEEN", ["A"]))


def test_glosses_of_any_script(tmp_path):
    glosses = ["ПОГОДА", "天气", "▁X▁", "[pad]", "##A", "\\data\\", "ngram", "🤟"]
    loaded = load(estimate_ngrams([glosses, glosses[::-1]]), tmp_path)
    assert all(gloss in loaded for gloss in glosses)


@pytest.mark.parametrize(
    ("sentences", "options", "message"),
    [
        ([], {}, "no gloss"),
        ([[]], {}, "no gloss"),
        ([["A"]], {"order": 1}, "order 1"),
        ([["A"]], {"order": 7}, "order 7"),
        ([["A B"]], {}, "'A B'"),
        ([["</s>"]], {}, "'</s>'"),
        ([["A"]], {"vocabulary": ["<unk>"]}, "'<unk>'"),
    ],
)
def test_refusals(sentences, options, message):
    with pytest.raises(ValueError, match=message):
        estimate_ngrams(sentences, **options)
