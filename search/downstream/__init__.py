"""Does synthetic data improve a segmentation network? From a trained run, or from any generator's files, to a table."""
