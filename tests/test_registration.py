"""The Auto classes know AdaptSign, and a saved directory carries the code that reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCTC,
    AutoProcessor,
    AutoTokenizer,
    AutoVideoProcessor,
)

from adaptsign_hf import (
    AdaptSignConfig,
    AdaptSignForCTC,
    AdaptSignModel,
    AdaptSignProcessor,
    AdaptSignTokenizer,
    AdaptSignVideoProcessor,
)
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter

CODE = {path.name for path in (Path(__file__).parents[1] / "modeling").glob("*_adaptsign.py")}
AUTO_CLASSES = {
    AutoConfig: AdaptSignConfig,
    AutoModel: AdaptSignModel,
    AutoModelForCTC: AdaptSignForCTC,
    AutoVideoProcessor: AdaptSignVideoProcessor,
    AutoTokenizer: AdaptSignTokenizer,
    AutoProcessor: AdaptSignProcessor,
}
# Runs where adaptsign_hf cannot be imported: reads a clip with each directory, and saves what it loaded again.
STRANGER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "adaptsign_hf":
            raise ModuleNotFoundError("adaptsign_hf is not installed here")

sys.meta_path.insert(0, Absent())
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCTC, AutoProcessor, AutoTokenizer, AutoVideoProcessor

full, adapter, again, pixels, outcome = sys.argv[1:]
trust = {"trust_remote_code": True}
model = AutoModelForCTC.from_pretrained(full, **trust).eval()
processor = AutoProcessor.from_pretrained(full, **trust)
clip = torch.load(pixels, weights_only=True)
with torch.no_grad():
    logits = model(clip).logits
    from_adapter = AutoModelForCTC.from_pretrained(adapter, **trust).eval()(clip).logits
    features = AutoModel.from_pretrained(full, **trust).eval()(clip).last_hidden_state
trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
parts = (AutoConfig, AutoVideoProcessor, AutoTokenizer)
kinds = [type(part.from_pretrained(full, **trust)).__name__ for part in parts]
model.save_pretrained(again)
processor.save_pretrained(again)
torch.save({"logits": logits, "from_adapter": from_adapter, "features": features, "trained": trained, "kinds": kinds,
            "labels": processor(text="G3 G1")["labels"]}, outcome)
"""


@pytest.fixture
def saved(tiny_model, tmp_path) -> Path:
    """A directory of a model and its processor, as a training run leaves it."""
    tiny_model.save_pretrained(tmp_path / "saved")
    AdaptSignProcessor.from_glosses([f"G{number}" for number in range(10)], 32).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("auto", AUTO_CLASSES, ids=lambda auto: auto.__name__)
@pytest.mark.parametrize("trust_remote_code", [None, True])
def test_every_auto_class_loads_a_saved_directory(saved, auto, trust_remote_code):
    loaded = auto.from_pretrained(saved, trust_remote_code=trust_remote_code)
    # Trusted, a tokenizer is built by the directory's own copy of the class.
    assert type(loaded) is AUTO_CLASSES[auto] or (auto is AutoTokenizer and trust_remote_code)
    assert type(loaded).__name__ == AUTO_CLASSES[auto].__name__


def test_a_saved_directory_carries_exactly_the_code_of_modeling(saved):
    assert {path.name for path in saved.glob("*.py")} == CODE
    assert all((saved / name).read_bytes() == (Path("modeling") / name).read_bytes() for name in CODE)
    auto_map = json.loads((saved / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForCTC"}


def test_where_the_package_is_not_installed_the_directory_gives_the_same(tiny_model, tiny_clip, saved, tmp_path):
    tiny_clip.save_pretrained(tmp_path / "clip")
    with_clip = AdaptSignForCTC.from_clip(tmp_path / "clip", hidden_size=32, vocab_size=11).eval()
    save_adapter(with_clip, tmp_path / "adapter", str(tmp_path / "clip"))
    clip = torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.save(clip, tmp_path / "pixels.pt")

    folders = [str(tmp_path / name) for name in ("saved", "adapter", "again", "pixels.pt", "outcome.pt")]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, *folders], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    outcome = torch.load(tmp_path / "outcome.pt", weights_only=True)

    with torch.no_grad():
        assert torch.equal(outcome["logits"], tiny_model(clip).logits)
        assert torch.equal(outcome["features"], tiny_model.model(clip).last_hidden_state)
        assert torch.equal(outcome["from_adapter"], with_clip(clip).logits)
    assert outcome["trained"] == [name for name, value in tiny_model.named_parameters() if value.requires_grad]
    assert outcome["kinds"] == ["AdaptSignConfig", "AdaptSignVideoProcessor", "AdaptSignTokenizer"]
    assert outcome["labels"].tolist() == [[4, 2]]
    # What the stranger saved is as complete as what it was given.
    assert {path.name for path in (tmp_path / "again").iterdir()} == {path.name for path in saved.iterdir()}


def test_code_from_the_hub_and_the_package_live_in_one_process(tiny_model, saved):
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    copied = get_class_from_dynamic_module("modeling_adaptsign.AdaptSignForCTC", saved)
    assert copied is not AdaptSignForCTC
    model = copied.from_pretrained(saved).eval()
    clip = torch.randn(1, 5, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(clip).logits, tiny_model(clip).logits)
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert trained == [name for name, value in tiny_model.named_parameters() if value.requires_grad]
    fresh = copied(model.config)
    for name, value in fresh.named_parameters():
        assert "up_proj" not in name or not value.any(), name
