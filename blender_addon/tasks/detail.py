# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailing: the picture with a part repainted, as a new image and a layer above the old one."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, cast

import bpy

from ...inference.errors import BadInput
from ..builders import detail, paint_slots, roles
from ..detail_models import BUILTIN, located
from ..requests import DetailBuild, DetailRequest
from . import detail_masks
from .common import shared
from .detail_source import active_object, picture_of

if TYPE_CHECKING:
    from bpy.types import Image, Scene

    from ..requests import DetailInferred, Inferred, Request

#: Properties that are keywords of `detail_mask` as they are.
_PARAMETERS = (
    *("guide_size", "guide_size_for", "max_size", "mask_mode", "steps", "cfg", "sampler", "scheduler", "denoise"),
    *("feather", "crop_factor", "drop_size", "refiner_ratio", "batch_size", "cycle", "inpaint_model"),
    *("noise_mask_feather", "contour_fill", "prompt", "negative_prompt", "compatibility"),
)
#: Further properties that a picture remembers.
_REMEMBERED = (
    *("source", "mask", "mask_name", "mask_channel", "mask_invert", "mask_grow", "mapping", "output", "model"),
    *("refiner", "config", "control", "control_image", "controlnet", "control_strength", "lora", "lora_strength"),
    "loras",
)


def request(properties: Any, context: Any) -> DetailRequest:
    """From `properties.DetailSettings` and `PhotoInput`. Raises MaquetteError."""
    source, picture, image = picture_of(properties, context)
    seed = secrets.randbelow(2**31) if properties.randomise else properties.seed
    parameters = {name: _value(properties, name) for name in _PARAMETERS} | {"seed": seed}
    remembered = {name: _value(properties, name) for name in _REMEMBERED}
    return DetailRequest(
        **shared(properties, context, source),
        picture=picture,
        mask=detail_masks.mask_of(properties, context, image),
        parameters=parameters,
        build=_build(properties, context, image, source.path),
        settings={"version": 1, **remembered, **parameters, "picture": source.name},
        checkpoint=_checkpoint(properties),
        refiner=located(_absolute(properties.refiner), "checkpoint"),
    )


def build(request: Request, inferred: Inferred, scene: Scene) -> str:
    """The new images, and the layer where one is asked for."""
    wanted, found = cast("DetailRequest", request), cast("DetailInferred", inferred)
    before = _before(wanted, scene)
    made = [_image(wanted, found, variant, before) for variant in sorted(found.files, key=int)]
    line = f"Made the image {made[0].name}" if len(made) == 1 else f"Made {len(made)} images, first {made[0].name}"
    if wanted.build.output == "LAYER":
        line += _layer(wanted, made[0], before)
    return line + _summary(found)


def _value(properties: Any, name: str) -> Any:
    """A property as it was typed: Blender holds 0.2 as the nearest number of 32 bits."""
    value = getattr(properties, name)
    return round(value, 6) if isinstance(value, float) else value


def _build(properties: Any, context: Any, image: Image | None, path: str) -> DetailBuild:
    output, mapping = properties.output, properties.mapping
    if output == "AUTO":
        output = {"PAINT_SLOT": "LAYER", "VIEW": "BAKE"}.get(properties.source, "IMAGE")
    if mapping == "AUTO":
        mapping = "UV" if properties.source == "PAINT_SLOT" else "CAMERA"
    if output == "LAYER":
        paint_slots.active_slot(active_object(context), context.scene)
    return DetailBuild(output, mapping, image.name if image is not None else "", path)


def _checkpoint(properties: Any) -> dict[str, Any] | None:
    """The fields of `Checkpoint`; None for the engine that needs no model. Raises BadInput."""
    model = located(_absolute(properties.model), "checkpoint")
    if model == BUILTIN:
        return None
    if not model:
        raise BadInput("No model is chosen.", "Choose builtin, a diffusers folder, or a .safetensors file.")
    fields: dict[str, Any] = {"path": model, "loras": tuple(_loras(properties))}
    if properties.config:
        fields["config"] = _absolute(properties.config)
    if properties.control != "NONE":
        if not properties.controlnet:
            raise BadInput("No ControlNet is chosen to follow the control image.", "Choose its folder or file.")
        fields["controlnet"] = located(_absolute(properties.controlnet), "controlnet")
    return fields


def _loras(properties: Any) -> list[tuple[str, float]]:
    files = [(properties.lora, properties.lora_strength)] if properties.lora else []
    if properties.loras.strip():
        try:
            files += [(str(path), float(strength)) for path, strength in json.loads(properties.loras)]
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"The LoRAs {properties.loras!r} cannot be read.",
                'Write them as [["path", strength], ...], or leave them empty.',
            ) from error
    return [(located(_absolute(path), "lora"), strength) for path, strength in files]


def _absolute(path: str) -> str:
    return bpy.path.abspath(path) if path.startswith("//") else path


def _before(request: DetailRequest, scene: Scene) -> Image | None:
    """The image that the result is compared with."""
    if request.source.path and not request.build.before and not request.source.is_clip:
        return bpy.data.images.load(request.build.path, check_existing=True)
    return bpy.data.images.get(request.build.before)


def _image(request: DetailRequest, inferred: DetailInferred, variant: str, before: Image | None) -> Image:
    made = detail.result_image(
        f"{request.source.name}.detail",
        inferred.files[variant],
        request.folder,
        settings={**inferred.settings, "variant": int(variant)},
        before=before,
    )
    return roles.mark(made, "detail", roles.digest_of(inferred.photo))


def _layer(request: DetailRequest, made: Image, before: Image | None) -> str:
    """Lay the image over the texture that it was made from, looked up again: the artist may have gone on."""
    obj = bpy.data.objects.get(request.target.object)
    slot = paint_slots.slot_of(obj.active_material, before) if obj is not None and before is not None else None
    if obj is None or slot is None:
        raise BadInput(
            f"{request.target.object or 'The object'} has no paint slot of {request.build.before} any more.",
            "Select the object again, or make an image alone.",
        )
    paint_slots.add_layer_above(slot, made)
    return f" and a layer on {obj.name}"


def _summary(inferred: DetailInferred) -> str:
    """How many parts were repainted, and what was not."""
    done = sum(not one.skipped for one in inferred.result)
    skipped = len(inferred.result) - done
    words = [f"{done} part{'s' * (done != 1)}", f"seed {inferred.settings['seed']}"]
    if skipped:
        words.append(f"{skipped} left out: {next(one.skipped for one in inferred.result if one.skipped)}")
    if inferred.partial:
        words.append("cancelled, only what was finished is kept")
    return f" ({', '.join(words)})"
