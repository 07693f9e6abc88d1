"""Videos to pixel values."""

import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BatchFeature

from adaptsign_hf.modeling import video_processing_adaptsign
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor, split_batch
from adaptsign_hf.modeling.video_reading_adaptsign import VideoReadError

SHARED_VIDEO = Path(__file__).parents[2].parent / "shared" / "video"


@pytest.fixture
def processor():
    """The standard processor at a sixteenth of its size."""
    return AdaptSignVideoProcessor(size={"height": 16, "width": 16}, crop_size={"height": 14, "width": 14})


def noise(count, height=20, width=30):
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# The numbers


def test_standard_settings():
    processor = AdaptSignVideoProcessor()
    batch = processor(noise(2), return_tensors="pt")
    assert isinstance(batch, BatchFeature)
    assert batch["pixel_values"].shape == (1, 2, 3, 224, 224)
    assert batch["pixel_values"].dtype == torch.float32
    assert batch["attention_mask"].tolist() == [[1, 1]]
    assert batch["attention_mask"].dtype == torch.long
    assert list(batch) == processor.model_input_names == ["pixel_values", "attention_mask"]
    assert processor.load_video_frames(noise(2)).shape == (2, 3, 256, 256)


def test_values_are_the_centre_over_127_5_minus_1():
    # frames of the working size already, so that resizing leaves them alone
    frames = noise(3, 256, 256)
    values = AdaptSignVideoProcessor()(frames)["pixel_values"][0]
    wanted = torch.from_numpy(frames).permute(0, 3, 1, 2)[:, :, 16:240, 16:240] / 127.5 - 1
    torch.testing.assert_close(values, wanted, atol=1e-6, rtol=0)
    assert values.min() == -1
    assert values.max() == 1


def test_normalize_frames_needs_no_crop(processor):
    frames = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    before = frames.clone()
    torch.testing.assert_close(processor.normalize_frames(frames), frames / 127.5 - 1, atol=1e-6, rtol=0)
    assert torch.equal(frames, before)


def test_normalize_frames_leaves_floats_it_is_given_alone(processor):
    frames = torch.full((1, 3, 2, 2), 255.0)
    assert processor.normalize_frames(frames).unique().tolist() == [1.0]
    assert frames.unique().tolist() == [255.0]


def test_frames_are_squashed_not_cropped_to_a_square(processor):
    # left half black, right half white, twice as wide as high: the border stays in the middle
    frame = np.zeros((1, 32, 64, 3), dtype=np.uint8)
    frame[:, :, 32:] = 255
    frames = processor.load_video_frames(frame)
    assert frames.shape == (1, 3, 16, 16)
    assert frames[..., :6].max() == 0
    assert frames[..., 10:].min() == 255


def test_shrinking_is_antialiased(processor):
    stripes = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    frames = processor.load_video_frames(stripes).float()
    assert (frames - 127.5).abs().max() < 30


def test_resizing_is_pillows_bicubic(processor):
    frame = noise(1, 40, 60)[0]
    wanted = np.asarray(Image.fromarray(frame).resize((16, 16), Image.Resampling.BICUBIC)).astype(int)
    got = processor.load_video_frames(frame[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(got - wanted).max() <= 1


def test_steps_can_be_switched_off():
    processor = AdaptSignVideoProcessor(do_resize=False, do_center_crop=False, do_normalize=False)
    values = processor(noise(2))["pixel_values"][0]
    torch.testing.assert_close(values, torch.from_numpy(noise(2)).permute(0, 3, 1, 2) / 255)
    processor.do_rescale = False
    values = processor(noise(2))["pixel_values"][0]
    torch.testing.assert_close(values, torch.from_numpy(noise(2)).permute(0, 3, 1, 2).float())


# Batches


def test_shorter_clips_are_padded_with_zeros_behind(processor):
    clips = [noise(2), noise(5), noise(3, 50, 10)]
    batch = processor(clips, return_tensors="pt")
    assert batch["pixel_values"].shape == (3, 5, 3, 14, 14)
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    for row, clip in zip(batch["pixel_values"], clips, strict=True):
        alone = processor(clip)["pixel_values"][0]
        assert torch.equal(row[: len(clip)], alone)
        assert not row[len(clip) :].any()


def test_numpy_output(processor):
    batch = processor([noise(2), noise(1)], return_tensors="np")
    assert isinstance(batch["pixel_values"], np.ndarray)
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]


def test_what_is_one_video_and_what_a_batch():
    frames, image = noise(3), Image.fromarray(noise(1)[0])
    for one in ["a.mp4", Path("a.mp4"), frames, torch.from_numpy(frames), [image, image], list(frames)]:
        batch = split_batch(one)
        assert len(batch) == 1
        assert batch[0] is one
    for many in [["a.mp4", Path("b.mp4")], [frames, frames], [[image], [image]], np.stack([frames, frames])]:
        assert len(split_batch(many)) == 2


# Every kind of input gives the same


def test_all_inputs_agree(processor, write_video, tmp_path):
    frames = noise(4)
    path = write_video("a.mov", list(frames))
    (tmp_path / "folder").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "folder" / f"{index}.png")
    channels_first = frames.transpose(0, 3, 1, 2)
    wanted = processor(frames)["pixel_values"]
    for video in [
        path,
        str(path),
        tmp_path / "folder",
        torch.from_numpy(frames),
        channels_first,
        torch.from_numpy(channels_first),
        frames[None],
        [frames],
        list(frames),
        [torch.from_numpy(frame) for frame in frames],
        [Image.fromarray(frame) for frame in frames],
        frames.astype(np.float64) / 255,
        torch.from_numpy(frames) / 255,
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(processor(video)["pixel_values"], wanted)


def test_grey_arrays_and_images_become_three_equal_channels(processor):
    grey = noise(3)[..., 0]
    wanted = processor(np.repeat(grey[..., None], 3, axis=-1))["pixel_values"]
    assert torch.equal(processor(grey)["pixel_values"], wanted)
    assert torch.equal(processor(list(grey))["pixel_values"], wanted)
    assert torch.equal(processor([Image.fromarray(frame) for frame in grey])["pixel_values"], wanted)


def test_floats_are_rounded():
    frames = AdaptSignVideoProcessor(do_resize=False).load_video_frames(np.full((1, 2, 2, 3), 0.5))
    assert frames.unique().tolist() == [128]


def test_frames_of_changing_size(processor):
    images = [Image.fromarray(noise(1, 20, 30)[0]), Image.fromarray(noise(1, 8, 9)[0])]
    assert processor(images)["pixel_values"].shape == (1, 2, 3, 14, 14)
    with pytest.raises(ValueError, match="do_resize"):
        AdaptSignVideoProcessor(do_resize=False).load_video_frames(images)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (15, 17)])
def test_any_frame_shape(processor, height, width):
    assert processor(noise(1, height, width))["pixel_values"].shape == (1, 1, 3, 14, 14)


# Refusals


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "zero frames"),
        (np.zeros((2, 0, 8, 3), np.uint8), "is no image"),
        ([], "empty list"),
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\)"),
        (np.zeros((8, 8, 3), np.uint8), "leading axis"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"shape \(2, 8, 8, 4\)"),
        (np.zeros((2, 3, 8, 3), np.uint8), r"shape \(2, 3, 8, 3\)"),
        ([np.zeros((8, 8, 4), np.uint8)], "is no image"),
        (np.zeros((2, 8, 8, 3), np.int64), "int64"),
        (np.full((2, 8, 8, 3), 2.0), "from 2 to 2"),
        (np.full((2, 8, 8, 3), -0.5), "from -0.5"),
        (np.full((2, 8, 8, 3), np.nan), "from nan"),
    ],
)
def test_what_is_no_video_is_refused(processor, video, message):
    with pytest.raises(ValueError, match=message):
        processor(video)


def test_reading_errors_pass_through(processor, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        processor("gone.mp4")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoReadError, match=r"a\.mp4"):
        processor(tmp_path / "a.mp4")


# Frame rate


def test_fps(write_video):
    path = write_video("a.mov", list(noise(8)), fps=20)
    assert len(AdaptSignVideoProcessor().load_video_frames(path)) == 8
    slow = AdaptSignVideoProcessor(fps=5)
    assert len(slow.load_video_frames(path)) == 2
    with pytest.raises(ValueError, match="have no times"):
        slow(noise(2))


# Memory


@pytest.mark.parametrize("kind", ["file", "array"])
def test_full_size_frames_are_let_go_one_by_one(processor, write_video, monkeypatch, kind):
    alive, most = set(), 0

    def watched(frames):
        nonlocal most
        for frame in frames:
            own = frame.copy()
            key = id(own)
            alive.add(key)
            weakref.finalize(own, alive.discard, key)
            most = max(most, len(alive))
            del frame
            yield own
            del own

    name = "iter_frames" if kind == "file" else "_iter_array"
    real = getattr(video_processing_adaptsign, name)
    monkeypatch.setattr(video_processing_adaptsign, name, lambda *args: watched(real(*args)))
    video = noise(30)
    frames = processor.load_video_frames(write_video("a.mov", list(video)) if kind == "file" else video)
    assert len(frames) == 30
    assert 1 <= most <= 3


# Saving


def test_save_and_load(tmp_path, processor):
    processor.fps = 12.5
    processor.save_pretrained(tmp_path)
    loaded = AdaptSignVideoProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert loaded.fps == 12.5
    loaded.fps = processor.fps = None
    assert torch.equal(loaded(noise(2))["pixel_values"], processor(noise(2))["pixel_values"])


def test_standard_settings_survive_saving(tmp_path):
    AdaptSignVideoProcessor().save_pretrained(tmp_path)
    loaded = AdaptSignVideoProcessor.from_pretrained(tmp_path)
    saved = loaded.to_dict()
    saved.pop("auto_map")  # the code beside it
    assert saved == AdaptSignVideoProcessor().to_dict()
    assert loaded.fps is None
    assert torch.equal(loaded(noise(2))["pixel_values"], AdaptSignVideoProcessor()(noise(2))["pixel_values"])


# A real clip


@pytest.mark.skipif(not SHARED_VIDEO.exists(), reason="the shared clips are not here")
def test_real_clips():
    paths = [SHARED_VIDEO / "continuous" / "clip1.gif", SHARED_VIDEO / "isolated" / "please" / "43222.mp4"]
    batch = AdaptSignVideoProcessor()(paths, return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 72, 3, 224, 224)
    assert batch["attention_mask"].sum(1).tolist() == [72, 44]
    assert batch["pixel_values"].abs().max() <= 1
    assert batch["pixel_values"][0].std() > 0.2
