"""Word error rate over glosses, for `evaluate.load`; README.md beside this file is its card."""

import datasets
import evaluate

from .protocols import apply_protocol, split_glosses
from .word_errors import WordErrors, count_clip_errors, count_word_errors

_DESCRIPTION = """\
Word error rate over glosses: (substitutions + deletions + insertions) / reference glosses, counted as NIST's sclite
counts them, by the scoring protocols of the benchmarks of continuous sign language recognition.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: What was read, a clip a string of glosses separated by spaces, or a list of them. None, or nothing, is
        a missing hypothesis: all its reference glosses are deletions.
    references: What is signed, in the same order and either form.
    protocol: `raw` scores glosses as they are, `phoenix2014` cleans the predictions up as RWTH's script does,
        `phoenix2014_t` cleans both sides up as work on PHOENIX-2014-T does.
    collapse_repeats: Whether equal neighbours in a prediction count as one gloss.
    per_clip: Whether the result has a row for each clip.

Returns:
    wer: Word error rate, a fraction; it can exceed 1.
    substitutions, deletions, insertions: Errors of each kind.
    errors: All of them.
    reference_glosses: Glosses signed.
    clips: Clips scored.
    protocol: As given.
    per_clip: Where asked for, for each clip reference and prediction as scored, their errors, and their rate, None for
        an empty reference.

Examples:
    >>> metric = evaluate.load("src/adaptsign_hf/metrics/gloss_wer")
    >>> result = metric.compute(predictions=["RAIN SUN", None], references=["RAIN FOG SUN", "WIND"])
    >>> result["wer"], result["deletions"]
    (0.5, 2)
"""


class GlossWER(evaluate.Metric):
    """The metric; its arguments and results are in `inputs_description`."""

    def _info(self):
        glosses = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": glosses, "references": glosses}),
        )

    def add_batch(self, *, predictions=None, references=None, **kwargs):
        """Take clips as strings, lists, or None; `evaluate` by itself takes one form for all."""
        if len(predictions) != len(references):
            raise ValueError(
                f"Scoring {len(predictions)} predictions against {len(references)} references: "
                "each clip needs one of both."
            )
        missing = [index for index, reference in enumerate(references) if reference is None]
        if missing:
            raise ValueError(f"Scoring needs a reference for each clip; there is none at {missing[:10]}.")
        super().add_batch(
            predictions=[split_glosses(glosses) for glosses in predictions],
            references=[split_glosses(glosses) for glosses in references],
            **kwargs,
        )

    def add(self, *, prediction=None, reference=None, **kwargs):
        """Take one clip."""
        self.add_batch(predictions=[prediction], references=[reference], **kwargs)

    def _compute(self, predictions, references, protocol="raw", collapse_repeats=False, per_clip=False):
        references, predictions = apply_protocol(references, predictions, protocol, collapse_repeats)
        total = count_word_errors(references, predictions)
        result = {"wer": total.wer, **_counts(total), "clips": total.clips, "protocol": protocol}
        if per_clip:
            result["per_clip"] = [_row(*pair) for pair in zip(references, predictions, strict=True)]
        return result


def _row(reference: list[str], prediction: list[str]) -> dict:
    clip = count_clip_errors(reference, prediction)
    return {
        "reference": reference,
        "prediction": prediction,
        "wer": clip.wer if reference else None,
        **_counts(clip),
    }


def _counts(errors: WordErrors) -> dict[str, int]:
    names = ("substitutions", "deletions", "insertions", "errors", "reference_glosses")
    return {name: getattr(errors, name) for name in names}
