"""The LLaVA fixtures, as data. What a configuration leaves out is left out on purpose: readers must know defaults."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawn picture (pictures.py) and the file that keeps it."""

    file: str
    width: int
    height: int
    variant: int = 0
    mode: str = "RGB"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    note: str
    prompt: str
    pictures: tuple[Picture, ...] = ()
    messages: list | None = None
    max_new: int = 12
    model_of: str | None = None  # another case whose model this one asks; then nothing below counts

    seed: int = 1  # the first one tried
    ends_early: bool = False  # the answer must stop at the end token
    stop_gain: float = 1.0  # how much louder the end token's row of the head is
    layout: str = "hub"  # hub, in-memory, transformers-5, original
    dtype: str = "float32"
    shards: int = 1
    max_shard_size: str = "100MB"  # instead of `shards` where transformers saves
    config: dict = dataclasses.field(default_factory=dict)  # config.json
    image_processor: dict = dataclasses.field(default_factory=dict)  # preprocessor_config.json
    processor: dict = dataclasses.field(default_factory=dict)  # processor_config.json
    generation_config: dict | None = dataclasses.field(default_factory=lambda: generation(pad=441))
    added_tokens: tuple[str, ...] = ("<image>", "<pad>")
    legacy_tokenizer: bool = True

    # The original layout only, with its CLIP folder beside the model.
    tower: dict = dataclasses.field(default_factory=dict)
    tower_dtype: str = "float32"
    tower_with_text: bool = False  # the whole of CLIP, as published
    tower_inside: bool = False  # other tower weights in the model's own files
    sentencepiece: bool = False  # tokenizer.model instead of tokenizer.json
    old_buffers: bool = False  # tensors of old releases that a reader must skip
    names_tower_folder: bool = False  # case.json says where the tower is

    @property
    def eos(self) -> int | list[int]:
        return (self.generation_config or self.config)["eos_token_id"]

    @property
    def tower_folder_name(self) -> str:
        return self.config["mm_vision_tower"].rpartition("/")[2]


VOCABULARY = 448  # 440 pieces, <image> 440, <pad> 441, and rows that no token uses
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def generation(pad: int, eos: int | list[int] = 2) -> dict:
    return {"bos_token_id": 1, "eos_token_id": eos, "pad_token_id": pad}


def clip_processor(side: int) -> dict:
    return {
        "crop_size": {"height": side, "width": side},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": CLIP_MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": CLIP_STD,
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": side},
    }


def llava_processor(strategy: str) -> dict:
    """The class row counts as an additional token, which the strategy "default" takes away again."""
    return {"num_additional_image_tokens": 1, "patch_size": 14, "vision_feature_select_strategy": strategy}


def clip_vision(**fields) -> dict:
    sizes = {
        "hidden_size": 24,
        "image_size": 42,
        "intermediate_size": 48,
        "num_attention_heads": 3,
        "num_hidden_layers": 3,
        "patch_size": 14,
    }
    return {"model_type": "clip_vision_model", "projection_dim": 16, **sizes, **fields}


def llama(**fields) -> dict:
    sizes = {"hidden_size": 40, "intermediate_size": 60, "num_attention_heads": 4, "num_hidden_layers": 2}
    return {
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05,
        **sizes,
        **fields,
    }


def llava(text_config: dict, vision_config: dict, **fields) -> dict:
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_token_index": 440,
        "model_type": "llava",
        "projector_hidden_act": "gelu",
        "text_config": text_config,
        "vision_config": vision_config,
        **fields,
    }


def asks(question: str, images: int = 1) -> dict:
    """The prompt and the messages that say the same."""
    parts = [{"type": "image"}] * images + [{"type": "text", "text": question}]
    return {
        "prompt": "USER: " + "<image>\n" * images + question + " ASSISTANT:",
        "messages": [{"role": "user", "content": parts}],
    }


def asks_vicuna(question: str) -> dict:
    """The conversation style of the authors' evaluations, with its system sentence."""
    system = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    )
    return {**asks(question), "prompt": system + asks(question)["prompt"]}


def original_llava(**fields) -> dict:
    """config.json as the authors' code writes it: LLaMA's fields and the mm_ ones in one table."""
    return {
        **llama(vocab_size=440, bos_token_id=1, eos_token_id=2, pad_token_id=0, hidden_act="silu", use_cache=True),
        "model_type": "llava",
        "freeze_mm_mlp_adapter": False,
        "mm_hidden_size": 24,
        "mm_vision_select_layer": -2,
        "tune_mm_mlp_adapter": False,
        "use_mm_proj": True,
        **fields,
    }


CASES = [
    Case(
        name="llava15_hub_f32",
        note="the published Hugging Face layout: hub tensor names, one float32 file, a sparse text_config; "
        "hidden_act, layer_norm_eps, rope_theta and num_key_value_heads are absent (quick_gelu, 1e-5, 10000, "
        "as many as heads); layer -2, strategy default; vocabulary rows beyond the tokenizer; stops early at "
        "</s>",
        **asks("What is in the image?"),
        pictures=(Picture("image.png", 90, 61),),
        ends_early=True,
        stop_gain=2.0,
        config=llava(
            llama(torch_dtype="float32"),
            clip_vision(vocab_size=VOCABULARY),
            pad_token_id=441,
            tie_word_embeddings=False,
            torch_dtype="float32",
            transformers_version="4.36.0.dev0",
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            vocab_size=VOCABULARY,
        ),
        image_processor=clip_processor(42),
        processor=llava_processor("default"),
    ),
    Case(
        name="llava15_hub_f32_text_only",
        note="no image at all: only the language model runs",
        prompt="USER: Who looks at the dog? ASSISTANT:",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Who looks at the dog?"}]}],
        model_of="llava15_hub_f32",
    ),
    Case(
        name="llava15_hub_f32_two_images",
        note="two images before one question; a 4:2:0 JPEG and a grey PNG, wide and tall",
        **asks("Which one is the largest?", images=2),
        pictures=(Picture("wide.jpg", 120, 70, 1), Picture("tall.png", 50, 81, 2, "L")),
        model_of="llava15_hub_f32",
    ),
    Case(
        name="llava15_hub_f32_dialogue",
        note="images in two turns, </s> within the prompt, an upscaled square PNG with transparency (alpha is "
        "dropped)",
        prompt="USER: <image>\nWhich one is the largest? ASSISTANT: a red boat.</s>"
        "USER: And in <image>, please? ASSISTANT:",
        pictures=(Picture("small.png", 30, 30, 3, "RGBA"), Picture("other.png", 64, 48, 4)),
        model_of="llava15_hub_f32",
    ),
    Case(
        name="llava15_inmemory_bf16_shards",
        note="names of transformers 4.52 in three bfloat16 shards; layer -1, strategy full (class row kept); two "
        "key/value heads for four query heads, head_dim 12 from the config (not 40 / 4), rope_theta 50000",
        **asks("How many objects are there?"),
        pictures=(Picture("image.png", 61, 90, 1),),
        layout="in-memory",
        dtype="bfloat16",
        shards=3,
        config=llava(
            llama(head_dim=12, num_key_value_heads=2, rope_theta=50000.0, torch_dtype="bfloat16"),
            clip_vision(hidden_act="quick_gelu", layer_norm_eps=1e-05),
            image_seq_length=10,
            multimodal_projector_bias=True,
            torch_dtype="bfloat16",
            transformers_version="4.52.4",
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        ),
        image_processor=clip_processor(42),
        processor=llava_processor("full"),
    ),
    Case(
        name="llava15_v5_f16_tied",
        note="what transformers 5 saves, in float16: dtype, rope_parameters, the image processor inside "
        "processor_config.json, chat_template.jinja; tied head, one key/value head, llama3 rotary scaling, "
        "projector without bias, erf GELU in the tower with head_dim 10; two stop ids",
        **asks("Which colour is the largest one?"),
        pictures=(Picture("image.png", 70, 70, 2),),
        layout="transformers-5",
        dtype="float16",
        ends_early=True,
        stop_gain=1.5,
        generation_config=generation(pad=441, eos=[2, 289]),
        config=llava(
            llama(
                hidden_size=48,
                num_key_value_heads=1,
                tie_word_embeddings=True,
                rope_parameters={
                    "rope_type": "llama3",
                    "rope_theta": 500000.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 8.0,
                    "original_max_position_embeddings": 64,
                },
            ),
            clip_vision(hidden_act="gelu", hidden_size=30, image_size=28),
            image_seq_length=4,
            multimodal_projector_bias=False,
            tie_word_embeddings=True,
        ),
        image_processor=clip_processor(28),
        processor=llava_processor("default"),
    ),
    Case(
        name="llava15_v5_layer_list",
        note="what transformers 5 saves, in several float32 shards; hidden states of two layers side by side, "
        "biases in the language model's attention and MLP, linear rotary scaling",
        **asks("What is near the tower?"),
        pictures=(Picture("image.jpg", 100, 60, 3),),
        layout="transformers-5",
        max_shard_size="180KB",
        config=llava(
            llama(
                hidden_size=32,
                attention_bias=True,
                mlp_bias=True,
                rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
            ),
            clip_vision(),
            image_seq_length=9,
            vision_feature_layer=[1, -2],
        ),
        image_processor=clip_processor(42),
        processor=llava_processor("default"),
    ),
    Case(
        name="llava15_hub_f16_old_sizes",
        note="size and crop_size as one number, rope_scaling with the key type, a tokenizer that marks only the "
        "first stretch of text (legacy false), layer -2 with strategy full, a layer_norm_eps large enough to "
        "be seen",
        **asks("Describe the photo in detail, please."),
        pictures=(Picture("image.png", 57, 40, 5),),
        dtype="float16",
        legacy_tokenizer=False,
        config=llava(
            llama(rope_scaling={"type": "linear", "factor": 2.0}, torch_dtype="float16", num_key_value_heads=4),
            clip_vision(layer_norm_eps=0.001, image_size=28, num_hidden_layers=2),
            pad_token_id=441,
            torch_dtype="float16",
            transformers_version="4.36.0.dev0",
            vision_feature_layer=-2,
            vision_feature_select_strategy="full",
        ),
        image_processor={**clip_processor(28), "size": 28, "crop_size": 28},
        processor=llava_processor("full"),
    ),
    Case(
        name="llava15_original_mlp2x_bf16",
        note="the authors' layout of LLaVA-1.5 in two bfloat16 shards: MLP of two layers, pictures padded to a "
        "square; the tower is a whole CLIP folder, and the tower tensors inside the model's files must be "
        "ignored; a tokenizer.model alone; ends at </s>",
        **asks_vicuna("What is in the image?"),
        pictures=(Picture("image.png", 90, 55, 6),),
        layout="original",
        dtype="bfloat16",
        shards=2,
        ends_early=True,
        stop_gain=2.0,
        config=original_llava(
            architectures=["LlavaLlamaForCausalLM"],
            image_aspect_ratio="pad",
            mm_projector_type="mlp2x_gelu",
            mm_use_im_patch_token=False,
            mm_use_im_start_end=False,
            mm_vision_select_feature="patch",
            mm_vision_tower="openai/clip-vit-tiny-patch14-42",
            torch_dtype="bfloat16",
        ),
        generation_config=generation(pad=0),
        added_tokens=(),
        sentencepiece=True,
        tower=clip_vision(),
        tower_dtype="float16",
        tower_with_text=True,
        tower_inside=True,
        names_tower_folder=True,
        image_processor={**clip_processor(42), "size": 42, "crop_size": 42},
    ),
    Case(
        name="llava15_original_mlp3x_f16_two_images",
        note="the authors' layout, float16: MLP of three layers, class row kept (cls_patch), layer -1, grouped "
        "key/value heads; unfreeze_mm_vision_tower: the tower tensors inside the model's files count; two "
        "padded pictures",
        prompt="USER: <image> and <image>\nCompare both pictures! ASSISTANT:",
        pictures=(Picture("tall.png", 40, 75, 7), Picture("wide.jpg", 80, 45, 8)),
        layout="original",
        dtype="float16",
        config=original_llava(
            architectures=["LlavaLlamaForCausalLM"],
            model_type="llava_llama",
            image_aspect_ratio="pad",
            mm_projector_type="mlp3x_gelu",
            mm_use_im_patch_token=False,
            mm_use_im_start_end=False,
            mm_vision_select_feature="cls_patch",
            mm_vision_select_layer=-1,
            mm_vision_tower="openai/clip-vit-tiny-patch14-28",
            num_key_value_heads=2,
            tokenizer_model_max_length=2048,
            tokenizer_padding_side="right",
            torch_dtype="float16",
            unfreeze_mm_vision_tower=True,
        ),
        generation_config=generation(pad=0),
        added_tokens=(),
        tower=clip_vision(image_size=28),
        tower_dtype="float16",
        tower_inside=True,
        names_tower_folder=True,
        image_processor=clip_processor(28),
    ),
    Case(
        name="llava1_original_linear_f32",
        note="the first LLaVA: linear projector (mm_projector_type is absent), <im_start> and <im_end> around the "
        "image, centre crop, bos 0 / eos 1 / pad -1 in config.json and no generation_config.json: tokens "
        "follow the tokenizer (begin token 1), decoding stops at id 1; the tower's folder is found beside "
        "the model by its name; old files' inv_freq and position_ids",
        prompt="Human: <im_start><image><im_end>\nDescribe the image.###Assistant:",
        pictures=(Picture("image.png", 75, 52, 9),),
        layout="original",
        ends_early=True,
        stop_gain=2.0,
        config=original_llava(
            architectures=["LlavaLlamaForCausalLM"],
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=-1,
            mm_use_im_start_end=True,
            mm_vision_tower="clip-vit-tiny-patch14",
            rms_norm_eps=1e-06,
            torch_dtype="float32",
            vocab_size=443,
        ),
        generation_config=None,
        added_tokens=("<im_patch>", "<im_start>", "<im_end>"),
        old_buffers=True,
        tower=clip_vision(),
        image_processor=clip_processor(42),
    ),
]
