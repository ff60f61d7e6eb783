#!/usr/bin/env python3
"""Trains both stages for a few steps with `tessera train`, loads each folder that comes out with transformers, and compares
its logits and greedy text with those of `tessera ask`.

    check_trained_folder.py build/test/examples/tessera
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
MODEL = DATA / "models" / "llava15_hub_f32" / "model"
PICTURES = DATA / "models" / "llava15_hub_f32_two_images"
PICTURE = PICTURES / "tall.png"
QUESTION = "Where is the red boat?"
BOUND = 2e-5  # of the largest logit, as in tests/hub/llava_fidelity_test.cpp


def run(tessera, command, **options):
    arguments = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), str(value))]
    return subprocess.run([tessera, command, *arguments, "--quiet"], check=True, capture_output=True, text=True).stdout


def train(tessera, stage, out):
    data = DATA / "training" / f"stage{stage}" / "data.json"
    options = dict(system="llava-1.5", stage=stage, model=MODEL, data=data, images=PICTURES, out=out)
    run(tessera, "train", **options, steps=6, batch=3, lr=1e-3)


def check(tessera, folder, scratch):
    """The largest difference of the logits, relative to the largest logit."""
    text = run(tessera, "ask", model=folder, image=PICTURE, prompt=QUESTION, max_new=12, dump=scratch)
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder, use_fast=False)
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=Image.open(PICTURE), text=prompt, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits[0].numpy()
        reply = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs.input_ids.shape[1] :]
    assert np.array_equal(np.load(scratch / "generated_ids.npy").ravel(), reply.numpy()), f"{folder}: {text!r}"
    return np.abs(np.load(scratch / "logits.npy") - expected).max() / np.abs(expected).max()


def main():
    tessera = pathlib.Path(sys.argv[1]).resolve()
    before = load_file(MODEL / "model.safetensors")
    for stage in (1, 2):
        with tempfile.TemporaryDirectory() as temporary:
            folder, scratch = pathlib.Path(temporary) / "trained", pathlib.Path(temporary) / "dump"
            train(tessera, stage, folder)
            after = load_file(folder / "model.safetensors")
            changed = sum(not torch.equal(before[name], after[name]) for name in before)
            error = check(tessera, folder, scratch)
            print(json.dumps({"stage": stage, "changed tensors": changed, "logits": float(error), "bound": BOUND}))
            assert before.keys() == after.keys() and changed > 0 and error <= BOUND


if __name__ == "__main__":
    main()
