"""LLaVA folders in the layout of its authors (github.com/haotian-liu/LLaVA): written, and run by a forward pass of our
own, since transformers has no class for the linear projector. Image encoder and language model are transformers'."""

import json
import pathlib
import re

import sentencepiece
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPVisionConfig, CLIPVisionModel
from transformers import LlamaConfig, LlamaForCausalLM

import llama_tokenizer
from reference_run import ReferenceRun, double_precision, relative_difference
from tiny_weights import randomize, save_tensors

IMAGE = -200  # stands for an image in the ids; never looked up
LANGUAGE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
)


def build_language(config: dict) -> LlamaForCausalLM:
    fields = {name: config[name] for name in LANGUAGE_FIELDS if name in config}
    return LlamaForCausalLM(LlamaConfig(attn_implementation="eager", **fields)).eval()


def build_projector(config: dict) -> torch.nn.Module:
    read, written = config["mm_hidden_size"], config["hidden_size"]
    kind = config.get("mm_projector_type", "linear")
    if kind == "linear":
        return torch.nn.Linear(read, written)
    depth = int(re.fullmatch(r"mlp(\d+)x_gelu", kind).group(1))
    layers = [torch.nn.Linear(read, written)]
    for _ in range(1, depth):
        layers += [torch.nn.GELU(), torch.nn.Linear(written, written)]
    return torch.nn.Sequential(*layers)


def write_folder(case, seed: int, folder: pathlib.Path) -> None:
    language, projector = build_language(case.config), build_projector(case.config)
    randomize(language, seed, case.eos, case.stop_gain)
    randomize(projector, seed + 1000)
    tensors = dict(language.state_dict())
    tensors |= {f"model.mm_projector.{name}": tensor for name, tensor in projector.state_dict().items()}
    if case.tower_inside:
        inside = CLIPVisionModel(CLIPVisionConfig(**case.tower))
        randomize(inside, seed + 2000)
        prefix = "model.vision_tower.vision_tower.vision_model."
        tensors |= {prefix + name: tensor for name, tensor in inside.state_dict().items()}
    if case.old_buffers:
        angles = language.model.rotary_emb.inv_freq
        layers = range(case.config["num_hidden_layers"])
        tensors |= {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": angles.clone() for layer in layers}
    save_tensors(folder, tensors, case.dtype, case.shards)
    write_json(folder / "config.json", case.config)
    if case.generation_config:
        write_json(folder / "generation_config.json", case.generation_config)
    llama_tokenizer.write(folder, case.added_tokens, case.legacy_tokenizer, pad="<unk>")
    if case.sentencepiece:
        tokenizer = folder / "tokenizer.json"
        content = llama_tokenizer.sentencepiece_model(Tokenizer.from_file(str(tokenizer)))
        (folder / "tokenizer.model").write_bytes(content)
        tokenizer.unlink()
    write_tower(case, seed + 3000, folder.parent / case.tower_folder_name)


def write_tower(case, seed: int, folder: pathlib.Path) -> None:
    """A CLIP folder: the whole of CLIP as OpenAI published it, or its image half alone."""
    folder.mkdir()
    if case.tower_with_text:
        text = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "vocab_size": 64,
            "max_position_embeddings": 16,
        }
        config = {"model_type": "clip", "projection_dim": 16, "text_config": text, "vision_config": case.tower}
        clip = CLIPModel(CLIPConfig.from_dict(dict(config)))
        randomize(clip, seed)
        tensors = clip.state_dict()
    else:
        config = case.tower
        clip = CLIPVisionModel(CLIPVisionConfig(**case.tower))
        randomize(clip, seed)
        tensors = {"vision_model." + name: tensor for name, tensor in clip.state_dict().items()}
    if case.old_buffers:
        tokens = (case.tower["image_size"] // case.tower["patch_size"]) ** 2 + 1
        tensors["vision_model.embeddings.position_ids"] = torch.arange(tokens)[None]
    save_tensors(folder, tensors, case.tower_dtype, shards=1)
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", case.image_processor)


def write_json(path: pathlib.Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def load_tokenizer(folder: pathlib.Path):
    """Two functions: text to ids with the begin token, and ids to text without special tokens."""
    if (folder / "tokenizer.json").exists():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return (lambda text: tokenizer.encode(text).ids), tokenizer.decode
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    return (lambda text: pieces.encode(text, add_bos=True)), pieces.decode


class OriginalLlava:
    """The folder loaded in float32."""

    def __init__(self, folder: pathlib.Path, tower: pathlib.Path):
        self.config = json.loads((folder / "config.json").read_text())
        stored = {}
        for file in folder.glob("*.safetensors"):
            stored |= {name: tensor.float() for name, tensor in load_file(file).items()}
        self.processor = CLIPImageProcessorPil.from_pretrained(tower)
        self.tower, report = CLIPVisionModel.from_pretrained(
            tower, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        assert not report["missing_keys"] and not report["mismatched_keys"], report
        self.tower.eval()
        inside = take(stored, "model.vision_tower.vision_tower.vision_model.")
        if self.config.get("unfreeze_mm_vision_tower", False):  # otherwise the tensors inside are dead weight
            self.tower.load_state_dict(inside)
        self.projector = build_projector(self.config)
        self.projector.load_state_dict(take(stored, "model.mm_projector."))
        self.language = build_language(self.config)
        self.language.load_state_dict(
            {name: tensor for name, tensor in stored.items() if not name.endswith("inv_freq")}
        )
        self.encode, self.decode = load_tokenizer(folder)

    def double(self) -> "OriginalLlava":
        for part in (self.tower, self.projector, self.language):
            part.double()
        return self

    def pixels(self, images: list[Image.Image]) -> torch.Tensor:
        images = [image.convert("RGB") for image in images]
        if self.config.get("image_aspect_ratio") == "pad":
            colour = tuple(int(mean * 255) for mean in self.processor.image_mean)
            images = [pad_to_square(image, colour) for image in images]
        return self.processor(images, return_tensors="pt")["pixel_values"]

    def ids(self, prompt: str) -> list[int]:
        """Stretches of text between images are tokenized one by one; only the first keeps its begin token."""
        first, *rest = [self.encode(stretch) for stretch in prompt.split("<image>")]
        return first + [id for stretch in rest for id in [IMAGE, *stretch[1:]]]

    def hidden(self, pixels: torch.Tensor) -> torch.Tensor:
        states = self.tower(pixels, output_hidden_states=True).hidden_states[self.config["mm_vision_select_layer"]]
        return states if self.config.get("mm_vision_select_feature", "patch") == "cls_patch" else states[:, 1:]

    def embeddings(self, ids: list[int], features: torch.Tensor) -> torch.Tensor:
        table, images = self.language.get_input_embeddings(), iter(features)
        return torch.cat([next(images) if id == IMAGE else table(torch.tensor([id])) for id in ids])[None]


def take(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


def pad_to_square(image: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def run(case, folder: pathlib.Path, images: list[Image.Image]) -> ReferenceRun:
    model = OriginalLlava(folder, folder.parent / case.tower_folder_name)
    with torch.no_grad():
        pixels, ids = model.pixels(images), model.ids(case.prompt)
        hidden = model.hidden(pixels)
        features = model.projector(hidden)
        embeddings = model.embeddings(ids, features)
        logits = model.language(inputs_embeds=embeddings).logits[0]
        eos = model.config["eos_token_id"]
        generated = model.language.generate(
            inputs_embeds=embeddings,
            attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long),
            do_sample=False,
            eos_token_id=eos,
            pad_token_id=0,
            max_new_tokens=case.max_new,
            return_dict_in_generate=True,
            output_logits=True,
        )
        with double_precision():
            wide = model.double()
            wide_embeddings = wide.embeddings(ids, wide.projector(wide.hidden(pixels.double())))
            noise = relative_difference(logits, wide.language(inputs_embeds=wide_embeddings).logits[0])
    new_ids = generated.sequences[0]
    rows = [row for id in ids for row in ([IMAGE] * features.shape[1] if id == IMAGE else [id])]
    return ReferenceRun(
        input_ids=torch.tensor(rows),
        logits=logits,
        generated_ids=new_ids,
        step_logits=torch.cat(generated.logits),
        text=model.decode(new_ids.tolist()),
        float32_noise=noise,
        eos_token_id=eos,
        pixel_values=pixels,
        vision_hidden=hidden,
        image_features=features,
    )
