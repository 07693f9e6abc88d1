"""
The metric `gloss_wer`.

`evaluate.load` copies these files away from the package: they import nothing of it, and one another by dots.
"""
