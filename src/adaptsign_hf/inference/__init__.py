"""Trained models at work: loading, recognition of videos, evaluation on a folder."""
