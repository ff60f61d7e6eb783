"""Writes tests/data/beams.json: beam searches of transformers over the golden LLaVA cases that it can load itself."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration

MODELS = Path(__file__).parents[1] / "data" / "models"
CASES = ("llava15_hub_f32", "llava15_v5_f16_tied", "llava15_v5_layer_list")
SETTINGS = ((2, 1.0, 1.0), (3, 1.0, 1.0), (4, -1.0, 1.0), (5, 2.0, 1.0), (3, 0.0, 1.0), (3, 1.0, 1.3), (2, 1.0, 4.0))
MAX_NEW = 8


def search(case, beams, length_penalty, repetition_penalty):
    folder = MODELS / case
    about = json.loads((folder / "case.json").read_text())
    model = LlavaForConditionalGeneration.from_pretrained(
        folder / about.get("model_folder", "model"), dtype=torch.float32, attn_implementation="eager"
    )
    tensors = load_file(folder / "expected.safetensors")
    ids = tensors["input_ids"][None]
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=tensors.get("pixel_values"),
        num_beams=beams,
        length_penalty=length_penalty,
        repetition_penalty=repetition_penalty,
        early_stopping=False,
        do_sample=False,
        max_new_tokens=MAX_NEW,
    )
    return output[0, ids.shape[1] :].tolist()


def main():
    torch.manual_seed(0)
    rows = [
        dict(
            case=case,
            beams=beams,
            length_penalty=length,
            repetition_penalty=repetition,
            max_new=MAX_NEW,
            ids=search(case, beams, length, repetition),
        )
        for case in CASES
        for beams, length, repetition in SETTINGS
    ]
    text = ",\n".join(json.dumps(row) for row in rows)
    (MODELS.parent / "beams.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
