"""Glosses to ids and back."""

from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptsign_hf.modeling.tokenization_adaptsign import BLANK, AdaptSignTokenizer, collapse_ctc

GLOSSES = ["S0NNE", "REGEN", "__ON__", "A+B+C", "loc-X", "A", "你好", "Ärger", "ﬁ", "A<blank>B", "SO", "[UNK]", "</s>"]

any_gloss = st.text(min_size=1, max_size=8).filter(lambda text: text.split() == [text] and text != BLANK)
any_glosses = st.lists(any_gloss, min_size=1, max_size=20, unique=True)


@pytest.fixture(scope="module")
def tokenizer():
    return AdaptSignTokenizer.from_glosses(GLOSSES)


# Vocabulary


def test_ids_follow_the_given_order_after_the_blank(tokenizer):
    assert tokenizer.convert_tokens_to_ids(GLOSSES) == list(range(1, len(GLOSSES) + 1))
    assert tokenizer.glosses == GLOSSES
    assert tokenizer.vocab_size == len(tokenizer) == len(GLOSSES) + 1


def test_the_blank_is_the_pad_token_and_the_only_special_one(tokenizer):
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<blank>", 0)
    assert tokenizer.all_special_tokens == ["<blank>"]
    assert tokenizer.unk_token is tokenizer.bos_token is tokenizer.eos_token is None


@pytest.mark.parametrize(
    ("glosses", "message"),
    [
        (["A", "B", "A"], "'A' is in the vocabulary twice"),
        (["A", ""], "'' is empty"),
        (["A B"], "'A B' is empty or holds white space"),
        ([" A"], "white space"),
        (["A\u3000B"], "white space"),
        (["<blank>"], "name of the CTC blank"),
    ],
)
def test_bad_vocabularies_are_refused(glosses, message):
    with pytest.raises(ValueError, match=message):
        AdaptSignTokenizer.from_glosses(glosses)


# Encoding


def test_every_gloss_is_one_id_and_nothing_is_added(tokenizer):
    assert tokenizer(" ".join(GLOSSES))["input_ids"] == list(range(1, len(GLOSSES) + 1))
    assert tokenizer("A  A\tSO\n")["input_ids"] == [6, 6, 11]
    assert tokenizer(["A", "SO A", ""])["input_ids"] == [[6], [11, 6], []]
    assert tokenizer.encode("SO") == [11]
    assert tokenizer.tokenize("SO A<blank>B") == ["SO", "A<blank>B"]


def test_padding_uses_the_blank(tokenizer):
    batch = tokenizer(["A SO", "A"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == [[6, 11], [6, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("A NACHT SO", "'NACHT'"),
        (["A", "X A", "Y X"], "'X', 'Y':"),
        ("a", "'a'"),
        ("S0NN", "'S0NN'"),
        ("fi", "'fi'"),  # not the ligature: nothing is normalised
        ("<blank>", "'<blank>'"),
        ("A\x1cA", r"'A\\x1cA'"),
    ],
)
def test_a_gloss_outside_the_vocabulary_is_named(tokenizer, text, named):
    with pytest.raises(ValueError, match=f"Cannot encode {named}"):
        tokenizer(text)


@settings(deadline=None, max_examples=60)
@given(any_glosses, st.data())
def test_any_glosses_round_trip(glosses, data):
    tokenizer = AdaptSignTokenizer.from_glosses(glosses)
    sentence = data.draw(st.lists(st.sampled_from(glosses), max_size=10))
    ids = tokenizer(" ".join(sentence))["input_ids"]
    assert ids == [glosses.index(gloss) + 1 for gloss in sentence]
    assert tokenizer.decode(ids, group_tokens=False) == " ".join(sentence)
    assert tokenizer.glosses == glosses


# Decoding


@given(st.lists(st.integers(0, 3), max_size=30))
def test_collapse_is_merge_then_drop(ids):
    merged = [key for key, _ in groupby(ids)]
    assert collapse_ctc(ids) == [token for token in merged if token != 0]


@given(st.lists(st.integers(1, 5), max_size=10))
def test_collapse_undoes_any_path_with_blanks_between(ids):
    path = [token for label in ids for token in (0, label, label)]
    assert collapse_ctc(path) == ids


def test_decode_collapses_a_path(tokenizer):
    assert tokenizer.decode([0, 6, 6, 0, 6, 11, 11, 0]) == "A A SO"
    assert tokenizer.decode([0, 0]) == ""
    assert tokenizer.decode([]) == ""
    assert tokenizer.batch_decode(torch.tensor([[6, 6, 0], [11, 0, 11]])) == ["A", "SO SO"]
    assert tokenizer.decode(np.array([6, 6])) == "A"


def test_labels_keep_repeats_and_lose_padding(tokenizer):
    assert tokenizer.decode([6, 6, 11, -100, -100], group_tokens=False) == "A A SO"
    labels = torch.tensor([[6, 6], [11, -100]])
    assert tokenizer.batch_decode(labels, group_tokens=False) == ["A A", "SO"]


def test_spaces_around_punctuation_are_not_cleaned_up():
    tokenizer = AdaptSignTokenizer.from_glosses(["A", ".", "n't", "?"])
    ids = tokenizer("A n't . ?")["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=True) == "A n't . ?"


@pytest.mark.parametrize("token", [len(GLOSSES) + 1, -1])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, token):
    with pytest.raises(ValueError, match=f"Cannot decode the id {token}"):
        tokenizer.decode([1, token])


# Saving


@settings(deadline=None, max_examples=20)
@given(any_glosses)
def test_save_and_load(tmp_path_factory, glosses):
    folder = tmp_path_factory.mktemp("tokenizer")
    AdaptSignTokenizer.from_glosses(glosses).save_pretrained(folder)
    loaded = AdaptSignTokenizer.from_pretrained(folder)
    assert loaded.glosses == glosses
    assert (loaded.pad_token_id, loaded.vocab_size, len(loaded)) == (0, len(glosses) + 1, len(glosses) + 1)
    assert loaded.all_special_tokens == ["<blank>"]
    text = " ".join(glosses)
    assert loaded.decode(loaded(text)["input_ids"]) == text
    with pytest.raises(ValueError, match="Cannot encode"):
        loaded(text + " " + text.replace(" ", "") + "!")
