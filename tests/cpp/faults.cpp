// The cells of tests/faults/cells.tsv: what faultd does wrong ends in exact bytes or in the true error.
#include "test.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

extern char** environ;

namespace {

constexpr std::size_t small_size = 20000, large_size = 2400000, new_size = (5 << 20) + 70000;

std::string pattern(std::size_t seed, std::size_t length) {
    std::string bytes(length, '\0');
    for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251 + seed * 101);
    return bytes;
}

const std::string& large() {
    static const std::string bytes = pattern(2, large_size);
    return bytes;
}
const std::string& fresh() {
    static const std::string bytes = pattern(6, new_size);
    return bytes;
}

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr) throw test::failure{std::string(name) + " is not set; tests/cpp/run.sh sets it"};
    return value;
}

/// faultd with one rule; it ends with its stdin.
class faultd {
  public:
    explicit faultd(const std::string& script) {
        std::string program = variable("S3DLIO_TEST_FAULTD"), verify = "--verify-signatures", flag = "--script", path = script;
        char* const arguments[] = {program.data(), verify.data(), flag.data(), path.data(), nullptr};
        int in[2], out[2];
        CHECK(::pipe(in) == 0 && ::pipe(out) == 0);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        for (const int fd : {in[0], in[1], out[0], out[1]}) posix_spawn_file_actions_addclose(&actions, fd);
        const int spawned = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
        ::close(in[0]);
        ::close(out[1]);
        in_ = in[1];
        out_ = ::fdopen(out[0], "r");
        CHECK_EQ(spawned, 0);
        ready_ = line();
    }
    faultd(const faultd&) = delete;
    faultd& operator=(const faultd&) = delete;
    ~faultd() {
        if (in_ >= 0) ::close(in_);
        ::fclose(out_);
        ::waitpid(pid_, nullptr, 0);
    }

    std::string endpoint(const std::string& service) const {
        const std::string name = service == "s3" ? "FAULTD_S3=" : "FAULTD_AZURE=";
        const std::size_t at = ready_.find(name) + name.size();
        return ready_.substr(at, ready_.find_first_of(" \n", at) - at);
    }

    /// Ends it: the fault was met, and no upload is left.
    void stop() {
        ::close(std::exchange(in_, -1));
        const std::string said = line();
        int faults = 0, uploads = -1;
        if (std::sscanf(said.c_str(), "FAULTS=%d UPLOADS=%d", &faults, &uploads) != 2 || faults == 0 || uploads != 0) {
            throw test::failure{"the fault was not met, or an upload was left: " + said};
        }
    }

  private:
    std::string line() {
        char text[300] = "";
        CHECK(std::fgets(text, sizeof text, out_) != nullptr);
        return text;
    }
    pid_t pid_ = -1;
    int in_ = -1;
    FILE* out_ = nullptr;
    std::string ready_;
};

s3dlio::store open_store(const std::string& service, const faultd& server) {
    std::map<std::string, std::string> settings = {
        {"net.max_attempts", "3"},        {"net.connect_timeout_ms", "2000"}, {"net.progress_timeout_ms", "1000"},
        {"net.operation_timeout_ms", "8000"}, {"transfer.part_size", "5MiB"},     {"transfer.range_size", "100000"},
        {"transfer.range_threshold", "1MiB"}};
    if (service == "s3") {
        settings["s3.endpoint"] = server.endpoint(service);
        settings["s3.region"] = "us-east-1";
        settings["s3.access_key_id"] = "s3dliotest";
        settings["s3.secret_access_key"] = "s3dliotestsecret";
        return s3dlio::store("s3://box/root", s3dlio::options(settings));
    }
    settings["azure.endpoint"] = server.endpoint(service);
    settings["azure.account_key"] =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    return s3dlio::store("az://devstoreaccount1/box/root", s3dlio::options(settings));
}

/// Does what the cell names; whether all is as it must be.
bool operate(const s3dlio::store& store, const std::string& operation) {
    const std::string small = pattern(1, small_size);
    std::string memory(small_size + 100, '\0');
    if (operation == "get") return store.get("small").text() == small;
    if (operation == "get_into") return store.get_into("small", memory) == small_size && memory.compare(0, small_size, small) == 0;
    if (operation == "get_large") return store.get("large").text() == large();
    if (operation == "get_range") return store.get_range("large", 1000, 5000).text() == large().substr(1000, 5000);
    if (operation == "stat") return store.stat("small").size == small_size;
    if (operation == "read") {
        s3dlio::reader reader = store.reader("small");
        std::string all;
        while (const std::size_t n = reader.read(memory)) all.append(memory, 0, n);
        return all == small;
    }
    if (operation == "read_at") {
        memory.resize(5000);
        return store.reader("large").read_at(1000, memory) == 5000 && memory == large().substr(1000, 5000);
    }
    if (operation == "put") {
        store.put("new", s3dlio::byte_view(fresh().data(), small_size));
        return store.get("new").text() == fresh().substr(0, small_size);
    }
    if (operation == "write") {
        s3dlio::writer writer = store.writer("new");
        writer.write(fresh());
        writer.finish();
        return store.get("new").text() == fresh();
    }
    if (operation == "list") {
        std::string keys;
        for (const auto& entry : store.list("list/")) keys += entry.key + " ";
        return keys == "list/a list/b list/c ";
    }
    CHECK_EQ(operation, "delete");
    store.delete_object("list/a");
    return !store.exists("list/a");
}

std::string outcome_of(const s3dlio::store& store, const std::string& operation) {
    try {
        return operate(store, operation) ? "exact" : "wrong bytes";
    } catch (const s3dlio::error& e) {
        CHECK(e.uri().substr(0, store.uri().size()) == store.uri());
        CHECK_HAS(e.what(), std::string(e.uri()));
        CHECK_HAS(e.what(), std::string(e.operation()));
        CHECK(!e.operation().empty());
        return std::string(e.code_name());
    }
}

void run(const std::string& service, const std::string& operation, const std::string& outcome, const std::string& script) {
    faultd server(script);
    {
        const s3dlio::store store = open_store(service, server);
        store.create_container();
        store.put("small", pattern(1, small_size));
        store.put("large", large());
        store.put("list/a", pattern(3, 5));
        store.put("list/b", pattern(4, 6));
        store.put("list/c", pattern(5, 7));
        CHECK_EQ(outcome_of(store, operation), outcome);
    }
    server.stop();
}

} // namespace

TEST(faults_end_in_exact_bytes_or_true_errors) {
    const std::string script = test::temporary_folder() + "/script";
    std::ifstream table(variable("S3DLIO_TEST_CELLS"));
    std::string line, wrong;
    int cells = 0;
    while (std::getline(table, line)) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream columns(line);
        std::string service, operation, outcome, rule;
        std::getline(columns, service, '\t') && std::getline(columns, operation, '\t');
        std::getline(columns, outcome, '\t') && std::getline(columns, rule);
        std::ofstream(script) << "service=" << service << ' ' << rule << '\n';
        try {
            run(service, operation, outcome, script);
        } catch (const test::failure& f) {
            wrong += "\n" + service + " " + operation + " " + rule + ": " + f.message;
        }
        ++cells;
    }
    if (!wrong.empty()) throw test::failure{wrong};
    CHECK_EQ(cells, 46);
}
