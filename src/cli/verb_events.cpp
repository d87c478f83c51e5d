// events: what happened, and what happens.

#include <algorithm>

#include "cli/event_stream.h"
#include "cli/handlers.h"
#include "cli/number.h"
#include "cli/render_lists.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

void print_event(const Session& session, const std::string& line) {
    if (session.wants_json()) {
        print_line(line);
        return;
    }
    const auto event = parse_answer(line);
    print_line(event ? render_event(*event, session.look()) : line);
}

base::Result<std::uint64_t> number_option(const Session& session, const char* option,
                                          std::uint64_t otherwise) {
    const auto text = session.arguments().value(option);
    return text ? parse_number(option, *text) : base::Result<std::uint64_t>(otherwise);
}

// What the journal has, or the last MOST of it.
base::Result<> print_past(Session& session, EventStream& stream, std::uint64_t most) {
    std::deque<std::string> kept;
    for (;;) {
        auto lines = stream.read();
        if (!lines) {
            return base::pass(lines);
        }
        if (lines->empty()) {
            break;
        }
        for (auto& line : *lines) {
            if (most == UINT64_MAX) {
                print_event(session, line);
                continue;
            }
            kept.push_back(std::move(line));
            if (kept.size() > most) {
                kept.pop_front();
            }
        }
    }
    for (const auto& line : kept) {
        print_event(session, line);
    }
    return {};
}

}  // namespace

base::Result<int> do_events(Session& session) {
    auto since = number_option(session, "--since", 0);
    auto most = number_option(session, "--lines", UINT64_MAX);
    if (!since || !most) {
        return base::pass(!since ? since : most);
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    EventStream stream(**client, *since);
    if (auto past = print_past(session, stream, *most); !past) {
        return base::pass(past);
    }
    if (!session.arguments().has("--follow")) {
        return 0;
    }
    if (auto following = stream.follow(); !following) {
        return base::pass(following);
    }
    for (;;) {
        auto line = stream.next(nullptr);
        if (!line) {
            return base::pass(line);
        }
        print_event(session, *line);
    }
}

}  // namespace gpcsup::cli
