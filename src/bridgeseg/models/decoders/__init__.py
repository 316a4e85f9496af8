"""Decoders: features at four strides -> one map of pixel features, one file each; those of a library share a file."""

DEFAULT = "wide"
PEERS = {f"smp:{name}": "_smp" for name in ("FPN", "Unet", "DeepLabV3Plus", "Segformer")}
PEERS["torchvision:lraspp"] = "_torchvision"
"""Decoders of other libraries, to compare with -> the file that registers them."""
