# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks return: frozen dataclasses of numpy arrays, in OpenCV camera axes and metres.

`preview` is always the 8-bit picture that the reference node of the task would return; the float arrays beside it
are what that node throws away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .camera import Camera


@dataclass(frozen=True)
class DepthMap:
    """Depth of a photo.

    depth : (H, W) float32, metres along z; unitless height 0..1 (1 = nearest the viewer) where `metric` is False.
        0 where not valid.
    valid : (H, W) bool.
    normals : (H, W, 3) float32 unit vectors in camera axes, or None.
    camera : the intrinsics that the depth belongs to.
    preview : (h, w, 3) uint8.
    confidence : (H, W) float32, about 1 - the share of the depth that the model expects to be wrong by, unbounded as
        the model gives it; None where the model has none.
    model : what made it, by its name in the catalogue.
    """

    depth: NDArray[np.float32]
    valid: NDArray[np.bool_]
    normals: NDArray[np.float32] | None
    camera: Camera
    metric: bool
    preview: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None = None
    model: str = ""


@dataclass(frozen=True)
class NormalMap:
    """Surface normals of a photo: (H, W, 3) float32 unit vectors in camera axes (towards the viewer is -z).

    model : what made them, by its name in the catalogue.
    """

    normals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    camera: Camera
    preview: NDArray[np.uint8]
    model: str = ""


@dataclass(frozen=True)
class MapImage:
    """An image pass of a photo: lines, edges, or shuffled content.

    image : (h, w, 3) uint8 of the photo's shape, short side = the resolution asked for; lines are bright on black.
    model : what made it.
    """

    image: NDArray[np.uint8]
    model: str

    @property
    def preview(self) -> NDArray[np.uint8]:
        """The picture itself, under the name that it has in every result."""
        return self.image


@dataclass(frozen=True)
class CutOut:
    """One thing of a photo.

    mask : (H, W) float32 0..1.  score : 0..1, how sure the model is of it.  preview : (h, w, 3) uint8, the mask.
    model : what cut it out, by its name in the catalogue.  notes : what the artist is to know, a sentence each.
    """

    mask: NDArray[np.float32]
    score: float
    camera: Camera
    preview: NDArray[np.uint8]
    model: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hand:
    """One hand.

    side : "left" or "right", the person's own.
    box : (x0, y0, x1, y1) pixels.
    vertices : (V, 3) float32 metres, camera axes.  faces : (F, 3) int32.
    joints : (21, 3) float32: wrist, then thumb, index, middle, ring, little, each from the palm to the tip.
    keypoints_2d : (21, 2) float32 pixels.
    depth : (H, W) float32 metres, 0 outside the hand.  mask : (H, W) float32 0..1.
    track_id : the same for one hand in all frames of a clip; -1 in a single photo.
    landmark_box : (x0, y0, x1, y1) whole pixels, ends inclusive, which may reach out of the photo: what the masks'
        boxes are drawn from; None where that is the extent of `keypoints_2d`.
    """

    side: str
    score: float
    box: tuple[float, float, float, float]
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    joints: NDArray[np.float32]
    keypoints_2d: NDArray[np.float32]
    depth: NDArray[np.float32]
    mask: NDArray[np.float32]
    track_id: int = -1
    landmark_box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class HandMaps:
    """All hands of a photo.

    depth : (H, W) float32 metres, nearest hand, 0 where there is none.
    mask : (H, W) float32 0..1, after `mask_type` and `mask_expand`.
    preview : (h, w, 3) uint8, short side = `resolution`: per hand nearest 255 to farthest 51, background 0.
    identity : (H, W) int32, index + 1 in `hands` of the nearest hand, 0 where there is none; None where not known.
    model : what fitted them, by its name in the catalogue.
    """

    depth: NDArray[np.float32]
    mask: NDArray[np.float32]
    preview: NDArray[np.uint8]
    hands: tuple[Hand, ...]
    camera: Camera
    identity: NDArray[np.int32] | None = None
    model: str = ""


@dataclass(frozen=True)
class Body:
    """A parametric body model, in its rest pose: metres, camera axes (y down), facing the viewer (-z).

    A person's vertices are ``geometry.skinning.pose_body(body, shape, rotations, translation)``.

    vertices : (V, 3) float32, for shape = 0.      faces : (F, 3) int32, counter-clockwise seen from outside.
    joint_names : J names.                         parents : (J,) int32, -1 for the root, parents before children.
    joints : (J, 3) float32, for shape = 0.        skin_weights : (V, J) float32, rows sum to 1.
    shape_blend_shapes : (S, V, 3) float32.        joint_blend_shapes : (S, J, 3) float32.
    pose_blend_shapes : (9 * (J - 1), V, 3) float32 over the elements of R - I (SMPL, eq. 9), or None.
    uvs : (F, 3, 2) float32, one a face corner, v up; or None.
    licence : the licence of the body and of what is made with it.
    joint_axes : (J, 3, 3) each joint's own axes at rest, as columns, y along its bone; None where joints have none.
    expressions : (E, V, 3) float32, what the face's expressions add at rest; None where there are none.
    """

    name: str
    licence: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    joint_names: tuple[str, ...]
    parents: NDArray[np.int32]
    joints: NDArray[np.float32]
    skin_weights: NDArray[np.float32]
    shape_blend_shapes: NDArray[np.float32]
    joint_blend_shapes: NDArray[np.float32]
    pose_blend_shapes: NDArray[np.float32] | None = None
    uvs: NDArray[np.float32] | None = None
    joint_axes: NDArray[np.float64] | None = None
    expressions: NDArray[np.float32] | None = None


class _OnDemand:
    """A field that may be given as a function, which is called whenever the field is read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, one: object, owner: type | None = None) -> Any:
        if one is None:
            raise AttributeError(self.name)  # the field has no default
        value = vars(one)[self.name]
        return value() if callable(value) else value

    def __set__(self, one: object, value: Any) -> None:
        vars(one)[self.name] = value


#: Bytes of the surfaces that a clip's result holds, and that a file has; those of a longer one are made on demand.
SURFACE_BYTES = 1 << 30
#: Joints of less confidence are guesses.
GUESSED = 0.1


@dataclass(frozen=True)
class Person:
    """One person in one photo.

    track_id : the same for one person in all frames of a clip; in photos that do not form a clip, one for each person.
    box : (x0, y0, x1, y1) pixels.                 score : detection score 0..1.
    mask : (H, W) float32 0..1, or None where the detector gives none.
    vertices : (V, 3) float32 metres, camera axes, posed and placed; of long clips made anew whenever it is read.
    joints : (J, 3) float32 metres, camera axes.   keypoints_2d : (K, 2) float32 pixels, as detected.
    rotations : (J, 4) float32 unit quaternions (w, x, y, z), each relative to its parent in the rest pose's axes;
        rotations[0] turns the whole body about its root joint.
    shape : (S,) float32 coefficients of `Body.shape_blend_shapes`.
    translation : (3,) float32 metres, added after skinning.
    confidence : (J,) float32 0..1: how well the photo supports this joint (about 0: invented, out of sight).
    guessed : (J,) bool: the photo does not show how this joint is turned; it hangs plumb, or as is usual.
    attributes : named body traits 0..1 where the model has them (gender, age, weight ...).
    keypoints_3d : (K, 3) float32 metres, camera axes, the keypoints on the body; None where the model has none.
    crop_camera : (3,) float32, scale and shift of the person in a square crop, where a network gave them; else None.
    offsets : (J, 3) float32 metres, by which joints are moved off their place on their parent, in the rest pose's axes
        as that parent is turned; None where no joint is.
    correctives : (V, 3) float32 metres, what the pose adds to the skin at rest beside `Body.pose_blend_shapes`.
    parameters : numbers of the model's own, by its names.
    """

    track_id: int
    box: tuple[float, float, float, float]
    score: float
    mask: NDArray[np.float32] | None
    if TYPE_CHECKING:
        vertices: NDArray[np.float32]
    else:
        vertices: NDArray[np.float32] = _OnDemand()
    joints: NDArray[np.float32]
    keypoints_2d: NDArray[np.float32]
    rotations: NDArray[np.float32]
    shape: NDArray[np.float32]
    translation: NDArray[np.float32]
    confidence: NDArray[np.float32]
    attributes: Mapping[str, float] = field(default_factory=dict)
    keypoints_3d: NDArray[np.float32] | None = None
    crop_camera: NDArray[np.float32] | None = None
    offsets: NDArray[np.float32] | None = None
    correctives: NDArray[np.float32] | None = None
    parameters: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def guessed(self) -> NDArray[np.bool_]:
        return self.confidence < GUESSED


@dataclass(frozen=True)
class People:
    """The people of one or more photos.

    frames : one entry a photo, holding its persons (an empty tuple where there is none).
    camera : of the first photo.  cameras : one a photo (photos of a request may differ in size).
    fps : frame rate of the clip, or None for photos that do not form a clip.
    notes : what the artist is to know, a sentence each: people who were seen but not fitted.
    model : what recovered them, by its name in the catalogue.
    world : (4, 4) float64, from camera axes to a world in metres with z up and the floor of the clip at z = 0; None
        where it was not solved for (see `people.clip.ground.world_from_camera`). Of a camera that moves: from those of
        the first frame.
    travel : (T, 4, 4) float64, from the camera axes of each frame to those of the first one; None for a camera that
        stands still. Persons are in the axes of their own frame: see `people.clip.motion.in_first_camera`.
    measured : what a clip was solved from, `people.clip.measured.Measured`, to be solved again; None for photos.
    """

    frames: tuple[tuple[Person, ...], ...]
    body: Body
    camera: Camera
    cameras: tuple[Camera, ...]
    fps: float | None = None
    notes: tuple[str, ...] = ()
    model: str = ""
    world: NDArray[np.float64] | None = None
    travel: NDArray[np.float64] | None = None
    measured: Any = None

    def tracks(self) -> dict[int, list[tuple[int, Person]]]:
        """track_id -> [(frame index, Person), ...] in the order of the frames."""
        tracks: dict[int, list[tuple[int, Person]]] = {}
        for index, persons in enumerate(self.frames):
            for person in persons:
                tracks.setdefault(person.track_id, []).append((index, person))
        return tracks


@dataclass(frozen=True)
class DetailedSegment:
    """One part of a mask, and what became of it.

    box : (x0, y0, x1, y1) pixels around the part.  crop : what was worked on; it may reach out of the photo.
    scale : work pixels a photo pixel.  seed : of the first pass.  batch : number of the picture it belongs to.
    refined : (h, w, 3) float32 at the crop's size, or None.
    alpha : (h, w, 4), the same with the strength with which it was laid over the photo, not premultiplied.
    skipped : why nothing was done, or "".
    work : width and height at which the model saw the crop, (0, 0) for what was skipped.
    """

    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int]
    scale: float = 1.0
    seed: int = 0
    refined: NDArray[np.float32] | None = None
    alpha: NDArray[np.float32] | None = None
    skipped: str = ""
    batch: int = 0
    work: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Detailed:
    """image : (B, H, W, 3 or 4) float32 0..1; alpha and pixels outside the feathered mask are those of the photo.

    notes : what the artist is to know, a sentence each: memory that ran out, parts that were left out.
    """

    image: NDArray[np.float32]
    segments: tuple[DetailedSegment, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconstruction:
    """The cameras of N photos and P points, in one world with z up: metres, the floor at z = 0, the first of the
    cameras above the origin, looking along y.

    indices : (N,) place of each photo in the clip; photos that could not be joined are left out.
    cameras : N lenses.  world_from_camera : (N, 4, 4) float64.
    points : (P, 3) float32.  colours : (P, 3) uint8 sRGB.  errors : (P,) float32, by how many pixels the photos see a
    point elsewhere.  views : (P,) int32, how many photos see it.
    digests : N, of the photos' pixels.  floor : one was seen.  measured : what told the metres, "" where they are
    guessed.  model : the depth model that did, by its name in the catalogue.  length, fps : of the clip.
    """

    indices: NDArray[np.int64]
    cameras: tuple[Camera, ...]
    world_from_camera: NDArray[np.float64]
    points: NDArray[np.float32]
    colours: NDArray[np.uint8]
    errors: NDArray[np.float32]
    views: NDArray[np.int32]
    digests: tuple[str, ...]
    floor: bool
    measured: str
    model: str
    length: int
    fps: float | None
    notes: tuple[str, ...]
