import numpy as np
import pytest

from adaptsign_hf.data.synthetic import LEXICON, minimal_pairs
from adaptsign_hf.data.synthetic.handshapes import FINGERS
from adaptsign_hf.data.synthetic.lexicon import Hands, Handshape, Movement, Place


def test_has_at_least_24_glosses_of_capitals():
    assert len(LEXICON) >= 24
    assert all(gloss.isalpha() and gloss.isupper() for gloss in LEXICON)


def test_no_two_signs_share_all_features():
    assert len({sign.features for sign in LEXICON.values()}) == len(LEXICON)


@pytest.mark.parametrize("feature", [Handshape, Place, Movement, Hands])
def test_every_value_of_a_feature_is_used(feature):
    used = {value for sign in LEXICON.values() for value in sign.features if isinstance(value, feature)}
    assert used == set(feature)


@pytest.mark.parametrize("feature", range(4))
def test_every_feature_alone_distinguishes_some_pair(feature):
    differing = [
        (a, b) for a, b in minimal_pairs() if LEXICON[a].features[feature] is not LEXICON[b].features[feature]
    ]
    assert differing


@pytest.mark.parametrize("movement", Movement)
def test_movement_is_smooth(movement):
    path = np.array([movement.displacement(step / 100) for step in range(101)])
    assert np.abs(np.diff(path[:, :2], axis=0)).max() < 0.05


def test_every_handshape_has_its_own_fingers():
    assert set(FINGERS) == set(Handshape)
    assert len({tuple(fingers) for fingers in FINGERS.values()}) == len(Handshape)
