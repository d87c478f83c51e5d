#include "units/names.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "base/suggestion.h"

namespace gpcsup::units {

namespace {

constexpr std::array<std::string_view, event_count> event_names = {"start", "ready", "finish", "reload",
                                                                   "stop",  "end",   "cancel", "give-up",
                                                                   "rest",  "fail",  "retry",  "clear"};

static_assert(state_names.size() == state_count);

constexpr std::size_t longest_unit_name = 64;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '.' || c == '_' ||
           c == '-' || c == '@';
}

std::string upper(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    return result;
}

}  // namespace

std::string_view name_of(UnitKind kind) {
    return unit_kind_names[static_cast<std::size_t>(kind)];
}
std::string_view name_of(ServiceType type) {
    return service_type_names[static_cast<std::size_t>(type)];
}
std::string_view name_of(RestartPolicy policy) {
    return restart_policy_names[static_cast<std::size_t>(policy)];
}
std::string_view name_of(State state) {
    return state_names[static_cast<std::size_t>(state)];
}
std::string_view name_of(Event event) {
    return event_names[static_cast<std::size_t>(event)];
}

int signal_number(std::string_view name) {
    for (int number = 1; number < SIGSYS + 1; ++number) {
        const char* known = sigabbrev_np(number);
        if (known != nullptr && name == known) {
            return number;
        }
    }
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
        if (name == signal_name(number)) {
            return number;
        }
    }
    return 0;
}

std::string signal_name(int number) {
    if (const char* known = sigabbrev_np(number); known != nullptr) {
        return known;
    }
    if (number >= SIGRTMIN && number <= SIGRTMAX) {
        return number == SIGRTMIN ? "RTMIN" : "RTMIN+" + std::to_string(number - SIGRTMIN);
    }
    return "signal " + std::to_string(number);
}

base::Result<std::string> canonical_signal(std::string_view text) {
    std::string name = upper(text);
    if (name.starts_with("SIG")) {
        name.erase(0, 3);
    }
    if (!name.empty() && name.size() <= 2 && std::ranges::all_of(name, is_digit)) {
        const int number = std::stoi(name);
        name = number > 0 && number <= SIGRTMAX ? signal_name(number) : name;
    }
    if (signal_number(name) != 0) {
        return name;
    }
    std::vector<std::string_view> known;
    for (int number = 1; number <= SIGSYS; ++number) {
        if (const char* abbreviation = sigabbrev_np(number); abbreviation != nullptr) {
            known.emplace_back(abbreviation);
        }
    }
    const auto near = base::nearest(name, known);
    return base::refuse(
        EINVAL, "there is no signal \"" + std::string(text) + "\"",
        near ? "did you mean \"" + std::string(*near) + "\"?" : R"(write "TERM", "INT", "QUIT"…)");
}

base::Result<> check_unit_name(std::string_view name) {
    const std::string shown = "\"" + std::string(name) + "\" cannot be the name of a unit: ";
    if (name.empty()) {
        return base::refuse(EINVAL, "the name of a unit cannot be empty");
    }
    if (name.size() > longest_unit_name) {
        return base::refuse(EINVAL, shown + "it has more than 64 characters");
    }
    const auto bad = std::ranges::find_if_not(name, is_name_character);
    if (bad != name.end()) {
        return base::refuse(EINVAL, shown + "a name has letters, digits, \".\", \"_\", \"-\" and \"@\" only");
    }
    if (std::ranges::all_of(name, is_digit)) {
        return base::refuse(EINVAL, shown + "it would be taken for a pid", "add a letter");
    }
    if (name == "." || name == "..") {  // unit:/NAME is a path, and so is the unit's own runtime directory
        return base::refuse(EINVAL, shown + "it is a directory");
    }
    return {};
}

}  // namespace gpcsup::units
