# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads from a server at its worst: the right file in the end or a clear error, never a wrong one in its place."""

import errno
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from maquette.installer.net import connection, download, errors
from maquette.installer.net.download import DownloadSpec, Progress, RetryPolicy, fetch
from maquette.installer.net.http import Network
from maquette.installer.net.partial_file import Partial, part_of, partial_bytes, record_of
from maquette.installer.shared import disk

sys.path.insert(0, str(Path(__file__).parent))
import faulty_server as faults

CONTENT = bytes(range(256)) * 2000  # half a megabyte
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = RetryPolicy(tries=4, pause=0.01, longest=0.05, stall=10, slowest=1000, retry_after=2)
#: No proxy, mirror or token but the environment's.
DIRECT = Network()
#: For servers that say nothing.
IMPATIENT = replace(QUICK, tries=8, stall=0.5)


@pytest.fixture
def server():
    server = faults.Server(ETag='"v1"')
    yield server
    server.close()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "models" / "a" / "network.pth"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("HF_ENDPOINT", "HF_TOKEN", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def get(url, target, network=DIRECT, on_progress=lambda progress: None, retry_policy=QUICK, **spec):
    spec = {"bytes": len(CONTENT), "sha256": SHA256, "page": "https://example.org/model"} | spec
    return fetch(DownloadSpec(url, **spec), target, on_progress, network, retry_policy)


def retry_policy(case: str) -> RetryPolicy:
    return IMPATIENT if "stalls" in case or "trickles" in case else QUICK


def assert_right(target: Path) -> None:
    """The file is there, and nothing else is left."""
    assert target.read_bytes() == CONTENT
    assert sorted(path.name for path in target.parent.iterdir()) == [target.name]


FAULTS = {
    "good": [],
    "breaks off twice": [faults.breaks_off(100_000), faults.breaks_off(100_000)],
    "breaks off before the first byte": [faults.breaks_off(0)],
    "drops the connection": [faults.drops, faults.drops],
    "stalls": [faults.stalls(200_000)],
    "stalls before the first byte": [faults.stalls(0)],
    "trickles": [faults.trickles(20)],
    "ignores Range": [faults.breaks_off(100_000), faults.ignores_range],
    "claims more than it has": [faults.says_length(len(CONTENT) + 9)],
    "sends other bytes once": [faults.other_bytes],
    "answers with another part": [faults.breaks_off(100_000), faults.another_part],
    "is too busy for a second": [faults.status(429, Retry_After="1")],
    "is down for a moment": [faults.status(503), faults.status(500), faults.status(502)],
    "does not want to go on": [faults.breaks_off(100_000), faults.status(416)],
    "says no length": [faults.says_no_length],
    "sends chunks": [faults.in_chunks],
    "breaks off among chunks": [partial(faults.in_chunks, whole=False)],
    "breaks off among the headers": [faults.raw("HTTP/1.1 200 OK\nContent-Le")] * 3,
    "sends more than it announced": [faults.breaks_off(100_000), faults.more_than_announced],
    "sends a part that nobody asked for": [faults.unasked_range],
    "has a range that is none": [
        faults.breaks_off(100_000),
        faults.raw("HTTP/1.1 206 OK\nContent-Range: bytes \xb2-\xb3/\xb9\nContent-Length: \xb2\n\n"),
    ],
    "has a wait that is none": [faults.raw("HTTP/1.1 429 Slow\nRetry-After: \xb2\nContent-Length: 0\n\n")],
}
MAY_REFUSE_AT_ONCE = {"claims more than it has"}


@pytest.mark.parametrize("case", FAULTS)
def test_the_right_file_in_the_end(server, target, case) -> None:
    url = server.put("/network.pth", CONTENT, *FAULTS[case])
    if case in MAY_REFUSE_AT_ONCE:
        with pytest.raises(errors.WrongFile, match="offers"):
            get(url, target)
        assert not target.exists()
    fetched = get(url, target, retry_policy=retry_policy(case))
    assert_right(target)
    assert fetched.sha256 == SHA256 and fetched.bytes == len(CONTENT) and fetched.checked


@pytest.mark.parametrize("case", sorted(FAULTS))
def test_the_right_file_in_the_end_when_nothing_is_published_about_it(server, target, case) -> None:
    """Without a hash, what the server says has to do; other bytes of the right length cannot be told apart."""
    if case in ("sends other bytes once", "claims more than it has"):
        pytest.skip("the server's own word is all there is")
    url = server.put("/network.pth", CONTENT, *FAULTS[case])
    fetched = get(url, target, retry_policy=retry_policy(case), bytes=0, sha256="")
    assert_right(target)
    assert fetched.sha256 == SHA256 and not fetched.checked


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"v1"'}, {"ETag": '"v1"'}, {"Last-Modified": "yesterday"}])
def test_two_versions_of_a_file_are_never_joined(server, target, headers) -> None:
    """The file changes on the server between two attempts, and nothing is published about it."""
    server.headers = headers
    other = CONTENT[::-1]
    changed = {name: value.replace("v1", "v2").replace("yesterday", "today") for name, value in headers.items()}

    def change(handler: faults.Handler, content: bytes) -> None:
        server.headers, server.files["/network.pth"] = changed, other
        faults.good(handler, other)

    url = server.put("/network.pth", CONTENT, faults.breaks_off(100_000), change)
    get(url, target, sha256="")
    assert target.read_bytes() == other


def test_a_redirect_is_escaped_where_the_server_forgot(server, target) -> None:
    server.put("/le%20mod%C3%A8le.pth", CONTENT)
    away = faults.raw("HTTP/1.1 302 OK\nLocation: /le mod\xc3\xa8le.pth?a=%20b\nContent-Length: 0\n\n")
    get(server.put("/network.pth", CONTENT, always=away), target)
    assert_right(target)
    assert server.requests[-1][0] == "/le%20mod%C3%A8le.pth?a=%20b"


def test_a_break_is_resumed_where_it_was(server, target) -> None:
    url = server.put("/network.pth", CONTENT, faults.breaks_off(100_000), faults.breaks_off(50_000))
    get(url, target)
    assert server.ranges() == ["", "bytes=100000-", "bytes=150000-"]
    assert [headers.get("if-range") for _, headers in server.requests] == [None, '"v1"', '"v1"']


def test_the_next_start_goes_on(server, target) -> None:
    url = server.put("/network.pth", CONTENT, always=faults.breaks_off(1000))

    def stop(progress: Progress) -> None:
        if progress.done >= 3000:
            raise errors.Stopped

    with pytest.raises(errors.Stopped):
        get(url, target, on_progress=stop)
    assert not target.exists() and partial_bytes(target) >= 3000
    server.always.clear()
    server.requests.clear()
    kept = partial_bytes(target)
    get(url, target)
    assert server.ranges() == [f"bytes={kept}-"]
    assert_right(target)


def test_only_what_is_certainly_on_the_disk_is_kept(server, target) -> None:
    """After a power cut a file may be as long as it was told to be, and hold zeros."""
    url = server.put("/network.pth", CONTENT)
    target.parent.mkdir(parents=True)
    unfinished = Partial(target, url)
    unfinished.write(CONTENT[:5000])
    unfinished.note(validator='"v1"', length=len(CONTENT))
    unfinished.sync()
    unfinished.close()
    with part_of(target).open("ab") as file:
        file.write(bytes(9000))
    get(url, target, sha256="")
    assert server.ranges() == ["bytes=5000-"]
    assert_right(target)


def test_a_partial_file_of_another_version_or_origin_is_not_continued(server, target) -> None:
    target.parent.mkdir(parents=True)
    for number, (url, validator) in enumerate([("/network.pth", '"v0"'), ("/other.pth", '"v1"')]):
        unfinished = Partial(target, server.url + url)
        unfinished.write(b"old" * 1000)
        unfinished.note(validator=validator, length=len(CONTENT))
        unfinished.close()
        get(server.put("/network.pth", CONTENT), target, sha256="")
        assert_right(target)
        assert server.ranges()[-1] == ("bytes=3000-" if number == 0 else "")


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b'{"synced": "many"}', b'{"synced": 10, "colour": 1}', b"\xff"])
def test_a_damaged_record_is_no_record(server, target, left) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(b"x" * 100)
    record_of(target).write_bytes(left)
    assert partial_bytes(target) == 0
    get(server.put("/network.pth", CONTENT), target)
    assert_right(target)


def test_all_had_come_but_the_name(server, target) -> None:
    """Killed between the last byte and the name: nothing is downloaded again."""
    url = server.put("/network.pth", CONTENT)
    target.parent.mkdir(parents=True)
    unfinished = Partial(target, url)
    unfinished.write(CONTENT)
    unfinished.note(validator='"v1"', length=len(CONTENT))
    unfinished.close()
    get(url, target)
    assert not server.requests
    assert_right(target)


def test_all_had_come_but_the_record_of_the_length(server, target) -> None:
    url = server.put("/network.pth", CONTENT)
    target.parent.mkdir(parents=True)
    unfinished = Partial(target, url)
    unfinished.write(CONTENT)
    unfinished.note(validator='"v1"')
    unfinished.close()
    get(url, target, bytes=0)
    assert server.ranges() == [f"bytes={len(CONTENT)}-"]
    assert_right(target)


ERRORS = {
    "wrong bytes": (faults.other_bytes, errors.WrongFile, "published checksum"),
    "another length": (faults.says_length(1000), errors.WrongFile, "offers 1,000 bytes"),
    "a login page": (faults.page, errors.WrongFile, "web page"),
    "a login page that calls itself a file": (
        partial(faults.page, kind="application/octet-stream"),
        errors.WrongFile,
        "offers",
    ),
    "401": (faults.status(401), errors.Refused, "401"),
    "403": (faults.status(403), errors.Refused, "403"),
    "404": (faults.status(404), errors.NotThere, "404"),
    "410": (faults.status(410), errors.NotThere, "410"),
    "418": (faults.status(418), errors.Refused, "418"),
    "429 for an hour": (faults.status(429, Retry_After="3600"), errors.Busy, "60 minutes"),
    "503 for good": (faults.status(503), errors.Busy, "503"),
    "500 for good": (faults.status(500), errors.NoConnection, "500"),
    "416 for good": (faults.status(416), errors.NoConnection, "416"),
    "drops every connection": (faults.drops, errors.NoConnection, "cannot be downloaded"),
    "stalls for good": (faults.stalls(0), errors.NoConnection, "nothing received|timed out"),
    "breaks off at the same place": (
        faults.ignores_range_and_breaks_off(9000),
        errors.NoConnection,
        "broke off",
    ),
    "redirects in a circle": (faults.redirects("/network.pth"), errors.WrongFile, "circle"),
    "redirects to a file of this machine": (
        faults.redirects("file:///etc/passwd"),
        errors.WrongFile,
        "unsafe",
    ),
    "redirects to no address": (faults.redirects("http://[::1"), errors.WrongFile, "not an address"),
    "429 for ever": (faults.status(429, Retry_After="9" * 400), errors.Busy, "429"),
    "an empty file": (faults.says_length(0), errors.WrongFile, "offers 0 bytes"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_or_a_clear_error(server, target, case) -> None:
    behaviour, kind, said = ERRORS[case]
    url = server.put("/network.pth", CONTENT, always=behaviour)
    with pytest.raises(kind, match=said) as caught:
        get(url, target, retry_policy=replace(retry_policy(case), tries=3))
    assert not target.exists()
    assert caught.value.remedy.endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["a login page", "a login page that calls itself a file", "an empty file"])
def test_what_is_no_file_is_noticed_without_its_length(server, target, case) -> None:
    url = server.put("/network.pth", CONTENT, always=ERRORS[case][0])
    with pytest.raises(errors.WrongFile, match=r"web page|empty"):
        get(url, target, bytes=0, sha256="")
    assert list(target.parent.iterdir()) == []


def test_a_login_page_costs_nothing_of_what_has_come(server, target) -> None:
    url = server.put("/network.pth", CONTENT, faults.breaks_off(100_000), faults.page)
    with pytest.raises(errors.WrongFile):
        get(url, target)
    assert partial_bytes(target) == 100_000


def test_a_wrong_file_never_replaces_the_right_one(server, target) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    with pytest.raises(errors.WrongFile):
        get(server.put("/network.pth", CONTENT, always=faults.other_bytes), target)
    assert_right(target)


def test_the_content_is_looked_at_before_it_gets_its_name(server, target) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise errors.WrongFile("That is a sonnet.", "Get a network.")

    url = server.put("/network.pth", CONTENT)
    with pytest.raises(errors.WrongFile, match="sonnet"):
        get(url, target, sha256="", check=refuse)
    assert list(target.parent.iterdir()) == []


def test_the_wait_that_a_server_asks_for_as_a_date_is_told_by_its_own_clock(server, target) -> None:
    """Ours may be years off; the dates here are."""
    date = {"Date": "Sat, 01 Jan 2000 10:00:00 GMT", "Retry_After": "Sat, 01 Jan 2000 10:00:01 GMT"}
    url = server.put("/network.pth", CONTENT, faults.status(429, **date))
    messages = []
    get(url, target, on_progress=lambda progress: messages.append(progress.message))
    assert any(message.startswith("Trying again in 1 s") for message in messages)
    assert_right(target)


def test_a_redirect_to_another_host_sees_no_token(server, target) -> None:
    """As the model hub does: its own host answers with the hash and sends us to a store of files."""
    store = faults.Server(ETag='"v1"')
    try:
        elsewhere = store.put("/blob", CONTENT, faults.breaks_off(100_000)).replace("127.0.0.1", "localhost")
        answer = faults.redirects(elsewhere, X_Linked_Etag=f'"{SHA256}"')
        url = server.put("/repo/resolve/main/network.pth", CONTENT, always=answer)
        fetched = get(url, target, Network(hub=server.url, token="secret-1"), sha256="")
        assert fetched.checked and fetched.sha256 == SHA256
        assert {headers.get("authorization") for _, headers in server.requests} == {"Bearer secret-1"}
        assert {headers.get("authorization") for _, headers in store.requests} == {None}
        assert store.ranges() == ["", "bytes=100000-"]
    finally:
        store.close()


def test_the_hubs_own_hash_is_held_against_what_comes(server, target) -> None:
    elsewhere = server.put("/blob", CONTENT, always=faults.other_bytes)
    url = server.put("/network.pth", CONTENT, always=faults.redirects(elsewhere, X_Linked_Etag=f'"{SHA256}"'))
    with pytest.raises(errors.WrongFile, match="checksum"):
        get(url, target, Network(hub=server.url), sha256="")
    with pytest.raises(errors.WrongFile, match="changed"):
        get(url, target, Network(hub=server.url), sha256="0" * 64)
    assert not target.exists()


def test_a_mirror_takes_the_hubs_place(server, target, monkeypatch) -> None:
    server.put("/JUGGHM/Metric3D/resolve/main/network.pth", CONTENT)
    public = "https://huggingface.co/JUGGHM/Metric3D/resolve/main/network.pth"
    get(public, target, Network(hub=f"{server.url}/"))
    target.unlink()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "secret-2")
    get(public, target)
    assert server.requests[-1][1]["authorization"] == "Bearer secret-2"
    assert "secret" not in repr(Network(token="secret-1")) + record_of(target).name


@pytest.mark.parametrize("mirror", ["http://[::1", "http://host:port", "http://host:99999", "not an address"])
def test_a_mirror_that_is_no_address(target, mirror) -> None:
    with pytest.raises(errors.SetupError, match="is not the address of a mirror"):
        get("https://huggingface.co/a/network.pth", target, Network(hub=mirror))


@pytest.mark.parametrize("token", ["hf_abc\ndef", "hf_模", "hf_a b", "hf_a\x00"])
def test_a_token_that_is_none_is_not_told(server, target, token) -> None:
    url = server.put("/network.pth", CONTENT)
    with pytest.raises(errors.SetupError, match="token") as caught:
        get(url, target, Network(hub=server.url, token=token))
    assert token.strip() not in str(caught.value) and "hf_" not in str(caught.value)
    assert not server.requests


def test_a_proxy_is_asked(server, target, monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    server.put("http://models.example.org/network.pth", CONTENT)  # a proxy is asked for whole addresses
    get("http://models.example.org/network.pth", target, Network(proxy=server.url))
    assert_right(target)


def test_certificates_that_cannot_be_read(tmp_path, target) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(Exception, match=r"Cannot read the certificates in .*ca\.pem") as caught:
        get("https://127.0.0.1:9/network.pth", target, Network(ca_file=str(broken)))
    assert "PEM" in caught.value.remedy


@pytest.fixture
def expired(tmp_path):
    """Address of an https server whose certificate ran out in 2001."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate with")
    (tmp_path / "index").write_text("")
    (tmp_path / "ca.cnf").write_text(
        f"[ca]\ndefault_ca = own\n[own]\nnew_certs_dir = {tmp_path}\ndatabase = {tmp_path}/index\nrand_serial = yes\n"
        "default_md = sha256\npolicy = any\nx509_extensions = names\n[any]\ncommonName = supplied\n"
        "[names]\nsubjectAltName = DNS:localhost\n"
    )
    request, key, certificate = (tmp_path / name for name in ("request.pem", "key.pem", "certificate.pem"))
    made = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request]
    signed = ["ca", "-config", tmp_path / "ca.cnf", "-selfsign", "-batch", "-notext", "-keyfile", key, "-in", request]
    signed += ["-out", certificate, "-startdate", "20000101000000Z", "-enddate", "20010101000000Z"]
    for command in (made, signed):
        subprocess.run([openssl, *map(str, command)], capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"https://localhost:{listening.server_address[1]}", certificate
    listening.shutdown()
    listening.server_close()


def test_a_certificate_that_ran_out_may_mean_a_wrong_clock(expired, target) -> None:
    address, certificate = expired
    with pytest.raises(errors.NotTrusted, match="computer's time") as caught:
        get(f"{address}/network.pth", target, Network(ca_file=str(certificate)))
    assert "clock" in caught.value.remedy
    with pytest.raises(errors.NotTrusted, match="not trusted") as caught:
        get(f"{address}/network.pth", target)
    assert "CA file" in caught.value.remedy


def test_a_wrong_clock_of_ours_changes_nothing(server, target, monkeypatch) -> None:
    """Times of day are written nowhere and compared with nothing."""
    url = server.put("/network.pth", CONTENT, faults.breaks_off(100_000))
    for wrong in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda now=wrong: now)
        server.plan["/network.pth"] = [faults.breaks_off(100_000)]
        get(url, target)
        assert_right(target)


class TestDisk:
    def test_no_room_is_said_before_the_download(self, server, target, monkeypatch) -> None:
        usage = shutil.disk_usage(target.parents[2])
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=70_000_000))
        url = server.put("/network.pth", CONTENT)
        with pytest.raises(errors.DiskFull, match=r"900 MB more.* 70 MB free"):
            fetch(
                DownloadSpec(server.put("/large.pth", CONTENT, always=_claims(900_000_000))), target, network=Network()
            )
        get(url, target)

    @pytest.mark.parametrize(
        ("number", "kind", "said"),
        [
            (errno.ENOSPC, errors.DiskFull, "full"),
            (errno.EFBIG, errors.DiskFull, "FAT32"),
            (errno.EIO, errors.NotWritable, "cannot be used"),
        ],
    )
    def test_a_disk_that_fails_on_the_way(self, server, target, monkeypatch, number, kind, said) -> None:
        write = Partial.write

        def failing(self, block):
            if self.have > 100_000:
                raise download.OnDisk(number, os.strerror(number))
            write(self, block[:50_000])

        url = server.put("/network.pth", CONTENT)
        monkeypatch.setattr(Partial, "write", failing)
        monkeypatch.setattr(connection, "BLOCK", 20_000)
        with pytest.raises(kind, match=said):
            get(url, target)
        monkeypatch.undo()
        assert not target.exists() and partial_bytes(target) > 100_000
        get(url, target)
        assert_right(target)

    def test_a_folder_that_cannot_be_written(self, server, tmp_path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(errors.NotWritable, match="file"):
            get(server.put("/network.pth", CONTENT), tmp_path / "file" / "network.pth")
        folder = tmp_path / "read-only"
        folder.mkdir(mode=0o555)
        if not os.access(folder, os.W_OK):  # root may write everywhere
            with pytest.raises(errors.NotWritable):
                get(server.url + "/network.pth", folder / "network.pth")

    def test_a_name_that_is_too_long(self, server, tmp_path) -> None:
        with pytest.raises(errors.NotWritable, match="too long"):
            get(server.put("/network.pth", CONTENT), tmp_path / ("n" * 300))

    @pytest.mark.parametrize("name", ["with space", "Modèle 模型 модель", "a" * 200])
    def test_odd_paths(self, server, tmp_path, name) -> None:
        target = tmp_path / name / "network.pth"
        get(server.put("/network.pth", CONTENT, faults.breaks_off(1000)), target)
        assert_right(target)


def _claims(length: int) -> faults.Behaviour:
    return lambda handler, content: handler.start(200, length)


@pytest.mark.parametrize("behaviour", [faults.stalls(1000), faults.stalls(0), faults.trickles(50)])
def test_stopped_while_nothing_comes(server, target, behaviour) -> None:
    url = server.put("/network.pth", CONTENT, always=behaviour)
    retry_policy = RetryPolicy(stall=60)
    begun = time.monotonic()

    def stop(progress: Progress) -> None:
        if time.monotonic() - begun > 0.3:
            raise errors.Stopped

    with pytest.raises(errors.Stopped):
        fetch(DownloadSpec(url), target, stop, Network(), retry_policy)
    assert not target.exists()


def test_progress_tells_bytes_total_and_speed(server, target) -> None:
    told: list[Progress] = []
    get(server.put("/network.pth", CONTENT, faults.trickles(500, 4096)), target, on_progress=told.append)
    assert told[-1].done == told[-1].total == len(CONTENT) and told[-1].fraction == 1.0
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert any(progress.speed > 0 for progress in told)


KILLED = """
    import sys
    from maquette.installer.net import partial_file as partial
    from maquette.installer.net.download import DownloadSpec, fetch
    from maquette.installer.net.http import Network
    from pathlib import Path
    partial.SYNC = 16_384
    print("go", flush=True)
    spec = DownloadSpec(sys.argv[1], sha256=sys.argv[3])
    fetch(spec, Path(sys.argv[2]), lambda progress: print(progress.done, flush=True), Network())
"""


def test_killed_at_ten_moments(server, target) -> None:
    """The next start goes on; whatever lies under the right name is right, at every moment."""
    url = server.put("/network.pth", CONTENT, always=faults.trickles(200, 4096))
    resumed = 0
    for lines in (0, 1, 2, 3, 5, 8, 12, 15, 18, 20):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), url, str(target), SHA256]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(1 + lines):
            child.stdout.readline()
        child.kill()
        child.communicate()
        assert not target.exists() or target.read_bytes() == CONTENT
        resumed += partial_bytes(target) > 0
    assert resumed > 2
    server.always.clear()
    get(url, target)
    assert_right(target)


def test_small_files_are_written_in_one_step(tmp_path, monkeypatch) -> None:
    path = tmp_path / "record.json"
    disk.write_json(path, {"a": 1})
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        disk.write_json(path, {"a": 2})
    assert path.read_text() == '{\n "a": 1\n}' and list(tmp_path.iterdir()) == [path]
