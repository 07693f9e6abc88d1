from collections import Counter
from itertools import pairwise

import pytest

from adaptsign_hf.data.synthetic import LEXICON, SPLITS, TRAIN_SIGNERS, UNSEEN_SIGNERS, SyntheticCorpusConfig
from adaptsign_hf.data.synthetic.sentences import draw_clip, split_of


def clips(split, number, **fields):
    config = SyntheticCorpusConfig(**fields)
    return [draw_clip(config, split, index) for index in range(number)]


def test_no_sentence_is_in_two_splits():
    sentences = {split: {clip.glosses for clip in clips(split, 150)} for split in SPLITS}
    for split in SPLITS:
        others = set().union(*(sentences[other] for other in SPLITS if other != split))
        assert not sentences[split] & others
        assert all(split_of(sentence) == split for sentence in sentences[split])


def test_splits_have_the_promised_signers():
    for split in ("train", "dev", "test"):
        assert {clip.signer for clip in clips(split, 10)} == set(TRAIN_SIGNERS)
    assert {clip.signer for clip in clips("test_signer", 3)} == set(UNSEEN_SIGNERS)
    assert not {signer.name for signer in TRAIN_SIGNERS} & {signer.name for signer in UNSEEN_SIGNERS}


@pytest.mark.parametrize("seed", range(3))
def test_fifteen_clips_contain_every_gloss(seed):
    assert {gloss for clip in clips("train", 15, seed=seed) for gloss in clip.glosses} == set(LEXICON)


def test_glosses_are_about_equally_frequent_and_rarely_repeated():
    sentences = [clip.glosses for clip in clips("train", 400)]
    counts = Counter(gloss for sentence in sentences for gloss in sentence)
    assert max(counts.values()) < 1.6 * min(counts.values())
    neighbours = [a == b for sentence in sentences for a, b in pairwise(sentence)]
    assert 0.005 < sum(neighbours) / len(neighbours) < 0.05


def test_lengths_are_those_of_the_configuration():
    lengths = {len(clip.glosses) for clip in clips("train", 60, min_glosses=4, max_glosses=6)}
    assert lengths == {4, 5, 6}


def test_clip_depends_on_seed_split_and_index_alone():
    assert clips("dev", 5) == clips("dev", 9, num_train=7)[:5]
    assert clips("dev", 5) != clips("dev", 5, seed=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", -1), ("num_dev", -1), ("min_glosses", 2), ("max_glosses", 2), ("frame_size", 65), ("fps", 0)],
)
def test_impossible_configuration_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        SyntheticCorpusConfig(**{field: value})
