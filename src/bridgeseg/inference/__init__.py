"""The light half: pictures in, class ids and overlays out. Needs numpy, Pillow and onnxruntime, never torch."""
