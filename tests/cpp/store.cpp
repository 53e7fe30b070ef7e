// Objects on every backend: round trips, ranges, listings, conditions, readers, writers.
#include "test.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>

using namespace std::string_view_literals;

namespace {

std::vector<std::string> keys_of(s3dlio::lister lister) {
    std::vector<std::string> keys;
    for (const s3dlio::object_info& entry : lister) keys.push_back(entry.key);
    return keys;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string all;
    for (const std::string& part : parts) all += part + ' ';
    return all;
}

} // namespace

BACKEND_TEST(round_trip) {
    const s3dlio::store store = on.store();
    CHECK_EQ(store.uri(), on.uri);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{1} << 20}) {
        const std::string key = "round/" + std::to_string(size);
        const std::string data = test::noise(size);
        const s3dlio::write_stats stats = store.put(key, data);
        CHECK_EQ(stats.bytes, size);
        CHECK_EQ(stats.crc32c, s3dlio::crc32c(data));
        CHECK(stats.finished && !stats.etag.empty());
        CHECK_EQ(store.get(key).text(), data);
        const s3dlio::object_info info = store.stat(key);
        CHECK_EQ(info.size, size);
        CHECK_EQ(info.key, key);
        CHECK_EQ(info.uri, on.uri + '/' + key);
        CHECK_EQ(info.etag.value(), stats.etag);
        CHECK(info.kind == s3dlio::object_kind::object);
        CHECK(info.last_modified.value() > s3dlio::timestamp(std::chrono::hours(24 * 365 * 50)));
        CHECK(store.exists(key));
        store.delete_object(key);
        store.delete_object(key);
        CHECK(!store.exists(key));
    }
}

BACKEND_TEST(large_object_in_parts_and_ranges) {
    const s3dlio::store store = on.store();
    const std::string data = test::noise((21 << 20) + 13);
    store.put("large", data);
    std::string into(data.size() + 100, '\0');
    CHECK_EQ(store.get_into("large", into), data.size());
    into.resize(data.size());
    CHECK(into == data);
    CHECK(store.get("large").text() == data);
    store.delete_object("large");
}

BACKEND_TEST(ranges) {
    const s3dlio::store store = on.store();
    const std::string data = test::noise(10000);
    store.put("ranges", data);
    CHECK_EQ(store.get_range("ranges", 0, 1).text(), data.substr(0, 1));
    CHECK_EQ(store.get_range("ranges", 9990).text(), data.substr(9990));
    CHECK_EQ(store.get_range("ranges", 9990, 100).text(), data.substr(9990));
    CHECK_EQ(store.get_range("ranges", 10000).size(), 0u);
    char some[100];
    CHECK_EQ(store.get_range_into("ranges", 5000, some), 100u);
    CHECK_EQ(std::string_view(some, 100), data.substr(5000, 100));
    std::string a(10, ' '), b(20, ' '), c(30, ' ');
    std::vector<s3dlio::range> ranges = {s3dlio::make_range(9000, a), s3dlio::make_range(0, b), s3dlio::make_range(9980, c)};
    store.get_ranges("ranges", ranges);
    CHECK_EQ(a, data.substr(9000, 10));
    CHECK_EQ(b, data.substr(0, 20));
    CHECK_EQ(ranges[2].bytes_read, 20u);
    CHECK_EQ(c.substr(0, 20), data.substr(9980));

    s3dlio::reader reader = store.reader("ranges");
    CHECK_EQ(reader.size(), 10000u);
    CHECK_EQ(reader.info().key, "ranges");
    CHECK_EQ(reader.read_at(100, a), 10u);
    CHECK_EQ(a, data.substr(100, 10));
    ranges[0].bytes_read = 0;
    reader.readv_at(ranges);
    CHECK_EQ(ranges[0].bytes_read, 10u);
    CHECK_EQ(reader.tell(), 0u);
    CHECK_EQ(reader.read(b), 20u);
    CHECK_EQ(b, data.substr(0, 20));
    CHECK_EQ(reader.tell(), 20u);
    CHECK_EQ(reader.seek(-5, s3dlio::seek_from::end), 9995u);
    CHECK_EQ(reader.read(c), 5u);
    CHECK_EQ(reader.read(c), 0u);
    CHECK_EQ(reader.seek(1), 1u);
    CHECK_EQ(reader.seek(1, s3dlio::seek_from::current), 2u);
}

BACKEND_TEST(lists_are_ranges) {
    const s3dlio::store store = on.store();
    for (const std::string key : {"list/a", "list/b/1", "list/b/2", "list/c", "listing"}) store.put(key, key);
    CHECK_EQ(joined(keys_of(store.list("list/"))), "list/a list/b/1 list/b/2 list/c ");
    CHECK_EQ(joined(keys_of(store.list("list"))), "list/a list/b/1 list/b/2 list/c listing ");
    CHECK_EQ(joined(keys_of(store.list("list/", false))), "list/a list/b/ list/c ");
    CHECK_EQ(joined(keys_of(store.list("nothing/"))), "");

    s3dlio::lister lister = store.list("list/", false);
    auto it = lister.begin();
    CHECK_EQ(it->size, 6u);
    CHECK_EQ((*it++).key, "list/a");
    CHECK(it->kind == s3dlio::object_kind::prefix && it->key == "list/b/" && it->uri == on.uri + "/list/b/");
    CHECK_EQ(std::distance(it, lister.end()), 2);
    CHECK(!lister.next().has_value());

    s3dlio::lister again = store.list("list/");
    const auto found = std::find_if(again.begin(), again.end(), [](const s3dlio::object_info& e) { return e.size == 8; });
    CHECK_EQ(found->key, "list/b/1");

    CHECK_EQ(store.delete_prefix("list"), 4u);
    CHECK(store.exists("listing"));
    store.delete_object("listing");
}

BACKEND_TEST(containers_are_listed) {
    const s3dlio::store store = on.store();
    store.put("x", "x");
    const std::string name = on.uri.substr(on.uri.rfind('/') + 1);
    bool found = false;
    for (const s3dlio::object_info& entry : store.list_containers()) {
        if (entry.key == name) found = entry.kind == s3dlio::object_kind::container;
    }
    CHECK(found);
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({"create_container", on.uri}), store.create_container());
    CHECK_THROWS(S3DLIO_ERR_NOT_EMPTY, ({"delete_container", on.uri}), store.delete_container());
    store.delete_object("x");
}

BACKEND_TEST(metadata_and_conditions) {
    const s3dlio::store store = on.store();
    const s3dlio_capabilities caps = store.capabilities();
    CHECK(caps.max_parts > 0 && caps.max_part_size >= caps.min_part_size && caps.alignment > 0);
    if (caps.metadata != 0) {
        s3dlio::put_options put;
        put.content_type = "application/x-tensor";
        put.metadata = {{"step", "100"}, {"framework", "none at all"}};
        store.put("meta", "x", put);
        const s3dlio::object_info info = store.stat("meta");
        CHECK_EQ(info.content_type.value(), put.content_type);
        CHECK(info.metadata == put.metadata);
        s3dlio::writer writer = store.writer("meta2", put);
        writer.write("y");
        writer.finish();
        CHECK(store.reader("meta2").info().metadata == put.metadata);
        store.delete_object("meta");
        store.delete_object("meta2");
    } else {
        s3dlio::put_options put;
        put.metadata = {{"step", "100"}};
        CHECK_THROWS(S3DLIO_ERR_UNSUPPORTED, ({}), store.put("meta", "x", put));
    }
    s3dlio::put_options create;
    create.create_only = true;
    if (caps.conditional_put == 0) {
        CHECK_THROWS(S3DLIO_ERR_UNSUPPORTED, ({}), store.put("cond", "x", create));
        return;
    }
    const s3dlio::write_stats first = store.put("cond", "first", create);
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({on.uri + "/cond"}), store.put("cond", "second", create));
    s3dlio::put_options match;
    match.if_match = first.etag;
    store.put("cond", "third!", match);
    CHECK_THROWS(S3DLIO_ERR_PRECONDITION_FAILED, ({on.uri + "/cond"}), store.put("cond", "fourth", match));
    CHECK_EQ(store.get("cond").text(), "third!"sv);
    store.delete_object("cond");
}

BACKEND_TEST(copy_and_rename) {
    const s3dlio::store store = on.store();
    store.put("from", "data");
    store.copy("from", "to/copy");
    CHECK_EQ(store.get("to/copy").text(), "data"sv);
    store.rename("from", "to/moved");
    CHECK(!store.exists("from"));
    CHECK_EQ(store.get("to/moved").text(), "data"sv);
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({}), store.copy("from", "x"));
    CHECK_EQ(store.delete_prefix("to"), 2u);
}

BACKEND_TEST(get_many_gives_each_its_own_outcome) {
    const s3dlio::store store = on.store();
    for (int i = 0; i < 10; ++i) store.put("many/" + std::to_string(i), std::to_string(i * 1000));
    const std::vector<s3dlio::get_result> results = store.get_many({"many/3", "many/none", "many/9"});
    CHECK_EQ(results.size(), 3u);
    CHECK(results[0] && !results[1] && results[2]);
    CHECK_EQ(results[0].value().text(), "3000"sv);
    CHECK_EQ(results[2].data.text(), "9000"sv);
    CHECK_EQ(results[1].failure->code(), S3DLIO_ERR_NOT_FOUND);
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({on.uri + "/many/none"}), results[1].value());
    CHECK_EQ(store.get_many({}).size(), 0u);
    store.delete_prefix("many");
}

BACKEND_TEST(put_many_gives_each_its_own_outcome) {
    const s3dlio::store store = on.store();
    const std::string one = test::noise(1000);
    const std::vector<s3dlio::put_result> results = store.put_many({{"many/1", one}, {"", "x"sv}, {"many/3", ""sv}});
    CHECK_EQ(results.size(), 3u);
    CHECK(results[0] && !results[1] && results[2]);
    CHECK_EQ(results[0].crc32c, s3dlio_crc32c(0, one.data(), one.size()));
    CHECK_EQ(results[1].failure->code(), S3DLIO_ERR_INVALID_KEY);
    CHECK_EQ(store.get("many/1").text(), std::string_view(one));
    CHECK_EQ(store.get("many/3").size(), 0u);
    CHECK_EQ(store.put_many({}).size(), 0u);
    store.delete_prefix("many");
}

BACKEND_TEST(writer_streams) {
    const s3dlio::store store = on.store();
    const std::string data = test::noise((12 << 20) + 7);
    s3dlio::options small = on.options();
    small.set("transfer.part_size", "5MiB");
    s3dlio::writer writer = store.writer("streamed", small);
    CHECK_EQ(writer.key(), "streamed"sv);
    std::size_t at = 0;
    writer.write(s3dlio::byte_view(data).subview(0, 1000));
    at += 1000;
    while (at < data.size() / 2) {
        s3dlio::reservation memory = writer.reserve(1);
        CHECK(memory.size() > 0);
        const std::size_t n = std::min({memory.size(), data.size() - at, std::size_t{700001}});
        std::copy_n(data.data() + at, n, reinterpret_cast<char*>(memory.data()));
        memory.commit(n);
        at += n;
        CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"committed"}), memory.commit(1));
    }
    s3dlio::buffer rest(data.size() - at);
    std::copy(data.begin() + static_cast<std::ptrdiff_t>(at), data.end(), reinterpret_cast<char*>(rest.data()));
    CHECK_EQ(writer.stats().bytes, at);
    writer.write_buffer(std::move(rest));
    CHECK(rest.empty());
    CHECK(!store.exists("streamed"));
    const s3dlio::write_stats stats = writer.finish();
    CHECK_EQ(stats.bytes, data.size());
    CHECK_EQ(stats.stored_bytes, data.size());
    CHECK_EQ(stats.crc32c, s3dlio::crc32c(data));
    CHECK(stats.finished && stats.parts >= 1);
    CHECK_EQ(writer.stats().crc32c, stats.crc32c);
    CHECK(store.get("streamed").text() == data);
    store.delete_object("streamed");
}

BACKEND_TEST(writer_compresses_and_reader_decompresses) {
    const s3dlio::store store = on.store();
    std::string data = test::noise(300000);
    data += std::string(3000000, 'z');
    s3dlio::options zstd = on.options();
    zstd.set("writer.compression", "zstd").set("writer.compression_level", 3);
    s3dlio::writer writer = store.writer("packed", zstd);
    CHECK_EQ(writer.key(), "packed.zst"sv);
    writer.write(data);
    const s3dlio::write_stats stats = writer.finish();
    CHECK_EQ(stats.bytes, data.size());
    CHECK(stats.stored_bytes < 400000);
    const s3dlio::buffer stored = store.get("packed.zst");
    CHECK_EQ(stored.size(), stats.stored_bytes);
    CHECK_EQ(s3dlio::crc32c(stored), stats.stored_crc32c);
    s3dlio::reader reader = store.reader("packed.zst");
    reader.expect_crc32c(stats.crc32c);
    std::string plain(data.size() + 10, ' ');
    std::size_t at = 0;
    for (std::size_t n = 0; (n = reader.read(s3dlio::mutable_byte_view(plain).subview(at))) > 0;) at += n;
    CHECK_EQ(at, data.size());
    CHECK(plain.compare(0, at, data) == 0);
    char few[10];
    CHECK_THROWS(S3DLIO_ERR_UNSUPPORTED, ({"packed.zst"}), reader.read_at(0, few));
    s3dlio::options raw = on.options();
    raw.set("reader.decompress", false);
    CHECK_EQ(store.reader("packed.zst", raw).size(), stats.stored_bytes);
    store.delete_object("packed.zst");
}

BACKEND_TEST(unfinished_writers_leave_nothing) {
    const s3dlio::store store = on.store();
    const std::string data = test::noise(6 << 20);
    s3dlio::options small = on.options();
    small.set("transfer.part_size", "5MiB");
    {
        s3dlio::writer dropped = store.writer("unfinished/dropped", small);
        dropped.write(data);
    }
    try {
        s3dlio::writer writer = store.writer("unfinished/thrown", small);
        writer.write(data);
        const s3dlio::reservation memory = writer.reserve(100);
        std::fill_n(memory.data(), 100, std::byte{1});
        throw std::runtime_error("the caller's own trouble");
    } catch (const std::runtime_error&) {
    }
    s3dlio::writer aborted = store.writer("unfinished/aborted", small);
    aborted.write(data);
    aborted.abort();
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"abort"}), aborted.write(data));
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({}), aborted.finish());
    s3dlio::writer forgotten = store.writer("forgotten");
    static_cast<void>(forgotten.reserve(1000));
    forgotten.write("kept");
    forgotten.finish();
    CHECK_EQ(store.get("forgotten").text(), "kept"sv);
    store.delete_object("forgotten");
    CHECK_EQ(joined(keys_of(store.list("unfinished/"))), "");
}
