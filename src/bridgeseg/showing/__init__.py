"""A page in the browser on which models are tried; needs the extra `demo`."""
