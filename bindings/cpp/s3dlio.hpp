/// @file s3dlio.hpp
/// libs3dlio for C++17 and later, header only: owns the handles of `s3dlio.h` and turns its statuses
/// into exceptions. Link the C library (`s3dlio::cxx` in CMake does).
///
///     s3dlio::store store("s3://bucket/run1");
///     store.put("greeting", std::string_view("hello"));
///     s3dlio::buffer bytes = store.get("greeting");
///     for (const auto& entry : store.list("step-"))
///         std::cout << entry.key << ' ' << entry.size << '\n';
///
/// **Errors.** Every function that is not `noexcept` throws `s3dlio::error` when the library reports
/// one, and `std::bad_alloc` when a C++ allocation fails. Nothing is lost or leaked by either.
/// Destructors never throw, block or do I/O; `queue` and `loader` say what theirs wait for.
///
/// **Ownership.** Handle classes are move-only. A moved-from object holds nothing: it may be destroyed
/// or assigned to, and any other use throws `S3DLIO_ERR_INVALID_ARGUMENT`. Readers, writers, listers
/// and buffers keep what they need of their store alive, so objects may be destroyed in any order.
///
/// **Threads.** One line per class. Functions without a class may be called from any thread.
///
/// **Text.** Text goes in as `std::string_view` and may not contain a NUL byte: it is refused with
/// the code that fits (`S3DLIO_ERR_INVALID_KEY`, `_INVALID_URI` ...), never cut short.
#ifndef S3DLIO_HPP
#define S3DLIO_HPP

#include <s3dlio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <istream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "s3dlio.hpp needs C++17"
#endif

namespace s3dlio {

/// "To the end of the object", as a length.
inline constexpr std::uint64_t to_end = UINT64_MAX;

/// User metadata: names are lower-case letters, digits and `_`; values printable ASCII.
using metadata_map = std::map<std::string, std::string>;

/// Nanoseconds since 1970-01-01 UTC.
using timestamp = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

// ------------------------------------------------------------------------------------------ errors

/// A failure with everything that is known about it. Immutable; copies share the text, and copying
/// never throws. `what()` is one line with operation, URI, cause and hint, and never holds a secret.
class error : public std::runtime_error {
  public:
    /// An error of the caller's own, such as from a wrapper. `code` is one of `S3DLIO_ERR_*`.
    error(std::int32_t code, const std::string& message)
        : std::runtime_error(message + " [" + s3dlio_status_name(code) + "]"), facts_(std::make_shared<facts>()) {
        facts_->code = code;
    }

    /// Copies a C error, or what the status alone tells where there is none. Does not free `raw`.
    error(std::int32_t status, const s3dlio_error* raw)
        : std::runtime_error(message_of(status, raw)), facts_(std::make_shared<facts>()) {
        facts_->code = status;
        if (raw == nullptr) return;
        facts_->retryable = s3dlio_error_retryable(raw) != 0;
        facts_->http_status = s3dlio_error_http_status(raw);
        facts_->os_errno = s3dlio_error_os_errno(raw);
        const std::size_t count = s3dlio_error_detail_count(raw);
        for (std::size_t i = 0; i < count; ++i) {
            const char* key = nullptr;
            const char* value = nullptr;
            if (s3dlio_error_detail_at(raw, i, &key, &value) == S3DLIO_OK && key != nullptr && value != nullptr) {
                facts_->details.emplace(key, value);
            }
        }
    }

    /// Copies only: a moved-from error is still whole.
    error(const error&) noexcept = default;
    error& operator=(const error&) noexcept = default;
    ~error() override = default;

    /// Which `S3DLIO_ERR_*` it is.
    std::int32_t code() const noexcept { return facts_->code; }
    /// The code's stable name, such as `not_found`.
    std::string_view code_name() const noexcept { return s3dlio_status_name(facts_->code); }
    /// Whether the same call may succeed later without any change.
    bool retryable() const noexcept { return facts_->retryable; }
    /// The HTTP status of the server's answer; 0 where there was none.
    int http_status() const noexcept { return facts_->http_status; }
    /// The errno of the failed system call; 0 where there was none.
    int os_errno() const noexcept { return facts_->os_errno; }

    /// What was done (`get`, `put`, `list` ...); empty if unknown.
    std::string_view operation() const noexcept { return detail("operation"); }
    /// The URI it was done to; empty if unknown.
    std::string_view uri() const noexcept { return detail("uri"); }
    /// The id that the service's support asks for; empty if there is none.
    std::string_view request_id() const noexcept { return detail("request_id"); }
    /// What to do about it; may be empty.
    std::string_view hint() const noexcept { return detail("hint"); }
    /// How often the request was tried; 0 if unknown.
    std::uint64_t attempts() const noexcept { return number("attempts"); }
    /// How long all attempts took together; 0 if unknown.
    std::chrono::milliseconds elapsed() const noexcept {
        return std::chrono::milliseconds(static_cast<std::int64_t>(number("elapsed_ms")));
    }
    /// The size in bytes that a `S3DLIO_ERR_BUFFER_TOO_SMALL` asks for; 0 for other errors.
    std::uint64_t required() const noexcept { return number("required"); }

    /// One fact by name; empty if it is not there. Lives as long as this error and its copies.
    std::string_view detail(std::string_view key) const noexcept {
        const auto found = facts_->details.find(key);
        return found == facts_->details.end() ? std::string_view() : std::string_view(found->second);
    }
    /// Every fact by name: `operation`, `uri`, `request_id`, `attempts`, `elapsed_ms`, `hint` and those
    /// of the code, such as `required` or `expected`.
    const std::map<std::string, std::string, std::less<>>& details() const noexcept { return facts_->details; }

  private:
    struct facts {
        std::int32_t code = 0;
        bool retryable = false;
        int http_status = 0;
        int os_errno = 0;
        std::map<std::string, std::string, std::less<>> details;
    };

    static std::string message_of(std::int32_t status, const s3dlio_error* raw) {
        const char* message = raw == nullptr ? nullptr : s3dlio_error_message(raw);
        if (message != nullptr) return message;
        return std::string(s3dlio_status_doc(status)) + " [" + s3dlio_status_name(status) + "]";
    }

    std::uint64_t number(std::string_view key) const noexcept {
        std::uint64_t value = 0;
        for (const char digit : detail(key)) {
            if (digit < '0' || digit > '9') return 0;
            value = value * 10 + static_cast<std::uint64_t>(digit - '0');
        }
        return value;
    }

    std::shared_ptr<facts> facts_;
};

namespace detail {

/// Frees a handle of C; a NULL one is nothing.
struct deleter {
    void operator()(s3dlio_error* handle) const noexcept { s3dlio_error_free(handle); }
    void operator()(s3dlio_options* handle) const noexcept { s3dlio_options_free(handle); }
    void operator()(s3dlio_buffer* handle) const noexcept { s3dlio_buffer_free(handle); }
    void operator()(s3dlio_store* handle) const noexcept { s3dlio_store_free(handle); }
    void operator()(s3dlio_lister* handle) const noexcept { s3dlio_lister_free(handle); }
    void operator()(s3dlio_reader* handle) const noexcept { s3dlio_reader_free(handle); }
    void operator()(s3dlio_writer* handle) const noexcept { s3dlio_writer_free(handle); }
    void operator()(s3dlio_queue* handle) const noexcept { s3dlio_queue_free(handle); }
    void operator()(s3dlio_op* handle) const noexcept { s3dlio_op_free(handle); }
    void operator()(s3dlio_checkpoint_writer* handle) const noexcept { s3dlio_checkpoint_writer_free(handle); }
    void operator()(s3dlio_checkpoint_shard* handle) const noexcept { s3dlio_checkpoint_shard_free(handle); }
    void operator()(s3dlio_dataset* handle) const noexcept { s3dlio_dataset_free(handle); }
    void operator()(s3dlio_loader* handle) const noexcept { s3dlio_loader_free(handle); }
    void operator()(s3dlio_batch* handle) const noexcept { s3dlio_batch_free(handle); }
    void operator()(s3dlio_checkpoint* handle) const noexcept { s3dlio_checkpoint_free(handle); }
};

template <class T>
using owned = std::unique_ptr<T, deleter>;

/// The error output of one C call.
class outcome {
  public:
    outcome() = default;
    outcome(const outcome&) = delete;
    outcome& operator=(const outcome&) = delete;
    ~outcome() { s3dlio_error_free(raw_); }

    /// The last argument of the call.
    s3dlio_error** slot() noexcept { return &raw_; }

    /// Throws if the call failed; else passes its (positive) status on.
    std::int32_t check(std::int32_t status) const {
        if (status < 0) throw error(status, raw_);
        return status;
    }

  private:
    s3dlio_error* raw_ = nullptr;
};

/// NUL-terminated text for C; a NUL byte inside is refused with `code`.
inline std::string text(std::string_view value, std::int32_t code, const char* what) {
    if (value.find('\0') != std::string_view::npos) {
        throw error(code, std::string(what) + " contains a NUL byte");
    }
    return std::string(value);
}

inline std::string key_text(std::string_view key) { return text(key, S3DLIO_ERR_INVALID_KEY, "the key"); }
inline std::string uri_text(std::string_view uri) { return text(uri, S3DLIO_ERR_INVALID_URI, "the URI"); }
inline std::string argument_text(std::string_view value, const char* what) {
    return text(value, S3DLIO_ERR_INVALID_ARGUMENT, what);
}

inline std::optional<std::string> optional_text(const char* value) {
    if (value == nullptr) return std::nullopt;
    return std::string(value);
}

/// Whether C is contiguous memory of trivially copyable elements; `element` is their type.
template <class C, class = void>
struct contiguous : std::false_type {};
template <class C>
struct contiguous<C, std::void_t<decltype(std::data(std::declval<C&>())), decltype(std::size(std::declval<C&>()))>>
    : std::is_trivially_copyable<std::remove_pointer_t<decltype(std::data(std::declval<C&>()))>> {
    using element = std::remove_pointer_t<decltype(std::data(std::declval<C&>()))>;
};

template <class C, bool = contiguous<C>::value>
struct writable : std::false_type {};
template <class C>
struct writable<C, true> : std::negation<std::is_const<typename contiguous<C>::element>> {};

} // namespace detail

// ------------------------------------------------------------------------------------------- bytes

/// Bytes of someone else's that are only read. Made from pointer and size in bytes, or implicitly from
/// contiguous memory: `std::vector`, `std::array`, `std::string(_view)`, `std::span`, arrays, `buffer`.
/// Elements must be trivially copyable; a vector of `float` gives `4 * size()` bytes. Must not outlive
/// the memory. A literal is its text without the NUL byte at its end. Other arrays of `char` are refused,
/// because it is not clear where they end: give a `std::string_view`, or pointer and size.
class byte_view {
  public:
    constexpr byte_view() noexcept = default;
    byte_view(const void* data, std::size_t size) noexcept : data_(static_cast<const std::byte*>(data)), size_(size) {}
    template <class C, class = std::enable_if_t<detail::contiguous<const C>::value>>
    byte_view(const C& memory) noexcept
        : byte_view(std::data(memory), std::size(memory) * sizeof(typename detail::contiguous<const C>::element)) {}
    template <std::size_t N>
    byte_view(const char (&literal)[N]) noexcept : byte_view(literal, literal[N - 1] == '\0' ? N - 1 : N) {}
    template <std::size_t N>
    byte_view(char (&)[N]) = delete;

    constexpr const std::byte* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const std::byte* begin() const noexcept { return data_; }
    constexpr const std::byte* end() const noexcept { return data_ + size_; }
    /// At most `count` bytes from `offset`; empty past the end.
    byte_view subview(std::size_t offset, std::size_t count = SIZE_MAX) const noexcept {
        if (offset >= size_) return {};
        return {data_ + offset, count < size_ - offset ? count : size_ - offset};
    }
    /// The same bytes as text.
    std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

  private:
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Bytes of someone else's that are written to; otherwise as `byte_view`, and arrays of `char` are fine.
class mutable_byte_view {
  public:
    constexpr mutable_byte_view() noexcept = default;
    mutable_byte_view(void* data, std::size_t size) noexcept : data_(static_cast<std::byte*>(data)), size_(size) {}
    template <class C,
              class = std::enable_if_t<detail::writable<std::remove_reference_t<C>>::value &&
                                       !std::is_same_v<std::decay_t<C>, mutable_byte_view>>>
    mutable_byte_view(C&& memory) noexcept
        : mutable_byte_view(std::data(memory), std::size(memory) * sizeof(*std::data(memory))) {}

    constexpr std::byte* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr std::byte* begin() const noexcept { return data_; }
    constexpr std::byte* end() const noexcept { return data_ + size_; }
    /// At most `count` bytes from `offset`; empty past the end.
    mutable_byte_view subview(std::size_t offset, std::size_t count = SIZE_MAX) const noexcept {
        if (offset >= size_) return {};
        return {data_ + offset, count < size_ - offset ? count : size_ - offset};
    }

  private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// One of many ranges to read: `length` bytes from `offset` to `dst`; the call sets `bytes_read`, which
/// is smaller than `length` only at the end of the object.
using range = s3dlio_range;

/// A range that fills `dst` from `offset`.
inline range make_range(std::uint64_t offset, mutable_byte_view dst) noexcept {
    return range{offset, dst.size(), dst.data(), 0};
}

/// Memory of the library's, aligned to 4096 bytes, reference counted. Freed with its last clone.
/// Threads: any; the bytes themselves are the caller's to guard.
class buffer {
  public:
    /// Holds nothing; size 0.
    buffer() noexcept = default;
    /// New memory of `size` bytes; what is in it is unspecified.
    explicit buffer(std::size_t size) {
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_buffer_new(size, &raw, outcome.slot()));
        handle_.reset(raw);
    }
    /// Takes a C handle over.
    explicit buffer(s3dlio_buffer* raw) noexcept : handle_(raw) {}

    std::byte* data() noexcept { return static_cast<std::byte*>(s3dlio_buffer_data(handle_.get())); }
    const std::byte* data() const noexcept { return static_cast<const std::byte*>(s3dlio_buffer_data(handle_.get())); }
    std::size_t size() const noexcept { return s3dlio_buffer_size(handle_.get()); }
    bool empty() const noexcept { return size() == 0; }
    std::byte* begin() noexcept { return data(); }
    std::byte* end() noexcept { return data() + size(); }
    const std::byte* begin() const noexcept { return data(); }
    const std::byte* end() const noexcept { return data() + size(); }
    /// The bytes as text, without a copy; lives as long as this buffer or a clone.
    std::string_view text() const noexcept { return byte_view(*this).text(); }

    /// Another owner of the same memory; nothing is copied.
    buffer clone() const {
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_buffer_clone(handle_.get(), &raw, outcome.slot()));
        return buffer(raw);
    }

    /// The C handle, still owned here.
    s3dlio_buffer* get() const noexcept { return handle_.get(); }
    /// The C handle, now the caller's to free.
    s3dlio_buffer* release() noexcept { return handle_.release(); }

  private:
    detail::owned<s3dlio_buffer> handle_;
};

// ----------------------------------------------------------------------------------------- options

/// One row of the option table; every text is static.
struct option_info {
    std::string_view key, type, default_value, bounds, env, doc;
};

/// Settings of stores, readers and writers, by dotted key such as `transfer.part_size`. What is not set
/// comes from the environment, else from the default. Threads: one at a time.
class options {
  public:
    options() {
        detail::outcome outcome;
        s3dlio_options* raw = nullptr;
        outcome.check(s3dlio_options_new(&raw, outcome.slot()));
        handle_.reset(raw);
    }
    /// `options({{"s3.region", "us-east-1"}, {"transfer.part_size", "8MiB"}})`.
    options(std::initializer_list<std::pair<std::string_view, std::string_view>> values) : options() {
        for (const auto& value : values) set(value.first, value.second);
    }
    /// As above, from a map.
    explicit options(const std::map<std::string, std::string>& values) : options() {
        for (const auto& value : values) set(value.first, value.second);
    }

    /// Sets from text. `S3DLIO_ERR_UNKNOWN_OPTION` names the nearest key; `S3DLIO_ERR_INVALID_OPTION` the bounds.
    options& set(std::string_view key, std::string_view value) {
        const std::string c_key = detail::text(key, S3DLIO_ERR_UNKNOWN_OPTION, "the option's name");
        const std::string c_value = detail::text(value, S3DLIO_ERR_INVALID_OPTION, "the option's value");
        detail::outcome outcome;
        outcome.check(s3dlio_options_set(handle_.get(), c_key.c_str(), c_value.c_str(), outcome.slot()));
        return *this;
    }
    /// Sets a switch, count, size in bytes or time in milliseconds.
    template <class N, class = std::enable_if_t<std::is_integral_v<N>>>
    options& set(std::string_view key, N value) {
        if constexpr (std::is_same_v<N, bool>) {
            return set(key, std::string_view(value ? "true" : "false"));
        } else {
            return set(key, std::string_view(std::to_string(value)));
        }
    }
    /// The value in force as text: set here, else environment, else default. Secrets are masked.
    std::string get(std::string_view key) const {
        const std::string c_key = detail::text(key, S3DLIO_ERR_UNKNOWN_OPTION, "the option's name");
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_options_get(handle_.get(), c_key.c_str(), &raw, outcome.slot()));
        const buffer value(raw);
        const auto* text = reinterpret_cast<const char*>(value.data());
        return text == nullptr ? std::string() : std::string(text);
    }
    /// An independent copy.
    options clone() const {
        detail::outcome outcome;
        s3dlio_options* raw = nullptr;
        outcome.check(s3dlio_options_clone(handle_.get(), &raw, outcome.slot()));
        return options(raw);
    }

    /// The C handle, still owned here.
    s3dlio_options* get() const noexcept { return handle_.get(); }

    /// Every option there is, in the order of the keys.
    static std::vector<option_info> all() {
        std::vector<option_info> rows;
        const std::size_t count = s3dlio_option_count();
        rows.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            s3dlio_option_info row{};
            detail::outcome outcome;
            outcome.check(s3dlio_option_at(i, &row, sizeof row, outcome.slot()));
            const auto view = [](const char* text) { return text == nullptr ? std::string_view() : std::string_view(text); };
            rows.push_back({view(row.key), view(row.type), view(row.default_value), view(row.bounds), view(row.env), view(row.doc)});
        }
        return rows;
    }

  private:
    explicit options(s3dlio_options* raw) noexcept : handle_(raw) {}
    detail::owned<s3dlio_options> handle_;
};

/// How to store an object. Empty members ask for nothing.
struct put_options {
    std::string content_type = {};
    metadata_map metadata = {};
    /// Replace only the object of this ETag; else `S3DLIO_ERR_PRECONDITION_FAILED`.
    std::string if_match = {};
    /// Only where there is no object of this key; else `S3DLIO_ERR_ALREADY_EXISTS`.
    bool create_only = false;
};

/// What was stored. Readable before and after finish, and after a failure.
struct write_stats {
    /// Plain bytes taken in.
    std::uint64_t bytes = 0;
    /// Bytes stored, after compression.
    std::uint64_t stored_bytes = 0;
    /// Of the plain bytes.
    std::uint32_t crc32c = 0;
    /// Of the stored bytes.
    std::uint32_t stored_crc32c = 0;
    /// Parts or blocks uploaded.
    std::uint32_t parts = 0;
    /// Whether the object is published.
    bool finished = false;
    /// Empty until finished, or if the store gives none.
    std::string etag = {};
};

// ----------------------------------------------------------------------------------------- objects

/// What an entry of a listing is.
enum class object_kind : std::uint32_t {
    object = S3DLIO_KIND_OBJECT,
    /// A common prefix, ending in `/`; only in listings of one level.
    prefix = S3DLIO_KIND_PREFIX,
    container = S3DLIO_KIND_CONTAINER,
};

/// Facts of an object, prefix or container. Owns its texts.
struct object_info {
    object_kind kind = object_kind::object;
    /// Relative to the store's root; the name for containers.
    std::string key = {};
    /// The full URI.
    std::string uri = {};
    /// In bytes; 0 for prefixes and containers.
    std::uint64_t size = 0;
    std::optional<timestamp> last_modified = {};
    std::optional<std::string> etag = {};
    std::optional<std::string> content_type = {};
    /// Of the stored bytes, where the store recorded one.
    std::optional<std::uint32_t> crc32c = {};
    /// Listings leave it empty.
    metadata_map metadata = {};
};

namespace detail {

inline object_info to_info(const s3dlio_object_info& raw) {
    object_info info;
    info.kind = static_cast<object_kind>(raw.kind);
    if (raw.key != nullptr) info.key = raw.key;
    if (raw.uri != nullptr) info.uri = raw.uri;
    info.size = raw.size;
    if (raw.last_modified_ns != INT64_MIN) info.last_modified = timestamp(std::chrono::nanoseconds(raw.last_modified_ns));
    info.etag = optional_text(raw.etag);
    info.content_type = optional_text(raw.content_type);
    if (raw.has_crc32c != 0) info.crc32c = raw.crc32c;
    for (std::size_t i = 0; i < raw.metadata_count; ++i) info.metadata.emplace(raw.metadata[i].key, raw.metadata[i].value);
    return info;
}

inline write_stats to_stats(const s3dlio_write_stats& raw) {
    write_stats stats;
    stats.bytes = raw.bytes;
    stats.stored_bytes = raw.stored_bytes;
    stats.crc32c = raw.crc32c;
    stats.stored_crc32c = raw.stored_crc32c;
    stats.parts = raw.parts;
    stats.finished = raw.finished != 0;
    stats.etag = raw.etag;
    return stats;
}

/// The C form of put options; borrows the texts of the C++ form.
class raw_put_options {
  public:
    explicit raw_put_options(const put_options& options) {
        refuse_nul(options.content_type, "the content type");
        refuse_nul(options.if_match, "if_match");
        pairs_.reserve(options.metadata.size());
        for (const auto& entry : options.metadata) {
            refuse_nul(entry.first, "a metadata name");
            refuse_nul(entry.second, "a metadata value");
            pairs_.push_back({entry.first.c_str(), entry.second.c_str()});
        }
        raw_.content_type = options.content_type.empty() ? nullptr : options.content_type.c_str();
        raw_.if_match = options.if_match.empty() ? nullptr : options.if_match.c_str();
        raw_.metadata = pairs_.data();
        raw_.metadata_count = pairs_.size();
        raw_.create_only = options.create_only ? 1 : 0;
    }
    raw_put_options(const raw_put_options&) = delete;
    raw_put_options& operator=(const raw_put_options&) = delete;
    const s3dlio_put_options* get() const noexcept { return &raw_; }

  private:
    static void refuse_nul(const std::string& value, const char* what) {
        if (value.find('\0') != std::string::npos) {
            throw error(S3DLIO_ERR_INVALID_ARGUMENT, std::string(what) + " contains a NUL byte");
        }
    }
    std::vector<s3dlio_key_value> pairs_;
    s3dlio_put_options raw_{};
};

} // namespace detail

/// A listing in progress; pages are fetched as needed. Threads: one at a time.
///
///     for (const s3dlio::object_info& entry : store.list("step-")) ...
///
/// An error while listing is thrown by the loop itself, so a loop that ends has seen everything.
class lister {
  public:
    /// Takes a C handle over.
    explicit lister(s3dlio_lister* raw) noexcept : handle_(raw) {}

    /// The next entry, or nothing at the end.
    std::optional<object_info> next() { return next(handle_.get()); }

    /// Single-pass input iterator. Must not outlive the lister, which may be moved meanwhile.
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = object_info;
        using difference_type = std::ptrdiff_t;
        using pointer = const object_info*;
        using reference = const object_info&;

        /// The end.
        iterator() = default;
        reference operator*() const noexcept { return *entry_; }
        pointer operator->() const noexcept { return &*entry_; }
        iterator& operator++() {
            entry_ = lister::next(source_);
            return *this;
        }
        /// `*it++` gives the entry it was at.
        iterator operator++(int) {
            iterator before(*this);
            ++*this;
            return before;
        }
        friend bool operator==(const iterator& a, const iterator& b) noexcept {
            return a.entry_.has_value() == b.entry_.has_value();
        }
        friend bool operator!=(const iterator& a, const iterator& b) noexcept { return !(a == b); }

      private:
        friend class lister;
        explicit iterator(s3dlio_lister* source) : source_(source), entry_(lister::next(source)) {}
        s3dlio_lister* source_ = nullptr;
        std::optional<object_info> entry_;
    };

    /// Goes on where the lister is; fetches an entry.
    iterator begin() { return iterator(handle_.get()); }
    iterator end() noexcept { return {}; }

    /// The C handle, still owned here.
    s3dlio_lister* get() const noexcept { return handle_.get(); }

  private:
    static std::optional<object_info> next(s3dlio_lister* source) {
        detail::outcome outcome;
        s3dlio_object_info raw{};
        if (outcome.check(s3dlio_lister_next(source, &raw, sizeof raw, outcome.slot())) == S3DLIO_END) return std::nullopt;
        return detail::to_info(raw);
    }
    detail::owned<s3dlio_lister> handle_;
};

// ------------------------------------------------------------------------------------------- store

class reader;
class writer;

/// What one key of `get_many` gave: data or an error.
struct get_result {
    buffer data;
    std::optional<error> failure = {};

    /// Whether the data is there.
    explicit operator bool() const noexcept { return !failure.has_value(); }
    /// The data; throws the key's error where there is one.
    const buffer& value() const {
        if (failure) throw error(*failure);
        return data;
    }
};

/// One object for `put_many`. The bytes are the caller's and stay where they are.
struct put_item {
    std::string key;
    byte_view data;
};

/// What one item of `put_many` gave.
struct put_result {
    /// Of the bytes that were stored.
    std::uint32_t crc32c = 0;
    std::optional<error> failure = {};

    /// Whether the object is stored.
    explicit operator bool() const noexcept { return !failure.has_value(); }
};

/// What to validate: the bytes of a range against a CRC32C, or the whole object against the stored one.
struct check {
    std::string key;
    std::uint64_t offset = 0;
    std::uint64_t length = to_end;
    /// Absent: the checksum that the store recorded.
    std::optional<std::uint32_t> crc32c = {};
};

/// Objects below a root URI: `s3://bucket/prefix`, `az://account/container/prefix`, `file:///folder`,
/// `direct:///folder`, `memory://name`. Keys are relative to it. Opening does no I/O.
/// Threads: any, concurrently.
class store {
  public:
    explicit store(std::string_view uri) : store(uri, nullptr) {}
    store(std::string_view uri, const options& options) : store(uri, options.get()) {}

    /// The root URI, as the library writes it. Lives as long as this store.
    std::string_view uri() const noexcept {
        const char* text = s3dlio_store_uri(handle_.get());
        return text == nullptr ? std::string_view() : std::string_view(text);
    }
    /// What the backend can do and wants.
    s3dlio_capabilities capabilities() const {
        detail::outcome outcome;
        s3dlio_capabilities caps{};
        outcome.check(s3dlio_store_capabilities(handle_.get(), &caps, sizeof caps, outcome.slot()));
        return caps;
    }

    /// The whole object, as stored (`.zst` is not decompressed); large ones in parallel ranges.
    buffer get(std::string_view key) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_store_get(handle_.get(), c_key.c_str(), &raw, outcome.slot()));
        return buffer(raw);
    }
    /// At most `length` bytes from `offset`, fewer only at the end; `S3DLIO_ERR_RANGE` past the end.
    buffer get_range(std::string_view key, std::uint64_t offset, std::uint64_t length = to_end) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_store_get_range(handle_.get(), c_key.c_str(), offset, length, &raw, outcome.slot()));
        return buffer(raw);
    }
    /// The whole object into `dst`, in parallel ranges where it is large; gives its size.
    /// `S3DLIO_ERR_BUFFER_TOO_SMALL` tells the size needed (`error::required`). After an error the
    /// contents of `dst` are unspecified, and nothing writes to it any more.
    std::size_t get_into(std::string_view key, mutable_byte_view dst) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        std::size_t bytes = 0;
        outcome.check(s3dlio_store_get_into(handle_.get(), c_key.c_str(), dst.data(), dst.size(), &bytes, outcome.slot()));
        return bytes;
    }
    /// Fills `dst` from `offset`; gives how many bytes that was, fewer only at the end of the object.
    std::size_t get_range_into(std::string_view key, std::uint64_t offset, mutable_byte_view dst) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        std::size_t bytes = 0;
        outcome.check(s3dlio_store_get_range_into(handle_.get(), c_key.c_str(), offset, dst.data(), dst.size(), &bytes, outcome.slot()));
        return bytes;
    }
    /// Many ranges of one object in one call, in parallel, all of the same version of the object;
    /// sets each `bytes_read`. The ranges' memory must not overlap.
    void get_ranges(std::string_view key, range* ranges, std::size_t count) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        outcome.check(s3dlio_store_get_ranges(handle_.get(), c_key.c_str(), ranges, count, outcome.slot()));
    }
    void get_ranges(std::string_view key, std::vector<range>& ranges) const { get_ranges(key, ranges.data(), ranges.size()); }

    /// Many objects at once; the results are in the order of `keys`, each data or an error of its own.
    /// Throws only where nothing could be tried.
    std::vector<get_result> get_many(const std::vector<std::string>& keys) const {
        refuse_moved_from();
        std::vector<const char*> c_keys;
        c_keys.reserve(keys.size());
        for (const std::string& key : keys) {
            if (key.find('\0') != std::string::npos) throw error(S3DLIO_ERR_INVALID_KEY, "the key contains a NUL byte");
            c_keys.push_back(key.c_str());
        }
        raw_results raw(keys.size());
        detail::outcome outcome;
        const std::int32_t status = s3dlio_store_get_many(handle_.get(), c_keys.data(), c_keys.size(), raw.rows.data(), outcome.slot());
        if (status < 0 && !raw.filled()) outcome.check(status);
        std::vector<get_result> results;
        results.reserve(keys.size());
        for (s3dlio_get_result& row : raw.rows) {
            get_result result;
            if (row.status < 0) {
                result.failure.emplace(row.status, row.error);
            } else {
                result.data = buffer(std::exchange(row.data, nullptr));
            }
            results.push_back(std::move(result));
        }
        return results;
    }

    /// Stores the object whole or not at all. The bytes are the caller's again when it returns.
    write_stats put(std::string_view key, byte_view data, const put_options& options = {}) const {
        const std::string c_key = detail::key_text(key);
        const detail::raw_put_options raw_options(options);
        detail::outcome outcome;
        s3dlio_write_stats stats{};
        outcome.check(s3dlio_store_put(handle_.get(), c_key.c_str(), data.data(), data.size(), raw_options.get(),
                                       sizeof(s3dlio_put_options), &stats, sizeof stats, outcome.slot()));
        return detail::to_stats(stats);
    }

    /// Many objects at once, all with the same options; the results are in the order of `items`: the CRC32C
    /// of the bytes, or an error of its own. Throws only where nothing could be tried.
    std::vector<put_result> put_many(const std::vector<put_item>& items, const put_options& options = {}) const {
        refuse_moved_from();
        raw_rows<s3dlio_put_item> raw;
        raw.rows.reserve(items.size());
        for (const put_item& item : items) {
            if (item.key.find('\0') != std::string::npos) throw error(S3DLIO_ERR_INVALID_KEY, "the key contains a NUL byte");
            s3dlio_put_item row{};
            row.key = item.key.c_str();
            row.data = item.data.data();
            row.length = item.data.size();
            raw.rows.push_back(row);
        }
        const detail::raw_put_options raw_options(options);
        detail::outcome outcome;
        const std::int32_t status = s3dlio_store_put_many(handle_.get(), raw.rows.data(), raw.rows.size(), raw_options.get(),
                                                          sizeof(s3dlio_put_options), outcome.slot());
        if (status < 0 && !raw.filled()) outcome.check(status);
        std::vector<put_result> results(items.size());
        for (std::size_t i = 0; i < results.size(); ++i) {
            results[i].crc32c = raw.rows[i].crc32c;
            if (raw.rows[i].status < 0) results[i].failure.emplace(raw.rows[i].status, raw.rows[i].error);
        }
        return results;
    }

    /// The object's facts; `S3DLIO_ERR_NOT_FOUND` where there is none.
    object_info stat(std::string_view key) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        s3dlio_object_info info{};
        s3dlio_buffer* strings = nullptr;
        outcome.check(s3dlio_store_stat(handle_.get(), c_key.c_str(), &info, sizeof info, &strings, outcome.slot()));
        const buffer owner(strings);
        return detail::to_info(info);
    }
    /// Whether there is an object of this key. An error is thrown, never taken for "no".
    bool exists(std::string_view key) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        std::int32_t exists = 0;
        outcome.check(s3dlio_store_exists(handle_.get(), c_key.c_str(), &exists, outcome.slot()));
        return exists != 0;
    }
    /// `s3dlio_store_delete`; a missing object is success.
    void delete_object(std::string_view key) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        outcome.check(s3dlio_store_delete(handle_.get(), c_key.c_str(), outcome.slot()));
    }
    /// Deletes everything in the folder `prefix` (`run1` never takes `run10`); "" is everything below
    /// the root. Gives how many objects that was.
    std::uint64_t delete_prefix(std::string_view prefix) const {
        const std::string c_prefix = detail::key_text(prefix);
        detail::outcome outcome;
        std::uint64_t deleted = 0;
        outcome.check(s3dlio_store_delete_prefix(handle_.get(), c_prefix.c_str(), &deleted, outcome.slot()));
        return deleted;
    }
    /// Copies inside the store, with content type and metadata; replaces what is at `to`.
    void copy(std::string_view from, std::string_view to) const {
        const std::string c_from = detail::key_text(from);
        const std::string c_to = detail::key_text(to);
        detail::outcome outcome;
        outcome.check(s3dlio_store_copy(handle_.get(), c_from.c_str(), c_to.c_str(), outcome.slot()));
    }
    /// Moves an object; atomic on file systems only. A source that is replaced meanwhile stays: S3DLIO_ERR_CHANGED.
    void rename(std::string_view from, std::string_view to) const {
        const std::string c_from = detail::key_text(from);
        const std::string c_to = detail::key_text(to);
        detail::outcome outcome;
        outcome.check(s3dlio_store_rename(handle_.get(), c_from.c_str(), c_to.c_str(), outcome.slot()));
    }
    /// Creates the root's bucket, container or folder; `S3DLIO_ERR_ALREADY_EXISTS` where there is one.
    void create_container() const {
        detail::outcome outcome;
        outcome.check(s3dlio_store_create_container(handle_.get(), outcome.slot()));
    }
    /// Deletes the root's empty bucket, container or folder; `S3DLIO_ERR_NOT_EMPTY` where objects are left.
    void delete_container() const {
        detail::outcome outcome;
        outcome.check(s3dlio_store_delete_container(handle_.get(), outcome.slot()));
    }

    /// The keys that start with `prefix` (plain text, as in S3), in order of their bytes. Not recursive:
    /// one level, what is deeper is folded into prefixes.
    lister list(std::string_view prefix = {}, bool recursive = true) const {
        const std::string c_prefix = detail::key_text(prefix);
        detail::outcome outcome;
        s3dlio_lister* raw = nullptr;
        outcome.check(s3dlio_store_list(handle_.get(), c_prefix.c_str(), recursive ? 1 : 0, &raw, outcome.slot()));
        return lister(raw);
    }
    /// The containers of the root's account; for file systems the folders beside the root.
    lister list_containers() const {
        detail::outcome outcome;
        s3dlio_lister* raw = nullptr;
        outcome.check(s3dlio_store_list_containers(handle_.get(), &raw, outcome.slot()));
        return lister(raw);
    }

    /// Opens the object for reading; see `s3dlio::reader`.
    s3dlio::reader reader(std::string_view key) const;
    s3dlio::reader reader(std::string_view key, const options& options) const;
    /// Starts an object; see `s3dlio::writer`.
    s3dlio::writer writer(std::string_view key, const put_options& put = {}) const;
    s3dlio::writer writer(std::string_view key, const options& options, const put_options& put = {}) const;

    /// Reads a range and holds it against `crc32c`, or the whole object against the stored checksum;
    /// `S3DLIO_ERR_CHECKSUM_MISMATCH` names both values.
    void validate(std::string_view key, std::uint64_t offset = 0, std::uint64_t length = to_end,
                  std::optional<std::uint32_t> crc32c = {}) const {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        outcome.check(s3dlio_store_validate(handle_.get(), c_key.c_str(), offset, length, crc32c ? &*crc32c : nullptr, outcome.slot()));
    }
    /// Many validations at once; one outcome per check, in order: nothing where it is valid, else the error.
    std::vector<std::optional<error>> validate_many(const std::vector<check>& checks) const {
        refuse_moved_from();
        raw_rows<s3dlio_check> raw;
        raw.rows.reserve(checks.size());
        for (const check& wanted : checks) {
            if (wanted.key.find('\0') != std::string::npos) throw error(S3DLIO_ERR_INVALID_KEY, "the key contains a NUL byte");
            s3dlio_check row{};
            row.key = wanted.key.c_str();
            row.offset = wanted.offset;
            row.length = wanted.length;
            row.has_crc32c = wanted.crc32c ? 1 : 0;
            row.crc32c = wanted.crc32c.value_or(0);
            raw.rows.push_back(row);
        }
        detail::outcome outcome;
        const std::int32_t status = s3dlio_store_validate_many(handle_.get(), raw.rows.data(), raw.rows.size(), outcome.slot());
        if (status < 0 && !raw.filled()) outcome.check(status);
        std::vector<std::optional<error>> results(checks.size());
        for (std::size_t i = 0; i < results.size(); ++i) {
            if (raw.rows[i].status < 0) results[i].emplace(raw.rows[i].status, raw.rows[i].error);
        }
        return results;
    }

    /// The C handle, still owned here.
    s3dlio_store* get() const noexcept { return handle_.get(); }

  private:
    store(std::string_view uri, const s3dlio_options* options) {
        const std::uint32_t abi = s3dlio_abi_version();
        if (abi >> 16 != S3DLIO_ABI_VERSION >> 16 || abi < S3DLIO_ABI_VERSION) {
            throw error(S3DLIO_ERR_UNSUPPORTED, "libs3dlio " + std::string(s3dlio_version()) +
                                                    " does not fit the header of " S3DLIO_VERSION_STRING);
        }
        const std::string c_uri = detail::uri_text(uri);
        detail::outcome outcome;
        s3dlio_store* raw = nullptr;
        outcome.check(s3dlio_store_open(c_uri.c_str(), options, &raw, outcome.slot()));
        handle_.reset(raw);
    }

    /// Calls for many would report it once per row.
    void refuse_moved_from() const {
        if (!handle_) throw error(S3DLIO_ERR_INVALID_ARGUMENT, "the store was moved from");
    }

    /// Frees what a call for many left behind, also when a copy of it throws.
    struct raw_results {
        explicit raw_results(std::size_t count) : rows(count) {}
        raw_results(const raw_results&) = delete;
        raw_results& operator=(const raw_results&) = delete;
        ~raw_results() {
            for (s3dlio_get_result& row : rows) {
                s3dlio_buffer_free(row.data);
                s3dlio_error_free(row.error);
            }
        }
        /// Whether any row has a failure of its own: the call then spoke of the rows.
        bool filled() const noexcept {
            for (const s3dlio_get_result& row : rows) {
                if (row.status < 0) return true;
            }
            return false;
        }
        std::vector<s3dlio_get_result> rows;
    };
    /// What goes in and comes out by rows, each with an error of its own.
    template <class Row> struct raw_rows {
        raw_rows() = default;
        raw_rows(const raw_rows&) = delete;
        raw_rows& operator=(const raw_rows&) = delete;
        ~raw_rows() {
            for (Row& row : rows) s3dlio_error_free(row.error);
        }
        bool filled() const noexcept {
            for (const Row& row : rows) {
                if (row.status < 0) return true;
            }
            return false;
        }
        std::vector<Row> rows;
    };

    detail::owned<s3dlio_store> handle_;
};

// ------------------------------------------------------------------------------------------ reader

/// What a seek counts from.
enum class seek_from : std::int32_t { start = S3DLIO_SEEK_SET, current = S3DLIO_SEEK_CUR, end = S3DLIO_SEEK_END };

/// Reads one object, pinned to the version that was there at open (`S3DLIO_ERR_CHANGED` where it was
/// replaced). Keys that end in `.zst` are decompressed unless option `reader.decompress` is off.
/// Threads: `size`, `info`, `read_at`, `readv_at` from any at once; the others one at a time.
class reader {
  public:
    /// Takes a C handle over.
    explicit reader(s3dlio_reader* raw) noexcept : handle_(raw) {}
    reader(const store& store, std::string_view key) : reader(store, key, nullptr) {}
    /// With options of its own instead of the store's.
    reader(const store& store, std::string_view key, const options& options) : reader(store, key, options.get()) {}

    /// Plain bytes; `S3DLIO_ERR_UNSUPPORTED` where a `.zst` does not tell.
    std::uint64_t size() const {
        detail::outcome outcome;
        std::uint64_t size = 0;
        outcome.check(s3dlio_reader_size(handle_.get(), &size, outcome.slot()));
        return size;
    }
    /// Facts of the stored object.
    object_info info() const {
        detail::outcome outcome;
        s3dlio_object_info raw{};
        outcome.check(s3dlio_reader_info(handle_.get(), &raw, sizeof raw, outcome.slot()));
        return detail::to_info(raw);
    }
    /// Fills `dst` from `offset`; fewer bytes only at the end. Does not move the position.
    /// `S3DLIO_ERR_UNSUPPORTED` on a decompressing reader.
    std::size_t read_at(std::uint64_t offset, mutable_byte_view dst) const {
        detail::outcome outcome;
        std::size_t bytes = 0;
        outcome.check(s3dlio_reader_read_at(handle_.get(), offset, dst.data(), dst.size(), &bytes, outcome.slot()));
        return bytes;
    }
    /// Many ranges in one call, in parallel; sets each `bytes_read`.
    void readv_at(range* ranges, std::size_t count) const {
        detail::outcome outcome;
        outcome.check(s3dlio_reader_readv_at(handle_.get(), ranges, count, outcome.slot()));
    }
    void readv_at(std::vector<range>& ranges) const { readv_at(ranges.data(), ranges.size()); }

    /// The next bytes, at most `dst.size()`; 0 only at the end (or for an empty `dst`). Reads ahead.
    std::size_t read(mutable_byte_view dst) {
        detail::outcome outcome;
        std::size_t bytes = 0;
        const std::int32_t status = outcome.check(s3dlio_reader_read(handle_.get(), dst.data(), dst.size(), &bytes, outcome.slot()));
        return status == S3DLIO_END ? 0 : bytes;
    }
    /// Moves the position; gives the new one.
    std::uint64_t seek(std::int64_t offset, seek_from whence = seek_from::start) {
        detail::outcome outcome;
        std::uint64_t position = 0;
        outcome.check(s3dlio_reader_seek(handle_.get(), offset, static_cast<std::int32_t>(whence), &position, outcome.slot()));
        return position;
    }
    /// The position of the next `read`.
    std::uint64_t tell() { return seek(0, seek_from::current); }
    /// Demands this CRC32C of the plain bytes: the `read` that reaches the end after reading everything
    /// in order fails with `S3DLIO_ERR_CHECKSUM_MISMATCH` where it differs.
    void expect_crc32c(std::uint32_t crc32c) {
        detail::outcome outcome;
        outcome.check(s3dlio_reader_expect_crc32c(handle_.get(), crc32c, outcome.slot()));
    }

    /// The C handle, still owned here.
    s3dlio_reader* get() const noexcept { return handle_.get(); }

  private:
    reader(const store& store, std::string_view key, const s3dlio_options* options) {
        const std::string c_key = detail::key_text(key);
        detail::outcome outcome;
        s3dlio_reader* raw = nullptr;
        outcome.check(s3dlio_reader_open(store.get(), c_key.c_str(), options, &raw, outcome.slot()));
        handle_.reset(raw);
    }
    detail::owned<s3dlio_reader> handle_;
};

// ------------------------------------------------------------------------------------------ writer

/// Memory of a writer's that the caller fills, from `writer::reserve` and `checkpoint_shard::reserve`. What is
/// not committed is not written: destroying the reservation, also by an exception, writes nothing.
/// Valid until the writer's next call; the writer may be moved meanwhile.
template <class Handle, std::int32_t (*Commit)(Handle*, std::size_t, s3dlio_error**)>
class basic_reservation {
  public:
    basic_reservation(basic_reservation&& other) noexcept
        : writer_(std::exchange(other.writer_, nullptr)), memory_(std::exchange(other.memory_, {})) {}
    basic_reservation& operator=(basic_reservation&& other) noexcept {
        writer_ = std::exchange(other.writer_, nullptr);
        memory_ = std::exchange(other.memory_, {});
        return *this;
    }
    ~basic_reservation() = default;

    std::byte* data() const noexcept { return memory_.data(); }
    /// At least what was asked for, usually more: the rest of the current part.
    std::size_t size() const noexcept { return memory_.size(); }
    mutable_byte_view memory() const noexcept { return memory_; }

    /// Writes the first `length` bytes, at most `size()`. Once only.
    void commit(std::size_t length) {
        detail::outcome outcome;
        Handle* writer = std::exchange(writer_, nullptr);
        memory_ = {};
        if (writer == nullptr) throw error(S3DLIO_ERR_INVALID_STATE, "the reservation was committed before");
        outcome.check(Commit(writer, length, outcome.slot()));
    }

  private:
    friend class writer;
    friend class checkpoint_shard;
    basic_reservation(Handle* writer, mutable_byte_view memory) noexcept : writer_(writer), memory_(memory) {}
    Handle* writer_;
    mutable_byte_view memory_;
};

/// Memory of a `writer`.
using reservation = basic_reservation<s3dlio_writer, s3dlio_writer_commit>;
/// Memory of a `checkpoint_shard`.
using shard_reservation = basic_reservation<s3dlio_checkpoint_shard, s3dlio_checkpoint_shard_commit>;

/// Streams one object in constant memory, whatever its size. Nothing is visible before `finish`
/// returned; destroyed without it, also by an exception, it aborts and leaves nothing behind.
/// The first error is latched: every later call, `finish` too, fails with it. Threads: one at a time.
class writer {
  public:
    writer(const store& store, std::string_view key, const put_options& put = {}) : writer(store, key, nullptr, put) {}
    /// With options of its own instead of the store's, such as `writer.compression`.
    writer(const store& store, std::string_view key, const options& options, const put_options& put = {})
        : writer(store, key, options.get(), put) {}

    /// The key it writes: `.zst` is appended where it compresses. Lives as long as this writer.
    std::string_view key() const noexcept {
        const char* text = s3dlio_writer_key(handle_.get());
        return text == nullptr ? std::string_view() : std::string_view(text);
    }
    /// Appends. The bytes are the caller's again when it returns.
    void write(byte_view data) {
        detail::outcome outcome;
        outcome.check(s3dlio_writer_write(handle_.get(), data.data(), data.size(), outcome.slot()));
    }
    /// Appends a buffer without a copy and takes it over; after an error the caller still has it.
    void write_buffer(buffer&& data) {
        detail::outcome outcome;
        outcome.check(s3dlio_writer_write_buffer(handle_.get(), data.get(), outcome.slot()));
        static_cast<void>(data.release());
    }
    /// Memory of the library's for at least `min_size` bytes: fill it and commit, and the bytes are
    /// uploaded from where they are. Blocks while all parts are in flight.
    reservation reserve(std::size_t min_size) {
        detail::outcome outcome;
        void* data = nullptr;
        std::size_t capacity = 0;
        outcome.check(s3dlio_writer_reserve(handle_.get(), min_size, &data, &capacity, outcome.slot()));
        return reservation(handle_.get(), mutable_byte_view(data, capacity));
    }
    /// Publishes the object; when it returns, the object is stored whole. Once only. When it throws nothing
    /// is published, unless the code is S3DLIO_ERR_UNKNOWN_OUTCOME.
    write_stats finish() {
        detail::outcome outcome;
        s3dlio_write_stats stats{};
        outcome.check(s3dlio_writer_finish(handle_.get(), &stats, sizeof stats, outcome.slot()));
        return detail::to_stats(stats);
    }
    /// Gives up: nothing is published, and what was uploaded is removed before it returns.
    void abort() {
        detail::outcome outcome;
        outcome.check(s3dlio_writer_abort(handle_.get(), outcome.slot()));
    }
    /// What was written up to now.
    write_stats stats() const {
        detail::outcome outcome;
        s3dlio_write_stats stats{};
        outcome.check(s3dlio_writer_get_stats(handle_.get(), &stats, sizeof stats, outcome.slot()));
        return detail::to_stats(stats);
    }

    /// The C handle, still owned here.
    s3dlio_writer* get() const noexcept { return handle_.get(); }

  private:
    writer(const store& store, std::string_view key, const s3dlio_options* options, const put_options& put) {
        const std::string c_key = detail::key_text(key);
        const detail::raw_put_options raw_put(put);
        detail::outcome outcome;
        s3dlio_writer* raw = nullptr;
        outcome.check(s3dlio_writer_open(store.get(), c_key.c_str(), options, raw_put.get(), sizeof(s3dlio_put_options), &raw,
                                         outcome.slot()));
        handle_.reset(raw);
    }
    detail::owned<s3dlio_writer> handle_;
};

inline reader store::reader(std::string_view key) const { return s3dlio::reader(*this, key); }
inline reader store::reader(std::string_view key, const options& options) const { return s3dlio::reader(*this, key, options); }
inline writer store::writer(std::string_view key, const put_options& put) const { return s3dlio::writer(*this, key, put); }
inline writer store::writer(std::string_view key, const options& options, const put_options& put) const {
    return s3dlio::writer(*this, key, options, put);
}

// ------------------------------------------------------------------------------------- checkpoints

/// This process's place in a job, as its launcher says it: torchrun, Open MPI, MPICH (PMI) or Slurm.
struct world {
    std::uint32_t rank = 0;
    std::uint32_t world_size = 1;
    std::uint32_t local_rank = 0;
    std::uint32_t local_world_size = 1;
    /// `torchrun`, `openmpi`, `mpich` or `slurm`.
    std::string launcher = {};
    /// What all ranks of this launch share and no other launch does; empty if the launcher has no such thing.
    std::string run_id = {};

    /// Reads the launcher's environment variables; `S3DLIO_ERR_NOT_FOUND` where there are none.
    static world detect() {
        detail::outcome outcome;
        s3dlio_world raw{};
        outcome.check(s3dlio_world_detect(&raw, sizeof raw, outcome.slot()));
        return {raw.rank, raw.world_size, raw.local_rank, raw.local_world_size, raw.launcher, raw.run_id};
    }
};

/// How many elements there are along each axis, or where something begins; the last axis runs fastest.
using extents = std::vector<std::uint64_t>;

namespace detail {

template <class T>
constexpr const char* dtype_name() noexcept {
    if constexpr (std::is_same_v<T, bool>) return "BOOL";
    else if constexpr (std::is_same_v<T, std::byte>) return "U8";
    else if constexpr (std::is_same_v<T, float>) return "F32";
    else if constexpr (std::is_same_v<T, double>) return "F64";
    else if constexpr (std::is_same_v<T, std::complex<float>>) return "C64";
    else if constexpr (std::is_integral_v<T> && sizeof(T) == 1) return std::is_signed_v<T> ? "I8" : "U8";
    else if constexpr (std::is_integral_v<T> && sizeof(T) == 2) return std::is_signed_v<T> ? "I16" : "U16";
    else if constexpr (std::is_integral_v<T> && sizeof(T) == 4) return std::is_signed_v<T> ? "I32" : "U32";
    else if constexpr (std::is_integral_v<T> && sizeof(T) == 8) return std::is_signed_v<T> ? "I64" : "U64";
    else return nullptr;
}

} // namespace detail

/// The name of T in a checkpoint, such as `F32`. For F16, BF16, F8_E5M2 and F8_E4M3 C++ has no types: name them.
template <class T>
constexpr const char* dtype_of() noexcept {
    static_assert(detail::dtype_name<T>() != nullptr, "this type has no name in a checkpoint: give dtype and bytes");
    return detail::dtype_name<T>();
}

/// A tensor to be saved, or the box of one that this rank holds: row-major, without gaps. Its memory is borrowed.
struct tensor {
    std::string name = {};
    /// `F32`, `BF16`, ...: `dtype_of`.
    std::string dtype = {};
    /// Of what is given here; empty for a single value.
    extents shape = {};
    byte_view data = {};
    /// The whole tensor's shape, where this is a box of it.
    extents global_shape = {};
    /// Where in the whole the box begins; empty: at the beginning.
    extents start = {};
    /// Every rank gives the same tensor, and one of them stores it.
    bool replicated = false;

    /// A whole tensor in contiguous memory of a type that C++ has.
    template <class C>
    static tensor of(std::string name, extents shape, const C& memory) {
        using element = std::remove_cv_t<std::remove_pointer_t<decltype(std::data(memory))>>;
        tensor made;
        made.name = std::move(name);
        made.dtype = dtype_of<element>();
        made.shape = std::move(shape);
        made.data = byte_view(memory);
        return made;
    }
    /// The box `shape` from `from` of a tensor of `whole`, in contiguous memory.
    template <class C>
    static tensor slice(std::string name, extents shape, const C& memory, extents whole, extents from) {
        tensor made = of(std::move(name), std::move(shape), memory);
        made.global_shape = std::move(whole);
        made.start = std::move(from);
        return made;
    }
};

/// A box of an entry and the memory it is loaded into, which has exactly its bytes.
struct tensor_request {
    std::string name = {};
    mutable_byte_view data = {};
    /// Where the box begins; empty: at the beginning.
    extents start = {};
    /// The box's shape; empty: to the end.
    extents shape = {};
    /// Only what this rank stored: for entries whose contents differ between the ranks.
    std::optional<std::uint32_t> rank = {};
};

/// Who saves what. Ranks agree on the save's id by `id`, where the host broadcasts rank 0's, or by `run_id`.
struct checkpoint_params {
    std::uint64_t step = 0;
    std::uint32_t rank = 0;
    std::uint32_t world_size = 1;
    /// Rank 0's `checkpoint_writer::id`, told by the host; empty: found through the storage.
    std::string id = {};
    /// What all ranks of this launch share and no other launch does; not needed with `id` or in a world of 1.
    std::string run_id = {};
    std::optional<std::uint64_t> epoch = {};
    /// Who saves, for people.
    std::string framework = {};
    /// Any texts; rank 0's are kept.
    metadata_map metadata = {};

    /// This rank's part of the save of a step.
    static checkpoint_params of(const world& world, std::uint64_t step) {
        checkpoint_params params;
        params.step = step;
        params.rank = world.rank;
        params.world_size = world.world_size;
        params.run_id = world.run_id;
        return params;
    }
};

/// The step of the latest checkpoint.
inline constexpr std::uint64_t latest = S3DLIO_LATEST;

/// Facts of a checkpoint.
struct checkpoint_info {
    std::uint64_t step = 0;
    std::optional<std::uint64_t> epoch = {};
    std::uint32_t world_size = 0;
    std::string id = {};
    std::string framework = {};
    /// RFC 3339, UTC.
    std::string created = {};
    /// `flat`, `round_robin` or `binary`.
    std::string strategy = {};
    /// The manifest's.
    std::string uri = {};
    std::uint64_t bytes = 0;
    std::uint64_t stored_bytes = 0;
};

/// Facts of an entry.
struct entry_info {
    std::string name = {};
    std::string dtype = {};
    /// The whole entry's.
    extents shape = {};
    std::uint64_t bytes = 0;
    /// In how many pieces it is stored.
    std::size_t parts = 0;
};

enum class shard_kind : std::uint32_t { safetensors = S3DLIO_SHARD_SAFETENSORS, bytes = S3DLIO_SHARD_BYTES };

/// Facts of a shard.
struct shard_info {
    std::uint32_t rank = 0;
    shard_kind kind = shard_kind::safetensors;
    std::string name = {};
    /// Relative to the store's root.
    std::string key = {};
    std::uint64_t size = 0;
    std::uint64_t stored_size = 0;
    std::uint32_t crc32c = 0;
    std::uint32_t stored_crc32c = 0;
};

namespace detail {

inline const std::uint64_t* or_null(const extents& numbers) noexcept { return numbers.empty() ? nullptr : numbers.data(); }

/// What C takes as one number of axes for several lists.
inline void same_axes(const extents& one, const extents& other, const std::string& name) {
    if (one.empty() || other.empty() || one.size() == other.size()) return;
    throw error(S3DLIO_ERR_INVALID_ARGUMENT, "\"" + name + "\" has lists of " + std::to_string(one.size()) + " and of " +
                                                 std::to_string(other.size()) + " axes; expected the same number");
}

/// The C form of tensors; borrows the texts and numbers of the C++ form.
class raw_tensors {
  public:
    explicit raw_tensors(const std::vector<tensor>& tensors) {
        raw_.reserve(tensors.size());
        for (const tensor& tensor : tensors) {
            static_cast<void>(argument_text(tensor.name, "a tensor's name"));
            static_cast<void>(argument_text(tensor.dtype, "a tensor's dtype"));
            if (tensor.shape.empty() && !(tensor.global_shape.empty() && tensor.start.empty())) {
                throw error(S3DLIO_ERR_INVALID_ARGUMENT, "\"" + tensor.name + "\" has a global shape or start, but no shape");
            }
            same_axes(tensor.shape, tensor.global_shape, tensor.name);
            same_axes(tensor.shape, tensor.start, tensor.name);
            s3dlio_tensor raw{};
            raw.name = tensor.name.c_str();
            raw.dtype = tensor.dtype.c_str();
            raw.shape = tensor.shape.data();
            raw.global_shape = or_null(tensor.global_shape);
            raw.start = or_null(tensor.start);
            raw.ndim = static_cast<std::uint32_t>(tensor.shape.size());
            raw.flags = tensor.replicated ? S3DLIO_TENSOR_REPLICATED : 0;
            raw.data = tensor.data.data();
            raw.length = tensor.data.size();
            raw_.push_back(raw);
        }
    }
    raw_tensors(const raw_tensors&) = delete;
    raw_tensors& operator=(const raw_tensors&) = delete;
    /// Never NULL: NULL would be a shard of plain bytes.
    const s3dlio_tensor* data() const noexcept { return raw_.empty() ? &none_ : raw_.data(); }
    std::size_t size() const noexcept { return raw_.size(); }

  private:
    std::vector<s3dlio_tensor> raw_;
    s3dlio_tensor none_{};
};

/// The C form of requests; borrows as `raw_tensors` does.
class raw_requests {
  public:
    explicit raw_requests(const std::vector<tensor_request>& requests) {
        raw_.reserve(requests.size());
        for (const tensor_request& request : requests) {
            static_cast<void>(argument_text(request.name, "a request's name"));
            same_axes(request.start, request.shape, request.name);
            s3dlio_tensor_request raw{};
            raw.name = request.name.c_str();
            raw.start = or_null(request.start);
            raw.shape = or_null(request.shape);
            raw.ndim = static_cast<std::uint32_t>(request.start.empty() ? request.shape.size() : request.start.size());
            raw.rank = request.rank ? static_cast<std::int64_t>(*request.rank) : -1;
            raw.data = request.data.data();
            raw.length = request.data.size();
            raw_.push_back(raw);
        }
    }
    raw_requests(const raw_requests&) = delete;
    raw_requests& operator=(const raw_requests&) = delete;
    const s3dlio_tensor_request* data() const noexcept { return raw_.data(); }
    std::size_t size() const noexcept { return raw_.size(); }

  private:
    std::vector<s3dlio_tensor_request> raw_;
};

} // namespace detail

/// One shard of a save that is written piece by piece, in constant memory: from `checkpoint_writer::open_shard`.
/// Destroyed without `finish`, what was stored of it is removed, and the save goes on without it.
/// Threads: one at a time; different shards of one writer concurrently.
class checkpoint_shard {
  public:
    /// Appends. The bytes are the caller's again when it returns.
    void write(byte_view data) {
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_shard_write(handle_.get(), data.data(), data.size(), outcome.slot()));
    }
    /// Memory of the library's for at least `min_size` bytes: fill it and commit, and the bytes are not copied. In a
    /// shard of tensors it ends with the present tensor.
    shard_reservation reserve(std::size_t min_size) {
        detail::outcome outcome;
        void* data = nullptr;
        std::size_t capacity = 0;
        outcome.check(s3dlio_checkpoint_shard_reserve(handle_.get(), min_size, &data, &capacity, outcome.slot()));
        return shard_reservation(handle_.get(), mutable_byte_view(data, capacity));
    }
    /// Stores what is left; the shard is part of the save.
    write_stats finish() {
        detail::outcome outcome;
        s3dlio_write_stats stats{};
        outcome.check(s3dlio_checkpoint_shard_finish(handle_.get(), &stats, sizeof stats, outcome.slot()));
        return detail::to_stats(stats);
    }

    /// The C handle, still owned here.
    s3dlio_checkpoint_shard* get() const noexcept { return handle_.get(); }

  private:
    friend class checkpoint_writer;
    explicit checkpoint_shard(s3dlio_checkpoint_shard* raw) noexcept : handle_(raw) {}
    detail::owned<s3dlio_checkpoint_shard> handle_;
};

/// One rank's part of one save. Nothing is visible before rank 0's `commit`; destroyed without `commit` (on
/// other ranks: without `finish`), also by an exception, it aborts. Threads: one at a time.
///
///     s3dlio::checkpoint_writer writer(store, s3dlio::checkpoint_params::of(s3dlio::world::detect(), step));
///     writer.put_tensors({s3dlio::tensor::of("weights", {rows, columns}, weights)});
///     writer.commit();
///
/// `commit` on every rank waits through the storage until all are there. A host with a barrier of its own calls
/// `finish` on every rank, its barrier, and then `commit` on rank 0 only.
class checkpoint_writer {
  public:
    checkpoint_writer(const store& store, const checkpoint_params& params) : checkpoint_writer(store, params, nullptr) {}
    /// With options over the store's, such as `checkpoint.strategy` or `writer.compression`.
    checkpoint_writer(const store& store, const checkpoint_params& params, const options& options)
        : checkpoint_writer(store, params, options.get()) {}

    /// The save's id, the same on all ranks: what a host broadcasts. Lives as long as this writer.
    std::string_view id() const noexcept {
        const char* text = s3dlio_checkpoint_writer_id(handle_.get());
        return text == nullptr ? std::string_view() : std::string_view(text);
    }
    /// Stores tensors as one shard, a safetensors file. Their memory is the caller's again when it returns.
    void put_tensors(const std::vector<tensor>& tensors, std::string_view shard = "data") {
        const std::string name = detail::argument_text(shard, "the shard's name");
        const detail::raw_tensors raw(tensors);
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_put_tensors(handle_.get(), name.c_str(), raw.data(), raw.size(), outcome.slot()));
    }
    /// Copies tensors and does no I/O: the caller may change them at once. They are stored by `finish` or `commit`, or in
    /// the background by `queue::commit`.
    void snapshot_tensors(const std::vector<tensor>& tensors, std::string_view shard = "data") {
        const std::string name = detail::argument_text(shard, "the shard's name");
        const detail::raw_tensors raw(tensors);
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_snapshot_tensors(handle_.get(), name.c_str(), raw.data(), raw.size(), outcome.slot()));
    }
    /// As `snapshot_tensors` without the copy: tensor i lies within `buffers[i]`, and nothing in it changes until the save is
    /// over. The writer has owners of its own: the buffers may go.
    void snapshot_buffers(const std::vector<tensor>& tensors, const std::vector<const buffer*>& buffers, std::string_view shard = "data") {
        const std::string name = detail::argument_text(shard, "the shard's name");
        const detail::raw_tensors raw(tensors);
        std::vector<const s3dlio_buffer*> handles;
        for (const buffer* one : buffers) handles.push_back(one == nullptr ? nullptr : one->get());
        handles.resize(raw.size(), nullptr);
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_snapshot_buffers(
            handle_.get(), name.c_str(), raw.data(), handles.data(), raw.size(), outcome.slot()));
    }
    /// Stores bytes of any kind as one shard, for `checkpoint::read_shard`.
    void put_bytes(byte_view data, std::string_view shard = "data") {
        const std::string name = detail::argument_text(shard, "the shard's name");
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_put_bytes(handle_.get(), name.c_str(), data.data(), data.size(), outcome.slot()));
    }
    /// A shard of these tensors, whose bytes come in this order; `data` of the tensors is ignored.
    checkpoint_shard open_shard(const std::vector<tensor>& tensors, std::string_view shard = "data") {
        const detail::raw_tensors raw(tensors);
        return open(shard, raw.data(), raw.size());
    }
    /// A shard of bytes of any kind and number.
    checkpoint_shard open_bytes(std::string_view shard = "data") { return open(shard, nullptr, 0); }

    /// Stores what is left of this rank's part, and its receipt. Nothing can be added.
    void finish() {
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_finish(handle_.get(), outcome.slot()));
    }
    /// `finish`, and then: rank 0 waits for all ranks and publishes; the others wait for that. When it returns the
    /// checkpoint is there. After `S3DLIO_ERR_TIMEOUT` (detail `missing_ranks`) it may be called again.
    void commit() {
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_commit(handle_.get(), outcome.slot()));
    }
    /// Gives up: what this rank stored is removed before it returns.
    void abort() {
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_writer_abort(handle_.get(), outcome.slot()));
    }

    /// The C handle, still owned here.
    s3dlio_checkpoint_writer* get() const noexcept { return handle_.get(); }

  private:
    checkpoint_writer(const store& store, const checkpoint_params& params, const s3dlio_options* options) {
        s3dlio_checkpoint_params raw{};
        raw.step = params.step;
        raw.epoch = params.epoch.value_or(0);
        raw.has_epoch = params.epoch ? 1 : 0;
        raw.rank = params.rank;
        raw.world_size = params.world_size;
        const std::string id = detail::argument_text(params.id, "the id");
        const std::string run_id = detail::argument_text(params.run_id, "the run_id");
        const std::string framework = detail::argument_text(params.framework, "the framework");
        if (!id.empty()) raw.id = id.c_str();
        if (!run_id.empty()) raw.run_id = run_id.c_str();
        raw.framework = framework.c_str();
        std::vector<s3dlio_key_value> pairs;
        for (const auto& entry : params.metadata) {
            static_cast<void>(detail::argument_text(entry.first, "a metadata name"));
            static_cast<void>(detail::argument_text(entry.second, "a metadata value"));
            pairs.push_back({entry.first.c_str(), entry.second.c_str()});
        }
        raw.metadata = pairs.data();
        raw.metadata_count = pairs.size();
        detail::outcome outcome;
        s3dlio_checkpoint_writer* made = nullptr;
        outcome.check(s3dlio_checkpoint_writer_open(store.get(), options, &raw, sizeof raw, &made, outcome.slot()));
        handle_.reset(made);
    }
    checkpoint_shard open(std::string_view shard, const s3dlio_tensor* tensors, std::size_t count) {
        const std::string name = detail::argument_text(shard, "the shard's name");
        detail::outcome outcome;
        s3dlio_checkpoint_shard* raw = nullptr;
        outcome.check(s3dlio_checkpoint_writer_open_shard(handle_.get(), name.c_str(), tensors, count, &raw, outcome.slot()));
        return checkpoint_shard(raw);
    }
    detail::owned<s3dlio_checkpoint_writer> handle_;
};

/// A committed checkpoint, loaded whole or in any boxes by a job of any size. Threads: any, concurrently; also in
/// forked children.
class checkpoint {
  public:
    /// Opens the checkpoint of a step, or the latest one; `S3DLIO_ERR_NOT_FOUND` where there is none.
    explicit checkpoint(const store& store, std::uint64_t step = latest) : checkpoint(store, step, nullptr) {}
    checkpoint(const store& store, std::uint64_t step, const options& options) : checkpoint(store, step, options.get()) {}
    /// The checkpoint of this id.
    static checkpoint by_id(const store& store, std::string_view id) {
        const std::string c_id = detail::argument_text(id, "the id");
        detail::outcome outcome;
        s3dlio_checkpoint* raw = nullptr;
        outcome.check(s3dlio_checkpoint_open_id(store.get(), nullptr, c_id.c_str(), &raw, outcome.slot()));
        return checkpoint(raw);
    }

    checkpoint_info info() const {
        const s3dlio_checkpoint_info raw = raw_info();
        checkpoint_info info;
        info.step = raw.step;
        if (raw.has_epoch != 0) info.epoch = raw.epoch;
        info.world_size = raw.world_size;
        info.id = raw.id;
        info.framework = raw.framework;
        info.created = raw.created;
        info.strategy = raw.strategy;
        info.uri = raw.uri;
        info.bytes = raw.bytes;
        info.stored_bytes = raw.stored_bytes;
        return info;
    }
    /// The caller's own facts, as they were saved.
    metadata_map metadata() const {
        metadata_map metadata;
        const std::size_t count = raw_info().metadata_count;
        for (std::size_t i = 0; i < count; ++i) {
            detail::outcome outcome;
            const char* name = nullptr;
            const char* value = nullptr;
            outcome.check(s3dlio_checkpoint_metadata(handle_.get(), i, &name, &value, outcome.slot()));
            metadata.emplace(name, value);
        }
        return metadata;
    }
    /// All entries, by name.
    std::vector<entry_info> entries() const {
        std::vector<entry_info> entries;
        const std::size_t count = raw_info().entry_count;
        entries.reserve(count);
        for (std::size_t i = 0; i < count; ++i) entries.push_back(entry_at(i));
        return entries;
    }
    /// One entry; `S3DLIO_ERR_NOT_FOUND` where there is none of this name.
    entry_info entry(std::string_view name) const {
        const std::string c_name = detail::argument_text(name, "the entry's name");
        detail::outcome outcome;
        std::size_t index = 0;
        outcome.check(s3dlio_checkpoint_find(handle_.get(), c_name.c_str(), &index, outcome.slot()));
        return entry_at(index);
    }
    /// All shards, by rank.
    std::vector<shard_info> shards() const {
        std::vector<shard_info> shards;
        const std::size_t count = raw_info().shard_count;
        shards.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            detail::outcome outcome;
            s3dlio_shard_info raw{};
            outcome.check(s3dlio_checkpoint_shard_info(handle_.get(), i, &raw, sizeof raw, outcome.slot()));
            shards.push_back({raw.rank, static_cast<shard_kind>(raw.kind), raw.name, raw.key, raw.size, raw.stored_size, raw.crc32c,
                              raw.stored_crc32c});
        }
        return shards;
    }

    /// Loads boxes of entries, each into its own memory: the more at once, the fewer reads. After an error what is in the
    /// memory is unspecified.
    void load(const std::vector<tensor_request>& requests) const {
        const detail::raw_requests raw(requests);
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_load(handle_.get(), raw.data(), raw.size(), outcome.slot()));
    }
    /// A whole entry, which must be of this type.
    template <class T>
    std::vector<T> load(std::string_view name) const {
        return load<T>(name, {}, {});
    }
    /// The box `shape` from `start` of an entry, which must be of this type.
    template <class T>
    std::vector<T> load(std::string_view name, extents start, extents shape) const {
        static_assert(!std::is_same_v<T, bool>, "a std::vector<bool> is no memory: load BOOL as std::uint8_t");
        const entry_info facts = entry(name);
        const bool is_flag = std::is_same_v<T, std::uint8_t> && facts.dtype == "BOOL";
        if (facts.dtype != dtype_of<T>() && !is_flag) {
            throw error(S3DLIO_ERR_INVALID_ARGUMENT, "the entry \"" + facts.name + "\" is of " + facts.dtype + ", not of " + dtype_of<T>());
        }
        std::uint64_t count = facts.bytes / sizeof(T);
        if (!shape.empty()) {
            count = 1;
            for (const std::uint64_t side : shape) {
                // More than the entry has is refused by the load itself.
                count = side == 0 || count <= facts.bytes / side ? count * side : facts.bytes + 1;
            }
        } else if (!start.empty()) {
            throw error(S3DLIO_ERR_INVALID_ARGUMENT, "a box of \"" + facts.name + "\" has a start, but no shape");
        }
        if (count > facts.bytes) count = 0;
        std::vector<T> values(static_cast<std::size_t>(count));
        tensor_request request;
        request.name = facts.name;
        request.data = values;
        request.start = std::move(start);
        request.shape = std::move(shape);
        load({request});
        return values;
    }
    /// A whole shard, decompressed and compared with its checksum.
    buffer read_shard(std::uint32_t rank, std::string_view shard = "data") const {
        const std::string name = detail::argument_text(shard, "the shard's name");
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_checkpoint_read_shard(handle_.get(), rank, name.c_str(), &raw, outcome.slot()));
        return buffer(raw);
    }
    /// Checks that every shard is there and has its size; `deep` reads and checks every byte.
    void validate(bool deep = false) const {
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_validate(handle_.get(), deep ? 1 : 0, outcome.slot()));
    }

    /// The steps of all checkpoints of a store, ascending.
    static std::vector<std::uint64_t> list(const store& store) {
        std::vector<std::uint64_t> steps(64);
        for (;;) {
            detail::outcome outcome;
            std::size_t count = 0;
            outcome.check(s3dlio_checkpoint_list(store.get(), steps.data(), steps.size(), &count, outcome.slot()));
            const bool all = count <= steps.size();
            steps.resize(count);
            if (all) return steps;
        }
    }
    /// Removes the checkpoint of a step.
    static void remove(const store& store, std::uint64_t step) {
        detail::outcome outcome;
        outcome.check(s3dlio_checkpoint_delete(store.get(), step, outcome.slot()));
    }
    /// Removes all but the last ones and, with `keep_every`, those whose step is a multiple of it; gives how many went.
    static std::size_t prune(const store& store, std::uint64_t keep_last, std::uint64_t keep_every = 0) {
        detail::outcome outcome;
        std::size_t deleted = 0;
        outcome.check(s3dlio_checkpoint_prune(store.get(), keep_last, keep_every, &deleted, outcome.slot()));
        return deleted;
    }
    /// Removes what saves left that were never committed, if all of it is older than `min_age`: more than the longest
    /// save takes. Gives how many saves went.
    static std::size_t collect(const store& store, std::chrono::milliseconds min_age) {
        detail::outcome outcome;
        std::size_t removed = 0;
        const std::uint64_t age = min_age.count() < 0 ? 0 : static_cast<std::uint64_t>(min_age.count());
        outcome.check(s3dlio_checkpoint_collect(store.get(), age, &removed, outcome.slot()));
        return removed;
    }

    /// The C handle, still owned here.
    s3dlio_checkpoint* get() const noexcept { return handle_.get(); }

  private:
    explicit checkpoint(s3dlio_checkpoint* raw) noexcept : handle_(raw) {}
    checkpoint(const store& store, std::uint64_t step, const s3dlio_options* options) {
        detail::outcome outcome;
        s3dlio_checkpoint* raw = nullptr;
        outcome.check(s3dlio_checkpoint_open(store.get(), options, step, &raw, outcome.slot()));
        handle_.reset(raw);
    }
    s3dlio_checkpoint_info raw_info() const {
        detail::outcome outcome;
        s3dlio_checkpoint_info info{};
        outcome.check(s3dlio_checkpoint_get_info(handle_.get(), &info, sizeof info, outcome.slot()));
        return info;
    }
    entry_info entry_at(std::size_t index) const {
        detail::outcome outcome;
        s3dlio_entry_info raw{};
        outcome.check(s3dlio_checkpoint_entry(handle_.get(), index, &raw, sizeof raw, outcome.slot()));
        return {raw.name, raw.dtype, extents(raw.shape, raw.shape + raw.ndim), raw.bytes, raw.parts};
    }
    detail::owned<s3dlio_checkpoint> handle_;
};

// ------------------------------------------------------------------------------- datasets and loaders

/// What the objects of a dataset hold; the last two only `generate_object` knows.
enum class format : std::int32_t {
    objects = S3DLIO_FORMAT_OBJECTS,
    tar = S3DLIO_FORMAT_TAR,
    tfrecord = S3DLIO_FORMAT_TFRECORD,
    npz = S3DLIO_FORMAT_NPZ,
    fixed = S3DLIO_FORMAT_FIXED,
    hdf5 = S3DLIO_FORMAT_HDF5,
    raw = S3DLIO_FORMAT_RAW,
};

/// One piece of a sample; lives as long as its batch.
struct field {
    /// Empty where the sample has but one; in tar files what follows the sample's key: `jpg`.
    std::string_view name;
    byte_view data;
};

/// One item with its bytes: a view into its batch, cheap to copy.
class sample {
  public:
    explicit sample(const s3dlio_sample& raw) noexcept : raw_(&raw) {}

    /// Of the object that the bytes are from.
    std::string_view uri() const noexcept { return raw_->uri; }
    /// The key in a tar file, the member of an NPZ file, a record's number; empty for whole objects.
    std::string_view name() const noexcept { return raw_->name; }
    /// The item's number in the dataset's own order, or the record's in its file where files are read in sequence.
    std::uint64_t index() const noexcept { return raw_->index; }
    /// The first field's bytes: all there is, except in tar files.
    byte_view data() const noexcept { return {raw_->data, raw_->length}; }
    /// How many fields there are, at least one.
    std::size_t field_count() const noexcept { return raw_->field_count; }
    /// Field `number`, counted from 0.
    s3dlio::field field(std::size_t number) const {
        if (number >= raw_->field_count) {
            throw error(S3DLIO_ERR_INVALID_ARGUMENT, "the sample has no field " + std::to_string(number));
        }
        return {raw_->fields[number].name, {raw_->fields[number].data, raw_->fields[number].length}};
    }
    /// The bytes of the field of this name; nothing where there is none.
    std::optional<byte_view> find(std::string_view name) const {
        for (std::size_t i = 0; i < raw_->field_count; ++i) {
            if (raw_->fields[i].name == name) return field(i).data;
        }
        return std::nullopt;
    }

  private:
    const s3dlio_sample* raw_;
};

/// Samples with all their bytes, in memory of the library's. Outlives its loader. Threads: any, concurrently.
///
///     for (s3dlio::sample sample : batch) train(sample.data());
class batch {
  public:
    /// Takes a C handle over.
    explicit batch(s3dlio_batch* raw) noexcept : handle_(raw) {}

    std::size_t size() const noexcept { return s3dlio_batch_count(handle_.get()); }
    bool empty() const noexcept { return size() == 0; }
    /// Sample `number`, counted from 0 and less than `size()`.
    sample operator[](std::size_t number) const noexcept { return sample(s3dlio_batch_samples(handle_.get())[number]); }

    /// Gives samples by value: they are views.
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = sample;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = sample;

        iterator() = default;
        explicit iterator(const s3dlio_sample* at) noexcept : at_(at) {}
        sample operator*() const noexcept { return sample(*at_); }
        iterator& operator++() noexcept {
            ++at_;
            return *this;
        }
        iterator operator++(int) noexcept { return iterator(at_++); }
        friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(const iterator& a, const iterator& b) noexcept { return a.at_ != b.at_; }

      private:
        const s3dlio_sample* at_ = nullptr;
    };
    iterator begin() const noexcept { return iterator(s3dlio_batch_samples(handle_.get())); }
    iterator end() const noexcept { return iterator(s3dlio_batch_samples(handle_.get()) + size()); }

    /// Copies field `field` of all samples to `dst` without gaps; gives where each begins and, last, where they end.
    /// `S3DLIO_ERR_BUFFER_TOO_SMALL` says what is needed in `required()`.
    std::vector<std::uint64_t> gather_into(mutable_byte_view dst, std::size_t field = 0) const {
        std::vector<std::uint64_t> offsets(size() + 1);
        detail::outcome outcome;
        outcome.check(s3dlio_batch_gather(handle_.get(), field, dst.data(), dst.size(), offsets.data(), outcome.slot()));
        return offsets;
    }
    /// As above into a vector, which is made as long as the bytes are; `T` is what they are made of, such as `float`.
    template <class T>
    std::vector<std::uint64_t> gather(std::vector<T>& to, std::size_t field = 0) const {
        static_assert(std::is_trivially_copyable_v<T>, "bytes are copied into it");
        std::uint64_t bytes = 0;
        for (s3dlio::sample sample : *this) bytes += sample.field(field).data.size();
        if (bytes % sizeof(T) != 0) {
            throw error(S3DLIO_ERR_INVALID_ARGUMENT, "the samples have " + std::to_string(bytes) + " bytes, which are no whole elements of " +
                                                         std::to_string(sizeof(T)));
        }
        to.resize(static_cast<std::size_t>(bytes / sizeof(T)));
        return gather_into(to, field);
    }

    /// The C handle, still owned here.
    s3dlio_batch* get() const noexcept { return handle_.get(); }

  private:
    detail::owned<s3dlio_batch> handle_;
};

/// Which objects a dataset has, and what is in them. Empty texts and zeros stand for nothing.
struct dataset_params {
    s3dlio::format format = s3dlio::format::objects;
    /// Of a listing only the keys, relative to its URI, that match: `*`, `?`, `**`, `[a-z]`, `{a,b}`.
    std::string glob{};
    /// Of a listing only the keys, relative to its URI, in which this is found.
    std::string regex{};
    /// `fixed`: the bytes of a record, and those before the first one of each file.
    std::uint64_t record_size = 0;
    std::uint64_t skip_bytes = 0;
    /// `tfrecord`: what an index file's key has after that of its file, such as `.idx`.
    std::string index{};
    /// `npz`: only members of this name.
    std::string member{};
};

namespace detail {

/// The C form; borrows the texts.
inline s3dlio_dataset_params raw_params(const dataset_params& params) {
    const auto text_of = [](const std::string& text, const char* what) {
        static_cast<void>(argument_text(text, what));
        return text.empty() ? nullptr : text.c_str();
    };
    s3dlio_dataset_params raw{};
    raw.format = static_cast<std::int32_t>(params.format);
    raw.glob = text_of(params.glob, "the glob");
    raw.regex = text_of(params.regex, "the regular expression");
    raw.record_size = params.record_size;
    raw.skip_bytes = params.skip_bytes;
    raw.index = text_of(params.index, "the index");
    raw.member = text_of(params.member, "the member");
    return raw;
}

inline std::vector<const char*> pointers_to(const std::vector<std::string>& texts, const char* what) {
    std::vector<const char*> pointers;
    pointers.reserve(texts.size());
    for (const std::string& text : texts) {
        static_cast<void>(argument_text(text, what));
        pointers.push_back(text.c_str());
    }
    return pointers;
}

} // namespace detail

/// What there is to draw samples from; immutable. Threads: any, concurrently, also in forked children.
class dataset {
  public:
    /// What lies below `uri`, or the one object that it names; listed when it is drawn.
    explicit dataset(std::string_view uri, const dataset_params& params = {}) : dataset(uri, params, nullptr) {}
    dataset(std::string_view uri, const dataset_params& params, const options& options)
        : dataset(uri, params, options.get()) {}

    /// Objects by their URIs, in this order; schemes and buckets may differ.
    static dataset of(const std::vector<std::string>& uris, const dataset_params& params = {}) {
        return of(uris, params, nullptr);
    }
    static dataset of(const std::vector<std::string>& uris, const dataset_params& params, const options& options) {
        return of(uris, params, options.get());
    }
    /// The objects of a manifest, a local file that `write_manifest` made.
    static dataset manifest(std::string_view path, const dataset_params& params = {}) { return manifest(path, params, nullptr); }
    static dataset manifest(std::string_view path, const dataset_params& params, const options& options) {
        return manifest(path, params, options.get());
    }
    /// Lists what a dataset of `uri` would draw from and writes it to a local file; gives the number of objects.
    static std::uint64_t write_manifest(std::string_view uri, std::string_view path, const dataset_params& params = {}) {
        return write_manifest(uri, path, params, nullptr);
    }
    static std::uint64_t write_manifest(std::string_view uri, std::string_view path, const dataset_params& params,
                                        const options& options) {
        return write_manifest(uri, path, params, options.get());
    }

    /// How many items there are; nothing where that shows only when they are drawn.
    std::optional<std::uint64_t> length() const {
        detail::outcome outcome;
        std::uint64_t length = 0;
        outcome.check(s3dlio_dataset_length(handle_.get(), &length, outcome.slot()));
        if (length == S3DLIO_UNKNOWN_LENGTH) return std::nullopt;
        return length;
    }
    /// The same items with a known length: lists and reads what that takes.
    dataset index() const {
        detail::outcome outcome;
        s3dlio_dataset* raw = nullptr;
        outcome.check(s3dlio_dataset_index(handle_.get(), &raw, outcome.slot()));
        return dataset(raw);
    }
    /// Items by their numbers, in this order. Needs a known length.
    batch get_many(const std::vector<std::uint64_t>& indices) const {
        detail::outcome outcome;
        s3dlio_batch* raw = nullptr;
        outcome.check(s3dlio_dataset_get_many(handle_.get(), indices.data(), indices.size(), &raw, outcome.slot()));
        return batch(raw);
    }

    /// Takes a C handle over.
    explicit dataset(s3dlio_dataset* raw) noexcept : handle_(raw) {}
    /// The C handle, still owned here.
    s3dlio_dataset* get() const noexcept { return handle_.get(); }

  private:
    dataset(std::string_view uri, const dataset_params& params, const s3dlio_options* options) {
        const std::string c_uri = detail::uri_text(uri);
        const s3dlio_dataset_params raw_params = detail::raw_params(params);
        detail::outcome outcome;
        s3dlio_dataset* raw = nullptr;
        outcome.check(s3dlio_dataset_open(c_uri.c_str(), &raw_params, sizeof raw_params, options, &raw, outcome.slot()));
        handle_.reset(raw);
    }
    static dataset of(const std::vector<std::string>& uris, const dataset_params& params, const s3dlio_options* options) {
        const std::vector<const char*> pointers = detail::pointers_to(uris, "a URI");
        const s3dlio_dataset_params raw_params = detail::raw_params(params);
        detail::outcome outcome;
        s3dlio_dataset* raw = nullptr;
        outcome.check(s3dlio_dataset_open_uris(pointers.data(), pointers.size(), &raw_params, sizeof raw_params, options, &raw,
                                               outcome.slot()));
        return dataset(raw);
    }
    static dataset manifest(std::string_view path, const dataset_params& params, const s3dlio_options* options) {
        const std::string c_path = detail::argument_text(path, "the path");
        const s3dlio_dataset_params raw_params = detail::raw_params(params);
        detail::outcome outcome;
        s3dlio_dataset* raw = nullptr;
        outcome.check(s3dlio_dataset_open_manifest(c_path.c_str(), &raw_params, sizeof raw_params, options, &raw, outcome.slot()));
        return dataset(raw);
    }
    static std::uint64_t write_manifest(std::string_view uri, std::string_view path, const dataset_params& params,
                                        const s3dlio_options* options) {
        const std::string c_uri = detail::uri_text(uri), c_path = detail::argument_text(path, "the path");
        const s3dlio_dataset_params raw_params = detail::raw_params(params);
        detail::outcome outcome;
        std::uint64_t count = 0;
        outcome.check(s3dlio_dataset_write_manifest(c_uri.c_str(), &raw_params, sizeof raw_params, options, c_path.c_str(), &count,
                                                    outcome.slot()));
        return count;
    }

    detail::owned<s3dlio_dataset> handle_;
};

/// Which part of an epoch is drawn, and how.
struct loader_params {
    std::uint64_t batch_size = 1;
    /// The same on every rank.
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    std::uint32_t rank = 0;
    std::uint32_t world_size = 1;
    /// Of those that share the rank.
    std::uint32_t worker = 0;
    std::uint32_t workers = 1;
    /// To go on: what `loader::state` gave, of this shard or of all shards of the old run.
    std::vector<std::string> states{};
};

/// One worker's pass over one epoch. Threads: one at a time. The destructor waits for the loader's tasks to
/// end, which takes milliseconds.
///
///     s3dlio::loader loader(dataset, params, {{"loader.shuffle", "full"}});
///     for (const s3dlio::batch& batch : loader)
///         for (s3dlio::sample sample : batch) train(sample.data());
///
/// An error of an item is thrown by the loop; another loop over the same loader goes on after it.
class loader {
  public:
    explicit loader(const dataset& dataset, const loader_params& params = {}) : loader(dataset, params, nullptr) {}
    loader(const dataset& dataset, const loader_params& params, const options& options)
        : loader(dataset, params, options.get()) {}

    /// The next batch, or nothing at the end of the epoch.
    std::optional<batch> next() { return next(handle_.get()); }

    /// Single-pass input iterator. Must not outlive the loader, which may be moved meanwhile.
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = batch;
        using difference_type = std::ptrdiff_t;
        using pointer = batch*;
        using reference = batch&;

        /// The end.
        iterator() = default;
        /// The batch may be moved from to keep it.
        reference operator*() const noexcept { return **batch_; }
        pointer operator->() const noexcept { return &**batch_; }
        iterator& operator++() {
            batch_.reset(); // its memory serves the next one
            fetch();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& a, const iterator& b) noexcept { return !a.batch_ == !b.batch_; }
        friend bool operator!=(const iterator& a, const iterator& b) noexcept { return !(a == b); }

      private:
        friend class loader;
        explicit iterator(s3dlio_loader* source) : source_(source) { fetch(); }
        void fetch() {
            if (std::optional<batch> next = loader::next(source_)) batch_ = std::make_shared<std::optional<batch>>(std::move(next));
        }
        s3dlio_loader* source_ = nullptr;
        std::shared_ptr<std::optional<batch>> batch_;
    };
    /// Goes on where the loader is; waits for a batch.
    iterator begin() { return iterator(handle_.get()); }
    iterator end() noexcept { return {}; }

    /// What was given so far, as JSON, to go on from: `loader_params::states`.
    std::string state() const {
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_loader_state(handle_.get(), &raw, outcome.slot()));
        return std::string(buffer(raw).text());
    }
    /// What the loader did so far; `wait_ns` is what the program lost to data.
    s3dlio_loader_stats stats() const {
        detail::outcome outcome;
        s3dlio_loader_stats stats{};
        outcome.check(s3dlio_loader_get_stats(handle_.get(), &stats, sizeof stats, outcome.slot()));
        return stats;
    }
    /// One state of those of all shards of a run, for another number of ranks or workers.
    static std::string merge_states(const std::vector<std::string>& states) {
        const std::vector<const char*> pointers = detail::pointers_to(states, "a state");
        detail::outcome outcome;
        s3dlio_buffer* raw = nullptr;
        outcome.check(s3dlio_loader_merge_states(pointers.data(), pointers.size(), &raw, outcome.slot()));
        return std::string(buffer(raw).text());
    }

    /// The C handle, still owned here.
    s3dlio_loader* get() const noexcept { return handle_.get(); }

  private:
    loader(const dataset& dataset, const loader_params& params, const s3dlio_options* options) {
        const std::vector<const char*> states = detail::pointers_to(params.states, "a state");
        s3dlio_loader_params raw_params{};
        raw_params.batch_size = params.batch_size;
        raw_params.seed = params.seed;
        raw_params.epoch = params.epoch;
        raw_params.rank = params.rank;
        raw_params.world_size = params.world_size;
        raw_params.worker = params.worker;
        raw_params.workers = params.workers;
        raw_params.states = states.data();
        raw_params.state_count = states.size();
        detail::outcome outcome;
        s3dlio_loader* raw = nullptr;
        outcome.check(s3dlio_loader_open(dataset.get(), &raw_params, sizeof raw_params, options, &raw, outcome.slot()));
        handle_.reset(raw);
    }
    static std::optional<batch> next(s3dlio_loader* source) {
        detail::outcome outcome;
        s3dlio_batch* raw = nullptr;
        if (outcome.check(s3dlio_loader_next(source, &raw, outcome.slot())) == S3DLIO_END) return std::nullopt;
        return batch(raw);
    }
    detail::owned<s3dlio_loader> handle_;
};

// --------------------------------------------------------------------------------- synthetic data

/// What generated data is like.
struct generate_params {
    std::uint64_t seed = 0;
    /// Blocks for each one of different content.
    double dedupe = 1;
    /// Bytes for each one that zstd leaves.
    double compress = 1;
    /// The unit of deduplication in bytes; 0 is 4096.
    std::uint64_t block_size = 0;
    /// 0: one for each processor.
    std::uint32_t threads = 0;
};

/// What an object of generated data is; see `s3dlio_generate_object_params`.
struct generate_object_params {
    s3dlio::format format = s3dlio::format::raw;
    std::uint64_t count = 0;
    std::uint64_t record_size = 0;
    std::string dtype = "U8";
    std::vector<std::uint64_t> shape{};
    std::string name{};
};

namespace detail {
inline s3dlio_generate_params raw_params(const generate_params& params) {
    s3dlio_generate_params raw{};
    raw.seed = params.seed;
    raw.dedupe = params.dedupe;
    raw.compress = params.compress;
    raw.block_size = params.block_size;
    raw.threads = params.threads;
    return raw;
}
} // namespace detail

/// Fills `dst` with the bytes of object `object` from `offset` on: the same ones whenever and wherever.
inline void generate(mutable_byte_view dst, std::uint64_t object, std::uint64_t offset = 0, const generate_params& params = {}) {
    const s3dlio_generate_params raw_params = detail::raw_params(params);
    detail::outcome outcome;
    outcome.check(s3dlio_generate(&raw_params, sizeof raw_params, object, offset, dst.data(), dst.size(), outcome.slot()));
}

/// A whole object in a format.
inline buffer generate_object(std::uint64_t object, const generate_object_params& what, const generate_params& params = {}) {
    const s3dlio_generate_params raw_params = detail::raw_params(params);
    const std::string dtype = detail::argument_text(what.dtype, "the dtype"), name = detail::argument_text(what.name, "the name");
    s3dlio_generate_object_params raw_what{};
    raw_what.format = static_cast<std::int32_t>(what.format);
    raw_what.ndim = static_cast<std::uint32_t>(what.shape.size());
    raw_what.dtype = dtype.c_str();
    raw_what.shape = what.shape.data();
    raw_what.count = what.count;
    raw_what.record_size = what.record_size;
    raw_what.name = name.c_str();
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_generate_object(&raw_params, sizeof raw_params, &raw_what, sizeof raw_what, object, &raw, outcome.slot()));
    return buffer(raw);
}

// ------------------------------------------------------------------------------------ file formats

/// File formats as bytes, without I/O: TFRecord and its indexes, tar, NPY, NPZ and HDF5. Threads: any, concurrently.
///
///     std::string file;
///     for (const std::string& example : examples) s3dlio::formats::append_tfrecord(file, example);
///     store.put("train.tfrecord", file);
///     store.put("train.tfrecord.idx", s3dlio::formats::tfrecord_index(file));
///     store.put("batch.npz", s3dlio::formats::npz({s3dlio::formats::array::of("x", {rows, columns}, floats)}));
///
/// Damaged files are `S3DLIO_ERR_CHECKSUM_MISMATCH`, `_TRUNCATED` or `_CORRUPT`, what is not read here `_UNSUPPORTED`;
/// `detail("offset")` says where.
namespace formats {

/// A piece of a file: `offset` and `length`.
using extent = s3dlio_extent;

/// How an index of TFRecord files is written.
enum class index_kind : std::int32_t {
    /// 16 bytes for each record: offset and length, little-endian.
    pairs = S3DLIO_INDEX_PAIRS,
    /// A line "offset length" for each, as DALI's tfrecord2idx.
    text = S3DLIO_INDEX_TEXT,
};

/// An array to be written, row-major, without gaps. Its memory is borrowed.
struct array {
    /// What it is called in the file, without ".npy".
    std::string name = {};
    /// The element type as NumPy has it, such as `<f4`, or as safetensors has it, such as `F32`.
    std::string descr = {};
    /// Empty for a single value.
    extents shape = {};
    byte_view data = {};

    /// Contiguous memory of a type that C++ has.
    template <class C>
    static array of(std::string name, extents shape, const C& memory) {
        using element = std::remove_cv_t<std::remove_pointer_t<decltype(std::data(memory))>>;
        return {std::move(name), dtype_of<element>(), std::move(shape), byte_view(memory)};
    }
};

/// What an NPY file holds, and where its elements lie in it.
struct npy_info {
    /// The element type as NumPy has it: `<f4`.
    std::string descr = {};
    extents shape = {};
    /// The first index runs fastest.
    bool fortran_order = false;
    std::uint64_t offset = 0;
    /// In bytes.
    std::uint64_t length = 0;
};

/// A member of an NPZ file: `length` bytes of the file from `offset` on are what `npz_unpack` takes.
struct npz_member {
    /// With ".npy".
    std::string name = {};
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    /// Bytes once unpacked.
    std::uint64_t size = 0;
    /// Bytes as stored.
    std::uint64_t packed = 0;
    /// Of the unpacked bytes.
    std::uint32_t crc32 = 0;
    /// 0 is not compressed, 8 deflated.
    std::uint16_t method = 0;
    /// The ZIP file's own.
    std::uint16_t flags = 0;
};

} // namespace formats

namespace detail {

/// Makes `file` longer by what `write(dst, capacity, written)` writes, at most `most` bytes; as it was where that throws.
template <class Bytes, class Write>
void append(Bytes& file, std::size_t most, Write write) {
    static_assert(sizeof(*std::data(file)) == 1, "a file is made of bytes, such as a std::string or a std::vector of std::byte");
    const std::size_t before = std::size(file);
    if (most > file.max_size() - before) throw std::bad_alloc();
    if (file.capacity() - before < most) { // resize alone would copy the file each time
        file.reserve(file.capacity() > file.max_size() / 2 ? before + most : std::max(before + most, 2 * file.capacity()));
    }
    file.resize(before + most);
    std::size_t written = 0;
    try {
        write(std::data(file) + before, most, &written);
    } catch (...) {
        file.resize(before);
        throw;
    }
    file.resize(before + written);
}

template <class Bytes>
void append_tar(Bytes& archive, const char* name, byte_view data) {
    append(archive, data.size() + 8192, [&](void* dst, std::size_t capacity, std::size_t* written) {
        outcome outcome;
        outcome.check(s3dlio_tar_append(name, data.data(), data.size(), dst, capacity, written, outcome.slot()));
    });
}

/// All that `find(places, capacity, count)` finds, of which there are at most `most`.
template <class Find>
std::vector<s3dlio_extent> places(std::size_t most, Find find) {
    std::vector<s3dlio_extent> found(most);
    std::size_t count = 0;
    find(found.data(), found.size(), &count);
    found.resize(count);
    return found;
}

template <class Write>
buffer file_of(const std::vector<formats::array>& arrays, Write write) {
    std::vector<std::string> texts;
    std::vector<s3dlio_array> given;
    texts.reserve(2 * arrays.size());
    for (const formats::array& one : arrays) {
        s3dlio_array raw{};
        raw.name = texts.emplace_back(argument_text(one.name, "an array's name")).c_str();
        raw.descr = texts.emplace_back(argument_text(one.descr, "an array's type")).c_str();
        raw.shape = one.shape.data();
        raw.ndim = one.shape.size();
        raw.data = one.data.data();
        raw.length = one.data.size();
        given.push_back(raw);
    }
    outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(write(given.data(), given.size(), &raw, outcome.slot()));
    return buffer(raw);
}

} // namespace detail

namespace formats {

/// Appends a record with its frame to a TFRecord file in memory: a `std::string`, a `std::vector<std::byte>` ... The record must not
/// lie in `file`.
template <class Bytes>
void append_tfrecord(Bytes& file, byte_view record) {
    detail::append(file, record.size() + 16, [&](void* dst, std::size_t capacity, std::size_t* written) {
        detail::outcome outcome;
        outcome.check(s3dlio_tfrecord_append(record.data(), record.size(), dst, capacity, written, outcome.slot()));
    });
}

/// The records of a TFRecord file, or of any run of whole frames, both checksums of each checked: views of `data`.
inline std::vector<byte_view> tfrecord_records(byte_view data) {
    const std::vector<extent> found = detail::places(data.size() / 16, [&](extent* to, std::size_t capacity, std::size_t* count) {
        detail::outcome outcome;
        outcome.check(s3dlio_tfrecord_parse(data.data(), data.size(), to, capacity, count, outcome.slot()));
    });
    std::vector<byte_view> records;
    records.reserve(found.size());
    for (const extent& one : found) {
        records.emplace_back(data.data() + one.offset, static_cast<std::size_t>(one.length));
    }
    return records;
}

/// The index of a TFRecord file, which is checked by the way.
inline buffer tfrecord_index(byte_view data, index_kind kind = index_kind::pairs) {
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_tfrecord_index(data.data(), data.size(), static_cast<std::int32_t>(kind), &raw, outcome.slot()));
    return buffer(raw);
}

/// Where the frames of the records lie, out of an index of either kind. With the size of the TFRecord file the index is held
/// against it.
inline std::vector<extent> tfrecord_frames(byte_view index, std::uint64_t file_size = to_end) {
    // No line of text is shorter than "0 16\n".
    return detail::places(index.size() / 5, [&](extent* to, std::size_t capacity, std::size_t* count) {
        detail::outcome outcome;
        outcome.check(s3dlio_tfrecord_index_parse(index.data(), index.size(), file_size, to, capacity, count, outcome.slot()));
    });
}

/// Appends a file to a tar archive in memory. Of WebDataset's samples the files follow each other and differ in what stands
/// after the first dot of the name. `data` must not lie in `archive`.
template <class Bytes>
void append_tar(Bytes& archive, std::string_view name, byte_view data) {
    detail::append_tar(archive, detail::argument_text(name, "the file's name").c_str(), data);
}

/// Appends the end, without which no archive is whole.
template <class Bytes>
void finish_tar(Bytes& archive) {
    detail::append_tar(archive, nullptr, {});
}

/// What stands before the elements in an NPY file.
inline buffer npy_head(std::string_view descr, const extents& shape, bool fortran_order = false) {
    const std::string type = detail::argument_text(descr, "the type");
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_npy_head(type.c_str(), fortran_order ? 1 : 0, shape.data(), shape.size(), &raw, outcome.slot()));
    return buffer(raw);
}

/// What an NPY file of `file_size` bytes holds, by its first bytes: 256 are mostly enough, else it is
/// `S3DLIO_ERR_BUFFER_TOO_SMALL` and `required()` says how many.
inline npy_info npy_parse(byte_view head, std::uint64_t file_size) {
    detail::outcome outcome;
    s3dlio_npy_info raw{};
    outcome.check(s3dlio_npy_parse(head.data(), head.size(), file_size, &raw, sizeof raw, outcome.slot()));
    return {raw.descr, extents(raw.shape, raw.shape + raw.ndim), raw.fortran_order != 0, raw.data_offset, raw.data_length};
}

/// What a whole NPY file holds.
inline npy_info npy_parse(byte_view file) { return npy_parse(file, file.size()); }

/// An NPZ file of arrays, not compressed. The same arrays make the same bytes.
inline buffer npz(const std::vector<array>& arrays) { return detail::file_of(arrays, s3dlio_npz_write); }

/// An HDF5 file of arrays of integers and floats, each a contiguous dataset of the root group.
inline buffer hdf5(const std::vector<array>& arrays) { return detail::file_of(arrays, s3dlio_hdf5_write); }

/// The members of an NPZ file of `file_size` bytes, by its last bytes: 65,536 are mostly enough, else it is
/// `S3DLIO_ERR_BUFFER_TOO_SMALL` and `required()` says how many.
inline std::vector<npz_member> npz_members(byte_view tail, std::uint64_t file_size) {
    const s3dlio_npz_member* members = nullptr;
    std::size_t count = 0;
    s3dlio_buffer* raw = nullptr;
    detail::outcome outcome;
    outcome.check(s3dlio_npz_list(tail.data(), tail.size(), file_size, &members, &count, &raw, outcome.slot()));
    const buffer owner(raw);
    std::vector<npz_member> found;
    found.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const s3dlio_npz_member& one = members[i];
        found.push_back({one.name, one.offset, one.length, one.size, one.packed, one.crc32, one.method, one.flags});
    }
    return found;
}

/// The members of a whole NPZ file.
inline std::vector<npz_member> npz_members(byte_view file) { return npz_members(file, file.size()); }

/// The members of an NPZ object: only its end is read.
inline std::vector<npz_member> npz_members(const reader& file) {
    const std::uint64_t size = file.size();
    for (std::uint64_t tail = 65536;;) {
        if (tail > size) tail = size;
        buffer data(static_cast<std::size_t>(tail));
        const std::size_t read = file.read_at(size - tail, data);
        try {
            return npz_members(byte_view(data).subview(0, read), size);
        } catch (const error& failure) {
            if (failure.code() != S3DLIO_ERR_BUFFER_TOO_SMALL || failure.required() <= tail) throw;
            tail = failure.required();
        }
    }
}

/// The NPY file that a member is, unpacked and checked, out of the file's bytes that `member` names.
inline buffer npz_unpack(const npz_member& member, byte_view data) {
    const std::string name = detail::argument_text(member.name, "the member's name");
    const s3dlio_npz_member given{name.c_str(), member.offset, member.length, member.size, member.packed, member.crc32, member.method, member.flags};
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_npz_unpack(&given, data.data(), data.size(), &raw, outcome.slot()));
    return buffer(raw);
}

/// The NPY file that a member of an NPZ object is: only its bytes are read.
inline buffer npz_read(const reader& file, const npz_member& member) {
    buffer data(static_cast<std::size_t>(member.length));
    const std::size_t read = file.read_at(member.offset, data);
    return npz_unpack(member, byte_view(data).subview(0, read));
}

} // namespace formats

// ------------------------------------------------------------------------------------------- queue

namespace detail {

/// Waits for one event; its address is the event's token.
class pending {
  public:
    pending() = default;
    pending(const pending&) = delete;
    pending& operator=(const pending&) = delete;
    virtual ~pending() = default;
    /// Does not throw: what goes wrong goes into the promise.
    virtual void finish(s3dlio_event& event) noexcept = 0;
};

template <class T, class Make>
class promised final : public pending {
  public:
    explicit promised(Make make) : make_(std::move(make)) {}
    std::future<T> future() { return promise_.get_future(); }
    void finish(s3dlio_event& event) noexcept override {
        try {
            if (event.status < 0) throw error(event.status, event.error);
            if constexpr (std::is_void_v<T>) {
                make_(event);
                promise_.set_value();
            } else {
                promise_.set_value(make_(event));
            }
        } catch (...) {
            promise_.set_exception(std::current_exception());
        }
    }

  private:
    Make make_;
    std::promise<T> promise_;
};

} // namespace detail

/// A future of a submitted operation, which may also be stopped. May be kept as a plain `std::future`.
/// Going away it neither waits nor cancels.
template <class T>
class operation : public std::future<T> {
  public:
    operation() noexcept = default;
    operation(std::future<T>&& outcome, s3dlio_op* raw) noexcept : std::future<T>(std::move(outcome)), handle_(raw) {}

    /// Asks it to end soon. The future becomes ready as ever: `S3DLIO_ERR_CANCELLED`, or the outcome where it
    /// was faster. A cancelled put, remove or finish may have taken effect.
    void cancel() {
        detail::outcome outcome;
        outcome.check(s3dlio_op_cancel(handle_.get(), outcome.slot()));
    }
    /// Bytes moved so far, and how many there will be at most (`UINT64_MAX`: not known before).
    std::pair<std::uint64_t, std::uint64_t> progress() const {
        detail::outcome outcome;
        std::pair<std::uint64_t, std::uint64_t> bytes{};
        outcome.check(s3dlio_op_progress(handle_.get(), &bytes.first, &bytes.second, outcome.slot()));
        return bytes;
    }

  private:
    detail::owned<s3dlio_op> handle_;
};

/// Operations whose outcomes come as futures. A thread of the queue's own takes the events, or, with
/// `driven::by_poll`, the program does by calling `poll`, as when an event loop says that `fd` is readable.
///
/// Memory that is passed (`dst`, `data`) must stay until the future is ready. The destructor cancels
/// what is under way and makes every future ready before it returns. Threads: any, concurrently.
class queue {
  public:
    enum class driven { by_thread, by_poll };

    explicit queue(driven how = driven::by_thread) {
        detail::outcome outcome;
        s3dlio_queue* raw = nullptr;
        outcome.check(s3dlio_queue_new(&raw, outcome.slot()));
        handle_.reset(raw);
        if (how == driven::by_thread) {
            thread_ = std::thread([raw] {
                while (take(raw, -1) == S3DLIO_OK) {
                }
            });
        }
    }
    queue(const queue&) = delete;
    queue& operator=(const queue&) = delete;
    ~queue() {
        s3dlio_queue_close(handle_.get(), 1, nullptr);
        if (thread_.joinable()) thread_.join();
        while (take(handle_.get(), -1) == S3DLIO_OK) { // none where the thread took them
        }
    }

    operation<buffer> get(const store& store, std::string_view key) {
        const std::string c_key = detail::key_text(key);
        return submit<buffer>(take_buffer, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_store_get_submit(store.get(), c_key.c_str(), handle_.get(), token, op, err);
        });
    }
    operation<buffer> get_range(const store& store, std::string_view key, std::uint64_t offset, std::uint64_t length = to_end) {
        const std::string c_key = detail::key_text(key);
        return submit<buffer>(take_buffer, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_store_get_range_submit(store.get(), c_key.c_str(), offset, length, handle_.get(), token, op, err);
        });
    }
    /// The whole object into `dst`; gives its size.
    operation<std::size_t> get_into(const store& store, std::string_view key, mutable_byte_view dst) {
        const std::string c_key = detail::key_text(key);
        return submit<std::size_t>(take_count, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_store_get_into_submit(store.get(), c_key.c_str(), dst.data(), dst.size(), handle_.get(), token, op, err);
        });
    }
    /// Fills `dst` from `offset`; fewer bytes only at the end.
    operation<std::size_t> get_range_into(const store& store, std::string_view key, std::uint64_t offset, mutable_byte_view dst) {
        const std::string c_key = detail::key_text(key);
        return submit<std::size_t>(take_count, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_store_get_range_into_submit(store.get(), c_key.c_str(), offset, dst.data(), dst.size(), handle_.get(), token, op, err);
        });
    }
    operation<write_stats> put(const store& store, std::string_view key, byte_view data, const put_options& options = {}) {
        const std::string c_key = detail::key_text(key);
        const detail::raw_put_options raw_options(options);
        return submit<write_stats>(
            [](s3dlio_event& event) { return detail::to_stats(*event.written); },
            [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
                return s3dlio_store_put_submit(store.get(), c_key.c_str(), data.data(), data.size(), raw_options.get(),
                                               sizeof *raw_options.get(), handle_.get(), token, op, err);
            });
    }
    operation<object_info> stat(const store& store, std::string_view key) {
        const std::string c_key = detail::key_text(key);
        return submit<object_info>(
            [](s3dlio_event& event) { return detail::to_info(*event.infos[0]); },
            [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
                return s3dlio_store_stat_submit(store.get(), c_key.c_str(), handle_.get(), token, op, err);
            });
    }
    /// A missing object is success.
    operation<void> remove(const store& store, std::string_view key) {
        const std::string c_key = detail::key_text(key);
        return submit<void>([](s3dlio_event&) {}, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_store_delete_submit(store.get(), c_key.c_str(), handle_.get(), token, op, err);
        });
    }
    /// Fills `dst` from `offset`; many may be under way on one reader.
    operation<std::size_t> read_at(const reader& reader, std::uint64_t offset, mutable_byte_view dst) {
        return submit<std::size_t>(take_count, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_reader_read_at_submit(reader.get(), offset, dst.data(), dst.size(), handle_.get(), token, op, err);
        });
    }
    /// The next bytes, at most `dst.size()`; 0 only at the end (or for an empty `dst`). One at a time on a reader,
    /// which is to stay until the future is ready.
    operation<std::size_t> read(reader& reader, mutable_byte_view dst) {
        return submit<std::size_t>(take_count, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_reader_read_submit(reader.get(), dst.data(), dst.size(), handle_.get(), token, op, err);
        });
    }
    /// Opens an object for reading.
    operation<reader> open(const store& store, std::string_view key) { return open(store, key, nullptr); }
    operation<reader> open(const store& store, std::string_view key, const options& options) {
        return open(store, key, options.get());
    }
    /// The next entries of a listing, as many as come in one answer; none at its end. One at a time on a lister.
    operation<std::vector<object_info>> list_page(lister& lister) {
        return submit<std::vector<object_info>>(
            [](s3dlio_event& event) {
                std::vector<object_info> entries;
                entries.reserve(event.info_count);
                for (std::size_t i = 0; i < event.info_count; ++i) entries.push_back(detail::to_info(*event.infos[i]));
                return entries;
            },
            [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
                return s3dlio_lister_page_submit(lister.get(), handle_.get(), token, op, err);
            });
    }
    /// Appends; ready once the bytes are taken in. One call at a time on a writer; after a cancelled one it can only
    /// be aborted.
    operation<void> write(writer& writer, byte_view data) {
        return submit<void>([](s3dlio_event&) {}, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_writer_write_submit(writer.get(), data.data(), data.size(), handle_.get(), token, op, err);
        });
    }
    /// Publishes the object.
    operation<write_stats> finish(writer& writer) {
        return submit<write_stats>(
            [](s3dlio_event& event) { return detail::to_stats(*event.written); },
            [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
                return s3dlio_writer_finish_submit(writer.get(), handle_.get(), token, op, err);
            });
    }
    /// The loader's next batch; nothing at the end of the epoch. One at a time on a loader. A cancelled one takes
    /// nothing: the next has its batch.
    operation<std::optional<batch>> next(loader& loader) {
        return submit<std::optional<batch>>(
            [](s3dlio_event& event) {
                std::optional<batch> given;
                if (event.batch != nullptr) given.emplace(std::exchange(event.batch, nullptr));
                return given;
            },
            [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
                return s3dlio_loader_next_submit(loader.get(), handle_.get(), token, op, err);
            });
    }
    /// Stores what is left of a rank's part of a save, as `checkpoint_writer::finish`.
    operation<void> finish(checkpoint_writer& writer) {
        return submit<void>([](s3dlio_event&) {}, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_checkpoint_writer_finish_submit(writer.get(), handle_.get(), token, op, err);
        });
    }
    /// The end of a save, as `checkpoint_writer::commit`: snapshots are stored in the background. The writer may go
    /// away meanwhile.
    operation<void> commit(checkpoint_writer& writer) {
        return submit<void>([](s3dlio_event&) {}, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_checkpoint_writer_commit_submit(writer.get(), handle_.get(), token, op, err);
        });
    }
    /// Loads boxes of entries; gives the sum of their bytes. Only the memory has to stay until the future is ready.
    operation<std::size_t> load(const checkpoint& checkpoint, const std::vector<tensor_request>& requests) {
        const detail::raw_requests raw(requests);
        return submit<std::size_t>(take_count, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_checkpoint_load_submit(checkpoint.get(), raw.data(), raw.size(), handle_.get(), token, op, err);
        });
    }
    /// Removes everything that was stored.
    operation<void> abort(writer& writer) {
        return submit<void>([](s3dlio_event&) {}, [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
            return s3dlio_writer_abort_submit(writer.get(), handle_.get(), token, op, err);
        });
    }

    /// Readable exactly while there are events to `poll`.
    int fd() const {
        detail::outcome outcome;
        std::int32_t fd = -1;
        outcome.check(s3dlio_queue_fd(handle_.get(), &fd, outcome.slot()));
        return fd;
    }
    /// Makes the futures ready whose events are there, waiting at most `timeout` for the first one; gives
    /// how many.
    std::size_t poll(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) {
        std::size_t taken = 0;
        std::int64_t wait = timeout.count() < 0 ? 0 : timeout.count();
        while (take(handle_.get(), wait) == S3DLIO_OK) {
            ++taken;
            wait = 0;
        }
        return taken;
    }

    /// The C handle, still owned here. Its events are this class's.
    s3dlio_queue* get() const noexcept { return handle_.get(); }

  private:
    static buffer take_buffer(s3dlio_event& event) { return buffer(std::exchange(event.data, nullptr)); }
    static std::size_t take_count(s3dlio_event& event) { return static_cast<std::size_t>(event.bytes); }

    operation<reader> open(const store& store, std::string_view key, const s3dlio_options* options) {
        const std::string c_key = detail::key_text(key);
        return submit<reader>(
            [](s3dlio_event& event) { return reader(std::exchange(event.reader, nullptr)); },
            [&](std::uint64_t token, s3dlio_op** op, s3dlio_error** err) {
                return s3dlio_reader_open_submit(store.get(), c_key.c_str(), options, handle_.get(), token, op, err);
            });
    }

    /// Starts what `start` submits; `make` turns its event into the result.
    template <class T, class Make, class Start>
    operation<T> submit(Make make, Start start) {
        auto waiting = std::make_unique<detail::promised<T, Make>>(std::move(make));
        std::future<T> future = waiting->future();
        detail::pending* base = waiting.get();
        detail::outcome outcome;
        s3dlio_op* op = nullptr;
        outcome.check(start(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(base)), &op, outcome.slot()));
        waiting.release(); // the event's now
        return operation<T>(std::move(future), op);
    }

    /// Takes one event; gives the status of the wait.
    static std::int32_t take(s3dlio_queue* handle, std::int64_t timeout_ms) noexcept {
        s3dlio_event event{};
        const std::int32_t status = s3dlio_queue_next(handle, timeout_ms, &event, sizeof event, nullptr);
        if (status != S3DLIO_OK) return status;
        const std::unique_ptr<detail::pending> waiting(reinterpret_cast<detail::pending*>(static_cast<std::uintptr_t>(event.token)));
        waiting->finish(event);
        s3dlio_buffer_free(event.data);
        s3dlio_error_free(event.error);
        s3dlio_reader_free(event.reader);
        s3dlio_batch_free(event.batch);
        return status;
    }

    detail::owned<s3dlio_queue> handle_;
    std::thread thread_;
};

// --------------------------------------------------------------------------------------- iostreams

namespace detail {

/// Bytes that a stream buffer collects; larger reads and writes go past it.
inline constexpr std::size_t stream_buffer_size = 256 * 1024;

/// Remembers the first exception of a stream buffer, because a stream turns it into a bit.
class first_error {
  public:
    template <class F>
    auto guard(F&& work) -> decltype(work()) {
        try {
            return work();
        } catch (...) {
            if (!error_) error_ = std::current_exception();
            throw;
        }
    }
    bool any() const noexcept { return static_cast<bool>(error_); }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    std::exception_ptr error_;
};

class reader_buf : public std::streambuf {
  public:
    explicit reader_buf(reader&& source) : reader_(std::move(source)), memory_(stream_buffer_size) {}
    reader reader_;
    first_error error_;

  protected:
    int_type underflow() override {
        if (gptr() < egptr()) return traits_type::to_int_type(*gptr());
        const std::size_t bytes = error_.guard([&] { return reader_.read(memory_); });
        setg(memory_.data(), memory_.data(), memory_.data() + bytes);
        return bytes == 0 ? traits_type::eof() : traits_type::to_int_type(*gptr());
    }
    std::streamsize xsgetn(char* dst, std::streamsize count) override {
        std::streamsize done = 0;
        while (done < count) {
            if (gptr() == egptr() && static_cast<std::size_t>(count - done) >= memory_.size()) {
                const mutable_byte_view rest(dst + done, static_cast<std::size_t>(count - done));
                const std::size_t bytes = error_.guard([&] { return reader_.read(rest); });
                if (bytes == 0) break;
                done += static_cast<std::streamsize>(bytes);
                continue;
            }
            if (underflow() == traits_type::eof()) break;
            const std::streamsize chunk = egptr() - gptr() < count - done ? egptr() - gptr() : count - done;
            std::memcpy(dst + done, gptr(), static_cast<std::size_t>(chunk));
            setg(eback(), gptr() + chunk, egptr());
            done += chunk;
        }
        return done;
    }
    pos_type seekoff(off_type offset, std::ios_base::seekdir whence, std::ios_base::openmode) override {
        return error_.guard([&] {
            const off_type unread = egptr() - gptr();
            if (whence == std::ios_base::cur) {
                if (offset == 0) return pos_type(static_cast<off_type>(reader_.tell()) - unread);
                offset -= unread;
            }
            const seek_from from = whence == std::ios_base::beg   ? seek_from::start
                                   : whence == std::ios_base::cur ? seek_from::current
                                                                  : seek_from::end;
            const auto position = static_cast<off_type>(reader_.seek(offset, from));
            setg(memory_.data(), memory_.data(), memory_.data());
            return pos_type(position);
        });
    }
    pos_type seekpos(pos_type position, std::ios_base::openmode which) override {
        return seekoff(off_type(position), std::ios_base::beg, which);
    }

  private:
    std::vector<char> memory_;
};

class writer_buf : public std::streambuf {
  public:
    explicit writer_buf(writer&& target) : writer_(std::move(target)), memory_(stream_buffer_size) { rewind(); }
    writer writer_;
    first_error error_;
    bool closed_ = false;

    /// From now on every write fails.
    void shut() noexcept {
        closed_ = true;
        setp(nullptr, nullptr);
    }

    /// Hands what was collected to the writer.
    void drain() {
        const byte_view pending(pbase(), static_cast<std::size_t>(pptr() - pbase()));
        rewind();
        write(pending);
    }

  protected:
    int_type overflow(int_type c) override {
        if (closed_) return traits_type::eof();
        drain();
        if (!traits_type::eq_int_type(c, traits_type::eof())) sputc(traits_type::to_char_type(c));
        return traits_type::not_eof(c);
    }
    std::streamsize xsputn(const char* data, std::streamsize count) override {
        if (closed_) return 0;
        if (count > epptr() - pptr()) drain();
        if (static_cast<std::size_t>(count) >= memory_.size()) {
            write(byte_view(data, static_cast<std::size_t>(count)));
        } else {
            std::memcpy(pptr(), data, static_cast<std::size_t>(count));
            pbump(static_cast<int>(count));
        }
        return count;
    }
    int sync() override {
        if (closed_) return -1;
        drain();
        return 0;
    }
    /// `tellp` only: an object is written in order.
    pos_type seekoff(off_type offset, std::ios_base::seekdir whence, std::ios_base::openmode) override {
        if (offset != 0 || whence != std::ios_base::cur) return pos_type(off_type(-1));
        return error_.guard([&] { return pos_type(static_cast<off_type>(writer_.stats().bytes) + (pptr() - pbase())); });
    }

  private:
    void rewind() { setp(memory_.data(), memory_.data() + memory_.size()); }
    void write(byte_view data) {
        error_.rethrow();
        if (!data.empty()) error_.guard([&] { writer_.write(data); });
    }
    std::vector<char> memory_;
};

} // namespace detail

/// An object as `std::istream`, for what reads streams: `std::getline`, `>>`, parsers. For bulk data
/// `reader` and `store::get_into` are faster. Throws by default where `std::ifstream` would only set
/// `badbit` (`exceptions(std::ios::badbit)`), so that a failure is never mistaken for the end. With
/// `exceptions(std::ios::goodbit)` it only sets the bit; `check` then throws the cause.
/// Threads: one at a time. Neither copied nor moved.
class reader_stream : public std::istream {
  public:
    reader_stream(const store& store, std::string_view key) : reader_stream(reader(store, key)) {}
    reader_stream(const store& store, std::string_view key, const options& options) : reader_stream(reader(store, key, options)) {}
    /// Takes a reader over, at its position.
    explicit reader_stream(reader&& source) : std::istream(nullptr), buf_(std::move(source)) {
        rdbuf(&buf_);
        exceptions(std::ios_base::badbit);
    }
    /// Throws the first error that reading met, if any.
    void check() const { buf_.error_.rethrow(); }
    /// The reader below. Its position is ahead of the stream's.
    const s3dlio::reader& reader_below() const noexcept { return buf_.reader_; }

  private:
    detail::reader_buf buf_;
};

/// An object as `std::ostream`, for what writes streams. An error while writing sets `badbit`, and
/// `close` throws it; with `exceptions(std::ios::badbit)` it is thrown at once. Nothing is published
/// before `close` returned; destroyed without it, also by an exception, the stream aborts and leaves
/// nothing behind. Threads: one at a time. Neither copied nor moved.
class writer_stream : public std::ostream {
  public:
    writer_stream(const store& store, std::string_view key, const put_options& put = {}) : writer_stream(writer(store, key, put)) {}
    writer_stream(const store& store, std::string_view key, const options& options, const put_options& put = {})
        : writer_stream(writer(store, key, options, put)) {}
    /// Takes a writer over; what it was given before stays.
    explicit writer_stream(writer&& target) : std::ostream(nullptr), buf_(std::move(target)) { rdbuf(&buf_); }

    /// Publishes the object. Throws the first error that writing met, and `S3DLIO_ERR_INVALID_STATE` where the
    /// stream is in a failed state for another reason or was closed before; then nothing is published.
    write_stats close() {
        if (buf_.closed_) throw error(S3DLIO_ERR_INVALID_STATE, "the stream is closed already");
        try {
            buf_.error_.rethrow();
            if (fail()) {
                throw error(S3DLIO_ERR_INVALID_STATE,
                            "the stream is in a failed state, so its object would be incomplete; nothing was published");
            }
            buf_.drain();
            buf_.shut();
            return buf_.error_.guard([&] { return buf_.writer_.finish(); });
        } catch (...) {
            give_up();
            throw;
        }
    }
    /// Publishes nothing and removes what was uploaded.
    void abort() {
        buf_.shut();
        buf_.writer_.abort();
    }
    /// Throws the first error that writing met, if any.
    void check() const { buf_.error_.rethrow(); }
    /// Statistics; bytes that are still collected in the stream are not in them.
    write_stats stats() const { return buf_.writer_.stats(); }
    /// The key it writes; see `writer::key`.
    std::string_view key() const noexcept { return buf_.writer_.key(); }

  private:
    /// After a failure: later writes fail, and the upload goes away. Its own error would hide the first.
    void give_up() noexcept {
        buf_.shut();
        s3dlio_writer_abort(buf_.writer_.get(), nullptr);
        try {
            setstate(std::ios_base::badbit);
        } catch (...) { // the mask asked for an exception; the caller throws the real one
        }
    }
    detail::writer_buf buf_;
};

// ---------------------------------------------------------------- functions of the library, any thread

/// The library's version, such as "0.1.0".
inline std::string_view version() noexcept { return s3dlio_version(); }
/// `major << 16 | minor` of the library's C ABI.
inline std::uint32_t abi_version() noexcept { return s3dlio_abi_version(); }
/// Whether this build has `s3`, `azure`, `file`, `direct`, `memory`, `zstd`.
inline bool has_feature(std::string_view name) { return s3dlio_has_feature(detail::argument_text(name, "the feature").c_str()) == 1; }
/// The name of a status, such as `not_found`.
inline std::string_view status_name(std::int32_t status) noexcept { return s3dlio_status_name(status); }
/// What a status means, in one line.
inline std::string_view status_doc(std::int32_t status) noexcept { return s3dlio_status_doc(status); }

/// CRC32C (Castagnoli) of the bytes, going on from `crc`: "123456789" gives 0xe3069283.
inline std::uint32_t crc32c(byte_view data, std::uint32_t crc = 0) noexcept { return s3dlio_crc32c(crc, data.data(), data.size()); }
/// The CRC32C of two pieces in a row, from theirs and the second one's length.
inline std::uint32_t crc32c_combine(std::uint32_t first, std::uint32_t second, std::uint64_t second_length) noexcept {
    return s3dlio_crc32c_combine(first, second, second_length);
}

/// Counters of the process: pool, fallbacks of O_DIRECT and io_uring, live handles.
inline s3dlio_stats stats() {
    detail::outcome outcome;
    s3dlio_stats stats{};
    outcome.check(s3dlio_get_stats(&stats, sizeof stats, outcome.slot()));
    return stats;
}

/// All metrics as one JSON object: docs/metrics.md.
inline std::string stats_json() {
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_stats_json(&raw, outcome.slot()));
    const buffer text(raw);
    return std::string(reinterpret_cast<const char*>(text.data()), text.size());
}
/// All metrics in Prometheus' text format.
inline std::string stats_prometheus() {
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_stats_prometheus(&raw, outcome.slot()));
    const buffer text(raw);
    return std::string(reinterpret_cast<const char*>(text.data()), text.size());
}

/// What became of an op-log.
struct oplog_summary {
    std::uint64_t rows = 0;    ///< in the file
    std::uint64_t dropped = 0; ///< operations that are missing in it
};
/// Starts to write every operation of the process to a file, as a row in warp's format: docs/oplog.md.
inline void oplog_start(std::string_view path) {
    const std::string c_path = detail::argument_text(path, "the path");
    detail::outcome outcome;
    outcome.check(s3dlio_oplog_start(c_path.c_str(), nullptr, outcome.slot()));
}
inline void oplog_start(std::string_view path, const options& options) {
    const std::string c_path = detail::argument_text(path, "the path");
    detail::outcome outcome;
    outcome.check(s3dlio_oplog_start(c_path.c_str(), options.get(), outcome.slot()));
}
/// Ends the op-log once everything is written.
inline oplog_summary oplog_stop() {
    detail::outcome outcome;
    oplog_summary summary;
    outcome.check(s3dlio_oplog_stop(&summary.rows, &summary.dropped, outcome.slot()));
    return summary;
}

/// Samples the CPU time of all threads and writes it as a flamegraph (SVG): docs/tracing.md. Where it is left
/// without `stop`, for example by an exception, the profile is dropped.
class profile {
public:
    /// `hz` samples in a second of CPU time, at most 1000; 0 takes 199.
    explicit profile(std::uint32_t hz = 0) {
        detail::outcome outcome;
        outcome.check(s3dlio_profile_start(hz, outcome.slot()));
    }
    profile(const profile&) = delete;
    profile& operator=(const profile&) = delete;
    ~profile() {
        if (running_) s3dlio_profile_stop(nullptr, nullptr);
    }
    /// Ends the profile and writes it. After a failure to write the file it goes on.
    void stop(std::string_view path) {
        const std::string c_path = detail::argument_text(path, "the path");
        detail::outcome outcome;
        outcome.check(s3dlio_profile_stop(c_path.c_str(), outcome.slot()));
        running_ = false;
    }

private:
    bool running_ = true;
};

/// Ends the library's threads, waiting at most `timeout`. Optional: leaving `main` without it is fine.
inline void shutdown(std::chrono::milliseconds timeout) {
    detail::outcome outcome;
    const std::int64_t count = timeout.count();
    outcome.check(s3dlio_shutdown(count < 0 ? 0 : static_cast<std::uint64_t>(count), outcome.slot()));
}

/// The whole object at a full URI; the store behind it is kept for the next call.
inline buffer get(std::string_view uri) {
    const std::string c_uri = detail::uri_text(uri);
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_get(c_uri.c_str(), nullptr, &raw, outcome.slot()));
    return buffer(raw);
}
inline buffer get(std::string_view uri, const options& options) {
    const std::string c_uri = detail::uri_text(uri);
    detail::outcome outcome;
    s3dlio_buffer* raw = nullptr;
    outcome.check(s3dlio_get(c_uri.c_str(), options.get(), &raw, outcome.slot()));
    return buffer(raw);
}
/// Stores an object at a full URI.
inline void put(std::string_view uri, byte_view data) {
    const std::string c_uri = detail::uri_text(uri);
    detail::outcome outcome;
    outcome.check(s3dlio_put(c_uri.c_str(), nullptr, data.data(), data.size(), outcome.slot()));
}
inline void put(std::string_view uri, byte_view data, const options& options) {
    const std::string c_uri = detail::uri_text(uri);
    detail::outcome outcome;
    outcome.check(s3dlio_put(c_uri.c_str(), options.get(), data.data(), data.size(), outcome.slot()));
}

namespace detail {
inline object_info stat_uri(std::string_view uri, const s3dlio_options* options) {
    const std::string c_uri = uri_text(uri);
    outcome outcome;
    s3dlio_object_info info{};
    s3dlio_buffer* strings = nullptr;
    outcome.check(s3dlio_stat(c_uri.c_str(), options, &info, sizeof info, &strings, outcome.slot()));
    const buffer owner(strings);
    return to_info(info);
}
inline bool exists_uri(std::string_view uri, const s3dlio_options* options) {
    const std::string c_uri = uri_text(uri);
    outcome outcome;
    std::int32_t exists = 0;
    outcome.check(s3dlio_exists(c_uri.c_str(), options, &exists, outcome.slot()));
    return exists != 0;
}
inline void delete_uri(std::string_view uri, const s3dlio_options* options) {
    const std::string c_uri = uri_text(uri);
    outcome outcome;
    outcome.check(s3dlio_delete(c_uri.c_str(), options, outcome.slot()));
}
} // namespace detail

/// The facts of the object at a full URI.
inline object_info stat(std::string_view uri) { return detail::stat_uri(uri, nullptr); }
inline object_info stat(std::string_view uri, const options& options) { return detail::stat_uri(uri, options.get()); }
/// Whether there is an object at a full URI.
inline bool exists(std::string_view uri) { return detail::exists_uri(uri, nullptr); }
inline bool exists(std::string_view uri, const options& options) { return detail::exists_uri(uri, options.get()); }
/// Deletes the object at a full URI; a missing one is success.
inline void delete_object(std::string_view uri) { detail::delete_uri(uri, nullptr); }
inline void delete_object(std::string_view uri, const options& options) { detail::delete_uri(uri, options.get()); }

// -------------------------------------------------------------------------------------------- logs

/// How important a log line is.
enum class log_level : std::int32_t { error = 1, warn = 2, info = 3, debug = 4, trace = 5 };

/// Receives log lines, from any thread, also several at once; the views live during the call only.
/// Must not call the library. What it throws is swallowed.
using log_function = std::function<void(log_level level, std::string_view target, std::string_view message)>;

namespace detail {

/// Log functions are kept until the process ends: another thread may be inside an old one.
struct log_sink {
    log_function function;
    log_sink* older;
};
inline std::atomic<log_sink*> log_sinks{nullptr};

extern "C" inline void s3dlio_cpp_log(std::int32_t level, const char* target, const char* message, void* user) {
    try {
        static_cast<log_sink*>(user)->function(static_cast<log_level>(level), target, message);
    } catch (...) { // must not unwind into C
    }
}

/// NULL for an empty text.
inline const char* or_null(const std::string& value) noexcept { return value.empty() ? nullptr : value.c_str(); }

} // namespace detail

/// Sends log lines to a function; an empty one turns it off. `level` is the most detailed one wanted
/// (`error`, `warn`, `info`, `debug`, `trace`); empty takes option `log.level`. The function and what
/// it holds live until the process ends: install it once.
inline void log_set_callback(log_function function, std::string_view level = {}) {
    const std::string c_level = detail::argument_text(level, "the log level");
    detail::outcome outcome;
    if (!function) {
        outcome.check(s3dlio_log_set_callback(nullptr, nullptr, detail::or_null(c_level), outcome.slot()));
        return;
    }
    auto* sink = new detail::log_sink{std::move(function), nullptr};
    sink->older = detail::log_sinks.load();
    while (!detail::log_sinks.compare_exchange_weak(sink->older, sink)) {
    }
    outcome.check(s3dlio_log_set_callback(detail::s3dlio_cpp_log, sink, detail::or_null(c_level), outcome.slot()));
}
/// Sends log lines to a file descriptor, one line each; -1 turns it off.
inline void log_to_fd(int fd, std::string_view level = {}) {
    const std::string c_level = detail::argument_text(level, "the log level");
    detail::outcome outcome;
    outcome.check(s3dlio_log_to_fd(fd, detail::or_null(c_level), outcome.slot()));
}

} // namespace s3dlio

#endif // S3DLIO_HPP
