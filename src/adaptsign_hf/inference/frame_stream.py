"""Frames that arrive in chunks, through CLIP once each, to features and to the steps of the temporal convolutions."""

from collections.abc import Sequence
from copy import copy

import torch

from adaptsign_hf.modeling.aggregation_adaptsign import CrossFrameProducts
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel
from adaptsign_hf.modeling.temporal_adaptsign import FRAMES_IN_FRONT, STRIDE, padded_length

FRAMES_OF_A_STEP = 2 * FRAMES_IN_FRONT + STRIDE  # padded frames that one output step of the convolutions sees


class FrameFeatureStream:
    """
    The features of a clip whose frames arrive in chunks: `AdaptSignModel.forward` in constant memory.

    A feature comes out as soon as the `cross_frame_radius` frames that follow its own are known. All of them laid end
    to end are `padded_hidden_state`, up to rounding. A frame may stand for several in succession (see `push`); copies
    cost next to nothing, as the copies of the temporal padding do.

    Args:
        model: The visual part, in evaluation mode.

    Attributes:
        num_frames: Frames taken so far, copies among them.
    """

    def __init__(self, model: AdaptSignModel):
        self.model = model
        self.num_frames = 0
        self._cross_frame = CrossFrameProducts(model.config.cross_frame_radius)
        # Of the frames that features still to come need: those of their own, and of the neighbours of the next one.
        self._class_tokens: torch.Tensor | None = None
        self._queries: torch.Tensor | None = None
        self._products: torch.Tensor | None = None  # of all but the last `radius` of these frames
        self._sources: list[int] = []  # the kept frame behind each padded frame, from a neighbour of the next one on
        self._num_out = 0  # of these padded frames, those whose features are out

    @torch.no_grad()
    def push(self, frames: torch.Tensor, repeats: Sequence[int] | None = None) -> torch.Tensor:
        """
        Take the next frames.

        Args:
            frames: float (frames, 3, height, width), normalised.
            repeats: How often each frame is shown in succession, at least once; None for once each.

        Returns:
            The features of padded frames that have become known, (padded frames, feature size).

        Raises:
            ValueError: If frames have another shape, or their number is not that of `repeats`.
        """
        if frames.ndim != 4:
            raise ValueError(
                f"Frames of shape {tuple(frames.shape)} were pushed: (frames, 3, height, width) is needed."
            )
        counts = [1] * len(frames) if repeats is None else list(repeats)
        if len(counts) != len(frames) or any(count < 1 for count in counts):
            raise ValueError(
                f"{len(frames)} frames were pushed with the repeats {counts}: give each a number, 1 or more."
            )
        features, size = [self._no_features()], self.model.config.frame_chunk_size
        for start in range(0, len(frames), size):
            self._read(frames[start : start + size].to(self.model.device), counts[start : start + size])
            features.append(self._features_until(len(self._sources) - self._cross_frame.radius))
        return torch.cat(features)

    @torch.no_grad()
    def finish(self) -> torch.Tensor:
        """
        Return the features that were waiting for frames to follow, and those of the copies of the last frame.

        Raises:
            ValueError: If there was no frame.
        """
        if self.num_frames == 0:
            raise ValueError("The video ended without a frame: there is nothing to read.")
        missing = padded_length(self.num_frames) - FRAMES_IN_FRONT - self.num_frames
        self._sources += [self._sources[-1]] * missing
        features = self._features_until(len(self._sources))
        self._class_tokens = self._queries = self._products = None
        return features

    def _read(self, frames: torch.Tensor, repeats: list[int]) -> None:
        hidden_states, queries = self.model.read_layers(frames)
        class_tokens = hidden_states[:, 0].clone()  # a view would keep all tokens
        products = self._cross_frame.push(self.model.aggregator.cross_frame_norm(hidden_states))
        if self._class_tokens is None or self._queries is None or self._products is None:
            self._class_tokens, self._queries, self._products = class_tokens, queries, products
            self._sources = [0] * FRAMES_IN_FRONT
        else:
            self._class_tokens = torch.cat([self._class_tokens, class_tokens])
            self._queries = torch.cat([self._queries, queries])
            self._products = torch.cat([self._products, products])
        first = len(self._class_tokens) - len(frames)
        self._sources += [first + index for index, count in enumerate(repeats) for _ in range(count)]
        self.num_frames += sum(repeats)

    def _features_until(self, end: int) -> torch.Tensor:
        """Compute the features of the next padded frames up to an index of `_sources`, and forget what has served."""
        if end <= self._num_out:
            return self._no_features()
        assert self._class_tokens is not None
        assert self._queries is not None
        assert self._products is not None
        # What the last frames give to those already known; to frames still to come they give nothing as yet.
        waiting = copy(self._cross_frame).finish()
        sources = torch.tensor([self._sources]).to(self.model.device, non_blocking=True)
        features = self.model.aggregator.frame_features(
            self._class_tokens, self._queries, torch.cat([self._products, waiting]), sources
        )[0, self._num_out : end]

        # The last frame stays in any case: the temporal padding repeats it.
        kept_from = max(min(end - self._cross_frame.radius, len(self._sources) - 1), 0)
        first = min(self._sources[kept_from], len(self._products))
        self._class_tokens, self._queries = self._class_tokens[first:].clone(), self._queries[first:].clone()
        self._products = self._products[first:].clone()
        self._sources = [source - first for source in self._sources[kept_from:]]
        self._num_out = end - kept_from
        return features

    def _no_features(self) -> torch.Tensor:
        projection = self.model.aggregator.projection
        return projection.weight.new_zeros(0, projection.out_features)


class StepStream:
    """
    The output steps of the temporal convolutions for frames that arrive in chunks, each computed once.

    Step k sees padded frames 4k…4k + 15, that is true frames up to 4k + 9; so it comes out with frame
    4k + 9 + `cross_frame_radius`, and `ceil(T / 4)` steps in all.

    Args:
        model: The model, in evaluation mode.

    Raises:
        ValueError: If the model is in training mode, where a frame's result depends on the others pushed with it.
    """

    def __init__(self, model: AdaptSignForCTC):
        if model.training:
            raise ValueError("Reading a stream with a model in training mode: call model.eval() first.")
        self.model = model
        self._frames = FrameFeatureStream(model.model)
        self._features: torch.Tensor | None = None  # of padded frames, from the first that the next step sees

    @property
    def num_frames(self) -> int:
        """Frames taken so far, copies among them."""
        return self._frames.num_frames

    def push(self, frames: torch.Tensor, repeats: Sequence[int] | None = None) -> torch.Tensor:
        """
        Take the next frames, as `FrameFeatureStream.push` does.

        Returns:
            The steps that have become known, (steps, hidden size).
        """
        return self._convolve(self._frames.push(frames, repeats))

    def finish(self) -> torch.Tensor:
        """
        Return the remaining steps, (steps, hidden size).

        Raises:
            ValueError: If there was no frame.
        """
        return self._convolve(self._frames.finish())

    @torch.no_grad()
    def _convolve(self, features: torch.Tensor) -> torch.Tensor:
        features = features if self._features is None else torch.cat([self._features, features])
        steps = max((len(features) - FRAMES_OF_A_STEP) // STRIDE + 1, 0)
        self._features = features[steps * STRIDE :].clone()
        if steps == 0:
            return features.new_zeros(0, self.model.config.hidden_size)
        seen = (steps - 1) * STRIDE + FRAMES_OF_A_STEP
        return self.model.convolutions(features[None, :seen], [seen])[0][0]
