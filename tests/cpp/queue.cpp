// Futures over a completion queue, driven by its own thread or by poll.
#include "test.hpp"

#include <poll.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

namespace {

void many(test::backend& on, s3dlio::queue::driven how) {
    const s3dlio::store store = on.store();
    s3dlio::queue queue(how);
    const auto pump = [&] {
        if (how == s3dlio::queue::driven::by_thread) return;
        pollfd waited{queue.fd(), POLLIN, 0};
        CHECK_EQ(::poll(&waited, 1, 60000), 1);
        CHECK(queue.poll() > 0);
    };
    const auto result = [&](auto& future) {
        while (how == s3dlio::queue::driven::by_poll && future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) pump();
        return future.get();
    };
    const int count = 100;
    std::vector<std::string> data;
    std::vector<std::future<s3dlio::write_stats>> puts;
    for (int i = 0; i < count; ++i) data.push_back("object " + std::to_string(i));
    for (int i = 0; i < count; ++i) puts.push_back(queue.put(store, "q/" + std::to_string(i), data[static_cast<std::size_t>(i)]));
    for (auto& put : puts) CHECK(result(put).finished);

    std::vector<std::future<s3dlio::buffer>> gets;
    std::vector<std::string> memory(count, std::string(20, ' '));
    std::vector<std::future<std::size_t>> into;
    for (int i = 0; i < count; ++i) {
        gets.push_back(queue.get(store, "q/" + std::to_string(i)));
        into.push_back(queue.get_into(store, "q/" + std::to_string(i), memory[static_cast<std::size_t>(i)]));
    }
    for (int i = 0; i < count; ++i) {
        const std::string& expected = data[static_cast<std::size_t>(i)];
        CHECK_EQ(std::string(result(gets[static_cast<std::size_t>(i)]).text()), expected);
        CHECK_EQ(result(into[static_cast<std::size_t>(i)]), expected.size());
        CHECK_EQ(memory[static_cast<std::size_t>(i)].substr(0, expected.size()), expected);
    }
    auto facts = queue.stat(store, "q/7");
    CHECK_EQ(result(facts).size, data[7].size());
    auto piece = queue.get_range(store, "q/7", 2, 3);
    CHECK_EQ(std::string(result(piece).text()), data[7].substr(2, 3));
    const s3dlio::reader reader(store, "q/7");
    std::string at(4, ' ');
    auto read = queue.read_at(reader, 1, at);
    CHECK_EQ(result(read), at.size());
    CHECK_EQ(at, data[7].substr(1, 4));
    s3dlio::lister lister = store.list("q/");
    std::size_t listed = 0;
    for (;;) {
        auto page = queue.list_page(lister);
        const auto entries = result(page);
        if (entries.empty()) break;
        listed += entries.size();
        CHECK(entries[0].key.rfind("q/", 0) == 0);
    }
    CHECK_EQ(listed, static_cast<std::size_t>(count));

    s3dlio::writer writer = store.writer("q/streamed");
    const std::string half = test::noise(200000);
    for (int i = 0; i < 2; ++i) {
        auto written = queue.write(writer, half);
        result(written);
    }
    auto finished = queue.finish(writer);
    CHECK_EQ(result(finished).bytes, 2 * half.size());
    auto opened = queue.open(store, "q/streamed");
    s3dlio::reader streamed = result(opened);
    std::string all, room(150000, ' ');
    for (;;) {
        auto some = queue.read(streamed, room);
        const std::size_t n = result(some);
        if (n == 0) break;
        all.append(room, 0, n);
    }
    CHECK_EQ(all == half + half, true);
    s3dlio::writer unwanted = store.writer("q/aborted");
    auto written = queue.write(unwanted, half);
    result(written);
    auto aborted = queue.abort(unwanted);
    result(aborted);
    CHECK(!store.exists("q/aborted"));
    auto absent = queue.open(store, "q/aborted");
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"q/aborted"}), result(absent));

    auto removed = queue.remove(store, "q/7");
    result(removed);
    auto missing = queue.get(store, "q/7");
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"q/7"}), result(missing));
    store.delete_prefix("q");
}

} // namespace

BACKEND_TEST(queue_by_thread) { many(on, s3dlio::queue::driven::by_thread); }
BACKEND_TEST(queue_by_poll) { many(on, s3dlio::queue::driven::by_poll); }

TEST(queue_that_goes_makes_every_future_ready) {
    const s3dlio::store store("memory://cpp-queue");
    store.put("k", std::string("value"));
    for (int round = 0; round < 50; ++round) {
        std::vector<std::future<s3dlio::buffer>> futures;
        {
            s3dlio::queue queue(round % 2 == 0 ? s3dlio::queue::driven::by_thread : s3dlio::queue::driven::by_poll);
            for (int i = 0; i < 100; ++i) futures.push_back(queue.get(store, "k"));
        }
        for (auto& future : futures) {
            CHECK(future.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
            try {
                CHECK_EQ(std::string(future.get().text()), std::string("value"));
            } catch (const s3dlio::error& error) {
                CHECK_EQ(error.code(), S3DLIO_ERR_CANCELLED);
            }
        }
    }
    CHECK_THROWS(S3DLIO_ERR_INVALID_KEY, ({"NUL"}), s3dlio::queue().get(store, std::string_view("a\0b", 3)));
}

/// Accepts nothing: who asks it waits.
struct silent_server {
    int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    std::string endpoint;
    silent_server() {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK(::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(socket, 8) == 0);
        CHECK(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        endpoint = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    }
    ~silent_server() { ::close(socket); }
};

TEST(queue_operations_are_cancelled_and_tell_their_progress) {
    const silent_server server;
    const s3dlio::store store("s3://silent", s3dlio::options({{"s3.endpoint", server.endpoint}, {"s3.region", "us-east-1"},
                                                              {"s3.access_key_id", "a"}, {"s3.secret_access_key", "b"}}));
    s3dlio::queue queue;
    std::string memory(1000, ' ');
    s3dlio::operation<std::size_t> read = queue.get_into(store, "k", memory);
    CHECK_EQ(read.progress().first, 0u);
    CHECK(read.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
    read.cancel();
    CHECK_THROWS(S3DLIO_ERR_CANCELLED, ({}), read.get());
    read.cancel(); // again is fine
    s3dlio::operation<std::size_t> moved = std::move(read);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({}), read.cancel());
    std::future<s3dlio::buffer> plain = queue.get(store, "k"); // its operation goes, the future stays
}
