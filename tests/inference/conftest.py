"""A rendered corpus of a few clips, and an untrained model that reads something in them."""

import pytest

from adaptsign_hf.data.folder import read_folder
from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus

from ..reading_models import make_reading_model

TINY_CORPUS = SyntheticCorpusConfig(
    num_train=1, num_dev=0, num_test=4, num_test_signer=0, max_glosses=3, frame_size=32, fps=6.0
)


@pytest.fixture
def corpus(tmp_path):
    return render_corpus(tmp_path / "corpus", TINY_CORPUS, num_processes=1)


@pytest.fixture(scope="session")
def model_and_processor(tmp_path_factory):
    clips = read_folder(render_corpus(tmp_path_factory.mktemp("corpus"), TINY_CORPUS, num_processes=1))[0]
    return make_reading_model([clip.path for clip in clips])


@pytest.fixture(scope="session")
def model_folder(model_and_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in model_and_processor:
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def clips(corpus):
    return read_folder(corpus)[0]
