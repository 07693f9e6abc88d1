"""The visual part as one graph for torch.compile, whatever is built into CLIP."""

import shutil
import sysconfig
from pathlib import Path

import pytest
import torch
from peft import get_peft_model

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.tuner_adaptsign import AdaptSignAdapterConfig


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["adaptsign", "lora", "a skeleton with PEFT's"])
def test_one_graph_gives_the_same_features(tiny_config, disturb, frames, kind):
    adapter = kind if kind in ("adaptsign", "lora") else None
    model = AdaptSignForCTC(AdaptSignConfig(**{**tiny_config.to_diff_dict(), "adapter": adapter})).eval()
    if adapter is None:
        get_peft_model(model, AdaptSignAdapterConfig(modules_to_save=["aggregator"]))
    disturb(model)
    compiled = torch.compile(model.model.read_layers, fullgraph=True, backend="eager")
    with torch.no_grad():
        for count in (5, 3, 5):  # the last chunk of a batch is shorter
            torch.testing.assert_close(compiled(frames[:count]), model.model.read_layers(frames[:count]))


def test_gradients_pass_through_the_graph(tiny_model, frames):
    def gradients(read_layers):
        tiny_model.zero_grad()
        tokens, query = read_layers(frames)
        (tokens.square().sum() + query.square().sum()).backward()
        return {name: value.grad for name, value in tiny_model.named_parameters() if value.grad is not None}

    read_layers = tiny_model.train().model.read_layers
    expected = gradients(read_layers)
    compiled = torch.compile(read_layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(gradients(compiled), expected, atol=1e-5, rtol=1e-5)


HEADER = Path(sysconfig.get_paths()["include"]) / "Python.h"


@pytest.mark.skipif(not (shutil.which("g++") and HEADER.is_file()), reason="needs a C++ compiler and Python's headers")
def test_the_default_compiler_gives_the_same_features(tiny_config, disturb, frames):
    """Of one layer: compiling takes a quarter of a minute."""
    vision = {**tiny_config.vision.to_dict(), "num_hidden_layers": 1}
    model = disturb(AdaptSignForCTC(AdaptSignConfig(vision_config=vision, hidden_size=32, vocab_size=11))).eval()
    compiled = torch.compile(model.model.read_layers, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(frames), model.model.read_layers(frames), atol=1e-4, rtol=1e-4)
