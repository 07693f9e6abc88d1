"""The model code that is published beside weights: flat files that import nothing else of this project."""
