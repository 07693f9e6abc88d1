"""Makes transformers' Auto classes know AdaptSign; `import adaptsign_hf` imports this module."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCTC,
    AutoProcessor,
    AutoTokenizer,
    AutoVideoProcessor,
)

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer
from adaptsign_hf.modeling.video_processing_adaptsign import AdaptSignVideoProcessor

AutoConfig.register(AdaptSignConfig.model_type, AdaptSignConfig, exist_ok=True)
AutoModel.register(AdaptSignConfig, AdaptSignModel, exist_ok=True)
AutoModelForCTC.register(AdaptSignConfig, AdaptSignForCTC, exist_ok=True)
AutoVideoProcessor.register(AdaptSignConfig, AdaptSignVideoProcessor, exist_ok=True)
AutoTokenizer.register(AdaptSignConfig, fast_tokenizer_class=AdaptSignTokenizer, exist_ok=True)
AutoProcessor.register(AdaptSignConfig, AdaptSignProcessor, exist_ok=True)
