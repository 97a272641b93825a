"""Hashes of files that are read once."""

import os

import pytest

from maskgrid.io import fingerprint
from maskgrid.io.fingerprint import package_versions, sha256_of, sha256_once


def rewritten(path):
    path.write_bytes(b"other")


def replaced_by_an_older_one(path):
    other = path.with_name("other")
    other.write_bytes(b"other")
    known = path.stat()
    os.utime(other, ns=(known.st_atime_ns, known.st_mtime_ns))
    other.rename(path)


def rewritten_with_its_time(path):
    known = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))


@pytest.mark.parametrize("change", [rewritten, replaced_by_an_older_one, rewritten_with_its_time])
def test_a_file_is_hashed_again_once_it_changes(tmp_path, monkeypatch, change):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"these")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    read = []
    monkeypatch.setattr(fingerprint, "sha256_of", lambda given: read.append(given) or sha256_of(given))
    assert sha256_once(path) == sha256_once(path) == sha256_of(path)
    assert len(read) == 1
    change(path)
    assert sha256_once(path) == sha256_of(path)
    assert len(read) == 2


def test_the_versions_are_the_callers_own():
    package_versions().clear()
    assert "torch" in package_versions()
