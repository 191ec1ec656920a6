# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from disk: told by their content, whatever they are called; nothing hostile is run or written."""

import bz2
import dataclasses
import errno
import gzip
import hashlib
import io
import lzma
import os
import pickle
import shutil
import sys
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from maquette.installer.models import catalogue, importing, library, model_files, sniff, store
from maquette.installer.net import errors

sys.path.insert(0, str(Path(__file__).parent))
from test_library import safetensors

torch = pytest.importorskip("torch")
sparse = pytest.importorskip("scipy.sparse")

SMALL = "metric3d/metric_depth_vit_small_800k.pth"
LARGE = "metric3d/metric_depth_vit_large_800k.pth"
GRAPHORMER = "meshgraphormer/graphormer_hand_state_dict.bin"
MANO, SMPL = "mano/MANO_RIGHT.pkl", "smpl/SMPL_NEUTRAL.pkl"
DEPTH_ANYTHING = "depth-anything-v2-small-hf/model.safetensors"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "models"
    monkeypatch.setenv("MAQUETTE_MODELS", str(root))
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    return root


def quiet(_fraction: float, _line: str) -> None:
    pass


def take(source: Path, **options) -> importing.ImportResult:
    return importing.import_from(source, quiet, **options)


def paths(outcome: importing.ImportResult) -> list[str]:
    return [entry.file.path for entry in outcome.taken]


def metric3d(path: Path, width: int, **options) -> Path:
    """The part of Metric3D's checkpoint that tells its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"depth_model.encoder.cls_token": torch.zeros(1, 1, width), "depth_model.other": torch.zeros(3)}
    torch.save({"model_state_dict": names}, path, **options)
    return path


def mano(path: Path, old: bool = False, vertices: int = 778) -> Path:
    """A body model in MANO's form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "v_template": np.zeros((vertices, 3)),
        "J_regressor": sparse.csc_matrix(np.eye(16, vertices)),
        "hands_mean": np.zeros(45),
        "f": np.zeros((9, 3), np.uint32),
    }
    path.write_bytes(pickle.dumps(content, protocol=2 if old else 4))
    return path


def smpl(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"v_template": np.zeros((6890, 3)), "weights": np.zeros((6890, 24)), "J_regressor": np.zeros((24, 2))}
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


class TestRecognised:
    @pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
    def test_a_checkpoint_under_any_name(self, root, tmp_path, options) -> None:
        outcome = take(metric3d(tmp_path / "downloads" / "weights (1).bin", 384, **options))
        assert paths(outcome) == [SMALL] and (root / SMALL).is_file()
        file = outcome.taken[0].file
        assert model_files.verify(file, quiet).state == model_files.RIGHT
        assert store.file_state(file) == store.PRESENT

    def test_the_size_of_a_network_is_told_by_its_tensors(self, root, tmp_path) -> None:
        """The wrong one of the sizes, under the name of another."""
        outcome = take(metric3d(tmp_path / "metric_depth_vit_small_800k.pth", 1024))
        assert paths(outcome) == [LARGE]

    @pytest.mark.parametrize("old", [False, True])
    def test_a_hand(self, root, tmp_path, old) -> None:
        assert paths(take(mano(tmp_path / "MANO_RIGHT.pkl", old=old))) == [MANO]

    def test_the_left_hand_is_not_taken_for_the_right(self, root, tmp_path) -> None:
        """By its name, under which both are handed out together; what is in it is looked at when it is loaded."""
        with pytest.raises(errors.WrongFile, match="not a file of a known model"):
            take(mano(tmp_path / "mano" / "MANO_LEFT.pkl"))
        assert not (root / MANO).exists()
        mano(tmp_path / "mano" / "MANO_RIGHT.pkl")
        assert paths(take(tmp_path / "mano")) == [MANO]

    def test_a_hand_with_other_vertices_is_no_hand(self, tmp_path) -> None:
        with pytest.raises(errors.WrongFile):
            take(mano(tmp_path / "MANO_RIGHT.pkl", vertices=700))

    @pytest.mark.parametrize("name", ["SMPL_NEUTRAL.pkl", "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", "body.pkl"])
    def test_a_body(self, tmp_path, name) -> None:
        assert paths(take(smpl(tmp_path / name))) == [SMPL]

    @pytest.mark.parametrize("name", ["basicmodel_f_lbs_10_207_0_v1.1.0.pkl", "SMPL_MALE.pkl"])
    def test_a_body_of_another_sex(self, tmp_path, name) -> None:
        with pytest.raises(errors.WrongFile):
            take(smpl(tmp_path / name))

    def test_networks_that_look_alike_are_told_by_their_folder(self, root, tmp_path) -> None:
        tensors = {"backbone.embeddings.cls_token": (1, 1, 384), "neck.fusion_stage.layers.0.projection.weight": (2, 2)}
        loose = tmp_path / "model.safetensors"
        loose.write_bytes(safetensors(1, **tensors))
        with pytest.raises(errors.WrongFile, match="could be any of: depth-anything-v2-small-hf"):
            take(loose)
        assert paths(take(loose, path=DEPTH_ANYTHING)) == [DEPTH_ANYTHING]
        cached = "models--depth-anything--Depth-Anything-V2-Metric-Outdoor-Small-hf/snapshots/1"
        folders = ("Depth-Anything-V2-Metric-Indoor-Small-hf", cached)
        for number, folder in enumerate(folders):
            cloned = tmp_path / folder / "model.safetensors"
            cloned.parent.mkdir(parents=True)
            cloned.write_bytes(safetensors(2 + number, **tensors))
            room = ("indoor", "outdoor")[number]
            assert paths(take(cloned.parent)) == [f"depth-anything-v2-metric-{room}-small-hf/model.safetensors"]

    def test_a_file_whose_hash_is_published_is_told_by_it(self, root, tmp_path, monkeypatch) -> None:
        content = safetensors(1, a=(2, 3))
        file = catalogue.File("x/a.safetensors", "MIT", "https://example.org", "https://example.org/a", len(content))
        file = dataclasses.replace(file, sha256=hashlib.sha256(content).hexdigest(), holds=("a 2x3",))
        monkeypatch.setattr(catalogue, "_content", lambda: ((), (file,)))
        (tmp_path / "b").write_bytes(content)
        (tmp_path / "c").write_bytes(safetensors(2, a=(2, 3)))
        with pytest.raises(errors.WrongFile):
            take(tmp_path / "c")
        assert paths(take(tmp_path / "b")) == ["x/a.safetensors"]


class TestFolders:
    def test_everything_in_it_and_nothing_else(self, root, tmp_path) -> None:
        downloads = tmp_path / "Téléchargements 下载"
        metric3d(downloads / "a" / "x.pth", 384)
        mano(downloads / "b" / "y")
        (downloads / "notes.txt").write_text("(notes)")
        (downloads / "photo.jpg").write_bytes(b"\xff\xd8" * 100)
        torch.save({"something": torch.zeros(2)}, downloads / "else.pt")
        (downloads / "page.pth").write_bytes(b"<!DOCTYPE html><html>")
        (downloads / ".hidden.pth").write_bytes(b"")
        outcome = take(downloads)
        assert sorted(paths(outcome)) == [MANO, SMALL]
        assert sorted(Path(refusal.source).name for refusal in outcome.refused) == ["else.pt", "page.pth"]
        assert (downloads / "a" / "x.pth").exists(), "the user's own stays"
        retry = take(downloads)
        assert not retry.taken and len(retry.known) == 2

    def test_a_whole_library_of_another_computer(self, root, tmp_path) -> None:
        """Also what was converted there, whose published file is gone."""
        other = tmp_path / "other"
        plain = other / SMALL.replace(".pth", ".safetensors")
        plain.parent.mkdir(parents=True)
        plain.write_bytes(safetensors(1, {"maquette": "2 1 0"}, a=(2,)))
        take(other)
        assert store.is_installed(library.by_id("metric3d-vit-small"))

    def test_nothing_known(self, tmp_path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(errors.WrongFile, match=r"Nothing in .*empty"):
            take(tmp_path / "empty")
        with pytest.raises(errors.WrongFile, match="There is no"):
            take(tmp_path / "nowhere")

    def test_too_many_files(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(importing, "MOST", 3)
        for number in range(5):
            (tmp_path / f"{number}.txt").write_text("a")
        with pytest.raises(errors.WrongFile, match="more than 3 files"):
            take(tmp_path)

    def test_another_file_of_the_name_is_not_overwritten(self, root, tmp_path) -> None:
        take(metric3d(tmp_path / "a.pth", 384))
        kept = (root / SMALL).read_bytes()
        other = tmp_path / "b.pth"
        torch.save({"model_state_dict": {"depth_model.encoder.cls_token": torch.ones(1, 1, 384)}}, other)
        with pytest.raises(errors.WrongFile, match="delete that one first"):
            take(other)
        assert (root / SMALL).read_bytes() == kept
        assert paths(take(other, replace=True)) == [SMALL] and (root / SMALL).read_bytes() == other.read_bytes()


class TestArchives:
    @pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
    def test_what_an_owner_hands_out(self, root, tmp_path, kind) -> None:
        """Only what is wanted is unpacked, wherever in the archive it lies."""
        folder = tmp_path / "mano_v1_2"
        mano(folder / "models" / "MANO_RIGHT.pkl")
        mano(folder / "models" / "MANO_LEFT.pkl")
        (folder / "models" / "info.txt").write_text("licence")
        archive = tmp_path / f"mano_v1_2.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(archive, "w") as opened:
                for path in folder.rglob("*"):
                    opened.write(path, path.relative_to(tmp_path))
        else:
            with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as opened:
                opened.add(folder, "mano_v1_2")
        outcome = take(archive)
        assert paths(outcome) == [MANO] and [Path(refusal.source).name for refusal in outcome.refused] == [
            "MANO_LEFT.pkl)"
        ]
        assert (root / MANO).read_bytes() == (folder / "models" / "MANO_RIGHT.pkl").read_bytes()
        assert not (root / ".importing").exists()

    def test_a_hostile_archive_writes_nothing_outside(self, root, tmp_path) -> None:
        archive = tmp_path / "evil.zip"
        content = mano(tmp_path / "m.pkl").read_bytes()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("../../../escaped.pkl", content)
            opened.writestr("/absolute.pkl", b"not a pickle")
        assert paths(take(archive)) == [MANO]
        tape = tmp_path / "evil.tar"
        with tarfile.open(tape, "w") as opened:
            for name, kind in (("link.pkl", tarfile.SYMTYPE), ("device.pkl", tarfile.CHRTYPE)):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "/etc/passwd"
                opened.addfile(member)
        with pytest.raises(errors.WrongFile, match="Nothing"):
            take(tape)
        here = {path.name for path in tmp_path.rglob("*")}
        assert "escaped.pkl" not in here and "absolute.pkl" not in here and "link.pkl" not in here

    def test_a_bomb_is_not_unpacked(self, root, tmp_path, monkeypatch) -> None:
        archive = tmp_path / "bomb.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("big.pkl", bytes(20 << 20))
        monkeypatch.setattr(model_files, "SPARE", shutil.disk_usage(tmp_path).free - (10 << 20))
        with pytest.raises(errors.DiskFull):
            take(archive)
        assert not list(root.rglob("*.part"))

    @pytest.mark.parametrize("damage", ["cut", "locked", "no archive"])
    def test_a_damaged_archive(self, tmp_path, damage) -> None:
        archive = tmp_path / "mano.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("MANO_RIGHT.pkl", mano(tmp_path / "m").read_bytes())
        content = bytearray(archive.read_bytes())
        if damage == "cut":
            content = content[: len(content) // 2]
        elif damage == "locked":
            with zipfile.ZipFile(archive) as opened:
                entry = opened.infolist()[0]
            content[6] |= 1  # the flags that say a password is needed
            directory = content.rindex(b"PK\x01\x02")
            content[directory + 8] |= 1
            assert entry.flag_bits == 0
        else:
            content = bytearray(b"PK\x03\x04 and nothing")
        archive.write_bytes(content)
        with pytest.raises(errors.WrongFile):
            take(archive)

    @pytest.mark.parametrize("kind", ["zip deflated", "zip bzip2", "zip lzma", "tar.gz", "tar.xz", "tar.bz2"])
    @pytest.mark.parametrize("end", [False, True])
    def test_a_damaged_archive_gives_no_model(self, root, tmp_path, kind, end) -> None:
        """Bytes in the middle have changed, or the end with the checksums is cut off."""
        body = mano(tmp_path / "m")
        archive = tmp_path / f"mano.{kind.partition(' ')[0]}"
        if kind.startswith("zip"):
            how = {"deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
            with zipfile.ZipFile(archive, "w", how[kind[4:]]) as opened:
                opened.write(body, "models/MANO_RIGHT.pkl")
        else:
            how = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}[kind[4:]]
            with how(archive, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as opened:
                opened.add(body, "models/MANO_RIGHT.pkl")
        content = bytearray(archive.read_bytes())
        middle = len(content) // 2
        content = content[:-7] if end else content[:middle] + bytes(20) + content[middle + 20 :]
        archive.write_bytes(content)
        if end and kind in ("tar.xz", "tar.bz2"):  # their blocks have checksums of their own: what has come is right
            with suppress(errors.WrongFile):
                take(archive)
            return
        with pytest.raises(errors.WrongFile, match=r"mano.\S+ cannot be taken: the archive is damaged"):
            take(archive)
        assert not (root / MANO).exists() and not (root / ".importing").exists()


class Calls:
    """A pickle that calls what it is told to."""

    def __init__(self, function, *arguments) -> None:
        self.called = function, arguments

    def __reduce__(self):
        return self.called


class TestHostile:
    @pytest.mark.parametrize("function", [os.system, eval, os.mkdir, shutil.rmtree])
    @pytest.mark.parametrize("form", ["pickle", "torch", "old torch"])
    def test_nothing_of_a_pickle_is_run(self, root, tmp_path, monkeypatch, function, form) -> None:
        monkeypatch.chdir(tmp_path)
        argument = {os.system: "touch ran", eval: "open('ran', 'w')"}.get(function, "ran")
        content = {
            "model_state_dict": {"depth_model.encoder.cls_token": torch.zeros(1, 1, 384)},
            "v_template": np.zeros((6890, 3)),
            "weights": np.zeros((6890, 24)),
            "J_regressor": Calls(function, argument),
        }
        path = tmp_path / "SMPL_NEUTRAL.pkl"
        if form == "pickle":
            path.write_bytes(pickle.dumps(content, protocol=2))
        else:
            torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
        (tmp_path / "kept").mkdir()
        with pytest.raises(errors.WrongFile, match="nothing of it was run"):
            take(path)
        assert not (tmp_path / "ran").exists() and (tmp_path / "kept").exists() and not (root / SMPL).exists()

    def test_few_bytes_do_not_ask_for_much_memory(self) -> None:
        """Python's reader in C makes room for the memo that a pickle names: 32 GB for these bytes."""
        greedy = b"\x80\x02Nr\xff\xff\xff\xff."
        assert sniff._Reader(io.BytesIO(greedy)).load() is None

    @pytest.mark.parametrize(
        "content",
        [
            b"\x80\x04" + b"(" * 10_000,
            b"\x80\x02]q\x00h\x00a.",  # a list in itself
            b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",  # a dictionary in itself
            b"\x80\x08\xff\xff",
            b"PK\x03\x04" + b"\0" * 200,
            b"\xff\xff\xff\xff\xff\xff\xff\x7f{",
            b"\x20\0\0\0\0\0\0\0{" + b"a" * 31,
            b"{" * 5000,
            b"(lp0\nI1\naI2\na.",
        ],
    )
    def test_damage_is_no_accident(self, tmp_path, content) -> None:
        path = tmp_path / "model.pkl"
        path.write_bytes(content)
        sniff.look(path)
        with pytest.raises(errors.WrongFile):
            take(path)


class TestDisk:
    def test_a_disk_that_fills_up_leaves_nothing(self, root, tmp_path, monkeypatch) -> None:
        def full(_file: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        source = metric3d(tmp_path / "a.pth", 384)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(errors.DiskFull):
            take(source)
        monkeypatch.undo()
        assert not [path for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts]

    def test_stopped_on_the_way(self, root, tmp_path) -> None:
        def stop(_fraction: float, line: str) -> None:
            if line.startswith("Copying"):
                raise errors.Stopped

        with pytest.raises(errors.Stopped):
            importing.import_from(metric3d(tmp_path / "a.pth", 384), stop)
        assert not (root / SMALL).exists() and not list(root.rglob("*.part"))

    def test_a_file_that_cannot_be_read_does_not_stop_a_folder(self, root, tmp_path, monkeypatch) -> None:
        metric3d(tmp_path / "from" / "a.pth", 384)
        (tmp_path / "from" / "b.pth").write_bytes(b"x")
        look = sniff.look

        def failing(path: Path) -> sniff.Contents:
            if path.name == "b.pth":
                raise PermissionError(errno.EACCES, "Permission denied")
            return look(path)

        monkeypatch.setattr(sniff, "look", failing)
        outcome = take(tmp_path / "from")
        assert paths(outcome) == [SMALL] and "cannot be read" in outcome.refused[0].why


def test_a_licence_that_is_to_stay_with_a_file_comes_along(tmp_path, root):
    folder = tmp_path / "download"
    folder.mkdir()
    tensors = {"head_pose.proj.layers.1.weight": torch.zeros(519, 1024)}
    torch.save({**tensors, "backbone.encoder.rope_embed.periods": torch.zeros(16)}, folder / "weights.ckpt")
    (folder / "LICENSE").write_text("the text")
    (folder / "README.md").write_text("not a licence")
    assert paths(take(folder)) == ["sam-3d-body/dinov3/model.ckpt"]
    assert (root / "sam-3d-body" / "dinov3" / "LICENSE").read_text() == "the text"
    assert not (root / "sam-3d-body" / "dinov3" / "README.md").exists()
    model = next(one for one in catalogue.models("people") if one.id == "sam3d-body")
    assert any("dinov3" in page for page in model.licence_pages) and any(
        "sam-3d" in page for page in model.licence_pages
    )


WHOLE = """
[[model]]
id = "{0}"
task = "detailer"
label = "{0}"
code = "detailer.{0}"
licence = "MIT"
commercial = true
gated = false
memory_mb = 1
folder = "detailer/{0}"
[[folder]]
path = "detailer/{0}"
url = "https://example.org/{1}/resolve/main"
page = "https://example.org/{1}"
licence = "MIT"
files = ["words/template.jinja", "vae/config.json", "vae/weights.safetensors {2} {3}", "model_index.json"]
"""


def test_folders_are_taken_whole_by_what_they_are_called(tmp_path, root, monkeypatch) -> None:
    weights = safetensors(0, a=(3,))
    known = len(weights), hashlib.sha256(weights).hexdigest()
    entries = [WHOLE.format(name, page, *known) for name, page in (("small", "Org-Small"), ("other", "Org-Other"))]
    models, files = catalogue.read("".join(entries))
    monkeypatch.setattr(catalogue, "files", lambda: files)
    monkeypatch.setattr(catalogue, "models", lambda task=None: models)
    for folder in ("Org-Small", "models--x--Org-Other/snapshots/1", "stranger"):
        place = tmp_path / "from" / folder
        for name, text in (
            ("words/template.jinja", "{% if a %}"),
            ("vae/config.json", "{}"),
            ("model_index.json", "{}"),
        ):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        (place / "vae" / "weights.safetensors").write_bytes(weights)
    outcome = take(tmp_path / "from")
    assert sorted(paths(outcome)) == sorted(file.path for file in files)
    assert not outcome.refused or all("stranger" in refusal.source for refusal in outcome.refused)
    assert all(library.overview(model).state == library.INSTALLED for model in models)
    assert all(model_files.verify(file, quiet).state != model_files.WRONG for file in files)
    model_files.delete(models[0], quiet)
    assert not (root / "detailer" / "small").exists() and (root / "detailer" / "other").exists()
    with pytest.raises(ValueError, match="folder"):
        catalogue.read(entries[0].replace('path = "detailer/small"', 'path = "detailer/gone"'))
