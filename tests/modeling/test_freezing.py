"""What is trained, whichever way a model came to be, and the switch that brings back two faults of the release."""

import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoModelForCTC

from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.tuner_adaptsign import AdaptSignAdapterConfig

QUERY = "model.aggregator.query"
FIRST_PREFIXES = {
    f"model.vision_model.encoder.layers.0.adaptsign_prefix_{kind}.default" for kind in ("keys", "values")
}
LABELS = torch.tensor([[3, 5]])


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["adaptsign", "lora"])
def adapter(request) -> str:
    return request.param


@pytest.fixture(params=[False, True])
def switch(request) -> bool:
    return request.param


@pytest.fixture
def config(tiny_config, adapter, switch) -> AdaptSignConfig:
    changed = {"adapter": adapter, "lora_rank": 3, "freeze_query_and_first_prefixes": switch}
    return AdaptSignConfig(**{**tiny_config.to_diff_dict(), **changed})


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def intended(model: nn.Module, switch: bool) -> set[str]:
    names = {n for n, _ in model.named_parameters() if "vision_model." not in n or "adaptsign_" in n or "lora_" in n}
    left_out = {QUERY, *FIRST_PREFIXES} if switch else set()
    return names - left_out - {name.removeprefix("model.") for name in left_out}


def test_the_switch_is_off_by_default():
    assert AdaptSignConfig().freeze_query_and_first_prefixes is False


def test_a_model_however_made_trains_what_is_intended(config, switch, tiny_clip, tmp_path):
    tiny_clip.save_pretrained(tmp_path / "clip")
    built = AdaptSignForCTC.from_clip(tmp_path / "clip", config)
    built.save_pretrained(tmp_path / "full")
    save_adapter(built, tmp_path / "adapter", str(tmp_path / "clip"))
    models = {
        "built at random": AdaptSignForCTC(config),
        "from CLIP": built,
        "from a CLIP in memory": AdaptSignForCTC.from_clip(tiny_clip, config),
        "from a checkpoint": AdaptSignForCTC.from_pretrained(tmp_path / "full"),
        "by Auto from a checkpoint": AutoModelForCTC.from_pretrained(tmp_path / "full"),
        "from an adapter directory": AutoModelForCTC.from_pretrained(tmp_path / "adapter"),
        "from an adapter directory and a CLIP": AdaptSignForCTC.from_pretrained(tmp_path / "adapter", clip=tiny_clip),
        "headless from a checkpoint": AutoModel.from_pretrained(tmp_path / "full"),
        "headless from an adapter directory": AutoModel.from_pretrained(tmp_path / "adapter"),
    }
    for way, model in models.items():
        names = intended(model, switch)
        assert trained(model) == names, way
        assert trained(model.train()) == names, way
        assert trained(model.eval()) == names, way
        zero = [name for name, _ in model.named_parameters() if "up_proj" in name or "lora_B" in name]
        assert len(zero) == {"adaptsign": 8, "lora": 12}[config.adapter]
        for name in [*zero, *(name for name, _ in model.named_parameters() if name.endswith("cross_frame_gate"))]:
            assert not model.get_parameter(name).any(), (way, name)


def test_an_optimisation_step_moves_what_is_intended_and_nothing_else(config, switch, disturb, clip):
    model = disturb(AdaptSignForCTC(config)).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    model(clip, labels=LABELS).loss.backward()
    optimizer.step()
    names = intended(model, switch)
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (name in names), name
        assert torch.equal(parameter, before[name]) == (name not in names), name


@pytest.mark.parametrize("adapter", ["adaptsign"], indirect=True)
def test_the_switch_leaves_out_the_query_and_the_first_layers_prefixes(config, switch):
    model = AdaptSignForCTC(config)
    everything = {name for name, _ in model.named_parameters() if "vision_model." not in name or "adaptsign_" in name}
    assert {QUERY, *FIRST_PREFIXES} < everything
    assert everything - trained(model) == ({QUERY, *FIRST_PREFIXES} if switch else set())


@pytest.mark.parametrize("adapter", ["adaptsign"], indirect=True)
def test_the_switch_survives_checkpointing_and_a_new_vocabulary(config, switch, disturb, clip):
    model = disturb(AdaptSignForCTC(config)).train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    model.replace_vocabulary([f"G{index}" for index in range(1, 11)], ["A", "B"])
    model(clip, labels=torch.tensor([[1, 2]])).loss.backward()
    assert {name for name, value in model.named_parameters() if value.grad is not None} == intended(model, switch)


def test_an_adapter_that_transformers_loads_keeps_clip_frozen_and_fresh_zeros_zero(tiny_skeleton, tmp_path):
    tiny_skeleton.save_pretrained(tmp_path / "skeleton")
    skeleton = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    assert trained(skeleton) == {name for name, _ in skeleton.named_parameters() if "vision_model." not in name}
    head = ["aggregator", "convolutions", "bilstm", "classifier"]
    skeleton.add_adapter(AdaptSignAdapterConfig(num_prefix_tokens=3, modules_to_save=head))
    skeleton.save_pretrained(tmp_path / "adapter")

    loaded = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    loaded.load_adapter(str(tmp_path / "adapter"), is_trainable=True)
    for model in (skeleton, loaded, AutoModelForCTC.from_pretrained(tmp_path / "adapter")):
        assert trained(model.train()) == {name for name, _ in model.named_parameters() if ".default" in name}
        zero = [name for name, _ in model.named_parameters() if "up_proj" in name]
        assert len(zero) == 8
        assert not any(model.get_parameter(name).any() for name in zero)
