"""A LLaMA-kind tokenizer in miniature: BPE over "▁"-marked text with byte fallback, trained on a few sentences."""

import itertools
import json
import pathlib
import struct

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

MARK = "▁"
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
PIECES = 440  # ids 0..439: specials, 256 bytes, letters, merges


def corpus() -> list[str]:
    subjects = [
        "a small red boat",
        "the tall tower",
        "an old photo of a dog",
        "two birds",
        "the user",
        "a curious human",
    ]
    verbs = ["is near", "stands behind", "looks at", "is painted on", "describes", "moves toward"]
    places = ["the blue water.", "a quiet street.", "the image.", "three green hills.", "an open window."]
    sentences = [" ".join(words) for words in itertools.product(subjects, verbs, places)]
    return sentences + 8 * [
        "A chat between a curious user and an artificial intelligence assistant.",
        "The assistant gives helpful, detailed, and polite answers to the user's questions.",
        "USER: What is in the image? ASSISTANT:",
        "Human: Describe the photo in detail, please. Assistant: It shows",
        "How many objects are there? Which colour is the largest one? Compare both pictures!",
        "0123456789 + - * / = ( ) [ ] { } < > # % & @ ; ' \" _ | ~ ^ $ `",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz é à ü ’ –",
    ]


def train() -> models.BPE:
    """The vocabulary and merges; they depend on nothing but `corpus` and `PIECES`."""
    trainee = Tokenizer(models.BPE(unk_token=UNKNOWN))
    trainee.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always")
    bytes_first = [UNKNOWN, BEGIN, END] + [f"<0x{byte:02X}>" for byte in range(256)]
    trainee.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=PIECES, special_tokens=bytes_first, show_progress=False)
    )
    trained = json.loads(trainee.to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    return models.BPE(vocab=trained["vocab"], merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)


def build(added: list[str], legacy: bool) -> Tokenizer:
    """The whole pipeline. `added` takes ids from `PIECES` on. `legacy` marks a blank before every stretch of text
    between special tokens, as the files of 2023 do; otherwise only the first stretch gets one."""
    tokenizer = Tokenizer(train())
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN}:1 $B:1", special_tokens=[(BEGIN, 1)]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in [UNKNOWN, BEGIN, END, *added]])
    return tokenizer


def sentencepiece_model(tokenizer: Tokenizer) -> bytes:
    """The same vocabulary as a serialized sentencepiece ModelProto (field numbers of sentencepiece_model.proto).
    Sentencepiece merges the pair whose union has the best score, so a piece's score is minus the rank of its merge."""

    def varint(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    def number(field: int, value: int) -> bytes:
        return varint(field << 3) + varint(value)

    def message(field: int, content: bytes) -> bytes:
        return varint(field << 3 | 2) + varint(len(content)) + content

    model = json.loads(tokenizer.to_str())["model"]
    rank = {first + second: position for position, (first, second) in enumerate(model["merges"])}
    normal, unknown, control, byte = 1, 2, 3, 6
    kinds = {UNKNOWN: unknown, BEGIN: control, END: control} | {f"<0x{value:02X}>": byte for value in range(256)}
    pieces = b""
    for piece in sorted(model["vocab"], key=model["vocab"].get):
        score = struct.pack("<f", -rank.get(piece, len(rank)))
        content = message(1, piece.encode()) + varint(2 << 3 | 5) + score + number(3, kinds.get(piece, normal))
        pieces += message(1, content)
    bpe = 2
    no_id = 2**64 - 1  # -1
    special_ids = number(40, 0) + number(41, 1) + number(42, 2) + number(43, no_id)
    trainer = number(3, bpe) + number(4, len(model["vocab"])) + number(35, True) + special_ids
    normalizer = message(1, b"identity") + number(3, True) + number(4, False) + number(5, True)
    return pieces + message(2, trainer) + message(3, normalizer)


def write(folder: pathlib.Path, added: list[str], legacy: bool, pad: str, processor_class: str | None = None) -> None:
    """tokenizer.json, tokenizer_config.json and special_tokens_map.json as the Hugging Face tools keep them."""
    tokenizer = build(added, legacy)
    tokenizer.save(str(folder / "tokenizer.json"))
    specials = {"bos_token": BEGIN, "eos_token": END, "pad_token": pad, "unk_token": UNKNOWN}
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {
                "content": token,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for token in [UNKNOWN, BEGIN, END, *added]
        },
        **specials,
        "clean_up_tokenization_spaces": False,
        "legacy": legacy,
        "model_max_length": 2048,
        "padding_side": "left",
        "tokenizer_class": "LlamaTokenizer",
    }
    if processor_class:
        config["processor_class"] = processor_class
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", specials)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
