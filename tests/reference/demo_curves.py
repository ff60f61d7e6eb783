#!/usr/bin/env python3
"""The first 200 steps of both of LLaVA-1.5's stages of the demo by transformers, from the weights that
examples/train_demo.sh left in WORK. tests/hub/demo_curve_test.cpp follows them.

    demo_curves.py --tessera build/test/examples/tessera --work build/train_demo

Writes to tests/data/demo_training:
stage1_start.safetensors   bf16, exact: language model and projector where stage 1 starts; the tower is the shipped model's
stage2_start.safetensors   bf16, exact: the projector where stage 2 starts
stage1.json, stage2.json   settings, the options of `tessera scenes` that write the data, and for each step loss, rate
                           and gradient norm, in float32, and the loss of the same run in float64
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

import demo_data as data
import demo_models as models
from reference_run import double_precision
from stage_run import TRAINED, run_stage, run_text, settings

FIXTURES = Path(__file__).resolve().parent.parent / "data" / "demo_training"
STEPS, BATCH = 200, 32
TALK = "attribute,attribute,existence,existence,existence,count,count,relation,size,dialogue,caption,detail"
STAGES = {
    "stage1": dict(lr=2e-3, schedule_steps=400, scenes=dict(seed=3, objects="1-3", tasks="detail")),
    "stage2": dict(lr=1.5e-3, schedule_steps=6000, scenes=dict(seed=4, objects="1-1", tasks=TALK, tasks_per_scene=4)),
}
STARTS = {
    "stage1": ("start", ("language_model.", "multi_modal_projector.")),
    "stage2": ("stage1", ("multi_modal_projector.",)),
}


def stage_text(stage, record):
    if stage == "stage1":
        return data.plain_text(record["conversations"][1]["value"])
    return data.conversation_text("<image>", [turn[1:] for turn in data.turns(record)])


def run(work, stage, scenes, dtype):
    model = LlavaForConditionalGeneration.from_pretrained(
        work / STARTS[stage][0], dtype=dtype, attn_implementation="eager"
    )
    encoder = data.Encoder(Tokenizer.from_file(str(work / "start" / "tokenizer.json")), models.IMAGE_TOKENS)

    def batch(step):
        chosen = slice(step * BATCH, (step + 1) * BATCH)
        ids, mask, labels = encoder.batch(encoder([stage_text(stage, record) for record in scenes.records[chosen]]))
        pixels = models.to_pixels(scenes.images[chosen]).to(dtype)
        return dict(input_ids=ids, attention_mask=mask, labels=labels, pixel_values=pixels)

    options = STAGES[stage]
    return run_stage(
        model.train(), TRAINED[stage], batch, lr=options["lr"], weight_decay=0.0, steps=STEPS,
        schedule_steps=options["schedule_steps"],
    )  # fmt: skip


def save_start(work, stage):
    folder, kept = STARTS[stage]
    weights = load_file(work / folder / "model.safetensors")
    tensors = {name: weight for name, weight in weights.items() if name.startswith(kept)}
    assert all(tensor.dtype == torch.bfloat16 for tensor in tensors.values())
    (FIXTURES / f"{stage}_start.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", required=True)
    parser.add_argument("--work", required=True, help="WORK_FOLDER of examples/train_demo.sh")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    work = Path(options.work)
    for stage, values in STAGES.items():
        scenes_options = dict(values["scenes"], count=STEPS * BATCH)
        scenes = data.make_scenes(options.tessera, work / "curves" / stage, **scenes_options)
        steps = run(work, stage, scenes, torch.float32)
        with double_precision():
            wide = run(work, stage, scenes, torch.float64)
        steps = [narrow | dict(loss_float64=exact["loss"]) for narrow, exact in zip(steps, wide)]
        save_start(work, stage)
        header = settings(
            lr=values["lr"], weight_decay=0.0, batch=BATCH, schedule_steps=values["schedule_steps"], scenes=scenes_options
        )
        (FIXTURES / f"{stage}.json").write_text(run_text(header, steps))
        print(stage, "first", steps[0]["loss"], "last", steps[-1]["loss"])


if __name__ == "__main__":
    main()
