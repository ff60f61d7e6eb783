#!/usr/bin/env python3
"""Answers of transformers' LLaVA with the demo checkpoint, for tests/hub/demo_model_test.cpp.

    demo_answers.py --tessera build/test/examples/tessera --work /tmp/demo --model examples/models/llava15-scenes

Writes expected_samples.json. How often the model is right tells examples/demo_report.cpp.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

import demo_data as data

SEED = 100


def load(folder):
    """The model in float32 over its bf16 weights, and its processor."""
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoProcessor.from_pretrained(folder)


def test_scenes(options, split, objects):
    folder = Path(options.work) / f"{split}-{objects}"
    return data.make_scenes(
        options.tessera,
        folder,
        split=split,
        seed=SEED,
        count=options.count,
        objects=f"{objects}-{objects}",
        tasks_per_scene=8,
    )


def expected_samples(model, processor, options, count=20):
    """Questions with transformers' own answers, from an image and a message list on. Those whose best two logits come
    close are passed over: there, rounding decides."""
    samples = []
    for split, objects in (("test", 1), ("test", 2), ("holdout", 1), ("test", 3)):
        scenes = test_scenes(options, split, objects)
        wanted = len(samples) + count // 4
        for number, record in enumerate(scenes.records):
            task, question, truth = data.turns(record)[0]
            content = [{"type": "image"}, {"type": "text", "text": question}]
            prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            inputs = processor(
                images=Image.fromarray(np.array(scenes.images[number])), text=prompt, return_tensors="pt"
            )
            with torch.inference_mode():
                result = model.generate(
                    **inputs, do_sample=False, max_new_tokens=40, output_logits=True, return_dict_in_generate=True
                )
            best = torch.stack(result.logits)[:, 0].topk(2).values
            margin = (best[:, 0] - best[:, 1]).min().item()
            if margin < 0.05:
                continue
            ids = result.sequences[0, inputs.input_ids.shape[1] :]
            samples.append(
                dict(
                    split=split,
                    seed=SEED,
                    objects=objects,
                    index=int(record["id"].split("-")[1]),
                    task=task,
                    question=question,
                    prompt=prompt,
                    truth=truth,
                    answer=processor.decode(ids, skip_special_tokens=True).strip(),
                    ids=ids.tolist(),
                    least_margin=round(margin, 4),
                )
            )
            if len(samples) == wanted:
                break
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", default="build/examples/tessera")
    parser.add_argument("--work", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=150, help="scenes of each kind to choose from")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, processor = load(options.model)
    folder = Path(options.model)
    samples = expected_samples(model, processor, options)
    (folder / "expected_samples.json").write_text(json.dumps(samples, indent=1) + "\n")


if __name__ == "__main__":
    main()
