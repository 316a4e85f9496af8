"""The subcommands of `bridgeseg`, one a file; what takes time to import is imported inside them."""
