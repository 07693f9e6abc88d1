"""From a sentence to the pose of both arms at any moment.

Each hand is described on its own side of the body (positive `x` points outwards, see `lexicon.py`) by a vector of
`POSE_SIZE` numbers: position of the palm in body units, direction of the fingers in degrees, and the finger values
of `handshapes.py`. A pose is an array of shape `(2, POSE_SIZE)`: the dominant hand, then the other one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adaptsign_hf.data.synthetic.handshapes import FINGERS, NUM_FINGER_VALUES, RELAXED
from adaptsign_hf.data.synthetic.lexicon import LEXICON, Hands, Handshape, Sign
from adaptsign_hf.data.synthetic.signers import Signer

POSE_SIZE = 3 + NUM_FINGER_VALUES

SHOULDER = (0.55, 0.06)
UPPER_ARM = 0.80
FOREARM = 0.74
HEAD_CENTRE = -0.66
PALM_TO_WRIST = 0.20

SIGN_SECONDS = (0.45, 0.65)
TRANSITION_SECONDS = 0.16  # and for each body unit of way
TRANSITION_SECONDS_PER_UNIT = 0.15
REST_SECONDS = (0.12, 0.3)

_REST = np.array([[0.64, 1.36, -168.0, *RELAXED]] * 2)
_BASE_HAND = np.array([0.02, 1.10, -88.0, *FINGERS[Handshape.FLAT]])
# A mirrored hand at the midline would cover the other one.
_MIRRORED_MIN_X = 0.48
# How far a hand is lowered between two performances of the same sign, so that they stay two signs for the viewer.
_REPETITION_DROP = 0.5


@dataclass(frozen=True)
class SignTiming:
    """When a sign is performed, transitions excluded: from `start` to `end` in seconds from the first frame."""

    gloss: str
    start: float
    end: float


@dataclass(frozen=True)
class _Performance:
    """A sign from its first to its last moment, with this performance's deviation from the lexicon."""

    sign: Sign
    body: Signer
    shift: np.ndarray  # (2,) body units
    extent: float

    def pose(self, phase: float) -> np.ndarray:
        pose = _REST.copy()
        anchor, x, y, angle = self.sign.place.value
        if anchor == "head":
            x, y = x * self.body.head, HEAD_CENTRE + y * self.body.head
        if self.sign.hands is Hands.MIRRORED:
            x = max(x, _MIRRORED_MIN_X)
        dx, dy, turn = (self.extent * value for value in self.sign.movement.displacement(phase))
        pose[0] = [x + dx + self.shift[0], y + dy + self.shift[1], angle + turn, *FINGERS[self.sign.handshape]]
        if self.sign.hands is Hands.MIRRORED:
            pose[1] = pose[0]
        elif self.sign.hands is Hands.BASE:
            pose[1] = _BASE_HAND
        return pose


@dataclass(frozen=True)
class _Transition:
    """The way from one pose to the next, with each hand lowered by its `drop` in body units half way."""

    before: np.ndarray
    after: np.ndarray
    drop: tuple[float, float] = (0.0, 0.0)

    def pose(self, phase: float) -> np.ndarray:
        eased = phase * phase * (3.0 - 2.0 * phase)
        pose = self.before + (self.after - self.before) * eased
        pose[:, 1] += np.array(self.drop) * 16.0 * (phase * (1.0 - phase)) ** 2
        return pose


class Motion:
    """The motion of one signer performing one sentence.

    Starts and ends with a short rest. Neighbouring signs are connected by a transition during which position,
    direction and handshape of both hands change together; its length grows with the way the hands have to go.

    Args:
        glosses: Glosses of the sentence, each a key of `LEXICON`.
        signer: Who signs; `speed` divides all durations.
        rng: Source of the variation in timing and position.

    Raises:
        ValueError: If a gloss is not in the lexicon.
    """

    def __init__(self, glosses: Sequence[str], signer: Signer, rng: np.random.Generator):
        unknown = sorted(set(glosses) - set(LEXICON))
        if unknown:
            raise ValueError(f"Glosses {unknown} are not in the lexicon; it has {', '.join(LEXICON)}.")
        self._starts: list[float] = []
        self._parts: list[_Performance | _Transition] = []
        self._pace = 1.0 / signer.speed
        self.duration = 0.0
        """Length of the sentence in seconds."""
        self.timings: list[SignTiming] = []
        """When each sign is performed, in the order of the sentence."""

        rest = _REST + np.concatenate([rng.normal(0.0, 0.03, (2, 2)), np.zeros((2, POSE_SIZE - 2))], axis=1)
        self._append(_Transition(rest, rest), rng.uniform(*REST_SECONDS))
        previous, pose = None, rest
        for gloss in glosses:
            performance = _Performance(LEXICON[gloss], signer, rng.normal(0.0, 0.035, 2), rng.uniform(0.88, 1.12))
            self._append_transition(
                pose, performance.pose(0.0), repeated=performance.sign if gloss == previous else None
            )
            start = self.duration
            self._append(performance, rng.uniform(*SIGN_SECONDS))
            self.timings.append(SignTiming(gloss, start, self.duration))
            previous, pose = gloss, performance.pose(1.0)
        self._append_transition(pose, rest)
        self._append(_Transition(rest, rest), rng.uniform(*REST_SECONDS))

    def _append_transition(self, before: np.ndarray, after: np.ndarray, repeated: Sign | None = None) -> None:
        drop, other_drop = 0.0, 0.0
        if repeated is not None:
            drop = _REPETITION_DROP
            other_drop = drop if repeated.hands is Hands.MIRRORED else 0.0
        way = float(np.hypot(*(after - before)[:, :2].T).max()) + 2.0 * drop
        seconds = TRANSITION_SECONDS + TRANSITION_SECONDS_PER_UNIT * way
        self._append(_Transition(before, after, (drop, other_drop)), seconds)

    def _append(self, part: "_Performance | _Transition", seconds: float) -> None:
        self._starts.append(self.duration)
        self._parts.append(part)
        self.duration += seconds * self._pace

    def pose(self, time: float) -> np.ndarray:
        """Pose of both hands, shape `(2, POSE_SIZE)`, at `time` seconds from the start."""
        index = bisect_right(self._starts, time) - 1
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else self.duration
        return self._parts[index].pose(min((time - start) / (end - start), 1.0))


@dataclass(frozen=True)
class Arm:
    """Joints of an arm in body units as complex numbers `x + iy`, on the arm's own side of the body."""

    shoulder: complex
    elbow: complex
    wrist: complex
    palm: complex
    fingers: complex
    """Unit vector in the direction of the fingers."""


def bend_arm(hand: np.ndarray, signer: Signer) -> Arm:
    """Inverse kinematics of the two-link arm: the elbow that brings the hand to its position.

    The arm is solved in three dimensions, with the hand in front of the body and the elbow swung outwards, down and
    back, and then projected; in the plane alone the elbow would jump from one side to the other.

    Args:
        hand: The hand's row of a pose, shape `(POSE_SIZE,)`.
        signer: Gives the shoulder and the lengths of the arm.

    Returns:
        The joints. A hand out of reach is moved towards the shoulder until the arm is straight.
    """
    x, y, angle = hand[:3]
    fingers = complex(np.sin(np.radians(angle)), -np.cos(np.radians(angle)))
    shoulder = complex(SHOULDER[0] * signer.shoulders, SHOULDER[1])
    wrist = complex(x, y) - PALM_TO_WRIST * signer.hands * fingers
    upper, fore = UPPER_ARM * signer.arms, FOREARM * signer.arms

    reach = np.array([(wrist - shoulder).real, (wrist - shoulder).imag, 0.35])
    distance = float(np.linalg.norm(reach))
    if distance > 0.999 * (upper + fore):
        reach *= 0.999 * (upper + fore) / distance
        distance = 0.999 * (upper + fore)
        wrist = shoulder + complex(reach[0], reach[1])
    along = (distance**2 + upper**2 - fore**2) / (2.0 * distance)
    swing = np.array([0.55, 0.65, -0.5])
    swing -= reach * (swing @ reach) / distance**2
    elbow = reach * (along / distance) + swing * (max(upper**2 - along**2, 0.0) ** 0.5 / np.linalg.norm(swing))
    palm = wrist + PALM_TO_WRIST * signer.hands * fingers
    return Arm(shoulder, shoulder + complex(elbow[0], elbow[1]), wrist, palm, fingers)
