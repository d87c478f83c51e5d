#pragma once
// Reading back what a predecessor, or another version of us, has written into the journal. A record that
// cannot be read is told of (event state-lost) and left out: whatever it said, a supervisor without it
// serves, and one that ends because of it does not.

#include <cerrno>
#include <exception>
#include <type_traits>

#include "journal/journal.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

// JSON of another shape than was expected throws, and so does a number that is none: errors from here on.
template <class Read>
auto guarded(std::string_view what, Read&& read) -> std::invoke_result_t<Read> {
    try {
        return read();
    } catch (const std::exception& problem) {
        return base::fail(EPROTO, "read", what, problem.what());
    }
}

// Calls `visit` with the rest of the key and the body of every record whose key begins with `prefix`, in the
// order of their keys. `visit` returns a Result or nothing.
template <class Visit>
void each_record(const journal::States& states, std::string_view prefix, Chronicle& chronicle,
                 Visit&& visit) {
    for (auto at = states.lower_bound(prefix); at != states.end() && at->first.starts_with(prefix); ++at) {
        const base::Result<> done = guarded(at->first, [&]() -> base::Result<> {
            const Json body = Json::parse(at->second.body, nullptr, false);
            if (!body.is_object()) {
                return base::fail(EPROTO, "read", "the record", "it is no object");
            }
            const std::string rest = at->first.substr(prefix.size());
            if constexpr (std::is_void_v<std::invoke_result_t<Visit, const std::string&, const Json&>>) {
                visit(rest, body);
                return {};
            } else {
                return visit(rest, body);
            }
        });
        if (!done) {
            chronicle.note("state-lost", {{"what", at->first}, {"reason", done.error().message()}});
        }
    }
}

}  // namespace gpcsup::supervisor
