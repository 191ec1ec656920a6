"""Detectors with random weights, written by ultralytics itself, and what ultralytics makes of a picture with them.

Runs offline, with settings in a folder of its own.  CLI: python make_yolo.py OUTDIR
"""
import os, sys
from pathlib import Path

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
os.environ.update(YOLO_OFFLINE='1', YOLO_AUTOINSTALL='0', YOLO_CONFIG_DIR=str(out / 'settings'), YOLO_VERBOSE='0')
import numpy as np
import torch

torch.set_num_threads(1)
from ultralytics import YOLO, settings
from ultralytics.data.augment import LetterBox
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes

settings.update({'sync': False})
SIZES = [(480, 640), (333, 500), (641, 321), (90, 1200), (1080, 810)]


def shake(model):
    """statistics of the normalisations, and a head that finds some people"""
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, .1)
            part.running_var.uniform_(.5, 1.5)
            part.weight.data.uniform_(.8, 1.2)
            part.bias.data.normal_(0, .1)
    for head in model.model[-1].cv3:
        head[-1].weight.data.mul_(60)
        head[-1].weight.data[1:] = 0
        head[-1].bias.data.fill_(-8.)
        head[-1].bias.data[0] = 0


def find_few(model, boxed):
    """a threshold of 0.25 that about 40 places exceed"""
    with torch.no_grad():
        raw = model.eval()(torch.from_numpy(boxed.copy())[None].permute(0, 3, 1, 2).float() / 255)[0]
    scores = (raw[0] if isinstance(raw, (tuple, list)) else raw)[0, 4].double().logit().clamp(-1e3, 1e3)
    for head in model.model[-1].cv3:
        head[-1].bias.data[0] = -float(scores.sort()[0][-40]) - 1.1


picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
picture[60:200, 100:180] //= 3
result = {'picture': picture, 'sizes': np.array(SIZES)}
for kind in ('yolov8n-seg', 'yolov9t', 'yolo11n', 'yolo12n', 'yolo26n-seg'):
    torch.manual_seed(0)
    made = YOLO(kind + '.yaml')
    shake(made.model)
    boxed = LetterBox((640, 640), auto=True, stride=32)(image=picture)
    find_few(made.model, boxed)
    made.save(out / f'{kind}.pt')
    model = YOLO(out / f'{kind}.pt').model.float().eval()
    with torch.no_grad():
        raw = model(torch.from_numpy(boxed.copy())[None].permute(0, 3, 1, 2).float() / 255)[0]
    if isinstance(raw, (tuple, list)):
        raw, prototypes = raw
        result[f'{kind}_prototypes'] = prototypes[0].numpy()
    raw = raw.float()
    found = non_max_suppression(raw.clone(), .25, .7, classes=[0], nc=80)[0]
    scale_boxes(boxed.shape[:2], found[:, :4], picture.shape[:2])
    result |= {f'{kind}_raw': raw[0].T.numpy(), f'{kind}_found': found[:, :5].numpy()}
# The same detector, saved after its normalisations were folded into its convolutions.
torch.save({'model': YOLO(out / 'yolo11n.pt').model.float().eval().fuse(verbose=False)}, out / 'folded.pt')
result['folded_raw'] = result['yolo11n_raw']
for number, (height, width) in enumerate(SIZES):
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    boxed = LetterBox((640, 640), auto=True, stride=32)(image=image)
    corners = torch.tensor([[100., 50., 300., 200.], [-20., -20., 700., 700.]])
    result |= {f'letterbox_{number}': boxed, f'corners_{number}': scale_boxes(boxed.shape[:2], corners, (height, width)).numpy()}
np.savez(out / 'reference.npz', **result)
YOLO('yolov8n-obb.yaml').save(out / 'unknown.pt')
