"""Keys of a bucket that lead outside, and masks that are there but cut or of something else."""

from pathlib import Path

from PIL import Image

from bridgeseg.predicting.ray_data import RayPredictor

data = Path("small.png").read_bytes()
predictor = RayPredictor(out="a/b/masks", root="bucket/photos")


def segment(*names: str) -> list[str]:
    rows = predictor({"path": [f"s3://bucket/photos/{name}" for name in names], "bytes": [data] * len(names)})
    return [f"{status} {error}" for status, error in zip(rows["status"], rows["error"], strict=True)]


print(*segment("../../escaped.png", "ok.png"))
print("written:", *sorted(str(path) for path in Path().rglob("*_mask.png")))
mask = Path("a/b/masks/ok.png_mask.png")
mask.write_bytes(mask.read_bytes()[:60])
print("cut:", *segment("ok.png"))
Image.new("L", (9, 9), 5).save(mask)
print("stale:", *segment("ok.png"))
print("whole:", *segment("ok.png"))
