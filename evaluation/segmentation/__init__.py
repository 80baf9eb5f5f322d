"""Does synthetic data help a segmentation network? Arms, scores per patient and seed, and what they prove."""
