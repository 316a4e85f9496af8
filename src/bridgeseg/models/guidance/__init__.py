"""Methods: how language guides a network, one file each."""

DEFAULT = "bridge"
REFERENCES = ("none", "denseclip")
