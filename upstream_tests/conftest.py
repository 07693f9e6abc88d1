"""Where upstream's tests are, and stand-ins for what they import but never need here."""

import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from fetch import PROJECTS, folder_of

os.environ["HF_HUB_OFFLINE"] = "1"  # all models are built here

# Not in transformers' sdist: the mixins for tests of exporting and of text generation. Not installed: diffusers, of
# which PEFT's tests only ask whether a model is one of its pipelines.
STAND_INS = {
    "transformers_tests.exporters.test_export": "ExportTesterMixin",
    "transformers_tests.generation.test_utils": "GenerationTesterMixin",
    "diffusers": "StableDiffusionPipeline",
}

for project in PROJECTS:
    if not folder_of(project).exists():
        raise pytest.UsageError(f"{folder_of(project)} is missing: run `make upstream-tests`, which fetches it.")
    sys.path.append(str(folder_of(project)))
for name, class_name in STAND_INS.items():
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)  # asked for where libraries look for what is installed
    setattr(module, class_name, type(class_name, (), {}))
    sys.modules[name] = module
