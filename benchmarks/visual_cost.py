"""
What reading frames costs beside bare CLIP: FLOPs, seconds, memory, and the size of an adapter checkpoint.

    python benchmarks/visual_cost.py                     # ViT-B/16, as released; some 20 minutes on 2 cores
    python benchmarks/visual_cost.py --memory-frames     # without the memory of long clips: some 3 minutes

Weights are random: cost does not depend on them. FLOPs are counted by torch with eager attention on both sides,
because its counter does not see fused attention on a CPU. Seconds are medians of pairs, bare CLIP and AdaptSign in
turn, in one run; memory is the growth of a process's peak beyond the model and the frames that it holds already.
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel

from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel

RESULT = Path(__file__).with_suffix(".json")
VIT_B16 = {"patch_size": 16, "projection_dim": 512}
COUNTED_FRAMES = 4


def build_model(reduction: int, attention: str = "sdpa") -> AdaptSignModel:
    """Return AdaptSign's visual part around a random ViT-B/16; nothing in it is zero, so nothing is skipped."""
    torch.manual_seed(0)
    config = AdaptSignConfig(vision_config=VIT_B16, adapter_reduction=reduction)
    config.vision._attn_implementation = attention
    return AdaptSignModel(config).eval().requires_grad_(False)  # torch's counter stumbles over parameters that learn


def build_bare_clip(attention: str = "sdpa") -> CLIPVisionModel:
    """Return a random ViT-B/16."""
    config = CLIPVisionConfig(**VIT_B16)
    config._attn_implementation = attention
    return CLIPVisionModel(config).eval()


@torch.no_grad()
def count_flops(model: torch.nn.Module, pixels: torch.Tensor) -> int:
    """Return the floating-point operations of a forward, by torch's counter."""
    with FlopCounterMode(display=False) as counter:
        model(pixels)
    return counter.get_total_flops()


@torch.no_grad()
def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare_flops(reductions: list[int]) -> dict[str, float]:
    """Return the FLOPs a frame of bare CLIP, in billions, and those of AdaptSign as multiples of it."""
    frames = torch.randn(COUNTED_FRAMES, 3, 224, 224)
    bare = count_flops(build_bare_clip("eager"), frames)
    result = {"bare_gflops_per_frame": bare / COUNTED_FRAMES / 1e9}
    for reduction in reductions:
        # Padding frames are copies and cost nothing here, but for the few numbers behind the encoder.
        result[f"flops_ratio_reduction_{reduction}"] = (
            count_flops(build_model(reduction, "eager"), frames[None]) / bare
        )
    return result


def compare_seconds(num_frames: int, pairs: int, dtype: torch.dtype) -> dict[str, float]:
    """Return the median seconds of bare CLIP and of AdaptSign on the same frames, and the median of their ratios."""
    clip, model = build_bare_clip().to(dtype), build_model(reduction=4).to(dtype)
    frames = torch.randn(num_frames, 3, 224, 224).to(dtype)
    seconds = [(seconds_of(lambda: clip(frames)), seconds_of(lambda: model(frames[None]))) for _ in range(pairs + 1)]
    seconds = seconds[1:]  # the first pair warms up
    return {
        "bare_seconds": statistics.median(bare for bare, _ in seconds),
        "adaptsign_seconds": statistics.median(ours for _, ours in seconds),
        "seconds_ratio": statistics.median(ours / bare for bare, ours in seconds),
    }


def memory_mb(kind: str) -> float:
    """Return this process's memory, `VmRSS` now or `VmHWM` at its peak, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


@torch.no_grad()
def measure_peak(num_frames: int, connection) -> None:
    """Read one clip in this process, and send how far its peak memory grew beyond model and frames, in MB."""
    model, pixels = build_model(reduction=4), torch.randn(1, num_frames, 3, 224, 224)
    model(pixels[:, :1])  # libraries allocate their own on first use
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = memory_mb("VmRSS")
    model(pixels)
    connection.send(memory_mb("VmHWM") - before)


def peak_memory(num_frames: int) -> float:
    """Return the growth of peak memory for a clip, in MB, of a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure_peak, args=(num_frames, sender))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"Reading {num_frames} frames ended with exit status {process.exitcode}.")
    return receiver.recv()


@torch.no_grad()
def chunking_difference(num_frames: int) -> float:
    """Return the greatest difference of a clip's logits between chunks of 8 frames and the whole at once."""
    torch.manual_seed(0)
    model = AdaptSignForCTC(AdaptSignConfig(vision_config=VIT_B16)).eval()
    model.model.aggregator.cross_frame_gate.fill_(1.0)
    pixels = torch.randn(1, num_frames, 3, 224, 224)
    logits = []
    for chunk_size in (8, num_frames):
        model.config.frame_chunk_size = chunk_size
        logits.append(model(pixels).logits)
    return (logits[0] - logits[1]).abs().max().item()


def checkpoint_sizes() -> dict[str, float]:
    """Return the sizes of a full checkpoint and of an adapter alone, in MB."""
    model = AdaptSignForCTC(AdaptSignConfig(vision_config=VIT_B16))
    with tempfile.TemporaryDirectory() as folder:
        full, adapter = Path(folder) / "full", Path(folder) / "adapter"
        model.save_pretrained(full)
        save_adapter(model, adapter, "openai/clip-vit-base-patch16")
        return {
            "full_checkpoint_mb": (full / "model.safetensors").stat().st_size / 1e6,
            "adapter_checkpoint_mb": (adapter / "adapter_model.safetensors").stat().st_size / 1e6,
        }


def main() -> None:
    """Measure, print, and write the figures beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=32, help="frames that are timed (32)")
    parser.add_argument("--pairs", type=int, default=7, help="timed pairs (7)")
    parser.add_argument(
        "--memory-frames", type=int, nargs="*", default=[200, 2000], help="clip lengths for memory (200 2000)"
    )
    parser.add_argument("--output", type=Path, default=RESULT, help=f"JSON file ({RESULT.name})")
    options = parser.parse_args()

    figures: dict = {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
    figures |= {"threads": torch.get_num_threads(), "frames": options.frames, "pairs": options.pairs}

    def report(**measured: float) -> None:
        figures.update(measured)
        for name, value in measured.items():
            print(f"{name:34} {value:.5g}", flush=True)

    report(**compare_flops([4, 16]))
    report(**checkpoint_sizes())
    report(chunking_difference=chunking_difference(options.frames))
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        compared = compare_seconds(options.frames, options.pairs, dtype)
        report(**{f"{figure}_{name}": value for figure, value in compared.items()})
    for num_frames in options.memory_frames:
        report(**{f"peak_memory_mb_{num_frames}_frames": peak_memory(num_frames)})
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
