#include "test.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>

namespace test {
namespace {

struct entry {
    std::string name;
    void (*plain)();
    void (*on_backend)(backend&);
};

std::vector<entry>& entries() {
    static std::vector<entry> all;
    return all;
}

std::vector<std::string>& folders() {
    static std::vector<std::string> all;
    return all;
}

std::map<std::string, std::unique_ptr<backend>>& made() {
    static std::map<std::string, std::unique_ptr<backend>> all;
    return all;
}

const std::vector<std::string> names = {"memory", "file", "direct", "seaweed", "s3b", "azurite"};

std::string unique_name() {
    static std::mt19937_64 random{std::random_device{}()};
    std::ostringstream out;
    out << "cpp-" << ::getpid() << '-' << std::hex << random();
    return out.str();
}

std::string from_environment(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') {
        throw failure{std::string(name) + " is not set; run: python3 tests/support/servers.py run -- tests/cpp/run.sh"};
    }
    return value;
}

} // namespace

void add(const char* name, void (*body)()) { entries().push_back({name, body, nullptr}); }
void add(const char* name, void (*body)(backend&)) { entries().push_back({name, nullptr, body}); }

void fail(const char* file, int line, const std::string& what) {
    throw failure{std::string(file) + ":" + std::to_string(line) + ": " + what};
}

s3dlio::error throws(const char* file, int line, std::int32_t code, const std::vector<std::string>& parts,
                     const std::function<void()>& body) {
    try {
        body();
    } catch (const s3dlio::error& e) {
        if (e.code() != code) {
            fail(file, line, "expected " + std::string(s3dlio::status_name(code)) + ", got: " + e.what());
        }
        for (const std::string& part : parts) {
            if (std::string(e.what()).find(part) == std::string::npos) {
                fail(file, line, "\"" + part + "\" is not in: " + e.what());
            }
        }
        return e;
    }
    fail(file, line, "expected " + std::string(s3dlio::status_name(code)) + ", but nothing was thrown");
}

std::string noise(std::size_t length, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string bytes;
    bytes.reserve(length + 8);
    while (bytes.size() < length) {
        const std::uint64_t word = random();
        bytes.append(reinterpret_cast<const char*>(&word), 8);
    }
    bytes.resize(length);
    return bytes;
}

std::string temporary_folder() {
    // Not /tmp, which may be a tmpfs without O_DIRECT.
    const char* base = std::getenv("S3DLIO_TEST_FOLDER");
    std::string pattern = std::string(base != nullptr ? base : "/var/tmp") + "/s3dlio-cpp-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw failure{"cannot make a folder like " + pattern};
    ::chmod(pattern.c_str(), 0755);
    folders().push_back(pattern);
    return pattern;
}

backend& backend_named(const std::string& name) {
    std::unique_ptr<backend>& slot = made()[name];
    if (slot) return *slot;
    backend fresh;
    fresh.name = name;
    const std::string container = unique_name();
    if (name == "memory") {
        fresh.uri = "memory://" + container;
    } else if (name == "file" || name == "direct") {
        fresh.folder = temporary_folder() + "/root";
        fresh.uri = name + "://" + fresh.folder;
    } else if (name == "azurite") {
        fresh.uri = "az://devstoreaccount1/" + container;
        fresh.settings["azure.endpoint"] = from_environment("S3DLIO_TEST_AZURITE");
        fresh.settings["azure.account_key"] =
            "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    } else {
        fresh.uri = "s3://" + container;
        fresh.settings["s3.endpoint"] = from_environment(name == "seaweed" ? "S3DLIO_TEST_SEAWEED" : "S3DLIO_TEST_S3B");
        fresh.settings["s3.access_key_id"] = "s3dliotest";
        fresh.settings["s3.secret_access_key"] = "s3dliotestsecret";
        fresh.settings["s3.region"] = "us-east-1";
    }
    fresh.store().create_container();
    slot = std::make_unique<backend>(std::move(fresh));
    return *slot;
}

void remove_backends() {
    for (auto& item : made()) {
        if (!item.second) continue;
        try {
            const s3dlio::store store = item.second->store();
            store.delete_prefix("");
            store.delete_container();
        } catch (const std::exception& e) {
            std::cerr << "cannot clean up " << item.first << ": " << e.what() << '\n';
        }
    }
    made().clear();
    for (const std::string& folder : folders()) std::filesystem::remove_all(folder);
}

} // namespace test

/// Arguments: names of tests or backends to run; none runs all.
int main(int argc, char** argv) {
    const std::vector<std::string> wanted(argv + 1, argv + argc);
    const auto is_wanted = [&](const std::string& name) {
        for (const std::string& part : wanted) {
            if (name.find(part) == std::string::npos) return false;
        }
        return true;
    };
    int passed = 0;
    int failed = 0;
    const auto run = [&](const std::string& name, const std::function<void()>& body) {
        if (!is_wanted(name)) return;
        std::string problem;
        try {
            body();
        } catch (const test::failure& f) {
            problem = f.message;
        } catch (const s3dlio::error& e) {
            problem = std::string("unexpected error: ") + e.what();
        } catch (const std::exception& e) {
            problem = std::string("unexpected exception: ") + e.what();
        }
        if (problem.empty()) {
            ++passed;
        } else {
            ++failed;
            std::cout << "FAILED " << name << ": " << problem << std::endl;
        }
    };
    for (const test::entry& entry : test::entries()) {
        if (entry.plain != nullptr) {
            run(entry.name, entry.plain);
            continue;
        }
        for (const std::string& name : test::names) {
            run(entry.name + '/' + name, [&] { entry.on_backend(test::backend_named(name)); });
        }
    }
    test::remove_backends();
    std::cout << passed << " passed, " << failed << " failed" << std::endl;
    return failed == 0 ? 0 : 1;
}
