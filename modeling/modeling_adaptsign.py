"""AdaptSign: a frozen CLIP with adapters, aggregation, and a temporal head trained by CTC (arXiv 2404.08226)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import CLIPVisionModel
from transformers.utils import ModelOutput, can_return_tuple

from .adapters_adaptsign import inject_adapters
from .aggregation_adaptsign import AdaptSignAggregator, CrossFrameProducts
from .clip_loading_adaptsign import start_from_clip
from .configuration_adaptsign import AdaptSignConfig
from .ctc_adaptsign import GlossClassifier, check_labels, ctc_loss, distillation_loss
from .pretrained_adaptsign import AdaptSignPreTrainedModel
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
            class_tokens.append(hidden_states[:, 0].clone())  # a view would keep all tokens of all frames
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
