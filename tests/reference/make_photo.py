#!/usr/bin/env python3
"""Renders examples/photos/red_ball.jpg: one red ball on a grey-green table, seen from above as a camera would see it.

Needs numpy and pillow==12.1.1. Everything is computed here, so the picture is as free as the code.
"""
import pathlib

import numpy as np
from PIL import Image, ImageFilter

WIDTH, HEIGHT, SCALE = 640, 480, 2  # rendered SCALE times larger, then reduced
BALL_X, BALL_Y, RADIUS = 336.0, 232.0, 92.0
LIGHT = np.array([-0.45, -0.55, 0.70]) / np.linalg.norm([-0.45, -0.55, 0.70])
OUT = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "photos" / "red_ball.jpg"


def smooth_noise(random, shape, cells):
    """Noise in about −1 … 1 with features of height/cells pixels."""
    coarse = Image.fromarray(random.standard_normal((cells * shape[0] // shape[1] + 2, cells)).astype(np.float32), "F")
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) * 0.6


def table(random, x, y):
    """A felt-like cloth: a muted base, slow stains, woven threads and fibres; linear light."""
    weave = 0.5 * np.sin(x * 1.9 + 0.4 * np.sin(y * 0.11)) + 0.5 * np.sin(y * 1.7 + 0.4 * np.sin(x * 0.13))
    pattern = 1 + 0.05 * smooth_noise(random, x.shape, 9) + 0.035 * smooth_noise(random, x.shape, 60) + 0.025 * weave
    pattern = pattern + 0.03 * random.standard_normal(x.shape)
    return np.array([0.27, 0.33, 0.27]) * pattern[..., None]


def soft_shadow(x, y):
    """How much of the lamp's light reaches the table, and how much of the sky's."""
    offset = -LIGHT[:2] / LIGHT[2] * RADIUS
    along = offset / np.linalg.norm(offset)
    u = (x - BALL_X - offset[0] * 0.9) * along[0] + (y - BALL_Y - offset[1] * 0.9) * along[1]
    v = -(x - BALL_X - offset[0] * 0.9) * along[1] + (y - BALL_Y - offset[1] * 0.9) * along[0]
    distance = np.hypot(u / (RADIUS / LIGHT[2]), v / RADIUS)
    lamp = np.clip((distance - 0.72) / 0.50, 0, 1)
    lamp = lamp * lamp * (3 - 2 * lamp)
    contact = np.hypot(x - BALL_X, y - BALL_Y) / RADIUS
    return lamp, 1 - 0.45 * np.exp(-np.maximum(contact - 0.8, 0) * 3.0)


def ball(x, y, cloth):
    """The ball's light and its coverage: painted rubber with a broad and a sharp highlight and the cloth's glow below."""
    u, v = (x - BALL_X) / RADIUS, (y - BALL_Y) / RADIUS
    squared = u * u + v * v
    normal = np.stack([u, v, np.sqrt(np.maximum(1 - squared, 0))], -1)
    diffuse = np.maximum(normal @ LIGHT, 0)
    half = (LIGHT + np.array([0, 0, 1])) / np.linalg.norm(LIGHT + np.array([0, 0, 1]))
    facing = np.maximum(normal @ half, 0)
    fresnel = 0.04 + 0.5 * (1 - normal[..., 2]) ** 5
    paint = np.array([0.62, 0.035, 0.03])
    light = paint * (0.95 * diffuse + 0.28 * (0.6 + 0.4 * normal[..., 2]))[..., None]
    light = light + (0.10 * facing ** 18 + 0.65 * facing ** 160)[..., None]
    light = light + (fresnel * 0.35 * (1 - normal[..., 2]))[..., None] * cloth
    return light, np.clip((1 - np.sqrt(squared)) * RADIUS * SCALE + 0.5, 0, 1)


def render(random):
    y, x = np.mgrid[0:HEIGHT * SCALE, 0:WIDTH * SCALE] / SCALE + 0.5 / SCALE
    cloth = table(random, x, y)
    lamp, sky = soft_shadow(x, y)
    falloff = 1.05 - 0.35 * np.hypot((x - 220) / WIDTH, (y - 140) / HEIGHT)
    warm, cool = np.array([1.04, 1.0, 0.93]), np.array([0.92, 0.98, 1.08])
    scene = cloth * (0.75 * (lamp * falloff)[..., None] * warm + 0.33 * sky[..., None] * cool)
    light, coverage = ball(x, y, cloth)
    scene = scene * (1 - coverage[..., None]) + light * falloff[..., None] * warm * coverage[..., None]
    vignette = 1 - 0.22 * (((x / WIDTH - 0.5) ** 2 + (y / HEIGHT - 0.5) ** 2) / 0.5)
    return scene * vignette[..., None]


def develop(linear, random):
    """What a camera does: a slightly soft lens, shot noise, the sRGB curve."""
    planes = [Image.fromarray(linear[..., c].astype(np.float32), "F") for c in range(3)]
    planes = [p.resize((WIDTH, HEIGHT), Image.Resampling.BOX) for p in planes]
    signal = np.stack([np.asarray(p) for p in planes], -1).astype(np.float64)
    signal = np.clip(signal + random.standard_normal(signal.shape) * np.sqrt(np.maximum(signal, 0) * 2e-4 + 1e-6), 0, 1)
    encoded = np.where(signal <= 0.0031308, 12.92 * signal, 1.055 * signal ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.rint(encoded * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))


if __name__ == "__main__":
    generator = np.random.default_rng(7)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    develop(render(generator), generator).save(OUT, quality=86, subsampling=2, optimize=True)
    print(OUT.name, OUT.stat().st_size, "bytes")
