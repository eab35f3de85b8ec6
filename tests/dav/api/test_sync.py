"""The requests of syncd against the real server: states, changes, parts, commits."""

from __future__ import annotations

import random
import threading

import pytest

import cas
from cas import wire
from dav.grants import grant
from dav.identity import Right
from syncd.remote.client import Remote
from syncd.remote.errors import ConflictError, GoneError, MissingError, RefusedError
from tests.support.device import Device, LocalFile
from tests.support.drive import Drive
from tests.support.volumes import put


def entry_at(device: Device, path: bytes) -> wire.RemoteEntry:
    pages = device.remote.tree(device.place)
    return next(item.entry for page in pages for item in page.items if item.path == path)


def random_bytes(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_the_account_sees_its_volumes_and_no_others(device: Device, bob: Remote) -> None:
    welcome = device.remote.welcome()
    assert device.volume.id in {volume.id for volume in welcome.volumes}
    assert welcome.account == "alice"
    assert device.volume.id not in {volume.id for volume in bob.welcome().volumes}
    assert welcome.keys == device.drive.repository.content_keys()


def test_a_small_file_takes_one_request_and_can_be_read_by_everybody(device: Device) -> None:
    done = device.put(b"letter.txt", b"Dear Bob")
    assert device.read("letter.txt") == b"Dear Bob"
    (entry,) = done.entries
    assert entry is not None
    assert entry == entry_at(device, b"letter.txt")
    assert done.sequence == done.before + 1 == device.remote.head(device.place).sequence


@pytest.mark.parametrize("size", [0, 1, 200_000, 3_000_000])
def test_files_of_all_sizes_go_up_and_come_back(device: Device, size: int) -> None:
    data = random_bytes(size, size)
    file = device.file(data)
    if size:
        device.remote.send(device.place, file.packed(), file.nodes.values())
    device.commit(wire.PutFile(b"file", file.content, 5, mode=0o755))
    assert device.read("file") == data
    entry = entry_at(device, b"file")
    assert entry.file_content == file.content
    assert (entry.mtime_ns, entry.mode) == (5, 0o755)
    if not file.offsets:
        return
    part = wire.FilePart(b"file", entry.content, file.offsets)
    found: list[wire.PackedChunk | None] = []
    while len(found) < len(file.offsets):
        rest = wire.FilePart(b"file", entry.content, file.offsets[len(found) :])
        found += device.remote.chunks(device.place, 0, [rest])
    plain = [wire.unpack_chunk(chunk, device.keys) for chunk in found if chunk is not None]
    assert b"".join(plain) == data
    nodes = [wire.Located(node_id, 0) for node_id in list(file.nodes)[-1:]]
    roots = device.remote.nodes(device.place, 0, [part.__class__(b"file", entry.content, nodes)])
    assert roots == list(file.nodes.values())[-1:]


def test_what_was_not_sent_is_named(device: Device) -> None:
    file = device.file(random_bytes(1, 500_000))
    with pytest.raises(MissingError) as caught:
        device.commit(wire.PutFile(b"file", file.content, 5))
    assert caught.value.missing.nodes == [file.content.id]
    with pytest.raises(MissingError) as caught:
        device.commit(wire.PutFile(b"file", file.content, 5), nodes=list(file.nodes.values()))
    missing = caught.value.missing
    assert missing.nodes == []
    assert set(missing.chunks) == set(file.chunks)
    device.remote.send(device.place, file.packed(missing.chunks), file.nodes.values())
    assert device.remote.missing(device.place, file.chunks, file.nodes) == wire.Missing([], [])
    device.commit(wire.PutFile(b"file", file.content, 5))


def test_an_insert_at_the_front_sends_a_chunk_and_two_nodes(device: Device) -> None:
    data = random_bytes(2, 20_000_000)
    with device.volume.upload() as upload:
        upload.write(data)
        with device.volume.edit() as edit:
            edit.put("big", upload)
    old, new = device.file(data), device.file(b"!" + data)
    found = cas.unshared(new.content, new.load, [(old.content, old.load)])
    chunks = new.packed([chunk_id for chunk_id, _ in found.chunks])
    nodes = [new.nodes[node_id] for node_id in found.nodes]
    operation = wire.PutFile(b"big", new.content, 5, expect=wire.Unchanged(), bases=[b"big"])
    request = wire.CommitRequest(device.place, "key", edit.sequence, [operation], chunks, nodes)
    assert len(wire.encode_message(request)) < 300_000
    device.remote.commit(request)
    assert device.read("big") == b"!" + data


def test_bases_say_what_is_there_and_other_files_do_not(device: Device) -> None:
    data = random_bytes(3, 1_000_000)
    put(device.volume, "here", data)
    file = device.file(data)
    assert device.remote.missing(device.place, file.chunks).chunks == list(file.chunks)
    found = device.remote.missing(device.place, file.chunks, file.nodes, bases=[b"here"])
    assert found == wire.Missing([], [])


def test_a_chunk_of_somebody_else_is_neither_told_of_nor_given(
    device: Device, bob: Remote, drive: Drive
) -> None:
    secret = random_bytes(4, 10_000)
    device.put(b"secret", secret)
    place = wire.Place(drive.repository.volume("bob").id)
    file = device.file(secret)
    assert bob.missing(place, file.chunks).chunks == list(file.chunks)
    request = wire.CommitRequest(place, "k", 0, [wire.PutFile(b"stolen", file.content, 5)])
    with pytest.raises(MissingError):
        bob.commit(request)
    part = wire.FilePart(b"secret", file.content.id, file.offsets)
    with pytest.raises(GoneError):
        bob.chunks(device.place, 0, [part])
    assert bob.chunks(place, 0, [part]) == [None]


def test_a_chunk_is_given_only_where_the_file_has_it(device: Device) -> None:
    device.put(b"a", b"content of a")
    device.put(b"b", b"content of b")
    a, b = device.file(b"content of a"), device.file(b"content of b")
    wrong = [
        wire.FilePart(b"a", a.content.id, b.offsets),
        wire.FilePart(b"a", b.content.id, b.offsets),
        wire.FilePart(b"a", a.content.id, [wire.Located(a.content.id, 10_000)]),
        wire.FilePart(b"a", a.content.id, [wire.Located(a.content.id, -1)]),
        wire.FilePart(b"missing", a.content.id, a.offsets),
    ]
    assert device.remote.chunks(device.place, 0, wrong) == [None] * 5
    assert device.remote.nodes(device.place, 0, wrong) == [None] * 5


def test_all_operations_and_their_changes(device: Device) -> None:
    device.put(b"a.txt", b"a")
    base = device.remote.head(device.place).sequence
    done = device.commit(
        wire.MakeFolder(b"folder", mtime_ns=7),
        wire.Move(b"a.txt", b"folder/b.txt"),
        wire.Copy(b"folder", b"copy"),
        wire.PutLink(b"link", b"../outside", 9),
        wire.SetAttributes(b"copy/b.txt", mode=0o700),
        wire.Remove(b"folder"),
    )
    assert device.paths() == ["copy", "copy/b.txt", "link"]
    assert [entry is None for entry in done.entries] == [False] * 5 + [True]
    delta = device.remote.delta(device.place, base)
    assert [(change.action.name, change.path, change.source) for change in delta.changes] == [
        ("MAKE_DIRECTORY", b"folder", None),
        ("MOVE", b"folder/b.txt", b"a.txt"),
        ("COPY", b"copy", b"folder"),
        ("PUT", b"link", None),
        ("SET_PROPERTIES", b"copy/b.txt", None),
        ("REMOVE", b"folder", None),
    ]
    assert delta.sequence == delta.head == done.sequence
    assert {change.author for change in delta.changes} == {"alice"}


def test_a_folder_that_is_renamed_is_one_change(device: Device) -> None:
    with device.volume.edit() as edit:
        edit.make_directory("many")
        for number in range(500):
            edit.put(f"many/{number}", cas.EMPTY_CONTENT)
    done = device.commit(wire.Move(b"many", b"renamed", wire.Unchanged()), base=edit.sequence)
    assert done.sequence == done.before + 1
    (change,) = device.remote.delta(device.place, edit.sequence).changes
    assert (change.action, change.source, change.path) == (cas.Action.MOVE, b"many", b"renamed")


def test_expectations_that_do_not_hold_are_all_told_and_nothing_is_done(device: Device) -> None:
    device.put(b"a", b"1")
    base = device.remote.head(device.place).sequence
    old = entry_at(device, b"a")
    device.put(b"a", b"2")
    new = entry_at(device, b"a")
    fine: list[wire.Operation] = [
        wire.Remove(b"none", wire.Absent()),
        wire.SetAttributes(b"a", 1, expect=wire.HasEntry(new.id)),
        wire.SetAttributes(b"a", 1, expect=wire.HasContent(new.content)),
        wire.SetAttributes(b"a", 1, expect=wire.Exists()),
    ]
    wrong: list[wire.Operation] = [
        wire.Remove(b"a", wire.Absent()),
        wire.Remove(b"none", wire.Exists()),
        wire.Remove(b"a", wire.HasEntry(old.id)),
        wire.Remove(b"a", wire.HasContent(old.content)),
        wire.Remove(b"a", wire.Unchanged()),
        wire.Move(b"none", b"b", wire.Unchanged(), wire.Exists()),
    ]
    with pytest.raises(ConflictError) as caught:
        device.commit(*fine, *wrong, base=base)
    refusal = caught.value.refusal
    assert [failure.index for failure in refusal.failures] == [4, 5, 6, 7, 8, 9]
    assert refusal.head is not None
    assert refusal.head.sequence == device.remote.head(device.place).sequence
    assert device.read("a") == b"2"


def test_a_commit_that_is_sent_again_is_not_done_again(device: Device) -> None:
    base = device.remote.head(device.place).sequence
    first = device.commit(wire.MakeFolder(b"folder"), key="once", base=base)
    again = device.commit(wire.MakeFolder(b"folder"), key="once", base=base)
    assert again.is_repeated
    assert (again.before, again.sequence) == (first.before, first.sequence)
    assert device.remote.delta(device.place, base).changes[0].key == "once"


def test_the_same_commit_from_many_threads_is_done_once(device: Device) -> None:
    answers: list[wire.Committed] = []

    def send() -> None:
        answers.append(device.commit(wire.MakeFolder(b"folder"), key="same"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(answer.before, answer.sequence) for answer in answers}) == 1
    assert sum(not answer.is_repeated for answer in answers) == 1


def test_pages_of_a_listing_are_of_one_state(device: Device) -> None:
    names = ["a", "a/b", "a/b/c", "a.txt", "a/b/c/d", "z", "a/y"]
    with device.volume.edit() as edit:
        for name in sorted(names):
            edit.make_directory(name)
    pages = device.remote.tree(device.place, limit=2)
    found = [item.path.decode() for item in next(pages).items]
    device.commit(wire.Remove(b"z"))
    found += [item.path.decode() for page in pages for item in page.items]
    with device.volume.at_sequence(edit.sequence) as view:
        assert found == [path for path, _ in view.walk()]
    flat = [page.items for page in device.remote.tree(device.place, path=b"a", is_recursive=False)]
    assert [item.path for items in flat for item in items] == [b"a/b", b"a/y"]


def test_a_folder_of_a_volume_can_be_the_root_of_a_link(device: Device) -> None:
    with device.volume.edit() as edit:
        edit.make_directory("in/sub", parents=True)
        edit.make_directory("out")
    inside = wire.Place(device.volume.id, b"in")
    base = device.remote.head(inside).sequence
    device.commit(
        wire.MakeFolder(b"out/a"),
        wire.MakeFolder(b"in/a"),
        wire.Move(b"in/a", b"in/b"),
        wire.Move(b"in/sub", b"out/sub"),
        wire.Move(b"out/a", b"in/moved"),
        wire.SetAttributes(b"in", mode=0o700),
    )
    changes = device.remote.delta(inside, base).changes
    assert [(change.action.name, change.path, change.source) for change in changes] == [
        ("MAKE_DIRECTORY", b"a", None),
        ("MOVE", b"b", b"a"),
        ("REMOVE", b"sub", None),
        ("COPY", b"moved", None),
    ]
    items = [item.path for page in device.remote.tree(inside) for item in page.items]
    assert items == [b"b", b"moved"]
    head = device.remote.head(inside)
    device.commit(wire.Move(b"in", b"elsewhere"))
    assert device.remote.delta(wire.Place(device.volume.id, b"elsewhere"), head.sequence).is_unknown
    with pytest.raises(GoneError):
        device.remote.head(inside)


def test_a_state_that_the_server_never_had_is_unknown(device: Device) -> None:
    head = device.remote.head(device.place)
    assert device.remote.delta(device.place, head.sequence + 5).is_unknown
    with pytest.raises(RefusedError) as caught:
        device.remote.page(device.place, sequence=head.sequence + 5)
    assert caught.value.status == 410


def test_a_rollback_of_the_volume_is_unknown(device: Device) -> None:
    base = device.remote.head(device.place).sequence
    with device.volume.at_sequence(base) as view, device.volume.edit() as edit:
        edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
    assert device.remote.delta(device.place, base).is_unknown


def test_a_request_waits_until_somebody_writes(device: Device) -> None:
    base = device.remote.head(device.place).sequence
    found: list[wire.Delta] = []
    thread = threading.Thread(
        target=lambda: found.append(device.remote.delta(device.place, base, wait_seconds=60))
    )
    thread.start()
    put(device.volume, "new", b"x")
    thread.join(30)
    assert [change.path for change in found[0].changes] == [b"new"]


def test_names_of_any_bytes_go_both_ways(device: Device) -> None:
    names = [
        "🎈".encode(),
        b"new\nline",
        b"\xff\xfe",
        b"a" * 255,
        b" ",
        b"\\",
        b"%2F",
        b".snapshots",
    ]
    device.commit(*(wire.MakeFolder(name) for name in names))
    found = [item.path for page in device.remote.tree(device.place) for item in page.items]
    assert found == sorted(names)
    inside = wire.Place(device.volume.id, b"\xff\xfe")
    assert device.remote.head(inside).root.kind is cas.EntryKind.DIRECTORY


def test_a_lock_of_webdav_is_respected(device: Device, drive: Drive) -> None:
    device.put(b"locked", b"x")
    client = drive.client("alice")
    client.lock(f"/dav/{device.volume.name}/locked")
    client.connection.close()
    with pytest.raises(RefusedError) as caught:
        device.commit(wire.MakeFolder(b"fine"), wire.Remove(b"locked"))
    assert caught.value.status == 423
    assert [failure.index for failure in caught.value.refusal.failures] == [1]
    assert device.paths() == ["locked"]


def test_the_quota_is_kept(device: Device, drive: Drive) -> None:
    drive.repository.set_quota(device.volume.name, 100)
    with pytest.raises(RefusedError) as caught:
        device.put(b"big", b"x" * 101)
    assert caught.value.status == 507
    device.put(b"fits", b"x" * 100)
    head = device.remote.head(device.place)
    assert (head.used, head.quota) == (100, 100)


def test_whoever_only_reads_changes_nothing(device: Device, bob: Remote, drive: Drive) -> None:
    with pytest.raises(GoneError):
        bob.head(device.place)
    grant(drive.repository, device.volume.name, "bob", Right.READ)
    assert bob.head(device.place).sequence
    file = LocalFile(b"x", device.keys)
    for attempt in (
        lambda: bob.send(device.place, file.packed()),
        lambda: bob.missing(device.place, file.chunks),
        lambda: bob.commit(wire.CommitRequest(device.place, "k", 0, [wire.MakeFolder(b"f")])),
    ):
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert caught.value.status == 403
    assert device.paths() == []
