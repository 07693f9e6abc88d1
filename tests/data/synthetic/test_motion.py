import numpy as np
import pytest

from adaptsign_hf.data.synthetic import LEXICON, SIGNERS, TRAIN_SIGNERS, UNSEEN_SIGNERS
from adaptsign_hf.data.synthetic.lexicon import Hands
from adaptsign_hf.data.synthetic.motion import FOREARM, UPPER_ARM, Motion, bend_arm

AVERAGE = SIGNERS["signer01"]


def motion_of(*glosses, signer=AVERAGE, seed=0):
    return Motion(glosses, signer, np.random.default_rng(seed))


def palms(motion, start, end, steps=50):
    """Positions of both palms over time, shape (steps, 2, 2)."""
    return np.stack([motion.pose(time)[:, :2] for time in np.linspace(start, end, steps, endpoint=False)])


def test_timings_follow_the_sentence_and_leave_rests():
    glosses = ["HELLO", "RAIN", "RAIN", "DAY"]
    motion = motion_of(*glosses)
    assert [timing.gloss for timing in motion.timings] == glosses
    bounds = [0.0, *(bound for timing in motion.timings for bound in (timing.start, timing.end)), motion.duration]
    assert bounds == sorted(bounds)
    assert np.diff(bounds).min() > 0.1


@pytest.mark.parametrize("seed", range(5))
def test_hands_never_jump(seed):
    glosses = np.random.default_rng(seed).choice(list(LEXICON), 8)
    motion = motion_of(*glosses, seed=seed)
    hundredths = np.arange(0.0, motion.duration, 0.01)
    poses = np.stack([motion.pose(time) for time in hundredths])
    assert np.abs(np.diff(poses[:, :, :2], axis=0)).max() < 0.15  # body units
    assert np.abs(np.diff(poses[:, :, 2], axis=0)).max() < 20  # degrees


@pytest.mark.parametrize("gloss", LEXICON)
def test_second_hand_moves_only_in_two_handed_signs(gloss):
    motion = motion_of(gloss)
    timing = motion.timings[0]
    rest, during = palms(motion, 0.0, 0.02), palms(motion, timing.start, timing.end)
    raised = np.abs(during[:, 1] - rest[0, 1]).max() > 0.3
    assert raised == (LEXICON[gloss].hands is not Hands.ONE)
    if LEXICON[gloss].hands is Hands.MIRRORED:
        np.testing.assert_allclose(during[:, 0], during[:, 1])


def test_equal_neighbours_are_parted_by_a_return_movement():
    motion = motion_of("SUN", "SUN")
    first, second = motion.timings
    signed, between = palms(motion, first.start, first.end), palms(motion, first.end, second.start)
    assert between[:, 0, 1].max() > signed[:, 0, 1].max() + 0.4


def test_speed_divides_the_duration():
    slow = min(TRAIN_SIGNERS, key=lambda signer: signer.speed)
    fast = max(TRAIN_SIGNERS, key=lambda signer: signer.speed)
    glosses = ["SAY", "ME", "SNOW"]
    ratio = motion_of(*glosses, signer=slow).duration / motion_of(*glosses, signer=fast).duration
    assert ratio == pytest.approx(fast.speed / slow.speed, rel=0.05)


def test_unknown_gloss_is_refused_by_name():
    with pytest.raises(ValueError, match="NOSUCHSIGN"):
        motion_of("RAIN", "NOSUCHSIGN")


@pytest.mark.parametrize("signer", TRAIN_SIGNERS + UNSEEN_SIGNERS, ids=lambda signer: signer.name)
def test_arms_keep_their_length_and_elbows_never_jump(signer):
    motion = motion_of("HELLO", "FULL", "CLOUD", "DAY", "PLAY", signer=signer)
    for row in (0, 1):
        arms = [bend_arm(motion.pose(time)[row], signer) for time in np.arange(0.0, motion.duration, 0.01)]
        for arm in arms:
            # The picture shows the projection of an arm in space, which can only be shorter.
            assert abs(arm.elbow - arm.shoulder) <= UPPER_ARM * signer.arms + 1e-9
            assert abs(arm.wrist - arm.elbow) <= FOREARM * signer.arms + 1e-9
        elbows = np.array([arm.elbow for arm in arms])
        assert np.abs(np.diff(elbows)).max() < 0.2


def test_signers_are_as_varied_as_promised():
    assert len(TRAIN_SIGNERS) >= 8
    assert len(UNSEEN_SIGNERS) >= 2
    assert len(SIGNERS) == len(TRAIN_SIGNERS) + len(UNSEEN_SIGNERS)
    assert sum(signer.left_handed for signer in TRAIN_SIGNERS) >= 2
    assert any(signer.left_handed for signer in UNSEEN_SIGNERS)
    for attribute in ("skin", "clothing", "head", "shoulders", "arms", "speed"):
        assert len({getattr(signer, attribute) for signer in SIGNERS.values()}) >= 8
