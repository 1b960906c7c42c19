import gzip
import hashlib
import io
import tarfile
import threading
import time
import zipfile
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nasir.data.fetch import transfer
from nasir.data.fetch.sources import PARTIAL, fetch, split_mirrors
from nasir.data.fetch.transfer import Patience, TransferError, download
from nasir.data.manifest import Dataset, Entry, Source

FILES = {
    "train/a.png": b"first image " * 50,
    "train/b.png": b"second image " * 50,
    "test/a.png": b"third image, with the file name of the first " * 50,
}
HASTY = Patience(tries=3, timeout_s=0.3, backoff_s=0.01)


def make_dataset(files=FILES, sources=()):
    entries = tuple(
        Entry(
            path=path,
            split=path.split("/")[0],
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=1,
            height=1,
            mode="L",
        )
        for path, data in files.items()
    )
    return Dataset(name="toy", entries=entries, sources=sources, is_shipped=False, terms="none", remedy="ask the maker")


def write_files(folder, files=FILES):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def read_files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zip_bytes(files, prefix="top/data/"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(prefix + path, data)
    return buffer.getvalue()


def tgz_bytes(files, prefix="top/data/", links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(prefix + path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return buffer.getvalue()


def fetch_toy(out, mirrors, dataset=None, patience=HASTY):
    return fetch(dataset or make_dataset(), out, [str(mirror) for mirror in mirrors], lambda step, news: None, patience)


class Server:
    """A local server: `answers` maps a path to a function of the handler, `requests` keeps what was asked for."""

    def __init__(self):
        self.answers, self.requests, self.url = {}, [], ""

    def serve(self, files, prefix="/"):
        for path, data in files.items():
            self.answers[prefix + path] = lambda handler, data=data: send(handler, data)


def send(handler, data, status=200, announced=None):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(data)


@pytest.fixture
def server():
    with run_server() as running:
        yield running


@contextmanager
def run_server():
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests.append(self.path)
            state.answers.get(self.path, lambda handler: send(handler, b"no such file", 404))(self)

        def log_message(self, *args):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    state.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def test_mirrors_are_separated_by_commas_and_may_be_none():
    assert split_mirrors(" /a b, http://x/y ,,") == ["/a b", "http://x/y"]
    assert split_mirrors("") == split_mirrors(None) == []


def test_a_folder_with_the_layout_of_the_manifest_is_copied(tmp_path):
    found, troubles = fetch_toy(tmp_path / "out", [write_files(tmp_path / "mirror")])

    assert read_files(tmp_path / "out") == FILES
    assert (found, troubles) == ({str(tmp_path / "mirror"): 3}, [])


def test_files_are_found_deep_in_a_folder_by_name_and_hash(tmp_path):
    # Both a.png have other parents here, so only their hashes tell them apart.
    mirror = tmp_path / "mirror"
    names = {"x/one/a.png": FILES["test/a.png"], "x/two/a.png": FILES["train/a.png"], "b.png": FILES["train/b.png"]}
    write_files(mirror, names)

    fetch_toy(tmp_path / "out", [mirror])

    assert read_files(tmp_path / "out") == FILES


def test_a_folder_unpacked_from_a_public_archive_is_searched_at_the_prefix(tmp_path):
    write_files(tmp_path / "mirror" / "top" / "data")
    dataset = make_dataset(sources=(Source(url="http://127.0.0.1:9/x.zip", prefix="top/data"),))

    fetch_toy(tmp_path / "out", [tmp_path / "mirror"], dataset)

    assert read_files(tmp_path / "out") == FILES


@pytest.mark.parametrize("name, pack", [("toy.zip", zip_bytes), ("toy.tgz", tgz_bytes), ("TOY.TAR.GZ", tgz_bytes)])
def test_wanted_members_are_taken_out_of_a_local_archive(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(FILES | {"train/further.png": b"not in the manifest"}))

    fetch_toy(tmp_path / "out", [tmp_path / name])

    assert read_files(tmp_path / "out") == FILES


def test_a_plain_tar_is_read_too(tmp_path):
    with tarfile.open(tmp_path / "toy.tar", "w") as archive:
        archive.add(write_files(tmp_path / "mirror"), "anything")

    fetch_toy(tmp_path / "out", [tmp_path / "toy.tar"])

    assert read_files(tmp_path / "out") == FILES


def test_a_member_with_the_right_name_and_the_wrong_bytes_is_left_for_the_next_place(tmp_path):
    (tmp_path / "bad.zip").write_bytes(zip_bytes(FILES | {"train/b.png": b"other bytes"}))
    (tmp_path / "good.tgz").write_bytes(tgz_bytes(FILES))

    found, troubles = fetch_toy(tmp_path / "out", [tmp_path / "bad.zip", tmp_path / "good.tgz"])

    assert read_files(tmp_path / "out") == FILES
    assert found == {str(tmp_path / "bad.zip"): 2, str(tmp_path / "good.tgz"): 1}
    assert troubles == [f"{tmp_path / 'bad.zip'}: corrupt, not the SHA-256 of the manifest: train/b.png"]


def assert_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=r"must keep its files inside one folder.*nothing of it was used"):
        fetch_toy(tmp_path / "out", [tmp_path / name])
    assert read_files(tmp_path) == {name: data}  # nothing written anywhere


@pytest.mark.parametrize("evil", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_an_archive_with_a_member_that_leads_outside_is_refused_whole(tmp_path, evil):
    assert_refused(tmp_path, "toy.zip", zip_bytes(FILES | {evil: b"!"}, prefix=""))
    (tmp_path / "toy.zip").unlink()
    assert_refused(tmp_path, "toy.tgz", tgz_bytes(FILES | {evil: b"!"}, prefix=""))


@pytest.mark.parametrize(
    "link",
    [
        ("a/link", tarfile.SYMTYPE, "/etc"),
        ("a/link", tarfile.SYMTYPE, "../../etc"),
        ("link", tarfile.LNKTYPE, "../outside"),
    ],
)
def test_an_archive_with_a_link_that_leads_outside_is_refused_whole(tmp_path, link):
    assert_refused(tmp_path, "toy.tgz", tgz_bytes(FILES, links=[link]))


def test_a_zip_with_a_link_that_leads_outside_is_refused_whole(tmp_path):
    buffer = io.BytesIO(zip_bytes(FILES))
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("a/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../../etc")

    assert_refused(tmp_path, "toy.zip", buffer.getvalue())


def test_a_link_that_stays_inside_does_no_harm(tmp_path):
    (tmp_path / "toy.tgz").write_bytes(tgz_bytes(FILES, links=[("top/data/link", tarfile.SYMTYPE, "../data/train")]))

    fetch_toy(tmp_path / "out", [tmp_path / "toy.tgz"])

    assert read_files(tmp_path / "out") == FILES


@pytest.mark.parametrize("name, pack", [("half.zip", zip_bytes), ("half.tgz", tgz_bytes)])
def test_a_broken_archive_is_named_and_the_next_place_asked(tmp_path, name, pack):
    whole = pack({path: bytes(range(256)) + data for path, data in FILES.items()})
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    found, [trouble] = fetch_toy(tmp_path / "out", [tmp_path / name, write_files(tmp_path / "mirror")])

    assert found == {str(tmp_path / "mirror"): 3}
    assert f"{name}: no whole archive" in trouble


def test_the_error_names_files_places_and_remedy(tmp_path):
    mirror = write_files(tmp_path / "mirror", FILES | {"train/a.png": b"x" * len(FILES["train/a.png"])})
    (mirror / "test/a.png").unlink()
    (tmp_path / "notes.txt").write_text("no archive")

    with pytest.raises(ValueError, match="data set toy must have 3 verified files") as caught:
        fetch_toy(tmp_path / "out", [tmp_path / "nowhere", tmp_path / "notes.txt", mirror])

    assert str(caught.value).splitlines() == [
        f"data set toy must have 3 verified files in {tmp_path / 'out'}, got 1. "
        "Not there: train/a.png: missing, test/a.png: missing.",
        "Looked in:",
        f"  - {tmp_path / 'nowhere'}: does not exist (looked for at {tmp_path / 'nowhere'})",
        f"  - {tmp_path / 'notes.txt'}: neither a folder nor a .zip, .tgz, .tar.gz or .tar archive",
        f"  - {mirror}: corrupt, not the SHA-256 of the manifest: train/a.png",
        f"  - {mirror}: does not have test/a.png",
        "What to do: ask the maker.",
    ]
    assert read_files(tmp_path / "out") == {"train/b.png": FILES["train/b.png"]}


def test_of_many_missing_files_ten_are_named_and_the_rest_counted(tmp_path):
    dataset = make_dataset({f"train/{number:02}.png": bytes([number]) for number in range(13)})

    with pytest.raises(ValueError, match=r"train/09\.png: missing and 3 more.\n.*nowhere: no mirror"):
        fetch_toy(tmp_path / "out", [], dataset)


def test_files_come_from_a_base_url(tmp_path, server):
    server.serve(FILES, "/base/")

    found, _ = fetch_toy(tmp_path / "out", [f"{server.url}/base/"])

    assert read_files(tmp_path / "out") == FILES
    assert found == {f"{server.url}/base/": 3}


@pytest.mark.parametrize("name, pack", [("toy.zip", zip_bytes), ("toy.tgz", tgz_bytes)])
def test_an_archive_is_downloaded_once_and_thrown_away(tmp_path, server, name, pack):
    server.serve({name: pack(FILES)})
    dataset = make_dataset(sources=(Source(url=f"{server.url}/{name}", prefix="top/data"),))

    fetch_toy(tmp_path / "out", [], dataset)

    assert read_files(tmp_path / "out") == FILES
    assert server.requests == [f"/{name}"]


def test_verified_files_are_not_fetched_again(tmp_path, server):
    server.serve(FILES)
    fetch_toy(tmp_path / "out", [server.url])
    server.requests.clear()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}

    assert fetch_toy(tmp_path / "out", [server.url]) == ({}, [])

    assert server.requests == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")} == before


def test_only_the_damaged_file_is_fetched_again(tmp_path, server):
    server.serve(FILES)
    fetch_toy(tmp_path / "out", [server.url])
    server.requests.clear()
    (tmp_path / "out/train/b.png").write_bytes(b"damaged")

    fetch_toy(tmp_path / "out", [server.url])

    assert server.requests == ["/train/b.png"]
    assert read_files(tmp_path / "out") == FILES


def test_a_server_that_answers_503_twice_is_asked_a_third_time(tmp_path, server):
    def recover(handler):
        tries = server.requests.count("/train/a.png")
        send(handler, FILES["train/a.png"], status=200) if tries == 3 else send(handler, b"later", status=503)

    server.serve(FILES)
    server.answers["/train/a.png"] = recover

    fetch_toy(tmp_path / "out", [server.url])

    assert read_files(tmp_path / "out") == FILES
    assert server.requests.count("/train/a.png") == 3


def test_a_server_that_always_answers_503_is_given_up_after_the_first_file(tmp_path, server):
    server.answers = {f"/{path}": lambda handler: send(handler, b"later", status=503) for path in FILES}

    with pytest.raises(ValueError, match=r"given up at train/a\.png: answered 503 Service Unavailable; tried 3 times"):
        fetch_toy(tmp_path / "out", [server.url])

    assert server.requests == ["/train/a.png"] * 3
    assert read_files(tmp_path / "out") == {}


def test_a_missing_file_is_asked_for_once_and_the_others_are_kept(tmp_path, server):
    server.serve(FILES)
    del server.answers["/train/a.png"]

    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:\d+: does not have train/a\.png"):
        fetch_toy(tmp_path / "out", [server.url])

    assert server.requests == ["/train/a.png", "/train/b.png", "/test/a.png"]
    assert sorted(read_files(tmp_path / "out")) == ["test/a.png", "train/b.png"]


def test_a_body_that_breaks_off_is_fetched_again(tmp_path, server):
    def cut(handler):
        data = FILES["train/a.png"]
        is_whole = server.requests.count("/train/a.png") == 2
        send(handler, data if is_whole else data[:100], announced=len(data))

    server.serve(FILES)
    server.answers["/train/a.png"] = cut

    fetch_toy(tmp_path / "out", [server.url])

    assert read_files(tmp_path / "out") == FILES


def test_a_body_that_always_breaks_off_leaves_no_half_file(tmp_path, server):
    server.serve({"toy.zip": zip_bytes(FILES)})
    server.answers["/toy.zip"] = lambda handler: send(handler, zip_bytes(FILES)[:100], announced=5000)

    with pytest.raises(ValueError, match=r"toy\.zip: connection broken .*tried 3 times"):
        fetch_toy(tmp_path / "out", [f"{server.url}/toy.zip"])

    assert read_files(tmp_path / "out") == {}


def test_a_short_body_is_noticed_even_if_the_server_announces_that_length(tmp_path, server):
    server.answers["/train/a.png"] = lambda handler: send(handler, b"short")

    with pytest.raises(ValueError, match=r"given up at .*: wrong length: 5 bytes came, 600 expected; tried 3 times"):
        fetch_toy(tmp_path / "out", [server.url])

    assert read_files(tmp_path / "out") == {}


def test_a_body_without_end_is_cut(tmp_path, server):
    server.answers["/train/a.png"] = lambda handler: send(handler, b"x" * 10_000_000)

    with pytest.raises(ValueError, match=r"wrong length: \d{3,6} bytes came, 600 expected"):
        fetch_toy(tmp_path / "out", [server.url])

    assert read_files(tmp_path / "out") == {}


def test_an_archive_that_the_server_calls_compressed_content_is_still_read(tmp_path, server):
    def send_encoded(handler):  # as Apache does for .tgz: the client unpacks the gzip layer
        data = tgz_bytes(FILES)
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    server.answers["/toy.tgz"] = send_encoded

    fetch_toy(tmp_path / "out", [f"{server.url}/toy.tgz"])

    assert read_files(tmp_path / "out") == FILES


def test_a_file_with_the_wrong_hash_is_never_written(tmp_path, server):
    lie = b"x" * len(FILES["train/a.png"])
    server.serve(FILES | {"train/a.png": lie})

    with pytest.raises(ValueError, match=r"corrupt, not the SHA-256 of the manifest: train/a\.png"):
        fetch_toy(tmp_path / "out", [server.url])

    assert sorted(read_files(tmp_path / "out")) == ["test/a.png", "train/b.png"]


def test_a_server_that_hangs_is_left_after_the_timeout(tmp_path, server):
    release = threading.Event()
    server.answers["/train/a.png"] = lambda handler: release.wait(5)
    start = time.monotonic()

    found, [trouble] = fetch_toy(tmp_path / "out", [server.url, write_files(tmp_path / "mirror")])
    release.set()

    assert time.monotonic() - start < 3  # three tries of 0.3 s
    assert found == {str(tmp_path / "mirror"): 3}
    assert "given up at train/a.png: silent for 0.3 s; tried 3 times" in trouble


def test_a_server_that_hangs_in_the_middle_leaves_no_half_file(tmp_path, server):
    release = threading.Event()

    def stall(handler):
        send(handler, FILES["train/a.png"][:100], announced=600)
        handler.wfile.flush()
        release.wait(5)

    server.answers["/train/a.png"] = stall

    with pytest.raises(ValueError, match=r"given up at train/a\.png: .*tried 3 times"):
        fetch_toy(tmp_path / "out", [server.url])
    release.set()

    assert read_files(tmp_path / "out") == {}


def test_a_server_that_is_down_is_named(tmp_path):
    with run_server() as gone:
        url = gone.url

    with pytest.raises(ValueError, match=rf"{url}: given up at train/a\.png: connection broken .*refused"):
        fetch_toy(tmp_path / "out", [url])


def test_what_a_killed_fetch_left_is_cleaned_and_what_it_finished_is_kept(tmp_path, server):
    server.serve(FILES)
    out = write_files(tmp_path / "out", {"train/b.png": FILES["train/b.png"]})
    write_files(out, {f"{PARTIAL}/toy.zip": b"half", "train/.a.png.x8d_k2.part": b"half", "train/.mine.part": b"kept"})

    fetch_toy(out, [server.url])

    assert read_files(out) == FILES | {"train/.mine.part": b"kept"}
    assert server.requests == ["/train/a.png", "/test/a.png"]


def test_the_log_counts_the_files_in_their_place(tmp_path):
    write_files(tmp_path / "out", {"train/b.png": FILES["train/b.png"]})
    news = []

    fetch(make_dataset(), tmp_path / "out", [str(write_files(tmp_path / "mirror"))], lambda *call: news.append(call))

    assert news == [(1, {"files": 1.0}), (2, {"files": 2.0}), (3, {"files": 3.0})]


def test_the_pause_between_tries_doubles(tmp_path, server, monkeypatch):
    pauses = []
    monkeypatch.setattr("nasir.data.fetch.transfer.time.sleep", pauses.append)
    server.answers["/x"] = lambda handler: send(handler, b"", status=500)

    with pytest.raises(TransferError, match=r"answered 500 .*; tried 4 times"):
        download(f"{server.url}/x", tmp_path / "x", Patience(tries=4, timeout_s=1, backoff_s=0.5))

    assert pauses == [0.5, 1.0, 2.0]
    assert not (tmp_path / "x").exists()


def test_patience_without_tries_is_refused():
    with pytest.raises(ValueError, match="tries and timeout_s must be positive"):
        Patience(tries=0)


def test_a_server_that_gives_a_byte_now_and_then_is_given_up(tmp_path, server, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENT", 2)

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        with suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.1)

    server.answers["/x"] = drip
    start = time.monotonic()

    with pytest.raises(TransferError, match=r"wrong length: \d+ bytes came, 1000 expected|connection broken"):
        download(f"{server.url}/x", tmp_path / "x", Patience(tries=1, timeout_s=0.3, backoff_s=0))
    assert time.monotonic() - start < 5  # of the ten seconds that it would have gone on
    assert not (tmp_path / "x").exists()


def test_a_body_without_end_is_no_file(tmp_path, server):
    def pour(handler):
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(bytes(65_536))

    server.answers["/x"] = pour

    with pytest.raises(TransferError, match="gave more than 1000000 bytes, the most that such a file may have"):
        download(f"{server.url}/x", tmp_path / "x", HASTY, most=1_000_000)
    assert not (tmp_path / "x").exists()


def test_a_length_that_is_no_number_is_no_length(tmp_path, server):
    server.answers["/x"] = lambda handler: send(handler, b"x", announced="abc")

    with pytest.raises(TransferError, match="announced 'abc' bytes, expected a number"):
        download(f"{server.url}/x", tmp_path / "x", HASTY)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive_is_a_trouble_and_the_place_behind_it_is_asked(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "toy.zip", "w", method) as archive:
        for path, data in FILES.items():
            archive.writestr(path, data)
    data = bytearray((tmp_path / "toy.zip").read_bytes())
    start = data.index(b"train/a.png") + len("train/a.png")
    data[start + 9 : start + 29] = b"\xff" * 20
    (tmp_path / "toy.zip").write_bytes(data)

    found, troubles = fetch_toy(tmp_path / "out", [tmp_path / "toy.zip", write_files(tmp_path / "good")])

    assert sum(found.values()) == 3
    assert "toy.zip: no whole archive that can be read" in troubles[0]


def test_a_header_that_claims_much_is_not_read_whole(tmp_path):
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 2**31
    (tmp_path / "toy.tgz").write_bytes(gzip.compress(header.tobuf() + bytes(10_000)))

    with pytest.raises(
        ValueError, match=r"toy.tgz: no whole archive .*a header of 2147483648 bytes, more than 16777216"
    ):
        fetch_toy(tmp_path / "out", [tmp_path / "toy.tgz"])


def test_what_looks_like_a_url_and_is_none_is_a_trouble(tmp_path):
    found, [trouble] = fetch_toy(tmp_path / "out", ["http://[::1", write_files(tmp_path / "good")])

    assert sum(found.values()) == 3
    assert trouble == "'http://[::1': no URL that can be read"


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 300}.org"])
def test_a_host_that_cannot_be_one_is_a_trouble_and_the_place_behind_it_is_asked(tmp_path, host):
    found, [trouble] = fetch_toy(tmp_path / "out", [f"http://{host}/x.zip", write_files(tmp_path / "good")])

    assert sum(found.values()) == 3
    assert trouble.startswith(f"http://{host}/x.zip: no file there (")


def test_no_message_has_the_password_of_a_mirror(tmp_path, server):
    server.serve(FILES, "/base/")
    secret = server.url.replace("://", "://user:secret@")
    found, _ = fetch_toy(tmp_path / "out", [f"{secret}/base/"])
    assert list(found) == [secret.replace("user:secret", "***") + "/base/"]
    with pytest.raises(ValueError, match=r"\*\*\*@127") as caught:
        fetch_toy(tmp_path / "other", ["http://user:secret@127.0.0.1:9/x.zip"])
    assert "secret" not in str(caught.value)
