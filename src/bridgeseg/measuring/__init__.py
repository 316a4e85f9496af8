"""How fast, how large, how soon: an exported file measured on this machine. Needs nothing but the light core."""
