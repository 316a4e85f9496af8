"""Datasets: data.yaml, image and mask pairs, augmentation. Needs the `train` extra."""
