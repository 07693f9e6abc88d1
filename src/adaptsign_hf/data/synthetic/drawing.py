"""From a pose to a picture: the signer, drawn with thick outlined strokes on a supersampled canvas.

Points in the picture are complex numbers `x + iy`, which makes rotations and shifts of a limb one multiplication and
one addition.
"""

from cmath import rect
from dataclasses import dataclass
from math import radians

import numpy as np
from PIL import Image, ImageDraw

from adaptsign_hf.data.synthetic.motion import HEAD_CENTRE, SHOULDER, Arm, bend_arm
from adaptsign_hf.data.synthetic.signers import Colour, Signer

SUPERSAMPLING = 2
VISIBLE_UNITS = 3.1
"""Height of the picture in body units for a signer of average scale."""

_CENTRE_OF_VIEW = 0.2j  # the point of the body that is shown in the middle of the picture
_HAND_LENGTH = 0.732
_KNUCKLES = (complex(-0.20, 0.02), *(complex(x, -0.16) for x in (-0.225, -0.075, 0.075, 0.225)))
_FINGER_LENGTHS = (0.40, 0.46, 0.50, 0.46, 0.38)
_FINGER_RADIUS = 0.082
# The circle reported as the hand's region: from the palm a little towards the fingers, wide enough to hold both.
_REGION_CENTRE, _REGION_RADIUS = 0.22, 0.62


@dataclass(frozen=True)
class View:
    """Where body coordinates fall in the picture.

    Attributes:
        centre: Canvas position of the middle of the body, in canvas pixels.
        unit: Length of a body unit in canvas pixels.
    """

    centre: complex
    unit: float

    def __call__(self, point: complex, side: int = 1) -> complex:
        """Canvas position of a point in body units; `side` -1 mirrors it to the left half of the picture."""
        return self.centre + self.unit * (complex(side * point.real, point.imag) - _CENTRE_OF_VIEW)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (`factor` < 1) or lighter (`factor` > 1)."""
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


def palm_colour(skin: Colour) -> Colour:
    """Colour of the palm, lighter than the face so that a hand before the face stays visible."""
    red, green, blue = (round(0.72 * value + 0.28 * light) for value, light in zip(skin, (255, 232, 214), strict=True))
    return red, green, blue


def _disc(draw: ImageDraw.ImageDraw, centre: complex, radius: float, colour: Colour) -> None:
    x, y = centre.real, centre.imag
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _oval(draw: ImageDraw.ImageDraw, centre: complex, width: float, height: float, colour: Colour) -> None:
    x, y = centre.real, centre.imag
    draw.ellipse((x - width, y - height, x + width, y + height), fill=colour)


def _limb(draw: ImageDraw.ImageDraw, points: list[complex], radius: float, colour: Colour) -> None:
    """A stroke with round joints and ends through the points."""
    draw.line([(point.real, point.imag) for point in points], fill=colour, width=round(2 * radius))
    for point in points:
        _disc(draw, point, radius, colour)


def _outlined_limb(
    draw: ImageDraw.ImageDraw, points: list[complex], radius: float, colour: Colour, outline: float
) -> None:
    _limb(draw, points, radius + outline, shade(colour, 0.45))
    _limb(draw, points, radius, colour)


def _draw_hand(
    draw: ImageDraw.ImageDraw, view: View, arm: Arm, finger_values: np.ndarray, side: int, signer: Signer
) -> None:
    length = _HAND_LENGTH * signer.hands
    colour, dark = palm_colour(signer.skin), shade(signer.skin, 0.36)
    outline = 0.036 * view.unit
    upright = arm.fingers * 1j  # turns a hand drawn with its fingers up (-1j) into the arm's direction

    def place(point: complex) -> complex:
        return view(arm.palm + length * point * upright, side)

    extensions, directions, bend = finger_values[:5], finger_values[5:10], radians(float(finger_values[10]))
    radius = _FINGER_RADIUS * length * view.unit
    palm = [place(complex(x, y)) for x, y in ((-0.12, 0.16), (0.12, 0.16), (0.16, -0.08), (-0.16, -0.08))]
    palm.append(palm[0])
    palm_radius = 0.15 * length * view.unit
    _limb(draw, palm, palm_radius + outline, dark)
    _limb(draw, palm, palm_radius, colour)
    draw.polygon([(point.real, point.imag) for point in palm], fill=colour)
    # The little finger first: in a bent hand the index finger lies in front; the thumb is drawn over the palm.
    for finger in (4, 3, 2, 1, 0):
        step = 0.5 * _FINGER_LENGTHS[finger] * float(extensions[finger])
        angle = radians(float(directions[finger]))
        curl = 0.0 if finger == 0 else bend
        joint = _KNUCKLES[finger] + step * rect(1.0, angle) * -1j
        tip = joint + step * rect(1.0, angle + curl) * -1j
        points = [place(_KNUCKLES[finger]), place(joint), place(tip)]
        _limb(draw, points, radius + outline, dark)
        _limb(draw, points, radius, colour)


def _draw_body(draw: ImageDraw.ImageDraw, view: View, signer: Signer) -> None:
    outline = 0.03 * view.unit
    half = SHOULDER[0] * signer.shoulders
    clothing, skin = signer.clothing, signer.skin
    head = complex(0.0, HEAD_CENTRE)
    width, height = 0.34 * signer.head * view.unit, 0.44 * signer.head * view.unit
    hair = signer.hair
    if signer.long_hair:
        _oval(draw, view(head + 0.16j), 1.28 * width, 1.25 * height, hair)
    _limb(draw, [view(-0.35j), view(0.05j)], 0.15 * view.unit, shade(skin, 0.82))
    trunk = [
        (-half, 0.10),
        (half, 0.10),
        (0.80 * half, 1.1),
        (0.86 * half, 2.4),
        (-0.86 * half, 2.4),
        (-0.80 * half, 1.1),
    ]
    for grow, colour in ((outline, shade(clothing, 0.45)), (0.0, clothing)):
        radius = 0.13 * view.unit + grow
        points = [view(complex(x, y)) for x, y in trunk]
        _limb(draw, [*points, points[0]], radius, colour)
        draw.polygon([(point.real, point.imag) for point in points], fill=colour)
    _oval(draw, view(complex(0.0, 0.0)), 0.2 * view.unit, 0.13 * view.unit, skin)
    _oval(draw, view(head), width + outline, height + outline, shade(skin, 0.45))
    _oval(draw, view(head), width, height, skin)
    crown, top = view(head), 1.1 * height
    draw.chord(
        (crown.real - 1.08 * width, crown.imag - top, crown.real + 1.08 * width, crown.imag + 0.75 * height),
        195,
        345,
        fill=hair,
    )
    for x in (-0.13, 0.13):
        _disc(draw, view(head + complex(x * signer.head, 0.02)), 0.035 * view.unit, (30, 25, 25))
    mouth = view(head + 0.24j * signer.head)
    _oval(draw, mouth, 0.11 * view.unit, 0.03 * view.unit, shade(skin, 0.6))


def draw_signer(image: Image.Image, pose: np.ndarray, signer: Signer, view: View) -> np.ndarray:
    """Draw the signer over the background that is already in the image.

    Args:
        image: RGB canvas, drawn on in place.
        pose: Pose of the dominant and the other hand, shape `(2, POSE_SIZE)`.
        signer: Who is drawn.
        view: Where the body falls on the canvas.

    Returns:
        Region of the dominant and the other hand as `x`, `y`, radius in canvas pixels, shape `(2, 3)`.
    """
    draw = ImageDraw.Draw(image)
    _draw_body(draw, view, signer)
    # The right hand of a signer who faces the camera is in the left half of the picture.
    dominant_side = 1 if signer.left_handed else -1
    regions = np.zeros((2, 3))
    for row in (1, 0):  # the dominant hand is drawn last, in front
        side = dominant_side if row == 0 else -dominant_side
        arm = bend_arm(pose[row], signer)
        joints = [view(joint, side) for joint in (arm.shoulder, arm.elbow, arm.wrist)]
        outline = 0.03 * view.unit
        forearm = shade(signer.clothing, 1.12) if signer.long_sleeves else shade(signer.skin, 0.94)
        _outlined_limb(draw, joints[1:], 0.105 * view.unit, forearm, outline)
        _outlined_limb(draw, joints[:2], 0.14 * view.unit, shade(signer.clothing, 1.06), outline)
        _draw_hand(draw, view, arm, pose[row, 3:], side, signer)
        centre = view(arm.palm + _REGION_CENTRE * signer.hands * _HAND_LENGTH * arm.fingers, side)
        regions[row] = centre.real, centre.imag, _REGION_RADIUS * signer.hands * _HAND_LENGTH * view.unit
    return regions


def draw_background(size: int, rng: np.random.Generator) -> Image.Image:
    """A random background of `size` × `size` pixels: plain, gradient, stripes, furniture or noise."""
    kind = rng.choice(["plain", "gradient", "stripes", "furniture", "noise"])
    first = rng.integers(90, 236) + rng.integers(-25, 26, 3)
    second = first + rng.integers(-50, 51) + rng.integers(-12, 13, 3)  # a studio wall, not a wallpaper
    ramp = np.linspace(0.0, 1.0, size)
    if kind == "gradient":
        weight = np.add.outer(ramp, rng.uniform(-1.0, 1.0) * ramp)
        weight = (weight - weight.min()) / np.ptp(weight)
    elif kind == "stripes":
        weight = 0.35 * (np.sin(rng.uniform(20.0, 60.0) * np.add.outer(ramp, rng.uniform(-1.0, 1.0) * ramp)) > 0.0)
    elif kind == "noise":
        cells = Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8))
        weight = 0.6 * np.asarray(cells.resize((size, size), Image.Resampling.BICUBIC)) / 255.0
    else:
        weight = np.zeros((size, size))
    pixels = first + weight[:, :, None] * (second - first)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if kind == "furniture":
        draw = ImageDraw.Draw(image)
        for _ in range(rng.integers(3, 7)):
            left, top = rng.uniform(-0.1, 0.9, 2) * size
            width, height = rng.uniform(0.1, 0.5, 2) * size
            shade = first + rng.integers(-50, 51) + rng.integers(-12, 13, 3)
            red, green, blue = shade.clip(0, 255).tolist()
            draw.rectangle((left, top, left + width, top + height), fill=(red, green, blue))
    return image
