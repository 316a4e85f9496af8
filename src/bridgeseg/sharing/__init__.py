"""A model given away: which files, its card, and the upload."""
