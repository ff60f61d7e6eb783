#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small LLaMA-kind tokenizers, nasty lines, and what the reference libraries make of them.

Needs tokenizers==0.23.3 and sentencepiece==0.2.0. Everything, the training text included, is made here from fixed seeds.
Each folder has tokenizer.json or tokenizer.model and expected.json:
  {"before": [ids], "after": [ids],           special tokens around a text
   "lines": [[ids, text, text_all], ...],     for each entry of ../lines.json: ids without special tokens, and what
                                              [before, ids, after] decode to without and with special tokens
   "decoded": [[ids, text, text_all], ...]}   random ids, also some that do not exist
A text of null equals the one before it (the input line, then `text`).
"""

import io
import json
import pathlib
import random
import re

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "tokenizers"
MARK = "▁"
SPECIALS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
VOCABULARY = 620

WORDS = (
    "the a of on near behind boat tower dog bird user image photo describe what how many which colour largest is are was "
    "red blue green small old quiet window street water under over between question answer assistant human chat curious"
).split()
FOREIGN = (
    "naïve café señor über straße ÇA Ærø Łódź Ελλάδα λόγος Σίσυφος привет мир Київ שלום עולם مرحبا بالعالم नमस्ते दुनिया "
    "สวัสดี 日本語 画像 中文 图片 描述 한국어 이미지 ქართული አማርኛ İstanbul ıssız ﬁne ﬂow ½ ² ℌ ｱｲｳ ＡＢＣ １２３ ㈱ Ω Å"
).split()
ODD = [
    "\u0301", "e\u0301", "é", "n\u0303o", "\u1100\u1161\u11a8", "각", "👩‍👩‍👧", "🏳️‍🌈", "🇩🇪", "👍🏽", "🙂", "\u200d", "\u200b", "\ufeff",
    "\ufffd", "▁", "▁▁", " ▁", "▁ ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x00", "\x01", "\x1b[0m", "\x7f",
    "\u0085", "\u200f", "\u202e", "\U0010ffff", "\ue000", "\u0378", "Ⓐ", "🅰", "‿", "٣", "Ⅷ", "\u0903", "\u20dd", "㎏", "ǆ", "ſ", "ŉ",
    "<0x41>", "<0xFF>", "<0x0A>", "<unk", "<s", "s>", "<<s>>", "<image", "image>", "< image >", "</s", "<IMAGE>",
]
CODE = ["x = a[i] + 1;", "if (p != nullptr) { return *p; }", "<html>", "path/to/file.txt", "0x1F", "3.14159", "1,000,000", "###", "{}", "->"]


def training_text(random_: random.Random) -> list[str]:
    lines = []
    for _ in range(4000):
        pool = WORDS if random_.random() < 0.6 else WORDS + FOREIGN + CODE + ["  ", "    ", "12", "2024"]
        line = " ".join(random_.choices(pool, k=random_.randint(2, 9)))
        lines.append(line.capitalize() + "." if random_.random() < 0.3 else line)
    return lines


def nasty_lines(tokens: list[str]) -> list[str]:
    random_ = random.Random(7)
    pools = [WORDS, FOREIGN, ODD, CODE, tokens, [" ", "  ", "   ", "\t", "\n"], list("abcxyzABC0123456789.,!?'\"()")]
    lines = ["", " ", "  ", "\n", MARK, "a", " a", "a ", "  a  ", "\x00", "\ufffd"]
    lines += [" " * n for n in (3, 4, 5, 8, 15, 16, 17, 31, 64)] + ["a" * n for n in (2, 3, 7, 50)] + [MARK * 5, "x" + " " * 40 + "y"]
    lines += ODD + FOREIGN + CODE + tokens + [t + t for t in tokens] + [chr(c) for c in range(256)]
    lines += [f"a{t}b" for t in tokens] + [f" {t} " for t in tokens] + [f"the {t}, {t}dog" for t in tokens] + [f"é{t}_" for t in tokens]
    lines += [f"  {t}\t\n x" for t in tokens] + [f"{a}{b}" for a in tokens for b in tokens[:6]]
    lines += [chr(random_.randrange(0x20, 0xD800)) + chr(random_.randrange(0xE000, 0x110000)) for _ in range(150)]
    while len(lines) < 2150:
        glue = random_.choice(["", "", " ", " ", "  "])
        chosen = random_.choices(pools, weights=[6, 3, 3, 1, 2, 2, 3], k=random_.randint(2, 10))
        lines.append(glue.join(random_.choice(pool) for pool in chosen))
    lines.append(" ".join(random_.choice(random_.choice(pools)) for _ in range(900)))
    return lines


def train(lines: list[str], split: bool, specials: list[str], with_bytes: bool) -> dict:
    """vocab and merges of a BPE over marked text."""
    trainee = Tokenizer(models.BPE())
    trainee.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=split)
    trainee.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=specials + (BYTES if with_bytes else []), show_progress=False)
    )
    trained = json.loads(trainee.to_str())["model"]
    return {"vocab": trained["vocab"], "merges": [tuple(pair) for pair in trained["merges"]]}


def llama_decoder():
    return decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def begin_template():
    return processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])


def special(*contents: str) -> list[AddedToken]:
    return [AddedToken(content, normalized=False, special=True) for content in contents]


def legacy(model: dict) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    tokenizer.decoder, tokenizer.post_processor = llama_decoder(), begin_template()
    tokenizer.add_tokens(special(*SPECIALS, "<image>", "<pad>", "<im_start>", "<im_end>"))
    return tokenizer


def first_only(model: dict) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="first", split=False)
    tokenizer.decoder = llama_decoder()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.add_tokens(special(*SPECIALS, "<image>"))
    return tokenizer


def flags(model: dict) -> Tokenizer:
    """Added tokens of every sort, and overlapping ones."""
    tokenizer = legacy(model)
    tokenizer.add_tokens([
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=False, special=True), AddedToken("  ", normalized=False),
        AddedToken("<image><image>", normalized=False), AddedToken("dog", single_word=True, normalized=False),
        AddedToken("window", single_word=True, normalized=True), AddedToken("<seen>", normalized=True),
        AddedToken("▁tower", normalized=False), AddedToken("</s>", normalized=False, special=True, rstrip=True), AddedToken("是", normalized=True),
    ])  # fmt: skip
    return tokenizer


def unicode_(model: dict) -> Tokenizer:
    """Normalizers of every sort, words, unknown tokens one by one."""
    tokenizer = Tokenizer(models.BPE(**model, unk_token="<unk>", fuse_unk=False, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Strip(left=True, right=True), normalizers.Lowercase(), normalizers.NFD(), normalizers.StripAccents(),
        normalizers.NFC(), normalizers.Replace(Regex(r"\s{2,}|(?<=a)\d*"), " "), normalizers.NFKD(),
    ])  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=True)])
    tokenizer.decoder = decoders.Metaspace(replacement=MARK, prepend_scheme="always")
    tokenizer.post_processor = begin_template()
    tokenizer.add_tokens(special(*SPECIALS, "<image>") + [AddedToken("Café", normalized=True), AddedToken("Boat", normalized=True, single_word=True)])
    return tokenizer


def holes(model: dict) -> Tokenizer:
    """Byte tokens that lack some bytes, ids with a gap, whole words first, no decoder, no post-processor."""
    missing = {f"<0x{byte:02X}>" for byte in (0x00, 0x9F, 0xE4)}
    vocab = {token: id_ + (3 if id_ > 400 else 0) for token, id_ in model["vocab"].items() if token not in missing}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=model["merges"], unk_token="<unk>", fuse_unk=True, byte_fallback=True, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="first", split=True)
    tokenizer.add_tokens(special(*SPECIALS, "<image>") + [AddedToken("<pad>", normalized=True)])
    return tokenizer


def shorten(value: str, previous: str) -> str | None:
    return None if value == previous else value


def random_ids(size: int) -> list[list[int]]:
    random_ = random.Random(11)
    sequences = [[3 + 0xE4, 3 + 0xB8, 3 + 0xAD], [3 + 0xE4, 3 + 0xB8], [3 + 0xE4, 3 + 0xB8, 3 + 0xAD, 3 + 0xFF], [size + 5], []]
    for _ in range(250):
        low, high = random_.choice([(0, size + 3), (3, 259), (0, 20), (size - 12, size + 2)])
        sequences.append([random_.randrange(max(low, 0), high) for _ in range(random_.randint(1, 9))])
    return sequences


def write(name: str, tokenizer: Tokenizer, lines: list[str], merges_as_text: bool) -> None:
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    file = json.loads(tokenizer.to_str())
    if merges_as_text:
        file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
    text = json.dumps(file, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text)
    tokenizer = Tokenizer.from_str(text)
    plain = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
    framed = tokenizer.encode("a").ids
    inner = tokenizer.encode("a", add_special_tokens=False).ids
    at = next(i for i in range(len(framed)) if framed[i : i + len(inner)] == inner)
    before, after = framed[:at], framed[at + len(inner) :]

    def decoded(ids: list[int], original: str) -> list:
        text, text_all = tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=False)
        return [shorten(text, original), shorten(text_all, text)]

    rows = []
    for line, ids in zip(lines, plain, strict=True):
        assert tokenizer.encode(line).ids == before + ids + after
        rows.append([ids, *decoded(before + ids + after, line)])
    sequences = [[ids, *decoded(ids, "")] for ids in random_ids(tokenizer.get_vocab_size())]
    write_expected(folder, before, after, rows, sequences)


def write_expected(folder: pathlib.Path, before: list, after: list, rows: list, sequences: list) -> None:
    def one_a_line(values: list) -> str:
        return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values) + "\n]"

    (folder / "expected.json").write_text(
        f'{{"before": {before}, "after": {after},\n"lines": {one_a_line(rows)},\n"decoded": {one_a_line(sequences)}}}\n'
    )


def write_sentencepiece(training: list[str], lines: list[str]) -> None:
    """tokenizer.model with LLaMA's training options. Special tokens are cut out first, as LlamaTokenizer does (legacy)."""
    folder = FOLDER / "sentencepiece"
    folder.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()  # a file name would be stored in the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training), model_writer=written, model_type="bpe", vocab_size=VOCABULARY, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True,
        character_coverage=0.998, user_defined_symbols=["<sep>"], minloglevel=2, num_threads=1, max_sentence_length=100000,
    )  # fmt: skip
    model = written.getvalue()
    (folder / "tokenizer.model").write_bytes(model)
    added = {"<image>": VOCABULARY, "<pad>": VOCABULARY + 1}
    (folder / "added_tokens.json").write_text(json.dumps(added) + "\n")
    names = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False, "rstrip": False}, "unk_token": "<unk>", "pad_token": "<pad>"}
    names["additional_special_tokens"] = ["<image>"]
    (folder / "special_tokens_map.json").write_text(json.dumps(names) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, "legacy": True}) + "\n")

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids_of = {"<unk>": 0, "<s>": 1, "</s>": 2, **added}
    pattern = re.compile("(" + "|".join(map(re.escape, ids_of)) + ")")
    rows = []
    for line in lines:
        ids = []
        for part in filter(None, pattern.split(line)):
            ids += [ids_of[part]] if part in ids_of else processor.encode(part)
        rows.append([ids])
    write_expected(folder, [1], [], rows, [])
    write("converted", converted(processor), lines, merges_as_text=True)


def converted(processor: sentencepiece.SentencePieceProcessor) -> Tokenizer:
    """The tokenizer.json that stands for the .model: every way to make a piece of two others, best pieces first."""
    vocab = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
    merges = []
    for piece, id_ in sorted(vocab.items(), key=lambda item: item[1]):
        if processor.is_control(id_) or processor.is_unknown(id_) or processor.is_byte(id_) or piece == "<sep>":
            continue
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        merges += [pair for pair in halves if all(half in vocab for half in pair)]
    tokenizer = legacy({"vocab": vocab, "merges": merges})
    tokenizer.add_tokens([AddedToken("<sep>", normalized=False)])
    return tokenizer


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    random_ = random.Random(3)
    training = training_text(random_)
    tokens = [
        *SPECIALS, "<image>", "<pad>", "<im_start>", "<im_end>", "<left>", "<right>", "<both>", "<image><image>", "dog", "window",
        "<seen>", "▁tower", "是", "Café", "Cafe\u0301", "Boat", "boat", "<sep>",
    ]  # fmt: skip
    lines = nasty_lines(tokens)
    (FOLDER / "lines.json").write_text("[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n]\n")
    whole = train([line[:70] for line in training], False, SPECIALS, True)
    words = train(training, True, SPECIALS, True)
    without_bytes = train([line.lower() for line in training], True, SPECIALS, False)
    write("legacy", legacy(whole), lines, merges_as_text=True)
    write("first_only", first_only(words), lines, merges_as_text=False)
    write("flags", flags(whole), lines, merges_as_text=False)
    write("unicode", unicode_(without_bytes), lines, merges_as_text=True)
    write("holes", holes(words), lines, merges_as_text=False)
    write_sentencepiece(training, lines)


if __name__ == "__main__":
    main()
