"""From a split of a dataset to scores, tables and pictures."""
