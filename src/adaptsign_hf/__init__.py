"""AdaptSign: continuous sign language recognition as a Hugging Face model.

Importing the package makes transformers' Auto classes know AdaptSign.
"""

from adaptsign_hf import registration
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer
from adaptsign_hf.modeling.tuner_adaptsign import AdaptSignAdapterConfig
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor
from adaptsign_hf.version import __version__

__all__ = [
    "AdaptSignAdapterConfig",
    "AdaptSignConfig",
    "AdaptSignForCTC",
    "AdaptSignModel",
    "AdaptSignProcessor",
    "AdaptSignTokenizer",
    "AdaptSignVideoProcessor",
    "__version__",
    "registration",
]
