"""transformers' own tests of models, run on AdaptSign's."""

import unittest
from unittest import mock

import torch
from parameterized import parameterized
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers.testing_utils import torch_device
from transformers.utils import ModelOutput
from transformers_tests.test_modeling_common import (
    TEST_EAGER_MATCHES_SDPA_INFERENCE_PARAMETERIZATION,
    ModelTesterMixin,
    _test_eager_matches_sdpa_inference,
    floats_tensor,
)

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel, AdaptSignPreTrainedModel

# The tests look here for what is a base model; there is no registering for models outside transformers.
MODEL_MAPPING_NAMES["adaptsign"] = "AdaptSignModel"


class AdaptSignModelTester:
    """Tiny sizes, and inputs that fit them."""

    batch_size = 3
    num_frames = 6
    image_size = 32
    is_training = True

    def __init__(self):
        self.vision_config = {
            "hidden_size": 48,
            "intermediate_size": 56,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": self.image_size,
            "patch_size": 16,
            "projection_dim": 24,
        }

    def get_config(self) -> AdaptSignConfig:
        return AdaptSignConfig(vision_config=dict(self.vision_config), hidden_size=32, vocab_size=11, lstm_dropout=0.0)

    def prepare_config_and_inputs_for_common(self) -> tuple[AdaptSignConfig, dict[str, torch.Tensor]]:
        shape = [self.batch_size, self.num_frames, 3, self.image_size, self.image_size]
        mask = torch.ones(shape[:2], dtype=torch.long, device=torch_device)
        mask[1, 4:] = 0
        return self.get_config(), {"pixel_values": floats_tensor(shape), "attention_mask": mask}


def with_hidden_states(model_class: type) -> type:
    """Derive a model whose `hidden_states[-1]`, which some tests look at, is its features or its logits."""

    class Model(model_class):
        def forward(self, pixel_values, attention_mask=None, **kwargs):
            return ModelOutput(hidden_states=(super().forward(pixel_values, attention_mask, return_dict=True)[0],))

    return Model


class AdaptSignModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (AdaptSignModel, AdaptSignForCTC)
    test_can_init_all_missing_weights_before_2023 = True  # our files name no year
    _is_composite = True  # CLIP's configuration is a part of ours

    def setUp(self):
        self.model_tester = AdaptSignModelTester()

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs_dict = super()._prepare_for_class(inputs_dict, model_class)
        if return_labels and issubclass(model_class, AdaptSignForCTC):
            inputs_dict["labels"] = torch.tensor([[3, 4], [5, -100], [6, -100]], device=torch_device)
        return inputs_dict

    def test_model_get_set_embeddings(self):
        # As for transformers' own models of images, whose embedding is a convolution.
        for model_class in self.all_model_classes:
            model = model_class(self.model_tester.get_config())
            self.assertIsInstance(model.get_input_embeddings(), nn.Conv2d)
            self.assertIsNone(model.get_output_embeddings())

    def test_enable_input_require_grads_with_gradient_checkpointing(self):
        # The test asks for the gradient of the embedding, which is CLIP's and frozen.
        with mock.patch.object(AdaptSignPreTrainedModel, "freeze_backbone", nn.Module.requires_grad_):
            super().test_enable_input_require_grads_with_gradient_checkpointing()

    def test_sdpa_can_dispatch_non_composite_models(self):
        # All attention that can be dispatched is CLIP's, so this holds for the whole as well.
        with mock.patch.object(AdaptSignModelTest, "_is_composite", False):
            super().test_sdpa_can_dispatch_non_composite_models()

    @parameterized.expand(TEST_EAGER_MATCHES_SDPA_INFERENCE_PARAMETERIZATION)
    def test_eager_matches_sdpa_inference(self, name, dtype, padding_side, use_mask, *options):
        if padding_side == "left" and use_mask:
            self.skipTest("Padding goes behind a clip: a mask that begins with zeros is refused.")
        classes = tuple(map(with_hidden_states, self.all_model_classes))
        with mock.patch.object(AdaptSignModelTest, "all_model_classes", classes):
            _test_eager_matches_sdpa_inference(self, name, dtype, padding_side, use_mask, *options)

    # Each named after the mixin's, so that none outlives its original.
    not_kept = unittest.skip("Frames pass through CLIP in chunks; neither hidden states nor attentions are kept.")
    test_attention_outputs = not_kept(ModelTesterMixin.test_attention_outputs)
    test_can_capture_specific_layers_hidden_states = not_kept(
        ModelTesterMixin.test_can_capture_specific_layers_hidden_states
    )
    test_hidden_states_output = not_kept(ModelTesterMixin.test_hidden_states_output)
    test_retain_grad_hidden_states_attentions = not_kept(ModelTesterMixin.test_retain_grad_hidden_states_attentions)

    no_tokens = unittest.skip("The vocabulary is in the classifier alone, which `replace_vocabulary` resizes.")
    test_resize_tokens_embeddings = no_tokens(ModelTesterMixin.test_resize_tokens_embeddings)
    test_resize_embeddings_untied = no_tokens(ModelTesterMixin.test_resize_embeddings_untied)
    test_resize_embeddings_untied_no_reinit_on_post_init = no_tokens(
        ModelTesterMixin.test_resize_embeddings_untied_no_reinit_on_post_init
    )

    one_size = unittest.skip("Frames have the one size that CLIP's position embeddings are for.")
    test_resize_position_vector_embeddings = one_size(ModelTesterMixin.test_resize_position_vector_embeddings)
