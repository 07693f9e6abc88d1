import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from adaptsign_hf.inference.loading import default_device, load_model
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter

from ..reading_models import save_bare_clip


def test_a_saved_model_comes_back_ready_to_recognise(model_folder, model_and_processor):
    saved_model, saved_processor = model_and_processor
    for name_or_path in (model_folder, str(model_folder)):
        model, processor = load_model(name_or_path, "cpu")
        assert not model.training
        assert model.device.type == "cpu"
        assert processor.tokenizer.glosses == saved_processor.tokenizer.glosses
        for (name, value), other in zip(saved_model.state_dict().items(), model.state_dict().values(), strict=True):
            assert torch.equal(value, other), name


def test_the_machines_own_device_is_the_default(model_folder):
    model, _ = load_model(model_folder)
    assert model.device.type == default_device().type


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"there is no config\.json in it.*runs/quickstart/model"):
        load_model(tmp_path)


def test_a_name_that_is_nowhere_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="no_such_model"):
        load_model(tmp_path / "no_such_model")


def test_a_device_that_does_not_exist_is_told(model_folder):
    with pytest.raises(ValueError, match="warp drive"):
        load_model(model_folder, "warp drive")


def test_a_model_without_all_its_weights_is_refused(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.aggregator.query"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 of its weights are missing, model\.aggregator\.query"):
        load_model(folder)


def test_an_adapter_beside_its_clip_is_loaded(model_and_processor, tmp_path):
    model, processor = model_and_processor
    save_bare_clip(model, tmp_path / "clip")
    save_adapter(model, tmp_path / "adapter", clip=str(tmp_path / "clip"))
    processor.save_pretrained(tmp_path / "adapter")
    loaded, _ = load_model(tmp_path / "adapter", "cpu")
    for (name, value), other in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
