// File formats as bytes (F1): there and back, in pieces, and every documented error.
#include "test.hpp"

#include <cstring>

namespace {

namespace formats = s3dlio::formats;
using namespace std::string_view_literals;

template <class Bytes>
Bytes records_of(std::size_t count) {
    Bytes file;
    for (std::size_t i = 0; i < count; ++i) formats::append_tfrecord(file, test::noise(i * 7, i + 1));
    return file;
}

void records() {
    const std::string file = records_of<std::string>(50);
    const std::vector<s3dlio::byte_view> found = formats::tfrecord_records(file);
    CHECK_EQ(found.size(), 50u);
    for (std::size_t i = 0; i < found.size(); ++i) CHECK_EQ(std::string(found[i].text()), test::noise(i * 7, i + 1));
    CHECK(reinterpret_cast<const char*>(found[1].data()) == file.data() + 16 + 12); // a view, behind an empty record
    const std::vector<std::byte> bytes = records_of<std::vector<std::byte>>(50);
    CHECK(bytes.size() == file.size() && std::memcmp(bytes.data(), file.data(), file.size()) == 0);
    CHECK(formats::tfrecord_records(s3dlio::byte_view()).empty());

    for (const formats::index_kind kind : {formats::index_kind::pairs, formats::index_kind::text}) {
        const s3dlio::buffer index = formats::tfrecord_index(file, kind);
        const std::vector<formats::extent> frames = formats::tfrecord_frames(index, file.size());
        CHECK_EQ(frames.size(), 50u);
        const s3dlio::byte_view frame = s3dlio::byte_view(file).subview(frames[9].offset, frames[9].length);
        CHECK_EQ(std::string(formats::tfrecord_records(frame).at(0).text()), test::noise(63, 10));
        CHECK_EQ(formats::tfrecord_frames(index).size(), 50u);
        CHECK_EQ(frames[49].offset + frames[49].length, file.size());
        CHECK_THROWS(S3DLIO_ERR_CORRUPT, ({}), formats::tfrecord_frames(index, file.size() + 1));
    }
    CHECK_HAS(formats::tfrecord_index(file, formats::index_kind::text).text(), "0 16\n16 23\n");

    CHECK_THROWS(S3DLIO_ERR_TRUNCATED, ({}), formats::tfrecord_records(std::string_view(file).substr(0, file.size() - 1)));
    std::string damaged = file;
    damaged[16 + 13] ^= 1;
    const s3dlio::error error = CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({}), formats::tfrecord_records(damaged));
    CHECK_EQ(std::string(error.detail("offset")), "28");
    CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({}), formats::tfrecord_index(damaged));
}

void archives() {
    std::string archive;
    formats::append_tar(archive, "dir/a.txt", "hello"sv);
    formats::append_tar(archive, std::string(300, 'x') + ".jpg", test::noise(1000));
    const std::size_t before = archive.size();
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({}), formats::append_tar(archive, "", "x"sv));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NUL"}), formats::append_tar(archive, "a\0b"sv, "x"sv));
    CHECK_EQ(archive.size(), before); // as it was
    formats::finish_tar(archive);
    CHECK(archive.size() == before + 1024 && archive.size() % 512 == 0);
    CHECK(archive.compare(257, 5, "ustar") == 0 && archive.compare(512, 6, "hello\0"sv) == 0);

    // The loader reads it: both files, one sample each.
    const s3dlio::store store("memory://cpp-tar");
    store.create_container();
    store.put("a.tar", archive);
    s3dlio::dataset_params params;
    params.format = s3dlio::format::tar;
    const s3dlio::dataset dataset("memory://cpp-tar/", params);
    s3dlio::loader loader(dataset);
    const std::optional<s3dlio::batch> first = loader.next(), second = loader.next();
    CHECK(first && second && !loader.next());
    CHECK_EQ(std::string((*first)[0].name()), "dir/a");
    CHECK_EQ(std::string((*first)[0].find("txt")->text()), "hello");
    CHECK_EQ(std::string((*second)[0].find("jpg")->text()), test::noise(1000));
}

void arrays() {
    const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
    const s3dlio::buffer head = formats::npy_head("<f4", {3, 2}, true);
    const formats::npy_info info = formats::npy_parse(head, head.size() + 24);
    CHECK(info.descr == "<f4" && info.shape == s3dlio::extents({3, 2}) && info.fortran_order);
    CHECK(info.offset == head.size() && info.length == 24 && info.offset % 64 == 0);
    CHECK_THROWS(S3DLIO_ERR_TRUNCATED, ({}), formats::npy_parse(head, head.size() + 23));
    CHECK_THROWS(S3DLIO_ERR_CORRUPT, ({}), formats::npy_parse("no array here"sv));
    const s3dlio::error small = CHECK_THROWS(S3DLIO_ERR_BUFFER_TOO_SMALL, ({}), formats::npy_parse(s3dlio::byte_view(head).subview(0, 20), 1000));
    CHECK_EQ(small.required(), head.size());
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({}), formats::npy_head("BF16", {1}));
    CHECK(formats::npy_parse(formats::npy_head("F64", {}), 136).shape.empty());

    const std::vector<std::int64_t> labels = {7, -1};
    const std::vector<formats::array> given = {
        formats::array::of("x", {2, 3}, numbers), formats::array::of("label", {2}, labels), {"flag", "|b1", {}, "\x01"sv}};
    const s3dlio::buffer file = formats::npz(given);
    const std::vector<formats::npz_member> members = formats::npz_members(file);
    CHECK_EQ(members.size(), 3u);
    CHECK(members[0].name == "x.npy" && members[1].name == "label.npy" && members[2].name == "flag.npy" && members[0].method == 0);
    const s3dlio::buffer one = formats::npz_unpack(members[1], s3dlio::byte_view(file).subview(members[1].offset, members[1].length));
    const formats::npy_info facts = formats::npy_parse(one);
    CHECK(facts.descr == "<i8" && facts.shape == s3dlio::extents({2}) && !facts.fortran_order && facts.length == 16);
    CHECK(std::memcmp(one.data() + facts.offset, labels.data(), 16) == 0);
    CHECK_THROWS(S3DLIO_ERR_TRUNCATED, ({}), formats::npz_unpack(members[1], s3dlio::byte_view(file).subview(members[1].offset, 20)));
    std::string damaged(file.text());
    damaged[members[0].packed] ^= 1;
    CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({}), formats::npz_unpack(members[0], damaged));

    const s3dlio::buffer hdf5 = formats::hdf5({given[0], given[1]});
    CHECK_EQ(hdf5.text().substr(0, 8), "\x89HDF\r\n\x1a\n"sv);
    CHECK(hdf5.text().find({reinterpret_cast<const char*>(numbers.data()), 24}) != std::string_view::npos);
    std::vector<formats::array> wrong = {given[0], given[1]};
    wrong[1].shape = {3};
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"label"}), formats::npz(wrong));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"label"}), formats::hdf5(wrong));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"x"}), formats::npz({given[0], given[0]}));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NUL"}), formats::npz({formats::array::of(std::string("a\0b"sv), {6}, numbers)}));
}

/// Of a large file single members by ranges: more of the end than is read at first, where the directory needs it.
void members(test::backend& on) {
    const s3dlio::store store = on.store();
    std::vector<std::vector<std::uint32_t>> numbers;
    std::vector<formats::array> given;
    for (std::uint32_t i = 0; i < 1000; ++i) numbers.push_back({i, i + 1, i + 2});
    for (std::size_t i = 0; i < 1000; ++i) given.push_back(formats::array::of("a-long-name-for-an-array-" + std::to_string(i), {3}, numbers[i]));
    store.put("many.npz", formats::npz(given));
    const s3dlio::reader file(store, "many.npz");
    const std::vector<formats::npz_member> found = formats::npz_members(file);
    CHECK_EQ(found.size(), 1000u);
    for (const std::size_t i : {std::size_t{0}, std::size_t{999}}) {
        CHECK_EQ(found[i].name, given[i].name + ".npy");
        const s3dlio::buffer one = formats::npz_read(file, found[i]);
        CHECK(std::memcmp(one.data() + formats::npy_parse(one).offset, numbers[i].data(), 12) == 0);
    }
    store.put("none.npz", std::string(100'000, 'x'));
    CHECK_THROWS(S3DLIO_ERR_TRUNCATED, ({"early"}), formats::npz_members(s3dlio::reader(store, "none.npz")));
}

} // namespace

TEST(formats_of_records) { records(); }
TEST(formats_of_archives) { archives(); }
TEST(formats_of_arrays) { arrays(); }
BACKEND_TEST(formats_of_members) { members(on); }
