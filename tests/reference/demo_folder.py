#!/usr/bin/env python3
"""Writes all that the demo's Hugging Face folder has beside its weights: the tokenizer, learnt from texts about scenes,
and the configurations, of transformers' own classes. examples/train_demo.sh makes the weights.

    demo_folder.py --tessera build/test/examples/tessera --work /tmp/demo --out /tmp/demo/folder
"""

import argparse
from pathlib import Path

import demo_data as data
import demo_models as models


def learn_tokenizer(scenes):
    names = data.SHAPES + data.COLORS + data.SIZES + data.PLACES + ("zero", "one", "two", "three", "four", "five")
    texts = [" ".join(names + tuple(shape + "s" for shape in data.SHAPES))] * 1000 + [data.SYSTEM_TEXT.strip()] * 1000
    for record in scenes.records:
        for _, question, answer in data.turns(record):
            texts += [f"USER: {question} ASSISTANT: {answer}", f"\n{question}"]
    return data.train_tokenizer(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", required=True)
    parser.add_argument("--work", required=True, help="for the scenes")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    scenes = data.make_scenes(
        options.tessera, Path(options.work) / "texts", seed=2, count=6000, objects="1-3", tasks_per_scene=8
    )
    tokenizer = learn_tokenizer(scenes)
    models.llava_config(tokenizer).save_pretrained(options.out)
    models.generation_config(tokenizer).save_pretrained(options.out)
    processor = models.make_processor(tokenizer)
    processor.save_pretrained(options.out)
    processor.image_processor.save_pretrained(options.out)


if __name__ == "__main__":
    main()
