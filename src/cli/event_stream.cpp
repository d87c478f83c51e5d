#include "cli/event_stream.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "cli/json.h"

namespace gpcsup::cli {

namespace {

constexpr std::uint32_t chunk = 1000;

std::uint64_t sequence_of(const std::string& line) {
    const auto event = parse_answer(line);
    return event ? static_cast<std::uint64_t>(number_of(*event, "seq").value_or(0)) : 0;
}

}  // namespace

void EventStream::take(const std::string& lines) {
    std::string_view rest = lines;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        std::string line(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.empty()) {
            continue;
        }
        const std::uint64_t sequence = sequence_of(line);
        if (sequence != 0 && sequence <= last_) {
            continue;  // signalled and read from the journal, too
        }
        last_ = std::max(last_, sequence);
        queue_.push_back(std::move(line));
    }
}

base::Result<std::deque<std::string>> EventStream::read() {
    auto events = client_.events(wanted_, chunk);
    if (!events) {
        return base::pass(events);
    }
    wanted_ = std::max(wanted_, events->next);
    take(events->lines);
    return std::exchange(queue_, {});
}

base::Result<> EventStream::follow() {
    if (auto subscribed = client_.subscribe(); !subscribed) {
        return subscribed;
    }
    // What came between the last look into the journal and the subscription.
    for (std::uint64_t asked = wanted_;; asked = wanted_) {
        auto events = client_.events(wanted_, chunk);
        if (!events) {
            return base::pass(events);
        }
        wanted_ = std::max(wanted_, events->next);
        take(events->lines);
        if (wanted_ == asked || events->lines.empty()) {
            return {};
        }
    }
}

base::Result<std::string> EventStream::next(control::Companion* companion) {
    while (queue_.empty()) {
        auto event = client_.next_event(companion);
        if (!event) {
            return base::pass(event);
        }
        if (*event) {
            take(**event);
            wanted_ = std::max(wanted_, last_ + 1);
        } else if (auto again = follow(); !again) {
            return base::pass(again);
        }
    }
    std::string line = std::move(queue_.front());
    queue_.pop_front();
    return line;
}

}  // namespace gpcsup::cli
