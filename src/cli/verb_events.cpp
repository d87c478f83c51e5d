// events: what happened, and what happens.

#include <algorithm>

#include "cli/event_stream.h"
#include "cli/handlers.h"
#include "cli/number.h"
#include "cli/render_lists.h"
#include "cli/session.h"
#include "control/event_filter.h"

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

// A group is written with its controller's name, too: the events have the hierarchy's.
base::Result<std::string> full_name(control::Client& client, const std::string& group) {
    const std::size_t colon = group.find(':');
    auto answer = client.hierarchies();
    auto known = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
    if (!known) {
        return base::pass(known);
    }
    for (const Json& hierarchy : list_of(*known, "hierarchies")) {
        for (const Json& controller : list_of(hierarchy, "controllers")) {
            if (value_text(controller) == group.substr(0, colon)) {
                return text_of(hierarchy, "name") + group.substr(colon);
            }
        }
    }
    return group;
}

base::Result<control::EventFilter> filter_of(const Session& session, control::Client& client) {
    control::EventFilter filter;
    for (const std::string& name : session.arguments().values("--event")) {
        if (auto added = filter.add_event(name); !added) {
            return base::pass(added);
        }
    }
    for (const std::string& unit : session.arguments().values("--unit")) {
        if (auto added = filter.add_unit(unit); !added) {
            return base::pass(added);
        }
    }
    for (const std::string& group : session.arguments().values("--group")) {
        control::EventFilter form;
        if (auto valid = form.add_group(group); !valid) {
            return base::pass(valid);
        }
        auto name = full_name(client, group);
        if (!name) {
            return base::pass(name);
        }
        (void)filter.add_group(*name).has_value();  // its form has been checked
    }
    return filter;
}

// What the journal has, or the last MOST of it.
base::Result<> print_past(Session& session, EventStream& stream, const control::EventFilter& filter,
                          std::uint64_t most) {
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
            if (!filter.accepts(line)) {
                continue;
            }
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
    auto filter = filter_of(session, **client);
    if (!filter) {
        return base::pass(filter);
    }
    EventStream stream(**client, *since);
    if (auto past = print_past(session, stream, *filter, *most); !past) {
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
        if (filter->accepts(*line)) {
            print_event(session, *line);
        }
    }
}

}  // namespace gpcsup::cli
