"""Clips resized once: Parquet shards or folders of images that training reads from disk or from the Hub."""
