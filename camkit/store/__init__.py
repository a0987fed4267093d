"""Activation stores: HDF5 files that commands exchange. FORMAT.md describes the format."""

from camkit.store.describe import describe
from camkit.store.merge import merge_stores
from camkit.store.pipe import receive_store, send_store
from camkit.store.provenance import difference, sha256_file, stage
from camkit.store.reader import Reader, open_store
from camkit.store.schema import KINDS, Header, check_id, check_ids, shard_ids
from camkit.store.writer import Writer

__all__ = [
    "KINDS",
    "Header",
    "Reader",
    "Writer",
    "check_id",
    "check_ids",
    "describe",
    "difference",
    "merge_stores",
    "open_store",
    "receive_store",
    "send_store",
    "sha256_file",
    "shard_ids",
    "stage",
]
