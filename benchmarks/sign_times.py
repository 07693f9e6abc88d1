"""
How well signs are found in time: recognised glosses beside the true times of the synthetic corpus.

    make demo                          # renders data/synthetic and trains runs/quickstart/model
    python benchmarks/sign_times.py    # a minute on two cores

Each clip is recognised, its glosses are timed, and those that are right, by the alignment that counts word errors, are
compared with the intervals that were rendered: a sign from its first to its last moment, without the movement between
signs. `path` is what the CTC path alone would give: from the first to the last step of a gloss. The rule's two
constants were chosen on the dev split. Confidence is compared between glosses that are right and those that are not.
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import torch
from tqdm.auto import tqdm

from adaptsign_hf.data.folder import clips_of_split, read_folder
from adaptsign_hf.decoding.alignment import align_glosses, time_aligned_glosses
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.metrics.gloss_wer.word_errors import align
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.temporal_adaptsign import STRIDE

RESULT = Path(__file__).with_suffix(".json")
SPLITS = ("dev", "test", "test_signer")

Interval = tuple[float, float]


@dataclass
class Timing:
    """Intervals in seconds of the right glosses of a split, as signed, as timed and as the path has them."""

    fps: float
    signed: list[Interval] = field(default_factory=list)
    timed: list[Interval] = field(default_factory=list)
    path: list[Interval] = field(default_factory=list)
    confidence_if_right: list[float] = field(default_factory=list)
    confidence_if_wrong: list[float] = field(default_factory=list)
    num_signed: int = 0

    def figures(self) -> dict[str, float]:
        """Return what is reported of the split."""
        error = boundary_error(self.signed, self.timed)
        confidences = self.confidence_if_right + self.confidence_if_wrong
        return {
            "signed_glosses": self.num_signed,
            "right_glosses": len(self.signed),
            "boundary_error_ms": 1000 * error,
            "boundary_error_frames": error * self.fps,
            "overlapping": fmean(overlap(*pair) > 0 for pair in zip(self.signed, self.timed, strict=True)),
            "mean_iou": mean_iou(self.signed, self.timed),
            "path_boundary_error_ms": 1000 * boundary_error(self.signed, self.path),
            "path_mean_iou": mean_iou(self.signed, self.path),
            "share_right": len(self.confidence_if_right) / len(confidences),
            "mean_confidence": fmean(confidences),
            "confidence_if_right": fmean(self.confidence_if_right),
            "confidence_if_wrong": fmean(self.confidence_if_wrong) if self.confidence_if_wrong else float("nan"),
        }


def overlap(one: Interval, other: Interval) -> float:
    """Return the seconds that two intervals share."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def boundary_error(signed: list[Interval], found: list[Interval]) -> float:
    """Return the mean distance in seconds between true and found starts and ends."""
    pairs = zip(signed, found, strict=True)
    return fmean(abs(true - guess) for interval, other in pairs for true, guess in zip(interval, other, strict=True))


def mean_iou(signed: list[Interval], found: list[Interval]) -> float:
    """Return the mean share that intervals have in common, of what both cover."""
    ratios = []
    for one, other in zip(signed, found, strict=True):
        shared = overlap(one, other)
        ratios.append(shared / (one[1] - one[0] + other[1] - other[0] - shared))
    return fmean(ratios)


@torch.inference_mode()
def time_split(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, data_dir: Path, annotations: dict[str, dict], split: str
) -> Timing:
    """Recognise and time the clips of a split."""
    clips = clips_of_split(read_folder(data_dir)[0], split)
    vocabulary = processor.tokenizer.glosses
    timing = Timing(fps=annotations[clips[0].name]["fps"])
    for clip in tqdm(clips, split, leave=False, disable=None):
        annotation = annotations[clip.name]
        inputs = processor(videos=clip.path).to(model.device)
        logits = model(**inputs).logits[0]
        read = processor.batch_decode(logits[None])[0].split()
        aligned = align_glosses(logits, [vocabulary.index(gloss) + 1 for gloss in read])
        timed = time_aligned_glosses(aligned, vocabulary, annotation["fps"], annotation["num_frames"])
        step = STRIDE / annotation["fps"]
        signs, found = iter(annotation["timings"]), iter(zip(aligned, timed, strict=True))
        timing.num_signed += len(clip.glosses)
        for signed_gloss, read_gloss in align(clip.glosses, read):
            sign = next(signs) if signed_gloss is not None else None
            if read_gloss is None:
                continue
            steps, gloss = next(found)
            if sign is None or sign["gloss"] != gloss.gloss:
                timing.confidence_if_wrong.append(gloss.confidence)
                continue
            timing.confidence_if_right.append(gloss.confidence)
            timing.signed.append((sign["start"], sign["end"]))
            timing.timed.append((gloss.start, gloss.end))
            timing.path.append((steps.first_step * step, (steps.last_step + 1) * step))
    return timing


def main() -> None:
    """Measure, print, and write the figures beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/quickstart/model"), help="a trained model")
    parser.add_argument("--data", type=Path, default=Path("data/synthetic"), help="the rendered corpus")
    parser.add_argument("--output", type=Path, default=RESULT, help=f"JSON file ({RESULT.name})")
    options = parser.parse_args()
    for needed in (options.model / "config.json", options.data / "annotations.jsonl"):
        if not needed.is_file():
            parser.error(f"there is no {needed}: run `make demo` first, or name another place")
    with (options.data / "annotations.jsonl").open(encoding="utf-8") as lines:
        annotations = {annotation["file_name"]: annotation for annotation in map(json.loads, lines)}
    model, processor = load_model(options.model)
    figures = {}
    for split in SPLITS:
        timing = time_split(model, processor, options.data, annotations, split)
        if not timing.signed:
            parser.error(f"the model in {options.model} reads none of the glosses of {split!r}: train it again")
        figures[split] = timing.figures()
    for name in figures[SPLITS[0]]:
        print(f"{name:24}" + "".join(f"{split} {figures[split][name]:.4g}".rjust(22) for split in SPLITS))
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
