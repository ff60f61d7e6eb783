#!/usr/bin/env python3
"""Writes tests/data/training: what the reference makes of schedules, sample orders and training conversations.

schedules.json      rates of transformers' schedules
orders.json         torch.randperm, and the orders of LLaVA's trainer (llava/train/llava_trainer.py), restated here
conversations.json  ids and labels as in llava/train/train.py, restated here: ids count by count, as the original does
tokenizer.json      a tokenizer that marks a blank only at the start of a text (`legacy` is false)
"""

import json
import math
import pathlib

import torch
from tokenizers import Tokenizer
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

import llama_tokenizer
from stage_run import IGNORED

DATA = pathlib.Path(__file__).parent.parent / "data"
FOLDER = DATA / "training"
IMAGE, PADDING = -200, 0


def write(name: str, entries: list) -> None:
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
    (FOLDER / name).write_text(f"[\n{lines}\n]\n")


# ---- schedules -------------------------------------------------------------------------------------------------------


def schedule_case(decay: str, total: int, ratio: float, peak: float) -> dict:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    warmup = math.ceil(total * ratio)
    if decay == "constant":
        schedule = get_constant_schedule_with_warmup(optimizer, warmup)
    else:
        make = {"cosine": get_cosine_schedule_with_warmup, "linear": get_linear_schedule_with_warmup}[decay]
        schedule = make(optimizer, warmup, total)
    rates = []
    for _ in range(total + 1):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return {"decay": decay, "total_steps": total, "warmup_ratio": ratio, "peak": peak, "warmup_steps": warmup, "rates": rates}


def schedules() -> list[dict]:
    settings = [(20, 0.03, 1e-3), (37, 0.1, 2e-5), (10, 0.0, 1.0), (8, 1.0, 2e-3), (1, 0.03, 1e-3), (100, 0.07, 2e-5)]
    return [schedule_case(decay, *setting) for decay in ("cosine", "linear", "constant") for setting in settings]


# ---- orders ----------------------------------------------------------------------------------------------------------


def deal_evenly(samples: list[int], lengths: list[int], count: int) -> list[list[int]]:
    if len(samples) % count:
        return [samples[first::count] for first in range(count)]
    batches, sums = [[] for _ in range(count)], [0.0] * count
    for sample in samples:
        target = min(range(count), key=sums.__getitem__)
        batches[target].append(sample)
        sums[target] = math.inf if len(batches[target]) == len(samples) // count else sums[target] + lengths[sample]
    return batches


def pieces(samples: list[int], size: int) -> list[list[int]]:
    return [samples[begin : begin + size] for begin in range(0, len(samples), size)]


def length_grouped(lengths: list[int], batch: int, count: int) -> list[int]:
    order = []
    for megabatch in pieces(torch.randperm(len(lengths)).tolist(), batch * count):
        megabatch.sort(key=lambda sample: lengths[sample], reverse=True)
        for dealt in deal_evenly(megabatch, lengths, count):
            order += dealt
    return order


def modality_grouped(lengths: list[int], batch: int, count: int) -> list[int]:
    with_image = [i for i, length in enumerate(lengths) if length > 0]
    text_alone = [i for i, length in enumerate(lengths) if length < 0]
    if not with_image or not text_alone:
        return length_grouped(lengths, batch, count)
    megabatches, rest = [], []
    for kind in (with_image, text_alone):
        order = [kind[i] for i in length_grouped([abs(lengths[i]) for i in kind], batch, count)]
        *whole, last = pieces(order, batch * count)
        megabatches += whole
        rest += last
    order = [sample for i in torch.randperm(len(megabatches)).tolist() for sample in megabatches[i]]
    return order + sorted(rest)


def orders() -> list[dict]:
    cases = []
    for seed, counts in ((0, [1, 2, 10, 1, 33]), (42, [100, 7]), (2**32 + 5, [12, 12])):
        torch.manual_seed(seed)
        cases.append({"kind": "randperm", "seed": seed, "orders": [torch.randperm(count).tolist() for count in counts]})
    for seed, size, images, batch, count in (
        (0, 40, 0.5, 4, 1), (1, 50, 0.7, 4, 3), (2, 48, 1.0, 4, 4), (3, 31, 0.0, 3, 2), (4, 5, 0.5, 8, 2), (42, 64, 0.9, 2, 8), (7, 33, 1.0, 4, 4),
    ):  # fmt: skip
        torch.manual_seed(1000 + seed)
        lengths = torch.randint(1, 30, (size,)) * torch.where(torch.rand(size) < images, 1, -1)
        lengths = lengths.tolist()
        torch.manual_seed(seed)
        order = modality_grouped(lengths, batch, count)
        assert sorted(order) == list(range(size))
        cases.append({"kind": "modality", "seed": seed, "lengths": lengths, "batch": batch, "count": count, "order": order})
    return cases


# ---- conversations ---------------------------------------------------------------------------------------------------

SYSTEM = {
    "v1": "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions.",
    "llava_llama_2": "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language.",
}


class Refused(Exception):
    """The original stops at an assertion, or warns and ignores the whole sample."""


class Preprocessor:
    """`preprocess` of llava/train/train.py for one conversation."""

    def __init__(self, tokenizer: Tokenizer, legacy: bool, max_length: int):
        self.tokenizer, self.legacy, self.max_length = tokenizer, legacy, max_length

    def ids(self, text: str, has_image: bool) -> list[int]:
        first, *others = text.split("<image>") if has_image else [text]
        result = self.tokenizer.encode(first).ids
        for stretch in others:
            result += [IMAGE] + self.tokenizer.encode(stretch).ids[1:]
        return result

    def __call__(self, template: str, turns: list, has_image: bool) -> tuple[list[int], list[int]]:
        turns = [(speaker, image_first(text) if has_image else text) for speaker, text in turns]
        if template == "plain":
            ids, labels = self.plain(turns)
        else:
            ids, labels = self.rounds(template, turns, has_image)
        labels = [IGNORED if id_ == IMAGE else label for id_, label in zip(ids, labels)]  # when image rows come in
        ids, labels = ids[: self.max_length], labels[: self.max_length]
        # An <unk> has the id of the padding and would be taken out of the sequence.
        if all(label == IGNORED for label in labels) or ids.count(IMAGE) != has_image or PADDING in ids:
            raise Refused
        return ids, labels

    def plain(self, turns: list) -> tuple[list[int], list[int]]:
        if len(turns) != 2 or "<image>" not in turns[0][1]:
            raise Refused
        ids = self.ids("<image>" + turns[1][1] + "\n", True)
        question = len(self.ids("<image>", True))
        return ids, [IGNORED] * question + ids[question:]

    def rounds(self, template: str, turns: list, has_image: bool) -> tuple[list[int], list[int]]:
        if turns[0][0] != "human":
            turns = turns[1:]
        if any(speaker != ("human", "gpt")[i % 2] for i, (speaker, _) in enumerate(turns)):
            raise Refused
        prompt = prompt_of(template, [text for _, text in turns])
        ids = self.ids(prompt, has_image)
        if not has_image:
            ids = ids[: self.max_length]
        mark = "[/INST] " if template == "llava_llama_2" else " ASSISTANT: "
        labels, cursor = list(ids), 1
        labels[0] = IGNORED
        for number, round_ in enumerate(prompt.split("</s>")):
            opening, *answers = round_.split(mark)
            if len(answers) != 1:
                break
            length, untrained = len(self.ids(round_, has_image)), len(self.ids(opening + mark, has_image)) - 2
            if number > 0 and template == "v1" and not self.legacy:
                length, untrained = length - 1, untrained - 1
            labels[cursor : cursor + untrained] = [IGNORED] * len(labels[cursor : cursor + untrained])
            cursor += length
        labels[cursor:] = [IGNORED] * len(labels[cursor:])
        if cursor < self.max_length and cursor != sum(id_ != PADDING for id_ in ids):
            raise Refused
        return ids, labels


def image_first(text: str) -> str:
    if "<image>" not in text:
        return text
    return ("<image>\n" + text.replace("<image>", "").strip()).strip()


def prompt_of(template: str, texts: list[str]) -> str:
    if template == "v1":
        prompt = SYSTEM["v1"] + " "
        for i, text in enumerate(texts):
            prompt += ("USER", "ASSISTANT")[i % 2] + ":" + (f" {text}" + (" ", "</s>")[i % 2] if text else "")
        return prompt
    if not texts[0]:
        raise Refused
    prompt = ""
    for i, text in enumerate(texts):
        system = f"<<SYS>>\n{SYSTEM[template]}\n<</SYS>>\n\n" if i == 0 else ""
        if text:
            prompt += f" {text} </s>" if i % 2 else f"<s>[INST] {system}{text} [/INST]"
    return prompt.removeprefix("<s>")


# Texts of a human and an assistant in turn; a conversation that begins with None begins with the assistant.
WITH_IMAGE = [
    ["<image>\nWhat is this?", "A boat."],
    ["What is this?\n<image>", "A red boat near the water"],
    ["Describe <image> it.", "The old tower."],
    ["<image>", "a dog and a bird"],
    ["  \t<image>  \n ", "blue"],
    ["\u00a0\u3000<image>\u2028 Which colour?\u0085\x1f", "\u3000green\u00a0"],
    ["<image><image>Two in one<image>", "One is left."],
    ["<image>\nHow many dogs?", "Two.", "Which colour?", "Red and\nblue.", "Sure?", "Yes, the user is right."],
    ["First a question", "An answer.", "And now\n<image>", "The image shows a window."],
    ["Where?", "See <image> here."],
    ["<image>\nQ", " leading blank"],
    ["<image>\nQ", "trailing blanks  "],
    ["<image>\nQ", "\nnew line first"],
    ["<image>\n  Q  ", "  both  "],
    ["<image>\nQ", " "],
    ["<image>\nQ", "\n\n"],
    ["<image>\nQ ", "a", "q2\n", "b\n", "  q3", "c "],
    [None, "I start.", "<image>\nWhy?", "Because."],
    ["<image>\nnaïve café 日本語 👩‍👩‍👧 e\u0301", "Ελλάδα 🙂 \u200b\ufeff▁x▁"],
    ["<image>\nASSISTANT:yes USER: no", "USER: ASSISTANT:x", "[INST]", "[/INST]"],
    ["<image>\n### Human: <0x0A> </s <pad> <s>", "</s <im_start> <s> s>"],
    ["<image>\n" + "a long question about the boat " * 3, "a long answer " * 12, "more?", "no"],
    # What cannot be trained.
    ["<image>\nQ", "An ASSISTANT: inside"],
    ["<image>\nQ [/INST] R", "A [/INST] B"],
    ["<image>\nQ", "ends</s> twice"],
    ["<image>\nQ", ""],
    ["<image>\nQ", "a", "", "b"],
    ["<image>\nQ", "a", "open question"],
    ["<image>\nQ", "has <unk> inside"],
    ["<image>\nQ", "a", "<image>\nQ2", "b"],
    ["no placeholder", "a"],
]
TEXT_ALONE = [
    ["What is near the tower?", "A boat."],
    ["Hi", "Hello.", "Bye", "Bye."],
    [None, "Me first", "Hi", "Hello."],
    ["  spaces\n", "\tand tabs\t"],
    ["x = a[i] + 1;", "if (p != nullptr) { return *p; }"],
    ["a question " * 8, "an answer " * 20, "more", "and more"],
    ["Hi", ""],
    ["<unk>", "x"],
]


def speakers(texts: list) -> list:
    return [(("human", "gpt")[i % 2], text) for i, text in enumerate(texts) if text is not None]


def conversations(tokenizers: dict[str, Tokenizer]) -> list[dict]:
    cases = []
    for name, tokenizer in tokenizers.items():
        for template in ("v1", "llava_llama_2", "plain"):
            for texts, has_image in [(texts, True) for texts in WITH_IMAGE] + [(texts, False) for texts in TEXT_ALONE]:
                if len(texts) > 2 and (template == "plain" or (template == "v1" and name == "first_blank")):
                    continue  # there the original's count depends on what the tokenizer makes of "USER"
                if template == "plain" and not texts[1]:
                    continue  # the original would train the line end alone
                for max_length in (2048, 150, 260) if len(texts[1]) > 80 else (2048,):
                    case = {"tokenizer": name, "template": template, "image": has_image, "max_length": max_length}
                    case["conversations"] = [{"from": speaker, "value": text} for speaker, text in speakers(texts)]
                    try:
                        ids, labels = Preprocessor(tokenizer, name == "legacy", max_length)(template, speakers(texts), has_image)
                        trained = [i for i, label in enumerate(labels) if label != IGNORED]
                        assert all(labels[i] == ids[i] for i in trained)
                        case |= {"ids": ids, "trained": runs(trained)}
                    except Refused:
                        case["refused"] = True
                    cases.append(case)
    return cases


def runs(positions: list[int]) -> list[list[int]]:
    """[begin, end) of each run of consecutive numbers."""
    result: list[list[int]] = []
    for position in positions:
        if result and result[-1][1] == position:
            result[-1][1] += 1
        else:
            result.append([position, position + 1])
    return result


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    first_blank = llama_tokenizer.build(["<image>", "<pad>"], legacy=False)
    first_blank.save(str(FOLDER / "tokenizer.json"))
    write("schedules.json", schedules())
    write("orders.json", orders())
    legacy = Tokenizer.from_file(str(DATA / "tokenizers" / "legacy" / "tokenizer.json"))
    write("conversations.json", conversations({"legacy": legacy, "first_blank": first_blank}))


if __name__ == "__main__":
    main()
