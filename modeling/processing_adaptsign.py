"""Videos and gloss sentences to model inputs, and logits back to gloss sentences."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, overload

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils import cached_file

from .beam_search_adaptsign import beam_search
from .language_model_adaptsign import GlossLanguageModel
from .tokenization_adaptsign import IGNORED_LABEL, AdaptSignTokenizer
from .video_processing_adaptsign import AdaptSignVideoProcessor, Video, split_batch

Decoder = Literal["greedy", "beam", "language_model"]

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


@dataclass(frozen=True)
class DecodedSentence:
    """A sentence that may have been signed.

    Attributes:
        glosses: Joined by spaces; "" where nothing was signed.
        log_probability: Natural logarithm of its probability. With a language model, the logarithm by which sentences
            are ranked, which is not normalised.
    """

    glosses: str
    log_probability: float


class AdaptSignProcessor(ProcessorMixin):
    """The video processor and the gloss tokenizer of a model in one, and how its logits are decoded.

    Args:
        video_processor: An `AdaptSignVideoProcessor`.
        tokenizer: An `AdaptSignTokenizer`.
        decoder: How `batch_decode` reads logits: `greedy`, `beam` for the beam search of `beam_search`, or
            `language_model` for that of `GlossLanguageModel`, which needs the extra `lm`.
        num_beams: How many sequences a search keeps.
        language_model: File of an n-gram language model over glosses. It is saved with the processor, as
            `language_model` with the suffix it has.
        language_model_weight: Weight of its log-probability.
        gloss_bonus: With a language model, added to the score of a sentence for each gloss.

    Raises:
        ValueError: One of these settings cannot be.
    """

    def __init__(
        self,
        video_processor: AdaptSignVideoProcessor,
        tokenizer: AdaptSignTokenizer,
        decoder: Decoder = "greedy",
        num_beams: int = 10,
        language_model: str | Path | None = None,
        language_model_weight: float = 0.5,
        gloss_bonus: float = 0.0,
    ):
        super().__init__(video_processor, tokenizer)
        self.decoder, self.num_beams = decoder, num_beams
        self.language_model = None if language_model is None else str(language_model)
        self.language_model_weight, self.gloss_bonus = language_model_weight, gloss_bonus
        self._opened_language_model: GlossLanguageModel | None = None
        self._check_decoding(decoder, num_beams)

    def configure_decoding(
        self,
        decoder: Decoder | None = None,
        num_beams: int | None = None,
        language_model: str | Path | None = None,
        language_model_weight: float | None = None,
        gloss_bonus: float | None = None,
    ) -> None:
        """Change how logits are decoded; what is None stays as it is.

        Args:
            decoder: As in `AdaptSignProcessor`, and so the others. A language model that is given alone is used.
            num_beams: Of a search.
            language_model: File of a language model.
            language_model_weight: Its weight.
            gloss_bonus: For each gloss.

        Raises:
            ValueError: One of these settings cannot be; then all stay as they were.
        """
        if language_model is not None and decoder is None:
            decoder = "language_model"
        asked = {
            "decoder": decoder,
            "num_beams": num_beams,
            "language_model": None if language_model is None else str(language_model),
            "language_model_weight": language_model_weight,
            "gloss_bonus": gloss_bonus,
        }
        before = {name: getattr(self, name) for name in asked}
        self.__dict__.update({name: value for name, value in asked.items() if value is not None})
        try:
            self._check_decoding(self.decoder, self.num_beams)
        except ValueError:
            self.__dict__.update(before)
            raise

    def _check_decoding(self, decoder: str, num_beams: int) -> None:
        if decoder not in get_args(Decoder):
            raise ValueError(f"There is no decoder {decoder!r}: choose one of {', '.join(get_args(Decoder))}.")
        if not isinstance(num_beams, int) or num_beams < 1:
            raise ValueError(f"Cannot decode with num_beams={num_beams!r}: give a whole number of at least 1.")
        if decoder == "language_model" and self.language_model is None:
            raise ValueError(
                "Cannot decode with a language model: the processor has none. Give it the path of one as "
                "language_model=…; `adaptsign lm train` makes one."
            )
        for name in ("language_model_weight", "gloss_bonus"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"Cannot decode with {name}={value!r}: give a number.")

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

    @overload
    def batch_decode(
        self,
        logits: torch.Tensor,
        lengths: torch.Tensor | Sequence[int] | None = None,
        decoder: Decoder | None = None,
        num_beams: int | None = None,
        n_best: None = None,
    ) -> list[str]: ...

    @overload
    def batch_decode(
        self,
        logits: torch.Tensor,
        lengths: torch.Tensor | Sequence[int] | None = None,
        decoder: Decoder | None = None,
        num_beams: int | None = None,
        *,
        n_best: int,
    ) -> list[list[DecodedSentence]]: ...

    def batch_decode(
        self,
        logits: torch.Tensor,
        lengths: torch.Tensor | Sequence[int] | None = None,
        decoder: Decoder | None = None,
        num_beams: int | None = None,
        n_best: int | None = None,
    ) -> list[str] | list[list[DecodedSentence]]:
        """Decode logits to sentences.

        `greedy` takes the best token of each step and collapses as CTC does; `beam` looks for the sentence that is
        most probable over all of its paths; `language_model` weighs that with how probable the sentence is in itself.

        Args:
            logits: Scores or log-probabilities, (batch, steps, vocabulary).
            lengths: Number of valid steps of each row, (batch,); None takes all.
            decoder: How; None as the processor is set.
            num_beams: How many sequences a search keeps; None as the processor is set.
            n_best: How many sentences of each row are wanted, at most `num_beams`; None for the best one as text.

        Returns:
            One sentence a row, glosses joined by spaces; "" where nothing is signed. With `n_best`, for each row a
            list of sentences with their log-probabilities, best first; fewer where fewer are possible or were found.

        Raises:
            ValueError: A shape does not fit the vocabulary or the batch, a setting cannot be, `n_best` or `num_beams`
                is asked of the greedy decoder, or a language model cannot be used.
        """
        steps = self._check_shapes(logits, lengths)
        chosen = self.decoder if decoder is None else decoder
        beams = self.num_beams if num_beams is None else num_beams
        self._check_decoding(chosen, beams)
        if chosen == "greedy":
            if n_best is not None or num_beams is not None:
                raise ValueError(
                    "The greedy decoder finds one sentence and has no beams: with n_best or num_beams, choose "
                    'decoder="beam" or decoder="language_model".'
                )
            paths = logits.argmax(dim=-1).tolist()
            return [self.tokenizer.decode(path[:length]) for path, length in zip(paths, steps, strict=True)]
        if n_best is not None and not 1 <= n_best <= beams:
            raise ValueError(f"Cannot give the n_best={n_best} sentences of {beams} beams: give 1 to num_beams.")
        log_probs = logits.float().log_softmax(dim=-1)
        if chosen == "beam":
            found = beam_search(log_probs, steps, beams, n_best or 1)
        else:
            found = self._open_language_model().search(
                log_probs, steps, beams, n_best or 1, self.language_model_weight, self.gloss_bonus
            )
        sentences = [
            [DecodedSentence(self._sentence(each.ids), each.log_probability) for each in hypotheses]
            for hypotheses in found
        ]
        if n_best is not None:
            return sentences
        return [best[0].glosses if best else "" for best in sentences]

    def _check_shapes(self, logits: torch.Tensor, lengths: torch.Tensor | Sequence[int] | None) -> list[int]:
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
        return steps

    def _sentence(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), group_tokens=False)

    def _open_language_model(self) -> GlossLanguageModel:
        opened = self._opened_language_model
        if opened is None or str(opened.path) != self.language_model:
            assert self.language_model is not None
            opened = self._opened_language_model = GlossLanguageModel(self.language_model, self.tokenizer.glosses)
        return opened

    def to_dict(self) -> dict[str, Any]:
        """Return the settings; the language model by the name that it has when it is saved."""
        settings = super().to_dict()
        if self.language_model is not None:
            settings["language_model"] = self._saved_name()
        return settings

    def _saved_name(self) -> str:
        return f"language_model{Path(self.language_model or '').suffix}"

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs) -> list[str]:
        """Save as `ProcessorMixin.save_pretrained` does, the file of the language model too."""
        if self.language_model is not None:
            file, copy = Path(self.language_model), Path(save_directory) / self._saved_name()
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not (copy.is_file() and copy.samefile(file)):
                shutil.copyfile(file, copy)
        return super().save_pretrained(save_directory, push_to_hub, **kwargs)

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the settings, as `ProcessorMixin.get_processor_dict` does; the language model by its path."""
        settings, unused = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if settings.get("language_model") is not None:
            options = {name: kwargs[name] for name in _HUB_OPTIONS if kwargs.get(name) is not None}
            settings["language_model"] = cached_file(
                pretrained_model_name_or_path, settings["language_model"], **options
            )
        return settings, unused
