"""What AdaptSign's models share: starting values, freezing, loading and saving."""

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .adapters_adaptsign import AdapterMethods, find_adapter, load_adapter_only
from .aggregation_adaptsign import AdaptSignAggregator
from .configuration_adaptsign import AdaptSignConfig
from .ctc_adaptsign import GlossClassifier
from .tuner_adaptsign import AdaptSignLayer


class AdaptSignPreTrainedModel(AdapterMethods, PreTrainedModel):
    """Initialisation and freezing, common to AdaptSign's models."""

    config: AdaptSignConfig
    config_class = AdaptSignConfig
    base_model_prefix = "model"
    main_input_name = "pixel_values"
    input_modalities = ["video"]  # noqa: RUF012 - transformers' own form
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["CLIPVisionEmbeddings", "CLIPEncoderLayer", "AdaptSignLayer", "AggregationBlock"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, GlossClassifier) and module.normalize:
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.LSTM):
            module.reset_parameters()  # torch's own; 0.02 everywhere, transformers' default, suits only wide layers
        elif isinstance(module, AdaptSignAggregator):
            width = module.query.shape[0]
            init.normal_(module.query, std=width**-0.5)
            init.zeros_(module.cross_frame_gate)
            init.constant_(module.mix_weights, 0.5)
            init.normal_(module.projection.weight, std=width**-0.5)
        else:
            super()._init_weights(module)

    @torch.no_grad()
    @init.guard_torch_init_functions()  # PEFT's own initialisation must leave loaded tensors alone, too
    def initialize_weights(self) -> None:
        """Initialise what no checkpoint gave, then the adapters, which CLIP's own initialisation does not know."""
        # CLIP first, by itself: as a part of code from outside transformers, its modules that hold no tensors of their
        # own, such as its attention, would be passed over, and with them the scale of their projections.
        self.base_model.vision_model.initialize_weights()  # type: ignore[operator]  # torch types it as a tensor, too
        super().initialize_weights()
        for module in self.modules():
            if isinstance(module, AdaptSignLayer):
                for name in module.active_adapters:
                    module.initialize_adapter(name)
            elif isinstance(module, LoraLayer):
                for name in module.active_adapters:
                    module.reset_lora_parameters(name, init_lora_weights=True)

    def freeze_backbone(self) -> None:
        """Freeze all of CLIP and leave the active adapters, and all the rest, trainable."""
        vision_model = self.base_model.vision_model
        vision_model.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, BaseTunerLayer | ModulesToSaveWrapper) and not module.disable_adapters:
                module.set_adapter(module.active_adapters)
        if self.config.freeze_query_and_first_prefixes:
            self.base_model.aggregator.query.requires_grad_(False)
            for name, parameter in vision_model.named_parameters():
                if name.startswith("encoder.layers.0.adaptsign_prefix_"):
                    parameter.requires_grad_(False)

    def save_pretrained(self, *args, **kwargs) -> None:
        """Save as `PreTrainedModel.save_pretrained` does, and name both models to the Auto classes."""
        if self.is_remote_code():
            self.config.name_auto_classes()
        super().save_pretrained(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, clip=None, **kwargs):
        """
        Load a full checkpoint, or an adapter directory together with the CLIP it belongs to; CLIP is frozen.

        Args:
            pretrained_model_name_or_path: A directory or a name on the Hub.
            args: As `PreTrainedModel.from_pretrained` takes them.
            clip: For an adapter directory, the CLIP to use instead of the one it names: a directory, a name on the
                Hub, or a `CLIPVisionModel`, whose tensors the model then shares and whose device and dtype it takes.
            kwargs: As `PreTrainedModel.from_pretrained` takes them.

        Raises:
            ValueError: If the adapter names no CLIP and none is given, or the two do not belong together.
        """
        load = super().from_pretrained
        if find_adapter(pretrained_model_name_or_path, kwargs) is not None:
            return load_adapter_only(load, cls, pretrained_model_name_or_path, clip, kwargs)
        if clip is not None:
            raise ValueError(
                f"Loading {pretrained_model_name_or_path}: a clip is given, but this is no directory of an adapter "
                "alone, which could use it. Leave clip out."
            )
        loaded = load(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.freeze_backbone()
        return loaded


__all__ = ["AdaptSignPreTrainedModel"]
