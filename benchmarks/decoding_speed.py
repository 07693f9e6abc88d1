"""
How long decoding takes, beside pyctcdecode without a language model: 1,296 classes, 60 steps, 10 beams.

    nice -n -15 python benchmarks/decoding_speed.py

Both start from the same logits, one clip at a time, on one thread; ours also 8 clips at once. pyctcdecode runs as it
is by default, which drops classes below e^-5 and beams e^10 times worse than the best, and, once, with that turned
off, which is what ours does: it drops nothing but sequences beyond the beams. Each round times all others in turn;
printed are medians over the rounds, and of the rounds' ratios. What pyctcdecode drops by default makes it quick where
a model is sure of almost every step; the small model of the demonstration gives a step's best class 0.81 on average.
"""

import argparse
import json
import logging
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pyctcdecode.alphabet import Alphabet
from pyctcdecode.decoder import BeamSearchDecoderCTC

from adaptsign_hf.modeling.beam_search_adaptsign import beam_search

RESULT = Path(__file__).with_suffix(".json")
NUM_CLASSES, NUM_STEPS, NUM_BEAMS, NUM_CLIPS = 1296, 60, 10, 8
# How much the logits of a clip that was read well are multiplied by; 0 for flat ones.
SHARPNESS = {"flat": 0.0, "peaky": 1.25, "very peaky": 3.0}


def make_logits(sharpness: float, seed: int) -> torch.Tensor:
    """Return logits of a clip, (steps, classes): blanks, every six steps a gloss of two steps, and noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(NUM_STEPS, NUM_CLASSES, generator=generator)
    if not sharpness:
        return noise
    logits = 1.5 * noise
    logits[:, 0] += 9
    for step in range(3, NUM_STEPS, 6):
        gloss = int(torch.randint(1, NUM_CLASSES, (1,), generator=generator))
        logits[step : step + 2, gloss] += 10
        logits[step : step + 2, 0] -= 4
    return sharpness * logits


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def decode(clips: Sequence[torch.Tensor]) -> None:
    """Decode clips by our search, one at a time."""
    for logits in clips:
        beam_search(logits[None].log_softmax(dim=-1), num_beams=NUM_BEAMS)


def measure(sharpness: float, num_rounds: int) -> dict[str, float]:
    """Return milliseconds a clip, and how many times as long pyctcdecode takes as ours."""
    clips = [make_logits(sharpness, seed) for seed in range(NUM_CLIPS)]
    arrays = [logits.numpy() for logits in clips]
    batch = torch.stack(clips)
    decoder = BeamSearchDecoderCTC(Alphabet(["", *(f"▁{gloss}" for gloss in range(1, NUM_CLASSES))], is_bpe=True))
    unpruned = {"beam_prune_logp": -math.inf, "token_min_logp": -math.inf}
    rounds = []
    for _ in range(num_rounds):
        ours = seconds_of(lambda: decode(clips)) / NUM_CLIPS
        together = seconds_of(lambda: beam_search(batch.log_softmax(dim=-1), num_beams=NUM_BEAMS)) / NUM_CLIPS
        theirs = (
            seconds_of(lambda: [decoder.decode_beams(array, beam_width=NUM_BEAMS) for array in arrays]) / NUM_CLIPS
        )
        rounds.append([ours, together, theirs])
    without_pruning = seconds_of(lambda: decoder.decode_beams(arrays[0], beam_width=NUM_BEAMS, **unpruned))
    ours, together, theirs = (1000 * statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "peak": float(batch.softmax(dim=-1).amax(dim=-1).mean()),
        "ours": ours,
        "ours_in_batches": together,
        "pyctcdecode": theirs,
        "pyctcdecode_unpruned": 1000 * without_pruning,
        "ratio": statistics.median(theirs / ours for ours, _, theirs in rounds),
        "ratio_in_batches": statistics.median(theirs / together for _, together, theirs in rounds),
        "ratio_unpruned": 1000 * without_pruning / ours,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each kind of logits (15)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    results = {}
    for name, sharpness in SHARPNESS.items():
        result = results[name] = measure(sharpness, arguments.rounds)
        print(
            f"{name}, a step's best class has {result['peak']:.3f} on average: "
            f"ours {result['ours']:.2f} ms a clip, {result['ours_in_batches']:.2f} ms in batches of {NUM_CLIPS}; "
            f"pyctcdecode {result['pyctcdecode']:.2f} ms ({result['ratio']:.2f} times ours, "
            f"{result['ratio_in_batches']:.2f} times ours in batches), "
            f"unpruned {result['pyctcdecode_unpruned']:.0f} ms ({result['ratio_unpruned']:.0f} times ours)",
            flush=True,
        )
    report = {
        "machine": platform.processor() or platform.machine(),
        "classes": NUM_CLASSES,
        "steps": NUM_STEPS,
        "beams": NUM_BEAMS,
        "milliseconds_a_clip": results,
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
