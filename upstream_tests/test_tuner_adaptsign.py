"""PEFT's own tests, common to its methods, run on AdaptSign's adapters in a bare CLIP."""

import inspect
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from peft_tests.testing_common import PeftCommonTester
from transformers import CLIPVisionConfig, CLIPVisionModel

from adaptsign_hf.modeling.tuner_adaptsign import AdaptSignAdapterConfig

MERGING = "The adapters are not linear: no change of CLIP's weights is equal to them."
GENERATION = "CLIP's image encoder generates no text."
SKIPPED = {
    "merge_layers": MERGING,
    "merge_layers_fp16": MERGING,
    "merge_layers_is_idempotent": MERGING,
    "merge_layers_multi": MERGING,
    "merge_layers_nan": MERGING,
    "safe_merge": MERGING,
    "lora_conversion": "The adapters are not linear: no LoRA is equal to them.",
    "weighted_combination_of_adapters": "The adapters are not linear: a weighted sum of two is no adapter.",
    "generate": GENERATION,
    "generate_half_prec": GENERATION,
    "generate_pos_args": GENERATION,
    "generate_with_mixed_adapter_batches_and_beam_search": GENERATION,
    "mixed_adapter_batches": "One adapter serves the whole batch: there is no `adapter_names`.",
    "adding_multiple_adapters_with_bias_raises": "CLIP's biases stay frozen: there is no option `bias`.",
    "passing_input_embeds_works": "CLIP's image encoder reads pixels: it has no `inputs_embeds`.",
    "training_layer_indexing": "Layers are chosen by `target_modules`: there is no `layers_to_transform`.",
    "training_prompt_learning_tasks": "The prefixes belong to the layers: this is no method of prompt learning.",
}
ARGUMENTS = {
    "add_adapter_no_autocast_adapter_dtype": [torch.float16, torch.bfloat16],
    "save_pretrained": [True, False],  # safetensors or not
    "save_pretrained_selected_adapters": [True, False],
    "training_gradient_checkpointing": [True, False],  # reentrant or not
}


def common_tests() -> list:
    """List PEFT's tests that take a model and a configuration, each with its further argument, if it has one."""
    tests = []
    for method, function in inspect.getmembers(PeftCommonTester, inspect.isfunction):
        name = method.removeprefix("_test_")
        if name == method or "model_id" not in inspect.signature(function).parameters:
            continue
        marks = [pytest.mark.skip(reason=SKIPPED[name])] if name in SKIPPED else []
        for argument in ARGUMENTS.get(name, [None]):
            label = name if argument is None else f"{name}-{argument}"
            tests.append(pytest.param(method, () if argument is None else (argument,), id=label, marks=marks))
    return tests


class GeneratingClip(CLIPVisionModel):
    """CLIP whose features pass for the scores of generated text: PEFT compares those where it asks for outputs."""

    def generate(self, pixel_values, **options):
        return SimpleNamespace(scores=[self(pixel_values).last_hidden_state])


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """A directory with a tiny CLIP."""
    folder = tmp_path_factory.mktemp("clip")
    config = CLIPVisionConfig(
        hidden_size=48,
        intermediate_size=56,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=24,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    return str(folder)


class TestAdaptSignTuner(PeftCommonTester):
    transformers_class = CLIPVisionModel

    def prepare_inputs_for_testing(self):
        pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        return {"pixel_values": pixels.to(self.torch_device)}

    def _test_prepare_for_training(self, *arguments):
        # It hands the embedding what it calls `input_ids`; CLIP's embeds pixels.
        inputs = {"input_ids": self.prepare_inputs_for_testing()["pixel_values"]}
        with mock.patch.object(self, "prepare_inputs_for_testing", return_value=inputs):
            super()._test_prepare_for_training(*arguments)

    def _test_disable_adapter(self, *arguments):
        with mock.patch.object(self, "transformers_class", GeneratingClip):
            super()._test_disable_adapter(*arguments)

    @pytest.mark.parametrize(("method", "arguments"), common_tests())
    def test_common(self, clip, method, arguments):
        torch.manual_seed(0)
        getattr(self, method)(clip, AdaptSignAdapterConfig, {}, *arguments)


def test_what_is_skipped_is_there():
    assert not SKIPPED.keys() - {name.removeprefix("_test_") for name in dir(PeftCommonTester)}
