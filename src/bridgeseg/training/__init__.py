"""Training on Lightning: configuration in, run folder out."""
