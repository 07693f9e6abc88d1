"""
Makes transformers' Auto classes and `pipeline` know AdaptSign; `import adaptsign_hf` imports this module.

It also makes every `save_pretrained` put the files of `modeling/` beside the weights, so that a saved directory loads
where this package is not installed, with `trust_remote_code=True`.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCTC,
    AutoProcessor,
    AutoTokenizer,
    AutoVideoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

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

AdaptSignConfig.register_for_auto_class()
AdaptSignModel.register_for_auto_class("AutoModel")
AdaptSignForCTC.register_for_auto_class("AutoModelForCTC")
AdaptSignVideoProcessor.register_for_auto_class()
AdaptSignTokenizer.register_for_auto_class()
AdaptSignProcessor.register_for_auto_class()

# By name, as transformers enters its own pipelines: nothing is imported before somebody asks for the task.
PIPELINE_REGISTRY.supported_tasks["sign-language-recognition"] = {
    "impl": "adaptsign_hf.inference.pipeline.SignLanguageRecognitionPipeline",
    "pt": (AutoModelForCTC,),
    "type": "video",
}
