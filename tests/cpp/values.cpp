// What needs no backend: byte views, options, buffers, errors, checksums, logs, moved-from objects.
#include "test.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>
#if __cplusplus >= 202002L
#include <span>
#endif

using namespace std::string_view_literals;

TEST(views_cover_the_memory_they_are_made_from) {
    const std::vector<float> floats = {1, 2, 3};
    const s3dlio::byte_view view = floats;
    CHECK_EQ(view.size(), 12u);
    CHECK(static_cast<const void*>(view.data()) == floats.data());
    CHECK_EQ(s3dlio::byte_view(std::string("four")).size(), 4u);
    CHECK_EQ(s3dlio::byte_view("four"sv).text(), "four"sv);
    CHECK_EQ(s3dlio::byte_view("four").size(), 4u);
    CHECK_EQ(s3dlio::byte_view("a\0b").size(), 3u);
    CHECK_EQ(s3dlio::byte_view("").size(), 0u);
    CHECK_EQ(s3dlio::byte_view(std::array<int, 3>{}).size(), 12u);
    CHECK_EQ(s3dlio::byte_view().size(), 0u);
    int numbers[5] = {};
    CHECK_EQ(s3dlio::byte_view(numbers).size(), 20u);
    CHECK_EQ(s3dlio::mutable_byte_view(numbers).size(), 20u);
    char text[7] = "";
    CHECK_EQ(s3dlio::mutable_byte_view(text).size(), 7u);
    const s3dlio::mutable_byte_view writable(text);
    CHECK_EQ(s3dlio::byte_view(writable).size(), 7u);
    CHECK_EQ(view.subview(4, 4).data() - view.data(), 4);
    CHECK_EQ(view.subview(8).size(), 4u);
    CHECK_EQ(view.subview(8, SIZE_MAX).size(), 4u);
    CHECK_EQ(view.subview(12).size(), 0u);
    CHECK_EQ(view.subview(99).size(), 0u);
#if __cplusplus >= 202002L
    std::vector<int> ints(4);
    CHECK_EQ(s3dlio::mutable_byte_view(std::span<int>(ints)).size(), 16u);
    CHECK_EQ(s3dlio::byte_view(std::span<const int>(ints)).size(), 16u);
#endif
}

// It is unclear where an array of char ends; const memory is not written to, objects are not bytes.
static_assert(!std::is_constructible_v<s3dlio::byte_view, char (&)[4]>);
static_assert(!std::is_constructible_v<s3dlio::mutable_byte_view, const std::string&>);
static_assert(!std::is_constructible_v<s3dlio::mutable_byte_view, std::string_view>);
static_assert(!std::is_constructible_v<s3dlio::byte_view, const std::vector<std::string>&>);

// Owners move and never copy; nothing throws while it is moved or destroyed.
template <class T>
constexpr bool is_owner = !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
                          std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                          std::is_nothrow_destructible_v<T>;
static_assert(is_owner<s3dlio::options> && is_owner<s3dlio::buffer> && is_owner<s3dlio::store>);
static_assert(is_owner<s3dlio::lister> && is_owner<s3dlio::reader> && is_owner<s3dlio::writer>);
static_assert(is_owner<s3dlio::reservation> && is_owner<s3dlio::shard_reservation>);
static_assert(is_owner<s3dlio::checkpoint> && is_owner<s3dlio::checkpoint_writer> && is_owner<s3dlio::checkpoint_shard>);
static_assert(std::is_nothrow_copy_constructible_v<s3dlio::error>);
static_assert(std::is_base_of_v<std::runtime_error, s3dlio::error>);

TEST(crc32c_known_answers) {
    CHECK_EQ(s3dlio::crc32c("123456789"sv), 0xe3069283u);
    CHECK_EQ(s3dlio::crc32c(""sv), 0u);
    CHECK_EQ(s3dlio::crc32c(std::vector<unsigned char>(32, 0)), 0x8a9136aau);
    CHECK_EQ(s3dlio::crc32c(std::vector<unsigned char>(32, 0xff)), 0x62a8ab43u);
    CHECK_EQ(s3dlio::crc32c("456789"sv, s3dlio::crc32c("123"sv)), 0xe3069283u);
    CHECK_EQ(s3dlio::crc32c_combine(s3dlio::crc32c("123"sv), s3dlio::crc32c("456789"sv), 6), 0xe3069283u);
}

TEST(library_says_what_it_is) {
    CHECK_EQ(s3dlio::version(), S3DLIO_VERSION_STRING ""sv);
    CHECK_EQ(s3dlio::abi_version(), S3DLIO_ABI_VERSION);
    for (const char* feature : {"s3", "azure", "file", "direct", "memory", "zstd"}) CHECK(s3dlio::has_feature(feature));
    CHECK(!s3dlio::has_feature("gopher"));
    if (!s3dlio::has_feature("profiling")) CHECK_THROWS(S3DLIO_ERR_UNSUPPORTED, ({"--features profiling"}), s3dlio::profile());
    CHECK_EQ(s3dlio::status_name(S3DLIO_ERR_NOT_FOUND), "not_found"sv);
    CHECK_EQ(s3dlio::status_name(-9999), "unknown"sv);
    CHECK_HAS(s3dlio::status_doc(S3DLIO_ERR_NOT_FOUND), "no object");
}

TEST(options_are_typed_and_masked) {
    s3dlio::options options({{"transfer.part_size", "8MiB"}, {"s3.secret_access_key", "canary"}});
    options.set("s3.anonymous", true).set("net.max_attempts", 7).set("writer.compression", "zstd");
    CHECK_EQ(options.get("transfer.part_size"), "8388608");
    CHECK_EQ(options.get("s3.anonymous"), "true");
    CHECK_EQ(options.get("net.max_attempts"), "7");
    CHECK_EQ(options.get("writer.compression"), "zstd");
    CHECK_EQ(options.get("s3.secret_access_key"), "***");
    const s3dlio::options copy = options.clone();
    options.set("net.max_attempts", 9);
    CHECK_EQ(copy.get("net.max_attempts"), "7");
    const std::vector<s3dlio::option_info> all = s3dlio::options::all();
    CHECK(all.size() > 30);
    for (const s3dlio::option_info& row : all) {
        CHECK(!row.key.empty() && !row.type.empty() && !row.doc.empty() && !row.env.empty());
        options.get(row.key);
    }
}

TEST(buffer_is_shared_memory) {
    s3dlio::buffer buffer(1000);
    CHECK_EQ(buffer.size(), 1000u);
    CHECK_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0u);
    std::memset(buffer.data(), 'x', buffer.size());
    s3dlio::buffer clone = buffer.clone();
    CHECK(clone.data() == buffer.data());
    buffer = s3dlio::buffer();
    CHECK(buffer.empty() && buffer.data() == nullptr);
    CHECK_EQ(clone.text(), std::string(1000, 'x'));
    CHECK_EQ(s3dlio::buffer(std::size_t{0}).size(), 0u);
    CHECK_THROWS(S3DLIO_ERR_OUT_OF_MEMORY, ({"memory"}), s3dlio::buffer(SIZE_MAX / 2));
}

TEST(error_carries_everything_and_copies) {
    std::unique_ptr<s3dlio::error> kept;
    try {
        s3dlio::store("memory://error-test").get("some/key");
        CHECK(!"nothing was thrown");
    } catch (const std::runtime_error& e) {
        kept = std::make_unique<s3dlio::error>(dynamic_cast<const s3dlio::error&>(e));
    }
    const s3dlio::error moved = std::move(*kept);
    CHECK_EQ(moved.code(), S3DLIO_ERR_CONTAINER_NOT_FOUND);
    CHECK_EQ(moved.code_name(), "container_not_found"sv);
    CHECK_EQ(moved.operation(), "get"sv);
    CHECK_EQ(moved.uri(), "memory://error-test/some/key"sv);
    CHECK_EQ(moved.detail("uri"), moved.uri());
    CHECK_EQ(moved.details().at("operation"), "get");
    CHECK(!moved.hint().empty() && !moved.retryable() && moved.http_status() == 0 && moved.os_errno() == 0);
    CHECK(moved.detail("nonsense").empty());
    CHECK_HAS(moved.what(), "get memory://error-test/some/key: ");
    CHECK_EQ(kept->code(), S3DLIO_ERR_CONTAINER_NOT_FOUND);
}

TEST(nul_bytes_are_refused) {
    s3dlio::store store("memory://nul");
    const std::string_view bad = "a\0b"sv;
    CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"NUL"}), s3dlio::store("memory://a\0b"sv));
    CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"NUL"}), s3dlio::get("memory://x/a\0b"sv));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), store.put(bad, ""sv));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), store.get(bad));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), store.get_many({"a", std::string(bad)}));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), store.list(bad));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), store.validate_many({{std::string(bad)}}));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), store.put_many({{std::string(bad), ""sv}}));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), s3dlio::writer(store, bad));
    CHECK_THROWS(S3DLIO_ERR_UNKNOWN_OPTION, ({"NUL"}), s3dlio::options().set(bad, "x"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"NUL"}), s3dlio::options().set("s3.region", bad));
    s3dlio::put_options put;
    put.metadata["name"] = std::string(bad);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NUL"}), store.put("k", ""sv, put));
    put = {};
    put.content_type = std::string(bad);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NUL"}), s3dlio::writer(store, "k", put));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NUL"}), s3dlio::has_feature(bad));
}

TEST(moved_from_objects_throw_and_can_be_assigned) {
    const auto code = S3DLIO_ERR_INVALID_ARGUMENT;
    s3dlio::store store("memory://moved");
    store.put("key", "value"sv);
    s3dlio::store other = std::move(store);
    CHECK(store.uri().empty() && other.uri() == "memory://moved");
    CHECK_THROWS(code, ({}), store.get("key"));
    CHECK_THROWS(code, ({}), store.put("key", ""sv));
    CHECK_THROWS(code, ({}), store.list());
    CHECK_THROWS(code, ({}), store.capabilities());
    CHECK_THROWS(code, ({}), s3dlio::reader(store, "key"));
    CHECK_THROWS(code, ({}), s3dlio::writer(store, "key"));
    CHECK_THROWS(code, ({}), store.get_many({"key"}));
    CHECK_THROWS(code, ({}), store.put_many({{"key", ""sv}}));
    store = std::move(other);
    CHECK_EQ(store.get("key").text(), "value"sv);

    s3dlio::options options;
    s3dlio::options options_too = std::move(options);
    CHECK_THROWS(code, ({}), options.set("s3.region", "x"));
    s3dlio::buffer buffer(10);
    s3dlio::buffer buffer_too = std::move(buffer);
    CHECK(buffer.empty() && buffer_too.size() == 10);
    CHECK_THROWS(code, ({}), buffer.clone());

    s3dlio::lister lister = store.list();
    s3dlio::lister lister_too = std::move(lister);
    CHECK_THROWS(code, ({}), lister.next());
    CHECK_EQ(lister_too.next()->key, "key");
    s3dlio::reader reader(store, "key");
    s3dlio::reader reader_too = std::move(reader);
    CHECK_THROWS(code, ({}), reader.size());
    CHECK_THROWS(code, ({}), reader.read(s3dlio::mutable_byte_view()));
    s3dlio::writer writer(store, "other");
    s3dlio::writer writer_too = std::move(writer);
    CHECK(writer.key().empty());
    CHECK_THROWS(code, ({}), writer.write("x"sv));
    CHECK_THROWS(code, ({}), writer.finish());
    CHECK_THROWS(code, ({}), writer_too.write_buffer(std::move(buffer)));
}

TEST(children_outlive_their_store) {
    std::optional<s3dlio::store> store(std::in_place, "memory://orphans");
    store->put("key", "value"sv);
    s3dlio::writer writer(*store, "written");
    s3dlio::reader reader(*store, "key");
    s3dlio::lister lister = store->list();
    const s3dlio::buffer data = store->get("key");
    store.reset();
    CHECK_EQ(data.text(), "value"sv);
    CHECK_EQ(lister.next()->key, "key");
    std::string bytes(5, ' ');
    CHECK_EQ(reader.read(bytes), 5u);
    CHECK_EQ(bytes, "value");
    writer.write("more"sv);
    writer.finish();
    CHECK_EQ(s3dlio::get("memory://orphans/written").text(), "more"sv);
}

TEST(handles_are_freed) {
    const std::uint64_t before = s3dlio::stats().handles;
    for (int i = 0; i < 50; ++i) {
        s3dlio::store store("memory://leaks");
        store.put("key", "value"sv);
        s3dlio::reader reader(store, "key");
        s3dlio::reader_stream stream(store, "key");
        s3dlio::writer writer(store, "aborted");
        writer.write("x"sv);
        auto many = store.get_many({"key", "missing"});
        auto checks = store.validate_many({{"key"}, {"missing"}});
        auto stored = store.put_many({{"other", "x"sv}, {"", "y"sv}});
        for (const auto& entry : store.list()) static_cast<void>(entry);
        store.stat("key");
        try {
            store.get("missing");
        } catch (const s3dlio::error&) {
        }
        try {
            many[1].value();
        } catch (const s3dlio::error&) {
        }
    }
    CHECK_EQ(s3dlio::stats().handles, before);
}

TEST(one_shot_functions) {
    s3dlio::put("memory://one-shot/a/key", "value"sv);
    CHECK_EQ(s3dlio::get("memory://one-shot/a/key").text(), "value"sv);
    CHECK_EQ(s3dlio::stat("memory://one-shot/a/key").size, 5u);
    CHECK(s3dlio::exists("memory://one-shot/a/key"));
    const s3dlio::options options;
    s3dlio::put("memory://one-shot/b", "v"sv, options);
    CHECK_EQ(s3dlio::get("memory://one-shot/b", options).text(), "v"sv);
    CHECK(s3dlio::exists("memory://one-shot/b", options) && s3dlio::stat("memory://one-shot/b", options).size == 1);
    s3dlio::delete_object("memory://one-shot/b", options);
    s3dlio::delete_object("memory://one-shot/a/key");
    CHECK(!s3dlio::exists("memory://one-shot/a/key"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"key"}), s3dlio::get("memory://one-shot"));
}

TEST(logs_reach_a_function_and_its_exceptions_nobody) {
    static std::mutex lock;
    static std::string lines;
    s3dlio::log_set_callback(
        [](s3dlio::log_level, std::string_view target, std::string_view message) {
            const std::lock_guard<std::mutex> hold(lock);
            lines.append(target).append(": ").append(message).append("\n");
            throw std::runtime_error("must not get anywhere");
        },
        "trace");
    const s3dlio::store store("memory://logs");
    store.put("key", "value"sv);
    s3dlio::log_set_callback(nullptr);
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"shouting", "trace"}), s3dlio::log_to_fd(1, "shouting"));
    s3dlio::log_to_fd(-1);
}

TEST(one_store_serves_many_threads) {
    const s3dlio::store store("memory://threads");
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) {
                const std::string key = std::to_string(t) + '/' + std::to_string(i);
                store.put(key, key);
                if (store.get(key).text() != key) ++wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQ(wrong.load(), 0);
}
