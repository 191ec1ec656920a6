# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of detailing: what is repainted, where, with what, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

from ....inference.options import Choice, Number, Options, Share, Switch, Text
from ....inference.options.detail import OPTIONS, DetailOptions
from ...core.bpy_settings import Name
from ..shared.settings import FRAMES, START_FRAME

#: Settings that name a file or folder of the models' -> its kind (see `models.found`).
MODEL_KINDS = {"model": "checkpoint", "refiner": "checkpoint", "controlnet": "controlnet", "lora": "lora"}


def _model(name: str, label: str, help_text: str, default: str = "") -> Name:
    """The name of a model's file or folder, chosen from what there is under the models' folder."""

    def search(typed: str) -> list[str]:
        from .models import found

        return [known for known in found(MODEL_KINDS[name]) if typed.lower() in known.lower()]

    return Name(name, default, label, help_text, search=search)


# fmt: off
#: What a picture remembers beside the model's parameters, and what becomes of it.
BUILD = Options(
    Choice("source", "PHOTO", "Picture", "What is repainted", (
        ("PHOTO", "Photo", "The photo chosen above"),
        ("RENDER", "Render", "The last render, in full precision"),
        ("PAINT_SLOT", "Paint Slot", "The texture of the active object's active paint slot, as it lies in UV space"),
        ("VIEW", "Object's View", "The texture of the active object as the camera sees it, without light and shadow"),
    )),
    Choice("mask", "IMAGE", "Mask", "What defines where to repaint", (
        ("IMAGE", "Image", "An image: white is repainted"),
        ("PAINT_SLOT", "Paint Slot", "The active object's active paint slot, such as a mask's paint layer"),
        ("STENCIL", "Stencil", "The stencil of texture painting: what strokes can reach is repainted"),
        ("VERTEX_GROUP", "Vertex Group", "A vertex group of the active object"),
        ("ATTRIBUTE", "Attribute", "An attribute of the active object, on points, faces, edges or corners"),
        ("HANDS", "Hands", "The hands in the photo: the mask made from them, or a new one"),
        ("PEOPLE", "People", "The people in the photo: the masks made from them, or new ones"),
        ("FACES", "Faces", "The faces of the people in the photo"),
        ("SPLINES", "Mask Splines", "A mask of the Mask editor, with its feather"),
    )),
    Switch("each", False, "One by One", "Repaint every hand, face or person by itself, from a seed of its own"),
    replace(FRAMES, help="How much of a clip to repaint; all of it where every hand, face or person is one by one"),
    START_FRAME,
    Share("steady", 0.5, "Steadiness", "How much of what was painted in the frame before each of them starts from"),
    Text("prompts", "", "Prompts", "What to paint of each in turn, set apart by |; empty for the prompt"),
    Text("mask_name", "", "Mask Name",
         "Image (by name or path), vertex group, attribute or mask to take; empty for the active one"),
    Choice("mask_channel", "VALUE", "Channel", "What of an image is the mask", (
        ("VALUE", "Brightness", "The mean of red, green and blue"),
        ("ALPHA", "Alpha", "The transparency"),
    )),
    Switch("mask_invert", False, "Invert", "Repaint what the mask leaves out"),
    Number("mask_grow", 0.0, "Grow", "Expand the mask by this many pixels (negative shrinks it)", soft_low=-100.0,
           soft_high=100.0, unit="PIXEL"),
    Choice("mapping", "AUTO", "Mapping", "How the picture lies on the active object", (
        ("AUTO", "Automatic", "A texture through the UV map, a photo or render from the camera"),
        ("UV", "Active UV Map", "Through the object's active UV map"),
        ("CAMERA", "Camera", "Seen from the photo's camera, or the scene's where the photo has none"),
    )),
    Choice("output", "AUTO", "Result", "What to make beside the new image", (
        ("AUTO", "Automatic", "A paint layer for a paint slot, a baked layer for a view, otherwise just the image"),
        ("IMAGE", "Image", "Just a new image"),
        ("LAYER", "Paint Layer", "A layer over the active object's material, which is left intact below it"),
        ("BAKE", "Baked Layer", "What the camera sees is baked into a copy of the object's texture, as a layer"),
    )),
    _model("model", "Model",
           "builtin and lama fill from the surroundings; otherwise a diffusers folder, .safetensors or .gguf file",
           "builtin"),
    _model("refiner", "Refiner", "A second model for the last steps; empty for none"),
    Name("config", "", "Config",
         "Diffusers folder that describes the networks of a single file; empty for the one that ships",
         kind="DIR_PATH"),
    Choice("control", "NONE", "Control", "The picture that a ControlNet follows", (
        ("NONE", "None", "No control image"),
        ("IMAGE", "Image", "An image of the picture's shape"),
        ("DEPTH", "Depth", "The photo's depth: the image made from it, or a new one"),
        ("NORMALS", "Normals", "The photo's normals: the image made from them, or a new one"),
        ("HANDS", "Hands' Depth", "The depth of the photo's hands: the control image that was made, or a new one"),
    )),
    Text("control_image", "", "Control Image", "Image that the ControlNet follows, by name or path"),
    _model("controlnet", "ControlNet", "Folder or .safetensors file of the ControlNet"),
    _model("lora", "LoRA", "A .safetensors file that adds to the model; empty for none"),
    Number("lora_strength", 1.0, "Strength", "How strongly the LoRA acts", -2.0, 2.0),
    Text("loras", "", "More LoRAs", 'Further LoRA files as [["path", strength], ...]; empty for none'),
)
#: The model's parameters that are settings here; inpaint_model acts in compatibility mode alone.
PARAMETERS = Options(
    *(option for option in OPTIONS if option.name not in BUILD), replace(OPTIONS["inpaint_model"], blender=True)
)
SETTINGS = DetailOptions(
    *BUILD,
    *PARAMETERS,
    Switch("randomise", False, "Random Seed", "Draw a new seed for each run; the image remembers which it was"),
)
# fmt: on
#: Those that are properties of Blender's.
PROPERTIES = tuple(option.name for option in SETTINGS if option.blender)
