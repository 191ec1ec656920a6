"""Deterministic synthetic SAM 3D Body checkpoint and synthetic MHR rig (stand-ins: same names, shapes and conventions as the published
files, invented values). Same random rule as synth_weights.py: torch.Generator seeded with crc32(key), torch.rand mapped to zero mean.
    rig()            -> dict name -> tensor, the names of mhr_model.pt's state dict that inference needs
    network(rows)    -> state dict of model.ckpt (rows = [[key, shape, dtype], ...] from manifest-sam3dbody-*.json.gz)
    fingerprint(sd)  -> as in synth_weights.py
CLI: python synth_sam3d.py MANIFEST.json[.gz] model.ckpt
"""
import gzip, json, re, sys, zlib
import numpy as np
import torch

DT = dict(float32=torch.float32, bfloat16=torch.bfloat16, int64=torch.int64)
V, J, F = 18439, 127, 36874
PARENTS = [-1,0,1,2,3,4,5,6,7,3,3,3,3,2,2,2,2,2,1,18,19,20,21,22,23,19,19,19,19,18,18,18,18,18,1,34,35,36,37,38,39,40,41,42,43,44,45,46,42,48,49,50,42,
           52,53,54,42,56,57,58,42,60,61,62,63,40,40,40,40,39,39,39,39,39,37,74,75,76,77,78,79,80,81,82,78,84,85,86,78,88,89,90,78,92,93,94,78,96,97,98,
           99,76,76,76,76,75,75,75,75,75,37,110,110,110,113,114,114,114,117,118,119,120,113,122,113,124,113]


def load(path):
    with (gzip.open(path, 'rt') if path.endswith('.gz') else open(path)) as f:
        return json.load(f)['tensors']


def rand(key, shape, std):
    g = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    return (torch.rand(shape, generator=g) - .5) * (12 ** .5 * std)


def fan_in(shape):
    return int(np.prod(shape[1:])) if len(shape) > 1 else 1


# ---------------------------------------------------------------- rig (centimetres, y up, left = +x)
def _positions():
    """invented neutral pose, world positions of the joints; right side mirrored from the left"""
    p = {0: (0, 0, 0), 1: (0, 92, 0), 34: (0, 94, -3), 35: (0, 105, -2), 36: (0, 116, -3), 37: (0, 134, -4), 110: (0, 144, -2), 113: (0, 155, 0),
         114: (0, 153, 4), 115: (0, 152, 8), 116: (0, 150, 10), 117: (0, 152, 5), 122: (-3, 160, 8), 124: (3, 160, 8), 123: (-3, 160, 10),
         125: (3, 160, 10), 126: (0, 175, 0), 111: (0, 150, -1), 112: (0, 144, -2)}
    for i, j in enumerate(range(118, 122)):
        p[j] = (0, 152 + .2 * i, 6 + i)
    left = {2: (8, 90, 0), 3: (9, 48, 1), 4: (10, 9, -2), 5: (10, 9, -2), 6: (10, 6, -1), 7: (10, 4, 4), 8: (10, 2, 12), 74: (3, 139, -3), 75: (16, 139, -5),
            76: (36, 120, -6), 77: (54, 103, -3), 78: (54, 103, -3)}
    for k, n in enumerate((79, 84, 88, 92)):                       # pinky has 4 joints + end, the others 3 + end
        for i in range(5 if n == 79 else 4):
            d = 2.5 + 2.6 * (i + (0 if n == 79 else 1))
            left[n + i] = (54 + .62 * d, 103 - .7 * d, -5 + 2.1 * k)
    for i in range(5):
        left[96 + i] = (54 + .9 * i, 102 - 1.9 * i, 1 + 1.4 * i)
    for base, a, b, n in ((9, 3, 4, 4), (13, 2, 3, 5), (101, 76, 77, 4), (105, 75, 76, 5)):    # twist joints on the segment
        for i in range(n):
            t = (i + (1 if n == 4 else 0)) / 5.
            left[base + i] = tuple(np.array(left[a]) * (1 - t) + np.array(left[b]) * t)
    for j, q in left.items():
        p[j] = q
        p[j + 16 if j < 18 else j - 36] = (-q[0], q[1], q[2])
    return np.array([p[j] for j in range(J)], np.float64)


def _mat2quat(m):
    """xyzw, by the largest component (numpy float64)"""
    t = np.array([1 + m[0, 0] - m[1, 1] - m[2, 2], 1 - m[0, 0] + m[1, 1] - m[2, 2], 1 - m[0, 0] - m[1, 1] + m[2, 2], 1 + np.trace(m)])
    k = int(t.argmax()); d = 2 * np.sqrt(t[k])
    a, b, c = (m[2, 1] - m[1, 2]) / d, (m[0, 2] - m[2, 0]) / d, (m[1, 0] - m[0, 1]) / d
    e, f, g = (m[0, 1] + m[1, 0]) / d, (m[0, 2] + m[2, 0]) / d, (m[1, 2] + m[2, 1]) / d
    q = {3: (a, b, c, d / 4), 0: (d / 4, e, f, a), 1: (e, d / 4, g, b), 2: (f, g, d / 4, c)}[k]
    return np.array(q) / np.linalg.norm(q)


def _rest():
    p = _positions()
    kids = {j: [k for k in range(J) if PARENTS[k] == j] for j in range(J)}
    G = np.tile(np.eye(3), (J, 1, 1))
    right = lambda j: 18 <= j <= 33 or 38 <= j <= 73
    for j in range(2, J):                                          # local +x along the bone on the left and in the middle
        if right(j):
            continue
        d = next((p[k] - p[j] for k in kids[j] if np.linalg.norm(p[k] - p[j]) > 1e-6 and not 101 <= k <= 109 and not 9 <= k <= 17), None)
        if d is None:
            G[j] = G[PARENTS[j]]
            continue
        x = d / np.linalg.norm(d)
        y = np.array([0, 0, 1.]) - x * x[2] if abs(x[2]) < .9 else np.array([1., 0, 0]) - x * x[0]
        y /= np.linalg.norm(y)
        G[j] = np.stack([x, y, np.cross(x, y)], 1)
    for j in range(J):                                             # right = diag(1,-1,-1) left: bones along -x, as in the real rig
        if right(j):
            G[j] = np.diag([1., -1, -1]) @ G[j - 16 if j < 34 else j + 36]
    off, pre = np.zeros((J, 3)), np.zeros((J, 4))
    for j in range(J):
        q = PARENTS[j]
        off[j], pre[j] = (p[j], _mat2quat(G[j])) if q < 0 else (G[q].T @ (p[j] - p[q]), _mat2quat(G[q].T @ G[j]))
    inv = np.zeros((J, 8)); inv[:, 7] = 1
    for j in range(J):
        inv[j, :3], inv[j, 3:7] = -G[j].T @ p[j], _mat2quat(G[j].T)
    return p, G, off, pre, inv


def _param_map():
    """(model parameter, joint, row 0..6, coefficient); invented, sparse like the real one"""
    rows = [(i, 1, i, 10.) for i in range(3)] + [(3 + i, 1, 3 + i, 1.) for i in range(3)]
    body = [j for j in (34, 35, 36, 37, 110, 113, 74, 75, 76, 77, 78, 38, 39, 40, 41, 42, 2, 3, 4, 5, 6, 7, 8, 18, 19, 20, 21, 22, 23, 24)]
    slots = [(j, a) for j in body for a in (0, 1, 2)]              # 90 axes for 62 + 12 slots
    for i in range(62):
        j, a = slots[(i * 7) % 90]
        rows.append((6 + i, j, 3 + a, 1. if i % 5 else -.8))
    hands = []
    for o in (43, 79):                                             # right then left, 27 each, joint by joint
        dof = [3, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 2, 3, 1, 1]
        joints = [o + k for k in (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 20)]
        hands += [(j, a) for j, n in zip(joints, dof) for a in range(n)]
    rows += [(68 + i, j, 3 + a, 1.) for i, (j, a) in enumerate(hands)]
    for i in range(8):
        j, a = slots[(62 + i) * 7 % 90]
        rows.append((122 + i, j, 3 + a, 1.))
    rows += [(130 + i, j, i % 3, 1.) for i, j in enumerate((74, 74, 74, 38, 38, 38))]          # the six translations
    for o, d, s in ((9, 4, 77), (13, 2, 75), (25, 20, 41), (29, 18, 39), (101, 77, 77), (105, 75, 75), (65, 41, 41), (69, 39, 39)):
        for i in range(4):                                         # twist joints follow a fraction of some rotation parameter
            rows.append((6 + (s * 3 + i) % 62, o + i, 3, .2 * (i + 1)))
    for i in range(68):
        j = 1 + (i * 11) % 126
        rows.append((136 + i, j, 6, 1.))
        rows.append((136 + i, 1 + (i * 29 + 5) % 126, i % 3, 2.5))
    return rows


def rig(correctives=True):
    p, G, off, pre, inv = _rest()
    t = lambda a: torch.from_numpy(np.ascontiguousarray(a))
    own = 1 + np.arange(V) % (J - 1)
    base = t(p[own]).float() + rand('rig.base_shape', (V, 3), 3.)
    par = np.array(PARENTS)
    second = np.maximum(par[own], 0); third = np.maximum(par[second], 0)
    w = rand('rig.weights', (V, 3), .15).numpy().astype(np.float64) + np.array([.7, .4, .3])
    use = np.stack([np.ones(V, bool), second != own, (np.arange(V) % 3 == 0) & (third != second)], 1)
    w = np.where(use, np.maximum(w, .02), 0); w /= w.sum(1, keepdims=True)
    vi, k = np.nonzero(use)
    m = np.zeros((J * 7, 249), np.float32)
    for c, j, r, v in _param_map():
        m[j * 7 + r, c] += v
    idx = [(o, i) for o in range(3000) for i in sorted({(o * 7 + k * 41) % 750 for k in range(18 if o < 2136 else 17)})]
    out = {'character_torch.blend_shape.base_shape': base, 'character_torch.blend_shape.shape_vectors': rand('rig.shape_vectors', (45, V, 3), .3),
           'face_expressions_model.shape_vectors': rand('rig.expression', (72, V, 3), .1),
           'character_torch.parameter_transform.parameter_transform': t(m), 'character_torch.skeleton.joint_translation_offsets': t(off).float(),
           'character_torch.skeleton.joint_prerotations': t(pre).float(), 'character_torch.skeleton.joint_parents': torch.tensor(PARENTS, dtype=torch.int32),
           'character_torch.linear_blend_skinning.inverse_bind_pose': t(inv).float(),
           'character_torch.linear_blend_skinning.vert_indices_flattened': t(vi.astype(np.int64)),
           'character_torch.linear_blend_skinning.skin_indices_flattened': t(np.stack([own, second, third], 1)[vi, k].astype(np.int32)),
           'character_torch.linear_blend_skinning.skin_weights_flattened': t(w[vi, k]).float(),
           'character_torch.mesh.faces': t((np.arange(F)[:, None] * np.array([1, 3, 7]) % V).astype(np.int32)),
           'pose_correctives_model.pose_dirs_predictor.0.sparse_indices': t(np.array(idx, np.int64).T),
           'pose_correctives_model.pose_dirs_predictor.0.sparse_weight': rand('rig.sparse_weight', (len(idx),), .5)}
    if correctives:
        out['pose_correctives_model.pose_dirs_predictor.2.weight'] = rand('rig.correctives', (V * 3, 3000), .02)
    return out


# ---------------------------------------------------------------- network
G3 = 23                                            # 6D groups in the 260 continuous body values, then 58 (sin, cos), then 6
ZERO_BODY = [1., 0, 0, 0, 1, 0] * G3 + [0., 1] * 58 + [0.] * 6
HAND_DOF = [3, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 2, 3, 1, 1]
ZERO_HAND = sum(([1., 0, 0, 0, 1, 0] if n == 3 else [0., 1] * n for n in HAND_DOF), [])
KEYJOINT = [113, 124, 122, 113, 113, 75, 39, 76, 40, 2, 18, 3, 19, 4, 20, 8, 8, 5, 24, 24, 21, 64, 63, 62, 61, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48,
            47, 46, 45, 44, 42, 100, 99, 98, 97, 95, 94, 93, 92, 91, 90, 89, 88, 87, 86, 85, 84, 83, 82, 81, 80, 78, 76, 40, 76, 40, 75, 39, 110]


def hand_rotation(m):
    """first two columns of the matrix whose ZYX angles, read as x, y, z, give m: the hand then agrees with the synthetic body's forearm"""
    a, b, c = np.arctan2(m[2, 1], m[2, 2]), np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0])), np.arctan2(m[1, 0], m[0, 0])
    R = lambda i, t: np.roll(np.roll(np.array([[1, 0, 0], [0, np.cos(t), -np.sin(t)], [0, np.sin(t), np.cos(t)]]), i, 0), i, 1)
    q = R(2, a) @ R(1, b) @ R(0, c)
    return [float(x) for x in np.concatenate([q[:, 0], q[:, 1]])]


def head_tensor(k, shape, rest):
    p, G, off, pre, inv = rest
    n = k.split('.')[1]
    key = 'head.' + n
    if n == 'joint_rotation':                      # local rest rotation of each joint
        par = np.maximum(np.array(PARENTS), 0)
        return torch.from_numpy(np.array([G[j] if PARENTS[j] < 0 else G[par[j]].T @ G[j] for j in range(J)])).float()
    if n == 'scale_mean':
        return rand(key, shape, .02)
    if n == 'scale_comps':
        t = rand(key, shape, .02); t[8, 8], t[9, 9] = .1, .12
        return t
    if n == 'faces':
        return torch.from_numpy(np.arange(F)[:, None] * np.array([1, 3, 7]) % V)
    if n == 'hand_pose_mean':
        return torch.tensor(ZERO_HAND) + rand(key, shape, .05)
    if n in ('hand_pose_comps', 'hand_pose_comps_ori'):
        return torch.eye(54) + rand(key, shape, .05)
    if n == 'hand_joint_idxs_right':
        return torch.arange(68, 95)
    if n == 'hand_joint_idxs_left':
        return torch.arange(95, 122)
    if n == 'keypoint_mapping':
        t = torch.zeros(shape)
        for i in range(308):
            t[i, V + (KEYJOINT[i] if i < 70 else 1 + i * 5 % 126)] = .7
            for a in range(3):
                t[i, (KEYJOINT[i] - 1 + 126 * (a + 1) * 7) % V if i < 70 else (i * 977 + a * 4001) % V] += .1
        t[[63, 64, 67, 68]] *= 1.9                 # far away on purpose: these four fall outside the crop
        return t
    if n == 'right_wrist_coords':
        return torch.from_numpy(p[42] / 100).float()
    if n == 'root_coords':
        return torch.from_numpy(p[1] / 100).float()
    if n == 'local_to_world_wrist':
        return torch.from_numpy(G[42].T.copy()).float()
    if n == 'nonhand_param_idxs':
        keep = set(range(6)) | set(range(68, 95)) | set(range(178, 204))
        return torch.tensor([i for i in range(204) if i not in keep])
    return None


def tensor(k, shape, rest):
    if k.startswith(('head_pose.', 'head_pose_hand.')) and not '.proj.' in k:
        return head_tensor(k, shape, rest)
    if k.endswith('bias_mask'):
        o = shape[0] // 3
        return torch.cat([torch.ones(o), torch.zeros(o), torch.ones(o)])
    if k.endswith('rope_embed.periods'):
        return (100. ** (2 * torch.arange(shape[0], dtype=torch.float64) / (2 * shape[0]))).float()
    if k.endswith('positional_encoding_gaussian_matrix'):
        return rand(k, shape, 1.)
    if k.startswith('init_pose'):
        rot = hand_rotation(rest[1][42]) if 'hand' in k else [1., 0, 0, 0, 1, 0]
        return torch.tensor(rot + ZERO_BODY + [0.] * (45 + 28 + 108 + 72))[None] + rand(k, shape, .03)
    if k == 'init_camera.weight':
        return torch.tensor([[-.95, .03, -1.0]])
    if k == 'init_camera_hand.weight':
        return torch.tensor([[-.7, .05, -.03]])
    if re.search(r'(norm\d?|norm_final|ln\d(_\d)?|ln_pe_\d|mask_downscaling\.(1|4|7|10))\.weight$', k):
        return 1 + rand(k, shape, .1)
    if re.search(r'(norm\d?|norm_final|ln\d(_\d)?|ln_pe_\d|mask_downscaling\.(1|4|7|10))\.bias$', k):
        return rand(k, shape, .1)
    if k.endswith('gamma'):
        return .25 + rand(k, shape, .05)
    if re.search(r'(cls_token|storage_tokens|mask_token|pos_embed)$', k):
        return rand(k, shape, .5)
    if re.search(r'(embed|embedding|embeddings\.\d+)\.weight$', k):      # nn.Embedding rows
        return rand(k, shape, .5)
    if k == 'bbox_embed.layers.2.weight':           # salt chosen so that the two hand boxes fall near the wrists of the synthetic body
        return rand(k + '.14888', shape, 2.5 / 32)
    if k == 'bbox_embed.layers.2.bias':
        return torch.tensor([0., 0., -1., -1.])
    if k.endswith('bias'):
        return rand(k, shape, .05)
    if re.search(r'head_pose(_hand)?\.proj\.layers\.1\.weight$', k):
        return rand(k, shape, (.05 if 'hand' in k else .12) / fan_in(shape) ** .5)
    if re.search(r'head_camera(_hand)?\.proj\.layers\.1\.weight$', k):
        return rand(k, shape, (.03 if 'hand' in k else .08) / fan_in(shape) ** .5)
    gain = 1.6 if re.search(r'(attn\.qkv|q_proj|k_proj)\.weight$', k) else 1.
    return rand(k, shape, gain / fan_in(shape) ** .5)


def network(rows, backbone_dtype='float32'):
    rest, out = _rest(), {}
    for k, shape, dt in rows:
        t = tensor(k, shape, rest)
        assert t is not None and list(t.shape) == list(shape), (k, None if t is None else t.shape, shape)
        out[k] = t.to(DT[dt])
    return out


def fingerprint(sd):
    c = 0
    for k in sorted(sd):
        c = zlib.crc32(k.encode() + sd[k].reshape(-1)[:64].float().contiguous().numpy().tobytes(), c)
    return c


if __name__ == '__main__':
    sd = network(load(sys.argv[1]))
    torch.save(sd, sys.argv[2])
