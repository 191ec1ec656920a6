"""A small HMR 2.0 checkpoint as a training program writes it, with the made-up body files beside it.

The network has the published names and layers, fewer and narrower ones. Around its tensors lie what the published file
has beside them: other parts of the training, and settings of a class that is not installed.
CLI: python small_hmr2.py ROOT
"""
import shutil, sys, types
from pathlib import Path

import torch

from synth_body import write
from synth_weights import hmr2

WIDTH, DEPTH, HEADS, TOKEN, LAYERS, HEAD = 64, 2, 4, 48, 2, 8


def rows():
    inner = 8 * HEAD
    shapes = {'backbone.pos_embed': [1, 193, WIDTH], 'backbone.patch_embed.proj.weight': [WIDTH, 3, 16, 16],
              'backbone.patch_embed.proj.bias': [WIDTH], 'backbone.last_norm.weight': [WIDTH], 'backbone.last_norm.bias': [WIDTH]}
    for i in range(DEPTH):
        b = f'backbone.blocks.{i}.'
        for n, s in (('attn.qkv', [3 * WIDTH, WIDTH]), ('attn.proj', [WIDTH, WIDTH]), ('mlp.fc1', [4 * WIDTH, WIDTH]),
                     ('mlp.fc2', [WIDTH, 4 * WIDTH])):
            shapes[f'{b}{n}.weight'], shapes[f'{b}{n}.bias'] = s, s[:1]
        for n in ('norm1', 'norm2'):
            shapes[f'{b}{n}.weight'], shapes[f'{b}{n}.bias'] = [WIDTH], [WIDTH]
    h = 'smpl_head.'
    shapes |= {h + 'init_body_pose': [1, 144], h + 'init_betas': [1, 10], h + 'init_cam': [1, 3]}
    t = h + 'transformer.'
    shapes |= {t + 'pos_embedding': [1, 1, TOKEN], t + 'to_token_embedding.weight': [TOKEN, 1], t + 'to_token_embedding.bias': [TOKEN]}
    for i in range(LAYERS):
        l = f'{t}transformer.layers.{i}.'
        for j in range(3):
            shapes[f'{l}{j}.norm.weight'], shapes[f'{l}{j}.norm.bias'] = [TOKEN], [TOKEN]
        shapes |= {l + '0.fn.to_qkv.weight': [3 * inner, TOKEN], l + '1.fn.to_kv.weight': [2 * inner, WIDTH],
                   l + '1.fn.to_q.weight': [inner, TOKEN]}
        for j in range(2):
            shapes |= {f'{l}{j}.fn.to_out.0.weight': [TOKEN, inner], f'{l}{j}.fn.to_out.0.bias': [TOKEN]}
        for j in (0, 3):
            shapes |= {f'{l}2.fn.net.{j}.weight': [TOKEN, TOKEN], f'{l}2.fn.net.{j}.bias': [TOKEN]}
    for n, k in (('decpose', 144), ('decshape', 10), ('deccam', 3)):
        shapes |= {f'{h}{n}.weight': [k, TOKEN], f'{h}{n}.bias': [k]}
    return [[name, shape, 'float32'] for name, shape in shapes.items()]


def make(root):
    root = Path(root)
    for folder in ('hmr2', 'smpl'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    body = root / 'body'
    write(str(body))
    shutil.move(body / 'SMPL_NEUTRAL.pkl', root / 'smpl' / 'SMPL_NEUTRAL.pkl')
    shutil.move(body / 'SMPL_to_J19.pkl', root / 'hmr2' / 'SMPL_to_J19.pkl')
    shutil.rmtree(body)
    state = hmr2(rows())
    state |= {'discriminator.D_conv1.weight': torch.ones(32, 9, 1, 1), 'smpl.v_template': torch.ones(6890, 3), 'initialized': torch.tensor(True)}
    library = types.ModuleType('yacs.config')
    library.CfgNode = type('CfgNode', (dict,), {'__module__': 'yacs.config'})
    sys.modules['yacs'], sys.modules['yacs.config'] = types.ModuleType('yacs'), library
    torch.save({'epoch': 35, 'global_step': 1000000, 'pytorch-lightning_version': '1.8.1', 'state_dict': state,
                'hyper_parameters': {'cfg': library.CfgNode(MODEL=library.CfgNode(SIZE=256))}},
               root / 'hmr2' / 'epoch=35-step=1000000.ckpt')


if __name__ == '__main__':
    make(sys.argv[1])
