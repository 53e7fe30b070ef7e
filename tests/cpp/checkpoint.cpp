// Checkpoints: many ranks, boxes, streams, snapshots in the background, RAII, and every documented error.
#include "test.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <complex>
#include <iostream>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <thread>

namespace {

using s3dlio::checkpoint;
using s3dlio::checkpoint_params;
using s3dlio::checkpoint_writer;
using s3dlio::tensor;

const std::uint64_t rows = 6, columns = 4;

checkpoint_params params(std::uint64_t step, std::uint32_t rank = 0, std::uint32_t size = 1, std::string_view id = {}) {
    checkpoint_params made;
    made.step = step;
    made.rank = rank;
    made.world_size = size;
    made.id = std::string(id);
    return made;
}

/// Rank `rank` of `size` has rows of the matrix 0, 1, 2 ...
std::vector<float> part(std::uint32_t rank, std::uint32_t size) {
    std::vector<float> cells(rows / size * columns);
    std::iota(cells.begin(), cells.end(), static_cast<float>(rank * rows / size * columns));
    return cells;
}

void put_part(checkpoint_writer& writer, std::uint32_t rank, std::uint32_t size) {
    const std::vector<float> cells = part(rank, size);
    const std::vector<std::int64_t> steps(3, 77);
    writer.put_tensors({tensor::slice("w", {rows / size, columns}, cells, {rows, columns}, {rank * rows / size, 0})});
    tensor same = tensor::of("steps", {3}, steps);
    same.replicated = true;
    writer.put_tensors({same}, "replicated");
}

/// All ranks, one after the other; the last one commits first.
void save(const s3dlio::store& store, std::uint64_t step, std::uint32_t size) {
    checkpoint_params first = params(step, 0, size);
    first.epoch = 2;
    first.framework = "cpp";
    first.metadata = {{"Any name", "\"any\" text\n"}};
    std::vector<checkpoint_writer> writers;
    writers.emplace_back(store, first);
    for (std::uint32_t rank = 1; rank < size; ++rank) writers.emplace_back(store, params(step, rank, size, writers[0].id()));
    for (std::uint32_t rank = 0; rank < size; ++rank) put_part(writers[rank], rank, size);
    for (std::uint32_t rank = 1; rank < size; ++rank) writers[rank].finish();
    for (checkpoint_writer& writer : writers) writer.commit();
}

/// What a job of `size` ranks loads, rank by rank, is the matrix.
void load_by(const checkpoint& saved, std::uint64_t size) {
    std::vector<float> all;
    for (std::uint64_t rank = 0; rank < size; ++rank) {
        const auto mine = saved.load<float>("w", {rank * rows / size, 0}, {rows / size, columns});
        all.insert(all.end(), mine.begin(), mine.end());
    }
    CHECK(all == part(0, 1));
}

std::size_t objects_below(const s3dlio::store& store, const std::string& prefix) {
    std::size_t count = 0;
    for (const s3dlio::object_info& entry : store.list(prefix)) {
        static_cast<void>(entry);
        ++count;
    }
    return count;
}

} // namespace

BACKEND_TEST(checkpoint_round_trips_between_jobs_of_any_size) {
    const s3dlio::store store(on.uri + "/cp", on.options());
    std::uint64_t step = 1;
    for (const std::uint32_t size : {1u, 2u, 3u}) {
        save(store, step, size);
        const checkpoint saved(store, step);
        for (const std::uint64_t by : {1u, 2u, 3u, 6u}) load_by(saved, by);
        CHECK(saved.load<float>("w") == part(0, 1));
        const auto corner = saved.load<float>("w", {1, 1}, {4, 2});
        CHECK_EQ(corner[0], 5.0f);
        CHECK_EQ(corner[7], 18.0f);
        CHECK(saved.load<std::int64_t>("steps") == std::vector<std::int64_t>(3, 77));
        CHECK_EQ(saved.entry("steps").parts, 1u); // by one rank only
        CHECK_EQ(saved.entry("w").parts, size);
        saved.validate();
        saved.validate(true);
        ++step;
    }
    const checkpoint saved(store);
    const s3dlio::checkpoint_info info = saved.info();
    CHECK_EQ(info.step, 3u);
    CHECK_EQ(info.epoch.value(), 2u);
    CHECK_EQ(info.world_size, 3u);
    CHECK_EQ(info.framework, "cpp");
    CHECK_EQ(info.strategy, "flat");
    CHECK_EQ(info.uri, store.uri().data() + std::string("/manifests/step-000000000003.json"));
    CHECK(saved.metadata() == (s3dlio::metadata_map{{"Any name", "\"any\" text\n"}}));
    const auto entries = saved.entries();
    CHECK_EQ(entries.size(), 2u);
    CHECK_EQ(entries[1].name, "w");
    CHECK_EQ(entries[1].dtype, "F32");
    CHECK(entries[1].shape == (s3dlio::extents{rows, columns}));
    CHECK_EQ(entries[1].bytes, rows * columns * 4);
    const auto shards = saved.shards();
    CHECK_EQ(shards.size(), 4u);
    CHECK(shards[0].rank == 0 && shards[0].kind == s3dlio::shard_kind::safetensors && shards[0].name == "data");
    CHECK_EQ(store.stat(shards[0].key).size, shards[0].stored_size);
    CHECK_EQ(checkpoint::by_id(store, info.id).info().step, 3u);

    CHECK(checkpoint::list(store) == (std::vector<std::uint64_t>{1, 2, 3}));
    CHECK_EQ(checkpoint::prune(store, 1, 2), 1u);
    CHECK(checkpoint::list(store) == (std::vector<std::uint64_t>{2, 3}));
    checkpoint::remove(store, 3);
    CHECK_EQ(checkpoint(store).info().step, 2u);
    CHECK_EQ(checkpoint::collect(store, std::chrono::milliseconds(0)), 0u);
    checkpoint::remove(store, 2);
    CHECK_EQ(objects_below(store, "shards/"), 0u);
    store.delete_prefix("");
}

BACKEND_TEST(checkpoint_shards_are_streamed) {
    const s3dlio::store store(on.uri + "/streams", on.options());
    const std::string bytes = test::noise(3000000);
    checkpoint_writer writer(store, params(1));
    tensor first, second;
    first.name = "bf16", first.dtype = "BF16", first.shape = {1000, 1000};
    second.name = "bytes", second.dtype = s3dlio::dtype_of<std::byte>(), second.shape = {1000000};
    {
        s3dlio::checkpoint_shard shard = writer.open_shard({first, second}, "model");
        s3dlio::checkpoint_shard pickle = writer.open_bytes("pickle");
        {
            s3dlio::checkpoint_shard forgotten = writer.open_bytes("forgotten");
            forgotten.write(bytes);
        }
        shard.write(s3dlio::byte_view(bytes).subview(0, 1999999));
        static_cast<void>(shard.reserve(1)); // what is not committed is not written
        for (std::size_t at = 1999999; at < bytes.size();) {
            s3dlio::shard_reservation memory = shard.reserve(1);
            const std::size_t n = std::min<std::size_t>(memory.size(), 300000);
            std::memcpy(memory.data(), bytes.data() + at, n);
            memory.commit(n);
            CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"committed before"}), memory.commit(1));
            at += n;
        }
        pickle.write("any bytes");
        CHECK_EQ(pickle.finish().bytes, 9u);
        CHECK(shard.finish().finished);
        CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({}), pickle.write("more"));
    }
    writer.commit();
    const checkpoint saved(store);
    std::string got(3000000, ' ');
    saved.load({{"bytes", s3dlio::mutable_byte_view(got.data() + 2000000, 1000000)},
                {"bf16", s3dlio::mutable_byte_view(got.data(), 2000000)}});
    CHECK(got == bytes);
    CHECK_EQ(std::string(saved.read_shard(0, "pickle").text()), "any bytes");
    CHECK_EQ(saved.shards().size(), 2u);
    store.delete_prefix("");
}

BACKEND_TEST(checkpoint_snapshots_are_saved_in_the_background) {
    const s3dlio::store store(on.uri + "/async", on.options());
    s3dlio::queue queue;
    std::vector<double> state(200000, 1.5);
    s3dlio::operation<void> commit;
    {
        checkpoint_writer writer(store, params(1));
        writer.snapshot_tensors({tensor::of("state", {1000, 200}, state)});
        std::fill(state.begin(), state.end(), -1.0); // at once
        commit = queue.commit(writer);
    }
    commit.get();
    CHECK(commit.progress().first >= state.size() * sizeof(double));
    const checkpoint saved(store);
    auto loaded = queue.load(saved, {{"state", state}});
    CHECK_EQ(loaded.get(), state.size() * sizeof(double));
    CHECK(state == std::vector<double>(200000, 1.5));
    auto refused = queue.load(saved, {{"stat", state}});
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"no entry \"stat\""}), refused.get());

    {
        s3dlio::buffer memory(8000);
        tensor inside;
        inside.name = "state", inside.dtype = "F64", inside.shape = {1000}, inside.data = memory;
        std::fill_n(reinterpret_cast<double*>(memory.data()), 1000, 2.5);
        checkpoint_writer owner(store, params(3));
        CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"buffer"}), owner.snapshot_buffers({inside}, {nullptr}));
        owner.snapshot_buffers({inside}, {&memory});
        commit = queue.commit(owner);
    } // the writer and the memory's other owner are gone
    commit.get();
    std::vector<double> back(1000);
    checkpoint(store, 3).load({{"state", back}});
    CHECK(back == std::vector<double>(1000, 2.5));

    checkpoint_writer writer(store, params(2, 0, 2));
    auto waiting = queue.commit(writer);
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({}), writer.finish()); // it is busy
    waiting.cancel();
    CHECK_THROWS(S3DLIO_ERR_CANCELLED, ({}), waiting.get());
    writer.abort();
    checkpoint_writer other(store, params(4));
    queue.finish(other).get();
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"step 4"}), checkpoint(store, 4));
    other.commit();
    CHECK(checkpoint::list(store) == (std::vector<std::uint64_t>{1, 3, 4}));
    store.delete_prefix("");
}

BACKEND_TEST(checkpoint_ranks_agree_through_the_storage) {
    std::vector<std::string> ids(3), failures(3);
    std::vector<std::thread> ranks;
    for (std::uint32_t rank = 0; rank < 3; ++rank) {
        ranks.emplace_back([&, rank] {
            try {
                const s3dlio::store store(on.uri + "/agree", on.options());
                s3dlio::world world;
                world.rank = rank, world.world_size = 3, world.run_id = "this launch";
                checkpoint_writer writer(store, checkpoint_params::of(world, 9));
                put_part(writer, rank, 3);
                ids[rank] = writer.id();
                writer.commit();
            } catch (const std::exception& e) {
                failures[rank] = e.what();
            }
        });
    }
    for (std::thread& rank : ranks) rank.join();
    for (const std::string& failure : failures) CHECK_EQ(failure, "");
    CHECK(ids[0].size() == 29 && ids[1] == ids[0] && ids[2] == ids[0]);
    const s3dlio::store store(on.uri + "/agree", on.options());
    load_by(checkpoint(store, 9), 2);
    store.delete_prefix("");
}

TEST(checkpoint_without_commit_is_none) {
    const s3dlio::store store("memory://cpp-aborts");
    try {
        checkpoint_writer writer(store, params(1));
        put_part(writer, 0, 1);
        s3dlio::checkpoint_shard shard = writer.open_bytes("open");
        shard.write(test::noise(100000));
        throw std::runtime_error("the program's own");
    } catch (const std::runtime_error&) {
    }
    {
        checkpoint_writer writer(store, params(2));
        put_part(writer, 0, 1);
        checkpoint_writer moved = std::move(writer);
        CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NULL"}), writer.commit());
        CHECK(writer.id().empty() && !moved.id().empty());
    }
    s3dlio::shutdown(std::chrono::seconds(30)); // waits for what goes on in the background
    CHECK_EQ(objects_below(store, ""), 0u);
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"no committed checkpoint"}), checkpoint{store});
}

BACKEND_TEST(checkpoint_errors_of_ranks) {
    const s3dlio::store store(on.uri + "/errors", on.options());
    const s3dlio::options hasty({{"checkpoint.timeout_ms", "200"}});
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"there is no committed checkpoint", on.uri}), checkpoint{store});

    checkpoint_writer first(store, params(5, 0, 3), hasty);
    checkpoint_writer second(store, params(5, 1, 3, first.id()), hasty);
    second.finish();
    const s3dlio::error missing = CHECK_THROWS(S3DLIO_ERR_TIMEOUT, ({"1 of 3 ranks did not finish", "checkpoint.timeout_ms"}), first.commit());
    CHECK_EQ(missing.detail("missing_ranks"), "2");
    CHECK_THROWS(S3DLIO_ERR_TIMEOUT, ({"rank 0 did not commit"}), second.commit());
    checkpoint_writer twin(store, params(5, 1, 3, first.id()));
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({"rank 1", "rank-00001.json"}), twin.finish());
    checkpoint_writer late(store, params(5, 2, 3, first.id()));
    late.finish();
    first.commit();
    second.commit();
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({"step 5 has a committed checkpoint"}), checkpoint_writer(store, params(5)));
    CHECK_THROWS(S3DLIO_ERR_INVALID_STATE, ({"committed"}), first.abort());

    checkpoint_writer two(store, params(6, 0, 2));
    checkpoint_writer four(store, params(6, 1, 4, two.id()));
    four.finish();
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"rank 1 saved as one of 4 ranks, but this save is of 2"}), two.commit());

    checkpoint_writer zero(store, params(7, 0, 2));
    {
        checkpoint_writer one(store, params(7, 1, 2, zero.id()));
        one.abort();
    }
    const s3dlio::error gone = CHECK_THROWS(S3DLIO_ERR_CANCELLED, ({"rank 1 gave up"}), zero.commit());
    CHECK_EQ(gone.detail("rank"), "1");
    store.delete_prefix("");
}

TEST(checkpoint_arguments_are_checked) {
    const s3dlio::store store("memory://cpp-checkpoint-arguments");
    const std::vector<float> values(4);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"run_id"}), checkpoint_writer(store, params(1, 1, 2)));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NUL"}), checkpoint_writer(store, params(1, 0, 1, std::string_view("a\0b", 3))));
    checkpoint_writer writer(store, params(1));
    const auto refused = [&](const tensor& bad, std::vector<std::string> parts) {
        test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, parts, [&] { writer.put_tensors({bad}); });
        test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, parts, [&] { writer.snapshot_tensors({bad}); });
    };
    refused(tensor::of("w", {5}, values), {"20 bytes, but 16"});
    refused(tensor::of("", {4}, values), {"a name has 1 to"});
    refused(tensor::of(std::string("a\0b", 3), {4}, values), {"NUL"});
    refused(tensor::slice("w", {4}, values, {3}, {0}), {"\"w\"", "not within"});
    refused(tensor::slice("w", {4}, values, {4, 1}, {0}), {"\"w\"", "axes"});
    refused(tensor::slice("w", {}, values, {4}, {0}), {"\"w\"", "no shape"});
    tensor unknown = tensor::of("w", {4}, values);
    unknown.dtype = "float";
    refused(unknown, {"\"float\"", "F32"});
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"a/b"}), writer.put_bytes("x", "a/b"));
    writer.put_tensors({});
    CHECK_THROWS(S3DLIO_ERR_ALREADY_EXISTS, ({"\"data\""}), writer.put_bytes("x"));
    writer.put_tensors({tensor::of("w", {2, 2}, values), tensor::of("flag", {}, std::vector<std::uint8_t>{1}),
                        tensor::of("c", {1}, std::vector<std::complex<float>>{{1, 2}})}, "more");
    writer.commit();

    checkpoint saved(store);
    CHECK_EQ(saved.load<std::uint8_t>("flag").at(0), 1);
    CHECK(saved.load<std::complex<float>>("c").at(0) == std::complex<float>(1, 2));
    CHECK(saved.entry("flag").shape.empty());
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"F32", "F64"}), saved.load<double>("w"));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"no entry \"v\""}), saved.load<float>("v"));
    CHECK_THROWS(S3DLIO_ERR_RANGE, ({"[1, 2] from [2, 0]"}), saved.load<float>("w", {2, 0}, {1, 2}));
    CHECK_THROWS(S3DLIO_ERR_RANGE, ({"not within"}), saved.load<float>("w", {0, 0}, {UINT64_MAX, 2}));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"no shape"}), saved.load<float>("w", {1, 1}, {}));
    CHECK(saved.load<float>("w", {1, 0}, {0, 2}).empty());
    std::vector<float> room(4);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"overlap"}), saved.load({{"w", room}, {"w", room}}));
    const s3dlio::error small = CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({}), saved.load({{"w", s3dlio::mutable_byte_view(room.data(), 15)}}));
    CHECK_EQ(small.required(), 16u);
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"rank 3 has no shard"}), saved.read_shard(3));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"no-id"}), checkpoint::by_id(store, "no-id"));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"step 8", "newest steps are 1"}), checkpoint(store, 8));
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({}), checkpoint::remove(store, 8));
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"keep_last is 0"}), checkpoint::prune(store, 0));
    checkpoint gone = std::move(saved);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"NULL"}), saved.info());
}

TEST(checkpoint_damage_permission_and_full_disks) {
    const std::string folder = test::temporary_folder();
    const s3dlio::store store("file://" + folder + "/cp");
    save(store, 1, 2);
    {
        const checkpoint saved(store);
        const std::string key = saved.shards()[0].key;
        std::string bytes(store.get(key).text());
        bytes.back() = static_cast<char>(bytes.back() ^ 1);
        store.put(key, bytes);
        CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({key}), saved.load<float>("w"));
        CHECK_THROWS(S3DLIO_ERR_CHECKSUM_MISMATCH, ({key}), saved.validate(true));
        saved.validate();
        store.put(key, bytes.substr(1));
        CHECK_THROWS(S3DLIO_ERR_TRUNCATED, ({key}), saved.validate());
        store.delete_object(key);
        CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({key}), saved.load<float>("w"));
        store.put("manifests/step-000000000002.json", "nothing of ours");
        CHECK_THROWS(S3DLIO_ERR_CORRUPT, ({"step-000000000002.json"}), checkpoint{store});
        store.put("manifests/README", "nothing of ours");
        CHECK_EQ(checkpoint::list(store).size(), 2u);
    }
    const bool root = ::geteuid() == 0; // root may do everything
    ::chmod((folder + "/cp").c_str(), 0);
    if (root && ::seteuid(65534) != 0) throw test::failure{"seteuid"};
    {
        const auto restore = [&](const void*) {
            if (root && ::seteuid(0) != 0) std::abort();
            ::chmod((folder + "/cp").c_str(), 0755);
        };
        const std::unique_ptr<const std::string, decltype(restore)> at_the_end(&folder, restore);
        CHECK_THROWS(S3DLIO_ERR_PERMISSION_DENIED, ({folder, "errno 13"}), checkpoint{store});
        CHECK_THROWS(S3DLIO_ERR_PERMISSION_DENIED, ({folder, "errno 13"}), checkpoint_writer(store, params(3)));
    }
    if (!root) return;
    const std::string full = folder + "/full";
    ::mkdir(full.c_str(), 0755);
    if (::mount("tmpfs", full.c_str(), "tmpfs", 0, "size=1m") != 0) {
        CHECK_EQ(errno, EPERM);
        std::cerr << "no full disk: this sandbox does not let mount\n";
        return;
    }
    {
        const auto unmount = [](const std::string* path) { ::umount2(path->c_str(), MNT_DETACH); };
        const std::unique_ptr<const std::string, decltype(unmount)> at_the_end(&full, unmount);
        const s3dlio::store small("file://" + full);
        save(small, 1, 1);
        checkpoint_writer writer(small, params(2));
        const s3dlio::error e = CHECK_THROWS(S3DLIO_ERR_NO_SPACE, ({full}), writer.put_bytes(test::noise(2000000)));
        CHECK_EQ(e.os_errno(), ENOSPC);
        CHECK_THROWS(S3DLIO_ERR_NO_SPACE, ({full}), writer.commit());
        load_by(checkpoint(small), 3);
    }
}

TEST(checkpoint_world_is_the_launchers) {
    for (const char* name : {"RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_PROCID", "SLURM_NTASKS"}) {
        ::unsetenv(name);
    }
    CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"RANK", "SLURM_PROCID"}), s3dlio::world::detect());
    ::setenv("PMI_RANK", "1", 1);
    ::setenv("PMI_SIZE", "3", 1);
    const s3dlio::world world = s3dlio::world::detect();
    CHECK(world.rank == 1 && world.world_size == 3 && world.launcher == "mpich");
    const checkpoint_params ours = checkpoint_params::of(world, 12);
    CHECK(ours.rank == 1 && ours.world_size == 3 && ours.step == 12);
    ::setenv("PMI_SIZE", "one", 1);
    CHECK_THROWS(S3DLIO_ERR_INVALID_ARGUMENT, ({"PMI_SIZE", "one"}), s3dlio::world::detect());
    ::unsetenv("PMI_RANK");
    ::unsetenv("PMI_SIZE");
}
