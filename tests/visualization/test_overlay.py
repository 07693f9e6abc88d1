import sys

import av
import numpy as np
import pytest
import torch

from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.visualization.overlay import (
    blend,
    iter_seen_frames,
    overlay_video,
    pick_frames,
    relative_weights,
    seen_box,
)


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)], stream


def test_the_video_has_the_clips_frames_and_rate(reading_model, processor, video, tmp_path):
    overlay_video(reading_model, processor, video, tmp_path / "overlay.mp4")
    frames, stream = decoded(tmp_path / "overlay.mp4")
    assert len(frames) == 19
    assert float(stream.average_rate) == 12.5
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert frames[0].shape == (360, 480, 3)  # 64:48, enlarged


def test_only_the_explained_frames_are_in_the_video(reading_model, processor, video, tmp_path):
    overlay_video(reading_model, processor, video, tmp_path / "overlay.mp4", max_frames=5)
    assert len(decoded(tmp_path / "overlay.mp4")[0]) == 5


def test_the_map_lies_where_its_patch_is():
    frame = np.full((80, 120, 3), 100, dtype=np.uint8)
    lit = blend(frame, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]), (0.0, 5.0)).astype(int).sum(axis=2)
    assert np.unravel_index(lit.argmax(), lit.shape) >= (40, 80)
    assert lit[60:, 100:].min() > 2 * lit[:20, :60].max()
    assert len(np.unique(lit[:20, :60])) == 1


def test_relative_weights_average_to_one():
    weights = torch.tensor([[[0.1, 0.1], [0.1, 0.3]], [[0.0, 0.0], [0.0, 0.0]]])
    relative = relative_weights(weights)
    np.testing.assert_allclose(relative[0], [[2 / 3, 2 / 3], [2 / 3, 2]], rtol=1e-6)
    assert not relative[1].any()


@pytest.mark.parametrize(("height", "width"), [(73, 73), (128, 256), (720, 1280)])
def test_the_crop_is_the_models(height, width):
    """A picture whose values are its coordinates: the seen part has the same corners as what the model gets."""
    video_processor = AdaptSignProcessor.from_glosses(["A"], 64).video_processor
    ramp = np.zeros((1, height, width, 3), dtype=np.uint8)
    ramp[..., 0] = np.linspace(0, 255, width)
    ramp[..., 1] = np.linspace(0, 255, height)[:, None]
    frames = video_processor.load_video_frames(ramp)
    given = video_processor.center_crop(frames, video_processor.crop_size)[0].permute(1, 2, 0).numpy().astype(int)
    left, top, right, bottom = seen_box(video_processor, height, width)
    assert abs(given[30, 0, 0] - 255 * left / width) < 4
    assert abs(given[30, -1, 0] - 255 * right / width) < 4
    assert abs(given[0, 30, 1] - 255 * top / height) < 4
    assert abs(given[-1, 30, 1] - 255 * bottom / height) < 4


def test_picked_frames_are_those_of_the_stream(processor, video):
    stream = list(iter_seen_frames(video, processor.video_processor, 100))
    picked = pick_frames(video, processor.video_processor, [7, 3], 100)
    assert sorted(picked) == [3, 7]
    assert all(np.array_equal(frame, stream[index]) for index, frame in picked.items())


def test_without_matplotlib_the_extra_is_named(reading_model, processor, video, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"adaptsign-hf\[demo\]"):
        overlay_video(reading_model, processor, video, tmp_path / "overlay.mp4")
