# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion of a clip, as an action of your own character.

    blender --background CHARACTER.blend --python retargeted_action.py -- CLIP ARMATURE OUTPUT.blend
    python3 -m installer run docs/recipes/retargeted_action.py CLIP ARMATURE OUTPUT.blend CHARACTER.blend

The person who is seen longest moves the armature. Keys are reduced until no joint strays by more than 3 mm, the action
gets a fake user, and the recovered person is removed again.
"""

import importlib
import sys
from pathlib import Path

import bpy


def addon():
    """The add-on's functions: installed in this Blender, or beside bpy as the package `maquette`."""
    names = [addon.module for addon in bpy.context.preferences.addons]
    installed = next((name for name in names if name.endswith(".maquette")), "maquette")
    package = importlib.import_module(installed)
    if not hasattr(bpy.types.Scene, "maquette"):
        package.register()
    return importlib.import_module(f"{installed}.blender_addon.api")


def main(clip: str, armature: str, output: str, character: str = "") -> str:
    api = addon()
    if character:
        bpy.ops.wm.open_mainfile(filepath=str(Path(character).absolute()))
    target = bpy.data.objects[armature]
    made = api.recover_people(Path(clip).absolute(), start_frame=1)
    longest = max(made.people, key=lambda person: person.frames[1] - person.frames[0])
    api.retarget(longest.rig, target)
    action = api.reduce_keys(target, 3.0)
    action.name, action.use_fake_user = f"{Path(clip).stem}.{armature}", True
    bpy.data.batch_remove([*made.objects, *made.collections])
    bpy.ops.outliner.orphans_purge(do_recursive=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(Path(output).absolute()))
    return action.name


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    print(f"{main(*arguments)} is in {arguments[2]}")
