// Objects as iostreams.
#include "test.hpp"

#include <algorithm>
#include <iomanip>
#include <iterator>

using namespace std::string_view_literals;

BACKEND_TEST(stream_round_trip) {
    const s3dlio::store store = on.store();
    std::string expected;
    {
        s3dlio::writer_stream out(store, "text");
        for (int i = 0; i < 20000; ++i) {
            out << "line " << i << ' ' << std::setw(6) << i * 2 << '\n';
            std::ostringstream line;
            line << "line " << i << ' ' << std::setw(6) << i * 2 << '\n';
            expected += line.str();
        }
        CHECK_EQ(static_cast<std::size_t>(out.tellp()), expected.size());
        const std::string block = test::noise(1 << 20); // larger than the stream's own memory
        out.write(block.data(), static_cast<std::streamsize>(block.size()));
        out.put('!');
        out.flush();
        expected += block + '!';
        CHECK(!store.exists("text"));
        const s3dlio::write_stats stats = out.close();
        CHECK_EQ(stats.bytes, expected.size());
        CHECK_EQ(stats.crc32c, s3dlio::crc32c(expected));
        CHECK(out.good());
    }
    {
        s3dlio::reader_stream in(store, "text");
        std::string word;
        int number = -1;
        int doubled = -1;
        for (int i = 0; i < 20000; ++i) {
            CHECK(in >> word >> number >> doubled);
            CHECK(word == "line" && number == i && doubled == 2 * i);
        }
        in.ignore(); // the last newline
        const std::size_t at = expected.size() - (1 << 20) - 1;
        CHECK_EQ(static_cast<std::size_t>(in.tellg()), at);
        std::string block((1 << 20) + 1, ' ');
        in.read(block.data(), static_cast<std::streamsize>(block.size()));
        CHECK(block == expected.substr(at));
        CHECK_EQ(in.peek(), std::char_traits<char>::eof());
        CHECK(in.eof() && !in.bad());
        in.clear();
        in.seekg(5);
        CHECK(in >> number && number == 0);
        in.seekg(-1, std::ios::end);
        CHECK_EQ(in.get(), '!');
        in.seekg(-2, std::ios::cur);
        CHECK_EQ(in.get(), static_cast<unsigned char>(expected[expected.size() - 2]));
        in.check();
    }
    s3dlio::reader_stream all(store, "text");
    const std::string copy{std::istreambuf_iterator<char>(all), std::istreambuf_iterator<char>()};
    CHECK(copy == expected);
    store.delete_object("text");
}

BACKEND_TEST(stream_compresses) {
    const s3dlio::store store = on.store();
    s3dlio::options zstd = on.options();
    zstd.set("writer.compression", "zstd");
    s3dlio::put_options put;
    s3dlio::writer_stream out(store, "log", zstd, put);
    CHECK_EQ(out.key(), "log.zst"sv);
    for (int i = 0; i < 1000; ++i) out << i << '\n';
    CHECK(out.close().stored_bytes < 3000);
    s3dlio::reader_stream in(store, "log.zst");
    int count = 0;
    for (std::string line; std::getline(in, line); ++count) CHECK_EQ(line, std::to_string(count));
    CHECK_EQ(count, 1000);
    store.delete_object("log.zst");
}

BACKEND_TEST(stream_of_an_empty_object) {
    const s3dlio::store store = on.store();
    s3dlio::writer_stream(store, "empty").close();
    s3dlio::reader_stream in(store, "empty");
    CHECK_EQ(in.get(), std::char_traits<char>::eof());
    CHECK(in.eof() && !in.bad());
    store.delete_object("empty");
}

BACKEND_TEST(unclosed_stream_publishes_nothing) {
    const s3dlio::store store = on.store();
    {
        s3dlio::writer_stream out(store, "unclosed");
        out << "some text" << std::flush;
    }
    s3dlio::writer_stream aborted(store, "unclosed");
    aborted << "some text";
    aborted.abort();
    CHECK(!(aborted << "more"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"closed"}), aborted.close());
    try {
        s3dlio::writer_stream out(store, "unclosed");
        out << "some text";
        throw std::runtime_error("the caller's own trouble");
    } catch (const std::runtime_error&) {
    }
    CHECK(!store.exists("unclosed"));
}

TEST(stream_failures_surface_at_close) {
    const s3dlio::store store("memory://stream-failures");
    store.put("there", "x");
    // The second of two create-only writers fails when it finishes.
    s3dlio::put_options create;
    create.create_only = true;
    s3dlio::writer_stream refused(store, "there", create);
    refused << "text";
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({"memory://stream-failures/there"}), refused.close());
    CHECK(refused.bad());
    CHECK(!(refused << "more"));
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({}), refused.check());
    CHECK_EQ(store.get("there").text(), "x"sv);

    // A failure of the writer sets badbit, and close throws it.
    s3dlio::writer_stream broken(store, "broken");
    s3dlio_writer* below = nullptr;
    {
        s3dlio::writer writer(store, "broken");
        below = writer.get();
        writer.abort();
        s3dlio::writer_stream out(std::move(writer));
        CHECK(below != nullptr);
        out << "collected, so still fine";
        CHECK(out.good());
        out.flush();
        CHECK(out.bad());
        CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"abort"}), out.close());
    }
    {
        s3dlio::writer writer(store, "broken");
        writer.abort();
        s3dlio::writer_stream out(std::move(writer));
        out.exceptions(std::ios::badbit);
        CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"abort"}), out << "text" << std::flush);
    }
    CHECK(!store.exists("broken"));

    // So does a failure of the caller's: an incomplete object is not published.
    s3dlio::writer_stream failed(store, "failed");
    failed << "half";
    failed.setstate(std::ios::failbit);
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"failed state"}), failed.close());
    CHECK(!store.exists("failed"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"closed"}), failed.close());

    s3dlio::writer_stream twice(store, "twice");
    twice << "once";
    twice.close();
    CHECK(!(twice << "more"));
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"closed"}), twice.close());
    CHECK_EQ(store.get("twice").text(), "once"sv);
}

TEST(stream_read_failures_are_not_the_end) {
    const s3dlio::store store("memory://stream-reads");
    store.put("broken.zst", test::noise(1000));
    s3dlio::reader_stream in(store, "broken.zst");
    std::string line;
    CHECK_THROWS(S3DLIO_ERR_CORRUPT, ({"broken.zst"}), std::getline(in, line));
    CHECK(in.bad());

    s3dlio::reader_stream quiet(store, "broken.zst");
    quiet.exceptions(std::ios::goodbit);
    CHECK(!std::getline(quiet, line));
    CHECK(quiet.bad());
    CHECK_THROWS(S3DLIO_ERR_CORRUPT, ({"broken.zst"}), quiet.check());
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"missing"}), s3dlio::reader_stream(store, "missing"));
}

TEST(stream_takes_a_reader_at_its_position) {
    const s3dlio::store store("memory://stream-position");
    store.put("text", "header body");
    s3dlio::reader reader(store, "text");
    reader.seek(7);
    s3dlio::reader_stream in(std::move(reader));
    std::string word;
    in >> word;
    CHECK_EQ(word, "body");
    CHECK_EQ(in.reader_below().size(), 11u);
}
