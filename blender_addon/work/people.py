# SPDX-License-Identifier: GPL-3.0-or-later
"""People on the worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import inference
from ...inference.errors import BadInput, NothingFound
from ...inference.options.people import SAM3D, SOLVING
from ...inference.photo import as_clip
from ...inference.photo.sequence import folder_files
from .item import JobResult
from .masks import MaskWork
from .scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ...inference.people.clip.measured import Measured
    from ...inference.photo import Clip
    from ...inference.results import People
    from ..core.jobs import Report


@dataclass(frozen=True)
class RecoveredPeople:
    """skeletons : (H, W, 3) 0..1 of the first frame as OpenPose paints them, or None where they are not asked for.
    photos : where they are not a clip, the files that show people: each with its own people and their world.
    travel : of a camera that moves, see `inference.results.People`; the people are in the axes of its first frame.
    stamp : of a clip's files, see `Source.stamp`.
    """

    people: People
    skeletons: NDArray[np.float32] | None
    photos: tuple[tuple[Path, People, NDArray[np.float64] | None], ...] = ()
    travel: NDArray[np.float64] | None = None
    stamp: str = ""


@dataclass(frozen=True, kw_only=True)
class PeopleWork(MaskWork[RecoveredPeople]):
    """The people of a photo, of one frame of a clip, or of all of them: a clip is seen as a whole.

    measured : the file of what an earlier run measured of the clip, which is solved again without networks; None for a
        run of its own.  measured_at : where that file lies today.
    stamp : of the clip's files at that time (see `Source.stamp`).
    lens : how its focal length is asked for; None keeps what it was.
    poses : (T, 4, 4) world from Blender's axes of the scene's camera, in no fewer frames than the clip has; None where
        its motion is not given.
    """

    measured: Path | None = None
    measured_at: Path | None = None
    stamp: str = ""
    lens: Mapping[str, Any] | None = None
    poses: NDArray[np.float64] | None = None

    def of_photo(self, report: Report) -> JobResult[RecoveredPeople]:
        """Raises NothingFound where there is nobody."""
        from ...inference.people.clip.ground import world_from_camera
        from ...inference.people.clip.motion import in_first_camera

        clip = self.source.clip() if self.clip is not None else as_clip(self.source.photo())
        stamp = self.source.stamp() if self.clip is not None else ""
        if self.measured is None:
            people = inference.recover_people(clip, self.model, **self._options(len(clip)), **self.where(report))
        else:
            people = self._solved_again(clip, report)
        if not people.tracks():
            raise NothingFound(
                f"No person was found in the {'photo' if self.clip is None else 'clip'}.",
                "Choose another one, lower Confidence in Settings, or give the boxes.",
            )
        kept = self._measurements(people)
        people, photos = self._apart(clip, self._on_surface(people))
        found = {f"person.{number}.mask": person for number, person in enumerate(people.frames[0], 1)}
        masks, outlines = self.shaped(
            {name: one.mask for name, one in found.items() if one.mask is not None},
            {name: float(np.median(one.vertices[:, 2])) for name, one in found.items()},
            self.build.mask_grow,
        )
        return JobResult(
            RecoveredPeople(in_first_camera(people), self._skeletons(people), photos, people.travel, stamp),
            next(iter(clip)) if not photos else self.source.focal.applied_to(inference.load_photo(photos[0][0])),
            len(clip),
            clip.fps,
            camera=people.cameras[0],
            lens=people.cameras[0],
            world_from_camera=world_from_camera(people),
            masks=masks,
            outlines=outlines,
            file=photos[0][0] if photos else None,
            model=people.model,
            in_place=self.measured is not None,
            **kept,
        )

    of_clip = of_photo

    def _measurements(self, people: People) -> dict[str, Any]:
        """The file of what was measured of a clip, for `JobResult`; nothing where it lies there already."""
        if people.measured is None or self.measured is not None:
            return {}
        from ...inference.people.clip.measured import save

        scratch = Scratch(self.directory)
        file = scratch.folder / "measured.npz"
        save(file, people.measured)
        return {"files": {"measured": file}, "scratch": scratch}

    def _solved_again(self, clip: Clip, report: Report) -> People:
        """Raises BadInput where the file is not of this clip."""
        from ...inference.people.clip.measured import load

        assert self.measured_at is not None
        measured = load(self.measured_at)
        report(0.0, "Reading the clip")
        self._check_same(clip, measured)
        if self.lens is not None:
            # A guess never takes the place of the lens by which they were measured.
            known = measured.cameras[: 1 if len(set(measured.cameras)) == 1 else None]
            asked = [(photo.camera_or_default(), camera) for photo, camera in zip(clip, known, strict=False)]
            cameras = [camera if lens.source == "default" else lens for lens, camera in asked]
            measured = measured.through(cameras if len(known) > 1 else cameras * len(measured.cameras))
        if self.poses is not None:
            measured = replace(measured, fps=self.source.fps)
            typed = any(camera.source == "given" for camera in measured.cameras)
            if self.lens is None and not typed:
                pairs = zip(self.source.focal.lenses, measured.cameras, strict=False)
                measured = measured.through([lens.camera(old.width, old.height) for lens, old in pairs])
        given = {name: self.options[name] for name in SOLVING} | self._way(measured.count)
        return inference.solve_people(measured, **given, device=self.device, progress=report)

    def _check_same(self, clip: Clip, measured: Measured) -> None:
        """Raise BadInput for other pictures than those that were measured. Of files that nobody has written since then
        the first one is enough."""
        wanted = [bytes(one) for one in measured.digests[measured.lead :]]
        untouched = self.stamp == self.source.stamp()
        found = [bytes.fromhex(photo.digest) for photo in islice(clip, 1 if untouched else None)]
        if found != (wanted[:1] if untouched else wanted):
            raise BadInput(
                f"{clip.name} has other pictures than it had when its people were measured.",
                "Recover its people again.",
            )

    def _on_surface(self, people: People) -> People:
        """The people of SAM 3D Body on the built-in body, unless their own was asked for."""
        if self.build.surface == "OWN" or self.model not in SAM3D:
            return people
        from ...inference.people.clip.ground import world_from_camera
        from ...inference.rigs import on_builtin_body

        if people.fps is not None or len(people.frames) < 2:
            return on_builtin_body(people, world_from_camera(people))
        moved = []  # photos of different places
        for persons, lens in zip(people.frames, people.cameras, strict=True):
            alone = replace(people, frames=(persons,), camera=lens, cameras=(lens,))
            moved.append(on_builtin_body(alone, world_from_camera(alone)))
        return replace(moved[0], frames=tuple(one.frames[0] for one in moved), cameras=people.cameras)

    def _apart(self, clip: Clip, people: People) -> tuple[People, tuple]:
        """The people of the first photo that shows some, and those of all of them, where they are not a clip."""
        if clip.fps is not None or len(people.frames) < 2:
            return people, ()
        from ...inference.people.clip.ground import world_from_camera

        found = []
        files = folder_files(Path(self.source.path))
        for file, persons, camera in zip(files, people.frames, people.cameras, strict=True):
            if persons:
                own = replace(people, frames=(persons,), camera=camera, cameras=(camera,))
                found.append((file, own, world_from_camera(own)))
        return found[0][1], tuple(found)

    def _options(self, count: int) -> dict[str, Any]:
        """The keywords, with the boxes of each frame; a photo's own stand alone. count : of the frames."""
        boxes = self.options.get("boxes")
        boxes = boxes if boxes is None or self.clip is not None else [boxes]
        return {**self.options, "boxes": boxes, **self._way(count)}

    def _way(self, count: int) -> dict[str, Any]:
        return {} if self.poses is None else {"camera_poses": self.poses[:count]}

    def _skeletons(self, people: People) -> NDArray[np.float32] | None:
        if self.build.skeleton_image == "NONE":
            return None
        from ...inference.people import skeleton_picture

        return skeleton_picture(people, layout=self.build.skeleton_image).astype(np.float32) / 255
