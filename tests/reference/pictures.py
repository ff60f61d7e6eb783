"""Small drawn pictures for the model fixtures: smooth colours, a few hard edges, no noise, so that files stay small."""

import numpy as np
from PIL import Image, ImageDraw


def draw(width: int, height: int, variant: int) -> Image.Image:
    """An RGB picture of a gradient sky with two shapes; `variant` turns the colours and moves the shapes."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    phase = 1.7 * variant
    channels = [
        127.5 + 110 * np.sin(phase + turn + 2.5 * columns / width + (1.5 + turn) * rows / height)
        for turn in (0.0, 1.0, 2.0)
    ]
    picture = Image.fromarray(np.rint(np.stack(channels, axis=-1)).astype(np.uint8), "RGB")
    pen = ImageDraw.Draw(picture)
    left, top = width * (1 + variant % 3) // 6, height // 5
    pen.ellipse([left, top, left + width // 3, top + height // 2], fill=(220, 40 + 60 * (variant % 3), 30))
    pen.rectangle(
        [width // 10, height * 2 // 3, width * 2 // 3, height * 9 // 10], fill=(20, 90, 160 - 40 * (variant % 3))
    )
    return picture
