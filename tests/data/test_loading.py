import gc
import warnings
from functools import partial

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from adaptsign_hf.data.augmentation import AugmentationConfig
from adaptsign_hf.data.folder import Clip, LeftOutClip
from adaptsign_hf.data.loading import (
    ClipDataset,
    collate_clips,
    count_frames,
    decode_clips,
    load_frames,
    normalize_batch,
    probe_clips,
)
from adaptsign_hf.data.synthetic.corpus import write_video
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.modeling.video_reading_adaptsign import TruncatedVideoWarning

LENGTHS = {"a.mp4": 11, "b.mp4": 7, "c.mp4": 16}
AUGMENTATION = AugmentationConfig(min_frames=4)


def make_processor(fps=None):
    video_processor = AdaptSignVideoProcessor(
        size={"height": 20, "width": 20}, crop_size={"height": 16, "width": 16}, fps=fps
    )
    return AdaptSignProcessor(video_processor, AdaptSignTokenizer.from_glosses(["RAIN", "SUN"]))


@pytest.fixture(scope="module")
def processor():
    return make_processor()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three clips of noise at 10 frames a second, none of which is damaged."""
    folder, generator = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for name, length in LENGTHS.items():
        write_video(folder / name, generator.integers(0, 256, (length, 32, 32, 3), dtype=np.uint8), fps=10)
    return [Clip(name, folder / name, ("SUN", "RAIN")[: 1 + index % 2]) for index, name in enumerate(LENGTHS)]


@pytest.fixture
def broken(tmp_path):
    """Clips that cannot be read, for different reasons."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all")
    (tmp_path / "folder").mkdir()
    return [Clip(name, tmp_path / name, ("SUN",)) for name in ("empty.mp4", "text.mp4", "folder", "gone.mp4")]


def cut(clip, folder, share=0.6):
    """A copy of a clip whose end is missing; its index, at the front, still tells of all frames."""
    whole, short = folder / "whole.mp4", folder / "short.mp4"
    with av.open(str(clip.path)) as source, av.open(str(whole), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = whole.read_bytes()
    short.write_bytes(data[: int(len(data) * share)])
    return Clip("short.mp4", short, clip.glosses)


def assert_same_items(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, second[name], rtol=0, atol=0)
        else:
            assert value == second[name]


def items(dataset, num_workers):
    # A worker that hangs is an error, not a wait without end.
    return list(DataLoader(dataset, batch_size=None, num_workers=num_workers, timeout=60 if num_workers else 0))


@pytest.fixture
def no_garbage():
    """Nothing of earlier tests is left for a forked worker to clear away."""
    gc.collect()


def test_decoded_frames_are_freed_at_once(clips, processor):
    # What waits for the garbage collector piles up full-size frames, each with threads for its conversion; and if a
    # forked worker collects it, it waits for threads that it does not have, for ever.
    gc.collect()
    gc.disable()
    try:
        for clip in clips:
            load_frames(clip, processor.video_processor)
            count_frames(clip.path, None)
        assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) <= 2 * len(clips)
    finally:
        gc.enable()


def test_an_item_depends_on_seed_epoch_and_index_alone(clips, processor, no_garbage):
    dataset = ClipDataset(clips, processor, augmentation=AUGMENTATION, seed=3)
    dataset.set_epoch(2)
    there = items(dataset, 2)
    here = items(dataset, 0)
    torch.manual_seed(123)
    for other in (there, items(dataset, 0), [dataset[index] for index in range(3)]):
        for first, second in zip(here, other, strict=True):
            assert_same_items(first, second)


def test_epochs_seeds_and_clips_differ(clips, processor):
    frames = [torch.arange(40 * 3 * 20 * 20).view(40, 3, 20, 20).to(torch.uint8)] * 2
    seen = []
    for seed in (0, 1):
        dataset = ClipDataset(clips[:2], processor, frames, AUGMENTATION, seed)
        for epoch in (0, 1):
            dataset.set_epoch(epoch)
            seen += [dataset[0]["frames"], dataset[1]["frames"]]
    for index, first in enumerate(seen):
        assert not any(torch.equal(first, second) for second in seen[:index])


def test_preloaded_frames_give_the_same_items(clips, processor):
    readable, frames, left_out = decode_clips(clips, processor.video_processor, quiet=True)
    assert (readable, left_out) == (clips, [])
    for augmentation in (None, AUGMENTATION):
        preloaded = ClipDataset(clips, processor, frames, augmentation, seed=1)
        decoded = ClipDataset(clips, processor, None, augmentation, seed=1)
        for index in range(3):
            assert_same_items(preloaded[index], decoded[index])


def test_items_for_scoring_are_what_the_processor_gives(clips, processor):
    dataset = ClipDataset(clips, processor)
    assert len(dataset) == 3
    for index, clip in enumerate(clips):
        item = dataset[index]
        assert item.keys() == {"frames", "index"}
        assert item["index"] == index
        batch = collate_clips([item], processor)
        expected = processor(videos=clip.path)["pixel_values"]
        torch.testing.assert_close(normalize_batch(batch, processor, "cpu"), expected, rtol=0, atol=0)


def test_items_for_training_hold_labels_and_enough_frames(clips, processor):
    crowded = Clip("a.mp4", clips[0].path, ("SUN",) * 4)  # 7 steps, so 25 frames, of which the clip has 11
    item = ClipDataset([crowded], processor, augmentation=AUGMENTATION)[0]
    assert item["labels"].tolist() == [2, 2, 2, 2]
    assert item["labels"].dtype == torch.long
    assert item["frames"].shape == (25, 3, 16, 16)
    assert item["frames"].dtype == torch.uint8


def test_workers_decode_what_this_process_decodes(clips, broken, processor, no_garbage):
    mixed = [clips[0], broken[0], clips[2]]
    there = decode_clips(mixed, processor.video_processor, num_workers=2, quiet=True)
    here = decode_clips(mixed, processor.video_processor, quiet=True)
    assert here[0] == there[0] == [clips[0], clips[2]]
    assert here[2] == there[2]
    for first, second, length in zip(here[1], there[1], (11, 16), strict=True):
        assert first.shape == (length, 3, 20, 20)
        assert torch.equal(first, second)


def test_unreadable_clips_are_left_out_by_name(clips, broken, processor):
    mixed = [broken[0], clips[0], *broken[1:], clips[1]]
    names = ["empty.mp4", "text.mp4", "folder", "gone.mp4"]
    readable, frames, left_out = decode_clips(mixed, processor.video_processor, quiet=True)
    assert readable == clips[:2]
    assert [len(clip_frames) for clip_frames in frames] == [11, 7]
    assert [clip.name for clip in left_out] == names
    assert all(clip.reason for clip in left_out)
    readable, num_frames, left_out = probe_clips(mixed, None, quiet=True)
    assert (readable, num_frames) == (clips[:2], [11, 7])
    assert [clip.name for clip in left_out] == names


def test_a_folder_of_images_at_a_frame_rate_is_left_out(clips, tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "images" / "1.png")
    images = Clip("images", tmp_path / "images", ("SUN",))
    assert load_frames(images, make_processor().video_processor).shape == (1, 3, 20, 20)
    assert probe_clips([images], None, quiet=True)[1] == [1]
    for left_out in (
        decode_clips([images, clips[0]], make_processor(5.0).video_processor, quiet=True)[2],
        probe_clips([images, clips[0]], 5.0, quiet=True)[2],
    ):
        assert [clip.name for clip in left_out] == ["images"]
        assert "no times" in left_out[0].reason


def test_frames_are_counted_as_they_will_be_read(clips, tmp_path):
    for clip in clips:
        for fps in (None, 5.0, 10.0, 25.0):
            read = len(load_frames(clip, make_processor(fps).video_processor))
            assert abs(count_frames(clip.path, fps) - read) <= (0 if fps is None else 1)


def test_a_clip_that_ends_early_is_used(clips, processor, tmp_path):
    short = cut(clips[2], tmp_path)
    with pytest.warns(TruncatedVideoWarning):
        frames = load_frames(short, processor.video_processor)
    assert 1 <= len(frames) < 16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedVideoWarning)
        assert decode_clips([short], processor.video_processor, quiet=True)[0] == [short]
        assert probe_clips([short], None, quiet=True)[0] == [short]
        # However few frames are left, a training item has room for its label.
        crowded = Clip("short.mp4", short.path, ("SUN",) * 3)
        assert len(ClipDataset([crowded], processor, augmentation=AUGMENTATION)[0]["frames"]) >= 17


def batches(dataset, processor, batch_size):
    return list(DataLoader(dataset, batch_size, collate_fn=partial(collate_clips, processor=processor)))


def test_batches_are_padded(clips, processor):
    (batch,) = batches(ClipDataset(clips, processor, augmentation=AugmentationConfig(0, 0, 1)), processor, 3)
    assert batch.keys() == {"left_out", "frames", "attention_mask", "index", "labels"}
    assert batch["frames"].shape == (3, 16, 3, 16, 16)
    assert batch["frames"].dtype == torch.uint8  # a quarter of what a worker would have to send as floats
    assert batch["attention_mask"].sum(dim=1).tolist() == [11, 7, 16]
    pixel_values = normalize_batch(batch, processor, "cpu")
    assert pixel_values.dtype == torch.float32
    assert not pixel_values[1, 7:].any()
    assert -1 <= pixel_values.min() < pixel_values.max() <= 1
    torch.testing.assert_close(pixel_values[1, :7], batch["frames"][1, :7] / 127.5 - 1)
    assert batch["index"].tolist() == [0, 1, 2]
    assert batch["labels"].tolist() == [[2, -100], [2, 1], [2, -100]]
    assert batch["left_out"] == []


def test_clips_left_out_are_beside_the_batch(clips, broken, processor):
    dataset = ClipDataset([clips[0], broken[0], clips[1]], processor)
    (batch,) = batches(dataset, processor, 3)
    assert batch.keys() == {"left_out", "frames", "attention_mask", "index"}
    assert batch["index"].tolist() == [0, 2]
    assert batch["attention_mask"].sum(dim=1).tolist() == [11, 7]
    assert [clip.name for clip in batch["left_out"]] == ["empty.mp4"]


def test_a_batch_of_none_but_clips_left_out(broken, processor):
    (batch,) = batches(ClipDataset(broken, processor), processor, 4)
    assert batch.keys() == {"left_out"}
    assert all(isinstance(clip, LeftOutClip) for clip in batch["left_out"])
    assert len(batch["left_out"]) == 4
