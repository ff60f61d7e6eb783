"""The demo's LLaVA-1.5 as configurations of transformers' own classes."""

import numpy as np
import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, GenerationConfig, LlamaConfig, LlavaConfig, LlavaProcessor

from demo_data import wrap_tokenizer

SIDE, PATCH = 84, 14
IMAGE_TOKENS = (SIDE // PATCH) ** 2
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}"
    "{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + '</s>'}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def to_pixels(images):
    """uint8 [batch, height, width, 3] to what CLIP's image processor gives for images of the model's own size."""
    scaled = (torch.from_numpy(np.array(images)).double() * (1 / 255)).float()
    return ((scaled - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


def vision_config():
    return CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=128,
    )


def language_config(tokenizer):
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=4,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        initializer_range=0.08,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=tokenizer.token_to_id("<pad>"),
    )


def llava_config(tokenizer):
    config = LlavaConfig(
        vision_config=vision_config().to_dict(),
        text_config=language_config(tokenizer).to_dict(),
        image_token_index=tokenizer.token_to_id("<image>"),
        image_seq_length=IMAGE_TOKENS,
        projector_hidden_act="gelu",
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    config.architectures = ["LlavaForConditionalGeneration"]
    config.dtype = "bfloat16"
    return config


def generation_config(tokenizer):
    return GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=tokenizer.token_to_id("<pad>"))


def make_processor(tokenizer):
    size = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size)
    return LlavaProcessor(
        image_processor=images,
        tokenizer=wrap_tokenizer(tokenizer),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )
