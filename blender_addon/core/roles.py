# SPDX-License-Identifier: GPL-3.0-or-later
"""What a datablock is, written on it: which part of which photo, by whose licence. Later steps find it by that."""

from __future__ import annotations

from typing import Any

#: Custom property: what the datablock is ("hands.mask", "hands.control", "hands.depth", "hands.id" ...).
ROLE = "maquette_role"
#: Custom property of a matched camera: the image of its photo or clip.
IMAGE = "maquette_photo"
#: Custom property of what was built: the image whose matched camera it belongs to.
OF_IMAGE = "maquette_of_image"
#: Custom property of a photo's image: the digest of its pixels, by which the same photo is found again.
DIGEST = "maquette_photo"
#: Custom property of a photo's image: the name of the file or image that it was read from.
ORIGIN = "maquette_origin"
#: Custom property: that digest, on whatever else was made of the photo.
PHOTO = "maquette_of_photo"
#: Custom property: the licence of what a model made.
LICENCE = "maquette_licence"
#: Custom property: where the focal length came from by which the datablock was made ("given", "exif", "scene",
#: "default").
LENS = "maquette_lens_source"
#: Custom property of a matched camera: its lens in words (`inference.camera.Camera.lens`).
LENS_TEXT = "maquette_lens"
#: Custom property of a matched camera: by how much its photo was rescaled (`scale`) since the models measured it.
SCALE = "maquette_scale"
#: Custom property of an image of metres: by how much its values were multiplied since the model gave them.
METRES = "maquette_metres"
#: Custom property of a person's objects: height of the body standing straight, in the object's own units.
HEIGHT = "maquette_height"
#: Custom properties of a person's objects, action and collection: the id by which the model follows the person, first
#: and last frame of the scene, detection score (the mean over its frames), and box (x0, y0, x1, y1) in pixels in the
#: first.
TRACK, FRAMES, SCORE, BOX = "maquette_track", "maquette_frames", "maquette_score", "maquette_box"
#: Custom property of a person's objects: JSON of how the clip is solved again (see `tasks.people.again`).
MEASURED = "maquette_measured"
#: Of somebody whom several tracks show: their ids.
JOINED = "maquette_joined"
#: Of a matched camera: where it stood (world from camera axes, row by row) when people of a clip were last built.
STOOD = "maquette_stood"
#: Custom property of an armature that was built as a preset's rig: the preset's id.
RIG = "maquette_rig"
#: That of an armature which copies a control rig's deforming bones, for engines.
GAME_SKELETON = "rigify-deform"
#: On a retargeted action: bones that do not follow -> [degrees, frame] of the worst.
ASTRAY = "maquette_astray"


def mark(datablock: Any, role: str, digest: str = "", licence: str = "") -> Any:
    """Write down what a datablock is; returns it."""
    datablock[ROLE] = role
    if digest:
        datablock[PHOTO] = digest
    if licence:
        datablock[LICENCE] = licence
    return datablock
