#include <s3dlio.hpp>

#include <iostream>

int main() {
    const s3dlio::store store("memory://consumer");
    store.put("key", std::string_view("hello"));
    std::cout << s3dlio::version() << '\n';
    return store.get("key").text() == "hello" ? 0 : 1;
}
