"""Networks in plain PyTorch: no trainer, no files but weights, no command line."""
