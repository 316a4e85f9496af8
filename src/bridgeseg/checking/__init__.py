"""The dataset doctor: everything that is wrong with a dataset, in one report."""
