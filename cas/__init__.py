"""The storage engine of casdav.

    repository = cas.create("casdav-data")              # or cas.open(...)
    home = repository.create_volume("alice")

    upload = home.upload()                              # bytes -> chunks, hashed and deduplicated
    upload.write(b"hello")
    with home.edit(author="alice") as edit:             # one commit at the end, or none
        edit.put("hello.txt", upload)
        edit.make_directory("archive")
        edit.move("hello.txt", "archive/hello.txt")     # constant time, whatever its size

    with home.view() as view:                           # one state, pinned
        entry = view.entry("archive/hello.txt")
        for name, entry in view.list("archive"): ...
        with view.open("archive/hello.txt") as file:    # every byte checked against its hash
            file.seek(1), file.read()

A repository holds volumes, each a versioned tree of directories, files and links. Files are
Merkle trees of content-defined chunks keyed by BLAKE3, directories Merkle trees of entries; what
is equal is kept once. When an edit has been committed it survives a crash and a power cut. A
read returns what was written or raises IntegrityError.

Everything is synchronous and may be shared by threads unless it says otherwise; several
processes of one machine may have the same repository open. Errors form the tree in `cas.errors`.
The bytes on disk are specified in FORMAT.md.
"""

from cas import wire
from cas.chunking import ChunkParameters
from cas.clock import Clock, SystemClock
from cas.contents import (
    CHUNK_SIZE_LIMIT,
    NODE_LEVEL_LIMIT,
    ContentKeys,
    FoundPiece,
    NodeLoader,
    Unshared,
    chunks_of,
    identify_file,
    node_size,
    read_file_node,
    unshared,
)
from cas.deliveries import Delivered, Deliveries
from cas.diff import Difference, diff, moves_between
from cas.edits import Edit
from cas.errors import (
    AlreadyExistsError,
    BeforeHistoryError,
    CasError,
    ConflictError,
    ExpiredError,
    FormatError,
    IntegrityError,
    InvalidError,
    LockedError,
    NotFoundError,
    NotKeptError,
    PreconditionError,
    PurgedError,
    QuotaError,
    ReadOnlyError,
    StoreError,
    StoreFullError,
    WrongKeyError,
)
from cas.files import FileReader, FileWriter, StoredFiles
from cas.folders import FolderWriter
from cas.formats import NAME_SIZE_LIMIT, RepositoryConfig
from cas.group import TreeState
from cas.history import Recorded
from cas.ids import ObjectId
from cas.journal import Action, Change
from cas.kept import Beginning
from cas.keys import KEY_FILE_SIZE, Credential, KeyFile, NewKey, Passphrase, RepositoryKey, Unlock
from cas.locks import ConflictingLocksError, HeldLocks, Lock, Locks
from cas.log import LogItem
from cas.maintenance.chains import Chain, follow_chains
from cas.maintenance.check import check_repository
from cas.maintenance.collecting import CollectionReport
from cas.maintenance.collection import collect_garbage
from cas.maintenance.damage import Affected, CheckSummary, Damage, DamageKind
from cas.maintenance.fitness import require_fit_for_gateways
from cas.maintenance.freshening import freshness_of, set_freshness
from cas.maintenance.gateways import (
    ANNOUNCE_SECONDS,
    KnownGateway,
    announce_gateway,
    list_gateways,
    withdraw_gateway,
)
from cas.maintenance.keyring import (
    KeyInfo,
    Rotation,
    add_key,
    export_config,
    list_keys,
    remove_key,
    rotate_key,
)
from cas.maintenance.policies import set_volume_policy, volume_policy
from cas.maintenance.policy import DEFAULT_POLICY, VersionPolicy
from cas.maintenance.purging import PurgeReport, purge_path
from cas.maintenance.reindex import RebuildSource, RebuiltIndex, look_at_source, rebuild_index
from cas.maintenance.repair import RepairedPack, RepairReport, repair_repository
from cas.maintenance.replication import ReplicationReport, replicate
from cas.maintenance.sampling import Reading, Scrub, Share
from cas.maintenance.shared_collection import last_collection_ns
from cas.maintenance.statistics import (
    Growth,
    Kept,
    PackSums,
    StoredSums,
    growth,
    sum_kept,
    sum_packs,
    sum_states,
)
from cas.maintenance.takeover import Takeover, take_over
from cas.maintenance.undeleting import DeletedVolume, deleted_volumes, undelete_volume
from cas.maintenance.upgrading import Upgrade, upgrade
from cas.maintenance.validation import Finding, Need, validate_bucket
from cas.maintenance.watching import DamageWatcher, WaitedFor, Watcher
from cas.moves import Move
from cas.objects import EMPTY_CONTENT, Content, Entry, EntryKind, FileNode
from cas.opening import create
from cas.opening import open_repository as open
from cas.operations import ABSENT, EXISTS, Applied, ContentIs, EntryIs, Expectation
from cas.parts import FileParts, numbered_changes
from cas.past import beginning_text
from cas.printing import printable, printable_line
from cas.registry import VolumeInfo
from cas.repository import Repository
from cas.retention import UNLIMITED, CalendarSpan, Dated, Retention, Verdict, retain
from cas.scratch import Scratch
from cas.snapshots import Snapshot, SnapshotRecord, snapshot_name
from cas.structs import make_structs_ready
from cas.versions import PurgedVersions, is_stored, stored_version
from cas.views import View
from cas.volume import Volume

__all__ = [
    "ABSENT",
    "ANNOUNCE_SECONDS",
    "CHUNK_SIZE_LIMIT",
    "DEFAULT_POLICY",
    "EMPTY_CONTENT",
    "EXISTS",
    "KEY_FILE_SIZE",
    "NAME_SIZE_LIMIT",
    "NODE_LEVEL_LIMIT",
    "UNLIMITED",
    "Action",
    "Affected",
    "AlreadyExistsError",
    "Applied",
    "BeforeHistoryError",
    "Beginning",
    "CalendarSpan",
    "CasError",
    "Chain",
    "Change",
    "CheckSummary",
    "ChunkParameters",
    "Clock",
    "CollectionReport",
    "ConflictError",
    "ConflictingLocksError",
    "Content",
    "ContentIs",
    "ContentKeys",
    "Credential",
    "Damage",
    "DamageKind",
    "DamageWatcher",
    "Dated",
    "DeletedVolume",
    "Delivered",
    "Deliveries",
    "Difference",
    "Edit",
    "Entry",
    "EntryIs",
    "EntryKind",
    "Expectation",
    "ExpiredError",
    "FileNode",
    "FileParts",
    "FileReader",
    "FileWriter",
    "Finding",
    "FolderWriter",
    "FormatError",
    "FoundPiece",
    "Growth",
    "HeldLocks",
    "IntegrityError",
    "InvalidError",
    "Kept",
    "KeyFile",
    "KeyInfo",
    "KnownGateway",
    "Lock",
    "LockedError",
    "Locks",
    "LogItem",
    "Move",
    "Need",
    "NewKey",
    "NodeLoader",
    "NotFoundError",
    "NotKeptError",
    "ObjectId",
    "PackSums",
    "Passphrase",
    "PreconditionError",
    "PurgeReport",
    "PurgedError",
    "PurgedVersions",
    "QuotaError",
    "ReadOnlyError",
    "Reading",
    "RebuildSource",
    "RebuiltIndex",
    "Recorded",
    "RepairReport",
    "RepairedPack",
    "ReplicationReport",
    "Repository",
    "RepositoryConfig",
    "RepositoryKey",
    "Retention",
    "Rotation",
    "Scratch",
    "Scrub",
    "Share",
    "Snapshot",
    "SnapshotRecord",
    "StoreError",
    "StoreFullError",
    "StoredFiles",
    "StoredSums",
    "SystemClock",
    "Takeover",
    "TreeState",
    "Unlock",
    "Unshared",
    "Upgrade",
    "Verdict",
    "VersionPolicy",
    "View",
    "Volume",
    "VolumeInfo",
    "WaitedFor",
    "Watcher",
    "WrongKeyError",
    "add_key",
    "announce_gateway",
    "beginning_text",
    "check_repository",
    "chunks_of",
    "collect_garbage",
    "create",
    "deleted_volumes",
    "diff",
    "export_config",
    "follow_chains",
    "freshness_of",
    "growth",
    "identify_file",
    "is_stored",
    "last_collection_ns",
    "list_gateways",
    "list_keys",
    "look_at_source",
    "make_structs_ready",
    "moves_between",
    "node_size",
    "numbered_changes",
    "open",
    "printable",
    "printable_line",
    "purge_path",
    "read_file_node",
    "rebuild_index",
    "remove_key",
    "repair_repository",
    "replicate",
    "require_fit_for_gateways",
    "retain",
    "rotate_key",
    "set_freshness",
    "set_volume_policy",
    "snapshot_name",
    "stored_version",
    "sum_kept",
    "sum_packs",
    "sum_states",
    "take_over",
    "undelete_volume",
    "unshared",
    "upgrade",
    "validate_bucket",
    "volume_policy",
    "wire",
    "withdraw_gateway",
]
