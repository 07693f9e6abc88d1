"""From a model's logits to glosses."""
