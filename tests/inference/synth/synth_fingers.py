"""Procedural stand-ins for SMPL+H and SMPL-X, the bodies of the family that have fingers (no licensed data inside).

make_smplh()  -> dicts in the layouts of SMPL_NEUTRAL and SMPLH_NEUTRAL: one surface, the same shapes and 22 joints; 30 finger joints
make_smplx(smpl)  -> dict in the layout of SMPLX_NEUTRAL, but for its number of vertices: other vertices, other shapes, larger, the
                 arms at rest a little lower, 55 joints
Joints lie where they are meant to lie, to the last digit: the weights of the regressor are those of least size. The hand is
a mitten of which one vertex is the tip of each finger.
"""
import numpy as np
from synth_body import JOINTS, PARENTS, make_smpl, segment_distance, skin_weights, template, waves

# left hand: where each finger begins, and which way it goes; bones are BONE long
FINGERS = {'index': ((.765, .232, .020), (1, .02, .06)), 'middle': ((.768, .234, .006), (1, .03, .0)), 'pinky': ((.758, .228, -.020), (1, .0, -.12)),
           'ring': ((.764, .231, -.008), (1, .02, -.05)), 'thumb': ((.712, .224, .018), (.7, -.12, .55))}
BONE = {'index': .026, 'middle': .028, 'pinky': .02, 'ring': .026, 'thumb': .022}
TREE = PARENTS[:22]


def fingers(wrists, offset):
    """(30, 3) places in the published order, and the joints they hang on, where the first of them is number `offset`."""
    places, parents = [], []
    for side, sign in ((0, 1), (1, -1)):
        for name, (start, way) in FINGERS.items():
            way = np.array(way) / np.linalg.norm(way)
            for bone in range(3):
                p = np.array(start) + bone * BONE[name] * way + (0, -.002 * bone * bone, 0)
                parents.append(20 + side if bone == 0 else offset + len(places) - 1)
                places.append((p - JOINTS[20]) * (sign, 1, 1) + wrists[side])
    return np.array(places), parents


def with_tips(v, joints):
    """the vertices (V, 3) with one put at the tip of each finger (30, 3), and which these are (10,)"""
    v, tips = v.copy(), []
    for last in range(2, len(joints), 3):
        p = 2 * joints[last] - joints[last - 1]
        d = np.linalg.norm(v - p, axis=1)
        d[tips] = 9
        tips.append(int(d.argmin()))
        v[tips[-1]] = p
    return v, tips


def rigid_hands(v, shapes, poses, scale=.03):
    """shapes carry a hand as a whole and make it larger with the first of them, poses leave it alone: bones stay short and straight"""
    shapes, poses = shapes.copy(), poses.copy()
    for sign in (1, -1):
        hand = sign * v[:, 0] > .7
        wrist = np.linalg.norm(v - JOINTS[20] * (sign, 1, 1), axis=1).argmin()
        shapes[hand] = shapes[wrist]
        shapes[hand, :, 0] += scale * (v[hand] - v[wrist])
        poses[hand] = 0
    return shapes, poses


def exact(v, points, k=64):
    """weights over the k nearest vertices whose mean is the point"""
    rows = np.zeros((len(points), len(v)))
    for row, p in zip(rows, points):
        near = np.argsort(np.linalg.norm(v - p, axis=1), kind='stable')[:k]
        row[near] = np.linalg.lstsq(np.vstack([v[near].T, np.ones(k)]), [*p, 1.], rcond=None)[0]
    return rows


def finger_weights(v, weights, joints, parents, first):
    """the hands' share of the weights (V, 24), shared out between wrist and fingers"""
    w = np.zeros((len(v), len(joints)))
    w[:, :20] = weights[:, :20]
    for side in (0, 1):
        own = [20 + side, *range(first + 15 * side, first + 15 * side + 15)]
        end = lambda j: joints[[c for c in own if parents[c] == j][0]] if any(parents[c] == j for c in own) else 2 * joints[j] - joints[parents[j]]
        d = np.stack([segment_distance(v, joints[j], (joints[j] + joints[own[7]]) / 2 if j == 20 + side else end(j)) for j in own], 1)
        share = np.exp(-d / .004)
        w[:, own] = weights[:, [20 + side, 22 + side]].sum(1, keepdims=True) * share / share.sum(1, keepdims=True)
    return w


def body(v, f, shapes, poses, weights, joints, parents, first):
    v, tips = with_tips(v, joints[first:])
    shapes, poses = rigid_hands(v, shapes, poses)
    tree = np.array([parents, range(len(parents))], dtype=np.int64)
    tree[0, 0] = 2 ** 32 - 1
    moving = np.zeros((len(v), 3, 9 * (len(joints) - 1)))
    moving[:, :, :189] = poses
    skin = finger_weights(v, weights, joints, parents, first)
    last = np.arange(first + 2, len(joints), 3)
    skin[:, last - 1] += skin[:, last] / 2
    skin[:, last] /= 2
    skin[tips] = np.eye(len(joints))[last]
    return dict(v_template=v, f=f.astype(np.uint32), shapedirs=shapes, posedirs=moving, J_regressor=exact(v, joints), weights=skin,
                kintree_table=tree)


def make_smplh():
    smpl = make_smpl()
    body22 = smpl['J'][:22]
    own, parents = fingers(body22[20:22], 22)
    joints = np.concatenate([body22, own])
    made = body(smpl['v_template'], smpl['f'], smpl['shapedirs'], smpl['posedirs'][:, :, :189], smpl['weights'], joints, [*TREE, *parents], 22)
    made['J_regressor'][:22] = smpl['J_regressor'].toarray()[:22]
    return dict(smpl, v_template=made['v_template'], shapedirs=made['shapedirs']), made


def make_smplx(smpl):
    v, f = template(40, 40)
    at = smpl['J'][:22] + np.random.default_rng(5).normal(0, .004, (22, 3))
    at[[18, 19], 1] -= .02
    at[[20, 21], 1] -= .035
    own, parents = fingers(at[20:22], 25)
    joints = 1.04 * np.concatenate([at, [[0, .37, .05], [.03, .42, .08], [-.03, .42, .08]], own])
    v = 1.04 * v
    shapes = waves('smplx.shapedirs', v, 20, .01, 3.)
    shapes[:, :, 0] += v * .04
    weights = skin_weights(v, 1.04 * JOINTS, PARENTS, .035)
    poses = waves('smplx.posedirs', v, 189, .002, 6.)
    return body(v, f, shapes, poses, weights, joints, [*TREE, 15, 15, 15, *parents], 25)
