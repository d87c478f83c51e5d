#include "grouping/glob.h"

#include <cerrno>
#include <string>

namespace gpcsup::grouping {

namespace {

constexpr std::size_t none = std::string_view::npos;

// The index behind the set that begins at `start`, or none when it is not closed. A `]` that comes first is a
// member.
std::size_t end_of_set(std::string_view pattern, std::size_t start) {
    std::size_t at = start + 1;
    if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) {
        ++at;
    }
    const std::size_t close = at < pattern.size() ? pattern.find(']', at + 1) : none;
    return close == none ? none : close + 1;
}

bool is_in_set(std::string_view set, char c) {  // "[a-z]" with its brackets
    set = set.substr(1, set.size() - 2);
    const bool negated = set.front() == '!' || set.front() == '^';
    set.remove_prefix(negated ? 1 : 0);
    bool found = false;
    for (std::size_t at = 0; at < set.size(); ++at) {
        if (at + 2 < set.size() && set[at + 1] == '-') {
            found = found || (set[at] <= c && c <= set[at + 2]);
            at += 2;
        } else {
            found = found || set[at] == c;
        }
    }
    return found != negated;
}

// The index behind the one-character pattern at `at` if it matches c, else none.
std::size_t match_one(std::string_view pattern, std::size_t at, char c) {
    if (pattern[at] == '?') {
        return at + 1;
    }
    if (pattern[at] == '[') {
        const std::size_t end = end_of_set(pattern, at);
        if (end != none) {
            return is_in_set(pattern.substr(at, end - at), c) ? end : none;
        }
    }
    return pattern[at] == c ? at + 1 : none;
}

}  // namespace

base::Result<> check_glob(std::string_view pattern) {
    if (pattern.empty()) {
        return base::refuse(EINVAL, "the pattern is empty", "leave it out to match everything");
    }
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] != '[') {
            continue;
        }
        const std::size_t end = end_of_set(pattern, at);
        if (end == none) {
            return base::refuse(EINVAL, "\"" + std::string(pattern) + "\" has a [ that is not closed",
                                "a set is written [abc] or [a-z]");
        }
        at = end - 1;
    }
    return {};
}

// One star is remembered: a later one makes going back before it pointless.
bool glob_matches(std::string_view pattern, std::string_view text) {
    std::size_t in_pattern = 0;
    std::size_t in_text = 0;
    std::size_t star = none;
    std::size_t star_text = 0;
    while (in_text < text.size()) {
        if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
            star = in_pattern++;
            star_text = in_text;
            continue;
        }
        const std::size_t next =
            in_pattern < pattern.size() ? match_one(pattern, in_pattern, text[in_text]) : none;
        if (next != none) {
            in_pattern = next;
            ++in_text;
        } else if (star != none) {
            in_pattern = star + 1;
            in_text = ++star_text;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', in_pattern) == none;
}

}  // namespace gpcsup::grouping
