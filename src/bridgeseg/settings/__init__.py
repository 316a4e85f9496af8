"""Settings as typed models, without PyTorch: options, signatures and tables of the docs come out of them."""
