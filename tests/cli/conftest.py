"""A rendered corpus of a few clips, an untrained model that reads something in them, and the command itself."""

from dataclasses import dataclass

import pytest
import torch

from adaptsign_hf.cli import main
from adaptsign_hf.data.synthetic import LEXICON, SyntheticCorpusConfig, render_corpus
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import ModelConfig

TINY_CORPUS = SyntheticCorpusConfig(
    num_train=1, num_dev=0, num_test=3, num_test_signer=0, max_glosses=3, frame_size=32, fps=6.0
)
TINY_MODEL = ModelConfig(
    image_size=32, patch_size=16, vision_width=16, vision_layers=1, vision_heads=2, feature_size=16, hidden_size=16
)


@dataclass
class Result:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def adaptsign(monkeypatch, capfd):
    """Run the `adaptsign` command within this process, its handling of mistakes included."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["adaptsign", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capfd.readouterr()
        return Result(exit_.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def corpus(tmp_path):
    return render_corpus(tmp_path / "corpus", TINY_CORPUS, num_processes=1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    for part in build_model_and_processor(TINY_MODEL, list(LEXICON)[::2], fps=None):
        part.save_pretrained(folder)
    return folder
