"""LoRA from PEFT in the place of AdaptSign's adapters, on the same network, to compare with."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCTC, CLIPVisionModel

from adaptsign_hf.modeling.adapters_adaptsign import LORA_TARGETS
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

LABELS = torch.tensor([[3, 5]])
LINEAR = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"}


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def lora_config(tiny_config) -> AdaptSignConfig:
    return AdaptSignConfig(**{**tiny_config.to_diff_dict(), "adapter": "lora", "lora_rank": 3})


@pytest.fixture
def model(lora_config) -> AdaptSignForCTC:
    torch.manual_seed(0)
    return AdaptSignForCTC(lora_config)


def inside_clip(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if "vision_model." in name}


def logits_of(model: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(clip).logits


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_every_linear_layer_of_clips_layers_gets_two_matrices(model):
    lora = {name: parameter for name, parameter in inside_clip(model).items() if "lora_" in name}
    assert {name.partition(".lora_")[0] for name in lora} == {
        f"model.vision_model.encoder.layers.{layer}.{linear}" for layer in range(2) for linear in LINEAR
    }
    for name, parameter in lora.items():
        assert (parameter.shape[0] if "lora_A" in name else parameter.shape[1]) == 3, name
    assert {module.scaling["default"] for module in model.modules() if isinstance(module, LoraLayer)} == {1}


def test_nothing_but_lora_is_trained_inside_clip(model, clip):
    assert trained(model) == {n for n, _ in model.named_parameters() if "vision_model." not in n or "lora_" in n}
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(2):  # in the first step lora_B, still zero, lets no gradient through to lora_A
        optimizer.zero_grad()
        model.train()(clip, labels=LABELS).loss.backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


def test_fresh_lora_equals_bare_clip_bit_for_bit(model, clip):
    bare = CLIPVisionModel(model.config.vision).eval()
    weights = {
        name.replace(".base_layer.", "."): value for name, value in model.model.vision_model.state_dict().items()
    }
    bare.load_state_dict({name: weights[name] for name in bare.state_dict()})
    with torch.no_grad():
        tokens = model.eval().model.read_layers(clip[0])[0]
        assert torch.equal(tokens, bare(clip[0]).last_hidden_state)


@pytest.mark.parametrize("loader", [AutoModelForCTC, AdaptSignForCTC])
def test_saved_and_loaded_bit_for_bit(model, disturb, tmp_path, loader):
    disturb(model).save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert trained(loaded) == trained(model)


@pytest.fixture
def uninitialised_memory_is_nan():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("uninitialised_memory_is_nan")
def test_what_a_checkpoint_lacks_is_initialised_and_the_rest_is_kept(model, disturb, tmp_path):
    """lora_B with zeros, so that a layer without LoRA in the checkpoint is bare CLIP's."""
    assert all(not value.any() for name, value in inside_clip(model).items() if "lora_B" in name)
    assert all(value.any() for name, value in inside_clip(model).items() if "lora_A" in name)
    disturb(model).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    lacking = {name for name in tensors if ".layers.0.mlp.fc1.lora_" in name or ".layers.1.mlp.fc2.lora_B" in name}
    kept = {name: tensor for name, tensor in tensors.items() if name not in lacking}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded, info = AdaptSignForCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == lacking
    assert len(lacking) == 3
    for name, tensor in loaded.state_dict().items():
        if name in lacking:
            assert tensor.isfinite().all(), name
            assert bool(tensor.any()) == ("lora_A" in name), name
        else:
            assert torch.equal(tensor, tensors[name]), name
    assert trained(loaded) == trained(model)


def test_a_new_vocabulary_leaves_lora_alone(model, disturb, clip):
    before = {name: value.detach().clone() for name, value in inside_clip(disturb(model)).items()}
    model.replace_vocabulary([f"G{index}" for index in range(1, 11)], ["A", "G2"])
    assert logits_of(model, clip).shape == (1, 3, 3)
    for name, value in inside_clip(model).items():
        assert torch.equal(value, before[name]), name
        assert value.requires_grad == ("lora_" in name), name


def test_checkpointing_keeps_every_gradient(model, disturb, clip):
    def gradients():
        model.zero_grad()
        model.train()(clip, labels=LABELS).loss.backward()
        return {name: model.get_parameter(name).grad.clone() for name in trained(model)}

    disturb(model)
    plain = gradients()
    model.activation_checkpointing_enable({"use_reentrant": False})
    torch.testing.assert_close(gradients(), plain, atol=1e-6, rtol=1e-5)


def test_peft_adds_it_to_a_skeleton_as_the_model_builds_it_in(model, disturb, clip):
    """The drop-in alternative: one line differs from AdaptSign's adapters."""
    config = AdaptSignConfig(**{**model.config.to_diff_dict(), "adapter": None})
    torch.manual_seed(0)
    skeleton = AdaptSignForCTC(config)
    weights = {name.replace(".base_layer.", "."): tensor for name, tensor in disturb(model).state_dict().items()}
    skeleton.load_state_dict({name: weights[name] for name in skeleton.state_dict()})
    head = ["aggregator", "convolutions", "bilstm", "classifier"]
    lora = LoraConfig(r=3, lora_alpha=3, target_modules=LORA_TARGETS, modules_to_save=head)
    added = get_peft_model(skeleton, lora)
    assert len(trained(added)) == len(trained(model))
    with torch.no_grad():
        for name, parameter in added.base_model.model.named_parameters():
            if "lora_" in name:
                parameter.copy_(model.get_parameter(name))
    assert torch.equal(logits_of(added, clip), logits_of(model, clip))
