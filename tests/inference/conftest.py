"""A rendered corpus of a few clips, and an untrained model that reads something in them."""

import pytest
import torch

from adaptsign_hf.data.folder import read_folder
from adaptsign_hf.data.synthetic import LEXICON, SyntheticCorpusConfig, render_corpus
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import ModelConfig

TINY_CORPUS = SyntheticCorpusConfig(
    num_train=1, num_dev=0, num_test=4, num_test_signer=0, max_glosses=3, frame_size=32, fps=6.0
)
TINY_MODEL = ModelConfig(
    image_size=32, patch_size=16, vision_width=16, vision_layers=1, vision_heads=2, feature_size=16, hidden_size=16
)


@pytest.fixture
def corpus(tmp_path):
    return render_corpus(tmp_path / "corpus", TINY_CORPUS, num_processes=1)


@pytest.fixture(scope="session")
def model_and_processor(tmp_path_factory):
    torch.manual_seed(0)
    model, processor = build_model_and_processor(TINY_MODEL, list(LEXICON)[::2], fps=None)
    # With BatchNorm's statistics of these clips, and large weights in the BiLSTM, it reads something else each step.
    clips = read_folder(render_corpus(tmp_path_factory.mktemp("corpus"), TINY_CORPUS, num_processes=1))[0]
    with torch.no_grad():
        for block in model.convolutions.blocks:
            block.batch_norm.momentum = None
        for weights in model.bilstm.parameters():
            weights *= 5
        model.train()(**processor(videos=[clip.path for clip in clips]))
    return model.eval(), processor


@pytest.fixture(scope="session")
def model_folder(model_and_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in model_and_processor:
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def clips(corpus):
    return read_folder(corpus)[0]
