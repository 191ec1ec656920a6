# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of detailing: what is repainted, where, with what, and what becomes of it.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

SOURCES = [
    ("PHOTO", "Photo", "The photo that is chosen above"),
    ("RENDER", "Render", "The last render, in full precision"),
    ("PAINT_SLOT", "Paint Slot", "The texture of the active object's active paint slot, as it lies in UV space"),
    ("VIEW", "Object's View", "The texture of the active object as the camera sees it, without light and shadow"),
]
MASKS = [
    ("IMAGE", "Image", "An image: white is repainted"),
    ("PAINT_SLOT", "Paint Slot", "The active object's active paint slot, such as a mask's paint layer"),
    ("STENCIL", "Stencil", "The stencil of texture painting: what strokes can reach is repainted"),
    ("VERTEX_GROUP", "Vertex Group", "A vertex group of the active object"),
    ("ATTRIBUTE", "Attribute", "An attribute of the active object, on points, faces, edges or corners"),
    ("HANDS", "Hands", "The hands of the photo: the mask that was made of them, or a new one"),
    ("PEOPLE", "People", "The people of the photo: the masks that were made of them, or new ones"),
    ("SPLINES", "Mask Splines", "A mask of the Mask editor, with its feather"),
]
CONTROLS = [
    ("NONE", "None", "No control image"),
    ("IMAGE", "Image", "An image of the picture's shape"),
    ("DEPTH", "Depth", "The depth of the photo: the image that was made of it, or a new one"),
    ("NORMALS", "Normals", "The normals of the photo: the image that was made of them, or a new one"),
    ("HANDS", "Hands' Depth", "The depth of the photo's hands: the control image that was made, or a new one"),
]
SAMPLERS = (
    *("euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpmpp_2s_ancestral", "dpmpp_sde"),
    *("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "ddpm", "lcm", "ddim", "uni_pc", "uni_pc_bh2"),
)
SCHEDULERS = (
    *("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "linear_quadratic"),
    "kl_optimal",
)


def _plain(names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [(name, name, "") for name in names]


def found_models(kind: str) -> Any:
    """The `search` of a property that names a file or folder: what of this kind lies under the models' folder."""

    def search(_settings: object, _context: object, typed: str) -> list[str]:
        from .models import found

        return [name for name in found(kind) if typed.lower() in name.lower()]

    return search


def _model_property(name: str, kind: str, description: str, default: str = "") -> Any:
    return StringProperty(
        name=name,
        description=description,
        default=default,
        search=found_models(kind),
        search_options={"SUGGESTION"},
    )


class DetailSettings:
    source: EnumProperty(name="Picture", description="What is repainted", items=SOURCES)
    mask: EnumProperty(name="Mask", description="What says where to repaint", items=MASKS)
    mask_name: StringProperty(
        name="Mask Name",
        description="Image (by name or path), vertex group, attribute or mask to take; empty for the active one",
    )
    mask_channel: EnumProperty(
        name="Channel",
        description="What of an image is the mask",
        items=[
            ("VALUE", "Brightness", "The mean of red, green and blue"),
            ("ALPHA", "Alpha", "The transparency"),
        ],
    )
    mask_invert: BoolProperty(name="Invert", description="Repaint what the mask leaves out")
    mask_grow: FloatProperty(
        name="Grow",
        description="Grow the mask by so many pixels; shrink it where negative",
        soft_min=-100.0,
        soft_max=100.0,
        subtype="PIXEL",
    )
    mapping: EnumProperty(
        name="Mapping",
        description="How the picture lies on the active object",
        items=[
            ("AUTO", "Automatic", "A texture through the UV map, a photo or render from the camera"),
            ("UV", "Active UV Map", "Through the object's active UV map"),
            ("CAMERA", "Camera", "Seen from the photo's camera, or the scene's where the photo has none"),
        ],
    )
    output: EnumProperty(
        name="Result",
        description="What is made beside the new image",
        items=[
            ("AUTO", "Automatic", "A paint layer for a paint slot, a baked layer for a view, and else the image alone"),
            ("IMAGE", "Image", "A new image alone"),
            ("LAYER", "Paint Layer", "A layer over the active object's material; all that is there stays below"),
            ("BAKE", "Baked Layer", "What the camera sees is baked into a copy of the object's texture, as a layer"),
        ],
    )
    model: _model_property(
        "Model",
        "checkpoint",
        "builtin fills from the surroundings; else a diffusers folder or a .safetensors file of Stable Diffusion",
        default="builtin",
    )
    prompt: StringProperty(name="Prompt", description="What is to be seen under the mask")
    negative_prompt: StringProperty(name="Negative", description="What is not to be seen there")
    seed: IntProperty(name="Seed", description="The same seed gives the same picture", default=0, min=0)
    randomise: BoolProperty(
        name="Random Seed", description="Draw a seed for each run; the image remembers which it was"
    )
    steps: IntProperty(
        name="Steps",
        description="Steps of the sampler, all of which are run",
        default=20,
        min=1,
        max=10000,
        soft_max=100,
    )
    denoise: FloatProperty(
        name="Denoise",
        description="How far the result may depart from what is there; the builtin model fades it in by so much",
        default=0.5,
        min=0.0001,
        max=1.0,
        subtype="FACTOR",
    )
    cfg: FloatProperty(
        name="Guidance",
        description="How strictly the prompt is followed",
        default=8.0,
        min=0.0,
        max=100.0,
        soft_max=20.0,
    )
    feather: IntProperty(
        name="Feather",
        description="Pixels over which the result fades into the picture; beyond it nothing changes",
        default=5,
        min=0,
        max=100,
    )
    sampler: EnumProperty(name="Sampler", description="How noise becomes a picture", items=_plain(SAMPLERS))
    scheduler: EnumProperty(
        name="Scheduler", description="How much noise is left after each step", items=_plain(SCHEDULERS)
    )
    guide_size: FloatProperty(
        name="Guide Size",
        description="Pixels to which the shorter side of a part is enlarged to be worked on",
        default=384.0,
        min=64.0,
        max=16384.0,
        soft_max=2048.0,
    )
    guide_size_for: EnumProperty(
        name="Guide Size For",
        description="What is brought to the guide size",
        items=[
            ("bbox", "Part", "The part of the mask"),
            ("crop_region", "Crop", "The part with its surroundings"),
        ],
    )
    max_size: FloatProperty(
        name="Max Size",
        description="Most pixels of a crop's longer side",
        default=1024.0,
        min=64.0,
        max=16384.0,
        soft_max=2048.0,
    )
    crop_factor: FloatProperty(
        name="Crop Factor",
        description="How much of the surroundings the model sees, in sizes of the part",
        default=3.0,
        min=1.0,
        max=10.0,
    )
    drop_size: IntProperty(
        name="Drop Size",
        description="Parts of no more than the square of this are left out",
        default=10,
        min=1,
        max=16384,
        soft_max=200,
    )
    mask_mode: BoolProperty(
        name="Only Under Mask",
        description="Repaint under the mask alone; otherwise the whole crop, of which the mask is pasted",
        default=True,
    )
    noise_mask_feather: IntProperty(
        name="Paint Feather",
        description="Pixels over which painting begins later towards the mask's edge",
        default=20,
        min=0,
        max=100,
    )
    contour_fill: BoolProperty(name="Fill Holes", description="Repaint the holes of the mask too", default=True)
    bbox_fill: BoolProperty(name="Fill Boxes", description="Repaint the whole box around each part")
    combined: BoolProperty(
        name="All Parts at Once", description="Repaint all parts in one crop, so that they fit each other"
    )
    fill: EnumProperty(
        name="Begin With",
        description="What the model finds under the mask before it paints",
        items=[
            ("original", "Picture", "What is there"),
            ("grey", "Grey", "Nothing"),
            ("surroundings", "Surroundings", "The surroundings, spread into it"),
            ("noise", "Noise", "The surroundings and noise"),
        ],
    )
    match_colours: BoolProperty(
        name="Match Colours",
        description="Lead the result's colours back to those around it, where the model shifts them",
    )
    batch_size: IntProperty(
        name="Variants",
        description="Pictures to make, each from a seed of its own",
        default=1,
        min=1,
        max=100,
        soft_max=8,
    )
    cycle: IntProperty(name="Cycles", description="Passes over each part", default=1, min=1, max=10)
    refiner: _model_property("Refiner", "checkpoint", "A second model for the last steps; empty for none")
    refiner_ratio: FloatProperty(
        name="Refiner Share",
        description="Share of the steps that the refiner does",
        default=0.2,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    inpaint_model: BoolProperty(
        name="Inpaint Model",
        description="Kept for requests written for other tools; what a model was made for is read from it",
    )
    compatibility: BoolProperty(
        name="As the Reference", description="The reference node's own arithmetic, its defects included"
    )
    tiling: BoolProperty(
        name="Tiles", description="Decode large parts in tiles, for little memory; done by itself when memory runs out"
    )
    offload: BoolProperty(
        name="Offload", description="Keep only the network that works on the graphics card, for little memory"
    )
    config: StringProperty(
        name="Config",
        description="Diffusers folder that tells the shape of a single file's networks; empty for the one that ships",
        subtype="DIR_PATH",
    )
    control: EnumProperty(name="Control", description="The picture that a ControlNet follows", items=CONTROLS)
    control_image: StringProperty(
        name="Control Image", description="Image that the ControlNet follows, by name or path"
    )
    controlnet: _model_property("ControlNet", "controlnet", "Folder or .safetensors file of the ControlNet")
    control_strength: FloatProperty(
        name="Strength",
        description="How closely the control image is followed",
        default=1.0,
        min=0.0,
        max=10.0,
        soft_max=2.0,
    )
    control_start: FloatProperty(
        name="From", description="Share of the steps at which the control begins", min=0.0, max=1.0, subtype="FACTOR"
    )
    control_end: FloatProperty(
        name="To",
        description="Share of the steps at which the control ends",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    lora: _model_property("LoRA", "lora", "A .safetensors file that adds to the model; empty for none")
    lora_strength: FloatProperty(
        name="Strength", description="How strongly the LoRA acts", default=1.0, min=-2.0, max=2.0
    )
    loras: StringProperty(
        name="More LoRAs", description='Further LoRA files as [["path", strength], ...]; empty for none'
    )
