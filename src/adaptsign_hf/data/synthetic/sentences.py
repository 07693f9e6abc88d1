"""Which sentence is signed by whom in each clip of the corpus.

No list of sentences exists: each clip draws its own from `(seed, split, index)`. A sentence belongs to one split for
good, by a hash of its glosses, and a clip draws until it hits a sentence of its own split. So the splits never share
a sentence, however large they are made and in whatever order they are rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

import numpy as np

from adaptsign_hf.data.synthetic.config import SyntheticCorpusConfig
from adaptsign_hf.data.synthetic.lexicon import LEXICON
from adaptsign_hf.data.synthetic.signers import TRAIN_SIGNERS, UNSEEN_SIGNERS, Signer

SPLITS = ("train", "dev", "test", "test_signer")

# Of ten sentences, seven belong to train and one to each other split.
_SPLIT_OF_HASH = ("train",) * 7 + SPLITS[1:]
# What a random stream is for; part of its seed, so that no two streams are the same.
_SIGNERS, _DEALT_GLOSSES, _SENTENCE, _RENDERING = range(4)

# Two glosses of each sentence go round the whole lexicon, so that any 15 clips contain every gloss.
_NUM_DEALT = 2

Item = TypeVar("Item")


@dataclass(frozen=True)
class Clip:
    """One clip of the corpus before it is rendered."""

    split: str
    index: int
    glosses: tuple[str, ...]
    signer: Signer

    @property
    def file_name(self) -> str:
        """Path of the video relative to the folder of the corpus."""
        # A bare split name between separators would make `datasets` split by file name and ignore `metadata.csv`.
        return f"videos/{self.split.replace('_', '')}set_{self.index:05d}.mp4"


def split_of(glosses: Sequence[str]) -> str:
    """The split to which the sentence belongs, in every corpus of every seed."""
    return _SPLIT_OF_HASH[sha256(" ".join(glosses).encode()).digest()[0] % len(_SPLIT_OF_HASH)]


def clip_seed(config: SyntheticCorpusConfig, split: str, index: int) -> list[int]:
    """Seed of everything that is random in the rendering of one clip."""
    return [config.seed, SPLITS.index(split), _RENDERING, index]


def _deal(items: Sequence[Item], position: int, seed: list[int]) -> Item:
    """Item at `position` of an endless deal that gives out all items before any comes again."""
    deal, card = divmod(position, len(items))
    return items[np.random.default_rng([*seed, deal]).permutation(len(items))[card]]


def draw_clip(config: SyntheticCorpusConfig, split: str, index: int) -> Clip:
    """Sentence and signer of the clip number `index` of the split."""
    number = SPLITS.index(split)
    signers = UNSEEN_SIGNERS if split == "test_signer" else TRAIN_SIGNERS
    signer = _deal(signers, index, [config.seed, number, _SIGNERS])
    glosses = list(LEXICON)
    dealt = [_deal(glosses, _NUM_DEALT * index + i, [config.seed, number, _DEALT_GLOSSES]) for i in range(_NUM_DEALT)]
    rng = np.random.default_rng([config.seed, number, _SENTENCE, index])
    # Glosses are drawn with replacement, so about two of a hundred neighbours are equal.
    while True:
        length = rng.integers(config.min_glosses, config.max_glosses + 1)
        sentence = [*dealt, *rng.choice(glosses, length - len(dealt))]
        rng.shuffle(sentence)
        if split_of(sentence) == split:
            return Clip(split, index, tuple(str(gloss) for gloss in sentence), signer)
