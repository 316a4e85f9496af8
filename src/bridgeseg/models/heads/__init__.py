"""Heads: pixel features -> logits, one file each."""
