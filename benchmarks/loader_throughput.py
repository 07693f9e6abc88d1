"""
Frames a second that the training loader delivers from prepared shards, beside what decoding alone takes.

    python benchmarks/loader_throughput.py                    # renders its own clips; some 3 minutes on 2 cores
    python benchmarks/loader_throughput.py --prepared DIR     # shards that `adaptsign prepare` wrote

In each round the same frames are decoded, in turn,

- by Pillow alone, from encoded images that are in memory already, in one process and in as many as the loader has
  workers, which do nothing else;
- by PyAV alone, from the videos that the shards were prepared from (rendered clips only), likewise;
- by the training loader: shards, decoding, augmentation, batches of two, in this process at the end.

A clip's frames count once, however long the augmentation makes it. Figures are medians over rounds, and so are ratios,
each taken inside one round. Milliseconds are of processor time, which other work on the machine disturbs less: what a
frame costs all processes together.
"""

import argparse
import io
import json
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import av
import torch
from PIL import Image
from torch.utils.data import DataLoader

from adaptsign_hf.data.augmentation import AugmentationConfig
from adaptsign_hf.data.benchmarks import build_vocabulary, read_benchmark
from adaptsign_hf.data.folder import Clip
from adaptsign_hf.data.loading import ClipDataset, collate_clips
from adaptsign_hf.data.prepared.preparing import prepare_benchmark
from adaptsign_hf.data.prepared.shards import read_images
from adaptsign_hf.data.synthetic import SyntheticCorpusConfig, render_corpus
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor

RESULT = Path(__file__).with_suffix(".json")
BATCH_SIZE = 2  # the paper's


def decode_with_pillow(clips: Sequence[Sequence[bytes]]) -> None:
    """Decode encoded images and drop them."""
    for images in clips:
        for image in images:
            Image.open(io.BytesIO(image)).load()


def decode_with_pyav(paths: Sequence[Path]) -> None:
    """Decode videos to RGB and drop the frames."""
    for path in paths:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                frame.to_ndarray(format="rgb24")


def decode_share(decode: Callable, items: Sequence, start, done) -> None:
    """Decode in a process of its own, from when all are ready."""
    start.wait()
    decode(items)
    done.wait()


def seconds_of_processes(decode: Callable, items: Sequence, num_processes: int) -> float:
    """Return the seconds in which some processes decode all items between them."""
    if num_processes == 1:
        started = time.perf_counter()
        decode(items)
        return time.perf_counter() - started
    context = multiprocessing.get_context("fork")  # the items are there without being sent
    start, done = context.Barrier(num_processes + 1), context.Barrier(num_processes + 1)
    shares = [items[index::num_processes] for index in range(num_processes)]
    processes = [context.Process(target=decode_share, args=(decode, share, start, done)) for share in shares]
    for process in processes:
        process.start()
    start.wait()
    started = time.perf_counter()
    done.wait()
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    return seconds


def seconds_of_loader(dataset: ClipDataset, num_workers: int) -> float:
    """Return the seconds of an epoch of the training loader, the start of its workers included."""
    loader = DataLoader(
        dataset,
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=num_workers,
        collate_fn=partial(collate_clips, processor=dataset.processor),
    )
    started = time.perf_counter()
    for batch in loader:
        assert not batch["left_out"]
    return time.perf_counter() - started


def render_clips(folder: Path, num_clips: int) -> Path:
    """Render clips of 256 pixels and prepare them; return the folder of shards."""
    config = SyntheticCorpusConfig(num_train=num_clips, num_dev=0, num_test=0, num_test_signer=0, frame_size=256)
    source = render_corpus(folder / "source", config)
    return prepare_benchmark("folder", source, folder / "prepared").folder


def measure(prepared: Path, source: Path | None, num_workers: int, rounds: int) -> dict:
    """Return the figures of the training split."""
    clips: list[Clip] = [clip for clip in read_benchmark("prepared", prepared)[0] if clip.split == "train"]
    images = [read_images(clip.path, clip.row) for clip in clips]
    num_frames = sum(map(len, images))
    processor = AdaptSignProcessor(AdaptSignVideoProcessor(), AdaptSignTokenizer.from_glosses(build_vocabulary(clips)))
    dataset = ClipDataset(clips, processor, augmentation=AugmentationConfig())
    figures: dict = {
        "clips": len(clips),
        "frames": num_frames,
        "kilobytes_per_frame": sum(len(image) for clip in images for image in clip) / num_frames / 1000,
        "workers": num_workers,
        "rounds": rounds,
    }

    runs = {"loader": lambda: seconds_of_loader(dataset, num_workers)}
    for count in dict.fromkeys((1, num_workers)):
        suffix = "alone" if count == 1 else f"{count}_processes"
        runs[f"pillow_{suffix}"] = partial(seconds_of_processes, decode_with_pillow, images, count)
        if source is not None:
            videos = [source / clip.name for clip in clips]
            runs[f"pyav_{suffix}"] = partial(seconds_of_processes, decode_with_pyav, videos, count)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    processor_seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        dataset.set_epoch(number)
        for name, run in runs.items():
            before = processor_time()
            taken = run()
            if number > 0:  # the first round warms up
                seconds[name].append(taken)
                processor_seconds[name].append(processor_time() - before)
    for name in runs:
        figures[f"{name}_frames_per_second"] = num_frames / statistics.median(seconds[name])
    for name in runs:
        figures[f"{name}_milliseconds_per_frame"] = 1000 * statistics.median(processor_seconds[name]) / num_frames
    for name in runs:
        if name != "loader":
            ratios = [other / loader for other, loader in zip(seconds[name], seconds["loader"], strict=True)]
            figures[f"loader_over_{name}"] = statistics.median(ratios)
    return figures


def processor_time() -> float:
    """Return the seconds that processors have worked for this process, and for those it started that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Measure, print, and write the figures beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, help="prepared shards; rendered anew by default")
    parser.add_argument("--clips", type=int, default=128, help="rendered clips (128)")
    parser.add_argument("--workers", type=int, default=2, help="workers of the loader (2)")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds (7)")
    parser.add_argument("--output", type=Path, default=RESULT, help=f"JSON file ({RESULT.name})")
    options = parser.parse_args()
    figures = {
        "torch": torch.__version__,
        "pillow": Image.__version__,
        "machine": platform.processor() or platform.machine(),
        "cores": multiprocessing.cpu_count(),
    }
    with tempfile.TemporaryDirectory() as folder:
        prepared = options.prepared or render_clips(Path(folder), options.clips)
        source = None if options.prepared else Path(folder) / "source"
        figures |= measure(prepared, source, options.workers, options.rounds)
    for name, value in figures.items():
        print(f"{name:40} {value:.5g}" if isinstance(value, float) else f"{name:40} {value}")
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
