"""A flipped byte in a stored object is found, whole and by range."""

import pytest

import s3dlio

DATA = bytes(range(256)) * 5000
AT = 700_001


def flip(store):
    """Stores the object with one bit changed, as a failing disk would."""
    broken = bytearray(DATA)
    broken[AT] ^= 0x10
    store.put("k", broken)


def test_validation_finds_a_flipped_byte(store):
    crc = s3dlio.crc32c(DATA)
    start, stop = AT - 1000, AT + 1000
    piece = s3dlio.crc32c(DATA[start:stop])
    store.put("k", DATA)
    store.validate("k", crc)
    store.validate("k", piece, offset=start, length=stop - start)
    flip(store)
    with pytest.raises(s3dlio.ChecksumMismatchError) as caught:
        store.validate("k", crc)
    error = caught.value
    assert error.uri == f"{store.uri}/k" and f"{crc:08x}" in error.details["expected"]
    with pytest.raises(s3dlio.ChecksumMismatchError) as caught:
        store.validate("k", piece, offset=start, length=stop - start)
    assert caught.value.details["offset"] == str(start)
    store.validate("k", s3dlio.crc32c(DATA[:start]), offset=0, length=start)
    with store.reader("k") as reader:
        reader.expect_crc32c(crc)
        with pytest.raises(s3dlio.ChecksumMismatchError):
            reader.read()


def test_validate_many_reports_each(store):
    crc = s3dlio.crc32c(DATA)
    flip(store)
    store.put("good", DATA)
    checks = [
        s3dlio.Check("good", crc),
        s3dlio.Check("k", crc),
        s3dlio.Check("missing", crc),
        s3dlio.Check("good", s3dlio.crc32c(DATA[5:25]), 5, 20),
    ]
    results = store.validate_many(checks, return_exceptions=True)
    assert results[0] is None and results[3] is None
    assert isinstance(results[1], s3dlio.ChecksumMismatchError) and isinstance(results[2], s3dlio.NotFoundError)
    with pytest.raises(s3dlio.ChecksumMismatchError):
        store.validate_many(checks)
    assert store.validate_many([checks[0], checks[3]]) == [None, None] and store.validate_many([]) == []


def test_stored_checksums_where_the_backend_has_them(store):
    store.put("k", DATA)
    if store.stat("k").crc32c is None:
        with pytest.raises(s3dlio.UnsupportedError):
            store.validate("k")
    else:
        store.validate("k")
        assert store.validate_many(["k"]) == [None]


def test_a_file_that_rots_on_disk(folder, tmp_path):
    folder.put("k", DATA)
    with open(tmp_path / "k", "r+b") as file:
        file.seek(AT)
        file.write(b"\xff")
    with pytest.raises(s3dlio.ChecksumMismatchError):
        folder.validate("k", s3dlio.crc32c(DATA))
