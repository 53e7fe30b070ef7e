// Streams a synthetic checkpoint to a store in constant memory, lists it, reads it back by parallel
// ranges into one buffer, and verifies it.
//
//     checkpoint URI [SIZE]      SIZE: 1GiB unless given; 256MiB, 1000000, ...
//
// Credentials and endpoints come from the environment (docs/options.md). Exit code 0 only if every
// byte came back.
#include <s3dlio.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>

namespace {

constexpr double GiB = 1024.0 * 1024.0 * 1024.0;

/// Bytes of the checkpoint from `offset`: seeded and incompressible, so that nothing is made easy.
void generate(std::byte* dst, std::size_t length, std::uint64_t offset) {
    const auto word_at = [](std::uint64_t index) { // splitmix64
        std::uint64_t z = (index + 42) * 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    };
    while (length > 0) {
        const std::uint64_t word = word_at(offset / 8);
        const std::size_t skip = offset % 8;
        const std::size_t chunk = std::min<std::size_t>(8 - skip, length);
        std::memcpy(dst, reinterpret_cast<const char*>(&word) + skip, chunk);
        dst += chunk;
        offset += chunk;
        length -= chunk;
    }
}

/// The most memory this process ever had resident, in MiB.
double peak_memory() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line)) {
        if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024.0;
    }
    return 0;
}

std::uint64_t parse_size(const std::string& text) {
    std::size_t digits = 0;
    const std::uint64_t number = std::stoull(text, &digits);
    const std::string unit = text.substr(digits);
    const int shift = unit.empty() ? 0 : unit == "KiB" ? 10 : unit == "MiB" ? 20 : unit == "GiB" ? 30 : -1;
    if (shift < 0 || text[0] == '-' || (number << shift) >> shift != number) throw std::invalid_argument(text);
    return number << shift;
}

std::string crc_text(std::uint32_t crc) {
    std::ostringstream out;
    out << "crc32c:" << std::hex << std::setw(8) << std::setfill('0') << crc;
    return out.str();
}

class stopwatch {
  public:
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void print_rate(const char* what, std::uint64_t bytes, double seconds) {
    const double amount = static_cast<double>(bytes) / GiB;
    std::cout << std::left << std::setw(8) << what << std::fixed << std::setprecision(3) << amount << " GiB in " << seconds
              << " s = " << std::setprecision(2) << amount / seconds << " GiB/s";
}

/// Makes the bucket, container or folder if it is missing.
bool made_container(const s3dlio::store& store) {
    try {
        store.list("", false).next();
        return false;
    } catch (const s3dlio::error& e) {
        if (e.code() != S3DLIO_ERR_CONTAINER_NOT_FOUND) throw;
    }
    store.create_container();
    return true;
}

/// Removes what the example stored, also after a failure.
class cleanup {
  public:
    cleanup(const s3dlio::store& store, std::string folder, bool container)
        : store_(store), folder_(std::move(folder)), container_(container) {}
    cleanup(const cleanup&) = delete;
    cleanup& operator=(const cleanup&) = delete;
    ~cleanup() {
        try {
            store_.delete_prefix(folder_);
            if (container_) store_.delete_container();
        } catch (const std::exception& e) {
            std::cerr << "cannot clean up: " << e.what() << '\n';
        }
    }

  private:
    const s3dlio::store& store_;
    std::string folder_;
    bool container_;
};

s3dlio::write_stats save(const s3dlio::store& store, const std::string& key, std::uint64_t size) {
    s3dlio::put_options put;
    put.metadata = {{"step", "100"}};
    if (store.capabilities().metadata == 0) put.metadata.clear();

    s3dlio::writer writer(store, key, put);
    std::uint64_t done = 0;
    while (done < size) {
        // The library's own memory: what is generated into it is uploaded from it.
        s3dlio::reservation memory = writer.reserve(1);
        const std::size_t chunk = static_cast<std::size_t>(std::min<std::uint64_t>(memory.size(), size - done));
        generate(memory.data(), chunk, done);
        memory.commit(chunk);
        done += chunk;
    }
    return writer.finish(); // only now there is an object
}

int run(const std::string& uri, std::uint64_t size) {
    const s3dlio::store store(uri);
    std::cout << "store   " << store.uri() << ", libs3dlio " << s3dlio::version() << std::endl;
    const std::string folder = "s3dlio-example-" + std::to_string(::getpid());
    const std::string key = folder + "/step-000100/model.bin";
    const cleanup at_the_end(store, folder, made_container(store));

    const double before = peak_memory();
    stopwatch writing;
    const s3dlio::write_stats saved = save(store, key, size);
    print_rate("write", saved.bytes, writing.seconds());
    std::cout << ", " << saved.parts << " parts, " << crc_text(saved.crc32c) << '\n';
    std::cout << "memory  " << std::setprecision(0) << peak_memory() << " MiB at most while writing (" << before
              << " MiB before)" << std::endl;

    std::uint64_t listed = 0;
    for (const s3dlio::object_info& entry : store.list(folder + "/")) {
        std::cout << "list    " << entry.uri << ' ' << entry.size << " bytes" << std::endl;
        if (entry.key == key) listed = entry.size;
    }
    if (listed != size) {
        std::cerr << "checkpoint: the listing does not show " << key << " with " << size << " bytes\n";
        return 1;
    }

    s3dlio::buffer memory(size);
    stopwatch reading;
    const std::size_t got = store.get_into(key, memory);
    print_rate("read", got, reading.seconds());
    std::cout << " by parallel ranges into one buffer" << std::endl;

    const std::uint32_t crc = s3dlio::crc32c(s3dlio::byte_view(memory.data(), got));
    if (got != size || crc != saved.crc32c) {
        std::cerr << "checkpoint: read " << got << " bytes with " << crc_text(crc) << ", but wrote " << size << " with "
                  << crc_text(saved.crc32c) << '\n';
        return 1;
    }
    std::cout << "verify  " << crc_text(crc) << ", every byte came back\n";
    std::cout << "memory  " << std::setprecision(0) << peak_memory() << " MiB at most in all, with the buffer of "
              << static_cast<double>(size) / GiB * 1024 << " MiB" << std::endl;
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        std::cerr << "usage: checkpoint URI [SIZE]\n";
        return 2;
    }
    std::uint64_t size = 0;
    try {
        size = parse_size(argc > 2 ? argv[2] : "1GiB");
    } catch (const std::exception&) {
        std::cerr << "checkpoint: not a size: " << argv[2] << " (write 1GiB, 256MiB, 1000000)\n";
        return 2;
    }
    try {
        return run(argv[1], size);
    } catch (const s3dlio::error& e) {
        std::cerr << "checkpoint: " << e.what() << '\n';
    } catch (const std::exception& e) {
        std::cerr << "checkpoint: " << e.what() << '\n';
    }
    return 1;
}
