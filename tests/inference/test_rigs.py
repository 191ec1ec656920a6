# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs without Blender: bone maps by names, motion carried over, the built-in body in other bones."""

from __future__ import annotations

import numpy as np
import pytest
from maquette.inference import export, rigs
from maquette.inference.camera import Camera
from maquette.inference.errors import BadInput
from maquette.inference.geometry import rotations, skinning
from maquette.inference.results import People, Person
from maquette.inference.rigs import smplx
from maquette.inference.rigs.humanoid import NEEDED, PARENTS, template_presets
from maquette.inference.rigs.template import in_bones_of
from maquette.inference.shipped.body import load_body

pytestmark = pytest.mark.smoke

SIDES = ("L", "R")


def turn(axis, degrees) -> np.ndarray:
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    half = np.radians(degrees) / 2
    return rotations.rotation_matrices(np.array([np.cos(half), *(np.sin(half) * axis)]))


@pytest.mark.parametrize("preset", rigs.load_presets(), ids=lambda preset: preset.id)
def test_every_preset_knows_its_own_names(preset):
    names = [name for chain in preset.roles.values() for name in chain]
    assert len(set(names)) == len(names)
    mapping = rigs.map_bones(names)
    assert mapping.preset == preset.id and not mapping.missing
    assert mapping.roles == preset.roles and set(mapping.roles) <= set(rigs.ROLES)
    assert rigs.map_bones([name.upper() for name in names], preset.id).roles.keys() == preset.roles.keys()


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "mixamorig1:", "mixamorig_"])
def test_mixamo_behind_a_prefix(prefix):
    names = [prefix + name for chain in rigs.map_bones([], "mixamo").roles.values() for name in chain]
    assert names == []
    known = {preset.id: preset for preset in rigs.load_presets()}["mixamo"]
    mapping = rigs.map_bones([prefix + name for chain in known.roles.values() for name in chain])
    assert mapping.preset == "mixamo"
    assert mapping.roles["forearm.R"] == (f"{prefix}RightForeArm",)


def test_controls_count_before_the_bones_that_they_move():
    presets = {preset.id: preset for preset in rigs.load_presets()}
    names = [name for chain in presets["rigify"].roles.values() for name in chain]
    deform = [
        f"{kind}-{name}"
        for kind in ("DEF", "ORG")
        for chain in presets["rigify-deform"].roles.values()
        for name in chain
    ]
    mapping = rigs.map_bones([*names, *deform])
    assert mapping.preset == "rigify" and mapping.switches == {"IK_FK": 1.0}
    assert rigs.map_bones(deform).roles["hand.L"] == ("DEF-hand.L",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            "Robot Pelvis,Robot Spine,Robot Spine1,Robot Neck,Robot Head,Robot L Clavicle,Robot L UpperArm,"
            "Robot L Forearm,Robot L Hand,Robot L Thigh,Robot L Calf,Robot L Foot,Robot R Clavicle,"
            "Robot R UpperArm,Robot R Forearm,Robot R Hand,Robot R Thigh,Robot R Calf,Robot R Foot,Robot L ForeTwist",
            {"hips": ("Robot Pelvis",), "forearm.L": ("Robot L Forearm",), "spine": ("Robot Spine", "Robot Spine1")},
        ),
        (
            "hips,waist,chest,neck,head,shoulder_left,arm_left,elbow_left,wrist_left,leg_left,knee_left,ankle_left,"
            "shoulder_right,arm_right,elbow_right,wrist_right,leg_right,knee_right,ankle_right",
            {"upper_arm.L": ("arm_left",), "clavicle.L": ("shoulder_left",), "thigh.R": ("leg_right",),
             "shin.R": ("knee_right",), "forearm.R": ("elbow_right",)},
        ),
        (  # chains as they hang together, not by the alphabet; hips above what they carry; "bend" is no end
            "hip,pelvis,lThighBend,lThighTwist,lShin,lFoot,rThighBend,rShin,rFoot,spine,abdomen,chest,neck,head,"
            "lCollar,lShldrBend,lForearmBend,lHand,rCollar,rShldrBend,rForearmBend,rHand",
            {"hips": ("hip",), "spine": ("spine", "abdomen", "chest"), "thigh.L": ("lThighBend",),
             "upper_arm.R": ("rShldrBend",), "forearm.L": ("lForearmBend",)},
        ),
        (
            "pelvis_jnt,spine_jnt,head_jnt,l_clav_jnt,l_shoulder_jnt,l_elbow_jnt,l_wrist_jnt,l_hip_jnt,l_knee_jnt,"
            "r_clav_jnt,r_shoulder_jnt,r_elbow_jnt,r_wrist_jnt,r_hip_jnt,r_knee_jnt",
            {"clavicle.L": ("l_clav_jnt",), "upper_arm.L": ("l_shoulder_jnt",), "thigh.R": ("r_hip_jnt",)},
        ),
    ],
)  # fmt: skip
def test_unknown_rigs_are_guessed_by_words(names, expected):
    mapping = rigs.map_bones(names.split(","))
    assert not mapping.missing and mapping.preset == ""
    assert {role: mapping.roles[role] for role in expected} == expected


@pytest.mark.parametrize(
    ("preset", "names", "expected"),
    [
        (
            "biped",
            "Bip001,Bip001 Pelvis,Bip001 Spine,Bip001 Head,Bip001 L UpperArm,Bip001 L Forearm,Bip001 L Hand,"
            "Bip001 L Finger0,Bip001 L Finger01,Bip001 L Finger4,Bip001 L Finger41,Bip001 L Finger42,Bip001 L Thigh,"
            "Bip001 L Calf,Bip001 R UpperArm,Bip001 R Forearm,Bip001 R Thigh,Bip001 R Calf",
            {"thumb.L": ("Bip001 L Finger0", "Bip001 L Finger01"), "hips": ("Bip001 Pelvis",),
             "little.L": ("Bip001 L Finger4", "Bip001 L Finger41", "Bip001 L Finger42")},
        ),
        (
            "character-creator",
            "RL_BoneRoot,CC_Base_Hip,CC_Base_Pelvis,CC_Base_L_Thigh,CC_Base_L_ThighTwist01,CC_Base_L_Calf,"
            "CC_Base_L_ToeBaseShareBone,CC_Base_L_ToeBase,CC_Base_R_Thigh,CC_Base_R_Calf,CC_Base_Waist,"
            "CC_Base_NeckTwist01,CC_Base_L_Upperarm,CC_Base_L_Forearm,CC_Base_R_Upperarm,CC_Base_R_Forearm",
            {"toe.L": ("CC_Base_L_ToeBase",), "neck": ("CC_Base_NeckTwist01",), "spine": ("CC_Base_Waist",)},
        ),
        (
            "optitrack",
            "Skeleton_001_Hip,Skeleton_001_Ab,Skeleton_001_LUArm,Skeleton_001_LFArm,Skeleton_001_RUArm,"
            "Skeleton_001_RFArm,Skeleton_001_LThigh,Skeleton_001_LShin,Skeleton_001_RThigh,Skeleton_001_RShin",
            {"spine": ("Skeleton_001_Ab",), "forearm.R": ("Skeleton_001_RFArm",)},
        ),
        (
            "mmd",
            "全ての親,センター,グルーブ,腰,下半身,上半身,足.L,ひざ.L,足ＩＫ.L,腕.L,腕捩.L,ひじ.L,足.R,ひざ.R,腕.R,ひじ.R",
            {"hips": ("腰", "下半身"), "thigh.L": ("足.L",), "forearm.R": ("ひじ.R",)},
        ),
    ],
)  # fmt: skip
def test_known_rigs_among_their_other_bones(preset, names, expected):
    mapping = rigs.map_bones(names.split(","))
    assert (mapping.preset, mapping.missing) == (preset, ())
    assert {role: mapping.roles[role] for role in expected} == expected


def test_what_is_missing_is_named():
    mapping = rigs.map_bones(["Bone", "Bone.001", "arm"])
    assert set(mapping.missing) == set(NEEDED)
    with pytest.raises(BadInput, match=r"The armature Lamp has no bone for: hips, upper arm\.L") as caught:
        mapping.checked("Lamp")
    assert "bone map" in caught.value.remedy
    with pytest.raises(BadInput, match="no bone map called 'sims'"):
        rigs.map_bones(["a"], "sims")


def test_a_bone_cannot_be_two_parts():
    roles = {role: (role,) for role in NEEDED} | {"spine": ("thigh.L",)}
    with pytest.raises(BadInput, match=r"the bone thigh\.L is assigned twice: thigh\.L and spine"):
        rigs.Mapping(roles).checked("Robot")


def test_hips_carry_legs_and_trunk():
    roles = {"hips": ("pelvis",), "spine": ("spine",), "thigh.L": ("left",), "thigh.R": ("right",)}
    names = ("world", "root", "pelvis", "left", "right", "spine")
    assert rigs.carried(roles, names, (-1, 0, 1, 2, 2, 1))["hips"] == ("root", "pelvis")
    assert rigs.carried(roles, names, (-1, 0, 1, 2, 2, 2)) is roles
    assert rigs.carried(roles, names, (-1, 0, 1, 2, 2, -1)) is roles  # nothing carries both


def figure(arms_down: float, *, chains: bool = False, place=None, roll: int = 0) -> rigs.Rig:
    """A rig with arms `arms_down` degrees under the horizontal, bones of random roll, limbs of two bones each."""
    heads = {"hips": (0, 0, 1), "spine": (0, 0, 1.1), "neck": (0, 0, 1.5), "head": (0, 0, 1.6)}
    for side, sign in zip(SIDES, (1, -1), strict=True):
        down = turn((0, 1, 0), sign * arms_down)
        for part, reach in {"clavicle": 0.03, "upper_arm": 0.18, "forearm": 0.45, "hand": 0.7}.items():
            along = np.array([sign * reach, 0, 0])
            shoulder = np.array([sign * 0.18, 0, 1.45])
            heads[f"{part}.{side}"] = (
                along + np.array([0, 0, 1.45]) if reach <= 0.18 else shoulder + down @ (along - [sign * 0.18, 0, 0])
            )
        for number, finger in enumerate(("index", "middle", "ring", "little")):
            offset = np.array([sign * 0.62, 0.03 - 0.02 * number, 0])
            heads[f"{finger}.{side}"] = shoulder + down @ offset
        heads |= {
            f"thigh.{side}": (sign * 0.1, 0, 0.95), f"shin.{side}": (sign * 0.1, -0.01, 0.5),
            f"foot.{side}": (sign * 0.1, 0.01, 0.08), f"toe.{side}": (sign * 0.11, -0.12, 0.02),
        }  # fmt: skip
    random = np.random.default_rng(roll)
    names, parents, rest, roles = [], [], [], {}
    ends = {f"{part}.{side}": f"{after}.{side}" for side in SIDES for part, after in
            {"upper_arm": "forearm", "forearm": "hand", "thigh": "shin", "shin": "foot"}.items()}  # fmt: skip
    for role in rigs.ROLES:
        if role not in heads:
            continue
        parts = 2 if chains and role in ends else 1
        roles[role] = tuple(f"{role}{number}" for number in range(parts))
        for number in range(parts):
            matrix = np.eye(4)
            matrix[:3, :3] = turn(random.normal(size=3), random.uniform(0, 180))
            head = np.array(heads[role], float)
            matrix[:3, 3] = head if number == 0 else (head + heads[ends[role]]) / 2
            parent = roles[role][number - 1] if number else roles[PARENTS[role]][-1] if role in PARENTS else None
            parents.append(names.index(parent) if parent else -1)
            names.append(roles[role][number])
            rest.append(matrix)
    place = np.eye(4) if place is None else place
    world = place @ np.array(rest)
    world[:, :3, :3] /= np.linalg.norm(world[:, :3, :3], axis=1, keepdims=True)
    return rigs.Rig(tuple(names), np.array(parents), world, roles, place)


def posed(rig: rigs.Rig, basis: np.ndarray) -> np.ndarray:
    """(T, J, 4, 4) in the world, of bones that inherit from their parents."""
    scale = np.cbrt(np.linalg.det(rig.place[:3, :3]))
    basis = basis.copy()
    basis[..., :3, 3] *= scale
    poses = np.empty_like(basis)
    for bone, parent in enumerate(rig.parents):
        inherited = (
            rig.rest[bone] if parent < 0 else poses[:, parent] @ np.linalg.inv(rig.rest[parent]) @ rig.rest[bone]
        )
        poses[:, bone] = inherited @ basis[:, bone]
    return poses


def swung(rig: rigs.Rig, frames: int = 9, seed: int = 5) -> np.ndarray:
    """(T, J, 4, 4) of a rig that turns every bone up to 60 degrees and walks about."""
    random = np.random.default_rng(seed)
    basis = np.broadcast_to(np.eye(4), (frames, len(rig.names), 4, 4)).copy()
    axes, most = random.normal(size=(len(rig.names), 3)), random.uniform(10, 60, len(rig.names))
    for frame in range(frames):
        for bone in range(len(rig.names)):
            basis[frame, bone, :3, :3] = turn(axes[bone], most[bone] * np.sin(frame / 2 + bone))
        basis[frame, 0, :3, 3] = 0.2 * frame, 0.05 * np.sin(frame), 0.1 * frame
    return posed(rig, basis)


LIMBS = [(a, b) for a, b in (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot"))]


def directions(rig: rigs.Rig, poses: np.ndarray) -> np.ndarray:
    """(8, T, 3) of upper arms, forearms, thighs and shins."""
    found = []
    for part, after in LIMBS:
        for side in SIDES:
            along = poses[:, rig.chain(f"{after}.{side}")[0], :3, 3] - poses[:, rig.chain(f"{part}.{side}")[0], :3, 3]
            found.append(along / np.linalg.norm(along, axis=-1, keepdims=True))
    return np.array(found)


def degrees_between(one, other) -> float:
    return float(np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1))).max())


@pytest.mark.parametrize("placement", ["WORLD", "LOCAL"])
@pytest.mark.parametrize(("source_down", "target_down"), [(0, 45), (45, 0), (30, 30)])
@pytest.mark.parametrize("chains", [False, True])
def test_limbs_point_where_the_source_points(source_down, target_down, chains, placement):
    """T-poses and A-poses, bones of any roll, limbs of one bone and two, an armature turned and scaled as in FBX."""
    turned = np.eye(4)
    turned[:3, :3] = 0.01 * turn((0, 0, 1), 25) @ turn((1, 0, 0), 90)
    upright = np.eye(4)
    upright[:3, :3] = turn((0, 0, 1), -25) if placement == "LOCAL" else np.eye(3)
    scaled = np.diag([100.0, 100, 100, 1])
    scaled[:3, :3] = scaled[:3, :3] @ turn((1, 0, 0), -90)
    source = figure(source_down, roll=1)
    plain = figure(target_down, chains=chains, roll=2)
    target = rigs.Rig(plain.names, plain.parents, turned @ scaled @ plain.rest, plain.roles, turned)
    poses = swung(source)
    turns, hips = rigs.retarget(source, poses, target, placement=placement)
    shown = posed(target, rigs.apply_turns(target, turns, hips))
    # In its own place the target does the same, turned as it is turned itself.
    own = turn((0, 0, 1), 25) if placement == "LOCAL" else np.eye(3)
    assert degrees_between(directions(source, poses) @ own.T, directions(target, shown)) < 0.01
    np.testing.assert_allclose(np.linalg.det(shown[..., :3, :3]), 1, atol=1e-6)


def test_there_and_back_is_the_same_motion():
    source, other = figure(40, roll=3), figure(0, chains=True, roll=4)
    poses = swung(source)
    over = posed(other, rigs.apply_turns(other, *rigs.retarget(source, poses, other)))
    back = posed(source, rigs.apply_turns(source, *rigs.retarget(other, over, source)))
    assert degrees_between(directions(source, poses), directions(source, back)) < 0.01
    np.testing.assert_allclose(back[:, :, :3, 3], poses[:, :, :3, 3], atol=1e-6)
    hands = source.chain("hand.L") + source.chain("head") + source.chain("foot.R")
    np.testing.assert_allclose(back[:, hands, :3, :3], poses[:, hands, :3, :3], atol=1e-6)  # twist as well


def test_twist_is_carried_over():
    """A forearm that turns about its own axis, which positions of joints do not tell."""
    source, target = figure(0, roll=1), figure(0, roll=2)
    poses = np.broadcast_to(source.rest, (1, *source.rest.shape)).copy()
    fore, hand = source.chain("forearm.L")[0], source.chain("hand.L")[0]
    for bone in (fore, hand):
        poses[0, bone, :3, :3] = turn((1, 0, 0), 70) @ source.rest[bone, :3, :3]
    turns, _ = rigs.retarget(source, poses, target)
    for role in ("forearm.L", "hand.L"):
        bone = target.chain(role)[0]
        np.testing.assert_allclose(
            turns[target.names[bone]][0], turn((1, 0, 0), 70) @ target.rest[bone, :3, :3], atol=1e-6
        )


def test_legs_of_other_length_stand_on_the_same_ground():
    source = figure(0)
    half = np.diag([0.5, 0.5, 0.5, 1.0])
    target = rigs.Rig(
        source.names, source.parents, np.concatenate([source.rest[:, :, :3], (half @ source.rest)[:, :, 3:]], 2),
        source.roles, np.eye(4),
    )  # fmt: skip
    still = np.broadcast_to(source.rest, (2, *source.rest.shape)).copy()
    still[1, :, :3, 3] += [0.7, 0.2, 0.4]  # jumps and walks
    shown = posed(target, rigs.apply_turns(target, *rigs.retarget(source, still, target)))
    toes = shown[:, target.chain("toe.L")[0], :3, 3]
    assert toes[0, 2] == pytest.approx(0.01, abs=1e-6) and toes[1, 2] == pytest.approx(0.21, abs=1e-6)
    np.testing.assert_allclose(toes[1, :2] - toes[0, :2], [0.7, 0.2], atol=1e-6)  # where the photo shows it
    own = posed(target, rigs.apply_turns(target, *rigs.retarget(source, still, target, placement="LOCAL")))
    np.testing.assert_allclose(own[1, 0, :3, 3] - own[0, 0, :3, 3], [0.35, 0.1, 0.2], atol=1e-6)  # in its own stride


@pytest.fixture(scope="module")
def people() -> People:
    body = load_body()
    random = np.random.default_rng(2)
    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (len(body.parents), 1))
    for name in ("root", "spine03", "upperarm01.L", "upperarm01.R", "lowerarm01.L", "wrist.R", "upperleg01.L", "head"):
        axis = random.normal(size=3)
        angle = np.radians(random.uniform(20, 50)) / 2
        rotations[body.joint_names.index(name)] = [np.cos(angle), *(np.sin(angle) * axis / np.linalg.norm(axis))]
    shape, place = np.zeros(len(body.shape_blend_shapes), np.float32), np.array([0.2, 0.1, 4], np.float32)
    vertices, joints = skinning.pose_body(body, shape, rotations, place)
    person = Person(
        0, (0, 0, 9, 9), 0.9, None, vertices, joints, joints[:, :2], rotations, shape, place,
        np.ones(len(rotations), np.float32),
    )  # fmt: skip
    camera = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
    return People(((person,),), body, camera, (camera,))


@pytest.mark.parametrize("preset", [preset.id for preset in template_presets()])
def test_the_body_in_other_bones_keeps_its_surface(people, preset):
    rigged = in_bones_of(people.body, people.frames[0], preset)
    body, person = rigged.body, rigged.persons[0]
    np.testing.assert_allclose(body.skin_weights.sum(1), 1, atol=1e-5)
    assert (body.parents[1:] < np.arange(1, len(body.parents))).all() and body.parents[0] == -1
    vertices, joints = skinning.pose_body(body, person.shape, person.rotations, person.translation)
    np.testing.assert_allclose(joints, person.joints, atol=1e-5)
    apart = np.linalg.norm(vertices - people.frames[0][0].vertices, axis=1)
    assert apart.mean() < 0.002 and apart.max() < 0.03
    mapping = rigs.map_bones(body.joint_names)
    assert mapping.preset == preset and set(mapping.roles) == set(rigs.ROLES)


def test_the_built_in_body_as_smplx(people):
    """By its turns and place alone, with another skeleton: limbs point where they pointed, hips are about as high."""
    amass = export.amass_of(people, joints="smplx")
    assert amass["poses"].shape == (len(people.frames), 165) and len(amass["joint_names"]) == 55
    rest, parents = smplx.at_rest()
    count = len(people.frames)
    turns = rotations.rotation_matrices(rotations.from_rotation_vector(amass["poses"].reshape(count, 55, 3)))
    _, joints = skinning.chain(parents, np.broadcast_to(rest, (count, 55, 3)), turns, amass["trans"])
    (seen,) = (places for _, places in export.world_joints(people).values())
    mine, theirs = people.body.joint_names.index, list(amass["joint_names"]).index
    limbs = (("upperarm01", "lowerarm01", "shoulder", "elbow"), ("lowerarm01", "wrist", "elbow", "wrist"),
             ("upperleg01", "lowerleg01", "hip", "knee"), ("lowerleg01", "foot", "knee", "ankle"))  # fmt: skip
    for first, last, start, end in limbs:
        for side, word in (("L", "left"), ("R", "right")):
            truth = seen[:, mine(f"{last}.{side}")] - seen[:, mine(f"{first}.{side}")]
            shown = joints[:, theirs(f"{word}_{end}")] - joints[:, theirs(f"{word}_{start}")]
            unit = [one / np.linalg.norm(one, axis=-1, keepdims=True) for one in (truth, shown)]
            assert degrees_between(*unit) < 0.1
    np.testing.assert_allclose(joints[:, 0, :2], seen[:, mine("root"), :2], atol=0.08)
    with pytest.raises(BadInput, match="own or smplx"):
        export.amass_of(people, joints="smpl")
