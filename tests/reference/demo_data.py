"""Scenes as training data: the files of `tessera scenes --images npy`, the tokenizer, and batches of conversations."""

import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from stage_run import IGNORED

SYSTEM_TEXT = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white")
SIZES = ("small", "large")
PLACES = (
    "at the top left", "at the top", "at the top right",
    "at the left", "in the center", "at the right",
    "at the bottom left", "at the bottom", "at the bottom right",
)  # fmt: skip


class Scenes:
    """Records of data.json and, in the same order, the images as uint8 [count, height, width, 3]."""

    def __init__(self, records, images):
        self.records = records
        self.images = images

    def __len__(self):
        return len(self.records)


def make_scenes(tessera, folder, **options):
    """Runs `tessera scenes` with `options` unless `folder` already holds its result."""
    folder = Path(folder)
    if not (folder / "data.json").exists():
        command = [str(tessera), "scenes", "--out", str(folder), "--images", "npy"]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        subprocess.run(command, check=True)
    records = json.loads((folder / "data.json").read_text())
    return Scenes(records, np.load(folder / "images.npy", mmap_mode="r"))


def turns(record):
    """(task, question, answer) of each turn; the image placeholder is taken off the first question."""
    values = [message["value"].removeprefix("<image>\n") for message in record["conversations"]]
    return list(zip(record["tasks"], values[0::2], values[1::2]))


# ---- tokenizer -------------------------------------------------------------------------------------------------------


def train_tokenizer(texts, vocabulary=512):
    """A LLaMA-kind tokenizer: BPE with byte fallback and "▁" for blanks; <unk>, <s>, </s> and 256 bytes come first,
    <image> and <pad> last. SentencePiece keeps pieces within words; that is what the splitting in training is for."""
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(r"▁?[A-Za-z]+|▁|\n|[^A-Za-z▁\n]"), behavior="isolated")
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=vocabulary - len(first) - 1, limit_alphabet=100, show_progress=False),
    )
    learned = json.loads(learner.to_str())["model"]
    pieces = [piece for piece in sorted(learned["vocab"], key=learned["vocab"].get) if piece != "\n"]
    vocab = {piece: index for index, piece in enumerate(first + pieces)}
    merges = [tuple(merge) for merge in learned["merges"]]

    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = learner.normalizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in first[:3]])
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<image>", "<pad>")])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    return tokenizer


def wrap_tokenizer(tokenizer):
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


# ---- conversations ---------------------------------------------------------------------------------------------------


def conversation_text(context, rounds, system=""):
    """The v1 text and the character spans of its answers, each from the blank before it to the end of its "</s>"."""
    text = system
    spans = []
    for number, (question, answer) in enumerate(rounds):
        text += "USER: " + (context + "\n" if number == 0 else "") + question + " ASSISTANT:"
        start = len(text)
        text += " " + answer + "</s>"
        spans.append((start, len(text)))
    return text, spans


def plain_text(caption):
    """LLaVA's plain text: the image, the caption and a newline; all after the image is trained."""
    text = "<image>" + caption + "\n"
    return text, [(len("<image>"), len(text))]


class Encoder:
    """Texts with trained spans to (ids, labels), the image placeholder repeated for each image token."""

    def __init__(self, tokenizer, image_tokens):
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.image_id = tokenizer.token_to_id("<image>")
        self.pad_id = tokenizer.token_to_id("<pad>")

    def __call__(self, texts_with_spans):
        encodings = self.tokenizer.encode_batch([text for text, _ in texts_with_spans])
        return [self._expand(encoding, spans) for encoding, (_, spans) in zip(encodings, texts_with_spans)]

    def _expand(self, encoding, spans):
        ids, labels = [], []
        for index, (begin, end) in zip(encoding.ids, encoding.offsets):
            repeats = self.image_tokens if index == self.image_id else 1
            trained = any(start <= begin and end <= stop and begin < end for start, stop in spans)
            ids += [index] * repeats
            labels += [index if trained else IGNORED] * repeats
        return ids, labels

    def batch(self, encoded):
        """Pads on the right: ids, attention mask and labels, int64 [batch, longest]."""
        longest = max(len(ids) for ids, _ in encoded)
        ids = torch.full((len(encoded), longest), self.pad_id)
        labels = torch.full((len(encoded), longest), IGNORED)
        mask = torch.zeros((len(encoded), longest), dtype=torch.long)
        for row, (row_ids, row_labels) in enumerate(encoded):
            ids[row, : len(row_ids)] = torch.tensor(row_ids)
            labels[row, : len(row_ids)] = torch.tensor(row_labels)
            mask[row, : len(row_ids)] = 1
        return ids, mask, labels
