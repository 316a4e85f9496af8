"""From sources to written results: what is read, run, written, and counted. No PyTorch here."""
