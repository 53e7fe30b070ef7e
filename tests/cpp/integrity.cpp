// A changed byte is found, by whole object, range, many at once and while reading (SPEC I2).
#include "test.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace std::string_view_literals;

namespace {

/// Changes one byte of the stored object: in the file, as a failing disk would, with its times as
/// they were; elsewhere by storing the changed bytes.
void flip(test::backend& on, const s3dlio::store& store, const std::string& key, std::string data, std::size_t at) {
    data[at] = static_cast<char>(data[at] ^ 0x10);
    if (on.folder.empty()) {
        store.put(key, data);
        return;
    }
    const std::string path = on.folder + '/' + key;
    const auto time = std::filesystem::last_write_time(path);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(data[at]);
    file.close();
    CHECK(!file.fail());
    std::filesystem::last_write_time(path, time);
}

std::string crc_text(std::uint32_t crc) {
    char text[32];
    std::snprintf(text, sizeof text, "crc32c:%08x", static_cast<unsigned>(crc));
    return text;
}

} // namespace

BACKEND_TEST(flipped_byte_is_found) {
    const s3dlio::store store = on.store();
    const std::string data = test::noise((9 << 20) + 5);
    const std::size_t at = 7 << 20;
    const std::uint32_t crc = store.put("guarded", data).crc32c;
    const std::uint32_t front = s3dlio::crc32c(std::string_view(data).substr(0, 1000));
    const std::uint32_t around = s3dlio::crc32c(std::string_view(data).substr(at - 100, 200));
    store.validate("guarded", 0, s3dlio::to_end, crc);
    store.validate("guarded", 0, 1000, front);
    store.validate("guarded", at - 100, 200, around);

    flip(on, store, "guarded", data, at);
    const s3dlio::error whole = CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({on.uri + "/guarded", crc_text(crc), "offset 0"}),
                                             store.validate("guarded", 0, s3dlio::to_end, crc));
    CHECK_EQ(whole.detail("expected"), crc_text(crc));
    CHECK(!whole.detail("actual").empty() && whole.detail("actual") != crc_text(crc));
    CHECK(!whole.retryable());
    const s3dlio::error range = CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({on.uri + "/guarded", crc_text(around)}),
                                             store.validate("guarded", at - 100, 200, around));
    CHECK_EQ(range.detail("offset"), std::to_string(at - 100));
    store.validate("guarded", 0, 1000, front);

    const auto results = store.validate_many({{"guarded", 0, 1000, front}, {"guarded", at - 100, 200, around}, {"none"}, {"guarded", 0, s3dlio::to_end, crc}});
    CHECK_EQ(results.size(), 4u);
    CHECK(!results[0] && results[1] && results[2] && results[3]);
    CHECK_EQ(results[1]->code(), S3DLIO_ERR_CHECKSUM_MISMATCH);
    CHECK_EQ(results[2]->code(), S3DLIO_ERR_NOT_FOUND);
    CHECK_EQ(results[3]->code(), S3DLIO_ERR_CHECKSUM_MISMATCH);

    s3dlio::reader reader = store.reader("guarded");
    reader.expect_crc32c(crc);
    std::string memory(1 << 20, ' ');
    CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({on.uri + "/guarded", crc_text(crc)}), {
        while (reader.read(memory) > 0) {
        }
    });
    store.delete_object("guarded");
}

BACKEND_TEST(stored_checksum_finds_it_too) {
    const s3dlio::store store = on.store();
    const std::string data = test::noise(100000);
    store.put("recorded", data);
    if (!store.stat("recorded").crc32c) {
        CHECK_THROWS(S3DLIO_ERR_UNSUPPORTED, ({"CRC32C", "hint"}), store.validate("recorded"));
        return;
    }
    CHECK_EQ(*store.stat("recorded").crc32c, s3dlio::crc32c(data));
    store.validate("recorded");
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"whole object"}), store.validate("recorded", 5, 10));
    if (on.folder.empty()) return; // nobody else can change the stored bytes
    flip(on, store, "recorded", data, 50000);
    CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({crc_text(s3dlio::crc32c(data))}), store.validate("recorded"));
    store.delete_object("recorded");
}
