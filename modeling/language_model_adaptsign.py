"""Beam search with an n-gram language model over glosses, by pyctcdecode and kenlm (the extra `lm`)."""

import math
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .beam_search_adaptsign import Hypothesis

_UNKNOWN = "<unk>"
_SENTENCE_END = "</s>"
_NOT_GLOSSES = ("<s>", _SENTENCE_END, _UNKNOWN)  # what kenlm means by them is not a gloss of that name


class GlossLanguageModel:
    """An n-gram language model over the glosses of a vocabulary.

    The file is read when it is first needed, and once; copies and other processes read it anew.

    Args:
        path: An ARPA file, or kenlm's binary form of one. Its words are glosses.
        glosses: The vocabulary: the glosses of the classes 1, 2, …; the class 0 is the blank.
    """

    def __init__(self, path: str | Path, glosses: Sequence[str]):
        self.path = Path(path)
        self.glosses = tuple(glosses)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "glosses": self.glosses}

    @cached_property
    def _scorer(self) -> "_Scorer":
        try:
            import kenlm
        except ImportError as error:
            raise _missing_extra(error) from error
        if not self.path.is_file():
            raise FileNotFoundError(f"Reading the language model {self.path}: there is no such file.")
        quiet = kenlm.Config()
        quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        try:
            model = kenlm.Model(str(self.path), quiet)
        except (OSError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(
                f"Reading the language model {self.path}: kenlm cannot read it ({reason}). Give an ARPA file, such as "
                "`adaptsign lm train` writes, or kenlm's binary form of one."
            ) from error
        return _Scorer(model, self.glosses, kenlm.State)

    @cached_property
    def _decoder(self) -> Any:
        try:
            from pyctcdecode.alphabet import Alphabet
            from pyctcdecode.decoder import BeamSearchDecoderCTC
        except ImportError as error:
            raise _missing_extra(error) from error
        # Words of pyctcdecode are what begins with ▁. They are the ids of glosses here, not the glosses: it would cut
        # a ▁ off a gloss's end, and takes glosses such as [unk] or ##X for something else.
        words = ["", *(f"▁{token}" for token in range(1, len(self.glosses) + 1))]
        # A scorer has all that is called of pyctcdecode's own class, which cannot be named before it is imported.
        decoder = BeamSearchDecoderCTC(Alphabet(words, is_bpe=True), self._scorer)  # type: ignore[arg-type]
        weakref.finalize(self, decoder.cleanup)  # it keeps its language models in its class for ever
        return decoder

    def search(
        self,
        log_probs: torch.Tensor,
        lengths: torch.Tensor | Sequence[int] | None = None,
        num_beams: int = 10,
        n_best: int = 1,
        weight: float = 0.5,
        gloss_bonus: float = 0.0,
    ) -> list[list[Hypothesis]]:
        """Find the best sequences of each clip: highest `ln P(its paths) + weight · ln P(glosses) + bonus · length`.

        It is pyctcdecode's search: beams that are e¹⁰ times worse than the best, and classes below e⁻⁵ that are not a
        step's best, are dropped.

        Args:
            log_probs: Natural log-probabilities of the classes, (clips, steps, classes).
            lengths: Number of valid steps of each clip, (clips,); None takes all.
            num_beams: How many sequences are kept after each step.
            n_best: How many are returned, at most.
            weight: Of the language model's log-probability, which includes the sentence's end.
            gloss_bonus: Added for each gloss; more than 0 makes up for a language model's liking for short sentences.

        Returns:
            For each clip its hypotheses, best first; their `log_probability` is the sum above, not normalised.

        Raises:
            ValueError: If a shape does not fit, the extra `lm` is not installed, or the file is no language model.
            FileNotFoundError: If there is no such file.
        """
        if log_probs.ndim != 3 or log_probs.shape[2] != len(self.glosses) + 1:
            raise ValueError(
                f"Cannot search log-probabilities of shape {tuple(log_probs.shape)}: (clips, steps, "
                f"{len(self.glosses) + 1}) is needed."
            )
        if log_probs.sum().isnan():
            raise ValueError("Cannot search log-probabilities of which some are NaN: the model's output is broken.")
        decoder, scorer = self._decoder, self._scorer
        scorer.weight, scorer.gloss_bonus = weight, gloss_bonus
        steps = [log_probs.shape[1]] * len(log_probs) if lengths is None else [int(length) for length in lengths]
        found = []
        for clip, length in zip(log_probs.detach().float().cpu().numpy(), steps, strict=True):
            if length:
                beams = [(beam[0], beam[-1]) for beam in decoder.decode_beams(clip[:length], beam_width=num_beams)]
            else:
                beams = [("", scorer.score(scorer.get_start_state(), "", is_last_word=True)[0])]
            found.append([Hypothesis(tuple(map(int, text.split())), float(score)) for text, score in beams[:n_best]])
        return found


def _missing_extra(error: ImportError) -> ValueError:
    return ValueError(f'Decoding with a language model needs more: pip install "adaptsign-hf[lm]" ({error}).')


class _Scorer:
    """What pyctcdecode asks of a language model; its words are ids of glosses, "" is no gloss at all."""

    def __init__(self, model: Any, glosses: Sequence[str], new_state: Any):
        self.model, self.new_state = model, new_state
        self.order = model.order
        self.words = ["", *(_UNKNOWN if gloss in _NOT_GLOSSES or gloss not in model else gloss for gloss in glosses)]
        self.weight, self.gloss_bonus = 0.0, 0.0

    def get_start_state(self) -> Any:
        state = self.new_state()
        self.model.BeginSentenceWrite(state)
        return state

    def score_partial_token(self, word: str) -> float:
        """Score a word before it ends: not at all, a gloss is known when it begins."""
        return 0.0

    def score(self, state: Any, word: str, is_last_word: bool = False) -> tuple[float, Any]:
        """Score a word after a state, perhaps with the sentence's end; return the state after the word, too."""
        score = 0.0
        if word:
            after = self.new_state()
            score = self._log_probability(state, self.words[int(word)], after) + self.gloss_bonus
            state = after
        if is_last_word:
            score += self._log_probability(state, _SENTENCE_END, self.new_state())
        return score, state

    def _log_probability(self, state: Any, word: str, after: Any) -> float:
        return self.weight * math.log(10) * self.model.BaseScore(state, word, after)
