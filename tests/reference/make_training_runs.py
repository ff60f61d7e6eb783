#!/usr/bin/env python3
"""Writes tests/data/training/stage1 and stage2: LLaVA's two stages run by transformers, autograd and torch.optim.AdamW
over the fixture models/llava15_hub_f32 and the pictures of llava15_hub_f32_two_images, in float32 and, for the noise of rounding, in float64.

data.json              the conversations
run.json               settings; loss, rate and gradient norm of every step; the losses of the same run in float64
expected.safetensors   gradients of the first step, and the parameters after three steps
"""

import json
import math
import pathlib

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoProcessor, LlavaForConditionalGeneration, get_cosine_schedule_with_warmup

from llava_hf import HUB_NAMES, rename
from make_training_data import DATA, IGNORED, IMAGE, Preprocessor
from reference_run import double_precision

MODEL = DATA / "models" / "llava15_hub_f32" / "model"
PICTURES = DATA / "models" / "llava15_hub_f32_two_images"
STEPS, BATCH, WARMUP_RATIO, BETAS, EPS, CLIP = 200, 3, 0.03, (0.9, 0.999), 1e-8, 1.0
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
    "stage1": dict(template="plain", texts=CAPTIONS, lr=1e-3, weight_decay=0.0, trained=("model.multi_modal_projector.",)),
    "stage2": dict(
        template="v1",
        texts=DIALOGUES,
        lr=3e-4,
        weight_decay=0.05,
        trained=("model.multi_modal_projector.", "model.language_model.", "lm_head."),
    ),
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


def groups(model, weight_decay: float) -> list[dict]:
    """As transformers' Trainer: biases and norms do not decay."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = [p for p in trained.values() if p.dim() > 1]
    vectors = [p for p in trained.values() if p.dim() == 1]
    return [dict(params=matrices, weight_decay=weight_decay), dict(params=vectors, weight_decay=0.0)]


def published(model) -> dict[str, torch.Tensor]:
    return {rename(name, HUB_NAMES): p for name, p in model.named_parameters() if p.requires_grad}


def mean_loss(model, labels: torch.Tensor, **inputs) -> torch.Tensor:
    """model(…).loss, which transformers computes in float32 even in a model of float64."""
    logits = model(**inputs).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)


def run(stage: dict, entries: list[dict], dtype) -> tuple[list[dict], dict[str, torch.Tensor]]:
    processor = AutoProcessor.from_pretrained(MODEL)
    model = LlavaForConditionalGeneration.from_pretrained(MODEL, dtype=dtype, attn_implementation="eager").train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(stage["trained"]))
    vision = model.config.vision_config
    rows = (vision.image_size // vision.patch_size) ** 2
    optimizer = torch.optim.AdamW(groups(model, stage["weight_decay"]), lr=stage["lr"], betas=BETAS, eps=EPS)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(WARMUP_RATIO * STEPS), STEPS)
    parameters = [p for p in model.parameters() if p.requires_grad]
    steps, tensors = [], {}
    for step in range(STEPS):
        begin = step * BATCH % len(entries)
        inputs = batch(entries[begin : begin + BATCH], stage["template"], processor, model.config.image_token_id, rows, dtype)
        optimizer.zero_grad()
        loss = mean_loss(model, **inputs)
        loss.backward()
        if step == 0:
            tensors |= {"gradient." + name: p.grad.clone() for name, p in published(model).items()}
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        steps.append(dict(step=step, loss=loss.item(), lr=schedule.get_last_lr()[0], grad_norm=norm.item()))
        optimizer.step()
        schedule.step()
        if step == 2:
            tensors |= {"after." + name: p.detach().clone() for name, p in published(model).items()}
    return steps, tensors


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, stage in STAGES.items():
        folder = DATA / "training" / name
        folder.mkdir(parents=True, exist_ok=True)
        entries = conversations(stage["texts"])
        (folder / "data.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
        steps, tensors = run(stage, entries, torch.float32)
        with double_precision():
            wide, _ = run(stage, entries, torch.float64)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "expected.safetensors")
        settings = dict(
            stage=int(name[-1]), template=stage["template"], lr=stage["lr"], weight_decay=stage["weight_decay"], betas=BETAS,
            eps=EPS, clip=CLIP, batch=BATCH, warmup_ratio=WARMUP_RATIO,
        )  # fmt: skip
        lines = [json.dumps(a | dict(loss_float64=b["loss"])) for a, b in zip(steps, wide)]
        text = json.dumps(settings)[:-1] + ', "steps": [\n' + ",\n".join(lines) + "\n]}\n"
        (folder / "run.json").write_text(text)
        print(name, "first", steps[0]["loss"], "last", steps[-1]["loss"])


if __name__ == "__main__":
    main()
