# SPDX-License-Identifier: GPL-3.0-or-later
"""The library: what is here and why something is missing, installing from a server, checking, repairing, deleting."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from maquette.installer.models import addresses, catalogue, library, licences, model_files, store
from maquette.installer.net import errors
from maquette.installer.net.download import RetryPolicy
from maquette.installer.net.http import Network
from maquette.installer.net.partial_file import Partial, part_of, record_of
from maquette.installer.shared.disk import fingerprint

sys.path.insert(0, str(Path(__file__).parent))
import faulty_server as faults

QUICK = RetryPolicy(tries=4, pause=0.01, longest=0.05, stall=5)


def safetensors(seed: int, metadata: dict | None = None, **shapes: tuple[int, ...]) -> bytes:
    """A real file of that format, with tensors of float32."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    block = hashlib.sha256(str(seed).encode()).digest()
    return struct.pack("<Q", len(text)) + text + (block * (end // 32 + 1))[:end]


FREE, SECOND = safetensors(1, encoder=(300, 200)), safetensors(2, encoder=(100, 50))
RESEARCH = safetensors(3, decoder=(200, 100))
CATALOGUE = """
[[model]]
id = "ships"
task = "depth"
label = "Ships"
code = "a"
licence = "CC0"
commercial = true
gated = false
memory_mb = 0

[[model]]
id = "free"
task = "depth"
label = "Free"
code = "a"
licence = "MIT"
commercial = true
gated = false
memory_mb = 1
files = ["free/one.safetensors", "free/two.safetensors"]

[[model]]
id = "free"
task = "normals"
label = "Free too"
code = "a"
licence = "MIT"
commercial = true
gated = false
memory_mb = 1
files = ["free/one.safetensors", "free/two.safetensors"]

[[model]]
id = "research"
task = "hands"
label = "Research"
code = "a"
licence = "Non-commercial"
commercial = false
gated = true
memory_mb = 1
files = ["research/net.safetensors", "free/two.safetensors", "owner/BODY.pkl"]

[[model]]
id = "more"
task = "people"
label = "More"
code = "a"
licence = "MIT"
commercial = true
gated = false
memory_mb = 1
files = ["more/three.safetensors"]
optional = ["more/four.safetensors"]

[[file]]
path = "more/three.safetensors"
url = "{url}/three"
page = "https://example.org/more"
about_mb = 1
licence = "MIT"

[[file]]
path = "more/four.safetensors"
url = "{url}/four"
page = "https://example.org/more"
about_mb = 1
licence = "MIT"

[[file]]
path = "free/one.safetensors"
url = "{url}/free/resolve/main/one.safetensors"
page = "https://example.org/free"
bytes = {free}
sha256 = "{sha}"
licence = "MIT"

[[file]]
path = "free/two.safetensors"
url = "{url}/free/resolve/main/two.safetensors"
page = "https://example.org/free"
about_mb = 1
holds = ["encoder 100x50"]
licence = "MIT"

[[file]]
path = "research/net.safetensors"
url = "{url}/net.safetensors"
page = "https://example.org/research"
about_mb = 1
licence = "Non-commercial"

[[file]]
path = "owner/BODY.pkl"
page = "https://example.org/register"
about_mb = 1
gated = true
licence = "Owner's"
"""


@pytest.fixture
def server():
    server = faults.Server(ETag='"v1"')
    server.put("/free/resolve/main/one.safetensors", FREE)
    server.put("/free/resolve/main/two.safetensors", SECOND)
    server.put("/net.safetensors", RESEARCH)
    server.put("/three", SECOND)
    server.put("/four", RESEARCH)
    yield server
    server.close()


@pytest.fixture
def root(tmp_path, monkeypatch, server):
    """An empty library of the models above, and user data of its own."""
    root = tmp_path / "models"
    monkeypatch.setenv("MAQUETTE_MODELS", str(root))
    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    for variable in ("HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    text = CATALOGUE.format(url=server.url, free=len(FREE), sha=hashlib.sha256(FREE).hexdigest())
    (tmp_path / "catalogue.toml").write_text(text)
    content = catalogue.read(text)
    monkeypatch.setattr(catalogue, "_content", lambda: content)
    return root


def quiet(_fraction: float, _line: str) -> None:
    pass


def install(name: str, report=quiet) -> list[Path]:
    return model_files.install(library.by_id(name), report, Network(), QUICK)


def state(name: str) -> str:
    return library.overview(library.by_id(name)).state


def test_from_nothing_to_installed(root) -> None:
    assert state("ships") == library.SHIPS and state("free") == library.NOT_INSTALLED
    overview = library.overview(library.by_id("free"))
    assert "two.safetensors (about 1 MB) is not downloaded" in overview.why
    assert overview.download_bytes == len(FREE) + 1_000_000
    assert install("free") == [root / "free/one.safetensors", root / "free/two.safetensors"]
    assert (root / "free/one.safetensors").read_bytes() == FREE
    assert state("free") == library.INSTALLED and not library.overview(library.by_id("free")).why
    assert install("free") == []


def test_optional_files_come_on_request(root) -> None:
    install("more")
    overview = library.overview(library.by_id("more"))
    assert overview.state == library.INSTALLED and [file.name for file in overview.to_add] == ["four.safetensors"]
    added = model_files.install(library.by_id("more"), quiet, Network(), QUICK, optional=True)
    assert added == [root / "more/four.safetensors"] and not library.overview(library.by_id("more")).to_add
    model_files.delete(library.by_id("more"), quiet)
    assert not (root / "more").exists()


def test_progress_has_megabytes_and_rises_over_all_files(root) -> None:
    told: list[tuple[float, str]] = []
    install("free", lambda fraction, line: told.append((fraction, line)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] <= 1
    assert any("one.safetensors: 0 of 0 MB" in line for _, line in told)


def test_what_only_its_owner_hands_out_is_asked_for_at_the_end(root) -> None:
    with pytest.raises(errors.NeedsRegistration, match=r"BODY\.pkl") as caught:
        install("research")
    assert "https://example.org/register" in caught.value.remedy
    assert (root / "research/net.safetensors").read_bytes() == RESEARCH
    overview = library.overview(library.by_id("research"))
    assert overview.state == library.NOT_INSTALLED
    assert [file.name for file in overview.to_register] == ["BODY.pkl"] and not overview.to_download


def test_an_unfinished_download_is_told_and_finished(root, server) -> None:
    server.plan["/free/resolve/main/one.safetensors"] = [faults.breaks_off(50_000)] * 4

    def stop(_fraction: float, line: str) -> None:
        if "Trying again" in line:
            raise errors.Stopped

    with pytest.raises(errors.Stopped):
        install("free", stop)
    overview = library.overview(library.by_id("free"))
    assert overview.state == library.UNFINISHED and "50 kB of one.safetensors" in overview.why
    assert overview.download_bytes == len(FREE) - 50_000 + 1_000_000
    install("free")
    assert "bytes=50000-" in server.ranges() and state("free") == library.INSTALLED


@pytest.mark.parametrize(("name", "sent"), [("one", FREE[:-1] + b"?"), ("two", safetensors(2, encoder=(50, 100)))])
def test_a_wrong_file_never_gets_the_name(root, server, name, sent) -> None:
    """By its hash where that is published, else by what it holds."""
    server.put(f"/free/resolve/main/{name}.safetensors", sent)
    with pytest.raises(errors.WrongFile, match=name):
        install("free")
    assert not (root / f"free/{name}.safetensors").exists() and state("free") == library.NOT_INSTALLED


def test_no_room_is_said_before_the_first_file(root, monkeypatch) -> None:
    usage = model_files.shutil.disk_usage(root.parent)
    monkeypatch.setattr(model_files.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(errors.DiskFull, match="free"):
        install("free")
    assert not list(root.rglob("*.part"))


class TestVerify:
    def test_right_wrong_and_absent(self, root) -> None:
        one, two = library.by_id("free").files
        assert model_files.verify(one, quiet).state == model_files.ABSENT
        install("free")
        assert model_files.verify(one, quiet).state == model_files.RIGHT
        assert model_files.verify(two, quiet).state == model_files.RIGHT, "recorded when it came"
        for file, path in ((one, root / one.path), (two, root / two.path)):
            content = bytearray(path.read_bytes())
            content[-5] ^= 1
            path.write_bytes(content)
            verdict = model_files.verify(file, quiet)
            assert verdict.state == model_files.WRONG and "checksum" in verdict.why

    def test_the_users_own_file_is_plausible_then_held_to_what_it_was(self, root) -> None:
        two = library.by_id("free").files[1]
        (root / two.path).parent.mkdir(parents=True)
        (root / two.path).write_bytes(SECOND)
        assert model_files.verify(two, quiet).state == model_files.PLAUSIBLE
        (root / two.path).write_bytes(SECOND[:-1] + b"?")
        assert model_files.verify(two, quiet).state == model_files.WRONG

    @pytest.mark.parametrize("content", [b"", SECOND[:-1], b"<!DOCTYPE html>", b"version https://git-lfs", b"x" * 99])
    def test_what_is_no_model_is_wrong_without_a_checksum(self, root, content) -> None:
        two = library.by_id("free").files[1]
        (root / two.path).parent.mkdir(parents=True)
        (root / two.path).write_bytes(content)
        assert model_files.verify(two, quiet).state == model_files.WRONG

    def test_it_can_be_stopped(self, root) -> None:
        install("free")

        def stop(_fraction: float, _line: str) -> None:
            raise errors.Stopped

        with pytest.raises(errors.Stopped):
            model_files.verify(library.by_id("free").files[0], stop)


class TestRepair:
    def test_a_damaged_file_is_downloaded_again_and_what_was_made_of_it_goes(self, root, server) -> None:
        install("free")
        one = root / "free/one.safetensors"
        one.write_bytes(FREE[:-1] + b"?")
        server.requests.clear()
        come = model_files.repair(library.by_id("free"), quiet, Network(), QUICK)
        assert come == [one] and one.read_bytes() == FREE and len(server.requests) == 1
        assert model_files.repair(library.by_id("free"), quiet, Network(), QUICK) == []

    def test_a_wrong_file_of_its_owner_is_put_aside(self, root) -> None:
        body = root / "owner/BODY.pkl"
        body.parent.mkdir(parents=True)
        body.write_bytes(b"<html>sign in</html>")
        with pytest.raises(errors.NeedsRegistration):
            model_files.repair(library.by_id("research"), quiet, Network(), QUICK)
        assert not body.exists() and body.with_name("BODY.pkl.wrong").exists()

    def test_a_shared_folder_is_left_to_its_keeper(self, root, tmp_path, monkeypatch) -> None:
        install("free")
        (root / "free/one.safetensors").write_bytes(FREE[:-1] + b"?")
        monkeypatch.setenv("MAQUETTE_MODELS", f"{tmp_path / 'own'}{os.pathsep}{root}")
        with pytest.raises(errors.NotWritable, match="shared"):
            model_files.repair(library.by_id("free"), quiet, Network(), QUICK)
        assert (root / "free/one.safetensors").exists()


class TestDelete:
    def test_everything_of_it_and_nothing_else(self, root) -> None:
        install("free")
        other = root / "free" / "mine.txt"
        other.write_text("mine")
        part_of(root / "free/one.safetensors").write_bytes(b"old")
        gone = model_files.delete(library.by_id("free"), quiet)
        assert len(gone) == 5 and state("free") == library.NOT_INSTALLED
        assert [path for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts] == [other]
        assert model_files.delete(library.by_id("free"), quiet) == []

    def test_what_another_installed_model_needs_stays(self, root) -> None:
        install("free")
        (root / "owner").mkdir()
        (root / "owner/BODY.pkl").write_bytes(b"\x80\x02}.")
        install("research")
        model_files.delete(library.by_id("research"), quiet)
        assert (root / "free/two.safetensors").exists() and not (root / "owner").exists()
        assert state("free") == library.INSTALLED

    def test_what_was_made_of_a_file_goes_too(self, root, monkeypatch) -> None:
        file = replace(library.by_id("free").files[0], path="free/one.pth")
        model = replace(library.by_id("free"), id="other", files=(file,))
        source, plain = root / "free/one.pth", root / "free/one.safetensors"
        source.parent.mkdir(parents=True)
        source.write_bytes(b"PK" * 500)
        plain.write_bytes(safetensors(5, {"maquette": "2 1 abc"}, a=(2,)))
        elsewhere = store.user_data() / "converted" / f"{fingerprint(source)}-one.safetensors"
        elsewhere.parent.mkdir(parents=True)
        elsewhere.write_bytes(b"copy")
        assert set(model_files.delete(model, quiet)) == {source, plain, elsewhere}
        assert not elsewhere.exists() and not plain.exists()

    def test_a_folder_that_leads_elsewhere_is_left_alone(self, root, tmp_path) -> None:
        install("free")
        mine = tmp_path / "mine"
        (root / "free").rename(mine)
        try:
            (root / "free").symlink_to(mine, target_is_directory=True)
        except OSError:
            pytest.skip("this system makes no links")
        assert model_files.delete(library.by_id("free"), quiet) == []
        assert (mine / "one.safetensors").exists()

    def test_a_link_goes_and_what_it_leads_to_stays(self, root, tmp_path) -> None:
        mine = tmp_path / "mine.safetensors"
        mine.write_bytes(FREE)
        (root / "free").mkdir(parents=True)
        try:
            (root / "free/one.safetensors").symlink_to(mine)
        except OSError:
            pytest.skip("this system makes no links")
        model_files.delete(library.by_id("free"), quiet)
        assert mine.read_bytes() == FREE and not (root / "free").exists()


class TestSharedRoots:
    def test_what_a_studio_shares_is_found_and_not_downloaded(self, root, tmp_path, monkeypatch, server) -> None:
        install("free")
        own = tmp_path / "own"
        monkeypatch.setenv("MAQUETTE_MODELS", os.pathsep.join([str(own), str(tmp_path / "nowhere"), str(root)]))
        assert store.models_root() == own and root in store.shared_roots()
        overview = library.overview(library.by_id("free"))
        assert overview.state == library.INSTALLED and all(status.shared for status in overview.files)
        assert store.find("free/one.safetensors", own) == root / "free/one.safetensors"
        server.requests.clear()
        assert install("free") == [] and not server.requests
        assert model_files.delete(library.by_id("free"), quiet) == []
        assert model_files.verify(library.by_id("free").files[0], quiet).state == model_files.RIGHT
        (root / "free/two.safetensors").unlink()
        assert install("free") == [own / "free/two.safetensors"]

    def test_a_root_that_is_named_is_looked_into_alone(self, root, tmp_path, monkeypatch) -> None:
        install("free")
        monkeypatch.setenv("MAQUETTE_MODELS", f"{tmp_path / 'own'}{os.pathsep}{root}")
        other = tmp_path / "other"
        assert store.find("free/one.safetensors", other) == other / "free/one.safetensors"
        assert not store.is_installed(library.by_id("free"), other)

    def test_preferences_come_before_the_environment(self, root, tmp_path) -> None:
        try:
            store.set_models_root(tmp_path / "chosen")
            store.set_shared_roots([root])
            assert store.search_path() == (tmp_path / "chosen", root)
        finally:
            store.set_models_root(None)
            store.set_shared_roots([])
        assert store.search_path() == (root,)


class TestLicences:
    def test_asked_once_and_kept(self, root) -> None:
        research, free = library.by_id("research"), library.by_id("free")
        assert licences.is_needed(research) and not licences.is_needed(free)
        with pytest.raises(errors.LicenceNeeded, match="Non-commercial"):
            licences.require(research)
        licences.accept(research)
        licences.require(research)
        assert "Non-commercial" in json.loads((store.user_data() / "licences.json").read_text("utf-8"))
        assert licences.is_needed(replace(research, licence="Other words"))

    @pytest.mark.parametrize("left", ["", "{", "[]", "\x00"])
    def test_a_damaged_record_asks_again(self, root, left) -> None:
        path = store.user_data() / "licences.json"
        path.parent.mkdir(parents=True)
        path.write_text(left)
        assert licences.is_needed(library.by_id("research"))
        licences.accept(library.by_id("research"))
        assert not licences.is_needed(library.by_id("research"))


def test_a_model_is_found_by_its_name(root) -> None:
    assert library.by_id("normals/free").task == "normals" and library.by_id("free").task == "depth"
    with pytest.raises(Exception, match=r"Unknown model: nothing.*free, research, more"):
        library.by_id("nothing")
    assert library.needing("owner/BODY.pkl").id == "research"  # type: ignore[union-attr]
    assert library.needing("free/one.safetensors", "normals").task == "normals"  # type: ignore[union-attr]
    assert library.needing("nothing") is None


INSTALLING = """
    import sys
    from pathlib import Path
    from maquette.installer.models import catalogue, library, model_files as upkeep
    from maquette.installer.net import partial_file as partial
    content = catalogue.read(Path(sys.argv[1]).read_text())
    catalogue._content = lambda: content
    partial.SYNC = 8192
    print("go", flush=True)
    upkeep.install(library.by_id("free"), lambda fraction, line: print(line, flush=True))
    print("done", flush=True)
"""


def _start(tmp_path: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(INSTALLING), str(tmp_path / "catalogue.toml")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))


def test_killed_at_ten_moments_of_an_install(root, server, tmp_path) -> None:
    """The next start repairs; what lies under a right name is right at every moment."""
    for path in ("one", "two"):
        server.always[f"/free/resolve/main/{path}.safetensors"] = faults.trickles(150, 2048)
    right = {root / "free/one.safetensors": FREE, root / "free/two.safetensors": SECOND}
    resumed = 0
    for lines in (0, 1, 2, 4, 6, 9, 12, 16, 20, 25):
        child = _start(tmp_path)
        assert child.stdout is not None
        for _ in range(1 + lines):
            child.stdout.readline()
        child.kill()
        child.communicate()
        for path, content in right.items():
            assert not path.exists() or path.read_bytes() == content
        resumed += state("free") == library.UNFINISHED
    assert resumed > 1
    server.always.clear()
    install("free")
    assert {path: path.read_bytes() for path in right} == right and state("free") == library.INSTALLED
    assert not list(root.rglob("*.part*"))


def test_two_at_once_download_once(root, server, tmp_path) -> None:
    for path in ("one", "two"):
        server.always[f"/free/resolve/main/{path}.safetensors"] = faults.trickles(150, 4096)
    children = [_start(tmp_path) for _ in range(2)]
    said = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert sorted(path for path, _ in server.requests) == [
        "/free/resolve/main/one.safetensors",
        "/free/resolve/main/two.safetensors",
    ]
    assert any(b"Another Maquette is using this file" in output for output, _ in said)
    assert (root / "free/one.safetensors").read_bytes() == FREE


def test_whoever_waits_for_another_can_stop(root) -> None:
    target = root / "free/one.safetensors"
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with model_files.exclusive_access(target, quiet):
            entered.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(20)

    def stop(_fraction: float, line: str) -> None:
        if "waiting" in line:
            raise errors.Stopped

    try:
        with pytest.raises(errors.Stopped):
            install("free", stop)
    finally:
        leave.set()
        holder.join()
    assert install("free")


@pytest.mark.parametrize("name", ["with space", "Modèle 模型 модель", "l" * 200])
def test_odd_roots(root, tmp_path, monkeypatch, name) -> None:
    monkeypatch.setenv("MAQUETTE_MODELS", str(tmp_path / name))
    install("free")
    assert state("free") == library.INSTALLED
    assert model_files.verify(library.by_id("free").files[0], quiet).state == model_files.RIGHT
    model_files.delete(library.by_id("free"), quiet)
    assert state("free") == library.NOT_INSTALLED


def test_a_root_whose_name_is_too_long(root, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MAQUETTE_MODELS", str(tmp_path / ("l" * 300)))
    assert state("free") == library.NOT_INSTALLED
    with pytest.raises(errors.NotWritable, match="too long"):
        install("free")


def test_a_root_that_cannot_be_written(root, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MAQUETTE_MODELS", str(tmp_path / "file"))
    with pytest.raises(errors.NotWritable, match="file"):
        install("free")


def test_an_import_that_was_killed_leaves_nothing_that_counts(root) -> None:
    """A partial copy has no record: it is no download to be resumed."""
    target = root / "free/one.safetensors"
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(FREE[:100])
    assert state("free") == library.NOT_INSTALLED
    install("free")
    assert target.read_bytes() == FREE and not part_of(target).exists() and not record_of(target).exists()
    unfinished = Partial(root / "free/two.safetensors", "https://example.org/other")
    unfinished.write(b"x" * 100)
    unfinished.close()
    assert install("free") == [] and state("free") == library.INSTALLED


class TestAMovedWorld:
    """Files that moved, changed or stand at several addresses."""

    @pytest.fixture
    def pinned(self, server):
        """A file pinned to a revision, with another address; nothing lies at any of them yet."""
        revision = f"{server.url}/owner/resolve/{'a' * 40}/x.safetensors"
        return catalogue.File(
            "moved/x.safetensors", "MIT", "https://example.org/x", url=revision, mirrors=(f"{server.url}/renamed/x",),
            bytes=len(FREE), sha256=hashlib.sha256(FREE).hexdigest(),
        )  # fmt: skip

    @pytest.mark.parametrize("place", ["/owner/resolve/main/x.safetensors", "/renamed/x"])
    def test_a_download_goes_on_to_the_next_address(self, root, server, pinned, place) -> None:
        model = catalogue.Model("moved", "depth", "Moved", "depth.a", "MIT", True, False, 1, (pinned,))
        server.put(place, FREE)
        assert model_files.install(model, quiet, Network(), QUICK) == [root / "moved/x.safetensors"]
        assert store.recorded(root / "moved/x.safetensors")["from"] == server.url + place
        assert server.requests[0][0] == f"/owner/resolve/{'a' * 40}/x.safetensors"

    def test_what_stands_nowhere_is_said_of_the_first_address(self, root, server, pinned) -> None:
        model = catalogue.Model("moved", "depth", "Moved", "depth.a", "MIT", True, False, 1, (pinned,))
        with pytest.raises(errors.NotThere, match=r"has no x\.safetensors"):
            model_files.install(model, quiet, Network(), QUICK)
        assert len(server.requests) == 3 and not (root / "moved/x.safetensors").exists()

    def test_another_file_in_its_place_is_not_taken(self, root, server, pinned) -> None:
        server.put("/owner/resolve/main/x.safetensors", SECOND)
        server.put("/renamed/x", FREE)
        model = catalogue.Model("moved", "depth", "Moved", "depth.a", "MIT", True, False, 1, (pinned,))
        model_files.install(model, quiet, Network(), QUICK)
        assert (root / "moved/x.safetensors").read_bytes() == FREE

    def test_a_copy_of_the_models_folder_is_a_mirror_of_everything(self, root, server) -> None:
        file = catalogue.File("any/x.npz", "MIT", "https://example.org", url="https://example.org/elsewhere/x.npz")
        network = Network(hub=server.url)
        assert addresses.addresses(file, network) == [f"{server.url}/any/x.npz", file.url]
        hub = catalogue.File("a/b.pth", "MIT", "", url="https://huggingface.co/o/r/resolve/main/b.pth")
        assert addresses.addresses(hub, network) == [f"{server.url}/o/r/resolve/main/b.pth", f"{server.url}/a/b.pth"]

    def test_addresses_are_asked_without_downloading(self, server, pinned) -> None:
        server.put("/owner/resolve/main/x.safetensors", SECOND)
        server.put("/renamed/x", FREE)
        gone, changed, same = addresses.check(pinned, Network())
        assert (gone.state, changed.state, same.state) == (addresses.MOVED, addresses.CHANGED, addresses.SAME)
        assert "404" in gone.why and f"{len(SECOND):,} bytes" in changed.why and not same.why
        assert all(headers["range"] == "bytes=0-0" for _, headers in server.requests)
        server.always["/renamed/x"] = faults.status(401)
        assert addresses.check(pinned, Network())[2].state == addresses.CLOSED
        server.close()
        assert {answer.state for answer in addresses.check(pinned, Network(), 2)} == {addresses.NO_ANSWER}

    def test_a_checksum_in_the_headers_is_compared(self, server, pinned) -> None:
        server.put("/renamed/x", FREE)
        server.headers["X-Linked-Etag"] = f'"{"0" * 64}"'
        (_, _, answer) = addresses.check(pinned, Network(hub=server.url))[-3:]
        assert answer.state == addresses.CHANGED and "0" * 64 in answer.why


def test_forms_of_a_file(root) -> None:
    """One that a user has in another form is used; a forgery or damage of the published length is not right."""
    file = library.by_id("free").files[0]
    path = root / file.path
    path.parent.mkdir(parents=True)
    path.write_bytes(SECOND)  # whole, of another length
    verdict = model_files.verify(file, quiet)
    assert verdict.state == model_files.PLAUSIBLE and "not verified: another form" in verdict.why
    store.note_of(path).unlink()
    path.write_bytes(FREE[:-1] + bytes([FREE[-1] ^ 1]))
    assert model_files.verify(file, quiet).state == model_files.WRONG
