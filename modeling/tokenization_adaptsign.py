"""Glosses to ids and back; the CTC blank is the pad token, id 0."""

from collections.abc import Sequence
from itertools import groupby

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import BatchEncoding
from transformers.tokenization_utils_tokenizers import TokenizersBackend

BLANK = "<blank>"
BLANK_ID = 0
IGNORED_LABEL = -100  # what pads labels


def collapse_ctc(ids: Sequence[int]) -> list[int]:
    """Collapse a CTC path: equal neighbours become one, then blanks (0) are dropped."""
    return [token for token, _ in groupby(ids) if token != BLANK_ID]


class AdaptSignTokenizer(TokenizersBackend):
    """Whole glosses separated by white space, each one id; id 0 is the blank `<blank>`, which also pads.

    Glosses may be any Unicode text without white space; they are never split, normalised or cased. No begin or end
    token is added, and there is no unknown token: a gloss outside the vocabulary is an error.

    Build one with `from_glosses`, or load a saved one with `from_pretrained`.
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012  # as transformers declares it

    @classmethod
    def from_glosses(cls, glosses: Sequence[str]) -> "AdaptSignTokenizer":
        """Build the tokenizer of a vocabulary.

        Args:
            glosses: Distinct glosses; they get the ids 1, 2, … in this order.

        Raises:
            ValueError: A gloss is empty, holds white space, equals the blank or comes twice.
        """
        vocabulary = {BLANK: BLANK_ID}
        for gloss in glosses:
            if gloss.split() != [gloss]:
                raise ValueError(
                    f"The gloss {gloss!r} is empty or holds white space, which separates glosses: rename it."
                )
            if gloss == BLANK:
                raise ValueError(f"The gloss {gloss!r} is the name of the CTC blank: rename it, or leave it out.")
            if gloss in vocabulary:
                raise ValueError(f"The gloss {gloss!r} is in the vocabulary twice: give each gloss once.")
            vocabulary[gloss] = len(vocabulary)
        backend = Tokenizer(WordLevel(vocabulary))
        backend.pre_tokenizer = WhitespaceSplit()
        return cls(tokenizer_object=backend, pad_token=BLANK)

    @property
    def glosses(self) -> list[str]:
        """The glosses in the order of their ids 1, 2, …, without the blank."""
        vocabulary = self.get_vocab()
        return sorted(vocabulary, key=vocabulary.__getitem__)[BLANK_ID + 1 :]

    def _encode_plus(self, text, *args, **kwargs) -> BatchEncoding:
        """Encode a text, a batch of texts or texts already split: every public way of encoding ends here.

        Raises:
            ValueError: A gloss is outside the vocabulary, or is the blank.
        """
        known = self.get_vocab()
        unknown = {gloss: None for gloss in self._split(text) if known.get(gloss, BLANK_ID) == BLANK_ID}  # each once
        if unknown:
            raise ValueError(
                f"Cannot encode {', '.join(map(repr, unknown))}: not among the {self.vocab_size - 1} glosses of the "
                "vocabulary. Correct the text, or build the tokenizer with these glosses."
            )
        # A gloss may contain the text "<blank>": without this the blank would be cut out of it.
        kwargs["split_special_tokens"] = True
        return super()._encode_plus(text, *args, **kwargs)

    def _split(self, text: str | Sequence[str] | Sequence[Sequence[str]]) -> list[str]:
        """All glosses of a text or of a nest of texts, cut where the backend cuts them."""
        if isinstance(text, str):
            return [gloss for gloss, _ in self.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        return [gloss for part in text for gloss in self._split(part)]

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        group_tokens: bool = True,
        **kwargs,
    ) -> str:
        """Turn a CTC path, or with `group_tokens=False` labels, into glosses joined by spaces.

        The label padding -100 is skipped, blanks always are, and spaces are never cleaned up, whatever is asked.

        Raises:
            ValueError: An id is outside the vocabulary.
        """
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        ids = collapse_ctc(ids) if group_tokens else [token for token in ids if token != BLANK_ID]
        ids = [token for token in ids if token != IGNORED_LABEL]
        foreign = [token for token in ids if not BLANK_ID < token < self.vocab_size]
        if foreign:
            raise ValueError(
                f"Cannot decode the id {foreign[0]}: the vocabulary has the ids 0…{self.vocab_size - 1}. Decode with "
                "the tokenizer of the model that gave the ids."
            )
        return " ".join(self.convert_ids_to_tokens(ids))
