# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny random pipelines of this year's painting models, made offline: python tiny_flow_pipelines.py KIND FOLDER [wide]

KIND: flux2-klein, z-image, qwen-image, qwen-image-edit. The folder is that of a published model, with networks a few channels wide, or some hundred.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", DIFFUSERS_VERBOSITY="error")

import diffusers
import torch
import transformers

#: Every byte stands for itself; these words have numbers of their own.
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: Heads of a transformer, and channels of a VAE, for each of the few.
WIDE = 6 if sys.argv[3:] == ["wide"] else 1
_BLOCKS = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}


def tokenizer(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + number for number in range(256 - len(plain))]
    words = [chr(code) for code in (*plain, *others)]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    made = transformers.Qwen2Tokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), pad_token=SPECIAL[0], eos_token=SPECIAL[2]
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    made.chat_template = CHAT
    return made


def qwen3(layers: int, words: int):
    """A text encoder of 8 channels."""
    torch.manual_seed(1)
    config = transformers.Qwen3Config(
        vocab_size=words, hidden_size=8, intermediate_size=16, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, head_dim=4, max_position_embeddings=2048,
    )  # fmt: skip
    return config


def scheduler(**kept):
    return diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **kept)


def flux2_klein(folder: Path):
    words = tokenizer(folder / "words")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(4 * WIDE, 8 * WIDE), layers_per_block=1, latent_channels=4, norm_num_groups=4, **_BLOCKS
    )
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2 * WIDE,
        joint_attention_dim=24, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    encoder = transformers.Qwen3ForCausalLM(qwen3(28, len(words)))
    return diffusers.Flux2KleinPipeline(scheduler(), vae, encoder, words, transformer, is_distilled=True)


def z_image(folder: Path):
    words = tokenizer(folder / "words")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4 * WIDE, 8 * WIDE), layers_per_block=1, latent_channels=4, norm_num_groups=4, use_quant_conv=False,
        use_post_quant_conv=False, scaling_factor=0.36, shift_factor=0.11, **_BLOCKS,
    )  # fmt: skip
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4, dim=16 * WIDE, n_layers=1, n_refiner_layers=1, n_heads=WIDE, n_kv_heads=WIDE, cap_feat_dim=8,
        axes_dims=[4, 6, 6], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    encoder = transformers.Qwen3Model(qwen3(2, len(words)))
    return diffusers.ZImagePipeline(scheduler(), vae, encoder, words, transformer)


def qwen_image_edit(folder: Path):
    words = tokenizer(folder / "words")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=4 * WIDE, z_dim=4, dim_mult=[1, 1, 2, 2], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    )
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=WIDE,
        joint_attention_dim=8, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    text = {
        "vocab_size": len(words), "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "type": "default", "mrope_section": [1, 1, 0], "rope_theta": 1e6},
    }  # fmt: skip
    sight = {
        "depth": 1, "hidden_size": 8, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 8, "patch_size": 14,
        "fullatt_block_indexes": [0], "window_size": 112,
    }  # fmt: skip
    numbers = {word: words.convert_tokens_to_ids(word) for word in SPECIAL}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=sight, image_token_id=numbers["<|image_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"], vision_end_token_id=numbers["<|vision_end|>"],
    )  # fmt: skip
    encoder = transformers.Qwen2_5_VLForConditionalGeneration(config)
    looks = transformers.Qwen2VLImageProcessor(max_pixels=56 * 56, min_pixels=28 * 28)
    seen = transformers.Qwen2VLProcessor(looks, words, transformers.Qwen2VLVideoProcessor(), chat_template=CHAT)
    return diffusers.QwenImageEditPipeline(scheduler(), vae, encoder, words, seen, transformer)


def qwen_image(folder: Path):
    parts = qwen_image_edit(folder).components
    parts.pop("processor")
    return diffusers.QwenImagePipeline(**parts)


KINDS = {
    "flux2-klein": flux2_klein, "z-image": z_image, "qwen-image-edit": qwen_image_edit, "qwen-image": qwen_image,
}  # fmt: skip

if __name__ == "__main__":
    kind, target = sys.argv[1], Path(sys.argv[2])
    KINDS[kind](target).save_pretrained(target / kind)
