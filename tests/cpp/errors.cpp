// Bad input gives the documented error with what a user needs to know, never a crash.
#include "test.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

using namespace std::string_view_literals;

namespace {

/// A port of loopback where nobody listens: bound, so that nobody else takes it, but not listening.
class closed_port {
  public:
    closed_port() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
            ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
            throw test::failure{"no port"};
        }
        port_ = ntohs(address.sin_port);
    }
    closed_port(const closed_port&) = delete;
    closed_port& operator=(const closed_port&) = delete;
    ~closed_port() { ::close(socket_); }
    std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

  private:
    int socket_;
    int port_ = 0;
};

s3dlio::options s3_at(const std::string& endpoint) {
    return s3dlio::options({{"s3.endpoint", endpoint},
                            {"s3.access_key_id", "nobody"},
                            {"s3.secret_access_key", "canarysecret"},
                            {"s3.region", "us-east-1"},
                            {"net.max_attempts", "2"}});
}

s3dlio::options azure_at(const std::string& endpoint) {
    return s3dlio::options({{"azure.endpoint", endpoint + "/account"}, {"azure.account_key", "Y2FuYXJ5a2V5"}, {"net.max_attempts", "2"}});
}

void shows_no_secret(const s3dlio::error& e) {
    std::string all = e.what();
    for (const auto& detail : e.details()) all += detail.second;
    for (const char* secret : {"canarysecret", "Y2FuYXJ5a2V5", "s3dliotestsecret", "Eby8vdM02x"}) {
        if (all.find(secret) != std::string::npos) test::fail(__FILE__, __LINE__, "a secret is shown: " + all);
    }
}

} // namespace

TEST(malformed_uri) {
    for (const char* uri : {"", "bucket/key", "s3:/bucket/key", "://x", "file://relative", "az://", "memory://", "s3:///key", "s3://bu cket/k"}) {
        const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"hint", "s3://bucket/key"}), s3dlio::store{uri});
        CHECK_EQ(e.operation(), "open"sv);
        CHECK(!e.retryable() && !e.hint().empty());
        CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({}), s3dlio::get(uri));
    }
    CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"scheme"}), s3dlio::store("bucket/key"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"absolute"}), s3dlio::store("file://relative"));
    const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({}), s3dlio::store("s3://user:canarysecret@host/key"));
    shows_no_secret(e);
}

TEST(unknown_scheme) {
    CHECK_THROWS(S3DLIO_ERR_INVALID_URI, ({"unknown scheme", "gs", "s3, az, file, direct or memory"}), s3dlio::store("gs://bucket/key"));
}

BACKEND_TEST(missing_bucket) {
    // Beside the backend's own container.
    const std::string uri = on.uri + "none";
    const s3dlio::store store(uri, on.options());
    const auto check = [&](std::string_view operation, const std::function<void()>& call) {
        const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_CONTAINER_NOT_FOUND, ({uri}), call());
        CHECK_EQ(e.operation(), operation);
        CHECK_EQ(e.http_status(), on.is_cloud() ? 404 : 0);
        CHECK(!e.retryable());
    };
    check("get", [&] { store.get("key"); });
    check("list", [&] { store.list().next(); });
    check("delete_container", [&] { store.delete_container(); });
    if (on.is_cloud()) check("put", [&] { store.put("key", "x"); });
}

BACKEND_TEST(missing_key) {
    const s3dlio::store store = on.store();
    store.put("there", "x");
    const std::string uri = on.uri + "/missing/key";
    const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri, "get", "not_found"}), store.get("missing/key"));
    CHECK_EQ(e.uri(), uri);
    CHECK_EQ(e.operation(), "get"sv);
    CHECK_EQ(e.http_status(), on.is_cloud() ? 404 : 0);
    CHECK(!e.retryable());
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.get_range("missing/key", 5, 5));
    char memory[10];
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.get_into("missing/key", memory));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.stat("missing/key"));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.reader("missing/key"));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.validate("missing/key"));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.copy("missing/key", "x"));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({uri}), store.rename("missing/key", "x"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"empty"}), store.get(""));
}

BACKEND_TEST(memory_too_small) {
    const s3dlio::store store = on.store();
    store.put("sized", test::noise(1000));
    char memory[999];
    const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_BUFFER_TOO_SMALL, ({"1000"}), store.get_into("sized", memory));
    CHECK_EQ(e.required(), 1000u);
    CHECK_EQ(e.detail("required"), "1000"sv);
}

BACKEND_TEST(wrong_credentials) {
    if (!on.is_cloud() || on.name == "s3b") return; // local stores have none, and s3b takes every signature
    s3dlio::options options = on.options();
    if (on.name == "azurite") {
        options.set("azure.account_key", "Y2FuYXJ5a2V5");
    } else {
        options.set("s3.secret_access_key", "canarysecret");
    }
    const s3dlio::store store(on.uri, options);
    const auto refused = [&](const std::function<void()>& call) {
        const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_UNAUTHENTICATED, ({on.uri}), call());
        CHECK_EQ(e.http_status(), 403);
        CHECK(!e.retryable() && !e.hint().empty());
        shows_no_secret(e);
    };
    refused([&] { store.get("key"); });
    refused([&] { store.put("key", "x"); });
    refused([&] { store.list().next(); });
    refused([&] { store.exists("key"); });
}

TEST(refused_connection) {
    const closed_port port;
    for (const bool azure : {false, true}) {
        const s3dlio::store store(azure ? "az://account/container" : "s3://bucket", azure ? azure_at(port.endpoint()) : s3_at(port.endpoint()));
        const auto refused = [&](const std::function<void()>& call) {
            const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_CONNECTION, ({"refused"}), call());
            CHECK(e.retryable());
            CHECK_EQ(e.http_status(), 0);
            CHECK_HAS(std::string(e.uri()), store.uri());
            shows_no_secret(e);
        };
        refused([&] { store.get("key"); });
        refused([&] { store.put("key", "x"); });
        refused([&] { store.list().next(); });
        refused([&] { store.exists("key"); });
        refused([&] {
            s3dlio::writer writer = store.writer("key");
            writer.write("x");
            writer.finish();
        });
    }
}

TEST(unresolvable_host) {
    for (const bool azure : {false, true}) {
        const std::string endpoint = "http://no-such-host.invalid:9000";
        const s3dlio::store store(azure ? "az://account/container" : "s3://bucket", azure ? azure_at(endpoint) : s3_at(endpoint));
        const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_DNS, ({azure ? "host name" : "no-such-host.invalid"}), store.get("key"));
        CHECK(e.retryable());
        shows_no_secret(e);
    }
}

BACKEND_TEST(unreadable_folder) {
    if (on.folder.empty()) return;
    const s3dlio::store store = on.store();
    store.put("locked/key", "x");
    const std::string folder = on.folder + "/locked";
    ::chmod(folder.c_str(), 0);
    const bool root = ::geteuid() == 0; // root may read everything
    if (root && ::seteuid(65534) != 0) throw test::failure{"seteuid"};
    const auto restore = [&](const void*) {
        if (root && ::seteuid(0) != 0) std::abort();
        ::chmod(folder.c_str(), 0755);
    };
    {
        const std::unique_ptr<const std::string, decltype(restore)> at_the_end(&folder, restore);
        const auto denied = [&](const std::function<void()>& call) {
            const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_PERMISSION_DENIED, ({on.uri, "errno 13"}), call());
            CHECK_EQ(e.os_errno(), EACCES);
            CHECK(!e.retryable());
        };
        denied([&] { store.get("locked/key"); });
        denied([&] { store.stat("locked/key"); });
        denied([&] { store.exists("locked/key"); });
        denied([&] { store.put("locked/new", "x"); });
        denied([&] { store.list("locked/").next(); });
    }
    CHECK_EQ(store.get("locked/key").text(), "x"sv);
}

BACKEND_TEST(keys_that_leave_the_root) {
    const s3dlio::store store = on.store();
    if (on.name == "seaweed" || on.name == "azurite") { // they have no such keys
        CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"../literal"}), store.put("../literal", "x"));
        return;
    }
    if (on.folder.empty()) { // keys are plain text there
        store.put("../literal", "x");
        CHECK_EQ(store.get("../literal").text(), "x"sv);
        store.delete_object("../literal");
        return;
    }
    store.put("x", "x");
    std::ofstream(on.folder + "/../outside") << "secret";
    for (const char* key : {"..", "../outside", "a/../../outside", "/etc/passwd", "./x", "a//b", "x/"}) {
        const auto code = S3DLIO_ERR_INVALID_KEY;
        CHECK_THROWS(code, ({key}), store.get(key));
        CHECK_THROWS(code, ({key}), store.put(key, "x"));
        CHECK_THROWS(code, ({key}), store.delete_object(key));
        CHECK_THROWS(code, ({key}), store.stat(key));
        CHECK_THROWS(code, ({key}), store.exists(key));
        CHECK_THROWS(code, ({key}), store.copy("x", key));
        CHECK_THROWS(code, ({key}), store.rename("x", key));
        CHECK_THROWS(code, ({key}), store.reader(key));
        CHECK_THROWS(code, ({key}), [&] {
            s3dlio::writer writer = store.writer(key);
            writer.write("x");
            writer.finish();
        }());
    }
    // A link inside the root that leads out.
    std::filesystem::create_directory_symlink(on.folder + "/..", on.folder + "/way_out");
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({}), store.get("way_out/outside"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({}), store.put("way_out/outside", "x"));
    std::filesystem::remove(on.folder + "/way_out");
    std::ifstream outside(on.folder + "/../outside");
    CHECK_EQ(std::string(std::istreambuf_iterator<char>(outside), {}), "secret");
}

TEST(unknown_option) {
    s3dlio::options options;
    CHECK_THROWS(S3DLIO_ERR_UNKNOWN_OPTION, ({"transfer.partsize", "transfer.part_size"}), options.set("transfer.partsize", "8MiB"));
    CHECK_THROWS(S3DLIO_ERR_UNKNOWN_OPTION, ({"nonsense"}), options.get("nonsense"));
    CHECK_THROWS(S3DLIO_ERR_UNKNOWN_OPTION, ({}), s3dlio::options({{"nonsense", "1"}}));
}

TEST(option_out_of_range) {
    s3dlio::options options;
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"transfer.part_size", "1MiB", "5242880"}), options.set("transfer.part_size", "1MiB"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"writer.compression_level", "23", "1..=22"}), options.set("writer.compression_level", 23));
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"-1"}), options.set("net.max_attempts", -1));
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"gzip", "none|zstd"}), options.set("writer.compression", "gzip"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({"true|false"}), options.set("s3.anonymous", "perhaps"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_OPTION, ({}), options.set("transfer.part_size", "18446744073709551616"));
    CHECK_EQ(options.get("transfer.part_size"), s3dlio::options().get("transfer.part_size"));
}

BACKEND_TEST(write_after_finish) {
    const s3dlio::store store = on.store();
    s3dlio::writer writer = store.writer("finished");
    writer.write("data");
    s3dlio::reservation stale = writer.reserve(10);
    writer.finish();
    const auto refused = [&](const std::function<void()>& call) {
        CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"finished", on.uri + "/finished"}), call());
    };
    refused([&] { writer.write("more"); });
    refused([&] { writer.write_buffer(s3dlio::buffer(10)); });
    refused([&] { writer.reserve(10); });
    refused([&] { stale.commit(1); });
    refused([&] { writer.finish(); });
    refused([&] { writer.abort(); });
    CHECK_EQ(writer.stats().bytes, 4u);
    CHECK(writer.stats().finished);
    CHECK_EQ(store.get("finished").text(), "data"sv);
}

BACKEND_TEST(commit_of_too_much) {
    const s3dlio::store store = on.store();
    s3dlio::writer writer = store.writer("committed");
    s3dlio::reservation memory = writer.reserve(10);
    const std::size_t size = memory.size();
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"reserved"}), memory.commit(size + 1));
    writer.abort();
}

BACKEND_TEST(overflowing_range) {
    const s3dlio::store store = on.store();
    store.put("ranged", "0123456789");
    const auto past = [&](const std::function<void()>& call) {
        CHECK_THROWS(S3DLIO_ERR_RANGE, ({on.uri + "/ranged", "10 bytes"}), call());
    };
    char memory[10];
    past([&] { store.get_range("ranged", 11, 1); });
    past([&] { store.get_range("ranged", UINT64_MAX, UINT64_MAX); });
    past([&] { store.validate("ranged", UINT64_MAX, UINT64_MAX, 0); });
    CHECK_EQ(store.get_range("ranged", 3, UINT64_MAX).text(), "3456789"sv);
    const auto overflowing = [&](const std::function<void()>& call) { 
        CHECK_THROWS(S3DLIO_ERR_RANGE, ({on.uri + "/ranged", "2^64"}), call());
    };
    overflowing([&] { store.get_range("ranged", UINT64_MAX - 1, 10); });
    overflowing([&] { store.get_range("ranged", 3, UINT64_MAX - 1); });
    overflowing([&] { store.get_range_into("ranged", UINT64_MAX, memory); });
    overflowing([&] { store.validate("ranged", 3, UINT64_MAX - 1, 0); });
    std::vector<s3dlio::range> ranges = {s3dlio::make_range(0, memory), s3dlio::make_range(1ull << 63, s3dlio::mutable_byte_view(memory, 1))};
    ranges[0].length = 1;
    ranges[1].dst = memory + 5;
    past([&] { store.get_ranges("ranged", ranges); });
    s3dlio::reader reader = store.reader("ranged");
    past([&] { reader.read_at(11, memory); });
    overflowing([&] { reader.read_at(UINT64_MAX, memory); });
    past([&] { reader.readv_at(ranges); });
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"negative"}), reader.seek(-1));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"negative"}), reader.seek(-11, s3dlio::seek_from::end));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({}), reader.seek(0, static_cast<s3dlio::seek_from>(7)));
    reader.seek(5);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({}), reader.seek(INT64_MAX, s3dlio::seek_from::current));
    CHECK_EQ(reader.tell(), 5u);
}

BACKEND_TEST(truncated_zst) {
    const s3dlio::store store = on.store();
    s3dlio::options zstd = on.options();
    zstd.set("writer.compression", "zstd");
    s3dlio::writer writer = store.writer("whole", zstd);
    writer.write(test::noise(100000));
    writer.finish();
    const s3dlio::buffer whole = store.get("whole.zst");
    store.put("cut.zst", s3dlio::byte_view(whole).subview(0, whole.size() - 10));
    s3dlio::reader reader = store.reader("cut.zst");
    std::string memory(200000, ' ');
    const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_TRUNCATED, ({on.uri + "/cut.zst", "zstd", "middle of a frame"}), {
        while (reader.read(memory) > 0) {
        }
    });
    CHECK_EQ(e.operation(), "read"sv);
}
