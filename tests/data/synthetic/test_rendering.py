from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adaptsign_hf.data.synthetic import LEXICON, SIGNERS, SyntheticCorpusConfig, render_sentence
from adaptsign_hf.data.synthetic.drawing import View, draw_signer
from adaptsign_hf.data.synthetic.handshapes import FINGERS
from adaptsign_hf.data.synthetic.motion import Motion

CONFIG = SyntheticCorpusConfig()
RIGHT_HANDED = SIGNERS["signer01"]


def test_frames_hands_and_times_belong_together():
    sentence = render_sentence(["HELLO", "RAIN"], RIGHT_HANDED, CONFIG, seed=0)
    num_frames = len(sentence.frames)
    assert sentence.frames.shape == (num_frames, 128, 128, 3)
    assert sentence.frames.dtype == np.uint8
    assert sentence.hands.shape == (num_frames, 2, 3)
    assert len(sentence.frame_glosses) == num_frames
    assert sentence.timings[-1].end < num_frames / sentence.fps
    assert list(dict.fromkeys(sentence.frame_glosses)) == ["", "HELLO", "RAIN"]


def test_equal_seeds_give_equal_frames_and_other_seeds_others():
    first, again, other = (render_sentence(["SNOW"], RIGHT_HANDED, CONFIG, seed) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first.frames, again.frames)
    assert first.frames.shape != other.frames.shape or (first.frames != other.frames).any()


@pytest.mark.parametrize(("frame_size", "fps"), [(64, 12.5), (96, 25.0)])
def test_frame_size_and_fps_scale_the_same_motion(frame_size, fps):
    reference = render_sentence(["DAY"], RIGHT_HANDED, CONFIG, seed=0)
    config = replace(CONFIG, frame_size=frame_size, fps=fps)
    sentence = render_sentence(["DAY"], RIGHT_HANDED, config, seed=0)
    assert sentence.frames.shape[1:] == (frame_size, frame_size, 3)
    assert sentence.timings == reference.timings
    assert len(sentence.frames) == pytest.approx(len(reference.frames) * fps / 12.5, abs=1)
    np.testing.assert_allclose(sentence.hands[0] / frame_size, reference.hands[0] / 128, atol=1e-4)


def test_left_handed_signer_is_the_mirror_image():
    right = render_sentence(["WHERE"], RIGHT_HANDED, CONFIG, seed=0)
    left = render_sentence(["WHERE"], replace(RIGHT_HANDED, left_handed=True), CONFIG, seed=0)
    middle = right.frame_glosses.index("WHERE") + 2
    # The right hand of a signer who faces the camera is on the left of the picture.
    assert right.hands[middle, 0, 0] < 50
    assert left.hands[middle, 0, 0] > 78
    body = (right.hands[:, :, 0] + left.hands[:, :, 0]) / 2  # the axis of symmetry, which moves with the camera
    np.testing.assert_allclose(body[:, 0], body[:, 1], atol=1e-3)
    np.testing.assert_allclose(right.hands[:, :, 1:], left.hands[:, :, 1:], atol=1e-4)


@pytest.mark.parametrize("name", SIGNERS)
def test_hands_stay_in_the_picture_and_move_steadily(name):
    glosses = np.random.default_rng(0).choice(list(LEXICON), 15)
    sentence = render_sentence(glosses, SIGNERS[name], CONFIG, seed=0)
    centres = sentence.hands[:, :, :2]
    assert np.mean((centres > 0) & (centres < 128)) > 0.98
    assert np.hypot(*np.diff(centres, axis=0).transpose(2, 0, 1)).max() < 0.3 * 128


def test_reported_hand_is_where_the_skin_is():
    signer = SIGNERS["signer01"]  # light skin, dark clothing
    sentence = render_sentence(["LIKE"], signer, replace(CONFIG, camera_jitter=0.0), seed=0)
    index = sentence.frame_glosses.index("LIKE") + 2
    x, y, _ = sentence.hands[index, 0].round().astype(int)
    red, _, blue = sentence.frames[index, y - 2 : y + 3, x - 2 : x + 3].mean((0, 1))
    assert red > blue + 15


def draw(pose):
    canvas = Image.new("RGB", (128, 128), (150, 160, 150))
    draw_signer(canvas, pose, RIGHT_HANDED, View(64 + 64j, 128 / 3.1))
    return np.asarray(canvas.resize((64, 64), Image.Resampling.BOX)).astype(int)


def test_handshapes_differ_visibly_at_64_pixels():
    poses = {}
    motion = Motion(["WHERE"], RIGHT_HANDED, np.random.default_rng(0))
    for shape, fingers in FINGERS.items():
        pose = motion.pose(motion.timings[0].start)
        pose[0, 3:] = fingers
        poses[shape] = draw(pose)
    shapes = list(poses)
    for i, one in enumerate(shapes):
        for other in shapes[:i]:
            changed = (np.abs(poses[one] - poses[other]).max(-1) > 40).sum()
            assert changed >= 20, (one, other, changed)


@pytest.mark.parametrize(
    ("one", "other"), [("HELLO", "THANKS"), ("RAIN", "SHOWER"), ("RAIN", "SNOW"), ("DAY", "WEEK")]
)
def test_minimal_pairs_differ_visibly(one, other):
    difference = 0
    for phase in (0.1, 0.5, 0.9):
        frames = []
        for gloss in (one, other):
            motion = Motion([gloss], RIGHT_HANDED, np.random.default_rng(0))
            timing = motion.timings[0]
            frames.append(draw(motion.pose(timing.start + phase * (timing.end - timing.start))))
        difference = max(difference, (np.abs(frames[0] - frames[1]).max(-1) > 40).sum())
    assert difference >= 20
