"""How language guides a network, one file per method."""
