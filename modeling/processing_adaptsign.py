"""Videos and gloss sentences to model inputs, and logits back to gloss sentences."""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .tokenization_adaptsign import IGNORED_LABEL, AdaptSignTokenizer
from .video_processing_adaptsign import AdaptSignVideoProcessor, Video, split_batch


class AdaptSignProcessor(ProcessorMixin):
    """The video processor and the gloss tokenizer of a model in one.

    Args:
        video_processor: An `AdaptSignVideoProcessor`.
        tokenizer: An `AdaptSignTokenizer`.
    """

    def __init__(self, video_processor: AdaptSignVideoProcessor, tokenizer: AdaptSignTokenizer):
        super().__init__(video_processor, tokenizer)

    @classmethod
    def from_glosses(cls, glosses: Sequence[str], image_size: int, fps: float | None = None) -> "AdaptSignProcessor":
        """Build the processor of a new model.

        Args:
            glosses: The vocabulary; they get the ids 1, 2, … in this order.
            image_size: Side of the crop in pixels. Frames are resized to 8/7 of it first (paper: 256 for 224).
            fps: Frames a second to which videos are resampled; None keeps them as they are.

        Raises:
            ValueError: A gloss is empty, holds white space, equals the blank or comes twice.
        """
        size = round(image_size * 256 / 224)
        video_processor = AdaptSignVideoProcessor(
            size={"height": size, "width": size}, crop_size={"height": image_size, "width": image_size}, fps=fps
        )
        return cls(video_processor, AdaptSignTokenizer.from_glosses(glosses))

    @property
    def model_input_names(self) -> list[str]:
        """Names of everything a call can return."""
        return [*self.video_processor.model_input_names, "labels"]

    def __call__(
        self,
        videos: Video | Sequence[Video] | None = None,
        text: str | Sequence[str] | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Prepare videos, gloss sentences, or both.

        Args:
            videos: One video or a list of them, as for `AdaptSignVideoProcessor.preprocess`.
            text: One sentence, glosses separated by white space, or a list of sentences, one a video.
            return_tensors: "pt" or None for torch tensors, "np" for numpy arrays.

        Returns:
            With videos, `pixel_values` and `attention_mask` as from the video processor; with text, `labels`, int64 of
            shape (batch, longest sentence), padded with -100.

        Raises:
            ValueError: Neither is given, their numbers differ, or a gloss is outside the vocabulary.
        """
        if videos is None and text is None:
            raise ValueError("The processor got neither videos nor text: give videos=…, text=… or both.")
        sentences = None if text is None else [text] if isinstance(text, str) else list(text)
        clips = None if videos is None else split_batch(videos)
        if sentences is not None and clips is not None and len(sentences) != len(clips):
            raise ValueError(f"Got {len(clips)} videos but {len(sentences)} texts: give one text a video.")
        # Text first: a misspelt gloss shows before minutes of decoding.
        labels = {} if sentences is None else {"labels": self._labels(sentences)}
        pixels = {} if clips is None else self.video_processor(clips)
        return BatchFeature({**pixels, **labels}, tensor_type=return_tensors)

    def _labels(self, sentences: list[str]) -> torch.Tensor:
        if not sentences:
            raise ValueError("The processor got an empty list of texts: give at least one.")
        ids = [torch.tensor(row, dtype=torch.long) for row in self.tokenizer(sentences)["input_ids"]]
        return pad_sequence(ids, batch_first=True, padding_value=IGNORED_LABEL)

    def batch_decode(self, logits: torch.Tensor, lengths: torch.Tensor | Sequence[int] | None = None) -> list[str]:
        """Decode greedily: the best token of each step, collapsed as CTC does.

        Args:
            logits: Scores or log-probabilities, (batch, steps, vocabulary).
            lengths: Number of valid steps of each row, (batch,); None takes all.

        Returns:
            One sentence a row, glosses joined by spaces; "" where every step is blank.

        Raises:
            ValueError: A shape does not fit the vocabulary or the batch.
        """
        if logits.ndim != 3 or logits.shape[2] != self.tokenizer.vocab_size:
            raise ValueError(
                f"Cannot decode logits of shape {tuple(logits.shape)}: the vocabulary has {self.tokenizer.vocab_size} "
                "entries, so (batch, steps, that) is needed."
            )
        steps = [logits.shape[1]] * len(logits) if lengths is None else [int(length) for length in lengths]
        if len(steps) != len(logits) or not all(0 <= length <= logits.shape[1] for length in steps):
            raise ValueError(
                f"Cannot decode {len(logits)} rows of {logits.shape[1]} steps with the lengths {steps}: give each row "
                "one, at most that many."
            )
        paths = logits.argmax(dim=-1).tolist()
        return [self.tokenizer.decode(path[:length]) for path, length in zip(paths, steps, strict=True)]
