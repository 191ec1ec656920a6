# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators of all tasks share: one request, done in the background when clicked, to its end in a script."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import bpy

from ...inference.errors import BadInput, MaquetteError
from .. import jobs
from ..builders import camera, image
from ..builders.transaction import transaction
from ..requests import MaskBuild, Target
from .source import source_of

if TYPE_CHECKING:
    from bpy.types import Context, Event, Image, Object, Scene

    from ..requests import Inferred, Request


class TaskOperator:
    """Mix-in of an operator: a subclass says how its properties become a request, and what is built from the result."""

    bl_options: ClassVar[set[str]] = {"REGISTER"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if context.scene is None or context.scene.library is not None:
            cls.poll_message_set("Maquette builds into a scene of this file")  # type: ignore[attr-defined]
            return False
        return True

    def request(self, context: Context) -> Request:
        """The whole request, from the operator's properties. Raises MaquetteError."""
        raise NotImplementedError

    @staticmethod
    def build(request: Request, inferred: Inferred, scene: Scene) -> str:
        """Make the datablocks, inside a transaction; returns the line that says what was made."""
        raise NotImplementedError

    def invoke(self, context: Context, _event: Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            jobs.submit(self._job(context))
        except MaquetteError as error:
            return self._failed(error)
        return {"FINISHED"}

    def execute(self, context: Context) -> set[str]:
        manager = context.window_manager
        manager.progress_begin(0, 1)
        try:
            line = jobs.run(self._job(context), lambda fraction, _message: manager.progress_update(fraction))
        except MaquetteError as error:
            return self._failed(error)
        finally:
            manager.progress_end()
        self.report({"INFO"}, line)  # type: ignore[attr-defined]
        return {"FINISHED"}

    def _job(self, context: Context) -> jobs.Job:
        return job_of(self.bl_label, self.request(context), self.build)  # type: ignore[attr-defined]

    def _failed(self, error: MaquetteError) -> set[str]:
        """One line for whoever called; the panel keeps it together with the remedy's button."""
        jobs.remember(jobs.Outcome(error.message, True, error.remedy, error.operator))
        self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
        return {"CANCELLED"}


def job_of(label: str, request: Request, build: Any) -> jobs.Job:
    """The job that carries a request out: inference on the worker, `build` on the main thread as one undo step."""

    def work(report: jobs.Report) -> Inferred:
        from ...installer import packages

        packages.activate()
        return request.infer(report)

    def finish(inferred: Inferred) -> str:
        scene = bpy.data.scenes.get(request.target.scene)
        if scene is None:
            raise BadInput(f"The scene {request.target.scene} is gone.", "Choose a scene, and run it again.")
        with bpy.context.temp_override(scene=scene), transaction():
            line = build(request, inferred, scene)
        bpy.ops.ed.undo_push(message=label)
        return line

    return jobs.Job(label, work, finish)


def shared(properties: Any, context: Context) -> dict[str, Any]:
    """The fields of a request that all tasks have."""
    from ..preferences import preferred_device, preferred_precision

    active = context.view_layer.objects.active if context.view_layer else None
    device = properties.device.lower() if properties.device != "AUTO" else preferred_device()
    return {
        "source": source_of(properties, context.scene),
        "target": Target(context.scene.name, active.name if active else ""),
        "model": properties.model,
        "folder": writable_folder(properties.folder),
        "device": device,
        "precision": preferred_precision(),
    }


def writable_folder(folder: str) -> str | None:
    """The folder that was asked for, or None for the default; raises BadInput now rather than after the work."""
    if folder.startswith("//") and not bpy.data.filepath:
        raise BadInput(
            f"{folder} is relative to the .blend file, which is not saved yet.",
            "Save the .blend file, or give the whole path of the folder.",
        )
    path = Path(bpy.path.abspath(folder)) if folder else Path(bpy.data.filepath).parent / "maquette"
    if not folder and not bpy.data.filepath:
        return None
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise BadInput(f"The folder {path} cannot be written.", "Choose another folder, or save the .blend elsewhere.")
    return str(path) if folder else None


def mask_build(properties: Any) -> MaskBuild:
    return MaskBuild(properties.masks, properties.mask_mapping, tuple(properties.mask_colour))


def require_object(request: Request, what: str) -> None:
    """Raise BadInput unless a mesh object is active, before any time is spent."""
    mesh_object(request, what)


def mesh_object(request: Request, what: str) -> Object:
    """The mesh object that the request aims at, looked up by name: it may be gone when the job ends."""
    name = request.target.object
    obj = bpy.data.objects.get(name)
    if obj is None and name:
        raise BadInput(f"The object {name} is gone, so there is nothing to put the {what} on.", "Select another mesh.")
    if obj is None or not isinstance(obj.data, bpy.types.Mesh):
        raise BadInput(f"No mesh object is active to put the {what} on.", "Select a mesh object, or build an image.")
    return obj


def matched(request: Request, inferred: Inferred, scene: Scene) -> tuple[Image, Object]:
    """The photo's (or clip's) image and its matched camera, which may be there from an earlier job."""
    source = request.source
    if source.is_clip and inferred.length > 1:
        path = source.path
        photo = _image_of_clip(path) or image.clip_image(path, start_frame=getattr(request, "start_frame", 1))
    else:
        photo = image.photo_image(inferred.photo, source.path if source.path and not source.is_clip else None)
    cameras = getattr(inferred.result, "camera", None) or inferred.photo.camera_or_default()
    return photo, camera.matched_camera(cameras, photo, inferred.world_from_camera, scene=scene)


def _image_of_clip(path: str) -> Image | None:
    """The datablock that shows this movie or sequence already."""
    for known in bpy.data.images:
        if known.source in {"MOVIE", "SEQUENCE"} and Path(bpy.path.abspath(known.filepath)) == Path(path):
            return known
    return None
