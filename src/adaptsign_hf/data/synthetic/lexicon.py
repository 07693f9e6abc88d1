"""The glosses of the synthetic corpus, each defined by handshape, place, movement and the use of the second hand.

The signs are invented for this project. Their glosses are English words for the reader's convenience; they belong to
no real sign language and nobody could be understood by performing them. What they share with real signs is their
structure: a small set of handshapes, places and movements is recombined, so that many signs are *minimal pairs*
that differ in a single feature, and a recogniser has to attend to every one of them.

Distances are in body units (see `signers.py`): the head is about 0.9 units high. Directions are seen from the hand
that performs: positive `x` points away from the body on that hand's own side, positive `y` points down. A left-handed
signer is therefore the mirror image of a right-handed one without any further rule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from math import cos, pi, sin


class Handshape(Enum):
    """Configuration of the fingers. The geometry of each is in `handshapes.py`."""

    FIST = "fist"
    FLAT = "flat"
    SPREAD = "spread"
    POINT = "point"
    V = "v"
    Y = "y"
    C = "c"


class Place(Enum):
    """Where the centre of the palm is at the middle of the movement, and where the fingers point.

    Values are `(anchor, x, y, angle)`: position in body units relative to the anchor (centre of the head, or the
    point between the shoulders), and the direction of the fingers in degrees, 0 being up and -90 across the body.
    """

    FOREHEAD = ("head", 0.46, 0.10, -14.0)
    CHIN = ("head", 0.10, 0.62, -16.0)
    CHEST = ("torso", 0.10, 0.50, -40.0)
    NEUTRAL = ("torso", 0.53, 0.72, 0.0)
    BELLY = ("torso", 0.05, 1.00, -85.0)
    SIDE = ("torso", 1.08, 0.22, 8.0)
    HIGH = ("torso", 0.92, -0.54, 8.0)


class Hands(Enum):
    """What the second, non-dominant hand does."""

    ONE = "one-handed: the other hand rests"
    MIRRORED = "two-handed: the other hand is the mirror image"
    BASE = "two-handed: the other hand lies flat below as a base"


Displacement = tuple[float, float, float]
"""Movement of a hand away from its place: `x` and `y` in body units, rotation of the fingers in degrees."""


def _ease(phase: float) -> float:
    return phase * phase * (3.0 - 2.0 * phase)


def _hold(phase: float) -> Displacement:
    return 0.0, 0.0, 0.0


def _tap(phase: float) -> Displacement:
    return -0.13 * (1.0 - cos(4.0 * pi * phase)) / 2.0, 0.22 * (1.0 - cos(4.0 * pi * phase)) / 2.0 - 0.1, 0.0


def _up(phase: float) -> Displacement:
    return 0.0, 0.32 - 0.64 * _ease(phase), 0.0


def _down(phase: float) -> Displacement:
    return 0.0, -0.32 + 0.64 * _ease(phase), 0.0


def _away(phase: float) -> Displacement:
    return 0.62 * _ease(phase), 0.06 * _ease(phase), 25.0 * _ease(phase)


def _circle(phase: float) -> Displacement:
    return 0.27 * sin(2.0 * pi * phase), -0.27 * cos(2.0 * pi * phase), 0.0


def _shake(phase: float) -> Displacement:
    swing = sin(3.0 * pi * phase)
    return 0.22 * swing, 0.0, 16.0 * swing


def _arc(phase: float) -> Displacement:
    turn = pi * _ease(phase)
    return -0.42 * cos(turn), 0.1 - 0.42 * sin(turn), -30.0 * cos(turn)


class Movement(Enum):
    """Path of the hand during the sign."""

    HOLD = "hold"
    TAP = "tap"
    UP = "up"
    DOWN = "down"
    AWAY = "away"
    CIRCLE = "circle"
    SHAKE = "shake"
    ARC = "arc"

    def displacement(self, phase: float) -> Displacement:
        """Offset from the place at `phase`, which runs from 0 (start of the sign) to 1 (its end)."""
        return _PATHS[self](phase)


_PATHS: dict[Movement, Callable[[float], Displacement]] = {
    Movement.HOLD: _hold,
    Movement.TAP: _tap,
    Movement.UP: _up,
    Movement.DOWN: _down,
    Movement.AWAY: _away,
    Movement.CIRCLE: _circle,
    Movement.SHAKE: _shake,
    Movement.ARC: _arc,
}


@dataclass(frozen=True)
class Sign:
    """One sign of the lexicon: a gloss and the four features that define how it looks."""

    gloss: str
    handshape: Handshape
    place: Place
    movement: Movement
    hands: Hands = Hands.ONE

    @property
    def features(self) -> tuple[Handshape, Place, Movement, Hands]:
        """The four features, in the order in which they are declared."""
        return self.handshape, self.place, self.movement, self.hands


_SIGNS = (
    # at the head
    Sign("HELLO", Handshape.FLAT, Place.FOREHEAD, Movement.AWAY),
    Sign("KNOW", Handshape.FLAT, Place.FOREHEAD, Movement.TAP),
    Sign("THINK", Handshape.POINT, Place.FOREHEAD, Movement.CIRCLE),
    Sign("PHONE", Handshape.Y, Place.FOREHEAD, Movement.SHAKE),
    Sign("THANKS", Handshape.FLAT, Place.CHIN, Movement.AWAY),
    Sign("SEE", Handshape.V, Place.CHIN, Movement.CIRCLE),
    Sign("SAY", Handshape.POINT, Place.CHIN, Movement.TAP),
    Sign("EAT", Handshape.C, Place.CHIN, Movement.UP),
    # at the trunk
    Sign("ME", Handshape.POINT, Place.CHEST, Movement.TAP),
    Sign("LIKE", Handshape.FLAT, Place.CHEST, Movement.UP),
    Sign("SORRY", Handshape.FIST, Place.CHEST, Movement.CIRCLE),
    Sign("COLD", Handshape.FIST, Place.CHEST, Movement.SHAKE, Hands.MIRRORED),
    Sign("WIND", Handshape.FLAT, Place.CHEST, Movement.SHAKE, Hands.MIRRORED),
    Sign("FULL", Handshape.FLAT, Place.BELLY, Movement.CIRCLE),
    Sign("HUNGRY", Handshape.C, Place.BELLY, Movement.DOWN),
    Sign("PLAY", Handshape.Y, Place.BELLY, Movement.SHAKE, Hands.MIRRORED),
    # beside the body
    Sign("WHERE", Handshape.POINT, Place.SIDE, Movement.SHAKE),
    Sign("NORTH", Handshape.V, Place.SIDE, Movement.UP),
    Sign("SOUTH", Handshape.V, Place.SIDE, Movement.DOWN),
    Sign("SUN", Handshape.SPREAD, Place.HIGH, Movement.HOLD),
    Sign("CLOUD", Handshape.C, Place.HIGH, Movement.CIRCLE, Hands.MIRRORED),
    # in front of the body
    Sign("RAIN", Handshape.SPREAD, Place.NEUTRAL, Movement.DOWN, Hands.MIRRORED),
    Sign("SHOWER", Handshape.SPREAD, Place.NEUTRAL, Movement.DOWN),
    Sign("HAIL", Handshape.FIST, Place.NEUTRAL, Movement.DOWN, Hands.MIRRORED),
    Sign("SNOW", Handshape.SPREAD, Place.NEUTRAL, Movement.SHAKE, Hands.MIRRORED),
    Sign("STORM", Handshape.SPREAD, Place.NEUTRAL, Movement.CIRCLE, Hands.MIRRORED),
    Sign("DAY", Handshape.V, Place.NEUTRAL, Movement.ARC, Hands.BASE),
    Sign("WEEK", Handshape.POINT, Place.NEUTRAL, Movement.AWAY, Hands.BASE),
    Sign("MORNING", Handshape.FLAT, Place.NEUTRAL, Movement.UP, Hands.BASE),
    Sign("EVENING", Handshape.FLAT, Place.NEUTRAL, Movement.DOWN, Hands.BASE),
)

LEXICON: dict[str, Sign] = {sign.gloss: sign for sign in _SIGNS}
"""Every sign of the corpus by its gloss."""


def minimal_pairs() -> list[tuple[str, str]]:
    """Pairs of glosses whose signs differ in exactly one of the four features."""
    return [
        (first.gloss, second.gloss)
        for first, second in combinations(_SIGNS, 2)
        if sum(a is not b for a, b in zip(first.features, second.features, strict=True)) == 1
    ]
