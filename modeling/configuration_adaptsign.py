"""Configuration of AdaptSign (Hu et al., arXiv 2404.08226)."""

from huggingface_hub.dataclasses import strict
from transformers import CLIPVisionConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

ADAPTERS = ("adaptsign", "lora", None)


@strict
class AdaptSignConfig(PreTrainedConfig):
    r"""
    Sizes and choices of an AdaptSign network. The defaults are those of the paper (ViT-B/16, 224 pixels).

    Args:
        vision_config (`CLIPVisionConfig` or `dict`, *optional*):
            The frozen CLIP image encoder. Its `projection_dim` is the size of a frame's feature.
        vocab_size (`int`, *optional*, defaults to 1296):
            Number of classes: the glosses and the blank (1295 + 1 on PHOENIX-2014).
        pad_token_id (`int`, *optional*, defaults to 0):
            Id of the CTC blank, which is the padding token too.
        adapter (`str`, *optional*, defaults to `"adaptsign"`):
            What the model builds into CLIP: `"adaptsign"`; `"lora"`, PEFT's, to compare with; or `None`, which gives a
            skeleton, to which `peft.get_peft_model` or `load_adapter` adds adapters.
        adapter_reduction (`int`, *optional*, defaults to 4):
            Width of CLIP over the width of an adapter's bottleneck.
        lora_rank (`int`, *optional*, defaults to 16):
            Rank of the matrices of LoRA; only with `adapter="lora"`.
        num_prefix_tokens (`int`, *optional*, defaults to 8):
            Learnable rows appended to the inputs of each layer's key and value projections.
        cross_frame_radius (`int`, *optional*, defaults to 2):
            Neighbouring frames on each side that a frame attends to.
        hidden_size (`int`, *optional*, defaults to 1024):
            Channels of the temporal convolutions, and of both directions of the BiLSTM together.
        num_lstm_layers (`int`, *optional*, defaults to 2):
            Layers of the BiLSTM.
        lstm_dropout (`float`, *optional*, defaults to 0.3):
            Dropout between the layers of the BiLSTM.
        normalize_classifier (`bool`, *optional*, defaults to `True`):
            Whether each class vector of the classifier is scaled to unit length; then there is no bias.
        share_classifier (`bool`, *optional*, defaults to `True`):
            Whether one classifier reads both the convolutions' and the BiLSTM's output.
        sequence_loss_weight, conv_loss_weight, distillation_loss_weight (`float`, *optional*, defaults to 1, 1, 25):
            Weights of the three terms of the loss.
        distillation_temperature (`float`, *optional*, defaults to 8):
            Temperature of the distillation from the BiLSTM's to the convolutions' predictions.
        freeze_query_and_first_prefixes (`bool`, *optional*, defaults to `False`):
            Reproduce two faults of the released training, in which the aggregation's query was never trained, nor the
            first layer's prefixes, to which reentrant checkpointing gave no gradient. Of no effect on what PEFT adds
            to a skeleton.
        frame_chunk_size (`int`, *optional*, defaults to 64):
            Frames the image encoder reads at once. Changes memory and speed, not the result.
    """

    model_type = "adaptsign"
    sub_configs_defaults = {  # noqa: RUF012 - transformers reads this class attribute as it is
        "vision_config": SubConfigSpec(config_class=CLIPVisionConfig, init_kwargs={"patch_size": 16})
    }
    sub_configs = {"vision_config": CLIPVisionConfig}  # noqa: RUF012

    vision_config: dict | PreTrainedConfig | None = None
    vocab_size: int = 1296
    pad_token_id: int | None = 0
    adapter: str | None = "adaptsign"
    adapter_reduction: int = 4
    lora_rank: int = 16
    num_prefix_tokens: int = 8
    cross_frame_radius: int = 2
    hidden_size: int = 1024
    num_lstm_layers: int = 2
    lstm_dropout: float | int = 0.3
    normalize_classifier: bool = True
    share_classifier: bool = True
    sequence_loss_weight: float | int = 1.0
    conv_loss_weight: float | int = 1.0
    distillation_loss_weight: float | int = 25.0
    distillation_temperature: float | int = 8.0
    freeze_query_and_first_prefixes: bool = False
    frame_chunk_size: int = 64
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    @property
    def vision(self) -> CLIPVisionConfig:
        """The configuration of CLIP, which construction has made an object."""
        assert isinstance(self.vision_config, CLIPVisionConfig)
        return self.vision_config

    @property
    def blank_id(self) -> int:
        """Id of the CTC blank."""
        assert self.pad_token_id is not None
        return self.pad_token_id

    def name_auto_classes(self) -> None:
        """
        Name the classes that load a directory with the code beside its weights.

        By hand, because a class tells of one auto class only, but a directory can be loaded with the head or without.
        """
        self.auto_map = {
            "AutoConfig": "configuration_adaptsign.AdaptSignConfig",
            "AutoModel": "modeling_adaptsign.AdaptSignModel",
            "AutoModelForCTC": "modeling_adaptsign.AdaptSignForCTC",
        }

    def validate_architecture(self):
        """Refuse sizes that no network can have; called by transformers on construction."""
        if self.hidden_size % 2:
            raise ValueError(
                f"hidden_size is {self.hidden_size}, but the two directions of the BiLSTM share it: make it even."
            )
        for name in ("vocab_size", "adapter_reduction", "lora_rank", "frame_chunk_size", "num_lstm_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("num_prefix_tokens", "cross_frame_radius"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative.")
        if self.adapter not in ADAPTERS:
            raise ValueError(f"adapter is {self.adapter!r}: it must be one of {', '.join(map(repr, ADAPTERS))}.")
        if self.adapter_reduction > self.vision.hidden_size:
            raise ValueError(
                f"adapter_reduction is {self.adapter_reduction}, which leaves nothing of CLIP's width "
                f"{self.vision.hidden_size}: make it smaller."
            )
        if self.pad_token_id is None or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"pad_token_id is {self.pad_token_id}, but it is the CTC blank, one of the {self.vocab_size} classes: "
                f"it must be 0 to {self.vocab_size - 1}."
            )
        if not 0 <= self.lstm_dropout < 1:
            raise ValueError(f"lstm_dropout is {self.lstm_dropout}: it must be at least 0 and below 1.")
        if self.distillation_temperature <= 0:
            raise ValueError(f"distillation_temperature is {self.distillation_temperature}: it must be positive.")


__all__ = ["AdaptSignConfig"]
