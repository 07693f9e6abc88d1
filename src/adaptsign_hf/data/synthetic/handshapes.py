"""Finger geometry of each handshape, as numbers that can be interpolated.

A handshape is a vector of eleven numbers, so that the way from one handshape to the next is a straight line between
two vectors: the extension of the five fingers (0 folded, 1 stretched), their direction in degrees relative to the
hand (0 straight, negative towards the thumb), and one bend in degrees by which the fingers, not the thumb, curl
towards the thumb. Fingers are listed from the thumb to the little finger.
"""

import numpy as np

from adaptsign_hf.data.synthetic.lexicon import Handshape

NUM_FINGER_VALUES = 11


def _fingers(extensions: list[float], directions: list[float], bend: float = 0.0) -> np.ndarray:
    return np.array([*extensions, *directions, bend])


FINGERS: dict[Handshape, np.ndarray] = {
    Handshape.FIST: _fingers([0.35, 0.1, 0.1, 0.1, 0.1], [30, 0, 0, 0, 0]),
    Handshape.FLAT: _fingers([0.75, 1.0, 1.0, 1.0, 1.0], [-8, 2, 0, 0, -2]),
    Handshape.SPREAD: _fingers([1.1, 1.1, 1.1, 1.1, 1.1], [-68, -30, -9, 12, 34]),
    Handshape.POINT: _fingers([0.35, 1.35, 0.1, 0.1, 0.1], [30, 0, 0, 0, 0]),
    Handshape.V: _fingers([0.35, 1.25, 1.25, 0.1, 0.1], [30, -22, 16, 0, 0]),
    Handshape.Y: _fingers([1.3, 0.1, 0.1, 0.1, 1.5], [-68, 0, 0, 0, 38]),
    Handshape.C: _fingers([1.35, 1.4, 1.3, 1.3, 1.4], [-104, 6, 2, -2, -8], bend=-84.0),
}
"""Finger vector of shape `(11,)` for each handshape."""

RELAXED = _fingers([0.6, 0.55, 0.6, 0.6, 0.55], [-25, -4, 0, 3, 6])
"""Finger vector of a resting hand."""
