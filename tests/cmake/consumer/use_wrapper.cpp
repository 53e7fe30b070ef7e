#include <iostream>
#include <string>

std::string round_trip(const std::string& text);

int main() {
    std::cout << "wrapped\n";
    return round_trip("hello") == "hello" ? 0 : 1;
}
