#include "cli/signals.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "base/suggestion.h"

namespace gpcsup::cli {

namespace {

constexpr int named_signals = 32;

}  // namespace

std::vector<std::string> signal_names() {
    std::vector<std::string> names;
    for (int signal = 1; signal < named_signals; ++signal) {
        if (const char* name = sigabbrev_np(signal); name != nullptr) {
            names.emplace_back(name);
        }
    }
    return names;
}

base::Result<int> parse_signal(std::string_view text) {
    std::string name(text);
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    name.erase(0, name.starts_with("SIG") ? 3 : 0);
    int number = 0;
    const char* begin = name.data();
    const char* end = begin + name.size();
    if (const auto [at, error] = std::from_chars(begin, end, number);
        error == std::errc() && at == end && number > 0 && number <= SIGRTMAX) {
        return number;
    }
    for (int signal = 1; signal < named_signals; ++signal) {
        const char* known = sigabbrev_np(signal);
        if (known != nullptr && name == known) {
            return signal;
        }
    }
    if (name.starts_with("RTMIN")) {
        const auto [at, error] = std::from_chars(begin + std::min<std::size_t>(6, name.size()), end, number);
        if (name == "RTMIN" || (name[5] == '+' && error == std::errc() && at == end && number >= 0 &&
                                SIGRTMIN + number <= SIGRTMAX)) {
            return SIGRTMIN + (name == "RTMIN" ? 0 : number);
        }
    }
    const std::vector<std::string> names = signal_names();
    const std::vector<std::string_view> known(names.begin(), names.end());
    const auto near = base::nearest(name, known);
    return base::refuse(
        EINVAL, "there is no signal \"" + std::string(text) + "\"",
        near ? "did you mean " + std::string(*near) + "?" : "names are as in kill -l, or numbers");
}

}  // namespace gpcsup::cli
