# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, Blender data out: plain functions from `inference` results to datablocks.

Every function here works on the main thread, on datablocks given as arguments, without operators and without context
other than the scene it is given. Wrap a whole job in one `transaction.transaction()`: when it fails, everything it
made is removed again. Names of new datablocks are unique (Blender appends .001), so that running again adds.

Results are in OpenCV camera axes and metres; `axes` holds the one conversion. All that comes from one photo is placed
by that photo's matched camera (`camera.matched_camera`): reliefs, grids and hands are its children in camera space,
people stand in the world through the same `world_from_camera`.
"""
