"""The beam search finds what a sum over all paths finds."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch

from adaptsign_hf.modeling.beam_search_adaptsign import Hypothesis, beam_search
from adaptsign_hf.modeling.tokenization_adaptsign import collapse_ctc

ALL = 400  # more beams than there are sequences


def sum_over_all_paths(log_probs):
    """Each sequence's probability: of one clip, (steps, classes), blank 0."""
    probabilities = defaultdict(float)
    steps, classes = log_probs.shape
    table = log_probs.double().exp().tolist()
    for path in itertools.product(range(classes), repeat=steps):
        probability = 1.0
        for step, token in enumerate(path):
            probability *= table[step][token]
        probabilities[tuple(collapse_ctc(path))] += probability
    return {ids: float(np.log(probability)) for ids, probability in probabilities.items() if probability}


def random_log_probs(seed):
    """One to four clips of one to five steps and two to four classes: sharp, flat, with -inf, tied."""
    generator = np.random.default_rng(seed)
    shape = (generator.integers(1, 5), generator.integers(1, 6), generator.integers(2, 5))
    logits = torch.from_numpy(generator.normal(scale=generator.choice([0.3, 2, 8]), size=shape)).float()
    kind = seed % 5
    if kind == 1:
        logits[torch.from_numpy(generator.random(shape) < 0.3)] = -torch.inf
        logits[..., 0] = logits[..., 0].clamp(min=-5)  # not all of them
    if kind == 2:
        logits[..., generator.integers(shape[2])] = -torch.inf  # a class that never comes
    if kind == 3:
        logits = logits.round() * 0  # everything tied
    if kind == 4:
        logits = logits.sign()  # much tied
    lengths = generator.integers(1, shape[1] + 1, shape[0])
    return logits.log_softmax(-1), lengths


@pytest.mark.parametrize("seeds", [range(start, start + 30) for start in range(0, 300, 30)], ids=str)
def test_with_beams_enough_it_is_exact(seeds):
    for seed in seeds:
        log_probs, lengths = random_log_probs(seed)
        found = beam_search(log_probs, lengths, num_beams=ALL, n_best=ALL)
        for clip, length, hypotheses in zip(log_probs, lengths, found, strict=True):
            expected = sum_over_all_paths(clip[:length])
            assert len(hypotheses) == len(expected), seed
            assert {hypothesis.ids for hypothesis in hypotheses} == expected.keys(), seed
            for hypothesis in hypotheses:
                assert hypothesis.log_probability == pytest.approx(expected[hypothesis.ids], abs=1e-5), seed
            ranked = [hypothesis.log_probability for hypothesis in hypotheses]
            assert ranked == sorted(ranked, reverse=True)


def slow_search(log_probs, num_beams):
    """The textbook's prefix beam search of one clip, in dictionaries; probabilities ending in blank and in a gloss."""
    beams = {(): (1.0, 0.0)}
    for step in log_probs.double().exp().tolist():
        grown = defaultdict(lambda: [0.0, 0.0])
        for ids, (blank, gloss) in beams.items():
            grown[ids][0] += (blank + gloss) * step[0]
            if ids:
                grown[ids][1] += gloss * step[ids[-1]]
            for token in range(1, len(step)):
                grown[*ids, token][1] += (blank if ids and ids[-1] == token else blank + gloss) * step[token]
        beams = dict(sorted(grown.items(), key=lambda item: -sum(item[1]))[:num_beams])
    return [(ids, np.log(sum(pair))) for ids, pair in beams.items()]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("num_beams", [1, 2, 5])
def test_with_few_beams_it_is_the_textbooks(seed, num_beams):
    """Sequences are dropped and come back, and of 30 glosses only the best few are looked at."""
    generator = torch.Generator().manual_seed(seed)
    log_probs = (torch.randn(12, 31, generator=generator) * (1 + seed % 4)).log_softmax(-1)
    log_probs[:, 0] += seed % 3
    (found,) = beam_search(log_probs[None], num_beams=num_beams, n_best=num_beams)
    expected = slow_search(log_probs, num_beams)
    assert [hypothesis.ids for hypothesis in found] == [ids for ids, _ in expected]
    assert [hypothesis.log_probability for hypothesis in found] == pytest.approx([score for _, score in expected])


def test_a_sequence_may_beat_the_one_of_the_best_path():
    """Paths: blank blank 0.36, 1 blank + blank 1 + 1 1 together 0.64."""
    log_probs = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    assert beam_search(log_probs)[0][0].ids == (1,)
    assert beam_search(log_probs)[0][0].log_probability == pytest.approx(np.log(0.64))


def test_a_clip_gives_the_same_alone_and_in_a_batch():
    log_probs = (torch.randn(6, 40, 50, generator=torch.Generator().manual_seed(0)) * 3).log_softmax(-1)
    lengths = torch.tensor([40, 1, 13, 0, 39, 20])
    together = beam_search(log_probs, lengths, num_beams=5, n_best=5)
    for clip, length, hypotheses in zip(log_probs, lengths.tolist(), together, strict=True):
        assert beam_search(clip[None, :length], num_beams=5, n_best=5) == [hypotheses]
    assert together[3] == [Hypothesis((), 0.0)]


def test_what_follows_a_clip_is_not_looked_at():
    log_probs = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    disturbed = log_probs.clone()
    disturbed[0, 3:] = -torch.inf
    assert beam_search(log_probs, [3, 6]) == beam_search(disturbed, [3, 6])


def test_ties_are_in_the_order_of_their_ids():
    hypotheses = beam_search(torch.full((1, 1, 4), 0.25).log(), n_best=4)[0]
    assert [hypothesis.ids for hypothesis in hypotheses] == [(), (1,), (2,), (3,)]


def test_the_blank_may_be_another_class():
    log_probs = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    moved = log_probs[..., [1, 2, 3, 0]]
    expected = beam_search(log_probs, n_best=5)
    for one, other in zip(expected, beam_search(moved, n_best=5, blank_id=3), strict=True):
        assert [tuple(token - 1 for token in hypothesis.ids) for hypothesis in one] == [found.ids for found in other]


def test_where_nothing_is_possible_nothing_is_found():
    assert beam_search(torch.full((2, 3, 4), -torch.inf)) == [[], []]


def test_no_clips():
    assert beam_search(torch.zeros(0, 5, 4)) == []


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5, 4), {}, r"shape \(5, 4\)"),
        ((1, 5, 1), {}, "at least one gloss"),
        ((1, 5, 4), {"num_beams": 0}, "num_beams=0"),
        ((1, 5, 4), {"n_best": 0}, "n_best=0"),
        ((1, 5, 4), {"n_best": 11}, "n_best=11 of 10 beams"),
        ((1, 5, 4), {"blank_id": 4}, "blank_id=4"),
        ((2, 5, 4), {"lengths": [5]}, "lengths"),
        ((1, 5, 4), {"lengths": [6]}, "lengths"),
        ((1, 5, 4), {"lengths": [-1]}, "lengths"),
    ],
)
def test_refusals(shape, options, message):
    with pytest.raises(ValueError, match=message):
        beam_search(torch.zeros(shape), **options)


def test_a_broken_output_is_refused():
    log_probs = torch.zeros(1, 5, 4)
    log_probs[0, 2, 1] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        beam_search(log_probs)
