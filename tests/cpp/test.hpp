// A tiny test harness. TEST runs once; BACKEND_TEST once per backend, each counted.
#ifndef S3DLIO_TEST_HPP
#define S3DLIO_TEST_HPP

#include <s3dlio.hpp>

#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace test {

/// A store of one backend with a container of its own that is there and empty.
struct backend {
    std::string name;
    /// Root without slash at its end.
    std::string uri;
    /// Where the objects are files; else empty.
    std::string folder;
    std::map<std::string, std::string> settings;

    s3dlio::options options() const { return s3dlio::options(settings); }
    s3dlio::store store() const { return s3dlio::store(uri, options()); }
    bool is_cloud() const { return uri[0] == 's' || uri[0] == 'a'; }
};

/// memory, file, direct, seaweed, s3b or azurite; made at the first call. Fails the test with a message
/// that says what to do where the server's address is not in the environment.
backend& backend_named(const std::string& name);
/// Deletes what the backends made.
void remove_backends();
/// A fresh folder, removed at the end.
std::string temporary_folder();

struct failure {
    std::string message;
};
[[noreturn]] void fail(const char* file, int line, const std::string& what);

void add(const char* name, void (*body)());
void add(const char* name, void (*body)(backend&));

template <class T>
std::string show(const T& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}
inline std::string show(bool value) { return value ? "true" : "false"; }

template <class A, class B>
void equal(const char* file, int line, const char* text, const A& a, const B& b) {
    if (!(a == b)) fail(file, line, std::string(text) + ": " + show(a).substr(0, 400) + " is not " + show(b).substr(0, 400));
}

/// Runs `body`, which must throw a s3dlio::error of this code whose text has every part.
s3dlio::error throws(const char* file, int line, std::int32_t code, const std::vector<std::string>& parts,
                     const std::function<void()>& body);

/// Incompressible bytes.
std::string noise(std::size_t length, std::uint64_t seed = 1);

} // namespace test

#define TEST(name) \
    static void name(); \
    namespace { \
    const struct name##_adder { \
        name##_adder() { test::add(#name, name); } \
    } name##_added; \
    } \
    static void name()

#define BACKEND_TEST(name) \
    static void name(test::backend& on); \
    namespace { \
    const struct name##_adder { \
        name##_adder() { test::add(#name, name); } \
    } name##_added; \
    } \
    static void name(test::backend& on)

#define CHECK(condition) \
    do { \
        if (!(condition)) test::fail(__FILE__, __LINE__, #condition); \
    } while (false)
#define CHECK_EQ(a, b) test::equal(__FILE__, __LINE__, #a " == " #b, (a), (b))
#define CHECK_HAS(text, part) \
    do { \
        if (std::string(text).find(part) == std::string::npos) \
            test::fail(__FILE__, __LINE__, "\"" + std::string(part) + "\" is not in: " + std::string(text)); \
    } while (false)
/// CHECK_THROWS(S3DLIO_ERR_NOT_FOUND, ({"part", "of the message"}), statement)
#define CHECK_THROWS(code, parts, ...) test::throws(__FILE__, __LINE__, code, std::vector<std::string> parts, [&] { __VA_ARGS__; })

#endif
