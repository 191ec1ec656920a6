# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos joined by COLMAP (Schönberger and Frahm 2016) through its package pycolmap, without a graphics card."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import NothingFound
from ..runtime.apart import apart
from ..runtime.device import missing_package

if TYPE_CHECKING:
    from ..runtime import Run

#: Features of a photo at most, photos that are read at once, and up to how many photos all pairs are compared; of
#: longer films each frame with this many of those that follow it.
_FEATURES, _AT_ONCE, _ALL_PAIRS, _NEXT = 4096, 8, 40, 12
#: How far cameras are apart at least, as a share of how far the points are.
_STILL = 0.01
#: Degrees between the views of a point, for photos that give no start otherwise: two from a step apart, say.
_NARROW = 0.5
#: Pixels by which the photos may see a point elsewhere.
_MISS = 2.0


@dataclass(frozen=True)
class Taken:
    """A photo as it is compared. index : in the clip.  size, digest : of the photo itself.
    camera : its lens at the file's size, where it is known."""

    index: int
    file: Path
    size: tuple[int, int]
    digest: str
    camera: Camera | None


@dataclass(frozen=True)
class Solved:
    """N photos and P points, in a unit and axes of their own. files, cameras : as compared.

    indices : (N,).  world_from_camera : (N, 4, 4).  points : (P, 3).  colours : (P, 3) uint8.  errors : (P,) pixels.
    views : (P,).  observed : of each photo, the points that it sees (M,).  bent : pixels by which the lens bends the
    picture's corners.
    """

    indices: NDArray[np.int64]
    files: tuple[Path, ...]
    cameras: tuple[Camera, ...]
    world_from_camera: NDArray[np.float64]
    points: NDArray[np.float64]
    colours: NDArray[np.uint8]
    errors: NDArray[np.float32]
    views: NDArray[np.int32]
    observed: tuple[NDArray[np.int64], ...]
    bent: float

    @property
    def away(self) -> float:
        """How far the points are from the cameras that see them, by their median."""
        each = [self.seen_by(number)[1] for number in range(len(self.cameras))]
        return float(np.median(np.concatenate(each)))

    def seen_by(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (M, 2) of the points that a photo sees, and how far along its view (M,) they are."""
        pose = self.world_from_camera[number]
        local = (self.points[self.observed[number]] - pose[:3, 3]) @ pose[:3, :3]
        local = local[local[:, 2] > 0]
        return self.cameras[number].project(local), local[:, 2]


def solve(taken: Sequence[Taken], folder: Path, *, film: bool, run: Run) -> Solved:
    """Raises `MissingPackages` and `NothingFound`. film : in the order of `taken`."""
    if _logging_is_taken():
        return apart(_solve, taken, folder, folder=folder, film=film, run=run)
    return _solve(taken, folder, film=film, run=run)


def _logging_is_taken() -> bool:
    """Whether the process has Google's logging already, as Blender of some distributions does: COLMAP's own would be
    mixed up with it, which ends the process at once."""
    if sys.platform != "linux" or "pycolmap" in sys.modules:
        return False
    return re.search(r"/lib(?:glog|gflags)\.so", Path("/proc/self/maps").read_text("utf-8", "replace")) is not None


def _solve(taken: Sequence[Taken], folder: Path, *, film: bool, run: Run) -> Solved:
    try:
        pycolmap = import_module("pycolmap")
    except (ImportError, OSError) as error:
        raise missing_package("pycolmap", error, "photogrammetry") from error
    pycolmap.logging.minloglevel = pycolmap.logging.FATAL
    database = folder / "photos.db"
    _extract(pycolmap, database, taken, folder, run.part(0.0, 0.4))
    _match(pycolmap, database, len(taken), film, run.part(0.4, 0.6))
    if not _several_sides(pycolmap, database):
        raise _one_side()
    best, narrow = _map(pycolmap, database, taken, folder, run.part(0.6, 0.9), narrow=False), False
    if best is None:
        best, narrow = _map(pycolmap, database, taken, folder, run.part(0.9, 1.0), narrow=True), True
    if best is None:
        raise _one_side()
    guessed = narrow and len(taken) == 2
    solved = _read(best, {one.file.name: one for one in taken}, "default" if guessed else "photos")
    centres = solved.world_from_camera[:, :3, 3]
    if len(solved.points) < 8 or np.linalg.norm(centres - centres.mean(0), axis=1).max() < _STILL * solved.away:
        raise _one_side()
    return solved


def _several_sides(pycolmap: Any, database: Path) -> bool:
    """Whether any two photos see more of each other than a camera that turns on its spot would, or a flat picture."""
    kinds = pycolmap.TwoViewGeometryConfiguration
    with pycolmap.Database.open(database) as opened:
        pairs = opened.read_two_view_geometries()[1]
    return any(pair.config in (kinds.CALIBRATED, kinds.UNCALIBRATED, kinds.PLANAR) for pair in pairs)


def _one_side() -> NothingFound:
    return NothingFound(
        "The photos do not show one place from several sides.",
        "Take more photos that overlap, from places beside each other: turning on the spot shows no depth.",
    )


def _cancellable(pycolmap: Any, run: Run, told: Callable[[], tuple[float, str]], work: Callable[[Any], Any]) -> Any:
    """The result of `work(token)`, which runs beside this thread, so that the job can be cancelled meanwhile.
    told : how far it is."""
    token = pycolmap.CancellationToken()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(work, token)
        while True:
            try:
                return job.result(timeout=0.3)
            except StillRunning:
                try:
                    run.report(*told())
                except BaseException:
                    token.cancel()
                    raise


def _extract(pycolmap: Any, database: Path, taken: Sequence[Taken], folder: Path, run: Run) -> None:
    """Features of all photos; those of one size and lens share a camera."""
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu, options.sift.max_num_features = False, _FEATURES
    groups: dict[Any, list[Taken]] = {}
    for one in taken:
        lens = None if one.camera is None else round(float(np.log(one.camera.fx)) / 0.005)
        groups.setdefault((one.size, lens), []).append(one)
    done = 0
    for some in groups.values():
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_RADIAL"
        if (camera := some[0].camera) is not None:
            reader.camera_params = f"{(camera.fx + camera.fy) / 2},{camera.cx},{camera.cy},0"
        for start in range(0, len(some), _AT_ONCE):
            names = [one.file.name for one in some[start : start + _AT_ONCE]]
            given = {"camera_mode": pycolmap.CameraMode.SINGLE, "reader_options": reader, "extraction_options": options}
            told = done / len(taken), f"Looking at photo {done + 1} of {len(taken)}"
            _cancellable(
                pycolmap, run, lambda told=told: told,
                lambda token, names=names, given=given: pycolmap.extract_features(
                    database, folder, names, device=pycolmap.Device.cpu, cancellation_token=token, **given
                ),
            )  # fmt: skip
            done += len(names)
            with pycolmap.Database.open(database) as opened:
                reader.existing_camera_id = max(one.camera_id for one in opened.read_all_cameras())


def _match(pycolmap: Any, database: Path, count: int, film: bool, run: Run) -> None:
    options = {"device": pycolmap.Device.cpu, "verification_options": pycolmap.TwoViewGeometryOptions()}
    options["verification_options"].ransac.random_seed = 0
    match = pycolmap.match_exhaustive
    if film and count > _ALL_PAIRS:
        match = pycolmap.match_sequential
        options["pairing_options"] = pycolmap.SequentialPairingOptions()
        options["pairing_options"].overlap, options["pairing_options"].quadratic_overlap = _NEXT, True
    work = lambda token: match(database, cancellation_token=token, **options)  # noqa: E731
    _cancellable(pycolmap, run, lambda: (0.0, f"Comparing {count} photos"), work)


def _map(pycolmap: Any, database: Path, taken: Sequence[Taken], folder: Path, run: Run, *, narrow: bool) -> Any:
    """The reconstruction of most photos, of two at least, or None. narrow : points count that only two photos see, and
    those whose views lie close beside each other; two such photos tell next to nothing of their lens."""
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size, options.random_seed = 2, 0
    if narrow:
        options.triangulation.ignore_two_view_tracks = False
        options.triangulation.min_angle = options.mapper.filter_min_tri_angle = _NARROW
        options.mapper.init_min_tri_angle = 4 * _NARROW
    fixed = all(one.camera is not None and one.camera.source in ("given", "scene") for one in taken)
    if narrow and len(taken) == 2:
        fixed, options.ba_refine_extra_params = True, False
    options.ba_refine_focal_length = not fixed
    options.mapper.abs_pose_refine_focal_length = not fixed
    done = [0]

    def count() -> None:
        done[0] += 1

    def work(token: Any) -> dict[int, Any]:
        return pycolmap.incremental_mapping(
            database, folder, folder, options, next_image_callback=count, cancellation_token=token
        )

    def told() -> tuple[float, str]:
        return done[0] / len(taken), f"Joining {len(taken)} photos: {done[0]}"

    found = _cancellable(pycolmap, run, told, work)
    joined = [one for one in found.values() if one.num_reg_images() >= 2]
    return max(joined, key=lambda one: one.num_reg_images(), default=None)


def _read(best: Any, taken: Mapping[str, Taken], lens_source: str) -> Solved:
    """COLMAP's reconstruction as arrays; points that the photos see in different places are left out."""
    images = sorted((one for one in best.images.values() if one.has_pose), key=lambda one: one.name)
    kept = [(number, one) for number, one in best.points3D.items() if one.error < _MISS]
    place = {number: index for index, (number, _) in enumerate(kept)}
    poses = np.tile(np.eye(4), (len(images), 1, 1))
    for pose, one in zip(poses, images, strict=True):
        pose[:] = np.linalg.inv(np.vstack([one.cam_from_world().matrix(), (0, 0, 0, 1)]))
    seen = [
        np.unique([place[point.point3D_id] for point in one.points2D if point.point3D_id in place]).astype(np.int64)
        for one in images
    ]
    cameras, bends = [], []
    for one in images:
        lens = best.cameras[one.camera_id]
        focal, cx, cy, radial = lens.params
        known = taken[one.name].camera
        source = known.source if known is not None and known.source in ("given", "scene") else lens_source
        cameras.append(Camera(focal, focal, cx, cy, lens.width, lens.height, source))
        corner = np.hypot(lens.width, lens.height) / 2
        bends.append(abs(radial) * (corner / focal) ** 2 * corner)
    return Solved(
        np.array([taken[one.name].index for one in images]),
        tuple(taken[one.name].file for one in images),
        tuple(cameras),
        poses,
        np.array([one.xyz for _, one in kept]).reshape(-1, 3),
        np.array([one.color for _, one in kept], np.uint8).reshape(-1, 3),
        np.array([one.error for _, one in kept], np.float32),
        np.array([one.track.length() for _, one in kept], np.int32),
        tuple(seen),
        max(bends),
    )
