// Saves and loads a checkpoint of an MPI job: every rank stores its rows of a matrix, and a job of any other size
// loads the rows that its own ranks hold.
//
//     mpirun -n 4 checkpoint_mpi save URI [STEP [MIB]]     the matrix has 64 MiB unless given, the step is 100
//     mpirun -n 2 checkpoint_mpi load URI [STEP]           the latest step unless given
//
// URI: s3://bucket/prefix, az://account/container/prefix, file:///folder. Credentials and endpoints come from the
// environment (docs/options.md). Exit code 0 only if every rank saved its rows, or got every element right.
#include <s3dlio.hpp>

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace {

constexpr std::uint64_t columns = 1024;

/// An element of the matrix at a step: no two neighbours are alike.
double element(std::uint64_t step, std::uint64_t row, std::uint64_t column) {
    return static_cast<double>(step) + static_cast<double>(row * columns + column) / 4;
}

/// The job: this process's rank and how many there are.
struct job {
    int rank = 0;
    int size = 1;
    job() {
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        MPI_Comm_size(MPI_COMM_WORLD, &size);
    }
    /// The first row of `rows` that a rank holds; the last rank's end is `rows`.
    std::uint64_t first_row(std::uint64_t rows, int of_rank) const {
        return rows * static_cast<std::uint64_t>(of_rank) / static_cast<std::uint64_t>(size);
    }
    /// Rank 0's text on all ranks.
    std::string broadcast(std::string text) const {
        unsigned long length = text.size();
        MPI_Bcast(&length, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD);
        text.resize(length);
        MPI_Bcast(&text[0], static_cast<int>(length), MPI_CHAR, 0, MPI_COMM_WORLD);
        return text;
    }
    /// Whether it is true on every rank.
    bool everywhere(bool here) const {
        int mine = here ? 1 : 0, all = 0;
        MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
        return all == 1;
    }
};

void save(const job& job, const s3dlio::store& store, std::uint64_t step, std::uint64_t rows) {
    const std::uint64_t from = job.first_row(rows, job.rank), to = job.first_row(rows, job.rank + 1);
    std::vector<double> mine((to - from) * columns);
    for (std::uint64_t i = 0; i < mine.size(); ++i) mine[i] = element(step, from + i / columns, i % columns);
    const std::vector<std::int64_t> sizes = {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)};

    s3dlio::checkpoint_params params;
    params.step = step;
    params.rank = static_cast<std::uint32_t>(job.rank);
    params.world_size = static_cast<std::uint32_t>(job.size);
    params.framework = "checkpoint_mpi";

    // Rank 0 begins, and MPI tells the others the save's id: nothing has to be agreed through the storage.
    std::optional<s3dlio::checkpoint_writer> writer;
    if (job.rank == 0) writer.emplace(store, params);
    params.id = job.broadcast(writer ? std::string(writer->id()) : std::string());
    if (!writer) writer.emplace(store, params);

    // What every rank has alike is stored once; the rows are a slice of one entry, whoever wrote them.
    s3dlio::tensor shape = s3dlio::tensor::of("shape", {2}, sizes);
    shape.replicated = true;
    writer->put_tensors({shape, s3dlio::tensor::slice("weights", {to - from, columns}, mine, {rows, columns}, {from, 0})});
    writer->finish();

    // After the barrier all parts are there, so rank 0 does not have to wait for them.
    MPI_Barrier(MPI_COMM_WORLD);
    if (job.rank == 0) writer->commit();
    MPI_Barrier(MPI_COMM_WORLD);
    if (job.rank == 0) {
        std::cout << "saved step " << step << " by " << job.size << " ranks: " << rows * columns * sizeof(double) / (1 << 20)
                  << " MiB, " << params.id << std::endl;
    }
}

bool load(const job& job, const s3dlio::store& store, std::uint64_t wanted) {
    // One rank asks which step is the latest, so that all load the same one.
    std::string found;
    if (job.rank == 0) found = s3dlio::checkpoint(store, wanted).info().id;
    const s3dlio::checkpoint checkpoint = s3dlio::checkpoint::by_id(store, job.broadcast(found));
    const s3dlio::checkpoint_info info = checkpoint.info();

    const std::uint64_t rows = checkpoint.entry("weights").shape.at(0);
    const std::uint64_t from = job.first_row(rows, job.rank), to = job.first_row(rows, job.rank + 1);
    std::vector<double> mine((to - from) * columns);
    std::vector<std::int64_t> sizes(2);
    checkpoint.load({{"weights", mine, {from, 0}, {to - from, columns}}, {"shape", sizes}});

    std::uint64_t wrong = sizes[0] == static_cast<std::int64_t>(rows) ? 0 : 1;
    for (std::uint64_t i = 0; i < mine.size(); ++i) wrong += mine[i] != element(info.step, from + i / columns, i % columns);
    const bool right = job.everywhere(wrong == 0);
    if (job.rank == 0) {
        std::cout << "loaded step " << info.step << " of " << info.world_size << " ranks by " << job.size << " ranks: "
                  << (right ? "every element is right" : "WRONG ELEMENTS") << std::endl;
    }
    return right;
}

int run(int argc, char** argv) {
    const job job;
    const std::string verb = argc > 1 ? argv[1] : "";
    const bool saves = verb == "save";
    if ((!saves && verb != "load") || argc < 3 || argc > (saves ? 5 : 4)) {
        if (job.rank == 0) std::cerr << "usage: checkpoint_mpi save URI [STEP [MIB]] | load URI [STEP]\n";
        return 2;
    }
    const s3dlio::store store(argv[2]);
    const std::uint64_t step = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : saves ? 100 : s3dlio::latest;
    if (!saves) return load(job, store, step) ? 0 : 1;
    const std::uint64_t mib = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 64;
    save(job, store, step, mib * ((1 << 20) / sizeof(double) / columns));
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    try {
        const int status = run(argc, argv);
        MPI_Finalize();
        return status;
    } catch (const std::exception& e) {
        // The other ranks wait for this one: end the job. What was not committed is not there.
        std::cerr << "checkpoint_mpi: " << e.what() << std::endl;
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return 1;
}
