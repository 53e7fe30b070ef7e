#include <s3dlio.hpp>

std::string round_trip(const std::string& text) {
    const s3dlio::store store("memory://wrapper");
    store.put("key", text);
    return std::string(store.get("key").text());
}
