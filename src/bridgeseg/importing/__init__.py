"""What labelling tools export -> a dataset that trains: images, masks of class ids, data.yaml, report. No PyTorch here.

One file of `forms/` reads one form of export into a common stream of `model.Item`; `draw` makes masks of objects,
`write` puts the files where they belong, and `run` puts it all together.
"""
