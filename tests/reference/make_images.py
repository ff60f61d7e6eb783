#!/usr/bin/env python3
"""Writes tests/data/images: image files of many kinds, and what Pillow and transformers make of them.

Needs pillow==12.1.1 numpy==2.4.6 transformers==5.24.0. Results are kept as CRC-32 sums of their bytes:
  decode.json      for each file: size and RGB as load_image gives it, on white, and with the orientation ignored
  resize.json      Image.resize of synthetic images (the C++ test repeats `synthetic`), one sum a filter 0 to 5
  processors.json  pixel_values of synthetic images for several preprocessor_config.json
"""
import io
import json
import pathlib
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "images"
warnings.simplefilter("ignore")


def synthetic(width, height, kind):
    """Noise ("noise"), or noise of only 0 and 255 ("extremes"), from an integer formula: uint8 [height, width, 3]."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    v = (x * 2654435761 + y * 40503 * 65537 + c * 974711).astype(np.uint32)
    v = (v ^ (v >> np.uint32(15))) * np.uint32(2246822519)
    v = (v ^ (v >> np.uint32(13))) * np.uint32(3266489917)
    return ((v >> np.uint32(24)) if kind == "noise" else (v >> np.uint32(31)) * 255).astype(np.uint8)


def photo(width, height):
    """Something smooth, as JPEG likes it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [128 + 100 * np.sin(x / 7 + i) * np.cos(y / (9 - i)) + 20 * np.sin(x * y / 50 + i) for i in range(3)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def crc(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


# ---- PNG files by hand, since Pillow writes only some of the kinds

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(samples, depth):
    rows = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            data = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
        rows += b"\0" + data
    return rows


def png(samples, depth, colour_type, interlaced=False, before=b"", after=b""):
    """samples [height, width, channels]; `before` and `after` are chunks around the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes] if interlaced else [samples]
    data = b"".join(pack_rows(part, depth) for part in parts if part.size)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(data, 9)) + after + \
        chunk(b"IEND", b"")


def tiff(orientation, endian="<", kind=3, count=1):
    tag = struct.pack(endian + "HHI", 274, kind, count)
    value = struct.pack(endian + {1: "BBBB", 3: "HH", 4: "I"}[kind], orientation, *[0] * {1: 3, 3: 1, 4: 0}[kind])
    make = struct.pack(endian + "HHI4s", 271, 2, 4, b"abc\0")
    return (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(endian + "IH", 8, 2) + make + tag + value + b"\0" * 4


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def png_files():
    files = {}
    types = {0: (1, [1, 2, 4, 8, 16]), 2: (3, [8, 16]), 3: (1, [1, 2, 4, 8]), 4: (2, [8, 16]), 6: (4, [8, 16])}
    names = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgba"}
    random = np.random.default_rng(1)
    for colour_type, (channels, depths) in types.items():
        for depth in depths:
            samples = random.integers(0, 1 << depth, (13, 19, channels))
            if colour_type == 0 and depth == 16:
                samples[::2] >>= 8  # both sides of the clip
            palette = chunk(b"PLTE", random.integers(0, 256, 3 << min(depth, 8)).astype(np.uint8).tobytes())
            before = palette if colour_type == 3 else b""
            for interlaced in (False, True):
                name = f"{names[colour_type]}{depth}{'_interlaced' if interlaced else ''}.png"
                files[name] = png(samples, depth, colour_type, interlaced, before)
            if colour_type in (0, 2):
                key = samples[5, 5].repeat(3 // channels if colour_type == 2 else 1)
                files[f"{names[colour_type]}{depth}_key.png"] = png(
                    samples, depth, colour_type, before=chunk(b"tRNS", key.astype(">u2").tobytes()))
    samples = random.integers(0, 16, (9, 11, 1))
    palette = chunk(b"PLTE", random.integers(0, 256, 48).astype(np.uint8).tobytes())
    files["palette4_one_clear.png"] = png(samples, 4, 3, before=palette + chunk(b"tRNS", b"\xff\xff\xff\0\xff"))
    files["palette4_alpha.png"] = png(samples, 4, 3, before=palette + chunk(b"tRNS", bytes(range(0, 160, 10))))
    files["palette4_short.png"] = png(samples, 4, 3, before=chunk(b"PLTE", bytes(range(50, 77))))
    files["grey1_key_one.png"] = png(samples & 1, 1, 0, before=chunk(b"tRNS", b"\0\1"))
    files["grey4_key_zero.png"] = png(samples, 4, 0, before=chunk(b"tRNS", b"\0\0"))
    files["grey16_key_255.png"] = png(samples * 100, 16, 0, before=chunk(b"tRNS", b"\0\xff"))
    files["one_pixel.png"] = png(samples[:1, :1], 8, 0)
    files["one_pixel_interlaced.png"] = png(samples[:1, :1], 8, 0, True)
    rgb = random.integers(0, 256, (4, 6, 3))
    files["exif6.png"] = png(rgb, 8, 2, before=chunk(b"eXIf", tiff(6)))
    files["exif8_after_pixels.png"] = png(rgb, 8, 2, after=chunk(b"eXIf", tiff(8, ">")))
    files["xmp5.png"] = png(rgb, 8, 2, before=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 5))
    files["no_end.png"] = png(rgb, 8, 2)[:-12]
    return files


def jpeg(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", **{"quality": 85, **options})
    return buffer.getvalue()


def with_segment(data, marker, content):
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def jpeg_files():
    rgb = photo(45, 35)
    noise = synthetic(37, 29, "noise")
    files = {
        "rgb444.jpg": jpeg(rgb, subsampling=0),
        "rgb422.jpg": jpeg(rgb, subsampling=1),
        "rgb420.jpg": jpeg(rgb, subsampling=2),
        "noise422.jpg": jpeg(noise, subsampling=1, quality=60),
        "noise420.jpg": jpeg(noise, subsampling=2, quality=30),
        "stored_rgb.jpg": jpeg(rgb, keep_rgb=True),
        "progressive420.jpg": jpeg(rgb, progressive=True),
        "progressive444.jpg": jpeg(noise, progressive=True, subsampling=0, quality=95),
        "restarts.jpg": jpeg(noise, restart_marker_blocks=2),
        "grey.jpg": jpeg(rgb[..., 0]),
        "one_pixel.jpg": jpeg(rgb[:1, :1]),
        "column420.jpg": jpeg(noise[:, :1]),
        "row420.jpg": jpeg(noise[:1, :]),
    }
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([noise, 255 - noise[..., 1]]), "CMYK").save(buffer, "JPEG", quality=90)
    files["cmyk.jpg"] = buffer.getvalue()
    adobe = files["cmyk.jpg"].find(b"Adobe")
    assert files["cmyk.jpg"][adobe + 11] == 0
    files["ycck.jpg"] = files["cmyk.jpg"][:adobe + 11] + b"\2" + files["cmyk.jpg"][adobe + 12:]
    tall = jpeg(photo(9, 6), subsampling=0)
    for orientation in range(10):
        exif = b"Exif\0\0" + tiff(orientation, "<>"[orientation % 2], [3, 3, 3, 4, 3, 1][orientation % 6])
        files[f"exif{orientation}.jpg"] = with_segment(tall, 0xE1, exif)
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    files["xmp7.jpg"] = with_segment(tall, 0xE1, xmp + XMP % 7)
    files["xmp3_element.jpg"] = with_segment(tall, 0xE1, xmp + b"<tiff:Orientation>3</tiff:Orientation>")
    files["exif6_before_xmp3.jpg"] = with_segment(with_segment(tall, 0xE1, xmp + XMP % 3), 0xE1, b"Exif\0\0" + tiff(6))
    files["exif_cut.jpg"] = with_segment(tall, 0xE1, b"Exif\0\0" + tiff(6)[:30])
    return files


def decode_cases():
    cases = []
    for name, data in {**png_files(), **jpeg_files()}.items():
        (OUT / name).write_bytes(data)
        image = Image.open(io.BytesIO(data))
        image.load()
        upright = ImageOps.exif_transpose(image)
        rgb = np.array(upright.convert("RGB"))
        cases.append({"file": name, "width": rgb.shape[1], "height": rgb.shape[0], "rgb": crc(rgb),
                      "on_white": crc(convert_to_rgb(upright, return_numpy=True)),
                      "as_stored": crc(np.array(image.convert("RGB")))})
    return cases


def resize_cases():
    sizes = [(1, 1, 1, 1), (1, 1, 7, 5), (7, 5, 1, 1), (2, 3, 20, 30), (3, 2, 28, 28), (97, 131, 56, 75),
             (97, 131, 97, 40), (97, 131, 31, 131), (97, 131, 194, 262), (64, 64, 64, 65), (500, 5, 5, 5),
             (5, 500, 5, 5), (5, 500, 6, 4), (2000, 3, 20, 3), (3, 2000, 3, 20), (1, 300, 224, 2), (300, 1, 2, 224),
             (101, 1, 100, 1), (1, 101, 1, 100), (33, 47, 336, 20), (640, 480, 448, 336), (255, 256, 254, 255)]
    random = np.random.default_rng(2)
    sizes += [tuple(map(int, random.integers(1, 120, 4))) for _ in range(60)]
    cases = []
    for width, height, new_width, new_height in sizes:
        case = {"from": [width, height], "to": [new_width, new_height]}
        for kind in ("noise", "extremes"):
            image = Image.fromarray(synthetic(width, height, kind))
            case[kind] = [crc(np.array(image.resize((new_width, new_height), f))) for f in range(6)]
        cases.append(case)
    return cases


def processor_cases():
    configs = [
        {},
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 28, "crop_size": 28, "resample": 3},
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 30},
         "crop_size": {"height": 21, "width": 27}, "resample": 2, "rescale_factor": 0.00392156862745098},
        {"image_processor_type": "CLIPImageProcessor", "size": {"height": 17, "width": 23}, "crop_size": 40,
         "resample": 1, "image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.3, 0.7]},
        {"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 20}, "do_center_crop": False},
        {"image_processor_type": "CLIPImageProcessor", "do_resize": False, "crop_size": 33, "do_normalize": False},
        {"image_processor_type": "CLIPImageProcessor", "size": 25, "crop_size": 25, "do_rescale": False, "resample": 0},
        {"image_processor_type": "CLIPImageProcessor", "size": 25, "crop_size": 24, "rescale_factor": 0.01,
         "resample": 4, "do_convert_rgb": None},
        {"image_processor_type": "LlavaImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32, "do_pad": True},
        {"image_processor_type": "LlavaImageProcessorFast", "size": {"shortest_edge": 32}, "crop_size": 32,
         "do_pad": False, "resample": 5},
        {"image_processor_type": "LlavaImageProcessor", "size": {"height": 24, "width": 24}, "crop_size": 24,
         "do_pad": True, "image_mean": [0.1, 0.999, 0.7]},
    ]
    sizes = [(45, 35), (35, 46), (31, 31), (1, 3), (100, 7), (24, 33)]
    cases = []
    for config in configs:
        kind = config.get("image_processor_type", "CLIP")
        arguments = {k: v for k, v in config.items() if not k.endswith("_type") and v is not None}
        processor = (LlavaImageProcessorPil if kind.startswith("Llava") else CLIPImageProcessorPil)(**arguments)
        images = []
        for width, height in sizes:
            values = processor(Image.fromarray(synthetic(width, height, "noise")), return_tensors="np").pixel_values[0]
            images.append({"width": width, "height": height, "shape": list(values.shape),
                           "values": crc(values.astype(np.float32))})
        cases.append({"config": config, "images": images})
    return cases


def write_json(name, cases):
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / name).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_json("decode.json", decode_cases())
    write_json("resize.json", resize_cases())
    write_json("processors.json", processor_cases())
