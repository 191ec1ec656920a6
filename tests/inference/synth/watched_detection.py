"""Finds people with a YOLO file while every connection fails, and every write outside of a folder is counted.

CLI: python watched_detection.py DETECTOR REFERENCE TEMPORARY
"""
import os, socket, sys, warnings
from pathlib import Path

import cv2
import PIL.Image
import numpy as np
import torch

from maquette.inference import Photo, runtime
from maquette.inference.people.hmr2 import yolo
from maquette.inference.people.hmr2.find import Thresholds

detector, reference, temporary = sys.argv[1:]
NETWORK = ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.gethostbyaddr', 'socket.getnameinfo', 'socket.sendto',
           'socket.sendmsg', 'socket.bind', 'urllib.Request', 'http.client.connect', 'ftplib.connect')
PROGRAMS = ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'os.startfile')
CHANGES = ('os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.link', 'os.symlink', 'os.truncate', 'os.chmod', 'os.utime', 'shutil.move')
events = []


def inside(path):
    return isinstance(path, (str, bytes, os.PathLike)) and os.path.realpath(os.fsdecode(path)).startswith(os.path.realpath(temporary) + os.sep)


def watch(event, arguments):
    if event in NETWORK or event in PROGRAMS:
        events.append((event, arguments))
        if event in NETWORK:
            raise OSError('there is no network here')
    elif event == 'open' and arguments[0] != os.devnull and not isinstance(arguments[0], int):
        writes = any(letter in str(arguments[1]) for letter in 'wax+') or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not inside(arguments[0]):
            events.append((event, arguments))
    elif event in CHANGES and not any(map(inside, arguments)) and not (event in ('os.remove', 'os.rmdir') and arguments[1] != -1):
        events.append((event, arguments))


def no_network(*_arguments, **_named):
    events.append(('socket', _arguments))
    raise OSError('there is no network here')


for name in ('connect', 'connect_ex', 'sendto'):
    setattr(socket.socket, name, no_network)
for name in ('getaddrinfo', 'gethostbyname', 'gethostbyname_ex', 'create_connection'):
    setattr(socket, name, no_network)


def process():
    options = {name: str(value) for name, value in np.get_printoptions().items()}
    return (dict(os.environ), options, vars(torch._tensor_str.PRINT_OPTS).copy(), cv2.getNumThreads(), torch.get_num_threads(), torch.save, PIL.Image.open,
            torch.load, cv2.imread, cv2.imwrite, cv2.imshow, list(warnings.filters), sys.excepthook, os.getcwd())


run = runtime.start('cpu')
with np.load(reference) as content:
    photo = Photo(content['picture'])
before = process()
sys.addaudithook(watch)
(people,) = yolo.yolo_finder(Path(detector), run, Thresholds())([photo], run)
assert sum(one.mask(240, 320).max() > 0 for one in people) > 5
assert process() == before, [pair for pair in zip(before, process()) if pair[0] != pair[1]]
assert 'ultralytics' in sys.modules and not any(name.startswith(('ultralytics.hub', 'ultralytics.engine')) for name in sys.modules)
utils = sys.modules['ultralytics.utils']
assert not utils.ONLINE and not utils.AUTOINSTALL and utils.SAFE_LOAD and not utils.SETTINGS['sync']
assert not events, events
print(len(people), 'people, nothing else')
