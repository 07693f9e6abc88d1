"""A rendered corpus of a few clips, untrained models that read something in them, and the page, served."""

import importlib.util
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from adaptsign_hf.data.folder import Clip, read_folder
from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus
from adaptsign_hf.inference.web_recognition import UploadLimits
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter

from ..reading_models import make_reading_model, save_bare_clip

APP = Path(__file__).parents[2] / "spaces" / "adaptsign" / "app.py"
TINY_CORPUS = SyntheticCorpusConfig(
    num_train=1, num_dev=0, num_test=3, num_test_signer=0, max_glosses=3, frame_size=32, fps=6.0
)


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> list[Clip]:
    return read_folder(render_corpus(tmp_path_factory.mktemp("corpus"), TINY_CORPUS, num_processes=1))[0]


@pytest.fixture(scope="session")
def model_and_processor(clips):
    return make_reading_model([clip.path for clip in clips])


@pytest.fixture(scope="session")
def adapters(model_and_processor, tmp_path_factory) -> dict[str, Path]:
    """Two adapter directories that name the same CLIP and read the same videos differently."""
    model, processor = model_and_processor
    folder = tmp_path_factory.mktemp("adapters")
    save_bare_clip(model, folder / "clip")
    save_adapter(model, folder / "first", str(folder / "clip"))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.roll(1, 0))
    save_adapter(model, folder / "second", str(folder / "clip"))
    model.load_state_dict(state)
    for name in ("first", "second"):
        processor.save_pretrained(folder / name)
    return {name: folder / name for name in ("first", "second")}


@pytest.fixture(scope="session")
def app() -> ModuleType:
    """The Space's `app.py`, which is a script and lies in no package."""
    pytest.importorskip("gradio", reason="gradio is not installed: the extra demo")
    spec = importlib.util.spec_from_file_location("adaptsign_space", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def serve(app, tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Serve a page in a thread of this process; gives its address."""
    pages = []

    def start(*arguments, **options) -> str:
        demo = app.build_demo(*arguments, **options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        app.launch(demo, *arguments[1:2], server_port=port, prevent_thread_lock=True, quiet=True)
        pages.append(demo)
        return f"http://127.0.0.1:{port}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        yield start
        for page in pages:
            page.close()


@pytest.fixture(scope="session")
def page(serve, adapters, clips) -> str:
    """Address of a page with two models, for videos of up to 20 s."""
    return serve(adapters, UploadLimits(megabytes=5, seconds=20), example=Path(clips[0].path))
