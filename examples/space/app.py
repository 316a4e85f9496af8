"""A Space of Hugging Face, or any other server that runs `python app.py`; MODEL names the file, `street` by default."""

import os

from bridgeseg.settings.demo import Demo
from bridgeseg.showing.page import page

demo = page(Demo(model=os.environ.get("MODEL", "street")))

if __name__ == "__main__":
    demo.launch()
