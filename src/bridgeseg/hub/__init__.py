"""The Hugging Face hub: access to it, what repositories are called, and what is taken from them."""
