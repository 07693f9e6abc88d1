"""A rendered corpus of a dozen clips, and runs on it that take seconds."""

import pytest
from accelerate.state import AcceleratorState, GradientState

from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus
from adaptsign_hf.training.configuration import parse_training_config
from adaptsign_hf.training.run import train

TINY_CORPUS = SyntheticCorpusConfig(
    num_train=6, num_dev=3, num_test=2, num_test_signer=1, max_glosses=3, frame_size=32, fps=6.0
)
TINY_RUN = {
    "test_splits": ["test", "test_signer"],
    "min_frames": 8,
    "image_size": 32,
    "patch_size": 16,
    "vision_width": 16,
    "vision_layers": 1,
    "vision_heads": 2,
    "feature_size": 16,
    "hidden_size": 16,
    "distillation_loss_weight": 1.0,
    "epochs": 2,
    "batch_size": 2,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "quiet": True,
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Not to be changed by tests: see `own_corpus`."""
    return render_corpus(tmp_path_factory.mktemp("corpus"), TINY_CORPUS, num_processes=1)


@pytest.fixture
def own_corpus(tmp_path):
    return render_corpus(tmp_path / "own_corpus", TINY_CORPUS, num_processes=1)


@pytest.fixture(scope="session")
def flags():
    """The flags of a tiny run, as the command line takes them."""

    def make(data_dir, output_dir, **changed):
        options = {**TINY_RUN, "data_dir": data_dir, "output_dir": output_dir, **changed}
        return [
            text
            for name, value in options.items()
            for text in (f"--{name}", *map(str, value if isinstance(value, list) else [value]))
        ]

    return make


@pytest.fixture(autouse=True)
def as_many_threads_as_before(monkeypatch):
    """A run in a lone process takes all cores; these are too small for that, and other tests share the process."""
    monkeypatch.setattr("adaptsign_hf.training.run.os.cpu_count", lambda: 1)


@pytest.fixture
def train_here(flags, monkeypatch):
    """Train within this process, of whose earlier runs accelerate would remember the devices and the loaders."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")

    def run(data_dir, output_dir, **changed):
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        return train(parse_training_config(flags(data_dir, output_dir, **changed)))

    yield run
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
