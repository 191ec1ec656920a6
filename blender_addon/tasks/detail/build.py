# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailing: the picture with a part repainted, as a new image and a layer above the old one."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy

from ....inference.errors import BadInput
from ...builders.camera import matched as cameras
from ...builders.images import compare, detail
from ...builders.images import image as images
from ...builders.materials import materials, paint, paint_slots
from ...builders.surfaces.projection import mesh_of
from ...core import roles
from ...core.bpy_settings import chosen
from ...core.picture_settings import KEY
from ...work.detail.item import DetailBuild, DetailedPictures, DetailWork
from ...work.detail.masks import FoundMask
from ..shared.clips import sequence_image
from ..shared.gather import check_directory, gathered
from ..shared.target import mesh_object
from . import controls, masks, projection
from .models import BUILTIN, embeddings_in, located
from .settings import BUILD, MODEL_KINDS, PARAMETERS
from .source import active_object, check_single, picture_from, picture_of

if TYPE_CHECKING:
    from bpy.types import Image

    from ...core.exchange import TexturedSurface
    from ...work.detail.canvas import Picture
    from ...work.item import JobResult
    from ...work.source import Source
    from ..shared.finish import Place


def work(properties: Any, context: Any) -> DetailWork:
    """What the worker is to do. Raises MaquetteError."""
    source, picture, image = picture_of(properties, context)
    obj = active_object(context)
    size = _size(source, picture, image)
    mapping = projection.mapping_of(properties, obj, image)

    def surface() -> TexturedSurface:
        if picture.view is not None:
            return picture.view
        if mapping == "UV":
            return projection.flat_surface(obj, _slot(properties, context, image))
        seen_from = projection.camera_for(properties, context.scene, image)
        return projection.seen_surface(obj, context.scene, seen_from, size)[0]

    scene = masks.MaskContext(context.scene, obj, image, surface, properties.source in {"PAINT_SLOT", "VIEW"})
    checkpoint = _checkpoint(properties)
    common = gathered("detailer", PARAMETERS, (), properties, context, source)
    if properties.randomise:
        common["options"]["seed"] = secrets.randbelow(2**31)
    settings = {"version": 1, **chosen(BUILD, properties), **common["options"], "picture": source.name}
    if properties.refiner:
        common["options"]["refiner"] = _located(properties, "refiner")
    common["build"] = _build(properties, context, image, source.path, size, mapping)
    item = DetailWork(
        **common,
        picture=picture,
        mask=masks.mask_of(properties, scene),
        settings=settings,
        checkpoint=checkpoint,
        control=controls.control_of(properties) if checkpoint is not None else None,
        prompts=_prompts(properties) if properties.each else None,
        steady=properties.steady,
    )
    if item.clip is not None:
        _check_clip(item, properties)
    return item


def _check_clip(item: DetailWork, properties: Any) -> None:
    """Raise BadInput for what cannot be done over all frames of a clip."""
    if not properties.each or not isinstance(item.mask.source, FoundMask) or item.mask.invert:
        raise BadInput(
            "Only hands, faces or people, one by one, are repainted in a whole clip.",
            "Choose such a mask, not inverted, and One by One; or repaint the current frame.",
        )
    if item.build.output != "IMAGE" or item.control is not None:
        raise BadInput(
            "A repainted clip is an image sequence, without a control image.",
            "Choose Image as the result and no control, or repaint the current frame.",
        )
    check_directory(item.directory)


def build(item: DetailWork, found: JobResult[DetailedPictures], place: Place) -> str:
    """The new images, and the layer where one is asked for; of a clip, the sequence."""
    if found.result.frames:
        return _sequence(item, found, place)
    before = _before(item, place)
    made = [_image(item, found, variant, before) for variant in sorted(found.files, key=int)]
    line = f"Made the image {made[0].name}" if len(made) == 1 else f"Made {len(made)} images, first {made[0].name}"
    if item.build.output != "IMAGE":
        line += _layer(item, found.result, made[0], before)
    compare.show(made[0], before)
    return line + _summary(found)


def _sequence(item: DetailWork, found: JobResult[DetailedPictures], place: Place) -> str:
    """The repainted frames of a clip as an image sequence that plays with the scene."""
    result, before = found.result, place.photo
    made = roles.mark(sequence_image(item, "detail", result.frames), "detail", found.photo.digest)
    made.colorspace_settings.name = "sRGB"
    made[detail.BEFORE], made[KEY] = before, json.dumps(result.settings)
    compare.show(made, before)
    line = f"Made the sequence {made.name}"
    if empty := len(result.frames) - result.changed:
        line += f", {empty} of its {len(result.frames)} frames as they were"
    return line + _summary(found)


def _build(
    properties: Any, context: Any, image: Image | None, path: str, size: tuple[int, int], mapping: str
) -> DetailBuild:
    """What becomes of the result. Raises BadInput now, rather than after the work, where it cannot be had."""
    output, scene = properties.output, context.scene
    if output == "AUTO":
        output = {"PAINT_SLOT": "LAYER", "VIEW": "BAKE"}.get(properties.source, "IMAGE")
    result = DetailBuild(output, mapping, image.name if image is not None else "", path)
    if output == "IMAGE":
        return result
    obj = _mesh(active_object(context))
    materials.check_material(obj)
    slot = paint_slots.slot_of(obj.active_material, image) if image is not None else None
    if output == "LAYER" and mapping == "UV":
        if slot is None:
            paint.check_mapping(obj, mesh_of(obj), projected=False)
        return result
    seen_from = projection.camera_for(properties, scene, image)
    if output == "LAYER":
        paint.check_mapping(obj, mesh_of(obj), projected=True)
        camera = cameras.intrinsics_of(seen_from, *size, scene)
        return replace(result, camera_object=seen_from.name, camera=camera)
    slot = paint_slots.active_slot(obj, scene)
    check_single(slot.image)
    surface, _ = projection.seen_surface(obj, scene, seen_from, size, slot)
    return replace(result, before=slot.image.name, surface=surface, texture=picture_from(slot.image))


def _mesh(obj: Any) -> Any:
    """The active object. Raises BadInput where there is none."""
    if obj is None:
        raise BadInput("No object is active to lay the result on.", "Select a mesh object, or make an image alone.")
    return obj


def _slot(properties: Any, context: Any, image: Image | None) -> paint_slots.Slot | None:
    """The slot of the active object that the picture is the texture of."""
    obj = active_object(context)
    if properties.source == "PAINT_SLOT":
        return paint_slots.active_slot(obj, context.scene)
    return paint_slots.slot_of(obj.active_material, image) if obj is not None and image is not None else None


def _size(source: Source, picture: Picture, image: Image | None) -> tuple[int, int]:
    """Width and height of the picture."""
    if picture.view is not None and picture.view.camera is not None:
        return picture.view.camera.width, picture.view.camera.height
    if picture.pixels is not None:
        return picture.pixels.shape[1], picture.pixels.shape[0]
    if image is not None and image.size[0]:
        return image.size[0], image.size[1]
    return source.photo().size


def _checkpoint(properties: Any) -> dict[str, Any] | None:
    """The fields of `Checkpoint`; None for the engine that needs no model. Raises BadInput."""
    model = _located(properties, "model")
    if model == BUILTIN:
        return None
    if not model:
        raise BadInput("No model is chosen.", "Choose builtin, a diffusers folder, or a .safetensors or .gguf file.")
    fields: dict[str, Any] = {"path": model, "loras": tuple(_loras(properties))}
    if words := embeddings_in(properties.prompt, properties.negative_prompt, properties.prompts):
        fields["embeddings"] = words
    if properties.config:
        fields["config"] = _absolute(properties.config)
    if properties.control != "NONE":
        if not properties.controlnet:
            raise BadInput("No ControlNet is chosen to follow the control image.", "Choose its folder or file.")
        fields["controlnet"] = _located(properties, "controlnet")
    return fields


def _prompts(properties: Any) -> tuple[str, ...]:
    """The prompt of each place; an empty one is the common one."""
    return tuple(text.strip() or properties.prompt for text in properties.prompts.split("|"))


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


def _located(properties: Any, name: str) -> str:
    """The path of the model that a setting names."""
    return located(_absolute(getattr(properties, name)), MODEL_KINDS[name])


def _absolute(path: str) -> str:
    return bpy.path.abspath(path) if path.startswith("//") else path


def _before(item: DetailWork, place: Place) -> Image | None:
    """The image that the result is compared with."""
    if not item.picture.as_shown:
        return place.photo
    if item.source.path and not item.build.before and not item.source.is_clip:
        return bpy.data.images.load(item.build.path, check_existing=True)
    return bpy.data.images.get(item.build.before)


def _image(item: DetailWork, found: JobResult[DetailedPictures], variant: str, before: Image | None) -> Image:
    made = detail.result_image(
        f"{item.source.name}.detail",
        found.files[variant],
        item.folder,
        settings={**found.result.settings, "variant": int(variant)},
        before=before,
    )
    return roles.mark(made, "detail", found.photo.digest)


def _layer(item: DetailWork, pictures: DetailedPictures, made: Image, before: Image | None) -> str:
    """Lay the image over the texture that it was made from, or over all that the material has. The object is looked up
    again: the artist may have gone on."""
    result, obj = item.build, mesh_object(item, "layer")
    slot = paint_slots.slot_of(obj.active_material, before) if before is not None else None
    if result.output == "BAKE" or result.mapping == "UV":
        if slot is not None:
            paint_slots.add_layer_above(slot, made)
            return f" and a layer on {obj.name}"
        if result.output == "BAKE":
            raise BadInput(f"{obj.name} has no texture {result.before} any more.", "Select the object again.")
    where: dict[str, Any] = {}
    if result.mapping == "CAMERA":
        camera_object = bpy.data.objects.get(result.camera_object)
        if camera_object is None:
            raise BadInput(f"The camera {result.camera_object} is gone.", "Choose another camera.")
        where = {"camera": result.camera, "camera_object": camera_object}
    mask = images.mask_image(f"{item.source.name}.detail.mask", pictures.strengths)
    paint_slots.add_layer_over_all(obj, made, mask, **where)
    return f" and a layer on {obj.name}"


def _summary(found: JobResult[DetailedPictures]) -> str:
    """How many parts were repainted, and what was not."""
    segments, notes = found.result.segments, found.result.notes
    done = sum(not one.skipped for one in segments)
    skipped = len(segments) - done
    words = [f"{done} part{'s' * (done != 1)}", f"seed {found.result.settings['seed']}"]
    if skipped:
        why = next(one.skipped for one in segments if one.skipped)
        words.append(f"{skipped} left out{', the first because' if skipped > 1 else ':'} {why}")
    if found.partial:
        words.append("cancelled, only what was finished is kept")
    return " ".join([f" ({', '.join(words)})" + "." * bool(notes), *notes])
