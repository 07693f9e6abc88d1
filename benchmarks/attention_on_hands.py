"""
Whether the model looks at the hands: weight on patches with a hand against other patches, before and after training.

    python benchmarks/attention_on_hands.py                    # after `make demo`; about a minute on 2 cores
    python benchmarks/attention_on_hands.py --model DIR --config FILE.yaml

The renderer of the synthetic corpus knows where the hands are: a circle each, `hands` in annotations.jsonl. A patch
counts as hand by the part of its area that lies in a circle, so

    times = (weight on hands / area of hands) / (weight elsewhere / area elsewhere)

is 1 where the hands get what any other part of the picture gets. It is taken over all frames of a split together. The
part of the picture that is hand is `area`; a model without preference puts that share of its weight there.

Before training is the model that the recipe starts from, for each of several seeds, the recipe's first; after training
is the saved model. For cross-frame attention the weight is the absolute affinity of a frame's class token to the
patches of frames t-2…t+2, against the hands in these. The word error rate tells whether the saved model has learnt.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from PIL import Image, ImageDraw
from torch.nn import functional
from tqdm.auto import tqdm

from adaptsign_hf.data.folder import Clip, clips_of_split, read_folder
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.metrics.gloss_wer.word_errors import WordErrors, count_word_errors
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import TrainingConfig, parse_training_config
from adaptsign_hf.training.corpus import list_corpus
from adaptsign_hf.visualization.attention import attend_clip

RESULT = Path(__file__).with_suffix(".json")


def hand_areas(
    hands: list[list[list[float]]], frame_size: int, video_processor: AdaptSignVideoProcessor, grid: tuple[int, int]
) -> torch.Tensor:
    """
    Find what part of each patch lies in a hand.

    Args:
        hands: Centre x, centre y and radius of both hands in each frame, pixels of the video.
        frame_size: Side of the video, pixels.
        video_processor: Resizes and crops masks of the hands as it does the frames.
        grid: Rows and columns of patches.

    Returns:
        float (frames, rows, columns), 0…1.
    """
    masks = []
    for frame in hands:
        mask = Image.new("RGB", (frame_size, frame_size))
        draw = ImageDraw.Draw(mask)
        for x, y, radius in frame:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
        masks.append(np.asarray(mask))
    resized = video_processor.load_video_frames(np.stack(masks))
    seen = video_processor.center_crop(resized, video_processor.crop_size)[:, :1].float() / 255
    return functional.adaptive_avg_pool2d(seen, grid)[:, 0]


class Tally:
    """Weights and areas, on hands and elsewhere, added up over clips."""

    def __init__(self) -> None:
        self.weights, self.areas = np.zeros(2), np.zeros(2)

    def add(self, weights: torch.Tensor, hands: torch.Tensor) -> None:
        """Add weights of patches, and what part of each patch is hand; any shape, the same."""
        parts = torch.stack([hands, 1 - hands])
        self.weights += (parts * weights).flatten(1).sum(dim=1).double().numpy()
        self.areas += parts.flatten(1).sum(dim=1).double().numpy()

    def result(self) -> dict[str, float]:
        """Return weight per area on hands over that elsewhere, and the shares of weight and of area on hands."""
        on_hands, elsewhere = self.weights / self.areas
        return {
            "times": round(on_hands / elsewhere, 3),
            "share": round(self.weights[0] / self.weights.sum(), 4),
            "area": round(self.areas[0] / self.areas.sum(), 4),
        }


def measure(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, clips: list[Clip], annotations: dict[str, dict], size: int
) -> dict:
    """Return the tallies of all layers, their mean and cross-frame attention, and the errors, over some clips."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    class_tokens, read = [], []
    radius = model.config.cross_frame_radius
    for clip in tqdm(clips, "clips", leave=False, disable=None):
        pixel_values = processor(videos=clip.path)["pixel_values"][0]
        output, attention = attend_clip(model, pixel_values)
        read.append(processor.batch_decode(output.logits)[0].split())
        grid = tuple(attention.query.shape[-2:])
        hands = hand_areas(annotations[clip.name]["hands"], size, processor.video_processor, grid)
        for layer, weights in enumerate(attention.query.unbind(dim=1), start=1):
            tallies[f"layer {layer}"].add(weights, hands)
        tallies["mean of layers"].add(attention.mean_query, hands)
        for offset in range(-radius, radius + 1):
            around = (torch.arange(len(hands)) + offset).clamp(0, len(hands) - 1)
            tallies["cross-frame"].add(attention.cross_frame[:, offset + radius].abs(), hands[around])
        class_tokens.append(attention.class_token)
    errors: WordErrors = count_word_errors([list(clip.glosses) for clip in clips], read)
    return {
        "weights": {name: tally.result() for name, tally in tallies.items()},
        "class_token_share": [round(share, 4) for share in torch.cat(class_tokens).mean(dim=0).tolist()],
        "cross_frame_gate": round(attention.gate, 4),
        "wer": round(errors.wer, 4),
    }


def fresh_model(config: TrainingConfig, seed: int) -> tuple[AdaptSignForCTC, AdaptSignProcessor]:
    """Build the model that a run of this recipe and seed starts from."""
    set_seed(seed)
    model, processor = build_model_and_processor(config.model, list_corpus(config.data).vocabulary, config.data.fps)
    return model.eval(), processor


def report(name: str, result: dict) -> None:
    """Print one model's figures."""
    print(f"{name}: WER {100 * result['wer']:.1f} %, gate of cross-frame attention {result['cross_frame_gate']}")
    for part, figures in result["weights"].items():
        print(
            f"  {part:15} {figures['times']:6.3f} times the weight elsewhere; "
            f"{100 * figures['share']:5.1f} % of the weight on {100 * figures['area']:.1f} % of the picture",
            flush=True,
        )


def read_annotations(folder: Path) -> Iterable[dict]:
    """Read what the renderer knows of each clip."""
    return map(json.loads, (folder / "annotations.jsonl").read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/quickstart.yaml", help="recipe of the run")
    parser.add_argument("--model", help="what the run left; its output_dir/model by default")
    parser.add_argument("--split", default="test", help="of the recipe's corpus (test)")
    parser.add_argument("--seeds", type=int, default=3, help="fresh models (3)")
    parser.add_argument("--result", type=Path, default=RESULT, help="the JSON file")
    arguments = parser.parse_args()
    config = parse_training_config(["--config", arguments.config])
    folder = Path(config.data.data_dir)
    clips = clips_of_split(read_folder(folder)[0], arguments.split)
    annotations = {line["file_name"]: line for line in read_annotations(folder)}
    size = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["frame_size"]

    results: dict = {"split": arguments.split, "clips": len(clips), "before": {}}
    for seed in range(config.run.seed, config.run.seed + arguments.seeds):
        name = f"seed {seed}"
        results["before"][name] = measure(*fresh_model(config, seed), clips, annotations, size)
        report(f"before training, {name}", results["before"][name])
    saved = arguments.model or Path(config.run.output_dir) / "model"
    results["after"] = measure(*load_model(saved, "cpu"), clips, annotations, size)
    report("after training", results["after"])
    arguments.result.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
