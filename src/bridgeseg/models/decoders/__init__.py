"""Decoders: features at four strides -> one map of pixel features, one file each."""

DEFAULT = "light"
