"""LLaVA-1.5 folders of the Hugging Face kind: written in each spelling that is in circulation, and run."""

import json
import pathlib

import torch
from PIL import Image
from transformers import (
    AutoProcessor,
    CLIPImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers import PreTrainedTokenizerFast

import llama_tokenizer
from reference_run import ReferenceRun, double_precision, relative_difference
from tiny_weights import STORED, randomize, save_tensors

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

# Beginnings of tensor names: transformers 5 in memory, then as the older files spell them.
HUB_NAMES = {  # transformers up to 4.51, and the published files
    "model.language_model.": "language_model.model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "lm_head.": "language_model.lm_head.",
}
IN_MEMORY_NAMES = {"model.vision_tower.": "model.vision_tower.vision_model."}  # transformers 4.52 to 4.57


def rename(name: str, beginnings: dict[str, str]) -> str:
    for old, new in beginnings.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def write_json(path: pathlib.Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def build_model(case, seed: int) -> LlavaForConditionalGeneration:
    model = LlavaForConditionalGeneration(LlavaConfig.from_dict(dict(case.config)))
    randomize(model, seed, case.eos, case.stop_gain)
    return model


def write_folder(case, seed: int, folder: pathlib.Path) -> None:
    model = build_model(case, seed)
    llama_tokenizer.write(
        folder, case.added_tokens, case.legacy_tokenizer, pad="<pad>", processor_class="LlavaProcessor"
    )
    if case.layout == "transformers-5":
        save_with_transformers(case, model, folder)
        return
    names = HUB_NAMES if case.layout == "hub" else IN_MEMORY_NAMES
    tensors = {rename(name, names): tensor for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del tensors[rename("lm_head.weight", names)]
    save_tensors(folder, tensors, case.dtype, case.shards)
    write_json(folder / "config.json", case.config)
    write_json(folder / "generation_config.json", case.generation_config)
    write_json(folder / "preprocessor_config.json", {**case.image_processor, "processor_class": "LlavaProcessor"})
    if case.processor:
        write_json(folder / "processor_config.json", {**case.processor, "processor_class": "LlavaProcessor"})
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


def save_with_transformers(case, model: LlavaForConditionalGeneration, folder: pathlib.Path) -> None:
    """Whatever save_pretrained of the pinned release writes."""
    model = model.to(STORED[case.dtype])
    model.generation_config.update(**case.generation_config)
    model.save_pretrained(folder, max_shard_size=case.max_shard_size)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(**case.image_processor),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder),
        chat_template=CHAT_TEMPLATE,
        **case.processor,
    )
    processor.save_pretrained(folder)


def run(case, folder: pathlib.Path, images: list[Image.Image]) -> ReferenceRun:
    """Loads the folder as a user would and runs it in float32 with eager attention."""
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor.image_processor, CLIPImageProcessorPil)
    if case.messages:
        assert processor.apply_chat_template(case.messages, add_generation_prompt=True) == case.prompt
    model, report = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    model.eval()

    inputs = processor(images=images or None, text=case.prompt, return_tensors="pt")
    seen = {}
    projector = model.model.multi_modal_projector
    hook = projector.register_forward_hook(
        lambda _, read, written: seen.update(vision_hidden=read[0], image_features=written)
    )
    with torch.no_grad():
        logits = model(**inputs).logits[0]
        hook.remove()
        generated = model.generate(
            **inputs, do_sample=False, max_new_tokens=case.max_new, return_dict_in_generate=True, output_logits=True
        )
        with double_precision():
            wide = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
            noise = relative_difference(logits, model.double()(**wide).logits[0])
    new_ids = generated.sequences[0, inputs["input_ids"].shape[1] :]
    return ReferenceRun(
        input_ids=inputs["input_ids"][0],
        logits=logits,
        generated_ids=new_ids,
        step_logits=torch.cat(generated.logits),
        text=processor.decode(new_ids, skip_special_tokens=True),
        float32_noise=noise,
        eos_token_id=model.generation_config.eos_token_id,
        pixel_values=inputs.get("pixel_values"),
        **seen,
    )
