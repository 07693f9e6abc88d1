import pytest
import torch
from PIL import Image

from adaptsign_hf.data.augmentation import AugmentationConfig
from adaptsign_hf.data.folder import Clip
from adaptsign_hf.data.loading import ClipDataset, collate_clips, load_frames
from adaptsign_hf.data.prepared.encoding import encode_image
from adaptsign_hf.data.prepared.shards import decode_image, list_clips, read_frames, shard_writer
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor

SIZE = 32


def pictures(count=6):
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def processor():
    processor = AdaptSignProcessor.from_glosses(["SUN"], 28)
    assert processor.video_processor.size["height"] == SIZE
    return processor


def write(path, images):
    with shard_writer(path, has_translation=False) as add:
        add(Clip("a", path, ("SUN",)), images)
    return list_clips(path, "train")


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_an_image_is_decoded_as_pillow_does(format, tmp_path):
    encoded = encode_image(pictures(1)[0], lossless=format == "PNG")
    (tmp_path / "image").write_bytes(encoded)
    with Image.open(tmp_path / "image") as image:
        assert image.format == format
        expected = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(SIZE, SIZE, 3)
    assert torch.equal(decode_image(encoded), expected.permute(2, 0, 1))


def test_frames_come_back(tmp_path, processor):
    frames = pictures()
    (clip,) = write(tmp_path / "shard.parquet", [encode_image(frame, lossless=True) for frame in frames])
    assert len(read_frames(clip.path, clip.row)) == len(frames)
    assert torch.equal(load_frames(clip, processor.video_processor), frames)
    cropped = ClipDataset([clip], processor)[0]["frames"]
    assert torch.equal(cropped, frames[..., 2:-2, 2:-2])


@pytest.mark.parametrize("augmentation", [None, AugmentationConfig(min_frames=6)])
@pytest.mark.parametrize("damage", [0, 4])
def test_a_clip_with_a_damaged_image_is_left_out_by_name(tmp_path, processor, augmentation, damage):
    images = [encode_image(frame, lossless=False) for frame in pictures()]
    images[damage] = images[damage][: len(images[damage]) // 2]
    (clip,) = write(tmp_path / "shard.parquet", images)
    (left_out,) = collate_clips([ClipDataset([clip], processor, augmentation=augmentation)[0]], processor)["left_out"]
    assert left_out.name == "a"
    assert f"image {damage} is damaged" in left_out.reason
