"""
How live recognition compares with that of whole clips: exactness, speed, latency, stability, dropped frames.

    make demo && python benchmarks/streaming.py          # the demo's model and test videos; minutes on 2 cores

Latency is stream time: how many seconds of video go by from the true end of a sign until its gloss is there. Computing
comes on top. To see the last signs as in a stream that goes on, each clip's last frame is held for some seconds.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from adaptsign_hf.data.folder import Clip, clips_of_split, read_folder
from adaptsign_hf.inference.frame_stream import FrameFeatureStream, StepStream
from adaptsign_hf.inference.live import LiveRecognizer, LiveUpdate
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.inference.streaming import HeadWindow, iter_log_probs, read_steps, recognize_stream
from adaptsign_hf.metrics.gloss_wer.word_errors import align, count_word_errors
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import iter_frames

RESULT = Path(__file__).with_suffix(".json")
LOOKAHEADS = (0, 2, 4, 8, 16)


@dataclass(frozen=True)
class Example:
    """A test clip: its frames (frames, height, width, 3) and pixel values, and its signs with their true times."""

    images: np.ndarray
    pixels: torch.Tensor
    fps: float
    timings: list[dict]
    offline: torch.Tensor

    @property
    def glosses(self) -> list[str]:
        """What is signed."""
        return [sign["gloss"] for sign in self.timings]


@torch.no_grad()
def read_examples(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, data: Path, clips: Sequence[Clip]
) -> Iterator[Example]:
    """Yield the clips with their true times, and their log-probabilities without a stream."""
    with (data / "annotations.jsonl").open(encoding="utf-8") as file:
        annotations = {record["file_name"]: record for record in map(json.loads, file)}
    for clip in clips:
        images = np.stack(list(iter_frames(clip.path)))
        pixels = processor(videos=images).pixel_values[0].to(model.device)
        log_probs = model(pixels[None]).logits[0].log_softmax(dim=-1).cpu()
        record = annotations[clip.name]
        yield Example(images, pixels, record["fps"], record["timings"], log_probs)


@torch.no_grad()
def feature_difference(model: AdaptSignForCTC, example: Example, generator: random.Random) -> float:
    """Return the greatest difference of a clip's features, pushed in random chunks, to those of the whole clip."""
    expected = model.model(example.pixels[None]).padded_hidden_state[0]
    stream, features, start = FrameFeatureStream(model.model), [], 0
    while start < len(example.pixels):
        end = start + generator.randint(1, 12)
        features.append(stream.push(example.pixels[start:end]))
        start = end
    features.append(stream.finish())
    return (torch.cat(features) - expected).abs().max().item()


def first_seen(gloss: str, occurrence: int, readings: list[tuple[str, ...]]) -> int | None:
    """Return after how many frames a gloss has been read so many times, or None if it never is."""
    return next((index + 1 for index, reading in enumerate(readings) if reading.count(gloss) >= occurrence), None)


def sign_latencies(example: Example, updates: list[LiveUpdate]) -> tuple[list[float], list[float]]:
    """Return, for the signs read rightly, the seconds from their end until they are tentative, and stable."""
    stable = [update.stable for update in updates]
    shown = [update.stable + update.tentative for update in updates]
    tentative_latencies, stable_latencies = [], []
    read_so_far: list[str] = []
    signs = iter(example.timings)
    for signed, read in align(example.glosses, stable[-1]):
        sign = next(signs) if signed is not None else None
        if read is not None:
            read_so_far.append(read)
        if sign is None or signed != read:
            continue
        for readings, latencies in ((shown, tentative_latencies), (stable, stable_latencies)):
            frames = first_seen(signed, read_so_far.count(signed), readings)
            assert frames is not None  # it is in the last reading
            latencies.append(frames / example.fps - sign["end"])
    return tentative_latencies, stable_latencies


def push_all(recognizer: LiveRecognizer, images: np.ndarray, held: int = 0) -> list[LiveUpdate]:
    """Push frames one by one, and the last one `held` times more; return what was read after each."""
    return [recognizer.push(image) for image in (*images, *[images[-1]] * held)]


def measure_lookahead(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, examples: list[Example], lookahead: int
) -> dict[str, float]:
    """Return how the stream does with a lookahead, in steps."""
    finals, stables, differences, tentative, stable, factors = [], [], [], [], [], []
    offline = [processor.batch_decode(example.offline[None])[0].split() for example in examples]
    for example in examples:
        recognizer = LiveRecognizer(model, processor, example.fps, lookahead_steps=lookahead)
        push_all(recognizer, example.images)
        result = recognizer.finish()
        finals.append(list(result.glosses))
        stables.append(list(result.stable))
        differences.append((result.log_probs - example.offline).abs().max().item())
        factors.append(recognizer.report().real_time_factor)

        recognizer = LiveRecognizer(model, processor, example.fps, lookahead_steps=lookahead)
        for latencies, more in zip(
            (tentative, stable),
            sign_latencies(example, push_all(recognizer, example.images, held=4 * lookahead + 24)),
            strict=True,
        ):
            latencies += more
    references, number = [example.glosses for example in examples], len(examples)
    figures = {
        "final_equals_offline": sum(map(list.__eq__, finals, offline)) / number,
        "stable_equals_offline": sum(map(list.__eq__, stables, offline)) / number,
        "final_log_prob_difference": max(differences),
        "final_wer": count_word_errors(references, finals).wer,
        "stable_wer": count_word_errors(references, stables).wer,
        "real_time_factor": statistics.median(factors),
        "signs_read_rightly": len(stable),
    }
    for name, latencies in (("tentative", tentative), ("stable", stable)):
        figures[f"{name}_latency_median_s"] = statistics.median(latencies)
        figures[f"{name}_latency_p90_s"] = float(np.percentile(latencies, 90))
    return figures


def wer_with_drops(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, examples: list[Example], kept_of: int, fill: bool
) -> float:
    """Return the WER when one frame of `kept_of` is read, and shown for as long as those dropped, or left alone."""
    hypotheses = []
    for example in examples:
        kept = example.pixels[::kept_of]
        repeats = [kept_of] * (len(kept) - 1) + [len(example.pixels) - kept_of * (len(kept) - 1)] if fill else None
        steps = StepStream(model)
        log_probs = read_steps(model, torch.cat([steps.push(kept, repeats), steps.finish()]))
        hypotheses.append(processor.batch_decode(log_probs[None])[0].split())
    return count_word_errors([example.glosses for example in examples], hypotheses).wer


def measure_long_stream(
    model: AdaptSignForCTC, processor: AdaptSignProcessor, examples: list[Example]
) -> dict[str, float]:
    """Lay all clips end to end; compare small windows of the BiLSTM with the whole."""
    chunks = [example.pixels for example in examples]
    whole = torch.cat([block for _, block in iter_log_probs(model, StepStream(model), chunks, HeadWindow(hop=10**9))])
    figures: dict[str, float] = {"steps": len(whole)}
    for context in (4, 12, 24, 48):
        window = HeadWindow(left_context=context, hop=2 * context, lookahead=context)
        blocks = [block for _, block in iter_log_probs(model, StepStream(model), chunks, window)]
        same = torch.cat(blocks).argmax(dim=-1) == whole.argmax(dim=-1)
        figures[f"same_best_class_context_{context}"] = same.double().mean().item()
    started = time.perf_counter()
    segments = list(recognize_stream(model, chunks))
    frames = sum(segment.num_frames for segment in segments)
    figures["frames_per_second_read"] = frames / (time.perf_counter() - started)
    figures["segments"] = len(segments)
    greedy = " ".join(processor.batch_decode(segment.log_probs[None])[0] for segment in segments)
    all_steps = torch.cat([segment.log_probs for segment in segments])
    figures["segments_read_as_the_whole"] = greedy.split() == processor.batch_decode(all_steps[None])[0].split()
    return figures


def main() -> None:
    """Measure, print, and write the figures beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/quickstart/model"), help="(%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data/synthetic"), help="(%(default)s)")
    parser.add_argument("--split", default="test", help="(%(default)s)")
    parser.add_argument("--clips", type=int, default=None, help="how many clips of the split (all)")
    parser.add_argument("--output", type=Path, default=RESULT, help=f"JSON file ({RESULT.name})")
    options = parser.parse_args()

    model, processor = load_model(options.model)
    clips = clips_of_split(read_folder(options.data)[0], options.split)[: options.clips]
    examples = list(read_examples(model, processor, options.data, clips))
    figures: dict = {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
    figures |= {"device": str(model.device), "threads": torch.get_num_threads(), "model": str(options.model)}
    figures |= {"clips": len(examples), "fps": examples[0].fps}

    def report(name: str, measured: dict[str, float]) -> None:
        figures[name] = measured
        print(name)
        for figure, value in measured.items():
            print(f"    {figure:30} {value:.4g}", flush=True)

    generator = random.Random(0)
    difference = max(feature_difference(model, example, generator) for example in examples)
    report("exactness", {"greatest_feature_difference": difference})
    for lookahead in LOOKAHEADS:
        report(f"lookahead of {lookahead} steps", measure_lookahead(model, processor, examples, lookahead))
    report(
        "WER when frames are dropped",
        {
            f"1 of {kept_of} read, {'shown for longer' if fill else 'left alone'}": wer_with_drops(
                model, processor, examples, kept_of, fill
            )
            for kept_of in (1, 2, 3)
            for fill in (True, False)
        },
    )
    report("all clips end to end", measure_long_stream(model, processor, examples))
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
