"""Scores of recognised glosses."""
