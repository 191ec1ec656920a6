# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python of its own, with readers that have nothing to do with Blender: prints as JSON what they find.

readers.py READER FILE -> {"name": of the take, "seconds": of the keys, "joints": name -> [[x, y, z] a frame], ...}
Places are in the file's own axes and units.
"""

import json
import sys
from pathlib import Path


def ufbx(path):
    import ufbx

    scene = ufbx.load_file(path)
    (stack,) = scene.anim_stacks
    rate = scene.settings.frames_per_second
    first, last = stack.time_begin, stack.time_end
    seconds = [first + number / rate for number in range(round((last - first) * rate) + 1)]
    joints, kept = {}, []
    for time in seconds:
        posed = scene.evaluate(stack.anim, time)
        kept.append(posed)  # an evaluated scene that is freed takes what it shares with it
        for node in posed.nodes:
            if node.bone is not None:
                place = node.node_to_world.c3
                joints.setdefault(node.name, []).append([place.x, place.y, place.z])
    skins = len(scene.skin_deformers)
    unit = scene.settings.unit_meters
    return {"name": stack.name, "seconds": seconds, "joints": joints, "unit": unit, "skins": skins}


def pygltflib(path):
    import numpy as np
    from pygltflib import GLTF2

    file = GLTF2().load(path)
    binary = file.binary_blob()

    def values(index):
        accessor = file.accessors[index]
        start = file.bufferViews[accessor.bufferView].byteOffset + (accessor.byteOffset or 0)
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
        return np.frombuffer(binary, "<f4", accessor.count * width, start).reshape(accessor.count, width)

    (animation,) = file.animations
    tracks, seconds = {}, np.zeros(0)
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        tracks[channel.target.node, channel.target.path] = values(sampler.input)[:, 0], values(sampler.output)
        seconds = np.union1d(seconds, values(sampler.input)[:, 0])
    parents = {child: number for number, node in enumerate(file.nodes) for child in node.children or ()}

    def local(number, path, default):
        given = getattr(file.nodes[number], path)
        times, keys = tracks.get((number, path), (np.zeros(1), np.array([default if given is None else given])))
        return np.stack([np.interp(seconds, times, column) for column in keys.T], axis=1)

    def world(number):
        matrix = np.tile(np.eye(4), (len(seconds), 1, 1))
        x, y, z, w = (
            local(number, "rotation", [0, 0, 0, 1])
            / np.linalg.norm(local(number, "rotation", [0, 0, 0, 1]), axis=1, keepdims=True)
        ).T
        rows = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]  # fmt: skip
        turn = np.moveaxis(np.array(rows), -1, 0)
        matrix[:, :3, :3] = turn * local(number, "scale", [1, 1, 1])[:, None]
        matrix[:, :3, 3] = local(number, "translation", [0, 0, 0])
        return world(parents[number]) @ matrix if number in parents else matrix

    joints = {file.nodes[n].name: world(n)[:, :3, 3].tolist() for n in file.skins[0].joints}
    return {"name": animation.name, "seconds": seconds.tolist(), "joints": joints}


def bvhio(path):
    import bvhio

    root = bvhio.readAsHierarchy(path)
    first, last = root.getKeyframeRange()
    joints = {}
    for frame in range(first, last + 1):
        root.loadPose(frame)
        for joint, *_ in root.layout():
            joints.setdefault(joint.Name, []).append(list(joint.PositionWorld))
    return {"joints": joints}


def bvh(path):
    from bvh import Bvh

    found = Bvh(Path(path).read_text("utf-8"))
    return {"names": found.get_joints_names(), "frames": found.nframes, "seconds": found.frame_time}


def usd(path):
    from pxr import Usd, UsdGeom, UsdSkel, UsdValidation

    stage = Usd.Stage.Open(path)
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    errors = UsdValidation.ValidationContext(validators).Validate(stage)
    skeleton = next(UsdSkel.Skeleton(prim) for prim in stage.Traverse() if prim.IsA(UsdSkel.Skeleton))
    query = UsdSkel.Cache().GetSkelQuery(skeleton)
    cache = UsdGeom.XformCache()
    names = [name.split("/")[-1] for name in query.GetJointOrder()]
    joints = {name: [] for name in names}
    frames = range(int(stage.GetStartTimeCode()), int(stage.GetEndTimeCode()) + 1)
    for frame in frames:
        cache.SetTime(frame)
        for name, matrix in zip(names, query.ComputeJointWorldTransforms(cache), strict=True):
            joints[name].append(list(matrix.ExtractTranslation()))
    return {
        "validators": len(validators), "errors": [error.GetErrorAsString() for error in errors], "joints": joints,
        "rate": stage.GetTimeCodesPerSecond(),
    }  # fmt: skip


print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
