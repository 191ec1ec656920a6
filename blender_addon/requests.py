# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests: everything that one task needs to know, gathered on the main thread and safe to read on the worker.

Nothing here imports bpy. Datablocks are named, never referenced: they are looked up again when the job has ended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import inference
from ..inference.errors import BadInput
from ..inference.photo import Clip, Photo, as_clip, as_photo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..inference.hands.parts import Part
    from ..inference.matte import Outline
    from ..inference.results import DepthMap, HandMaps, NormalMap
    from .jobs import Report
    from .scratch import Scratch


@dataclass(frozen=True)
class Focal:
    """The focal length asked for: in pixels, or that of a camera object as a share of one side of the photo.

    side : "width", "height" or "long", the side of the photo that the camera's sensor size belongs to.
    """

    fx: float | None = None
    fy: float | None = None
    share: float | None = None
    side: str = "long"

    def applied_to(self, photo: Photo) -> Photo:
        """The photo with the camera that was asked for; unchanged where nothing was."""
        if self.fx is not None or self.fy is not None:
            return replace(photo, camera=photo.camera_or_default(self.fx, self.fy))
        if self.share is None:
            return photo
        width, height = photo.size
        focal = self.share * {"width": width, "height": height, "long": max(width, height)}[self.side]
        return replace(photo, camera=replace(photo.camera_or_default(focal, focal), source="scene"))


@dataclass(frozen=True)
class Source:
    """The photo or clip of a request: a file, or the pixels of an image datablock.

    path : of a photo, a movie, a folder, or numbered pictures; "" where `pixels` are given.
    pixels : (H, W, 4) float32 0..1, first row on top, or None.
    linear : the pixels are scene-linear light, not sRGB.
    is_clip : the path is more than one photo.  sequence : it is one of numbered pictures, and stands for all of them.
    fps : the scene's frame rate, for clips that have none of their own.
    frame : index of the photo in a clip, for tasks that take one photo.
    """

    name: str
    path: str = ""
    pixels: NDArray[np.float32] | None = None
    linear: bool = False
    is_clip: bool = False
    sequence: bool = False
    fps: float | None = None
    frame: int = 0
    focal: Focal = field(default_factory=Focal)

    def photo(self) -> Photo:
        """The photo to compute on: for a clip, its frame `frame`."""
        return self.focal.applied_to(replace(self._read_photo(), name=self.name))

    def clip(self) -> Clip:
        """All frames; a photo is a clip of one frame."""
        if not self.is_clip:
            return as_clip(self.photo())
        clip = inference.load_clip(self.path, fps=self.fps, sequence=self.sequence)
        return Clip(self.name, len(clip), clip.fps, lambda: map(self.focal.applied_to, clip))

    def _read_photo(self) -> Photo:
        if self.pixels is not None:
            return as_photo(_srgb_bytes(self.pixels, self.linear))
        if not self.is_clip:
            return inference.load_photo(self.path)
        clip = inference.load_clip(self.path, fps=self.fps, sequence=self.sequence)
        for photo in islice(clip, self.frame, None):
            return photo
        raise BadInput(
            f"The clip has no frame {self.frame + 1}; it ends at {len(clip)}.", "Choose an earlier frame of the clip."
        )


@dataclass(frozen=True)
class Target:
    """Where the result goes, by name: scene, and the object that was active ("" where there was none)."""

    scene: str
    object: str = ""


@dataclass(frozen=True)
class Traced:
    """outlines : of one mask, see `inference.matte`.  distance : metres before the camera at which they are drawn."""

    outlines: tuple[Outline, ...]
    distance: float


@dataclass(frozen=True)
class Inferred:
    """What comes back from the worker: the task's result, and the photo that it belongs to.

    length : frames of the clip; 1 for a photo.
    world_from_camera : (4, 4) float64 z-up world in which the people's feet stand on the ground, or None.
    masks : name (after the photo's) -> (H, W) float32 0..1 as `MaskBuild` shapes them.
    outlines : name -> the mask's outlines, where they were asked for.
    maps : further maps of the task by name, computed here so that the main thread need not.
    files : maps by name that the worker has written to OpenEXR files already; they go with `scratch` unless moved out.
    """

    result: Any
    photo: Photo
    length: int = 1
    world_from_camera: NDArray[np.float64] | None = None
    masks: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    outlines: Mapping[str, Traced] = field(default_factory=dict)
    maps: Mapping[str, NDArray] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    scratch: Scratch | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What all tasks share.

    folder : takes the files that are written; None for the one beside the .blend.
    directory : the whole path of whichever it is; "" where the .blend has never been saved.
    match_render : give the scene's render the photo's size and shape.
    """

    source: Source
    target: Target
    model: str
    folder: str | None = None
    directory: str = ""
    match_render: bool = False
    device: str | None = None
    precision: str | None = None

    def infer(self, report: Report) -> Inferred:
        """Run the task; this is the worker thread's part."""
        raise NotImplementedError

    def _written(self, **maps: NDArray[np.float32]) -> dict[str, Any]:
        """The fields of `Inferred` for maps that are to become images, written here rather than on the main thread."""
        from .scratch import Scratch

        scratch, files = Scratch(self.directory), {}
        try:
            for name, values in maps.items():
                files[name] = scratch.write(f"{clean_name(self.source.name)}.{name}.exr", values)
        except BaseException:
            scratch.discard()
            raise
        return {"files": files, "scratch": scratch}

    def _where(self, report: Report) -> dict[str, Any]:
        return {"device": self.device, "precision": self.precision, "progress": report}


@dataclass(frozen=True)
class DepthBuild:
    """What to make of a depth map; see the properties of the same name.

    output : "AUTO", "IMAGE", "GRID", "MATERIAL" or "RELIEF".
    """

    output: str
    mesh_resolution: int
    tear: float
    grazing: float
    grid_method: str
    grid_width: float
    strength: float


@dataclass(frozen=True, kw_only=True)
class DepthRequest(Request):
    resolution: int
    build: DepthBuild

    def infer(self, report: Report) -> Inferred:
        photo = self.source.photo()
        result = inference.estimate_depth(photo, self.model, resolution=self.resolution, **self._where(report))
        return Inferred(result, photo, **self._written(depth=result.depth))


@dataclass(frozen=True, kw_only=True)
class NormalsRequest(Request):
    """space : "TANGENT" or "CAMERA", for the material.  green_down : colours in DirectX's convention, not OpenGL's."""

    a: float
    bg_threshold: float
    resolution: int
    output: str
    strength: float
    space: str = "TANGENT"
    green_down: bool = False
    keep_preview: bool = False

    def infer(self, report: Report) -> Inferred:
        photo = self.source.photo()
        result = inference.estimate_normals(photo, self.model, **self.parameters(), **self._where(report))
        return Inferred(result, photo, **self._written(normal=self.colours(result)))

    def parameters(self) -> dict[str, Any]:
        """The keywords of `estimate_normals`."""
        return {"a": self.a, "bg_threshold": self.bg_threshold, "resolution": self.resolution}

    def colours(self, result: NormalMap) -> NDArray[np.float32]:
        """(H, W, 3) 0..1, see `axes.normal_colours`."""
        from .builders.axes import normal_colours

        return normal_colours(result, green_down=self.green_down)


@dataclass(frozen=True)
class MaskBuild:
    """What to make of masks.

    output : "NONE", "IMAGE", "PAINT_SLOT", "STENCIL", "ATTRIBUTE", "VERTEX_GROUP" or "GREASE_PENCIL".
    mapping : "UV" or "CAMERA", for paint slots and the stencil.  colour : RGBA of the painted layer and of outlines.
    split : of hands: "MERGED", "PER_SIDE" or "PER_HAND".
    grow, feather, edge : see `inference.matte.shaped`.
    visible_only : attributes and vertex groups take the mask only where the photo's camera sees the object.
    """

    output: str
    mapping: str
    colour: tuple[float, float, float, float]
    split: str = "MERGED"
    grow: float = 0.0
    feather: float = 0.0
    edge: str = "CENTRE"
    visible_only: bool = True

    @property
    def needs_object(self) -> bool:
        """Whether they go onto the active object; a stencil may also be the scene's alone."""
        return self.output in {"PAINT_SLOT", "ATTRIBUTE", "VERTEX_GROUP"} or (
            self.output == "STENCIL" and self.mapping == "CAMERA"
        )

    @property
    def needs_camera(self) -> bool:
        """Whether they are projected from the photo's camera, or lie before it."""
        return self.output in {"ATTRIBUTE", "VERTEX_GROUP", "GREASE_PENCIL"} or (
            self.output in {"PAINT_SLOT", "STENCIL"} and self.mapping == "CAMERA"
        )

    def shaped(self, masks: Mapping[str, NDArray]) -> dict[str, NDArray[np.float32]]:
        """The masks grown and feathered; none where none are wanted. The worker's part."""
        from ..inference import matte

        if self.output == "NONE":
            return {}
        return {name: matte.shaped(mask, self.grow, self.feather, self.edge) for name, mask in masks.items()}

    def traced(self, masks: Mapping[str, NDArray], distances: Mapping[str, float]) -> dict[str, Traced]:
        """The outlines of shaped masks, each at its distance in metres; none where none are wanted."""
        from ..inference import matte

        if self.output != "GREASE_PENCIL":
            return {}
        return {name: Traced(tuple(matte.outlines(mask)), distances[name]) for name, mask in masks.items()}


@dataclass(frozen=True)
class HandBuild:
    """What to make of hands beside their masks; see the properties of the same name.

    depth : "NONE", "IMAGE", "RELIEF", "GRID" or "MATERIAL".
    cache : how meshes move, "VERTEX_CACHE" or "SHAPE_KEYS".
    """

    depth: str
    control: bool
    ids: bool
    meshes: bool
    cache: str = "VERTEX_CACHE"


@dataclass(frozen=True, kw_only=True)
class HandsRequest(Request):
    """scene_depth : (H, W) metres of the same photo, against which the hands are placed; None without.
    whole_clip : all frames of a clip, from `start_frame` of the scene on, rather than one.
    sequence_folder : takes the numbered pictures of a whole clip; "" where there is none.
    """

    mask_bbox_padding: int
    mask_type: str
    mask_expand: int
    rand_seed: int
    resolution: int
    boxes: str
    detect_thr: float
    presence_thr: float
    exact: bool
    masks: MaskBuild
    build: HandBuild
    scene_depth: NDArray[np.float32] | None = None
    whole_clip: bool = False
    start_frame: int = 1
    sequence_folder: str = ""

    def infer(self, report: Report) -> Inferred:
        if self.whole_clip:
            return self._infer_clip(report)
        photo = self.source.photo()
        result = inference.refine_hands(
            photo, self.model, scene_depth=self._scene(photo), **self._parameters(), **self._where(report)
        )
        report(0.95, "Shaping masks")
        masks, outlines = self.shaped_masks(result)
        return Inferred(result, photo, masks=masks, outlines=outlines, maps=self._maps(result))

    def _infer_clip(self, report: Report) -> Inferred:
        from ..inference import batch
        from ..inference.hands.track import follow_hands
        from .hand_clip import Recorder

        clip, recorder = self.source.clip(), Recorder(self)
        frames = batch.refine_hands(clip, self.model, **self._parameters(), **self._where(report))
        try:
            for maps in follow_hands(frames, fps=clip.fps):
                recorder.add(maps)
            result = recorder.finish(clip.fps)
        except BaseException:
            recorder.discard()
            raise
        return Inferred(result, next(iter(clip)), result.length)

    def shaped_masks(
        self, maps: HandMaps, named: Sequence[Part] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Traced]]:
        """The masks of one photo as they are to be split and shaped, and their outlines. The worker's part."""
        from ..inference.hands.parts import grouped

        if self.masks.output == "NONE" or not maps.hands:
            return {}, {}
        groups = grouped(
            maps,
            self.masks.split,
            named,
            mask_type=self.mask_type,
            mask_bbox_padding=self.mask_bbox_padding,
            mask_expand=self.mask_expand,
            resolution=self.resolution,
        )
        masks = self.masks.shaped({name: group.mask for name, group in groups.items()})
        return masks, self.masks.traced(masks, {name: group.distance for name, group in groups.items()})

    def _parameters(self) -> dict[str, Any]:
        """The keywords of `refine_hands`."""
        return {
            "mask_bbox_padding": self.mask_bbox_padding,
            "mask_type": self.mask_type,
            "mask_expand": self.mask_expand,
            "rand_seed": self.rand_seed,
            "resolution": self.resolution,
            "boxes": parsed_boxes(self.boxes, '[[x0, y0, x1, y1, "left"], ...]'),
            "detect_thr": self.detect_thr,
            "presence_thr": self.presence_thr,
            "exact": self.exact,
        }

    def _scene(self, photo: Photo) -> DepthMap | None:
        from ..inference.results import DepthMap

        depth = self.scene_depth
        if depth is None:
            return None
        valid = np.isfinite(depth) & (depth > 0)
        return DepthMap(depth, valid, None, photo.camera_or_default(), True, np.zeros((1, 1, 3), np.uint8))

    def _maps(self, maps: HandMaps) -> dict[str, NDArray]:
        from ..inference.hands import parts

        made: dict[str, NDArray] = {}
        if self.build.ids:
            made["id"] = parts.identity(maps)
        if self.build.depth == "MATERIAL":
            made["height"] = parts.heights(maps)
        return made


@dataclass(frozen=True, kw_only=True)
class PeopleRequest(Request):
    det_confidence_thresh: float
    det_iou_thresh: float
    det_batch_size: int
    hmr_batch_size: int
    refine: bool
    track: bool
    boxes: str
    bodies: str
    start_frame: int
    masks: MaskBuild

    def infer(self, report: Report) -> Inferred:
        from ..inference.people.ground import world_from_camera

        clip = self.source.clip()
        boxes = parsed_boxes(self.boxes, "[[x0, y0, x1, y1], ...]")
        result = inference.recover_people(
            clip,
            self.model,
            det_confidence_thresh=self.det_confidence_thresh,
            det_iou_thresh=self.det_iou_thresh,
            det_batch_size=self.det_batch_size,
            hmr_batch_size=self.hmr_batch_size,
            refine=self.refine,
            boxes=boxes if boxes is None or self.source.is_clip else [boxes],
            track=self.track,
            **self._where(report),
        )
        world = world_from_camera(result) if result.tracks() else None
        first = result.frames[0] if result.frames else ()
        found = {f"person.{number}.mask": person for number, person in enumerate(first, 1)}
        masks = self.masks.shaped({name: one.mask for name, one in found.items() if one.mask is not None})
        distances = {name: float(np.median(one.vertices[:, 2])) for name, one in found.items()}
        return Inferred(
            result, next(iter(clip)), len(clip), world, masks=masks, outlines=self.masks.traced(masks, distances)
        )


def clean_name(name: str) -> str:
    """The name without what no file system takes."""
    return re.sub(r'[/\\:*?"<>|]', "_", name)


def parsed_boxes(text: str, example: str) -> list | None:
    """Boxes as typed into an operator property (JSON); None where nothing was typed, so that the detector runs."""
    if not text.strip():
        return None
    try:
        boxes = json.loads(text)
        if not isinstance(boxes, list):
            raise ValueError(text)
    except ValueError as error:
        raise BadInput(
            f"The boxes {text!r} cannot be read.", f"Write them as {example}, or leave them empty."
        ) from error
    return boxes


def _srgb_bytes(pixels: NDArray[np.float32], linear: bool) -> NDArray[np.uint8]:
    """Blender's float pixels -> (H, W, 4) uint8; scene-linear light through the sRGB curve (IEC 61966-2-1)."""
    if linear:
        colour = np.clip(pixels[..., :3], 0, 1)
        curve = np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour ** (1 / 2.4) - 0.055)
        pixels = np.concatenate([curve, pixels[..., 3:]], axis=-1)
    return (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
