#!/usr/bin/env python3
"""Writes tests/data/models: tiny random models with what the reference makes of a prompt.

make_models.py [CASE...]   all cases, or the named ones
"""

import importlib.metadata
import json
import pathlib
import shutil
import sys

import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

import llava_hf
import llava_original
import pictures
from llava_cases import CASES, Case
from reference_run import ReferenceRun

MODELS = pathlib.Path(__file__).resolve().parents[1] / "data" / "models"
LEAST_MARGIN = 0.02  # of two logits along the greedy path, so that rounding cannot turn a choice
ATTEMPTS = 200


def kind(case: Case):
    """The module that writes and runs the case's layout."""
    return llava_original if case.layout == "original" else llava_hf


def draw_pictures(case: Case, folder: pathlib.Path) -> list[Image.Image]:
    """Writes the case's pictures and reads them back, since JPEG changes them."""
    for picture in case.pictures:
        drawn = pictures.draw(picture.width, picture.height, picture.variant)
        drawn.convert(picture.mode).save(folder / picture.file, quality=90, optimize=True)
    return [Image.open(folder / picture.file) for picture in case.pictures]


def is_telling(case: Case, run: ReferenceRun) -> bool:
    """Whether a random model's answer is worth keeping: clear choices, readable text, an end where one is wanted."""
    if run.least_margin() < LEAST_MARGIN:
        return False
    if case.model_of:  # there is no other model to try
        return True
    ended = run.generated_ids[-1].item() in (case.eos if isinstance(case.eos, list) else [case.eos])
    plain = run.generated_ids[:-1] if ended else run.generated_ids
    only_text = bool((plain > 2).all()) and bool((plain < 440).all()) and len(set(plain.tolist())) > 3
    length = len(run.generated_ids)
    ends_as_wanted = 4 <= length < case.max_new if case.ends_early else length == case.max_new and not ended
    return only_text and "\ufffd" not in run.text and ends_as_wanted


def make(case: Case) -> None:
    folder = MODELS / case.name
    for seed in range(case.seed, case.seed + ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        images = draw_pictures(case, folder)
        model_folder = MODELS / case.model_of / "model" if case.model_of else folder / "model"
        if not case.model_of:
            model_folder.mkdir()
            kind(case).write_folder(case, seed, model_folder)
        run = kind(case).run(case, model_folder, images)
        if is_telling(case, run):
            break
        assert not case.model_of, f"{case.name}: another prompt is needed, the model's answer has no clear choices"
    else:
        raise SystemExit(f"{case.name}: no telling answer within {ATTEMPTS} seeds")
    write_expectation(case, seed, run, folder)


def write_expectation(case: Case, seed: int, run: ReferenceRun, folder: pathlib.Path) -> None:
    tensors = run.tensors()
    save_file(tensors, folder / "expected.safetensors")
    description = {
        "family": "llava",
        "images": [picture.file for picture in case.pictures],
        "prompt": case.prompt,
        "messages": case.messages,
        "model_folder": f"../{case.model_of}/model" if case.model_of else None,
        "vision_tower_folder": case.tower_folder_name if case.names_tower_folder else None,
        "max_new": case.max_new,
        "num_beams": 1,
        "dtype": case.dtype,
        "text": run.text,
        "generated_ids": run.generated_ids.tolist(),
        "note": case.note,
        "attention": "eager",
        "arithmetic": "float32 over the stored weights",
        "seed": None if case.model_of else seed,
        "least_margin": round(run.least_margin(), 4),
        "float32_noise": float(f"{run.float32_noise:.1e}"),
        "eos_token_id": run.eos_token_id,
        "reference": f"transformers {transformers.__version__}, torch {torch.__version__}, "
        f"tokenizers {importlib.metadata.version('tokenizers')}, Pillow {importlib.metadata.version('pillow')}",
        "expected": {name: list(tensor.shape) for name, tensor in tensors.items()},
    }
    description = {name: value for name, value in description.items() if value is not None}
    (folder / "case.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    files = [file for file in folder.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o644)  # safetensors writes for the owner only
    size = sum(file.stat().st_size for file in files)
    measures = f"margin {run.least_margin():.3f}, noise {run.float32_noise:.1e}, {len(run.generated_ids)} tokens"
    print(f"{case.name}: seed {seed}, {size // 1024} KiB, {measures} {run.text!r}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    wanted = set(sys.argv[1:])
    unknown = wanted - {case.name for case in CASES}
    if unknown:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}")
    for case in CASES:
        if not wanted or case.name in wanted:
            make(case)


if __name__ == "__main__":
    main()
