#!/usr/bin/env python3
"""Writes tests/data/training/stage1 and stage2: LLaVA's two stages run by transformers, autograd and torch.optim.AdamW
over the fixture models/llava15_hub_f32 and the pictures of llava15_hub_f32_two_images, in float32 and, for the noise of rounding, in float64.

data.json              the conversations
run.json               settings; loss, rate and gradient norm of every step; the losses of the same run in float64
expected.safetensors   gradients of the first step, and the parameters after three steps
"""

import json
import pathlib

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoProcessor, LlavaForConditionalGeneration

from llava_hf import HUB_NAMES, rename
from make_training_data import DATA, IMAGE, Preprocessor
from reference_run import double_precision
from stage_run import IGNORED, TRAINED, run_stage, run_text, settings

MODEL = DATA / "models" / "llava15_hub_f32" / "model"
PICTURES = DATA / "models" / "llava15_hub_f32_two_images"
STEPS, BATCH = 200, 3
IMAGES = ["tall.png", "wide.jpg"]

CAPTIONS = [
    ["Write a short description for the image.\n<image>", "a red boat near the water"],
    ["<image>\nWhat is in the photo?", "a small dog and a large bird"],
    ["Describe the image concisely.\n<image>", "the old tower above a green window, and a table"],
    ["<image>", "blue"],
    ["Give a caption.\n<image>", "two birds on a boat"],
    ["<image>\nWhat is this?", "a door, a wall and the sky over the sea"],
]
DIALOGUES = [
    ["<image>\nHow many dogs are there?", "Two.", "Which colour are they?", "One is red and\nthe other is blue."],
    ["Where is the tower?\n<image>", "The tower is near the water."],
    ["What is a boat?", "A boat is a thing that floats.", "Thank you.", "You are welcome."],
    ["<image>\nIs there a bird?", "Yes, a large one.", "Sure?", "Yes.", "And a cat?", "No, there is no cat."],
    ["<image>\nDescribe the picture.", "A picture of a green window in an old wall."],
    ["Say nothing.", "."],
]
STAGES = {
    "stage1": dict(template="plain", texts=CAPTIONS, lr=1e-3, weight_decay=0.0),
    "stage2": dict(template="v1", texts=DIALOGUES, lr=3e-4, weight_decay=0.05),
}


def conversations(texts: list) -> list[dict]:
    """LLaVA's format. Images take turns."""
    entries = []
    for number, turns in enumerate(texts):
        entry = {"id": str(number)}
        if "<image>" in "".join(turns):
            entry["image"] = IMAGES[number % len(IMAGES)]
        entry["conversations"] = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(turns)]
        entries.append(entry)
    return entries


def batch(entries: list[dict], template: str, processor, image_token: int, rows: int, dtype) -> dict:
    preprocess = Preprocessor(Tokenizer.from_file(str(MODEL / "tokenizer.json")), True, 2048)
    sequences, images = [], []
    for entry in entries:
        turns = [(turn["from"], turn["value"]) for turn in entry["conversations"]]
        ids, labels = preprocess(template, turns, "image" in entry)
        repeats = [rows if id_ == IMAGE else 1 for id_ in ids]
        sequences.append(
            (
                [image_token if id_ == IMAGE else id_ for id_, n in zip(ids, repeats) for _ in range(n)],
                [label for label, n in zip(labels, repeats) for _ in range(n)],
            )
        )
        if "image" in entry:
            images.append(Image.open(PICTURES / entry["image"]).convert("RGB"))
    longest = max(len(ids) for ids, _ in sequences)
    padded = lambda which, padding: torch.tensor([s[which] + [padding] * (longest - len(s[0])) for s in sequences])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in sequences])
    pixels = processor.image_processor(images=images, return_tensors="pt")["pixel_values"].to(dtype)
    return dict(input_ids=padded(0, 0), labels=padded(1, IGNORED), attention_mask=mask, pixel_values=pixels)


def published(model) -> dict[str, torch.Tensor]:
    return {rename(name, HUB_NAMES): p for name, p in model.named_parameters() if p.requires_grad}


def run(name: str, entries: list[dict], dtype) -> tuple[list[dict], dict[str, torch.Tensor]]:
    stage = STAGES[name]
    processor = AutoProcessor.from_pretrained(MODEL)
    model = LlavaForConditionalGeneration.from_pretrained(MODEL, dtype=dtype, attn_implementation="eager").train()
    vision = model.config.vision_config
    rows = (vision.image_size // vision.patch_size) ** 2
    tensors = {}

    def inputs(step):
        begin = step * BATCH % len(entries)
        return batch(entries[begin : begin + BATCH], stage["template"], processor, model.config.image_token_id, rows, dtype)

    def after_backward(step):
        if step == 0:
            tensors.update({"gradient." + name: p.grad.clone() for name, p in published(model).items()})

    def after_step(step):
        if step == 2:
            tensors.update({"after." + name: p.detach().clone() for name, p in published(model).items()})

    steps = run_stage(
        model, TRAINED[name], inputs, lr=stage["lr"], weight_decay=stage["weight_decay"], steps=STEPS,
        after_backward=after_backward, after_step=after_step,
    )  # fmt: skip
    return steps, tensors


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, stage in STAGES.items():
        folder = DATA / "training" / name
        folder.mkdir(parents=True, exist_ok=True)
        entries = conversations(stage["texts"])
        (folder / "data.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
        steps, tensors = run(name, entries, torch.float32)
        with double_precision():
            wide, _ = run(name, entries, torch.float64)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "expected.safetensors")
        values = settings(
            stage=int(name[-1]), template=stage["template"], lr=stage["lr"], weight_decay=stage["weight_decay"], batch=BATCH
        )
        lines = [narrow | dict(loss_float64=exact["loss"]) for narrow, exact in zip(steps, wide)]
        (folder / "run.json").write_text(run_text(values, lines))
        print(name, "first", steps[0]["loss"], "last", steps[-1]["loss"])


if __name__ == "__main__":
    main()
