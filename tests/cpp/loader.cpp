// Datasets, loaders and batches (L1, L2), and generated data (F2).
#include "test.hpp"

#include <algorithm>
#include <set>

namespace {

const std::size_t items = 40;

std::string item(std::size_t i) { return test::noise(100 + i, i + 1); }

/// The items below the backend's root; gives their URIs.
std::vector<std::string> put_items(test::backend& on) {
    const s3dlio::store store = on.store();
    std::vector<std::string> uris;
    for (std::size_t i = 0; i < items; ++i) {
        const std::string key = "loader/" + std::to_string(100 + i) + ".bin";
        store.put(key, item(i));
        uris.push_back(std::string(store.uri()) + "/" + key);
    }
    store.put("loader/readme.txt", std::string_view("no item"));
    return uris;
}

s3dlio::options with(const test::backend& on, std::initializer_list<std::pair<std::string_view, std::string_view>> more) {
    s3dlio::options options(on.settings);
    for (const auto& value : more) options.set(value.first, value.second);
    return options;
}

s3dlio::dataset dataset_of(test::backend& on) {
    s3dlio::dataset_params params;
    params.glob = "*.bin";
    return s3dlio::dataset(on.uri + "/loader/", params, s3dlio::options(on.settings));
}

std::vector<std::size_t> drawn(s3dlio::loader& loader, std::size_t most = SIZE_MAX) {
    std::vector<std::size_t> numbers;
    for (std::size_t n = 0; n < most; ++n) {
        const std::optional<s3dlio::batch> batch = loader.next();
        if (!batch) break;
        for (const s3dlio::sample sample : *batch) {
            CHECK_EQ(std::string(sample.data().text()), item(sample.index()));
            CHECK(sample.uri().find("/loader/" + std::to_string(100 + sample.index()) + ".bin") != std::string_view::npos);
            numbers.push_back(static_cast<std::size_t>(sample.index()));
        }
    }
    return numbers;
}

bool all_once(std::vector<std::size_t> numbers) {
    std::sort(numbers.begin(), numbers.end());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (numbers[i] != i) return false;
    }
    return numbers.size() == items;
}

void ranges(test::backend& on) {
    put_items(on);
    const s3dlio::dataset streamed = dataset_of(on);
    CHECK(!streamed.length());
    s3dlio::loader_params params;
    params.batch_size = 7;
    s3dlio::loader loader(streamed, params);
    std::vector<s3dlio::batch> kept;
    std::size_t count = 0, expected = 0;
    for (s3dlio::batch& batch : loader) {
        CHECK_EQ(batch.size(), std::min<std::size_t>(7, items - expected));
        CHECK(!batch.empty());
        expected += batch.size();
        for (const s3dlio::sample sample : batch) CHECK_EQ(sample.index(), count++);
        CHECK_EQ(batch[0].field_count(), 1u);
        CHECK(batch[0].field(0).name.empty() && batch[0].name().empty() && !batch[0].find("jpg"));
        test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {"no field 1"}, [&] { batch[0].field(1); });
        kept.push_back(std::move(batch));
    }
    CHECK_EQ(count, items);
    CHECK(loader.begin() == loader.end());
    CHECK_EQ(loader.stats().items, items);
    { const s3dlio::loader moved(std::move(loader)); }
    CHECK_EQ(std::string(kept[1][2].data().text()), item(9));

    std::vector<unsigned char> bytes;
    const std::vector<std::uint64_t> offsets = kept[0].gather(bytes);
    CHECK_EQ(offsets.size(), 8u);
    CHECK_EQ(offsets.back(), bytes.size());
    CHECK_EQ(std::string(bytes.begin() + static_cast<std::ptrdiff_t>(offsets[3]), bytes.begin() + static_cast<std::ptrdiff_t>(offsets[4])),
             item(3));
    std::vector<char> small(5);
    const s3dlio::error error = test::throws(__FILE__, __LINE__, S3DLIO_ERR_BUFFER_TOO_SMALL, {}, [&] { kept[0].gather_into(small); });
    CHECK_EQ(error.required(), bytes.size());
    std::vector<std::uint64_t> words;
    test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {"no whole elements"}, [&] { kept[0].gather(words); });
}

void orders_and_states(test::backend& on) {
    const std::vector<std::string> uris = put_items(on);
    const s3dlio::options options = with(on, {{"loader.shuffle", "full"}});
    const s3dlio::dataset given = s3dlio::dataset::of(uris, {}, options), indexed = dataset_of(on).index();
    CHECK_EQ(given.length().value(), items);
    CHECK_EQ(indexed.length().value(), items);
    s3dlio::loader_params params;
    params.batch_size = 4;
    params.seed = 9;
    s3dlio::loader whole(given, params, options), broken(given, params, options);
    const std::vector<std::size_t> unbroken = drawn(whole);
    CHECK(all_once(unbroken));
    CHECK(!std::is_sorted(unbroken.begin(), unbroken.end()));
    std::vector<std::size_t> numbers = drawn(broken, 3);
    params.states = {broken.state()};
    s3dlio::loader resumed(given, params, options);
    for (const std::size_t number : drawn(resumed)) numbers.push_back(number);
    CHECK(numbers == unbroken);

    numbers.clear();
    std::vector<std::string> states;
    params.states.clear();
    params.world_size = 2;
    for (params.rank = 0; params.rank < 2; ++params.rank) {
        s3dlio::loader loader(indexed, params, options);
        for (const std::size_t number : drawn(loader, 2)) numbers.push_back(number);
        states.push_back(loader.state());
    }
    params.states = {s3dlio::loader::merge_states(states)};
    params.world_size = 3;
    for (params.rank = 0; params.rank < 3; ++params.rank) {
        s3dlio::loader loader(indexed, params, options);
        for (const std::size_t number : drawn(loader)) numbers.push_back(number);
    }
    CHECK(all_once(numbers));
    test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {}, [&] { s3dlio::loader::merge_states({states[0]}); });
    test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {"NUL"},
                 [&] { s3dlio::loader::merge_states({std::string("a\0b", 3)}); });

    const s3dlio::batch some = indexed.get_many({3, 1});
    CHECK_EQ(some.size(), 2u);
    CHECK_EQ(std::string(some[0].data().text()), item(3));
    test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {}, [&] { indexed.get_many({items}); });
    const std::string path = test::temporary_folder() + "/manifest";
    CHECK_EQ(s3dlio::dataset::write_manifest(on.uri + "/loader/", path, {}, options), items + 1);
    CHECK_EQ(s3dlio::dataset::manifest(path, {}, options).length().value(), items + 1);
}

void futures(test::backend& on) {
    put_items(on);
    const s3dlio::dataset dataset = dataset_of(on);
    s3dlio::loader_params params;
    params.batch_size = 9;
    s3dlio::queue queue;
    s3dlio::loader loader(dataset, params);
    std::size_t count = 0;
    for (;;) {
        s3dlio::operation<std::optional<s3dlio::batch>> next = queue.next(loader);
        const std::optional<s3dlio::batch> batch = next.get();
        if (!batch) break;
        for (const s3dlio::sample sample : *batch) CHECK_EQ(sample.index(), count++);
    }
    CHECK_EQ(count, items);
    // A future that nobody waits for, and a loader that is gone before it.
    auto lost = std::make_unique<s3dlio::loader>(dataset, params);
    auto next = queue.next(*lost);
    lost.reset();
    CHECK_EQ(next.get()->size(), 9u);
}

/// Generated tar, TFRecord and fixed records, drawn again.
void formats(test::backend& on) {
    const s3dlio::store store = on.store();
    s3dlio::generate_params generated;
    generated.seed = 5;
    s3dlio::generate_object_params object;
    object.count = 12;
    object.record_size = 1000;
    std::vector<char> payload(12000);
    s3dlio::generate(payload, 8, 0, generated);
    const auto check = [&](s3dlio::format format, const char* key, const char* field) {
        object.format = format;
        store.put(key, s3dlio::generate_object(8, object, generated));
        s3dlio::dataset_params params;
        params.format = format;
        params.record_size = format == s3dlio::format::fixed ? 1000 : 0;
        s3dlio::loader loader(s3dlio::dataset::of({std::string(store.uri()) + "/" + key}, params, s3dlio::options(on.settings)));
        std::size_t at = 0;
        for (const s3dlio::batch& batch : loader) {
            for (const s3dlio::sample sample : batch) {
                CHECK_EQ(sample.data().size(), 1000u);
                CHECK(std::equal(payload.begin() + static_cast<std::ptrdiff_t>(at), payload.begin() + static_cast<std::ptrdiff_t>(at + 1000),
                                 reinterpret_cast<const char*>(sample.data().data())));
                CHECK_EQ(std::string(sample.field(0).name), field);
                CHECK(sample.find(field).has_value());
                at += 1000;
            }
        }
        CHECK_EQ(at, payload.size());
    };
    check(s3dlio::format::tar, "shard.tar", "bin");
    check(s3dlio::format::tfrecord, "data.tfrecord", "");
    check(s3dlio::format::fixed, "data.raw", "");
}

void generating() {
    s3dlio::generate_params params;
    params.seed = 3;
    params.compress = 2;
    std::vector<float> whole(1 << 20), slice(1000);
    s3dlio::generate(whole, 7, 0, params);
    s3dlio::generate(slice, 7, 4000, params);
    CHECK(std::memcmp(slice.data(), whole.data() + 1000, 4000) == 0);
    params.seed = 4;
    s3dlio::generate(slice, 7, 4000, params);
    CHECK(std::memcmp(slice.data(), whole.data() + 1000, 4000) != 0);
    params.dedupe = -1;
    test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {"dedupe is -1"}, [&] { s3dlio::generate(slice, 7, 0, params); });
    s3dlio::generate_object_params object;
    test::throws(__FILE__, __LINE__, S3DLIO_ERR_INVALID_ARGUMENT, {"record_size"}, [&] { s3dlio::generate_object(0, object); });
}

} // namespace

BACKEND_TEST(loader_ranges) { ranges(on); }
BACKEND_TEST(loader_orders_and_states) { orders_and_states(on); }
BACKEND_TEST(loader_futures) { futures(on); }
BACKEND_TEST(loader_formats) { formats(on); }
TEST(generated_data) { generating(); }
