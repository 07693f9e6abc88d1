"""AdaptSign: a frozen CLIP with adapters, aggregation, and a temporal head trained by CTC (arXiv 2404.08226)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import CLIPVisionModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .adapters_adaptsign import AdapterMethods, find_adapter, inject_adapters, load_adapter_only
from .aggregation_adaptsign import AdaptSignAggregator, CrossFrameProducts
from .clip_loading_adaptsign import start_from_clip
from .configuration_adaptsign import AdaptSignConfig
from .ctc_adaptsign import GlossClassifier, check_labels, ctc_loss, distillation_loss
from .temporal_adaptsign import (
    FRAMES_IN_FRONT,
    BidirectionalLSTM,
    TemporalConvolutions,
    clip_lengths,
    length_mask,
    output_length,
    padded_length,
    padded_sources,
)
from .tuner_adaptsign import AdaptSignLayer


@dataclass
class AdaptSignModelOutput(ModelOutput):
    """
    Features of frames.

    Attributes:
        last_hidden_state: float (clips, frames, feature size), of the true frames; zero behind the end of a clip.
        padded_hidden_state: float (clips, padded frames, feature size), of the frames with the padding that the
            temporal head needs; zero behind the end of a padded clip.
    """

    last_hidden_state: torch.Tensor | None = None
    padded_hidden_state: torch.Tensor | None = None


@dataclass
class AdaptSignCTCOutput(ModelOutput):
    """
    Recognition of clips, and its loss.

    Attributes:
        loss: Scalar, the weighted sum of the three terms; only with `labels`.
        logits: float (clips, steps, classes), of the BiLSTM: what is decoded. `steps = ceil(frames / 4)`.
        logit_lengths: long (clips,), valid steps of each clip.
        conv_logits: float (clips, steps, classes), of the convolutions.
        sequence_loss: Scalar, CTC of `logits`, unweighted.
        conv_loss: Scalar, CTC of `conv_logits`, unweighted.
        distillation_loss: Scalar, distillation from `logits` to `conv_logits`, unweighted.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    logit_lengths: torch.Tensor | None = None
    conv_logits: torch.Tensor | None = None
    sequence_loss: torch.Tensor | None = None
    conv_loss: torch.Tensor | None = None
    distillation_loss: torch.Tensor | None = None


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
                Hub, or a `CLIPVisionModel`, whose tensors the model then shares.
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


class AdaptSignModel(AdaptSignPreTrainedModel):
    """Video to one feature a frame: frozen CLIP with adapters, aggregation, cross-frame attention; no head."""

    _keys_to_ignore_on_load_unexpected = [r"^convolutions\.", r"^bilstm\.", r"^(conv_)?classifier\."]  # noqa: RUF012

    def __init__(self, config: AdaptSignConfig):
        super().__init__(config)
        vision = config.vision
        self.vision_model = CLIPVisionModel._from_config(vision)
        inject_adapters(self.vision_model, config)
        self.aggregator = AdaptSignAggregator(
            width=vision.hidden_size,
            num_layers=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            feature_size=vision.projection_dim,
            cross_frame_radius=config.cross_frame_radius,
            layer_norm_eps=vision.layer_norm_eps,
        )
        self.post_init()
        self.freeze_backbone()

    def get_input_embeddings(self) -> nn.Module:
        """Return CLIP's patch embedding."""
        return self.vision_model.get_input_embeddings()

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> AdaptSignModelOutput:
        """
        Read clips.

        Args:
            pixel_values: float (clips, frames, 3, height, width), `x / 127.5 - 1`.
            attention_mask: (clips, frames), 1 on true frames and 0 behind the end of a clip; None if all are true.

        Returns:
            The features of the frames.

        Raises:
            ValueError: If shapes disagree, a clip is empty, or a mask has gaps.
        """
        lengths = clip_lengths(pixel_values, attention_mask)
        if attention_mask is None or min(lengths) == pixel_values.shape[1]:
            frames = pixel_values.flatten(0, 1)
        else:
            # CLIP reads each true frame once; padding is copied from its results.
            frames = torch.cat([clip[:length] for clip, length in zip(pixel_values, lengths, strict=True)])
        sources = padded_sources(lengths).to(frames.device, non_blocking=True)
        features = self.aggregator.frame_features(*self.read_frames(frames), sources)
        true_frames = features[:, FRAMES_IN_FRONT : FRAMES_IN_FRONT + max(lengths)]
        return AdaptSignModelOutput(
            last_hidden_state=true_frames * length_mask(lengths, frames.device).unsqueeze(-1),
            padded_hidden_state=features,
        )

    def read_frames(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Read frames chunk by chunk, in memory that does not depend on their number.

        Args:
            frames: (frames, 3, height, width), the clips laid end to end.

        Returns:
            CLIP's last class tokens (frames, width), the queries after their last visit (frames, width), and the
            products of cross-frame attention (frames, 2·radius + 1, width).
        """
        cross_frame = CrossFrameProducts(self.config.cross_frame_radius)
        class_tokens, queries, products = [], [], []
        for chunk in frames.split(self.config.frame_chunk_size):
            hidden_states, query = self.read_layers(chunk)
            class_tokens.append(hidden_states[:, 0])
            queries.append(query)
            products.append(cross_frame.push(self.aggregator.cross_frame_norm(hidden_states)))
        products.append(cross_frame.finish())
        return torch.cat(class_tokens), torch.cat(queries), torch.cat(products)

    def read_layers(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Pass frames through CLIP, while the query visits each layer's output.

        Args:
            frames: (frames, 3, height, width).

        Returns:
            The last layer's tokens (frames, 1 + patches, width) and the queries (frames, width).
        """
        hidden_states = self.vision_model.pre_layrnorm(self.vision_model.embeddings(frames))
        query = self.aggregator.initial_query(len(frames))
        for layer, block in zip(self.vision_model.encoder.layers, self.aggregator.blocks, strict=True):
            hidden_states = layer(hidden_states, None)
            query = block(query, hidden_states)
        return hidden_states, query


class AdaptSignForCTC(AdaptSignPreTrainedModel):
    """Video to glosses: `AdaptSignModel`, temporal convolutions, a BiLSTM, and a classifier trained by CTC."""

    def __init__(self, config: AdaptSignConfig):
        super().__init__(config)
        self.model = AdaptSignModel(config)
        self.convolutions = TemporalConvolutions(config.vision.projection_dim, config.hidden_size)
        self.bilstm = BidirectionalLSTM(config.hidden_size, config.num_lstm_layers, config.lstm_dropout)
        self.classifier = GlossClassifier(config.hidden_size, config.vocab_size, config.normalize_classifier)
        if not config.share_classifier:
            self.conv_classifier = GlossClassifier(config.hidden_size, config.vocab_size, config.normalize_classifier)
        self.post_init()
        self.freeze_backbone()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> AdaptSignCTCOutput:
        """
        Recognise clips; with labels, compute the loss too.

        Args:
            pixel_values: float (clips, frames, 3, height, width), true frames only: the temporal padding is inside.
            attention_mask: (clips, frames), 1 on true frames and 0 behind the end of a clip; None if all are true.
            labels: long (clips, glosses), padded with -100.

        Returns:
            Logits, their lengths, and the loss.

        Raises:
            ValueError: If shapes disagree, a clip is empty, or labels are outside the vocabulary.
        """
        lengths = clip_lengths(pixel_values, attention_mask)
        if labels is not None:
            check_labels(labels, len(lengths), self.config.vocab_size, self.config.blank_id)
        features = self.model(pixel_values, attention_mask, return_dict=True).padded_hidden_state
        hidden, steps = self.convolutions(features, [padded_length(length) for length in lengths])
        assert steps == [output_length(length) for length in lengths]
        conv_classifier = self.classifier if self.config.share_classifier else self.conv_classifier
        logits, conv_logits = self.classifier(self.bilstm(hidden, steps)), conv_classifier(hidden)
        losses = {} if labels is None else self.losses(logits, conv_logits, steps, labels)
        return AdaptSignCTCOutput(
            logits=logits,
            logit_lengths=torch.tensor(steps).to(features.device, non_blocking=True),
            conv_logits=conv_logits,
            **losses,
        )

    def losses(
        self, logits: torch.Tensor, conv_logits: torch.Tensor, steps: list[int], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """
        Compute the three terms of the loss and their weighted sum.

        Args:
            logits: Of the BiLSTM, float (clips, steps, classes).
            conv_logits: Of the convolutions, the same shape.
            steps: Valid steps of each clip.
            labels: long (clips, glosses), padded with -100.

        Returns:
            `sequence_loss`, `conv_loss`, `distillation_loss`, unweighted, and their sum `loss`.
        """
        config, blank = self.config, self.config.blank_id
        sequence = ctc_loss(logits, steps, labels, blank)
        conv = ctc_loss(conv_logits, steps, labels, blank)
        valid_steps = length_mask(steps, logits.device)
        distillation = distillation_loss(conv_logits, logits, valid_steps, blank, config.distillation_temperature)
        return {
            "loss": config.sequence_loss_weight * sequence
            + config.conv_loss_weight * conv
            + config.distillation_loss_weight * distillation,
            "sequence_loss": sequence,
            "conv_loss": conv,
            "distillation_loss": distillation,
        }

    @torch.no_grad()
    def replace_vocabulary(self, old_glosses: list[str], new_glosses: list[str]) -> None:
        """
        Give the model another vocabulary. Glosses of both, and the blank, keep what was learnt; others start afresh.

        Args:
            old_glosses: The model's glosses in the order of their ids 1, 2, ...
            new_glosses: Those it shall have.

        Raises:
            ValueError: If PEFT trains the classifier beside an adapter: its checkpoints fit the skeleton's size only.
        """
        if isinstance(self.classifier, ModulesToSaveWrapper):
            raise ValueError(
                "Replacing the vocabulary: the classifier belongs to an adapter that PEFT added to the model. "
                "Replace the vocabulary of the skeleton, save it, and add the adapter afterwards."
            )
        old_ids = {gloss: index for index, gloss in enumerate(old_glosses, start=1)}
        self.config.vocab_size = len(new_glosses) + 1
        names = ["classifier"] if self.config.share_classifier else ["classifier", "conv_classifier"]
        for name in names:
            old = getattr(self, name)
            new = GlossClassifier(self.config.hidden_size, self.config.vocab_size, old.normalize)
            new.to(old.weight)  # its device and dtype
            self._init_weights(new)
            for new_id, gloss in enumerate([None, *new_glosses]):
                old_id = 0 if gloss is None else old_ids.get(gloss)
                if old_id is not None:
                    new.weight[new_id] = old.weight[old_id]
                    if old.bias is not None:
                        new.bias[new_id] = old.bias[old_id]
            setattr(self, name, new)

    @classmethod
    def from_clip(
        cls, clip: str | Path | CLIPVisionModel, config: AdaptSignConfig | None = None, **kwargs
    ) -> "AdaptSignForCTC":
        """
        Start from CLIP: its image encoder, its projection and its last normalisation.

        Args:
            clip: A directory or a name on the Hub, of a `CLIPModel`, `CLIPVisionModel` or
                `CLIPVisionModelWithProjection`; or a `CLIPVisionModel` in memory, whose tensors the model then shares,
                so that many models have one backbone. Without a projection in it, ours starts at random.
            config: Sizes of the rest; its `vision_config` is replaced by the checkpoint's.
            kwargs: Fields of `AdaptSignConfig` instead of a `config`, such as `vocab_size`.

        Returns:
            A model whose adapters and head are fresh.

        Raises:
            ValueError: If both a `config` and fields are given, or the checkpoint has no CLIP image encoder.
        """
        return start_from_clip(cls, clip, config, kwargs)


__all__ = [
    "AdaptSignCTCOutput",
    "AdaptSignForCTC",
    "AdaptSignModel",
    "AdaptSignModelOutput",
    "AdaptSignPreTrainedModel",
]
