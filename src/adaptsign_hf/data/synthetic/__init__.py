"""A signing corpus that the project renders itself, the default data of demonstrations and tests.

A drawn signer performs sentences over thirty invented signs (`lexicon.py`). `render_corpus` writes the corpus;
`render_sentence` renders a single sentence in memory.
"""

from adaptsign_hf.data.synthetic.config import SyntheticCorpusConfig
from adaptsign_hf.data.synthetic.corpus import render_corpus
from adaptsign_hf.data.synthetic.lexicon import LEXICON, minimal_pairs
from adaptsign_hf.data.synthetic.motion import SignTiming
from adaptsign_hf.data.synthetic.rendering import RenderedSentence, render_sentence
from adaptsign_hf.data.synthetic.sentences import SPLITS
from adaptsign_hf.data.synthetic.signers import SIGNERS, TRAIN_SIGNERS, UNSEEN_SIGNERS, Signer

__all__ = [
    "LEXICON",
    "SIGNERS",
    "SPLITS",
    "TRAIN_SIGNERS",
    "UNSEEN_SIGNERS",
    "RenderedSentence",
    "SignTiming",
    "Signer",
    "SyntheticCorpusConfig",
    "minimal_pairs",
    "render_corpus",
    "render_sentence",
]
