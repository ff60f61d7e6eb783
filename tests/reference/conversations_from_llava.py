#!/usr/bin/env python3
"""Writes tests/data/tokenizers/conversations.json: what LLaVA's and Hugging Face's own code make of conversations.

conversations_from_llava.py LLAVA_CHECKOUT CHAT_TEMPLATE_JSON    (a checkout of haotian-liu/LLaVA with its dependency Pillow, and
the chat_template.json of a llava-1.5-hf folder; needs jinja2)
"""

import importlib.util
import json
import pathlib
import sys

import jinja2
from jinja2.ext import Extension

CONVERSATIONS = [
    ["<image>\nWhat is this?", None],
    ["<image>\nWhat is this?", "A boat.", "Which colour?", None],
    ["No image. Two\nlines?", " Yes. "],
    ["", None],
    ["Describe <image> it.", None],
]
NAMES = ["default", "v0", "v1", "vicuna_v1", "llama_2", "llava_v0", "v0_mmtag", "llava_v1", "v1_mmtag", "llava_llama_2"]


def turns_of(texts: list) -> list[dict]:
    return [{"role": ("user", "assistant")[i % 2], "text": text} for i, text in enumerate(texts) if text is not None]


class Generation(Extension):
    """`{% generation %}` only marks text."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def main() -> None:
    source = pathlib.Path(sys.argv[1]) / "llava" / "conversation.py"
    spec = importlib.util.spec_from_file_location("conversation", source)
    sys.modules["conversation"] = conversation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conversation)
    cases = []
    for name in NAMES:
        for texts in CONVERSATIONS:
            if not texts[0] and "llama_2" in name:
                continue  # refused there
            for image_first in (False, True):
                if image_first and (not texts[0] or "<image>" not in texts[0]):
                    continue
                conv = conversation.conv_templates[name].copy()
                for i, text in enumerate(texts):
                    message = (text, None, "Pad") if image_first and i == 0 else text
                    # The image counts only if it comes with the very first message, which v0's example precedes.
                    conv.append_message(conv.roles[i % 2], message)
                if image_first and conv.offset:
                    continue
                cases.append(
                    {"template": name, "turns": turns_of(texts), "image_first": image_first, "open": texts[-1] is None, "prompt": conv.get_prompt()}
                )
    conv = conversation.conv_templates["plain"].copy()
    conv.append_message(conv.roles[0], "<image>\nWhat?")
    conv.append_message(conv.roles[1], None)
    cases.append({"template": "plain", "turns": turns_of(["<image>\nWhat?"]), "image_first": False, "open": True, "prompt": conv.get_prompt()})

    template = jinja2.Environment(extensions=[Generation]).from_string(json.loads(pathlib.Path(sys.argv[2]).read_text())["chat_template"])
    image, text = {"type": "image"}, lambda value: {"type": "text", "text": value}
    messages = [
        [{"role": "user", "content": [image, text("What is this?")]}],
        [{"role": "user", "content": [text("What"), image, text("is this?"), image]}],
        [{"role": "user", "content": [image]}],
        [
            {"role": "system", "content": [text("Be brief.")]},
            {"role": "user", "content": [image, text("What?")]},
            {"role": "assistant", "content": [text("A dog.")]},
            {"role": "user", "content": [text("Sure?")]},
        ],
        [{"role": "user", "content": [text("What?")]}, {"role": "assistant", "content": [text("A dog.")]}],
    ]
    for conversation_ in messages:
        open_ = conversation_[-1]["role"] == "user"
        cases.append({"template": "hf", "messages": conversation_, "open": open_, "prompt": template.render(messages=conversation_, add_generation_prompt=open_)})
    folder = pathlib.Path(__file__).parent.parent / "data" / "tokenizers"
    (folder / "conversations.json").write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
