#!/usr/bin/env python3
"""Accuracy of the demo checkpoint on scenes that it was not trained on, and samples for end-to-end tests.

    demo_eval.py --tessera build/examples/tessera --work /tmp/demo --model examples/models/llava15-scenes

Every question is asked alone (a dialogue's with its true turns before it), answered greedily and compared as text. The
baseline sees the image of another scene. Writes accuracy.json, expected_samples.json and, to stdout, the table.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

import demo_data as data
import demo_models as models

SEED = 100
TASKS = ("attribute", "existence", "size", "count", "relation", "caption", "detail", "dialogue")


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


def questions(record):
    """(task, prompt, answer) of each turn."""
    history = []
    for task, question, answer in data.turns(record):
        rounds = (history if task == "dialogue" else []) + [(question, "")]
        text, spans = data.conversation_text("<image>", rounds)
        yield task, text[: spans[-1][0]], answer
        history = history + [(question, answer)] if task == "dialogue" else []


def answer_all(model, tokenizer, items, batch=128):
    """Greedy answers to (task, prompt, image) items, in batches of one task where possible, padded on the left."""
    answers = [None] * len(items)
    order = sorted(range(len(items)), key=lambda index: items[index][0])
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        prompts = [items[index][1].replace("<image>", "<image>" * models.IMAGE_TOKENS) for index in chosen]
        inputs = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
        pixels = models.to_pixels(np.stack([items[index][2] for index in chosen]))
        with torch.inference_mode():
            ids = model.generate(
                input_ids=inputs.input_ids,
                attention_mask=inputs.attention_mask,
                pixel_values=pixels,
                do_sample=False,
                max_new_tokens=40,
            )
        texts = tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        for index, text in zip(chosen, texts):
            answers[index] = text.strip()
    return answers


def accuracies(model, tokenizer, scenes, shift):
    """Share of right answers of each task; each scene is shown with the image of the scene `shift` further on."""
    items, truths = [], []
    for number, record in enumerate(scenes.records):
        for task, prompt, answer in questions(record):
            items.append((task, prompt, scenes.images[(number + shift) % len(scenes)]))
            truths.append(answer)
    right = np.array([answer == truth for answer, truth in zip(answer_all(model, tokenizer, items), truths)])
    tasks = np.array([task for task, _, _ in items])
    return {task: round(float(right[tasks == task].mean()), 4) for task in TASKS if task in tasks}


def table(results):
    header = ["scenes", "objects"] + list(TASKS)
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join(["---"] * len(header)) + " |"]
    for row in results:
        cells = []
        for task in TASKS:
            seen = row["accuracy"].get(task)
            blind = row["baseline"].get(task)
            cells.append("–" if seen is None else f"{100 * seen:.0f} ({100 * blind:.0f})")
        lines.append("| " + " | ".join([row["split"], str(row["objects"])] + cells) + " |")
    return "\n".join(lines)


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
    parser.add_argument("--count", type=int, default=150, help="scenes for each line of the table")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, processor = load(options.model)
    results = []
    for split, objects in (("test", 1), ("test", 2), ("test", 3), ("holdout", 1), ("holdout", 2), ("holdout", 3)):
        scenes = test_scenes(options, split, objects)
        accuracy, baseline = (accuracies(model, processor.tokenizer, scenes, shift) for shift in (0, 1))
        results.append(dict(split=split, objects=objects, scenes=len(scenes), accuracy=accuracy, baseline=baseline))
    folder = Path(options.model)
    (folder / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    samples = expected_samples(model, processor, options)
    (folder / "expected_samples.json").write_text(json.dumps(samples, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
