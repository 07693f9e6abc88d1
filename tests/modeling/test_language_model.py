"""Beam search with a language model, by pyctcdecode and kenlm."""

import copy
import gc
import itertools
import math
import pickle
import sys

import numpy as np
import pytest
import torch
from transformers.dynamic_module_utils import get_imports

from adaptsign_hf.decoding.ngram import estimate_ngrams, write_arpa
from adaptsign_hf.modeling import language_model_adaptsign
from adaptsign_hf.modeling.beam_search_adaptsign import beam_search
from adaptsign_hf.modeling.language_model_adaptsign import GlossLanguageModel
from adaptsign_hf.modeling.tokenization_adaptsign import collapse_ctc

kenlm = pytest.importorskip("kenlm")
decoder_module = pytest.importorskip("pyctcdecode.decoder")

# Names that mean something to pyctcdecode or kenlm, and one that the language model does not know.
GLOSSES = ["SUN", "REGEN▁", "##X", "[unk]", "天气", "▁", "</s>", "UNSEEN"]
SENTENCES = [["SUN", "REGEN▁"], ["SUN", "REGEN▁", "天气"], ["##X", "[unk]"], ["▁", "SUN", "REGEN▁"], ["天气", "天气"]]


@pytest.fixture
def arpa(tmp_path):
    path = tmp_path / "model.arpa"
    write_arpa(estimate_ngrams(SENTENCES, order=2), path)
    return path


@pytest.fixture
def model(arpa):
    return GlossLanguageModel(arpa, GLOSSES)


def random_log_probs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def test_a_sentence_is_scored_by_paths_language_model_and_bonus(model, arpa):
    """Against the sum over all paths, and kenlm's own score of the sentence; flat steps, so that nothing is pruned."""
    log_probs = random_log_probs(1, 3, 9) * 0.2
    log_probs = log_probs.log_softmax(-1)
    paths = {}
    for path in itertools.product(range(9), repeat=3):
        ids = tuple(collapse_ctc(path))
        probability = math.exp(sum(float(log_probs[0, step, token]) for step, token in enumerate(path)))
        paths[ids] = paths.get(ids, 0) + probability
    (found,) = model.search(log_probs, num_beams=1000, n_best=1000, weight=0.7, gloss_bonus=0.3)
    assert len(found) == len(paths)
    loaded = kenlm.Model(str(arpa))
    for hypothesis in found:
        words = [GLOSSES[token - 1] for token in hypothesis.ids]
        words = ["FOREIGN" if word in ("</s>", "UNSEEN") else word for word in words]  # as unknown as any other
        expected = math.log(paths[hypothesis.ids]) + 0.3 * len(words)
        expected += 0.7 * math.log(10) * loaded.score(" ".join(words))
        assert hypothesis.log_probability == pytest.approx(expected, abs=1e-4), words
    scores = [hypothesis.log_probability for hypothesis in found]
    assert scores == sorted(scores, reverse=True)


def test_with_no_weight_it_is_the_beam_search(model):
    log_probs = random_log_probs(1, 4, 9) * 0.2
    log_probs = log_probs.log_softmax(-1)
    (theirs,) = model.search(log_probs, num_beams=5000, n_best=20, weight=0.0)
    (ours,) = beam_search(log_probs, num_beams=5000, n_best=20)
    assert [hypothesis.ids for hypothesis in theirs] == [hypothesis.ids for hypothesis in ours]
    for one, other in zip(theirs, ours, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)


def test_the_language_model_decides_what_the_logits_leave_open(model):
    """After SUN, the logits like UNSEEN a little more than REGEN▁; the language model knows better."""
    logits = torch.full((1, 3, 9), -5.0)
    logits[0, 0, 1], logits[0, 1, 0], logits[0, 2, 8], logits[0, 2, 2] = 5.0, 5.0, 5.0, 4.8
    log_probs = logits.log_softmax(-1)
    assert model.search(log_probs, weight=0.0)[0][0].ids == (1, 8)
    assert model.search(log_probs, weight=0.5)[0][0].ids == (1, 2)


def test_a_bonus_makes_sentences_longer(model):
    log_probs = random_log_probs(1, 12, 9)
    lengths = [len(model.search(log_probs, weight=0.5, gloss_bonus=bonus)[0][0].ids) for bonus in (-8.0, 0.0, 8.0)]
    assert lengths[0] < lengths[1] < lengths[2]


def test_lengths_and_empty_clips(model):
    log_probs = random_log_probs(3, 10, 9)
    found = model.search(log_probs, torch.tensor([10, 4, 0]), n_best=3)
    assert found[1] == model.search(log_probs[1:2, :4], n_best=3)[0]
    (nothing,) = found[2]
    assert nothing.ids == ()
    assert math.isfinite(nothing.log_probability)


def test_copies_and_pickles_decode_the_same(model):
    log_probs = random_log_probs(1, 10, 9)
    expected = model.search(log_probs)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert "_scorer" not in vars(other)
        assert other.search(log_probs) == expected


def test_it_leaves_nothing_behind(arpa):
    container = decoder_module.BeamSearchDecoderCTC.model_container
    before = len(container)
    model = GlossLanguageModel(arpa, GLOSSES)
    model.search(random_log_probs(1, 2, 9))
    assert len(container) == before + 1
    del model
    gc.collect()
    assert len(container) == before


def test_it_is_quiet(model, capfd, caplog):
    model.search(random_log_probs(1, 5, 9))
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")


@pytest.mark.parametrize("missing", ["kenlm", "pyctcdecode"])
def test_without_the_extra_it_is_named(model, monkeypatch, missing):
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=r'pip install "adaptsign-hf\[lm\]"'):
        model.search(random_log_probs(1, 5, 9))


def test_remote_code_does_not_ask_for_the_extra():
    assert not {"kenlm", "pyctcdecode"} & set(get_imports(language_model_adaptsign.__file__))


def test_files_that_are_no_language_model(tmp_path):
    log_probs = random_log_probs(1, 5, 9)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.arpa"):
        GlossLanguageModel(tmp_path / "nowhere.arpa", GLOSSES).search(log_probs)
    (tmp_path / "broken.arpa").write_text("\\data\\\nngram 1=many\n")
    with pytest.raises(ValueError, match=r"broken\.arpa: kenlm cannot read it"):
        GlossLanguageModel(tmp_path / "broken.arpa", GLOSSES).search(log_probs)


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [(torch.zeros(1, 5, 8), r"shape \(1, 5, 8\)"), (torch.full((1, 5, 9), np.nan), "NaN")],
)
def test_refusals(model, log_probs, message):
    with pytest.raises(ValueError, match=message):
        model.search(log_probs)
