"""Names as input, without PyTorch: what names are asked for, and which vectors stand for them."""
