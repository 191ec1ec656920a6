# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of image passes.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from ..shared.settings import model_items

#: Models -> the two properties that are their thresholds; the others keep their own.
THRESHOLDS = {
    "canny": ("edge_low", "edge_high"),
    "mlsd": ("line_score", "line_length"),
    "lineart-standard": ("blur", "darker"),
}
#: Models whose edges can be brought to three greys, and drawn with a broad pen. (The others of this kind do the first
#: by themselves.)
SAFE, SCRIBBLED = {"hed", "pidinet"}, {"hed", "pidinet", "teed"}


class MapsSettings:
    model: EnumProperty(
        name="Pass", description="What to make of the photo", items=model_items("maps"), default="canny"
    )
    resolution: IntProperty(
        name="Size",
        description="Short side of the picture in pixels, at which the photo is looked at; 0 keeps the photo's size",
        default=512,
        min=0,
        max=16384,
    )
    edge_low: FloatProperty(
        name="Goes On",
        description="Levels of contrast at which an edge still goes on",
        default=100,
        min=0,
        soft_max=500,
    )
    edge_high: FloatProperty(
        name="Begins", description="Levels of contrast at which an edge begins", default=200, min=0, soft_max=500
    )
    line_score: FloatProperty(
        name="Least Score", description="How sure a straight line has to be", default=0.1, min=0, max=1
    )
    line_length: FloatProperty(
        name="Least Length", description="Length of the shortest line, in half pixels", default=0.1, min=0, soft_max=100
    )
    blur: FloatProperty(
        name="Blur", description="Pixels around a line that it has to be darker than", default=6, min=0.1, soft_max=50
    )
    darker: FloatProperty(
        name="Darker By", description="Levels by which a line is darker", default=8, min=0, soft_max=100
    )
    safe: BoolProperty(name="Three Greys", description="Only three levels of grey, so that nothing hides between them")
    scribble: BoolProperty(name="Scribble", description="Only the ridges of the edges, with a broad pen")
    seed: IntProperty(name="Seed", description="Of the noise by which content is shuffled", default=0, min=0)
