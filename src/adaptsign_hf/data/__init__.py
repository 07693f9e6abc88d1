"""From a folder of videos to batches: reading, checking, augmentation, and a corpus rendered by the project itself."""
