"""TFRecord framing and `tf.train.Example` against other people's checksum and protobuf."""

import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongbax.converters.tf_example import example_bytes, parse_example
from strongbax.converters.tfrecord import masked_crc, read_records, write_records
from strongbax.vault.errors import FormatError, NotFoundError

INTS = [0, 1, 127, 128, 16384, 2**31, 2**62, -1, -(2**63), 2**63 - 1]
VALUES = {
    "ints": np.array(INTS),
    "small": np.arange(100),
    "floats": np.array([0.5, -0.0, np.inf], np.float32),
    "öffne/tür": [b"", b"\x00\xff", "schön".encode()],
    "none": [],
}


@pytest.fixture(scope="session")
def message():
    """The message as protobuf's own library knows it, from its definition in tensorflow/core/example."""
    pool = pytest.importorskip("google.protobuf.descriptor_pool").DescriptorPool()
    from google.protobuf import descriptor_pb2, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="e.proto", package="t", syntax="proto3")

    def add(name, *fields):
        made = file.message_type.add(name=name)
        for number, (field, kind, many, of) in enumerate(fields, 1):
            label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=of or None)
        return made

    add("BytesList", ("value", kinds.TYPE_BYTES, True, ""))
    add("FloatList", ("value", kinds.TYPE_FLOAT, True, ""))
    add("Int64List", ("value", kinds.TYPE_INT64, True, ""))
    lists = [("bytes_list", ".t.BytesList"), ("float_list", ".t.FloatList"), ("int64_list", ".t.Int64List")]
    add("Feature", *((field, kinds.TYPE_MESSAGE, False, of) for field, of in lists))
    add("Entry", ("key", kinds.TYPE_STRING, False, ""), ("value", kinds.TYPE_MESSAGE, False, ".t.Feature"))
    add("Features", ("feature", kinds.TYPE_MESSAGE, True, ".t.Entry"))
    add("Example", ("features", kinds.TYPE_MESSAGE, False, ".t.Features"))
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def same(one, other):
    assert one.keys() == other.keys()
    for key, values in one.items():
        if isinstance(values, list):
            assert other[key] == values
        else:
            np.testing.assert_array_equal(other[key], values, strict=True)


def test_what_is_written_is_read():
    """Every list comes back, the ends of int64 and empty ones too."""
    same(VALUES, parse_example(example_bytes(VALUES)))
    assert parse_example(b"") == {}


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_any_numbers_come_back(numbers):
    """A list of int64 is what it was, whatever the lengths of its numbers."""
    found = parse_example(example_bytes({"a": np.array(numbers, np.int64)}))["a"]
    np.testing.assert_array_equal(found, np.array(numbers, np.int64))


def test_protobuf_reads_what_we_write(message):
    """Google's library reads our bytes to the same lists."""
    found = message.FromString(example_bytes(VALUES))
    lists = {entry.key: entry.value for entry in found.features.feature}
    assert list(lists["ints"].int64_list.value) == INTS
    assert list(lists["floats"].float_list.value) == [0.5, -0.0, float("inf")]
    assert list(lists["öffne/tür"].bytes_list.value) == VALUES["öffne/tür"]


def test_we_read_what_protobuf_writes(message):
    """Lists that Google's library wrote are read to the same values."""
    made = message()
    made.features.feature.add(key="ints").value.int64_list.value.extend(INTS)
    made.features.feature.add(key="floats").value.float_list.value.extend([0.5, -2.0])
    made.features.feature.add(key="bytes").value.bytes_list.value.extend([b"", b"x"])
    wanted = {"ints": np.array(INTS), "floats": np.array([0.5, -2.0], np.float32), "bytes": [b"", b"x"]}
    same(wanted, parse_example(made.SerializeToString()))


def test_numbers_that_are_not_packed_are_read():
    """Older writers put each number in a field of its own."""
    floats = b"\x12\x0a" + b"".join(b"\x0d" + struct.pack("<f", value) for value in (1.5, 2.5))
    ints = b"\x1a\x05" + b"\x08\x01" + b"\x08\x80\x01"
    entries = b""
    for key, feature in ((b"f", floats), (b"i", ints)):
        entry = b"\x0a\x01" + key + b"\x12" + bytes([len(feature)]) + feature
        entries += b"\x0a" + bytes([len(entry)]) + entry
    found = parse_example(b"\x0a" + bytes([len(entries)]) + entries)
    same({"f": np.array([1.5, 2.5], np.float32), "i": np.array([1, 128])}, found)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\xff" * 20, b"\x08\x01", b"\x12\x02\x0a\x00"])
def test_bytes_that_are_no_example_are_refused(data: bytes):
    """Cut, foreign and sequence examples are one error."""
    with pytest.raises(FormatError, match=r"no tf\.train\.Example"):
        parse_example(data)


def test_a_list_cut_within_a_number_is_refused():
    """A list whose last number goes on has lost bytes."""
    data = example_bytes({"a": np.array([300])})
    with pytest.raises(FormatError, match="cut off"):
        parse_example(data[:-1] + b"\x82")


def test_the_checksum_is_tensorflows():
    """Masked CRC-32C is made of the CRC-32C of Google's library."""
    for data in (b"", b"abc", bytes(1000)):
        crc = google_crc32c.value(data)
        assert masked_crc(data) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_records_come_back_and_files_have_a_limit(tmp_path: Path):
    """Records lie end to end; past the limit a new file begins, and no file is without records."""
    records = [bytes([n]) * (10 * n) for n in range(6)]
    written = write_records(tmp_path / "r", records, limit=60)
    found = [list(read_records(tmp_path / f"r.{n}")) for n in range(len(written))]
    assert [one for file in found for one in file] == records
    assert all(found)
    sizes = [(tmp_path / f"r.{n}").stat().st_size for n in range(len(written))]
    assert written == [(len(file), size) for file, size in zip(found, sizes, strict=True)]


def test_every_flipped_byte_is_noticed(tmp_path: Path):
    """Whatever byte of a file changes, reading it fails."""
    write_records(tmp_path / "r", [b"one", b"three"])
    data = (tmp_path / "r").read_bytes()
    for at in range(len(data)):
        (tmp_path / "r").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(FormatError, match=r"Record [01] of "):
            list(read_records(tmp_path / "r"))


def test_a_cut_file_is_noticed(tmp_path: Path):
    """A file that ends within a record says so; one that is not there too."""
    write_records(tmp_path / "r", [b"one", b"three"])
    data = (tmp_path / "r").read_bytes()
    for cut in (25, len(data) - 1):
        (tmp_path / "r").write_bytes(data[:cut])
        with pytest.raises(FormatError, match=r"Record 1 of .* is cut off"):
            list(read_records(tmp_path / "r"))
    with pytest.raises(NotFoundError, match="no file"):
        list(read_records(tmp_path / "gone"))
