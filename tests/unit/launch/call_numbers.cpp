#include "launch/call_numbers.h"

#include <fstream>
#include <initializer_list>
#include <regex>
#include <stdexcept>

namespace gpcsup::test {
namespace {

CallNumbers read_header(const std::string& name) {
    for (const std::string folder : {"/usr/include/x86_64-linux-gnu/asm/", "/usr/include/asm/"}) {
        std::ifstream file(folder + name);
        const std::regex definition(R"(#define\s+__NR_(\w+)\s+(\d+))");
        CallNumbers numbers;
        for (std::string line; std::getline(file, line);) {
            if (std::smatch found; std::regex_search(line, found, definition)) {
                numbers.emplace(found[1], std::stoi(found[2]));
            }
        }
        if (!numbers.empty()) {
            return numbers;
        }
    }
    throw std::runtime_error("the kernel's header asm/" + name + " was not found");
}

int number_in(const CallNumbers& numbers, std::string_view name) {
    const auto found = numbers.find(name);
    return found == numbers.end() ? -1 : found->second;
}

}  // namespace

const CallNumbers& native_calls() {
    static const CallNumbers numbers = read_header("unistd_64.h");
    return numbers;
}

const CallNumbers& compat_calls() {
    static const CallNumbers numbers = read_header("unistd_32.h");
    return numbers;
}

int native_number(std::string_view name) {
    return number_in(native_calls(), name);
}

int compat_number(std::string_view name) {
    return number_in(compat_calls(), name);
}

}  // namespace gpcsup::test
